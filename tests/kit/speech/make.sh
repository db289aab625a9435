#!/bin/sh
# Makes every clip of this folder again: flite speaks, sox brings it onto the telephone.
# Needs flite (voices rms and slt) and sox; writes next to itself. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# $1 in, $2 out, $3 what is silence, $4 seconds: band-limited to the telephone's 300-3400 Hz, silence at both ends
# cut and replaced by $4, peak at -6 dBFS, µ-law at 8 kHz. -R and -D: the same bytes on every run.
telephone() {
    sox -R -D "$1" -e mu-law -b 8 -r 8000 -c 1 "$2" \
        highpass 300 lowpass 3400 rate -h 8000 \
        silence 1 0.01 "$3" reverse silence 1 0.01 "$3" reverse \
        norm -6 pad "$4" "$4"
}

# $1 voice, $2 folder, $3 what is silence, $4 seconds of it at either end, $5 name, $6 text
speak() {
    mkdir -p "$here/$2"
    flite -voice "$1" -t "$6" -o "$work/raw.wav"
    telephone "$work/raw.wav" "$here/$2/$5.wav" "$3" "$4"
}

caller() { speak rms caller 0.6% 0.06 "$1" "$2"; }
receptionist() { speak slt receptionist 0.6% 0.06 "$1" "$2"; }
# Pieces of sentences, said one after the other. On the telephone the f of "F" and the x of "six" are hardly louder
# than silence.
word() { speak slt words 0.1% 0.02 "$1" "$2"; }

caller hello "Hello, I would like a classic massage with Maria, please, on the next free afternoon."
caller price "How much is the hot stone massage?"
caller interrupt "Sorry, sorry. I take the first one, please."
caller name "My name is Anna Weber, and this is my number."
caller yes "Yes, please."
caller thanks "That is all. Thank you very much, goodbye."
caller still_here "Yes, I am still here."
caller person "Can I speak to a person, please?"
caller move "I need to move my appointment to another day."
caller cancel "I want to cancel my appointment."

receptionist greeting "Welcome to Willow Spa. How can I help you?"
receptionist times_long "With pleasure. Tomorrow afternoon we have a hot stone massage at half past three with Elena, a classic massage at two o'clock with Maria, and an aroma massage at five o'clock with Sofia. Each of them takes one hour, and you are welcome to use the sauna before. Which one would you like?"
receptionist half_past "Half past three with Elena it is. May I have your name, please?"
receptionist price "The hot stone massage is ninety five euros for one hour."
receptionist booked "Thank you, Anna. Your massage is booked for tomorrow at half past three. Is there anything else?"
receptionist goodbye "Thank you for calling Willow Spa. We look forward to seeing you. Goodbye!"
receptionist moment "One moment, please."
receptionist sorry "I am sorry, could you say that again?"
receptionist still_there "Are you still there?"
receptionist filler "Just a second, I am still here."
receptionist sauna "You are welcome to use the sauna before. What would suit you best?"
receptionist your_name "May I have your name, please?"
receptionist no_book "I am sorry, I cannot look into our appointment book at the moment. One of us will call you back as soon as we can."

word with_pleasure "With pleasure."
word is_free_on "is free on"
word at "at"
word or_at "or at"
word the_first_one "The first one, at"
word thank_you_anna "Thank you, Anna."
word your_massage_with "Your massage with"
word is_booked_for "is booked for"
word your_code_is "Your code is"
word anything_else "Is there anything else?"
word maria "Maria"
word monday "Monday"
word tuesday "Tuesday"
word wednesday "Wednesday"
word thursday "Thursday"
word friday "Friday"
word saturday "Saturday"
word sunday "Sunday"
word one "one"
word two "two"
word three "three"
word four "four"
word five "five"
word six "six"
word seven "seven"
word eight "eight"
word nine "nine"
word ten "ten"
word eleven "eleven"
word twelve "twelve"
word fifteen "fifteen"
word twenty "twenty"
word thirty "thirty"
word forty "forty"
word fifty "fifty"
word oh "oh"
word o_clock "o'clock"
word f "F"
word k "K"
word l "L"
word m "M"
word r "R"
word t "T"
word w "W"

# A cough is no words: 150 ms of noise that swells and dies.
sox -R -D -n -r 16000 -c 1 "$work/cough.wav" synth 0.15 pinknoise fade q 0.01 0.15 0.09
telephone "$work/cough.wav" "$here/caller/cough.wav" 0.6% 0.06
