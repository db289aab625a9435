//! How often a number is answered within an hour. Counted in the store, which other processes share and a restart finds.

use std::time::Duration;

use call_protocol::phone::{CallSid, Direction};
use sha2::{Digest as _, Sha256};
use switchboard_actors::call::unix_now;
use switchboard_actors::messages::CallInfo;
use switchboard_actors::registry::messages::Refused;
use switchboard_actors::store::{Ring, Rung};

use crate::service::state::AppState;
use switchboard_base::number::callable;

/// A caller is not kept waiting for a store that does not answer, but let in.
const STORE_ANSWERS: Duration = Duration::from_millis(200);

/// A call that is not answered because its number has called so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// Whether it may cost nothing more: those over twice the limit meet the busy tone.
    pub(crate) is_flood: bool,
}

/// Counts a new call.
pub(crate) async fn ring(app: &AppState, info: &CallInfo) -> Result<(), TooMany> {
    if info.direction == Direction::Outbound {
        return Ok(());
    }
    let number = callable(Some(&info.number.0));
    let Some(most) = app.callers().most_calls(number) else {
        return Ok(());
    };
    let ring = Ring {
        who: who(number),
        call: info.call,
        most,
    };
    let rung = app.store.ring(ring, unix_now());
    match actix::clock::timeout(STORE_ANSWERS, rung).await {
        Ok(Ok(Rung::TurnedAway(turn))) => {
            if turn == 1 {
                let from = info.from.as_deref().unwrap_or_default();
                log::warn!(
                    target: "switchboard::phone", call_sid = info.call.as_str(), from, most,
                    reason = Refused::NumberCalls.label(); "a number calls too often, its calls are turned away"
                );
            }
            Err(TooMany {
                is_flood: turn > most,
            })
        }
        // What fails, the store complains of itself.
        Ok(Ok(Rung::LetIn) | Err(_)) | Err(_) => Ok(()),
    }
}

/// A call that was counted is not taken for another reason.
pub(crate) fn unring(app: &AppState, call: CallSid) {
    // Nobody waits for it.
    drop(app.store.unring(call));
}

/// Stands for a number in the store, where numbers are not written down. All that are withheld are one.
fn who(number: Option<&str>) -> String {
    let Some(number) = number else {
        return String::new();
    };
    let digest = Sha256::digest(format!("switchboard caller 1 {number}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
