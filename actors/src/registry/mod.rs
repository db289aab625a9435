//! Who is in the house: announced calls, live calls, ended calls.
//!
//! The only actor outside the worker threads. Rows are pushed to it, so a list of calls never waits for a call. Because
//! it handles one message at a time, the limit of calls is exact under any burst.

mod answers;
mod entrance;
mod guard;
mod media_slots;
pub mod messages;
mod returns;
mod row;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::{Actor, Context, Handler, WeakRecipient};
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::outcome::{Destination, EndReason};
use call_protocol::phone::CallSid;

use crate::admission::AdmissionControl;
use crate::limits::{ENDING_LIFE, ENDINGS};
use crate::messages::{CallInfo, CallKey, Inspect, Order};
use crate::openai::ModelLine;
use messages::{Down, Drain, Push, Refused};

use guard::Reply;
pub(crate) use media_slots::MediaLost;
use media_slots::MediaSlots;
use returns::Returns;
pub use row::Row;

/// A call's actor makes itself known.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Enter {
    pub(crate) key: CallKey,
    pub(crate) info: Option<CallInfo>,
    pub(crate) inspect: WeakRecipient<Inspect>,
    pub(crate) orders: WeakRecipient<Order>,
}

/// A place taken by a call that was announced or claimed.
enum CallStatus {
    /// Its ticket waits for the media socket.
    Waiting { until: Instant },
    /// Its media socket lives.
    Live(CallKey),
    Over {
        reason: Option<EndReason>,
        transfer_to: Option<Destination>,
        awaited_by: Option<u32>,
        at: Instant,
    },
}

struct CallEntry {
    info: CallInfo,
    token: String,
    /// When it came back after its stream had ended.
    returns: Returns,
    /// A model session dialled for it.
    early: Option<ModelLine>,
    place: CallStatus,
}

struct Live {
    call: Option<CallSid>,
    info: Option<CallInfo>,
    started: Instant,
    started_at: SystemTime,
    last: Option<Push>,
    ended: Option<EndReason>,
    transfer_to: Option<Destination>,
    awaited_by: Option<u32>,
    inspect: Option<WeakRecipient<Inspect>>,
    orders: Option<WeakRecipient<Order>>,
}

/// The registry of calls.
pub struct Registry {
    capacity: usize,
    admission: Arc<AdmissionControl>,
    draining: bool,
    next_key: CallKey,
    entries: HashMap<CallSid, CallEntry>,
    /// Guests by when their place may be given up, oldest first; a hint, looked at again when due.
    expiries: VecDeque<(Instant, CallSid)>,
    waiting: usize,
    live: BTreeMap<CallKey, Live>,
    slots: MediaSlots,
}

impl Registry {
    /// A registry for at most `capacity` calls at once, as long as the model's account takes them.
    #[must_use]
    pub fn new(capacity: usize, admission: Arc<AdmissionControl>) -> Self {
        Self {
            capacity,
            admission,
            draining: false,
            next_key: 1,
            entries: HashMap::new(),
            expiries: VecDeque::new(),
            waiting: 0,
            live: BTreeMap::new(),
            slots: MediaSlots::default(),
        }
    }

    fn taken(&self) -> usize {
        self.live.len() + self.waiting
    }

