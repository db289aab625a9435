//! The codec guard: µ-law was asked for; what if something else comes?
//!
//! Some servers declare 24 kHz linear audio although µ-law was asked for, and some declare µ-law and send linear audio
//! all the same. Played as it is, that is loud static for the whole call. The guard looks at what is declared and at
//! the bytes themselves, and puts a transcoder in between.

mod judge;

use bytes::BytesMut;

use super::AudioFormat;
use super::payload::Payload;
use crate::ids::PartKey;

use super::transcode::Transcoder;
use judge::{ENOUGH, Judgement, judge};

/// Stretches looked at after the first one that looked right: a session may begin with silence, which tells little.
const PROBATION: u8 = 8;

/// What is known about a session's audio.
#[derive(Debug, Default)]
pub struct Guard {
    state: State,
    /// The part whose audio came last.
    part: Option<PartKey>,
    /// Whether what was passed of it so far ended in the middle of a sample, if it was linear.
    odd: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing decided.
    #[default]
    Open,
    /// Nothing decided; what came of the part waits here.
    Waiting(BytesMut),
    /// It looks like what was asked for; so many more stretches are looked at.
    Probation(u8),
    /// It is what was asked for.
    Trusted,
    /// It is 24 kHz linear audio.
    Linear(Box<Transcoder>),
}

impl Guard {
    /// What the server says its audio will be.
    pub fn declared(&mut self, format: AudioFormat) {
        if format == AudioFormat::Pcm24k && !self.is_transcoding() {
            self.state = State::Linear(Box::default());
        }
    }

    /// Whether audio is being transcoded.
    #[must_use]
    pub const fn is_transcoding(&self) -> bool {
        matches!(self.state, State::Linear(_))
    }

    /// Takes a stretch of the model's audio; gives µ-law, unless it has to wait for more.
    pub fn pass(&mut self, part: &PartKey, payload: Payload) -> Option<Payload> {
        if matches!(self.state, State::Trusted) {
            return Some(payload);
        }
        if self.part.as_ref() != Some(part) {
            self.begin(part);
        }
        let length = payload.audio_bytes();
        if matches!(self.state, State::Probation(_)) && length < ENOUGH {
            // Too little to look at, so it stays closed: some servers send nothing longer.
            self.odd ^= !length.is_multiple_of(2);
            return Some(payload);
        }
        let mut bytes = match &mut self.state {
            State::Waiting(bytes) => std::mem::take(bytes),
            State::Open | State::Probation(_) | State::Trusted | State::Linear(_) => {
                BytesMut::new()
            }
        };
        payload.decode_into(&mut bytes);
        match &mut self.state {
            State::Linear(transcoder) => return transcoder.take(&bytes),
            State::Probation(left) => {
                *left -= 1;
                if *left == 0 {
                    self.state = State::Trusted;
                }
            }
            State::Open | State::Waiting(_) | State::Trusted if bytes.len() < ENOUGH => {
                self.state = State::Waiting(bytes);
                return None;
            }
            State::Open | State::Waiting(_) | State::Trusted => {
                self.state = State::Probation(PROBATION);
            }
        }
        self.judged(&bytes)
    }

    /// The part has no more audio: what waited is played, judged by what there is.
    pub fn finish(&mut self, part: &PartKey) -> Option<Payload> {
        let State::Waiting(bytes) = &mut self.state else {
            return None;
        };
        if self.part.as_ref() != Some(part) {
            return None;
        }
        let bytes = std::mem::take(bytes);
        // Too little to trust what comes after it.
        self.state = State::Open;
        self.judged(&bytes)
    }

    /// The part of which something waits, if there is one.
    #[must_use]
    pub const fn waiting_part(&self) -> Option<&PartKey> {
        match self.state {
            State::Waiting(_) => self.part.as_ref(),
            State::Open | State::Probation(_) | State::Trusted | State::Linear(_) => None,
        }
    }

    /// Another part begins: nothing of the one before, which may have been cut anywhere, belongs to it.
    fn begin(&mut self, part: &PartKey) {
        self.part = Some(part.clone());
        self.odd = false;
        match &mut self.state {
            State::Waiting(_) => self.state = State::Open,
            State::Linear(transcoder) => transcoder.restart(),
            State::Open | State::Probation(_) | State::Trusted => {}
        }
    }

