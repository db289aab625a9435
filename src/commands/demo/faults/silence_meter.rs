//! What the caller heard, to the millisecond: the agent, the filler, or nothing.
//!
//! Read from the emulated Twilio's playback, not from loudness: a pause between two words of the agent is no silence of
//! the line.

use call_protocol::audio::tone;
use switchboard_kit::twilio::{CallOutcome, PlaybackStep, StreamOutcome};

/// Bytes of the filler that tell it from anything else: 200 ms.
const FILLER_BEGINS: usize = 1_600;

/// Bytes of µ-law in a millisecond.
const BYTES_A_MS: u64 = 8;

/// The playback log has milliseconds: two pieces that far apart are one.
const ROUNDING_MS: u64 = 1;

/// A stretch of the call, in milliseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from_ms: u64,
    to_ms: u64,
}

/// What one wait was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// The longest silence, in milliseconds.
    pub(super) silence_ms: u64,
    /// The longest time without the agent, filler or not, in milliseconds.
    pub(super) without_agent_ms: u64,
    /// Filler heard, in milliseconds.
    pub(super) filler_ms: u64,
}

/// The sounds of a call, and the words of its caller.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    agent: Vec<Stretch>,
    filler: Vec<Stretch>,
    caller: Vec<Stretch>,
}

impl Sounds {
    /// Those of a call that was recorded.
    pub(super) fn of(outcome: &CallOutcome) -> Self {
        let mut sounds = Self::default();
        let mut tone = bytes::BytesMut::new();
        tone::tone().decode_into(&mut tone);
        for stream in &outcome.streams {
            let played = played(stream);
            let filler = common(&played, &find_filler(stream, &tone));
            sounds.agent.extend(without(&played, &filler));
            sounds.filler.extend(filler);
            let words = stream.caller_speech.iter().map(|span| Stretch {
                from_ms: stream.started_ms + span.from_ms,
                to_ms: stream.started_ms + span.to_ms,
            });
            sounds.caller.extend(words);
        }
        sounds
    }

    /// When the caller came to the end of their last word before that moment.
    pub(super) fn last_word_before(&self, moment_ms: u64) -> Option<u64> {
        let ends = self.caller.iter().map(|words| words.to_ms);
        ends.filter(|end| *end <= moment_ms).max()
    }

    /// What the caller heard from one moment, when the agent should speak, to the last of the agent's words before
    /// another; `None` if there was none.
    pub(super) fn between(&self, from_ms: u64, until_ms: u64) -> Option<Wait> {
        let agent = within(&self.agent, from_ms, until_ms);
        let end_ms = agent.last()?.to_ms;
        let filler = within(&self.filler, from_ms, end_ms);
        let mut all = agent.clone();
        all.extend(&filler);
        all.sort_by_key(|stretch| stretch.from_ms);
        Some(Wait {
            silence_ms: longest_gap(from_ms, &all),
            without_agent_ms: longest_gap(from_ms, &agent),
            filler_ms: filler.iter().map(|part| part.to_ms - part.from_ms).sum(),
        })
    }
}

/// When something was played on a stream, in the call's time.
fn played(stream: &StreamOutcome) -> Vec<Stretch> {
    let mut played: Vec<Stretch> = Vec::new();
    for entry in &stream.playback {
        match &entry.what {
            PlaybackStep::Media {
                bytes, plays_at_ms, ..
            } => {
                let from_ms = *plays_at_ms;
                let to_ms = from_ms + *bytes as u64 / BYTES_A_MS;
                match played.last_mut() {
                    Some(last) if from_ms <= last.to_ms + ROUNDING_MS => last.to_ms = to_ms,
                    _ => played.push(Stretch { from_ms, to_ms }),
                }
            }
            PlaybackStep::Cleared { .. } => cut(&mut played, entry.at_ms),
            PlaybackStep::MarkReceived { .. } | PlaybackStep::MarkEchoed { .. } => {}
        }
    }
    // What was still queued at the end was not heard.
    cut(&mut played, stream.duration_ms);
    for stretch in &mut played {
        stretch.from_ms += stream.started_ms;
        stretch.to_ms += stream.started_ms;
    }
    played
}

fn cut(played: &mut Vec<Stretch>, at_ms: u64) {
    played.retain(|stretch| stretch.from_ms < at_ms);
    if let Some(last) = played.last_mut() {
        last.to_ms = last.to_ms.min(at_ms);
    }
}

