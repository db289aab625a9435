//! The codec guard: µ-law was asked for; what if something else comes?
//!
//! Some servers declare 24 kHz linear audio although µ-law was asked for, and some declare µ-law and send linear audio
//! all the same. Played as it is, that is loud static for the whole call. The guard looks at what is declared and at
//! the bytes themselves, and puts a transcoder in between.

use bytes::BytesMut;

use crate::audio::encode_sample;
use crate::call::event::AudioFormat;
use crate::payload::Payload;

/// Bytes that must have been seen before the guard decides: 20 ms of µ-law.
const ENOUGH: usize = 160;

/// How much more often one byte of each pair must look like the high byte of a sample than the other does.
const ASYMMETRY: usize = 35;

/// What is known about a session's audio.
#[derive(Debug, Default)]
pub struct Guard {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing decided; bytes seen so far wait here.
    #[default]
    Open,
    Waiting(BytesMut),
    /// It is what was asked for.
    Trusted,
    /// It is 24 kHz linear audio.
    Linear(Box<Transcoder>),
}

/// What the guard makes of a stretch of audio.
#[derive(Debug)]
pub enum Passed {
    /// Play this.
    Audio(Payload),
    /// Nothing to play yet.
    Nothing,
}

impl Guard {
    /// What the server says its audio will be.
    pub fn declared(&mut self, format: AudioFormat) {
        match (format, &self.state) {
            (AudioFormat::Pcm24k, State::Open | State::Waiting(_) | State::Trusted) => {
                self.state = State::Linear(Box::default());
            }
            (AudioFormat::Pcm24k, State::Linear(_))
            | (AudioFormat::Mulaw | AudioFormat::Other, _) => {}
        }
    }

    /// Whether audio is being transcoded.
    #[must_use]
    pub const fn is_transcoding(&self) -> bool {
        matches!(self.state, State::Linear(_))
    }

    /// Takes a stretch of the model's audio; gives µ-law.
    pub fn pass(&mut self, payload: Payload) -> Passed {
        match &mut self.state {
            State::Trusted => Passed::Audio(payload),
            State::Linear(transcoder) => transcoder.take(&payload),
            State::Open if payload.audio_bytes() >= ENOUGH => {
                let mut bytes = BytesMut::new();
                payload.decode_into(&mut bytes);
                self.decide(payload, bytes)
            }
            State::Open => {
                let mut bytes = BytesMut::new();
                payload.decode_into(&mut bytes);
                self.state = State::Waiting(bytes);
                Passed::Nothing
            }
            State::Waiting(bytes) => {
                payload.decode_into(bytes);
                if bytes.len() < ENOUGH {
                    return Passed::Nothing;
                }
                let bytes = std::mem::take(bytes);
                self.decide(Payload::from_audio(&bytes), bytes)
            }
        }
    }

    /// The part is over: what waited is played, too little to be judged or not.
    pub fn finish(&mut self) -> Passed {
        match &mut self.state {
            State::Waiting(bytes) => {
                let bytes = std::mem::take(bytes);
                self.state = State::Open;
                if bytes.is_empty() {
                    Passed::Nothing
                } else {
                    Passed::Audio(Payload::from_audio(&bytes))
                }
            }
            State::Open | State::Trusted | State::Linear(_) => Passed::Nothing,
        }
    }

    fn decide(&mut self, payload: Payload, bytes: BytesMut) -> Passed {
        match judge(&bytes) {
            Judgement::Mulaw => {
                self.state = State::Trusted;
                Passed::Audio(payload)
            }
            Judgement::Linear => {
                let mut transcoder = Box::<Transcoder>::default();
                let passed = transcoder.take(&payload);
                self.state = State::Linear(transcoder);
                passed
            }
            // Zero is full scale in µ-law and silence in linear audio: nobody misses it.
            Judgement::Unclear => {
                self.state = State::Open;
                Passed::Nothing
            }
        }
    }
}

enum Judgement {
    Mulaw,
    Linear,
    Unclear,
}

/// In linear speech every second byte is the high half of a small sample, near 0x00 or 0xFF, and the others look
/// random. In µ-law both kinds of place look the same.
fn judge(bytes: &[u8]) -> Judgement {
    if bytes.iter().all(|byte| *byte == 0) {
        return Judgement::Unclear;
    }
    let looks_high = |byte: &&u8| **byte <= 0x0F || **byte >= 0xF0;
    let even = bytes.iter().step_by(2).filter(looks_high).count();
    let odd = bytes.iter().skip(1).step_by(2).filter(looks_high).count();
    let pairs = (bytes.len() / 2).max(1);
    // A stretch may begin in the middle of a sample.
    if even.abs_diff(odd) * 100 / pairs >= ASYMMETRY {
        Judgement::Linear
    } else {
        Judgement::Mulaw
    }
}

/// Taps of the low-pass; an odd number, so that its delay is a whole sample.
const TAPS: usize = 47;

