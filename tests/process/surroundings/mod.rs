//! The real process in surroundings that fail it: a disk that is full (F15), a store that does not answer (F16, D4), clocks
//! that jump (F17), no more files (F18).
//!
//! What the machine does not let a test arrange is not run there, and says so.

mod book;
mod clocks;
mod disk;
mod files;
mod store;

use switchboard_kit::twilio::{CallEnd, CallOutcome, Scripted, Step};
use tokio::task::JoinHandle;

use test_support::child::Serving;
use test_support::{line_to, listen, say};

/// A caller who asks and is answered so many times, with this pause before each question.
fn talks(serving: &Serving, questions: usize, pause_ms: u64) -> JoinHandle<CallOutcome> {
    let line = line_to(serving.public);
    let mut steps = vec![listen()];
    for _ in 0..questions {
        steps.extend([Step::Wait { ms: pause_ms }, say("yes"), listen()]);
    }
    steps.push(Step::HangUp);
    tokio::spawn(async move { line.call(Scripted::new(steps, 90_000)).await })
}

/// Every question was answered, on one media socket.
fn was_undisturbed(outcome: &CallOutcome, questions: usize) {
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.documents
    );
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1);
    let spoken = &outcome.streams[0].agent_speech;
    assert_eq!(spoken.len(), questions + 1, "{spoken:?}");
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}
