//! Who is in the house: announced calls, live calls, ended calls.
//!
//! The only actor outside the worker threads. Rows are pushed to it, so a list of calls never waits for a call. Because
//! it handles one message at a time, the limit of calls is exact under any burst.

mod row;
mod seats;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::{Actor, Context, Handler, MessageResult, WeakRecipient};
use call_protocol::call::end::EndReason;
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::snapshot::Snapshot;
use call_protocol::call::transfer::Destination;
use call_protocol::ids::CallSid;

use crate::admission::Gate;
use crate::limits::{ENDING_LIFE, ENDINGS, RETURNS, TICKET_LIFE};
use crate::messages::{
    Admitted, Adopt, Arrive, Arrived, CallKey, Claim, ClaimError, Claimed, Count, Down, Drain,
    Ending, Find, Found, HowEnded, Inspect, Keep, List, Listing, Occupancy, Order, OrderAll, Push,
    Refused, Visit, WalkIn,
};
use crate::openai::ModelLine;

pub use row::Row;
use row::rfc3339;
use seats::Seats;
pub(crate) use seats::Vacant;

/// A call's actor makes itself known.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Enter {
    pub(crate) key: CallKey,
    pub(crate) visit: Option<Visit>,
    pub(crate) inspect: WeakRecipient<Inspect>,
    pub(crate) orders: WeakRecipient<Order>,
    #[cfg(feature = "fault-hook")]
    pub(crate) faults: WeakRecipient<crate::fault::Fault>,
}

/// A place taken by a call that was announced or claimed.
enum Place {
    /// Its ticket waits for the media socket.
    Waiting { until: Instant },
    /// Its media socket lives.
    Live(CallKey),
    /// It is over.
    Over {
        reason: Option<EndReason>,
        transfer_to: Option<Destination>,
        awaited_by: Option<u32>,
        at: Instant,
    },
}

struct Guest {
    visit: Visit,
    token: String,
    /// How often it came back after its stream had ended.
    returns: u32,
    /// A model session dialled for it.
    early: Option<ModelLine>,
    place: Place,
}

struct Live {
    call: Option<CallSid>,
    visit: Option<Visit>,
    started: Instant,
    started_at: SystemTime,
    last: Option<Push>,
    ended: Option<EndReason>,
    transfer_to: Option<Destination>,
    awaited_by: Option<u32>,
    inspect: Option<WeakRecipient<Inspect>>,
    orders: Option<WeakRecipient<Order>>,
    #[cfg(feature = "fault-hook")]
    faults: Option<WeakRecipient<crate::fault::Fault>>,
}

/// The registry of calls.
pub struct Registry {
    capacity: usize,
    gate: Arc<Gate>,
    draining: bool,
    next_key: CallKey,
    guests: HashMap<CallSid, Guest>,
    /// Guests by when their place may be given up, oldest first; a hint, looked at again when due.
    expiries: VecDeque<(Instant, CallSid)>,
    waiting: usize,
    live: BTreeMap<CallKey, Live>,
    vacant: Seats,
}