/// 24 kHz linear audio to 8 kHz µ-law. Keeps its filter between stretches: started anew each time, it would click.
#[derive(Debug)]
pub struct Transcoder {
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
    fn take(&mut self, payload: &Payload) -> Passed {
        let mut bytes = BytesMut::new();
        payload.decode_into(&mut bytes);
        let mut mulaw = Vec::with_capacity(bytes.len() / 6 + 1);
        for byte in bytes {
            let Some(low) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            self.sample(i16::from_le_bytes([low, byte]), &mut mulaw);
        }
        if mulaw.is_empty() {
            Passed::Nothing
        } else {
            Passed::Audio(Payload::from_audio(&mulaw))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::decode_sample;

    /// A tone of 24 kHz linear audio, `ms` long.
    fn linear_tone(hz: f64, ms: usize) -> Vec<u8> {
        (0..24 * ms)
            .flat_map(|n| {
                let angle = 2.0 * std::f64::consts::PI * hz * n as f64 / 24_000.0;
                ((angle.sin() * 8_000.0) as i16).to_le_bytes()
            })
            .collect()
    }

    fn mulaw_tone(hz: f64, ms: usize) -> Vec<u8> {
        (0..8 * ms)
            .map(|n| {
                let angle = 2.0 * std::f64::consts::PI * hz * n as f64 / 8_000.0;
                encode_sample((angle.sin() * 8_000.0) as i16)
            })
            .collect()
    }

    fn through(guard: &mut Guard, bytes: &[u8], stretch: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        for piece in bytes.chunks(stretch) {
            if let Passed::Audio(payload) = guard.pass(Payload::from_audio(piece)) {
                payload.decode_into(&mut out);
            }
        }
        out.to_vec()
    }

    fn level(mulaw: &[u8]) -> f64 {
        let sum: f64 = mulaw
            .iter()
            .map(|byte| f64::from(decode_sample(*byte)).powi(2))
            .sum();
        (sum / mulaw.len() as f64).sqrt()
    }

    #[test]
    fn mulaw_passes_untouched() {
        for tone in [300.0, 1_000.0, 2_700.0] {
            let mut guard = Guard::default();
            let audio = mulaw_tone(tone, 200);
            assert_eq!(through(&mut guard, &audio, 160), audio, "{tone} Hz");
            assert!(!guard.is_transcoding());
        }
    }

    #[test]
    fn silence_and_noise_of_a_phone_line_are_not_mistaken() {
        let mut guard = Guard::default();
        assert_eq!(through(&mut guard, &[0xFF; 800], 160), [0xFF; 800]);
        let mut guard = Guard::default();
        let noise: Vec<u8> = (0..800u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        assert_eq!(through(&mut guard, &noise, 160), noise);
    }

    #[test]
    fn linear_audio_is_found_out_and_transcoded() {
        for tone in [300.0, 1_000.0, 2_700.0] {
            let mut guard = Guard::default();
            let out = through(&mut guard, &linear_tone(tone, 500), 1_001);
            assert!(guard.is_transcoding(), "{tone} Hz");
            assert!(out.len().abs_diff(4_000) <= 2, "{} bytes", out.len());
            let heard = level(&out[400..]);
            assert!(
                (heard / level(&mulaw_tone(tone, 500)) - 1.0).abs() < 0.1,
                "{tone} Hz at {heard}"
            );
        }
    }

    #[test]
    fn what_a_phone_cannot_carry_does_not_fold_back() {
        let mut guard = Guard::default();
        guard.declared(AudioFormat::Pcm24k);
        let out = through(&mut guard, &linear_tone(7_000.0, 500), 960);
        assert!(level(&out[400..]) < 60.0, "{}", level(&out[400..]));
    }

    #[test]
    fn the_filter_is_kept_between_stretches() {
        let tone = linear_tone(500.0, 300);
        let mut whole = Guard::default();
        whole.declared(AudioFormat::Pcm24k);
        let mut pieces = Guard::default();
        pieces.declared(AudioFormat::Pcm24k);
        assert_eq!(
            through(&mut whole, &tone, tone.len()),
            through(&mut pieces, &tone, 777)
        );
    }

    #[test]
    fn little_audio_waits_until_it_can_be_judged_or_is_all_there_is() {
        let mut guard = Guard::default();
        let audio = mulaw_tone(1_000.0, 10);
        assert!(matches!(
            guard.pass(Payload::from_audio(&audio)),
            Passed::Nothing
        ));
        let Passed::Audio(rest) = guard.finish() else {
            panic!("lost")
        };
        assert_eq!(rest.audio_bytes(), audio.len());
    }

    #[test]
    fn linear_silence_at_the_start_is_not_played_as_a_bang() {
        let mut guard = Guard::default();
        let mut audio = vec![0; 960];
        audio.extend(linear_tone(400.0, 200));
        let out = through(&mut guard, &audio, 480);
        assert!(guard.is_transcoding());
        assert!(out.len() >= 1_500);
    }
}