/// Where the filler stands in what was heard on a stream, in the call's time.
fn find_filler(stream: &StreamOutcome, tone: &[u8]) -> Vec<Stretch> {
    let begins = &tone[..tone.len().min(FILLER_BEGINS)];
    let ms = |byte: usize| stream.started_ms + byte as u64 / BYTES_A_MS;
    let mut found = Vec::new();
    let mut at = 0;
    let next = |at: usize| {
        let mut windows = stream.heard[at..].windows(begins.len());
        windows.position(|window| window == begins)
    };
    while let Some(offset) = next(at) {
        let from = at + offset;
        let same = stream.heard[from..].iter().zip(tone.iter().cycle());
        let length = same.take_while(|(heard, filler)| heard == filler).count();
        found.push(Stretch {
            from_ms: ms(from),
            to_ms: ms(from + length),
        });
        at = from + length;
    }
    found
}

/// The parts of some stretches that lie in others; both in order.
fn common(these: &[Stretch], others: &[Stretch]) -> Vec<Stretch> {
    let mut common = Vec::new();
    for this in these {
        common.extend(within(others, this.from_ms, this.to_ms));
    }
    common
}

/// The parts of some stretches that lie in no other; both in order.
fn without(these: &[Stretch], others: &[Stretch]) -> Vec<Stretch> {
    let mut rest = Vec::new();
    for this in these {
        let mut from_ms = this.from_ms;
        for other in within(others, this.from_ms, this.to_ms) {
            if other.from_ms > from_ms {
                rest.push(Stretch {
                    from_ms,
                    to_ms: other.from_ms,
                });
            }
            from_ms = other.to_ms;
        }
        if this.to_ms > from_ms {
            rest.push(Stretch {
                from_ms,
                to_ms: this.to_ms,
            });
        }
    }
    rest
}

/// The parts of some stretches between two moments.
fn within(stretches: &[Stretch], from_ms: u64, to_ms: u64) -> Vec<Stretch> {
    let clipped = stretches.iter().map(|stretch| Stretch {
        from_ms: stretch.from_ms.max(from_ms),
        to_ms: stretch.to_ms.min(to_ms),
    });
    clipped
        .filter(|stretch| stretch.from_ms < stretch.to_ms)
        .collect()
}

/// The longest time between two of them, or before the first.
fn longest_gap(from_ms: u64, stretches: &[Stretch]) -> u64 {
    let mut heard_until = from_ms;
    let mut longest = 0;
    for stretch in stretches {
        longest = longest.max(stretch.from_ms.saturating_sub(heard_until));
        heard_until = heard_until.max(stretch.to_ms);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(of: &[(u64, u64)]) -> Vec<Stretch> {
        let one = |&(from_ms, to_ms): &(u64, u64)| Stretch { from_ms, to_ms };
        of.iter().map(one).collect()
    }

    #[test]
    fn filler_is_neither_silence_nor_the_agent() {
        let sounds = Sounds {
            agent: stretches(&[(0, 1_000), (4_000, 5_000)]),
            filler: stretches(&[(3_000, 3_900)]),
            caller: stretches(&[]),
        };
        let wait = sounds.between(500, 9_000);
        let expected = Wait {
            silence_ms: 2_000,
            without_agent_ms: 3_000,
            filler_ms: 900,
        };
        assert_eq!(wait, Some(expected));
    }

    #[test]
    fn an_answer_that_goes_on_has_no_silence_and_one_that_never_comes_no_figure() {
        let sounds = Sounds {
            agent: stretches(&[(0, 1_000)]),
            filler: stretches(&[(2_000, 3_000)]),
            caller: stretches(&[(100, 300), (1_200, 1_500)]),
        };
        let going_on = sounds.between(500, 9_000).unwrap();
        assert_eq!((going_on.silence_ms, going_on.without_agent_ms), (0, 0));
        assert_eq!(sounds.between(1_000, 9_000), None);
        assert_eq!(sounds.last_word_before(1_499), Some(300));
    }

    #[test]
    fn the_wait_before_the_first_word_counts() {
        let sounds = Sounds {
            agent: stretches(&[(1_800, 2_500)]),
            ..Sounds::default()
        };
        assert_eq!(sounds.between(1_000, 9_000).unwrap().silence_ms, 800);
    }

    #[test]
    fn what_is_cleared_was_not_played() {
        let mut played = stretches(&[(0, 400), (500, 900), (1_000, 1_400)]);
        cut(&mut played, 600);
        assert_eq!(played, stretches(&[(0, 400), (500, 600)]));
    }

    #[test]
    fn a_part_can_be_taken_out_of_the_middle() {
        let played = stretches(&[(0, 1_000), (2_000, 3_000)]);
        let filler = common(&played, &stretches(&[(400, 600), (900, 2_100)]));
        assert_eq!(
            filler,
            stretches(&[(400, 600), (900, 1_000), (2_000, 2_100)])
        );
        assert_eq!(
            without(&played, &filler),
            stretches(&[(0, 400), (600, 900), (2_100, 3_000)])
        );
    }
}
