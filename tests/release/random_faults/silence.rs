//! I5: how long a caller to whom the agent owes a word hears nothing at all.
//!
//! Measured on what the emulated phone played, in frames of 20 ms, over the whole call: streams, verbs, and the time
//! between them. **The agent owes a word** from the moment the call begins, from the beginning of each further media
//! stream, from the moment a stream is broken off while the agent spoke, and from the end of the caller's utterance
//! (300 ms of sound at least, followed by 300 ms without); until a second of its voice has been heard since, or Twilio
//! says or dials something. An answer that breaks off after half a second is still owed. **Nothing at all** means no
//! frame above the threshold of speech: neither voice nor filler. While the caller speaks, and from the moment their
//! own line fails in a way that lets nobody be heard until its stream ends, nothing is owed. A line that
//! breaks off within a silence (a kill, a hand-over), or is still down when it begins, may add [`BREAK_MS`] to it each
//! time; and a process that is stopped (SIGSTOP), or a phone session that is made to do nothing, can play nothing, so what
//! that takes of a silence is not counted.

use std::ops::Range;

use call_protocol::audio::{FRAME_BYTES, FRAME_MS, decode_sample};
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{CallOutcome, StreamEnd, is_loud};

/// Voice that settles what is owed; every answer of the model here is longer.
const SETTLES_MS: u64 = 1_000;

/// A shorter sound of the caller is none that anybody has to answer.
const UTTERANCE_MS: u64 = 300;

/// Silence that ends an utterance.
const ENDS_MS: u64 = 300;

/// Loudness above which a frame is voice: the filler is 12 dB softer than the tones of this model.
const VOICE_RMS: i64 = 2_500;

/// What a caller hears in 20 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sound {
    #[default]
    Nothing,
    Filler,
    Voice,
    /// Twilio's voice, ringing, another person.
    Twilio,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    heard: Sound,
    caller_speaks: bool,
    /// A media stream begins, or breaks off.
    begins: bool,
    breaks: bool,
    /// The caller's line lets nobody be heard.
    deaf: bool,
    /// The process is stopped.
    stopped: bool,
}

/// The bar.
pub(crate) const BAR_MS: u64 = 5_000;

/// What each break of the line within one silence may add: the bar of a killed process, from its start to audio.
pub(crate) const BREAK_MS: u64 = 3_000;

/// A stretch in which a caller waited and heard nothing, in milliseconds of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// Streams that broke off meanwhile, or just before it so that none was there when it began.
    pub(crate) breaks: u64,
    /// Milliseconds in which the process was stopped.
    pub(crate) stopped_ms: u64,
}

/// The silences of a call that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silences {
    pub(crate) longest: Silence,
    /// One that broke the promise.
    pub(crate) too_long: Option<Silence>,
}

impl Silence {
    pub(crate) const fn ms(self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }

    const fn is_too_long(self) -> bool {
        self.ms() > BAR_MS + BREAK_MS * self.breaks + self.stopped_ms
    }
}

/// Such stretches of a call; `deaf` are the moments from which the caller's own line was of no use, `stopped` the times
/// in which the process was stopped.
pub(crate) fn of(outcome: &CallOutcome, deaf: &[u64], stopped: &[Range<u64>]) -> Silences {
    let mut frames = frames(outcome, deaf);
    for stop in stopped {
        let range = index(stop.start).min(frames.len())..index(stop.end);
        fill(&mut frames, range, |frame| frame.stopped = true);
    }
    silences_of(&frames)
}

fn index(ms: u64) -> usize {
    usize::try_from(ms / FRAME_MS).unwrap_or(usize::MAX)
}

