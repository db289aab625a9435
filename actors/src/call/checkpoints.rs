//! Writes a call's checkpoints down, off the call's path.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::{Addr, WeakAddr};
use bytes::Bytes;
use call_protocol::call::event::OperatorEvent;
use call_protocol::checkpoint::Checkpoint;
use call_protocol::phone::{CallSid, Direction};
use futures_util::TryFutureExt as _;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};

use super::CallActor;
use super::last_line::LastLines;
use crate::failpoints;
use crate::messages::{CallInfo, Order, Ownership, ToPhone};
use crate::store::{Answer, CallStore, Forgotten, Saved, StoreError, UnixSeconds, insist};
use crate::twilio::TwilioSession;

/// The media socket stays open this long for the last checkpoint: Twilio asks what follows as soon as it is closed, and
/// may ask another process. A store that takes longer costs the last turn, not the call.
const LAST_CHECKPOINT: Duration = Duration::from_millis(300);

/// The wall clock, as the store wants it.
#[must_use]
pub fn unix_now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// After a checkpoint that could not be written down: a call in which nothing is said for long must not stay in the store
/// as it was before the store failed.
const SAVE_AGAIN: Duration = Duration::from_millis(1_500);

/// Whether a checkpoint tells what came of an effect.
fn has_outcome(checkpoint: &Checkpoint) -> bool {
    let mut records = checkpoint.tools.records();
    records.any(|record| record.effects && record.result.is_some())
}

/// The checkpoint of that number was not written down: write another one if none has followed it.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(super) struct SaveAgain(pub(super) u64);

/// The owner's number in the store.
#[derive(Clone)]
enum Epoch {
    Known(u64),
    /// The store owes it.
    Late(watch::Receiver<Option<u64>>),
}

impl Epoch {
    fn of(ownership: &Ownership) -> Self {
        match ownership {
            Ownership::First | Ownership::Due => Self::Known(1),
            Ownership::Taken { epoch, .. } => Self::Known(*epoch),
            Ownership::Late(told) => Self::Late(told.clone()),
        }
    }

    fn now(&self) -> Option<u64> {
        match self {
            Self::Known(epoch) => Some(*epoch),
            Self::Late(told) => *told.borrow(),
        }
    }

    async fn known(self) -> Option<u64> {
        match self {
            Self::Known(epoch) => Some(epoch),
            Self::Late(mut told) => *told.wait_for(Option::is_some).await.ok()?,
        }
    }
}

/// Whose a call was when it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This owner's: nobody else tells its end.
    Own,
    /// Another's, who tells its end or goes on with it.
    Superseded,
}

impl From<Forgotten> for Verdict {
    fn from(forgotten: Forgotten) -> Self {
        match forgotten {
            Forgotten::Gone => Self::Own,
            Forgotten::Superseded => Self::Superseded,
        }
    }
}

impl From<Saved> for Verdict {
    fn from(saved: Saved) -> Self {
        match saved {
            Saved::Kept => Self::Own,
            Saved::Superseded => Self::Superseded,
        }
    }
}

/// The store's word on a call that is over.
pub(super) struct OwnershipCheck(oneshot::Receiver<Verdict>);

impl OwnershipCheck {
    /// Waits for it, however long that takes; `None` if it will not come.
    pub(super) async fn verdict(&mut self) -> Option<Verdict> {
        (&mut self.0).await.ok()
    }
}

/// One owner's hand in the store.
pub(super) struct CheckpointWriter {
    store: Arc<dyn CallStore>,
    last_lines: LastLines,
    epoch: Epoch,
    from: Option<String>,
    to: Option<String>,
    direction: Direction,
    /// Told when the last checkpoint was answered.
    last: Option<oneshot::Receiver<()>>,
    /// Number of the last checkpoint.
    number: u64,
    /// The last checkpoint, as it was handed over.
    kept: Option<Bytes>,
}

impl CheckpointWriter {
    pub(super) fn new(
        store: Arc<dyn CallStore>,
        last_lines: LastLines,
        info: Option<&CallInfo>,
    ) -> Self {
        Self {
            store,
            last_lines,
            epoch: info.map_or(Epoch::Known(1), |info| Epoch::of(&info.ownership)),
            from: info.and_then(|info| info.from.clone()),
            to: info.and_then(|info| info.to.clone()),
            direction: info.map_or(Direction::Inbound, |info| info.direction),
            last: None,
            number: 0,
            kept: None,
        }
    }

    /// What the machine does not know of its call.
    fn name_parties(&self, checkpoint: &mut Checkpoint) {
        checkpoint.from.clone_from(&self.from);
        checkpoint.to.clone_from(&self.to);
        checkpoint.direction = self.direction;
    }

    /// Whether no checkpoint has followed the one of that number.
    pub(super) const fn is_last(&self, number: u64) -> bool {
        self.number == number
    }

    /// The last checkpoint, whether the store has kept it or not.
    pub(super) fn kept(&self) -> Option<Checkpoint> {
        Checkpoint::decode(self.kept.as_ref()?).ok()
    }

