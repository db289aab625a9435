//! The end of a call that nobody here has.

use std::time::Duration;

use call_protocol::call::outcome::EndReason;
use call_protocol::checkpoint::{Checkpoint, Standing};
use call_protocol::phone::CallSid;
use switchboard_actors::call::unix_now;
use switchboard_actors::store::{Claim, Forgotten, insist};

use crate::service::state::AppState;

/// A call is over at Twilio that does not live here. If its owner was lost, and the caller hung up before another one took
/// over, its end is told here, and what was written down of it goes. Its owner may be another process, which has this
/// long to end it first.
///
/// A store that does not answer is asked until it does: Twilio says this once.
pub(crate) async fn conclude(app: &AppState, call: CallSid, grace: Duration) {
    // Looked at first: most calls have ended where they lived and were forgotten, and are not to be claimed.
    let Some(left) = left_behind(app, call).await else {
        return;
    };
    if !is_told(&left) {
        actix::clock::sleep(grace).await;
        let Some(left) = left_behind(app, call).await else {
            return;
        };
        if !left.has_begun() {
            // Announced, and no more: there is no end to tell, and an owner that has written nothing yet tells its own.
            let forget = || app.store.forget(call, left.epoch);
            insist(forget(), forget).await;
            return;
        }
    }
    // From here on nobody else ends it, unless somebody else claims it, too.
    let claim = || app.store.claim(call, unix_now());
    let Some(Claim {
        epoch,
        checkpoint: Some(document),
    }) = insist(claim(), claim).await
    else {
        return;
    };
    let forget = || app.store.forget(call, epoch);
    let forgotten = insist(forget(), forget).await;
    let Ok(left) = Checkpoint::decode(&document) else {
        return;
    };
    // Whoever ended it where it lived has the store's word for it, and nothing is left: this is a call that nobody ended.
    if is_told(&left) || !left.has_begun() || forgotten != Some(Forgotten::Gone) {
        return;
    }
    let reason = EndReason::GoneMeanwhile;
    app.metrics.call_concluded(reason);
    log::info!(
        target: "switchboard::call", call_sid = call.as_str(), stream_sid = "-", reason = reason.label(),
        duration_ms = left.elapsed_ms, turns = left.forgotten + left.turns.len() as u64; "stop"
    );
}

/// What is written down of a call.
async fn left_behind(app: &AppState, call: CallSid) -> Option<Checkpoint> {
    let look = || app.store.look(call, unix_now());
    let document = insist(look(), look).await.flatten()?;
    Checkpoint::decode(&document).ok()
}

/// Whoever wrote that a call is over has said so.
const fn is_told(left: &Checkpoint) -> bool {
    matches!(left.standing, Standing::Over { .. })
}
