//! The callers: each follows a list of steps made of its number and the seed.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use call_protocol::audio::FRAME_BYTES;
use fastrand::Rng;
use switchboard_kit::speech;
use switchboard_kit::twilio::{
    CallEnd, CallOutcome, Caller, CallerAction, Fault, Heard, Line, Scripted, Step,
};

/// Pauses of the filler are shorter: nobody takes them for the end of an answer.
const TURN_ENDS_MS: u64 = 1_000;

/// Longer than any call that goes on.
const PATIENCE_MS: u64 = 90_000;

const CLIPS: [&str; 5] = ["hello", "yes", "name", "thanks", "interrupt"];

/// A caller who may hang up at any time, and who remembers when their own line failed.
struct RandomCaller {
    steps: Scripted,
    leaves_at_ms: Option<u64>,
    deaf: Arc<Mutex<Vec<u64>>>,
    /// The run is over: whoever is still there leaves.
    leave: Arc<AtomicBool>,
}

impl Caller for RandomCaller {
    fn frame(
        &mut self,
        now_ms: u64,
        heard: &Heard<'_>,
        out: &mut [u8; FRAME_BYTES],
    ) -> CallerAction {
        let leaves = self.leaves_at_ms.is_some_and(|at| now_ms >= at);
        if leaves || self.leave.load(Ordering::Relaxed) {
            return CallerAction::HangUp;
        }
        let action = self.steps.frame(now_ms, heard, out);
        if let CallerAction::Fault(Fault::Stall | Fault::Vanish | Fault::StopReading(_)) = action {
            self.deaf.lock().unwrap().push(now_ms);
        }
        action
    }
}

/// A call that is over.
pub(crate) struct Over {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) outcome: CallOutcome,
    /// When the caller's own line failed so that nobody could be heard on it, in milliseconds of the call.
    pub(crate) deaf: Vec<u64>,
}

impl Over {
    /// Whether the caller gave up waiting for something that should have come.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.outcome.end, CallEnd::CallerGaveUp { .. }) && self.deaf.is_empty()
    }
}

fn say(clip: &str) -> Step {
    Step::Speak(Cow::Borrowed(speech::caller(clip).unwrap().mulaw()))
}

/// What goes wrong on the caller's own side.
fn line_fault(dice: &mut Rng) -> Fault {
    match dice.u8(0..9) {
        0 | 1 => Fault::DropSocket,
        2 => Fault::Vanish,
        3 => Fault::Stall,
        4 => Fault::StopReading(Duration::from_millis(dice.u64(500..3_000))),
        5 => Fault::LoseFrames(dice.u32(5..25)),
        6 => Fault::MalformedJson,
        7 => Fault::InvalidBase64,
        _ => Fault::SkipSequence(dice.u64(1..9)),
    }
}

fn steps(dice: &mut Rng) -> Vec<Step> {
    let mut steps = vec![Step::WaitForAgent {
        quiet_ms: TURN_ENDS_MS,
    }];
    let turns = dice.usize(2..6);
    let breaks_at = (dice.u8(0..5) == 0).then(|| dice.usize(0..turns));
    for turn in 0..turns {
        steps.push(say(CLIPS[dice.usize(0..CLIPS.len())]));
        if breaks_at == Some(turn) {
            steps.push(Step::Wait {
                ms: dice.u64(0..1_500),
            });
            steps.push(Step::Fault(line_fault(dice)));
        }
        steps.push(if dice.u8(0..4) == 0 {
            Step::WaitToInterruptOrAnswer {
                after_ms: dice.u64(300..1_200),
                quiet_ms: TURN_ENDS_MS,
            }
        } else {
            Step::WaitForAgent {
                quiet_ms: TURN_ENDS_MS,
            }
        });
    }
    steps.push(Step::HangUp);
    steps
}

/// One call of the run, to its end.
pub(crate) async fn call(mut line: Line, seed: u64, number: u64, leave: Arc<AtomicBool>) -> Over {
    let mut dice = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    line.from = format!("+1555{number:07}");
    let deaf = Arc::new(Mutex::new(Vec::new()));
    let caller = RandomCaller {
        steps: Scripted::new(steps(&mut dice), PATIENCE_MS),
        leaves_at_ms: (dice.u8(0..5) == 0).then(|| dice.u64(300..30_000)),
        deaf: deaf.clone(),
        leave,
    };
    let began = Instant::now();
    let outcome = line.call(caller).await;
    let deaf = deaf.lock().unwrap().clone();
    Over {
        number,
        began,
        outcome,
        deaf,
    }
}