fn frames(outcome: &CallOutcome, deaf: &[u64]) -> Vec<Frame> {
    // Twilio takes a moment to close what a caller has left.
    let left = outcome
        .streams
        .last()
        .filter(|last| last.end == StreamEnd::CallerHungUp);
    let over_ms = left.map_or(outcome.duration_ms, |last| {
        last.started_ms + last.duration_ms
    });
    let mut frames = vec![Frame::default(); index(over_ms) + 2];
    let last = frames.len() - 1;
    let at = |ms: u64| index(ms).min(last);
    for stream in &outcome.streams {
        let from = at(stream.started_ms);
        let to = at(stream.started_ms + stream.duration_ms);
        if stream.upgrade_ms.is_some() {
            frames[from].begins = true;
            frames[to].breaks |=
                !matches!(stream.end, StreamEnd::CallerHungUp | StreamEnd::Stopped);
        }
        for (frame, heard) in frames[from..]
            .iter_mut()
            .zip(stream.heard.chunks(FRAME_BYTES))
        {
            frame.heard = sound(heard);
        }
        for (frame, said) in frames[from..]
            .iter_mut()
            .zip(stream.said.chunks(FRAME_BYTES))
        {
            frame.caller_speaks = is_loud(said);
        }
        for ms in deaf {
            if (stream.started_ms..stream.started_ms + stream.duration_ms).contains(ms) {
                fill(&mut frames, at(*ms)..to + 1, |frame| frame.deaf = true);
            }
        }
    }
    for record in &outcome.verbs {
        if matches!(
            record.verb,
            Verb::Say { .. }
                | Verb::Play { .. }
                | Verb::Dial { .. }
                | Verb::Hangup
                | Verb::Reject { .. }
        ) {
            let range = at(record.at_ms)..at(record.at_ms + record.took_ms) + 1;
            fill(&mut frames, range, |frame| frame.heard = Sound::Twilio);
        }
    }
    frames
}

fn fill(frames: &mut [Frame], range: Range<usize>, change: impl Fn(&mut Frame)) {
    let to = range.end.min(frames.len());
    frames[range.start..to].iter_mut().for_each(change);
}

fn sound(frame: &[u8]) -> Sound {
    if !is_loud(frame) {
        return Sound::Nothing;
    }
    let energy: i64 = frame
        .iter()
        .map(|byte| i64::from(decode_sample(*byte)).pow(2))
        .sum();
    let is_voice = energy > VOICE_RMS * VOICE_RMS * frame.len() as i64;
    if is_voice {
        Sound::Voice
    } else {
        Sound::Filler
    }
}

/// Follows who owes whom a word.
#[derive(Default)]
struct Ledger {
    /// Since when the agent owes a word.
    owed: Option<u64>,
    /// Voice heard since then.
    voice_ms: u64,
    /// When anything was last heard.
    heard_ms: u64,
    /// When voice was last heard.
    spoken_ms: Option<u64>,
    /// The caller's sounds of this utterance, and when the last one ended.
    utterance: Option<(u64, u64)>,
    outages: Vec<Outage>,
    /// Every frame in which the process was stopped.
    stopped: Vec<u64>,
}

/// A stream broke off.
struct Outage {
    at_ms: u64,
    /// When the next stream began.
    over_ms: Option<u64>,
}

impl Outage {
    /// Whether a silence that began then has something of it.
    fn concerns(&self, since_ms: u64) -> bool {
        self.at_ms >= since_ms || self.over_ms.is_none_or(|over| over > since_ms)
    }
}

impl Ledger {
    fn owe(&mut self, since_ms: u64) {
        self.owed = Some(since_ms);
        self.voice_ms = 0;
    }

