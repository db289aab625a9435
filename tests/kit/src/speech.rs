//! Recorded speech: what the caller and the receptionist say, as µ-law ready for the line.
//!
//! Synthesised; `tests/kit/speech/README.md` says how. The audio is part of the binary and costs nothing to look up.
//!
//! ```
//! use switchboard_kit::speech;
//!
//! let hello = speech::caller("hello").expect("a clip of that name");
//! assert!(hello.text.starts_with("Hello"));
//! assert_eq!(hello.mulaw().len() as u64 / 8, hello.duration_ms());
//! ```

use call_protocol::audio;

/// Who speaks in a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The one the model plays.
    Receptionist,
}

/// One recorded utterance.
#[derive(Debug, Clone, Copy)]
pub struct Clip {
    /// What the clip is called: the stem of its file.
    pub name: &'static str,
    /// The words spoken in it; empty for a noise.
    pub text: &'static str,
    /// Whose voice it is.
    pub speaker: Speaker,
    #[cfg(test)]
    folder: &'static str,
    mulaw: &'static [u8],
}

impl Clip {
    /// The audio: G.711 µ-law, 8,000 bytes a second, mono.
    #[must_use]
    pub const fn mulaw(&self) -> &'static [u8] {
        self.mulaw
    }

    /// How long the clip lasts, in milliseconds.
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        audio::bytes_to_ms(self.mulaw.len() as u64)
    }
}

/// The caller's clip of that name.
#[must_use]
pub fn caller(name: &str) -> Option<&'static Clip> {
    CALLER.iter().find(|clip| clip.name == name)
}

/// The receptionist's clip of that name.
#[must_use]
pub fn receptionist(name: &str) -> Option<&'static Clip> {
    RECEPTIONIST.iter().find(|clip| clip.name == name)
}

/// A piece of a sentence in the receptionist's voice: a weekday, a number, a letter, what goes between them.
#[must_use]
pub fn word(name: &str) -> Option<&'static Clip> {
    WORDS.iter().find(|clip| clip.name == name)
}

/// Everything the caller can say.
pub fn caller_clips() -> impl Iterator<Item = &'static Clip> {
    CALLER.iter()
}

/// Everything the receptionist can say.
pub fn receptionist_clips() -> impl Iterator<Item = &'static Clip> {
    RECEPTIONIST.iter()
}

/// The pieces that sentences of the receptionist are put together from.
pub fn words() -> impl Iterator<Item = &'static Clip> {
    WORDS.iter()
}

macro_rules! clips {
    ($speaker:expr, $folder:literal, $($name:literal: $text:literal,)+) => {
        [$(Clip {
            name: $name,
            text: $text,
            speaker: $speaker,
            #[cfg(test)]
            folder: $folder,
            mulaw: mulaw_of_wav(include_bytes!(concat!("../speech/", $folder, "/", $name, ".wav"))),
        },)+]
    };
}

static CALLER: [Clip; 11] = clips! { Speaker::Caller, "caller",
    "hello": "Hello, I would like a classic massage with Maria, please, on the next free afternoon.",
    "price": "How much is the hot stone massage?",
    "interrupt": "Sorry, sorry. I take the first one, please.",
    "name": "My name is Anna Weber, and this is my number.",
    "yes": "Yes, please.",
    "thanks": "That is all. Thank you very much, goodbye.",
    "still_here": "Yes, I am still here.",
    "person": "Can I speak to a person, please?",
    "move": "I need to move my appointment to another day.",
    "cancel": "I want to cancel my appointment.",
    "cough": "",
};

static RECEPTIONIST: [Clip; 13] = clips! { Speaker::Receptionist, "receptionist",
    "greeting": "Welcome to Willow Spa. How can I help you?",
    "times_long": "With pleasure. Tomorrow afternoon we have a hot stone massage at half past three with Elena, a classic massage at two o'clock with Maria, and an aroma massage at five o'clock with Sofia. Each of them takes one hour, and you are welcome to use the sauna before. Which one would you like?",
    "half_past": "Half past three with Elena it is. May I have your name, please?",
    "price": "The hot stone massage is ninety five euros for one hour.",
    "booked": "Thank you, Anna. Your massage is booked for tomorrow at half past three. Is there anything else?",
    "goodbye": "Thank you for calling Willow Spa. We look forward to seeing you. Goodbye!",
    "moment": "One moment, please.",
    "sorry": "I am sorry, could you say that again?",
    "still_there": "Are you still there?",
    "filler": "Just a second, I am still here.",
    "sauna": "You are welcome to use the sauna before. What would suit you best?",
    "your_name": "May I have your name, please?",
    "no_book": "I am sorry, I cannot look into our appointment book at the moment. One of us will call you back as soon as we can.",
};

