//! The end of a call, as its carrier tells it: of one that lives here, and of one that nobody here has.

use std::sync::Arc;
use std::time::Duration;

use call_protocol::call::event::OperatorEvent;
use call_protocol::call::outcome::EndReason;
use call_protocol::checkpoint::{Checkpoint, Standing};
use call_protocol::phone::{CallSid, StreamSid};
use switchboard_actors::call::unix_now;
use switchboard_actors::messages::Order;
use switchboard_actors::registry::messages::Find;
use switchboard_actors::store::{Claim, Forgotten, insist};

use super::Calls;

/// Twilio tells the end of a call on two ways at once. Its owner, who may be another process, learns of it on the media
/// socket and has forgotten the call by then.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Twilio tells of a broken stream on a connection of its own, which may overtake the end of the socket. That end leaves
/// the call its place for another socket; this word, which is for sockets that stay open, does not.
const SOCKET_FIRST: Duration = Duration::from_millis(200);

/// Between two looks whether a call of this process that is over at Twilio has come to its end here, too.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So often it is looked: a call whose actor stands still ends late.
const LOOKS: u32 = 9_000;

/// A stream has failed. Its socket may stay open for a minute and more, with nobody at its other end.
pub(crate) fn stream_failed(calls: &Arc<Calls>, call: CallSid, stream: Option<StreamSid>) {
    let calls = calls.clone();
    actix::spawn(async move {
        actix::clock::sleep(SOCKET_FIRST).await;
        order(&calls, call, OperatorEvent::StreamFailed { stream }).await;
    });
}

/// A call is over at Twilio. A media socket that outlived its call only costs money.
pub(crate) async fn call_over(calls: &Calls, call: CallSid) {
    if order(calls, call, OperatorEvent::CallOver).await {
        see_off(calls, call).await;
    } else {
        conclude(calls, call).await;
    }
}

/// Tells a call, if it lives here; gives whether it does.
async fn order(calls: &Calls, call: CallSid, event: OperatorEvent) -> bool {
    let Some(found) = calls.table.ask(Find(call)).await.flatten() else {
        return false;
    };
    found.orders.do_send(Order(event));
    true
}

/// A call that lives here tells its end itself; what it leaves behind if it dies meanwhile is put away. The answer waits
/// for it: it says that the end is known.
async fn see_off(calls: &Calls, call: CallSid) {
    for _ in 0..LOOKS {
        actix::clock::sleep(LOOK_EVERY).await;
        // A registry that does not answer is no reason to believe that nobody is there.
        if matches!(calls.table.ask(Find(call)).await, Some(None)) {
            conclude(calls, call).await;
            return;
        }
    }
}

/// A call is over at Twilio that does not live here. If its owner was lost, and the caller hung up before another one took
/// over, its end is told here, and what was written down of it goes. Its owner may be another process, which has this
/// long to end it first.
///
/// A store that does not answer is asked until it does: Twilio says this once.
async fn conclude(calls: &Calls, call: CallSid) {
    // Looked at first: most calls have ended where they lived and were forgotten, and are not to be claimed.
    let Some(left) = left_behind(calls, call).await else {
        return;
    };
    if !is_told(&left) {
        actix::clock::sleep(LAST_WORD).await;
        let Some(left) = left_behind(calls, call).await else {
            return;
        };
        if !left.has_begun() {
            // Announced, and no more: there is no end to tell, and an owner that has written nothing yet tells its own.
            let forget = || calls.store.forget(call, left.epoch);
            insist(forget(), forget).await;
            return;
        }
    }
    // From here on nobody else ends it, unless somebody else claims it, too.
    let claim = || calls.store.claim(call, unix_now());
    let Some(Claim {
        epoch,
        checkpoint: Some(document),
    }) = insist(claim(), claim).await
    else {
        return;
    };
    let forget = || calls.store.forget(call, epoch);
    let forgotten = insist(forget(), forget).await;
    let Ok(left) = Checkpoint::decode(&document) else {
        return;
    };
    // Whoever ended it where it lived has the store's word for it, and nothing is left: this is a call that nobody ended.
    if is_told(&left) || !left.has_begun() || forgotten != Some(Forgotten::Gone) {
        return;
    }
    let reason = EndReason::GoneMeanwhile;
    calls.metrics.call_concluded(reason);
    log::info!(
        target: "switchboard::call", call_sid = call.as_str(), stream_sid = "-", reason = reason.label(),
        duration_ms = left.elapsed_ms, turns = left.forgotten + left.turns.len() as u64; "stop"
    );
}

/// What is written down of a call.
async fn left_behind(calls: &Calls, call: CallSid) -> Option<Checkpoint> {
    let look = || calls.store.look(call, unix_now());
    let document = insist(look(), look).await.flatten()?;
    Checkpoint::decode(&document).ok()
}

/// Whoever wrote that a call is over has said so.
const fn is_told(left: &Checkpoint) -> bool {
    matches!(left.standing, Standing::Over { .. })
}