    fn frame(&mut self, at_ms: u64, frame: Frame) -> Option<Silence> {
        let ends_ms = at_ms + FRAME_MS;
        if frame.deaf {
            *self = Self {
                heard_ms: ends_ms,
                ..Self::default()
            };
            return None;
        }
        if frame.breaks {
            self.outages.push(Outage {
                at_ms,
                over_ms: None,
            });
        }
        if frame.begins
            && let Some(outage) = self.outages.last_mut()
        {
            outage.over_ms.get_or_insert(at_ms);
        }
        if frame.stopped {
            self.stopped.push(at_ms);
        }
        let was_speaking = self.spoken_ms.is_some_and(|spoken| at_ms < spoken + 400);
        if frame.begins || (frame.breaks && was_speaking) {
            let since = self.owed.unwrap_or(at_ms);
            self.owe(since);
        }
        match frame.heard {
            Sound::Nothing => {}
            Sound::Filler => self.heard_ms = ends_ms,
            Sound::Voice => {
                self.heard_ms = ends_ms;
                self.spoken_ms = Some(ends_ms);
                self.voice_ms += FRAME_MS;
                if self.voice_ms >= SETTLES_MS {
                    self.owed = None;
                }
            }
            Sound::Twilio => {
                self.heard_ms = ends_ms;
                self.owed = None;
            }
        }
        self.caller(at_ms, frame.caller_speaks);
        let speaks = self.utterance.is_some();
        let since = self.owed.filter(|_| !speaks)?.max(self.heard_ms);
        let stopped = self.stopped.iter().filter(|at| **at >= since).count() as u64;
        (ends_ms > since).then_some(Silence {
            from_ms: since,
            to_ms: ends_ms,
            breaks: self.outages.iter().filter(|it| it.concerns(since)).count() as u64,
            stopped_ms: stopped * FRAME_MS,
        })
    }

    fn caller(&mut self, at_ms: u64, speaks: bool) {
        let ends_ms = at_ms + FRAME_MS;
        match &mut self.utterance {
            Some((sounds_ms, ended)) if speaks => {
                *sounds_ms += FRAME_MS;
                *ended = ends_ms;
            }
            None if speaks => self.utterance = Some((FRAME_MS, ends_ms)),
            Some((sounds_ms, ended)) if ends_ms >= *ended + ENDS_MS => {
                let (sounds_ms, ended) = (*sounds_ms, *ended);
                self.utterance = None;
                if sounds_ms >= UTTERANCE_MS {
                    self.owe(ended);
                }
            }
            Some(_) | None => {}
        }
    }
}