impl Registry {
    /// A registry for at most `capacity` calls at once, as long as the model's account takes them.
    #[must_use]
    pub fn new(capacity: usize, gate: Arc<Gate>) -> Self {
        Self {
            capacity,
            gate,
            draining: false,
            next_key: 1,
            guests: HashMap::new(),
            expiries: VecDeque::new(),
            waiting: 0,
            live: BTreeMap::new(),
            vacant: Seats::default(),
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
        let own = call.is_some_and(|call| self.vacant.is_kept(call));
        if self.taken() - usize::from(own) >= self.capacity {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Calls an agent has, with those whose media socket is still to come.
    fn of_agent(&self, name: &str) -> usize {
        let is_his = |guest: &&Guest| {
            guest.visit.agent.name == name && !matches!(guest.place, Place::Over { .. })
        };
        self.guests.values().filter(is_his).count()
    }

    /// Gives up places whose ticket was never used, and forgets old endings.
    fn expire(&mut self, now: Instant) {
        while let Some((due, call)) = self.expiries.front().copied() {
            let overfull = self.guests.len() > ENDINGS;
            if due > now && !overfull {
                break;
            }
            self.expiries.pop_front();
            let Some(guest) = self.guests.get(&call) else {
                continue;
            };
            match guest.place {
                Place::Waiting { until, .. } if until <= now => {
                    self.waiting -= 1;
                    self.guests.remove(&call);
                }
                Place::Over { at, .. } if overfull || at + ENDING_LIFE <= now => {
                    self.guests.remove(&call);
                }
                Place::Waiting { .. } | Place::Live(_) | Place::Over { .. } => {}
            }
        }
    }

    fn enter(&mut self, call: Option<CallSid>, visit: Option<Visit>) -> CallKey {
        let key = self.next_key;
        self.next_key += 1;
        let live = Live {
            call,
            visit,
            started: Instant::now(),
            started_at: SystemTime::now(),
            last: None,
            ended: None,
            transfer_to: None,
            awaited_by: None,
            inspect: None,
            orders: None,
            #[cfg(feature = "fault-hook")]
            faults: None,
        };
        self.live.insert(key, live);
        key
    }

    /// The call goes on in the place it had.
    fn settle_in(&mut self, call: CallSid, key: CallKey) {
        if let Some(guest) = self.guests.get_mut(&call) {
            guest.place = Place::Live(key);
            guest.early = None;
        }
    }

    /// A socket without a ticket names its call itself, and may name one that lives: the first keeps it.
    fn refuse_twin(&self, call: CallSid, key: CallKey) {
        let mut others = self.live.iter().filter(|(other, _)| **other != key);
        let lives = others.any(|(_, live)| live.call == Some(call) && live.ended.is_none());
        let newest = self.live.get(&key);
        let orders = newest.and_then(|live| live.orders.as_ref()?.upgrade());
        if let Some(orders) = orders.filter(|_| lives && !self.vacant.is_kept(call)) {
            orders.do_send(Order(OperatorEvent::SecondStream));
        }
    }

    fn row(live: &Live, now: Instant) -> Option<Row> {
        let push = live.last.as_ref()?;
        let snapshot: &Snapshot = &push.snapshot;
        let over = snapshot.ended.is_some();
        let age = u64::try_from(now.duration_since(live.started).as_millis()).unwrap_or(u64::MAX);
        Some(Row {
            call_sid: snapshot.call_sid,
            stream_sid: snapshot.stream_sid,
            state: snapshot.state,
            agent: snapshot.agent.clone(),
            direction: live
                .visit
                .as_ref()
                .map_or("inbound", |visit| visit.direction),
            from: live.visit.as_ref().and_then(|visit| visit.from.clone()),
            to: live.visit.as_ref().and_then(|visit| visit.to.clone()),
            started_at: rfc3339(live.started_at),
            duration_ms: if over { snapshot.duration_ms } else { age },
            restarts: push.restarts + u64::from(snapshot.resumes),
            model: snapshot.model.clone(),
            frames: snapshot.frames,
            turns: snapshot.turns,
            turn_latency_ms: snapshot.turn_latency_ms,
            bridge_latency_us: push.bridge,
            cost_usd: (snapshot.cost_usd * 10_000.0).round() / 10_000.0,
        })
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Calls push a row a second each; the list must keep up with a full house.
        ctx.set_mailbox_capacity(4 * self.capacity.max(256));
    }
}

impl Handler<Arrive> for Registry {
    type Result = Result<Arrived, Refused>;

    fn handle(&mut self, message: Arrive, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        self.expire(now);
        let call = message.visit.call;
        if let Some(guest) = self.guests.get(&call) {
            let waits = matches!(guest.place, Place::Waiting { .. });
            if (waits && !message.renew) || !message.again {
                // The same webhook again: the same answer, and no second ticket.
                return Ok(Arrived {
                    token: guest.token.clone(),
                    first: false,
                });
            }
        }
        let returns = self
            .guests
            .get(&call)
            .map_or(0, |guest| guest.returns + u32::from(message.again));
        if returns > RETURNS {
            return Err(Refused::TooOften);
        }
        if let Some(Guest {
            place: Place::Waiting { .. },
            ..
        }) = self.guests.get(&call)
        {
            // Its socket went elsewhere; the place is the new ticket's.
            self.waiting -= 1;
            self.guests.remove(&call);
        }
        self.has_room(Some(call))?;
        if !message.again {
            let most = message.most_of_agent.unwrap_or(usize::MAX);
            if self.of_agent(&message.visit.agent.name) >= most {
                return Err(Refused::AgentFull);
            }
            // Whoever comes back is on the line already: for him it is tried in any case.
            self.gate.admit(now)?;
        }
        let until = now + TICKET_LIFE;
        self.waiting += 1;
        self.expiries.push_back((until, call));
        let place = Place::Waiting { until };
        self.guests.insert(
            call,
            Guest {
                visit: message.visit,
                token: message.token.clone(),
                returns,
                early: None,
                place,
            },
        );
        Ok(Arrived {
            token: message.token,
            first: true,
        })
    }
}

impl Handler<Claim> for Registry {
    type Result = Result<Admitted, ClaimError>;

    fn handle(&mut self, message: Claim, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        self.expire(now);
        // A call that was announced before the drain began is let in: its caller has been told to hold the line.
        let guest = self.guests.get(&message.call).ok_or(ClaimError::Unknown)?;
        match guest.place {
            Place::Waiting { until } if guest.token == message.token && until > now => {
                if let Some((key, seat)) = self.vacant.take(message.call) {
                    self.waiting -= 1;
                    self.settle_in(message.call, key);
                    return Ok(Admitted::Seat(seat));
                }
            }
            Place::Waiting { .. } => return Err(ClaimError::Unknown),
            // The lost socket itself may come again: its ticket was good for this call.
            Place::Live(_) if guest.token == message.token => {
                let vacant = self.vacant.take(message.call);
                let (_, seat) = vacant.ok_or(ClaimError::Used)?;
                return Ok(Admitted::Seat(seat));
            }
            Place::Live(_) | Place::Over { .. } => return Err(ClaimError::Used),
        }
        let visit = guest.visit.clone();
        self.waiting -= 1;
        let key = self.enter(Some(message.call), Some(visit.clone()));
        let guest = self.guests.get_mut(&message.call);
        let early = guest.and_then(|guest| {
            guest.place = Place::Live(key);
            guest.early.take()
        });
        Ok(Admitted::New(Box::new(Claimed { key, visit, early })))
    }
}

impl Handler<Adopt> for Registry {
    type Result = Result<Claimed, Refused>;

    fn handle(&mut self, message: Adopt, _: &mut Context<Self>) -> Self::Result {
        self.expire(Instant::now());
        let visit = message.visit;
        self.has_room(Some(visit.call))?;
        let key = self.enter(Some(visit.call), Some(visit.clone()));
        let guest = Guest {
            visit: visit.clone(),
            token: message.token,
            returns: 0,
            early: None,
            place: Place::Live(key),
        };
        if let Some(Guest {
            place: Place::Waiting { .. },
            ..
        }) = self.guests.insert(visit.call, guest)
        {
            self.waiting -= 1;
        }
        Ok(Claimed {
            key,
            visit,
            early: None,
        })
    }
}

impl Handler<Keep> for Registry {
    type Result = ();

    fn handle(&mut self, message: Keep, _: &mut Context<Self>) {
        // A call that came and went meanwhile needs no session: dropping it hangs up.
        if let Some(guest) = self.guests.get_mut(&message.call)
            && matches!(guest.place, Place::Waiting { .. })
        {
            guest.early = Some(message.early);
        }
    }
}

impl Handler<WalkIn> for Registry {
    type Result = Result<CallKey, Refused>;

    fn handle(&mut self, _: WalkIn, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        self.expire(now);
        self.has_room(None)?;
        self.gate.admit(now)?;
        Ok(self.enter(None, None))
    }
}

impl Handler<Enter> for Registry {
    type Result = ();

    fn handle(&mut self, message: Enter, _: &mut Context<Self>) {
        if let Some(live) = self.live.get_mut(&message.key) {
            live.inspect = Some(message.inspect);
            live.orders = Some(message.orders);
            #[cfg(feature = "fault-hook")]
            {
                live.faults = Some(message.faults);
            }
            if message.visit.is_some() {
                live.visit = message.visit;
            }
        }
    }
}

impl Handler<Push> for Registry {
    type Result = ();

    fn handle(&mut self, message: Push, _: &mut Context<Self>) {
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
                self.vacant.give_up(call, key);
            }
            if let Some(call) = walked_in {
                self.refuse_twin(call, key);
            }
        }
    }
}

impl Handler<Down> for Registry {
    type Result = ();

