//! Voice activity by energy, on the sample clock: time is what was appended, never what the wall shows.

/// Length of the window over which loudness is measured. The shortest that still holds a pitch period of a low voice.
const WINDOW_MS: u64 = 10;

/// How the detector decides; from `turn_detection` and the server's own settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VadSettings {
    /// 0 to 1, as in the API; [`VadSettings::loudness`] says what it means here.
    pub(crate) threshold: f64,
    pub(crate) prefix_padding_ms: u64,
    pub(crate) silence_duration_ms: u64,
    /// Loudness must last this long to be speech.
    pub(crate) min_speech_ms: u64,
}

impl VadSettings {
    /// The RMS, in 16-bit units, from which a window counts as loud: 500 (-36 dBFS) at the default threshold of 0.5,
    /// 2,000 at 1, never under 40 so that line noise is not speech.
    fn loudness(&self) -> f64 {
        (2_000.0 * self.threshold * self.threshold).max(40.0)
    }
}

/// What the detector noticed; positions are milliseconds of appended audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VadEvent {
    /// Somebody speaks; the position includes the prefix padding.
    Started { at_ms: u64 },
    /// Nobody has spoken for the silence duration; the position includes it.
    Stopped { at_ms: u64 },
}

#[derive(Debug)]
enum State {
    Quiet { loud_ms: u64 },
    Speech { quiet_ms: u64 },
}

/// One session's detector.
#[derive(Debug)]
pub(crate) struct Detector {
    settings: VadSettings,
    state: State,
    samples_per_window: u64,
    energy: f64,
    samples: u64,
}

impl Detector {
    pub(crate) fn new(settings: VadSettings, sample_rate: u64) -> Self {
        Self {
            settings,
            state: State::Quiet { loud_ms: 0 },
            samples_per_window: sample_rate * WINDOW_MS / 1_000,
            energy: 0.0,
            samples: 0,
        }
    }

    pub(crate) fn is_speech(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }

    /// Forgets what was heard, as after a commit or a clear.
    pub(crate) fn reset(&mut self) {
        self.state = State::Quiet { loud_ms: 0 };
        self.energy = 0.0;
        self.samples = 0;
    }

    /// Hears up to 20 ms of audio that ends at `clock_ms`. More at once could hide an event.
    pub(crate) fn feed(
        &mut self,
        samples: impl Iterator<Item = i16>,
        clock_ms: u64,
    ) -> Option<VadEvent> {
        let mut event = None;
        for sample in samples {
            self.energy += f64::from(sample) * f64::from(sample);
            self.samples += 1;
            if self.samples == self.samples_per_window {
                let loudness = (self.energy / self.samples as f64).sqrt();
                self.energy = 0.0;
                self.samples = 0;
                event = self.window(loudness, clock_ms).or(event);
            }
        }
        event
    }

    fn window(&mut self, loudness: f64, clock_ms: u64) -> Option<VadEvent> {
        let loud = loudness >= self.settings.loudness();
        match &mut self.state {
            State::Quiet { loud_ms } if loud => {
                *loud_ms += WINDOW_MS;
                if *loud_ms < self.settings.min_speech_ms {
                    return None;
                }
                let began = clock_ms.saturating_sub(*loud_ms);
                self.state = State::Speech { quiet_ms: 0 };
                Some(VadEvent::Started {
                    at_ms: began.saturating_sub(self.settings.prefix_padding_ms),
                })
            }
            State::Quiet { loud_ms } => {
                // Half forgotten rather than wholly: one weak window does not hide a syllable.
                *loud_ms = loud_ms.saturating_sub(2 * WINDOW_MS);
                None
            }
            State::Speech { quiet_ms } if loud => {
                *quiet_ms = 0;
                None
            }
            State::Speech { quiet_ms } => {
                *quiet_ms += WINDOW_MS;
                if *quiet_ms < self.settings.silence_duration_ms {
                    return None;
                }
                self.state = State::Quiet { loud_ms: 0 };
                Some(VadEvent::Stopped { at_ms: clock_ms })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::sound::Format;
    use crate::speech;

    const SETTINGS: VadSettings = VadSettings {
        threshold: 0.5,
        prefix_padding_ms: 300,
        silence_duration_ms: 500,
        min_speech_ms: 60,
    };

    fn hear(settings: VadSettings, format: Format, audio: &[u8]) -> Vec<VadEvent> {
        let rate = match format {
            Format::Pcm => 24_000,
            _ => 8_000,
        };
        let mut detector = Detector::new(settings, rate);
        let mut events = Vec::new();
        let mut clock = 0;
        for frame in audio.chunks(format.bytes(20) as usize) {
            clock += 20;
            events.extend(detector.feed(format.samples(frame), clock));
        }
        events
    }

    fn with_silence(before_ms: usize, clip: &[u8], after_ms: usize) -> Vec<u8> {
        let mut audio = vec![0xFF; before_ms * 8];
        audio.extend_from_slice(clip);
        audio.resize(audio.len() + after_ms * 8, 0xFF);
        audio
    }

    #[test]
    fn every_sentence_is_one_turn_in_either_format() {
        for clip in speech::caller_clips() {
            let audio = with_silence(1_000, clip.mulaw(), 1_000);
            for format in [Format::Pcmu, Format::Pcm] {
                let events = hear(SETTINGS, format, &format.encode(&audio.clone().into()));
                let &[
                    VadEvent::Started { at_ms: from },
                    VadEvent::Stopped { at_ms: to },
                ] = &events[..]
                else {
                    panic!("{} in {format:?}: {events:?}", clip.name);
                };
                assert!((700..1_000).contains(&from), "{}: {from}", clip.name);
                let end = 1_000 + clip.duration_ms() + 500;
                assert!((end - 300..=end).contains(&to), "{}: {to}", clip.name);
            }
        }
    }

    #[test]
    fn silence_hiss_and_clicks_are_not_speech() {
        let mut audio = vec![0xFF; 8_000];
        for (n, byte) in audio.iter_mut().enumerate() {
            *byte = call_protocol::audio::encode_sample(if n % 2 == 0 { 120 } else { -120 });
        }
        audio[4_000..4_160].fill(0x00);
        assert_eq!(hear(SETTINGS, Format::Pcmu, &audio), []);
    }

    #[test]
    fn without_silence_speech_never_ends() {
        let audio = with_silence(100, speech::caller("hello").unwrap().mulaw(), 400);
        let events = hear(SETTINGS, Format::Pcmu, &audio);
        assert!(
            matches!(events[..], [VadEvent::Started { .. }]),
            "{events:?}"
        );
    }

    #[test]
    fn a_higher_threshold_does_not_hear_a_quiet_voice() {
        let quiet: Vec<u8> = speech::caller("yes")
            .unwrap()
            .mulaw()
            .iter()
            .map(|&byte| {
                call_protocol::audio::encode_sample(call_protocol::audio::decode_sample(byte) / 4)
            })
            .collect();
        let audio = with_silence(200, &quiet, 1_000);
        assert!(!hear(SETTINGS, Format::Pcmu, &audio).is_empty());
        let deaf = VadSettings {
            threshold: 1.0,
            ..SETTINGS
        };
        assert_eq!(hear(deaf, Format::Pcmu, &audio), []);
    }
}