fn silences_of(frames: &[Frame]) -> Silences {
    let mut ledger = Ledger::default();
    ledger.owe(0);
    let mut found = Silences::default();
    for (number, frame) in frames.iter().enumerate() {
        let silence = ledger.frame(number as u64 * FRAME_MS, *frame);
        let Some(silence) = silence else { continue };
        if silence.ms() > found.longest.ms() {
            found.longest = silence;
        }
        if silence.is_too_long() {
            found.too_long = Some(silence);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Frame = Frame {
        heard: Sound::Nothing,
        caller_speaks: false,
        begins: false,
        breaks: false,
        deaf: false,
        stopped: false,
    };
    const VOICE: Frame = Frame {
        heard: Sound::Voice,
        ..QUIET
    };
    const FILLER: Frame = Frame {
        heard: Sound::Filler,
        ..QUIET
    };
    const CALLER: Frame = Frame {
        caller_speaks: true,
        ..QUIET
    };

    fn found(parts: &[(u64, Frame)]) -> Silences {
        let mut frames = Vec::new();
        for (ms, frame) in parts {
            frames.extend(std::iter::repeat_n(*frame, index(*ms)));
        }
        silences_of(&frames)
    }

    fn call(parts: &[(u64, Frame)]) -> u64 {
        found(parts).longest.ms()
    }

    #[test]
    fn waiting_for_the_first_word_counts_and_waiting_for_the_caller_does_not() {
        assert_eq!(
            call(&[(3_000, QUIET), (2_000, VOICE), (60_000, QUIET)]),
            3_000
        );
        // The caller speaks and is not answered.
        let unanswered = [
            (2_000, VOICE),
            (1_000, QUIET),
            (1_000, CALLER),
            (7_000, QUIET),
        ];
        assert_eq!(call(&unanswered), 7_000);
        let cough = [
            (2_000, VOICE),
            (1_000, QUIET),
            (100, CALLER),
            (7_000, QUIET),
        ];
        assert_eq!(call(&cough), 0);
    }

    #[test]
    fn filler_is_no_silence_and_settles_nothing() {
        let filled = [
            (2_000, QUIET),
            (30_000, FILLER),
            (3_000, QUIET),
            (1_000, VOICE),
        ];
        assert_eq!(call(&filled), 3_000);
    }

    #[test]
    fn an_answer_that_breaks_off_is_still_owed() {
        let cut = [
            (2_000, VOICE),
            (1_000, CALLER),
            (300, QUIET),
            (500, VOICE),
            (9_000, QUIET),
        ];
        assert_eq!(call(&cut), 9_000);
        let whole = [
            (2_000, VOICE),
            (1_000, CALLER),
            (300, QUIET),
            (1_000, VOICE),
            (9_000, QUIET),
        ];
        assert_eq!(call(&whole), 300);
    }

    #[test]
    fn a_new_stream_owes_a_word_and_so_does_one_that_breaks_off_in_mid_word() {
        let begins = Frame {
            begins: true,
            ..QUIET
        };
        let breaks = Frame {
            breaks: true,
            ..QUIET
        };
        let resumed = [
            (2_000, VOICE),
            (5_000, QUIET),
            (20, begins),
            (1_980, QUIET),
            (1_000, VOICE),
        ];
        assert_eq!(call(&resumed), 2_000);
        let in_mid_word = [
            (2_000, VOICE),
            (20, breaks),
            (2_960, QUIET),
            (20, begins),
            (1_000, VOICE),
        ];
        assert_eq!(
            call(&in_mid_word),
            3_000,
            "the new stream's word is owed since the old one broke"
        );
    }

    #[test]
    fn a_line_that_breaks_while_a_caller_waits_may_take_three_seconds_longer() {
        let silence = |breaks: &[u64], ms: u64| {
            let mut frames = vec![QUIET; index(ms)];
            for at in breaks {
                frames[index(*at)].breaks = true;
            }
            silences_of(&frames).too_long.is_some()
        };
        assert!(silence(&[], 5_020) && !silence(&[], 5_000));
        assert!(!silence(&[1_000], 8_000) && silence(&[1_000], 8_020));
        assert!(!silence(&[1_000, 4_000], 11_000) && silence(&[1_000, 4_000], 11_020));
    }

    #[test]
    fn a_line_that_breaks_while_the_caller_speaks_counts_if_it_is_still_down_when_he_has_done() {
        let breaks = Frame {
            breaks: true,
            ..CALLER
        };
        let begins = |frame| Frame {
            begins: true,
            ..frame
        };
        let too_long = |down: &[(u64, Frame)]| {
            let parts = [&[(2_000, VOICE), (500, CALLER)], down].concat();
            found(&parts).too_long.is_some()
        };
        let still_down = |ms: u64| {
            too_long(&[
                (20, breaks),
                (20, CALLER),
                (1_000, QUIET),
                (20, begins(QUIET)),
                (ms - 1_020, QUIET),
            ])
        };
        assert!(!still_down(8_000) && still_down(8_020));
        let up_again = [
            (20, breaks),
            (20, begins(CALLER)),
            (20, CALLER),
            (5_020, QUIET),
        ];
        assert!(too_long(&up_again));
    }

    #[test]
    fn a_process_that_is_stopped_can_play_nothing() {
        let too_long = |before: u64, stopped: u64, after: u64| {
            let stop = Frame {
                stopped: true,
                ..QUIET
            };
            let parts = [(before, QUIET), (stopped, stop), (after, QUIET)];
            found(&parts).too_long.is_some()
        };
        assert!(!too_long(2_000, 2_500, 3_000) && too_long(2_000, 2_500, 3_020));
    }

    #[test]
    fn nothing_is_owed_on_a_dead_line() {
        let deaf = Frame {
            deaf: true,
            ..QUIET
        };
        assert_eq!(call(&[(2_000, VOICE), (1_000, CALLER), (9_000, deaf)]), 0);
    }
}