    fn handle(&mut self, message: Down, _: &mut Context<Self>) {
        let Some(live) = self.live.remove(&message.key) else {
            return;
        };
        if message.panicked {
            let call = live.call.as_ref().map_or("-", CallSid::as_str);
            log::error!(target: "switchboard::registry", call_sid = call, key = message.key; "call actor died by a panic");
        }
        let Some(call) = live.call else { return };
        self.vacant.give_up(call, message.key);
        let now = Instant::now();
        // A call that has come again has another place by now.
        if let Some(guest) = self.guests.get_mut(&call)
            && matches!(guest.place, Place::Live(key) if key == message.key)
        {
            guest.place = Place::Over {
                reason: live.ended,
                transfer_to: live.transfer_to,
                awaited_by: live.awaited_by,
                at: now,
            };
            self.expiries.push_back((now + ENDING_LIFE, call));
        }
    }
}

impl Handler<List> for Registry {
    type Result = MessageResult<List>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        let calls: Vec<Row> = self
            .live
            .values()
            .filter_map(|live| Self::row(live, now))
            .collect();
        let count = self.live.len();
        MessageResult(Listing {
            draining: self.draining,
            capacity: self.capacity,
            count,
            calls,
        })
    }
}

impl Handler<Count> for Registry {
    type Result = MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Self::Result {
        self.expire(Instant::now());
        MessageResult(Occupancy {
            draining: self.draining,
            taken: self.taken(),
            live: self.live.len(),
            capacity: self.capacity,
        })
    }
}