    fn judged(&mut self, bytes: &[u8]) -> Option<Payload> {
        let was_odd = self.odd;
        self.odd ^= !bytes.len().is_multiple_of(2);
        match judge(bytes) {
            Judgement::Mulaw => Some(Payload::from_audio(bytes)),
            Judgement::Linear => {
                let mut transcoder = Box::new(Transcoder::begun(was_odd));
                let audio = transcoder.take(bytes);
                self.state = State::Linear(transcoder);
                audio
            }
            Judgement::Unclear => {
                self.state = State::Open;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{decode_sample, encode_sample};
    use crate::ids::ModelId;

    fn part(item: &str) -> PartKey {
        PartKey {
            response: ModelId::new("resp_1"),
            item: ModelId::new(item),
            part: 0,
        }
    }

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
            if let Some(payload) = guard.pass(&part("item_1"), Payload::from_audio(piece)) {
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
        for tone in [300.0, 1_000.0, 2_000.0, 2_700.0] {
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
        let waits = guard.pass(&part("item_1"), Payload::from_audio(&audio));
        assert_eq!(waits, None);
        assert_eq!(guard.finish(&part("item_2")), None);
        let rest = guard.finish(&part("item_1"));
        assert_eq!(rest, Some(Payload::from_audio(&audio)));
    }

    #[test]
    fn what_waited_of_a_part_that_was_cut_is_not_played_in_the_next() {
        let mut guard = Guard::default();
        guard.pass(&part("item_1"), Payload::from_audio(&[7; 160]));
        guard.pass(&part("item_2"), Payload::from_audio(&[9; 160]));
        assert_eq!(guard.waiting_part(), Some(&part("item_2")));
        let rest = guard.finish(&part("item_2"));
        assert_eq!(rest, Some(Payload::from_audio(&[9; 160])));
    }

    #[test]
    fn a_part_cut_inside_a_sample_does_not_turn_the_next_into_noise() {
        let tone = linear_tone(500.0, 100);
        let mut guard = Guard::default();
        guard.declared(AudioFormat::Pcm24k);
        guard.pass(&part("item_0"), Payload::from_audio(&tone[..333]));
        let after_a_cut = through(&mut guard, &tone, 960);
        let mut fresh = Guard::default();
        fresh.declared(AudioFormat::Pcm24k);
        assert_eq!(after_a_cut, through(&mut fresh, &tone, 960));
    }

    #[test]
    fn linear_silence_at_the_start_is_not_played_as_a_bang() {
        let mut guard = Guard::default();
        let mut audio = vec![0; 960];
        audio.extend(linear_tone(400.0, 200));
        // An odd length: what is skipped may end in the middle of a sample.
        let out = through(&mut guard, &audio, 481);
        assert!(guard.is_transcoding());
        assert!(out.len() >= 1_400);
        let heard = level(&out[300..]);
        assert!(
            (heard / level(&mulaw_tone(400.0, 200)) - 1.0).abs() < 0.1,
            "{heard}"
        );
    }

    #[test]
    fn quiet_linear_audio_is_not_taken_for_mulaw() {
        let mut guard = Guard::default();
        let mut audio: Vec<u8> = (0..2_400i16)
            .flat_map(|n| ((n * 7 % 17) - 8).to_le_bytes())
            .collect();
        audio.extend(linear_tone(400.0, 200));
        let out = through(&mut guard, &audio, 960);
        assert!(guard.is_transcoding());
        assert!(level(&out[..80]) < 100.0, "a bang");
        assert_eq!(out.len(), audio.len() / 6);
    }

    #[test]
    fn linear_audio_that_begins_like_the_silence_of_a_phone_line_is_found_out_later() {
        let mut guard = Guard::default();
        let mut audio = vec![0xFF; 1_923];
        audio.push(0xFF);
        audio.extend(linear_tone(400.0, 300));
        let out = through(&mut guard, &audio, 961);
        assert!(guard.is_transcoding());
        let heard = level(&out[out.len() - 1_000..]);
        assert!(
            (heard / level(&mulaw_tone(400.0, 200)) - 1.0).abs() < 0.1,
            "{heard}"
        );
    }
}
