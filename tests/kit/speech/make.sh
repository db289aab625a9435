#!/bin/sh
# Makes every clip of this folder again: flite speaks, sox brings it onto the telephone.
# Needs flite (voices rms and slt) and sox; writes next to itself. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# $1 in, $2 out: band-limited to the telephone's 300-3400 Hz, silence at both ends cut and
# replaced by 60 ms, peak at -6 dBFS, µ-law at 8 kHz. -R and -D: the same bytes on every run.
telephone() {
    sox -R -D "$1" -e mu-law -b 8 -r 8000 -c 1 "$2" \
        highpass 300 lowpass 3400 rate -h 8000 \
        silence 1 0.01 0.6% reverse silence 1 0.01 0.6% reverse \
        norm -6 pad 0.06 0.06
}

# $1 voice, $2 folder, $3 name, $4 text
speak() {
    mkdir -p "$here/$2"
    flite -voice "$1" -t "$4" -o "$work/raw.wav"
    telephone "$work/raw.wav" "$here/$2/$3.wav"
}

caller() { speak rms caller "$1" "$2"; }
receptionist() { speak slt receptionist "$1" "$2"; }

caller hello "Hello, I would like to book a massage for tomorrow afternoon, please."
caller price "How much is the hot stone massage?"
caller interrupt "Sorry, sorry. Half past three would be perfect."
caller name "My name is Anna Weber, and this is my number."
caller yes "Yes, please."
caller thanks "That is all. Thank you very much, goodbye."
caller still_here "Yes, I am still here."
caller person "Can I speak to a person, please?"
caller move "I need to move my appointment to another day."
caller cancel "I want to cancel my appointment."

receptionist greeting "Good morning, Casa Verde Spa. How can I help you?"
receptionist times_long "With pleasure. Tomorrow afternoon we have a classic massage at two o'clock with Maria, a hot stone massage at half past three with Elena, and an aroma massage at five o'clock with Sofia. Each of them takes one hour, and you are welcome to use the sauna before. Which one would you like?"
receptionist half_past "Half past three with Elena it is. May I have your name, please?"
receptionist price "The hot stone massage is ninety five euros for one hour."
receptionist booked "Thank you, Anna. Your massage is booked for tomorrow at half past three. Is there anything else?"
receptionist goodbye "Thank you for calling Casa Verde. We look forward to seeing you. Goodbye!"
receptionist moment "One moment, please."
receptionist sorry "I am sorry, could you say that again?"
receptionist still_there "Are you still there?"
receptionist filler "Just a second, I am still here."

# A cough is no words: 150 ms of noise that swells and dies.
sox -R -D -n -r 16000 -c 1 "$work/cough.wav" synth 0.15 pinknoise fade q 0.01 0.15 0.09
telephone "$work/cough.wav" "$here/caller/cough.wav"