static WORDS: [Clip; 44] = clips! { Speaker::Receptionist, "words",
    "with_pleasure": "With pleasure.",
    "is_free_on": "is free on",
    "at": "at",
    "or_at": "or at",
    "the_first_one": "The first one, at",
    "thank_you_anna": "Thank you, Anna.",
    "your_massage_with": "Your massage with",
    "is_booked_for": "is booked for",
    "your_code_is": "Your code is",
    "anything_else": "Is there anything else?",
    "maria": "Maria",
    "monday": "Monday",
    "tuesday": "Tuesday",
    "wednesday": "Wednesday",
    "thursday": "Thursday",
    "friday": "Friday",
    "saturday": "Saturday",
    "sunday": "Sunday",
    "one": "one",
    "two": "two",
    "three": "three",
    "four": "four",
    "five": "five",
    "six": "six",
    "seven": "seven",
    "eight": "eight",
    "nine": "nine",
    "ten": "ten",
    "eleven": "eleven",
    "twelve": "twelve",
    "fifteen": "fifteen",
    "twenty": "twenty",
    "thirty": "thirty",
    "forty": "forty",
    "fifty": "fifty",
    "oh": "oh",
    "o_clock": "o'clock",
    "f": "F",
    "k": "K",
    "l": "L",
    "m": "M",
    "r": "R",
    "t": "T",
    "w": "W",
};

/// The samples of a µ-law WAV. Runs while the crate is compiled, so a clip of another format does not build.
const fn mulaw_of_wav(wav: &'static [u8]) -> &'static [u8] {
    assert!(starts_with(wav, b"RIFF"), "not a RIFF file");
    let (_, mut rest) = wav.split_at(12);
    let mut is_mulaw = false;
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if starts_with(head, b"data") {
            assert!(is_mulaw, "not 8 kHz mono mu-law");
            return body.split_at(size).0;
        }
        if starts_with(head, b"fmt ") {
            // Format 7 (µ-law), one channel, 8,000 (0x1F40) samples a second.
            is_mulaw = starts_with(body, &[7, 0, 1, 0, 0x40, 0x1F, 0, 0]);
        }
        // Chunks are padded to an even length.
        rest = body.split_at(size + size % 2).1;
    }
    panic!("no data chunk");
}

const fn starts_with(bytes: &[u8], prefix: &[u8]) -> bool {
    let mut at = 0;
    while at < prefix.len() {
        if at >= bytes.len() || bytes[at] != prefix[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_clip() -> impl Iterator<Item = &'static Clip> {
        caller_clips().chain(receptionist_clips()).chain(words())
    }

    fn file_of(clip: &Clip) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("speech")
            .join(clip.folder)
            .join(format!("{}.wav", clip.name))
    }

    /// Root mean square of µ-law audio, in 16-bit units.
    fn level(mulaw: &[u8]) -> f64 {
        let sum: f64 = mulaw
            .iter()
            .map(|&byte| f64::from(audio::decode_sample(byte)).powi(2))
            .sum();
        (sum / mulaw.len() as f64).sqrt()
    }

    #[test]
    fn every_clip_is_at_telephone_level_and_not_clipped() {
        for clip in every_clip() {
            let peak = clip
                .mulaw()
                .iter()
                .map(|&byte| audio::decode_sample(byte).unsigned_abs())
                .max();
            let peak = f64::from(peak.unwrap_or(0)) / 32_768.0;
            assert!((0.4..0.6).contains(&peak), "{}: peak {peak}", clip.name);
            let level = level(clip.mulaw());
            assert!(
                (1_000.0..6_000.0).contains(&level),
                "{}: {level}",
                clip.name
            );
        }
    }

    #[test]
    fn the_audio_is_all_the_wav_header_promises() {
        for clip in every_clip() {
            let wav = std::fs::read(file_of(clip)).unwrap();
            let fact = wav.windows(4).position(|window| window == b"fact").unwrap();
            let samples = u32::from_le_bytes(wav[fact + 8..fact + 12].try_into().unwrap());
            assert_eq!(clip.mulaw().len(), samples as usize, "{}", clip.name);
        }
    }

    #[test]
    fn speech_begins_and_ends_within_120_ms() {
        let edge = audio::ms_to_bytes(120) as usize;
        for clip in every_clip() {
            let audio = clip.mulaw();
            for part in [&audio[..edge], &audio[audio.len() - edge..]] {
                assert!(level(part) > 40.0, "{}: {}", clip.name, level(part));
            }
        }
    }

    #[test]
    fn the_answer_meant_to_be_interrupted_is_long() {
        assert!(receptionist("times_long").unwrap().duration_ms() > 9_000);
        assert!(caller("cough").unwrap().duration_ms() < 300);
        assert!(caller("goodbye").is_none());
    }
}
