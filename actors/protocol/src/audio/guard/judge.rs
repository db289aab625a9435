//! Is it µ-law, or linear audio under its name? Told from the bytes.
//!
//! How fast they come says nothing: models send in bursts, many times faster than speech.

use crate::audio::decode_sample;

/// Bytes that must have been seen for a judgement: 17 ms of linear audio, more than a period of the deepest voice.
pub(super) const ENOUGH: usize = 800;

/// Mean level, of 32,767, that linear audio read as µ-law exceeds: its low halves are as good as random.
const LOUD: f64 = 3_000.0;

/// Roughness that linear audio read as µ-law exceeds. A tone of 800 Hz in true µ-law has as much.
const ROUGH: f64 = 0.6;

/// Roughness below which speech at 24 kHz stays: that of a tone of 2.7 kHz.
const SMOOTH: f64 = 0.7;

/// What a stretch of audio is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// What was asked for, or nothing that could be told from it.
    Mulaw,
    /// 16-bit linear audio.
    Linear,
    /// Nothing but zeros: silence in linear audio, full scale in µ-law. Nobody misses it.
    Unclear,
}

/// Judges a stretch of audio; it may begin in the middle of a sample.
pub(super) fn judge(bytes: &[u8]) -> Judgement {
    let zeros = count(bytes, 0x00..=0x00);
    if zeros == bytes.len() {
        return Judgement::Unclear;
    }
    let is_linear = zeros * 5 >= bytes.len() || is_quiet_linear(bytes) || is_smooth_linear(bytes);
    if is_linear {
        Judgement::Linear
    } else {
        Judgement::Mulaw
    }
}

fn count(bytes: &[u8], range: std::ops::RangeInclusive<u8>) -> usize {
    bytes.iter().filter(|byte| range.contains(byte)).count()
}

/// The high halves of small linear samples lie next to 0x00 and 0xFF. In µ-law 0x00 to 0x0F is the loudest negative
/// audio there is, and the loudest positive, 0x80 to 0x8F, is as frequent.
fn is_quiet_linear(bytes: &[u8]) -> bool {
    let (above, below) = (count(bytes, 0x00..=0x0F), count(bytes, 0xF0..=0xFF));
    let loudest = count(bytes, 0x80..=0x8F);
    above * 10 >= bytes.len() && below * 10 >= bytes.len() && loudest * 4 <= above
}

