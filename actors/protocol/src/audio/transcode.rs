//! 24 kHz linear audio to 8 kHz µ-law.

use super::payload::Payload;
use crate::audio::encode_sample;

/// Taps of the low-pass; an odd number, so that its delay is a whole sample.
const TAPS: usize = 47;

/// 24 kHz linear audio to 8 kHz µ-law. Keeps its filter between stretches: started anew each time, it would click.
#[derive(Debug)]
pub(super) struct Transcoder {
    history: [f32; TAPS],
    /// Samples until the next one is put out.
    phase: usize,
    /// The first byte of a sample whose second has not come.
    half: Option<u8>,
}

impl Default for Transcoder {
    fn default() -> Self {
        Self {
            history: [0.0; TAPS],
            phase: 0,
            half: None,
        }
    }
}

impl Transcoder {
    /// A transcoder for audio that begins with the second half of a sample, or with a whole one.
    pub(super) fn begun(in_a_sample: bool) -> Self {
        Self {
            half: in_a_sample.then_some(0),
            ..Self::default()
        }
    }

    /// Forgets the stretch before: what comes next has nothing to do with it.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes linear audio; gives µ-law, if a whole sample of it is complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Payload> {
        let mut mulaw = Vec::with_capacity(bytes.len() / 6 + 1);
        for &byte in bytes {
            let Some(low) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            self.sample(i16::from_le_bytes([low, byte]), &mut mulaw);
        }
        (!mulaw.is_empty()).then(|| Payload::from_audio(&mulaw))
    }

    fn sample(&mut self, sample: i16, out: &mut Vec<u8>) {
        self.history.rotate_left(1);
        self.history[TAPS - 1] = f32::from(sample);
        if self.phase > 0 {
            self.phase -= 1;
            return;
        }
        self.phase = 2;
        let filtered: f32 = self
            .history
            .iter()
            .zip(low_pass())
            .map(|(sample, tap)| sample * tap)
            .sum();
        // Float to integer saturates.
        #[allow(clippy::cast_possible_truncation)]
        out.push(encode_sample(filtered.round() as i16));
    }
}

/// A windowed sinc that lets 3.4 kHz of 24 kHz pass: what a telephone carries.
fn low_pass() -> &'static [f32; TAPS] {
    static TABLE: std::sync::LazyLock<[f32; TAPS]> = std::sync::LazyLock::new(|| {
        let cutoff = 3_600.0 / 24_000.0;
        let middle = (TAPS - 1) as f64 / 2.0;
        let mut taps = [0.0f64; TAPS];
        for (place, tap) in taps.iter_mut().enumerate() {
            let x = place as f64 - middle;
            let angle = 2.0 * std::f64::consts::PI * cutoff * x;
            let sinc = if x == 0.0 {
                2.0 * cutoff
            } else {
                angle.sin() / (std::f64::consts::PI * x)
            };
            let turn = 2.0 * std::f64::consts::PI * place as f64 / (TAPS - 1) as f64;
            // Blackman: side lobes below -70 dB, so that nothing folds back audibly.
            *tap = sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos());
        }
        let gain: f64 = taps.iter().sum();
        // Halved precision is far above what µ-law keeps.
        #[allow(clippy::cast_possible_truncation)]
        taps.map(|tap| (tap / gain) as f32)
    });
    &TABLE
}
