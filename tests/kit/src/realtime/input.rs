//! The input audio buffer: the sample clock, what has not been committed, and the ear on it.

use bytes::Bytes;

use super::check::ApiError;
use super::config::{Config, TurnDetection};
use super::sound::Format;
use super::vad::{Detector, VadEvent};

/// The shortest audio that may be committed.
const MIN_COMMIT_MS: u64 = 100;

/// Audio is looked at in pieces of this length, so that events keep their place in a long append.
const SLICE_MS: u64 = 20;

/// One session's input audio buffer.
#[derive(Debug)]
pub(crate) struct InputBuffer {
    format: Format,
    pub(crate) detection: Option<TurnDetection>,
    detector: Option<Detector>,
    /// All audio appended, in 24ths of a millisecond: a whole number for every format.
    clock: u64,
    /// The same since the last commit or clear.
    uncommitted: u64,
    /// What would become an item: with VAD only the padding and the speech.
    audio: Vec<u8>,
    /// The item that `speech_started` has announced.
    pub(crate) announced_item: Option<String>,
}

impl InputBuffer {
    pub(crate) fn new(config: &Config, min_speech_ms: u64) -> Self {
        let mut buffer = Self {
            format: config.input_format(),
            detection: None,
            detector: None,
            clock: 0,
            uncommitted: 0,
            audio: Vec::new(),
            announced_item: None,
        };
        buffer.configure(config, min_speech_ms);
        buffer
    }

    /// Takes over an accepted configuration; what does not change keeps what it has heard.
    pub(crate) fn configure(&mut self, config: &Config, min_speech_ms: u64) {
        let format = config.input_format();
        let detection = config.turn_detection(min_speech_ms);
        let same_ear = detection.map(|now| now.vad) == self.detection.map(|then| then.vad);
        if !same_ear || format != self.format {
            let rate = match format {
                Format::Pcm => 24_000,
                Format::Pcmu | Format::Pcma => 8_000,
            };
            self.detector = detection.map(|detection| Detector::new(detection.vad, rate));
            self.announced_item = None;
        }
        if format != self.format {
            self.audio.clear();
            self.uncommitted = 0;
        }
        self.format = format;
        self.detection = detection;
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Milliseconds of audio appended in this session.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.clock / 24
    }

    pub(crate) fn is_speech(&self) -> bool {
        self.detector.as_ref().is_some_and(Detector::is_speech)
    }

    /// How many bytes to hand to [`InputBuffer::feed`] at once.
    pub(crate) fn slice_bytes(&self) -> usize {
        self.format.bytes(SLICE_MS) as usize
    }

    /// Takes in at most [`InputBuffer::slice_bytes`].
    pub(crate) fn feed(&mut self, slice: &[u8]) -> Option<VadEvent> {
        let ticks = match self.format {
            Format::Pcmu | Format::Pcma => slice.len() as u64 * 3,
            Format::Pcm => slice.len() as u64 / 2,
        };
        self.clock += ticks;
        self.uncommitted += ticks;
        self.audio.extend_from_slice(slice);
        let clock_ms = self.clock_ms();
        let detector = self.detector.as_mut()?;
        let event = detector.feed(self.format.samples(slice), clock_ms);
        if event.is_none() && !detector.is_speech() {
            self.forget_before_padding();
        }
        event
    }

    /// Out of speech only the padding and the onset can ever be needed.
    fn forget_before_padding(&mut self) {
        let Some(detection) = self.detection else {
            return;
        };
        let keep_ms = detection.vad.prefix_padding_ms + detection.vad.min_speech_ms;
        let keep = self.format.bytes(keep_ms) as usize;
        // Now and then rather than at every slice: moving bytes costs.
        if self.audio.len() > 2 * keep + self.slice_bytes() {
            self.audio.drain(..self.audio.len() - keep);
        }
    }

    /// The end of a turn that VAD found.
    pub(crate) fn take_turn(&mut self) -> Bytes {
        self.uncommitted = 0;
        std::mem::take(&mut self.audio).into()
    }

    /// `input_audio_buffer.commit`.
    pub(crate) fn commit(&mut self) -> Result<Bytes, ApiError> {
        if self.uncommitted < MIN_COMMIT_MS * 24 {
            let has = self.uncommitted as f64 / 24.0;
            return Err(ApiError::new(
                "input_audio_buffer_commit_empty",
                format!(
                    "Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms of audio, but buffer only has {has:.2}ms of audio."
                ),
            ));
        }
        if let Some(detector) = &mut self.detector {
            detector.reset();
        }
        Ok(self.take_turn())
    }

    /// `input_audio_buffer.clear`.
    pub(crate) fn clear(&mut self) {
        self.audio.clear();
        self.uncommitted = 0;
        self.announced_item = None;
        if let Some(detector) = &mut self.detector {
            detector.reset();
        }
    }
}
