//! The sound that says "the line is not dead": what a caller hears while they wait, unless their agent has a clip.

use std::f64::consts::PI;

use super::payload::Payload;
use crate::audio::{encode_sample, ms_to_bytes};

/// Samples a second.
const RATE: f64 = 8_000.0;

/// Length of the pattern: two notes and a pause. It is played over and over.
const PATTERN_MS: u64 = 1_600;

/// The notes: when they begin, how long they sound (milliseconds), and their pitch (hertz, A4 and C♯5).
const NOTES: [(u64, u64, f64); 2] = [(0, 420, 440.0), (320, 560, 554.37)];

/// Peak of a note, of 32,767: 24 dB below full scale, so that nobody takes the phone from their ear.
const LEVEL: f64 = 2_000.0;

/// Milliseconds in which a note rises; it falls over the rest of its length.
const RISE_MS: f64 = 30.0;

/// Two soft notes and a pause, as µ-law.
#[must_use]
pub fn tone() -> Payload {
    let samples: Vec<u8> = (0..ms_to_bytes(PATTERN_MS)).map(sample).collect();
    Payload::from_audio(&samples)
}

fn sample(position: u64) -> u8 {
    // Positions stay far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let seconds = position as f64 / RATE;
    let mut level = 0.0;
    for (begins_ms, lasts_ms, hertz) in NOTES {
        #[allow(clippy::cast_precision_loss)]
        let (since_ms, lasts_ms) = (seconds * 1_000.0 - begins_ms as f64, lasts_ms as f64);
        if (0.0..lasts_ms).contains(&since_ms) {
            level += LEVEL * envelope(since_ms, lasts_ms) * (2.0 * PI * hertz * seconds).sin();
        }
    }
    // Two notes together stay below 4,000.
    #[allow(clippy::cast_possible_truncation)]
    encode_sample(level as i16)
}

/// 0 to 1: up and down along a cosine, so that a note neither clicks when it begins nor when it ends.
fn envelope(since_ms: f64, lasts_ms: f64) -> f64 {
    let share = if since_ms < RISE_MS {
        since_ms / RISE_MS
    } else {
        (lasts_ms - since_ms) / (lasts_ms - RISE_MS)
    };
    (1.0 - (PI * share).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::audio::{FRAME_BYTES, decode_sample};

    #[test]
    fn the_tone_is_heard_and_is_neither_loud_nor_does_it_click() {
        let mut audio = BytesMut::new();
        tone().decode_into(&mut audio);
        assert_eq!(audio.len() % FRAME_BYTES, 0);
        let samples: Vec<i32> = audio
            .iter()
            .map(|byte| decode_sample(*byte).into())
            .collect();
        let peak = samples.iter().map(|sample| sample.abs()).max().unwrap();
        assert!((1_000..4_000).contains(&peak), "{peak}");
        let loud = samples.iter().filter(|sample| sample.abs() > 300).count();
        assert!(loud * 4 > samples.len(), "a quarter of it sounds: {loud}");
        // Two tones of this pitch and level move at most this far in an eighth of a millisecond.
        let step = samples
            .windows(2)
            .map(|two| (two[1] - two[0]).abs())
            .max()
            .unwrap();
        assert!(step < 1_800, "{step}");
        assert!(samples[0].abs() < 50 && samples[samples.len() - 1].abs() < 50);
    }

    #[test]
    fn no_pause_in_it_lasts_a_second() {
        let mut audio = BytesMut::new();
        tone().decode_into(&mut audio);
        let quiet = audio
            .iter()
            .rev()
            .take_while(|byte| decode_sample(**byte).abs() < 50);
        let pause_ms = quiet.count() / 8;
        assert!(pause_ms < 1_000, "{pause_ms} ms");
    }
}