    /// Hands the checkpoint over; `owner` is told if the call is another's by now.
    pub(super) fn save(
        &mut self,
        call: CallSid,
        mut checkpoint: Checkpoint,
        owner: WeakAddr<CallActor>,
    ) {
        self.number += 1;
        let (number, epoch) = (self.number, self.epoch.now());
        let has_outcome =
            failpoints::is_armed("call.outcome_kept", call.as_str()) && has_outcome(&checkpoint);
        checkpoint.epoch = epoch.unwrap_or(0);
        self.name_parties(&mut checkpoint);
        let document = match checkpoint.encode() {
            Ok(document) => Bytes::from(document),
            Err(error) => {
                log::warn!(target: "switchboard::call", call_sid = call.as_str(), error:% = error; "checkpoint not written");
                return;
            }
        };
        self.kept = Some(document.clone());
        let Some(epoch) = epoch else {
            // A store that has not said whose the call is could not keep it, either.
            let epoch = self.epoch.clone();
            actix_rt::spawn(async move {
                if epoch.known().await.is_some()
                    && let Some(owner) = owner.upgrade()
                {
                    owner.do_send(SaveAgain(number));
                }
            });
            return;
        };
        let answer = self.store.save(call, epoch, document, unix_now());
        let (tell, told) = oneshot::channel();
        self.last = Some(told);
        actix_rt::spawn(async move {
            // The store itself complains of what fails, once a minute for all calls.
            let answer = answer.await;
            // Nobody waits for most checkpoints.
            let _ = tell.send(());
            match answer {
                Ok(Saved::Kept) if has_outcome => {
                    failpoints::hit("call.outcome_kept", call.as_str());
                }
                Ok(Saved::Kept) | Err(StoreError::TooLarge(_)) => {}
                Ok(Saved::Superseded) => {
                    if let Some(owner) = owner.upgrade() {
                        owner.do_send(Order(OperatorEvent::Superseded));
                    }
                }
                Err(StoreError::Engine(_) | StoreError::Away) => {
                    actix_rt::time::sleep(SAVE_AGAIN).await;
                    if let Some(owner) = owner.upgrade() {
                        owner.do_send(SaveAgain(number));
                    }
                }
            }
        });
    }

    /// Nobody will ask for the call. Gives what the store says to that.
    pub(super) fn forget(&mut self, call: CallSid) -> OwnershipCheck {
        let store = self.store.clone();
        self.part(move |epoch| verdict(store.forget(call, epoch)))
    }

    /// Writes down that the call is over, for the process that Twilio asks what follows. Gives the store's answer.
    pub(super) fn conclude(&mut self, call: CallSid, mut checkpoint: Checkpoint) -> OwnershipCheck {
        self.name_parties(&mut checkpoint);
        let store = self.store.clone();
        let (tell, told) = oneshot::channel();
        self.last = Some(told);
        let mut tell = Some(tell);
        self.part(move |epoch| {
            checkpoint.epoch = epoch;
            let document = match checkpoint.clone().encode() {
                Ok(document) => Bytes::from(document),
                Err(error) => {
                    log::warn!(target: "switchboard::call", call_sid = call.as_str(), error:% = error; "checkpoint not written");
                    return Box::pin(ready(Err(StoreError::TooLarge("a checkpoint"))));
                }
            };
            let saved = verdict(store.save(call, epoch, document, unix_now()));
            // The socket waits for one answer, whatever it is.
            let tell = tell.take();
            Box::pin(async move {
                let saved = saved.await;
                if let Some(tell) = tell {
                    let _ = tell.send(());
                }
                saved
            })
        })
    }

    /// Asks the store until it says whose the call was. The first question is lined up now, before anybody can ask for
    /// the call, if the owner's number is known.
    fn part(
        &mut self,
        mut ask: impl FnMut(u64) -> Answer<Verdict> + Send + 'static,
    ) -> OwnershipCheck {
        // What was to be written down again is not.
        self.number += 1;
        let (mut tell, told) = oneshot::channel();
        let epoch = self.epoch.clone();
        let asked = epoch.now().map(&mut ask);
        self.last_lines.spawn(async move {
            let asking = async {
                let epoch = epoch.known().await?;
                let answer = asked.unwrap_or_else(|| ask(epoch));
                insist(answer, || ask(epoch)).await
            };
            let verdict = tokio::select! {
                verdict = asking => verdict,
                // Another word of this owner has taken its place: it must not be undone by a late try.
                () = tell.closed() => None,
            };
            if let Some(verdict) = verdict {
                let _ = tell.send(verdict);
            }
        });
        OwnershipCheck(told)
    }

    /// Closes the media socket, when the last checkpoint is kept. Whether that is still to come.
    pub(super) fn close_after_last(&mut self, phone: Addr<TwilioSession>, code: u16) -> bool {
        let is_answered =
            |last: &mut oneshot::Receiver<()>| last.try_recv() != Err(TryRecvError::Empty);
        let Some(pending) = self.last.take_if(|last| !is_answered(last)) else {
            phone.do_send(ToPhone::Close { code });
            return false;
        };
        actix_rt::spawn(async move {
            let _ = actix_rt::time::timeout(LAST_CHECKPOINT, pending).await;
            phone.do_send(ToPhone::Close { code });
        });
        true
    }
}

/// The store's answer as whose the call was.
fn verdict<T: Into<Verdict> + 'static>(answer: Answer<T>) -> Answer<Verdict> {
    Box::pin(answer.map_ok(Into::into))
}