impl Handler<Find> for Registry {
    type Result = MessageResult<Find>;

    fn handle(&mut self, Find(call): Find, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        let found = self
            .live
            .values()
            .rfind(|live| live.call == Some(call))
            .and_then(|live| {
                Some(Found {
                    row: Self::row(live, now)?,
                    call: live.inspect.as_ref()?.upgrade()?,
                    orders: live.orders.as_ref()?.upgrade()?,
                })
            });
        MessageResult(found)
    }
}

impl Handler<HowEnded> for Registry {
    type Result = MessageResult<HowEnded>;

    fn handle(&mut self, HowEnded(call): HowEnded, _: &mut Context<Self>) -> Self::Result {
        let ending = self.guests.get(&call).map(|guest| {
            let (reason, transfer_to, awaited_by) = match &guest.place {
                Place::Over {
                    reason,
                    transfer_to,
                    awaited_by,
                    ..
                } => (*reason, transfer_to.clone(), *awaited_by),
                // Twilio may ask before the last word of the call has arrived here.
                Place::Live(key) => {
                    let live = self.live.get(key);
                    (
                        live.and_then(|live| live.ended),
                        live.and_then(|live| live.transfer_to.clone()),
                        live.and_then(|live| live.awaited_by),
                    )
                }
                Place::Waiting { .. } => (None, None, None),
            };
            Ending {
                reason,
                transfer_to,
                awaited_by,
                visit: guest.visit.clone(),
            }
        });
        MessageResult(ending)
    }
}

impl Handler<Drain> for Registry {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining = true;
    }
}

impl Handler<OrderAll> for Registry {
    type Result = usize;

    fn handle(&mut self, OrderAll(event): OrderAll, _: &mut Context<Self>) -> usize {
        let orders = self
            .live
            .values()
            .filter_map(|live| live.orders.as_ref()?.upgrade());
        let mut told = 0;
        for recipient in orders {
            recipient.do_send(Order(event.clone()));
            told += 1;
        }
        told
    }
}

#[cfg(feature = "fault-hook")]
impl Handler<crate::fault::Break> for Registry {
    type Result = bool;

    fn handle(&mut self, message: crate::fault::Break, _: &mut Context<Self>) -> bool {
        let crate::fault::Break(call, fault) = message;
        let mut live = self.live.values();
        let found = live
            .rfind(|live| live.call == Some(call))
            .and_then(|live| live.faults.as_ref()?.upgrade());
        if let Some(faults) = &found {
            faults.do_send(fault);
        }
        found.is_some()
    }
}