/// Loud linear speech flows from sample to sample, and is loud noise when read as µ-law.
fn is_smooth_linear(bytes: &[u8]) -> bool {
    let as_mulaw = Shape::of(bytes.iter().map(|byte| decode_sample(*byte)));
    if as_mulaw.level < LOUD || as_mulaw.roughness < ROUGH {
        return false;
    }
    [0, 1].into_iter().any(|begin| {
        let pairs = bytes[begin..].chunks_exact(2);
        let as_linear = Shape::of(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        as_linear.roughness < SMOOTH && as_linear.roughness < as_mulaw.roughness * 0.6
    })
}

/// How loud a signal is, and how much it jumps.
struct Shape {
    level: f64,
    /// The mean step between samples by their mean distance from the mean: near zero for a deep tone, 1.4 for noise.
    roughness: f64,
}

impl Shape {
    fn of(samples: impl Iterator<Item = i16>) -> Self {
        let samples: Vec<f64> = samples.map(f64::from).collect();
        // Stretches are short.
        #[allow(clippy::cast_precision_loss)]
        let count = samples.len().max(1) as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let spread: f64 = samples.iter().map(|sample| (sample - mean).abs()).sum();
        let steps: f64 = samples
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .sum();
        let loudness: f64 = samples.iter().map(|sample| sample.abs()).sum();
        Self {
            level: loudness / count,
            roughness: if spread > 0.0 { steps / spread } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::encode_sample;

    /// Numbers without a pattern, between -1 and 1.
    fn noise(count: usize) -> impl Iterator<Item = f64> {
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        (0..count).map(move |_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 40) as f64 / f64::from(1u32 << 23) - 1.0
        })
    }

    fn linear(samples: impl Iterator<Item = f64>) -> Vec<u8> {
        samples
            .flat_map(|sample| (sample as i16).to_le_bytes())
            .take(ENOUGH)
            .collect()
    }

    fn mulaw(samples: impl Iterator<Item = f64>) -> Vec<u8> {
        samples
            .map(|sample| encode_sample(sample as i16))
            .take(ENOUGH)
            .collect()
    }

    /// A vowel: a hundred and some pulses a second, with overtones.
    fn vowel(rate: f64, pitch: f64, level: f64) -> impl Iterator<Item = f64> {
        (0..4_000).map(move |n| {
            let angle = 2.0 * std::f64::consts::PI * pitch * f64::from(n) / rate;
            let sum: f64 = (1..12)
                .map(|k| (angle * f64::from(k)).sin() / f64::from(k))
                .sum();
            sum * level / 1.8
        })
    }

    fn tone(rate: f64, hz: f64, level: f64) -> impl Iterator<Item = f64> {
        (0..4_000)
            .map(move |n| (2.0 * std::f64::consts::PI * hz * f64::from(n) / rate).sin() * level)
    }

    const LEVELS: [f64; 8] = [
        3.0, 20.0, 100.0, 400.0, 2_000.0, 8_000.0, 16_000.0, 30_000.0,
    ];

    #[test]
    fn linear_speech_is_found_at_every_level_and_in_either_step() {
        for level in LEVELS {
            for pitch in [90.0, 130.0, 220.0, 400.0] {
                let audio = linear(vowel(24_000.0, pitch, level));
                assert_eq!(judge(&audio), Judgement::Linear, "{pitch} Hz at {level}");
                assert_eq!(judge(&audio[1..]), Judgement::Linear, "begun in a sample");
            }
            if level < 10_000.0 {
                let hiss = linear(noise(ENOUGH).map(|sample| sample * level));
                assert_eq!(judge(&hiss), Judgement::Linear, "hiss at {level}");
            }
        }
    }

    #[test]
    fn mulaw_speech_is_left_alone_at_every_level() {
        for level in LEVELS {
            for pitch in [90.0, 130.0, 220.0, 400.0] {
                let audio = mulaw(vowel(8_000.0, pitch, level));
                assert_eq!(judge(&audio), Judgement::Mulaw, "{pitch} Hz at {level}");
            }
            let hiss = mulaw(noise(ENOUGH).map(|sample| sample * level));
            assert_eq!(judge(&hiss), Judgement::Mulaw, "hiss at {level}");
        }
    }

    #[test]
    fn mulaw_tones_are_left_alone_also_in_step_with_the_samples() {
        for hz in (50..=3_400).step_by(50) {
            for level in [100.0, 2_000.0, 8_000.0, 30_000.0] {
                let audio = mulaw(tone(8_000.0, f64::from(hz), level));
                assert_eq!(judge(&audio), Judgement::Mulaw, "{hz} Hz at {level}");
            }
        }
    }

    #[test]
    fn linear_silence_with_a_little_noise_is_found() {
        let dither = linear(noise(ENOUGH).map(|sample| (sample * 1.6).round()));
        assert_eq!(judge(&dither), Judgement::Linear);
        let above_zero = linear(noise(ENOUGH).map(|sample| 6.0 + sample * 3.0));
        assert_eq!(judge(&above_zero), Judgement::Linear);
    }

    #[test]
    fn silence_of_a_phone_line_is_mulaw() {
        assert_eq!(judge(&[0xFF; ENOUGH]), Judgement::Mulaw);
        assert_eq!(judge(&[0x7F; ENOUGH]), Judgement::Mulaw);
        let both: Vec<u8> = (0..ENOUGH)
            .map(|n| if n % 2 == 0 { 0xFF } else { 0x7F })
            .collect();
        assert_eq!(judge(&both), Judgement::Mulaw);
        assert_eq!(judge(&[0; ENOUGH]), Judgement::Unclear);
    }
}
