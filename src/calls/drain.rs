//! Leaving: no new calls, the live ones end by themselves, and those that have not at the deadline go to another
//! process.

use std::time::{Duration, Instant};

use call_protocol::call::event::OperatorEvent;
use switchboard_actors::registry::messages::Count;

use super::Calls;

/// Handed-over calls have closed their sockets by then; with the time the listeners take to stop, a process is gone two
/// seconds after its deadline.
const CLOSING: Duration = Duration::from_millis(1_200);

/// Waits for the live calls to end, and hands over those that have not at the deadline. How many there are, the registry
/// knows: one that does not answer is no empty house, and the deadline is waited for.
pub(crate) async fn drained(calls: &Calls) {
    let deadline = Instant::now() + calls.drain_within;
    let is_busy = async || {
        let count = calls.table.ask(Count).await;
        count.is_none_or(|count| count.taken > 0)
    };
    while is_busy().await && Instant::now() < deadline {
        actix::clock::sleep(Duration::from_millis(50)).await;
    }
    hand_over(calls).await;
}

/// Writes every live call down and closes its media socket with 1001, so that Twilio asks who goes on with it. Calls are
/// told by the roll, which needs nobody's answer.
pub(crate) async fn hand_over(calls: &Calls) {
    let live_calls = &calls.table.live_calls;
    let told = live_calls.order(&OperatorEvent::HandOver);
    if told > 0 {
        log::warn!(target: "switchboard", calls = told; "handing over calls that are still live");
    }
    let deadline = Instant::now() + CLOSING;
    while live_calls.count() > 0 && Instant::now() < deadline {
        actix::clock::sleep(Duration::from_millis(10)).await;
    }
}