    /// Whether another call fits; one that waits for its media socket has its place already.
    fn has_room(&self, call: Option<CallSid>) -> Result<(), Refused> {
        if self.draining {
            return Err(Refused::Draining);
        }
        let own = call.is_some_and(|call| self.slots.is_kept(call));
        if self.taken() - usize::from(own) >= self.capacity {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Calls an agent has, with those whose media socket is still to come.
    fn of_agent(&self, name: &str) -> usize {
        let is_his = |entry: &&CallEntry| {
            entry.info.agent.name == name && !matches!(entry.place, CallStatus::Over { .. })
        };
        self.entries.values().filter(is_his).count()
    }

    /// Gives up places whose ticket was never used, and forgets old endings.
    fn expire(&mut self, now: Instant) {
        while let Some((due, call)) = self.expiries.front().copied() {
            let overfull = self.entries.len() > ENDINGS;
            if due > now && !overfull {
                break;
            }
            self.expiries.pop_front();
            let Some(entry) = self.entries.get(&call) else {
                continue;
            };
            match entry.place {
                CallStatus::Waiting { until, .. } if until <= now => {
                    self.waiting -= 1;
                    self.entries.remove(&call);
                }
                CallStatus::Over { at, .. } if overfull || at + ENDING_LIFE <= now => {
                    self.entries.remove(&call);
                }
                CallStatus::Waiting { .. } | CallStatus::Live(_) | CallStatus::Over { .. } => {}
            }
        }
    }

    fn enter(&mut self, call: Option<CallSid>, info: Option<CallInfo>) -> CallKey {
        let key = self.next_key;
        self.next_key += 1;
        let live = Live {
            call,
            info,
            started: Instant::now(),
            started_at: SystemTime::now(),
            last: None,
            ended: None,
            transfer_to: None,
            awaited_by: None,
            inspect: None,
            orders: None,
        };
        self.live.insert(key, live);
        key
    }

    /// The call goes on in the place it had.
    fn settle_in(&mut self, call: CallSid, key: CallKey) {
        if let Some(entry) = self.entries.get_mut(&call) {
            entry.place = CallStatus::Live(key);
            entry.early = None;
        }
    }

    /// A socket without a ticket names its call itself, and may name one that lives: the first keeps it.
    fn refuse_twin(&self, call: CallSid, key: CallKey) {
        let mut others = self.live.iter().filter(|(other, _)| **other != key);
        let lives = others.any(|(_, live)| live.call == Some(call) && live.ended.is_none());
        let newest = self.live.get(&key);
        let orders = newest.and_then(|live| live.orders.as_ref()?.upgrade());
        if let Some(orders) = orders.filter(|_| lives && !self.slots.is_kept(call)) {
            orders.do_send(Order(OperatorEvent::SecondStream));
        }
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Calls push a row a second each; the list must keep up with a full house.
        ctx.set_mailbox_capacity(4 * self.capacity.max(256));
    }
}

impl Registry {
    fn call_entered(&mut self, message: Enter) {
        if let Some(live) = self.live.get_mut(&message.key) {
            live.inspect = Some(message.inspect);
            live.orders = Some(message.orders);
            if message.info.is_some() {
                live.info = message.info;
            }
        }
    }

    fn pushed(&mut self, message: Push) {
        if let Some(live) = self.live.get_mut(&message.key) {
            let names_itself = live.call.is_none() && message.snapshot.call_sid.is_some();
            live.call = live.call.or(message.snapshot.call_sid);
            let walked_in = live.call.filter(|_| names_itself);
            live.ended = message.snapshot.ended;
            live.transfer_to.clone_from(&message.snapshot.transfer_to);
            live.awaited_by = message.snapshot.awaited_by;
            let (key, over) = (message.key, live.call.filter(|_| live.ended.is_some()));
            live.last = Some(message);
            if let Some(call) = over {
                self.slots.give_up(call, key);
            }
            if let Some(call) = walked_in {
                self.refuse_twin(call, key);
            }
        }
    }

    fn down(&mut self, message: &Down) {
        let Some(live) = self.live.remove(&message.key) else {
            return;
        };
        if message.panicked {
            let call = live.call.as_ref().map_or("-", CallSid::as_str);
            log::error!(target: "switchboard::registry", call_sid = call, key = message.key; "call actor died by a panic");
        } else if live.last.is_some() && live.ended.is_none() {
            let call = live.call.as_ref().map_or("-", CallSid::as_str);
            log::error!(target: "switchboard::registry", call_sid = call, key = message.key; "call actor is gone and has told no end");
        }
        let Some(call) = live.call else { return };
        self.slots.give_up(call, message.key);
        let now = Instant::now();
        // A call that has come again has another place by now.
        if let Some(entry) = self.entries.get_mut(&call)
            && matches!(entry.place, CallStatus::Live(key) if key == message.key)
        {
            entry.place = CallStatus::Over {
                reason: live.ended,
                transfer_to: live.transfer_to,
                awaited_by: live.awaited_by,
                at: now,
            };
            self.expiries.push_back((now + ENDING_LIFE, call));
        }
    }
}

impl Handler<Enter> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: Enter, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.call_entered(message))
    }
}

impl Handler<Push> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: Push, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.pushed(message))
    }
}

impl Handler<Down> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: Down, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.down(&message))
    }
}

impl Handler<Drain> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.draining = true)
    }
}
