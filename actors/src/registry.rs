//! Who is in the house: announced calls, live calls, ended calls.
//!
//! The only actor outside the worker threads. Rows are pushed to it, so a list of calls never waits for a call. Because
//! it handles one message at a time, the limit of calls is exact under any burst.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::{Actor, Context, Handler, MessageResult, WeakRecipient};
use call_protocol::call::end::EndReason;
use call_protocol::call::snapshot::{Frames, ModelSnapshot, Percentiles, Snapshot};
use call_protocol::call::state::StateName;
use call_protocol::call::transfer::Destination;
use call_protocol::ids::{CallSid, StreamSid};
use serde::Serialize;

use crate::admission::Gate;
use crate::call::BridgeLatency;
use crate::limits::{ENDING_LIFE, ENDINGS, RETURNS, TICKET_LIFE};
use crate::messages::{
    Adopt, Arrive, Arrived, CallKey, Claim, ClaimError, Claimed, Count, Down, Drain, Ending, Find,
    Found, HowEnded, Inspect, Keep, List, Listing, Occupancy, Order, OrderAll, Push, Refused,
    Visit, WalkIn,
};
use crate::openai::ModelLine;

/// A live call as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The call; null until known (a socket without a ticket, before `start`).
    pub call_sid: Option<CallSid>,
    /// The stream; null before `start`.
    pub stream_sid: Option<StreamSid>,
    /// The machine's state.
    pub state: StateName,
    /// Who answers.
    pub agent: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The caller's number, masked.
    pub from: Option<String>,
    /// The number called.
    pub to: Option<String>,
    /// When the media socket was accepted, RFC 3339.
    pub started_at: String,
    /// Since then.
    pub duration_ms: u64,
    /// How often the call's machine was built anew, by this process and those before it.
    pub restarts: u64,
    /// The model leg.
    pub model: ModelSnapshot,
    /// Frames of 20 ms.
    pub frames: Frames,
    /// Turns so far.
    pub turns: u64,
    /// From the caller's last word to the first audio of the answer.
    pub turn_latency_ms: Percentiles,
    /// What the bridge adds to a frame.
    pub bridge_latency_us: BridgeLatency,
    /// US dollars.
    pub cost_usd: f64,
}

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
        }
    }

    fn taken(&self) -> usize {
        self.live.len() + self.waiting
    }

    fn has_room(&self) -> Result<(), Refused> {
        if self.draining {
            return Err(Refused::Draining);
        }
        if self.taken() >= self.capacity {
            return Err(Refused::Full);
        }
        Ok(())
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
            inspect: None,
            orders: None,
            #[cfg(feature = "fault-hook")]
            faults: None,
        };
        self.live.insert(key, live);
        key
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

fn rfc3339(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| format!("{at:.0}"))
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
        self.has_room()?;
        if !message.again {
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
    type Result = Result<Claimed, ClaimError>;

    fn handle(&mut self, message: Claim, _: &mut Context<Self>) -> Self::Result {
        let now = Instant::now();
        self.expire(now);
        // A call that was announced before the drain began is let in: its caller has been told to hold the line.
        let guest = self.guests.get(&message.call).ok_or(ClaimError::Unknown)?;
        match guest.place {
            Place::Waiting { until } if guest.token == message.token && until > now => {}
            Place::Waiting { .. } => return Err(ClaimError::Unknown),
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
        Ok(Claimed { key, visit, early })
    }
}

impl Handler<Adopt> for Registry {
    type Result = Result<Claimed, Refused>;

    fn handle(&mut self, message: Adopt, _: &mut Context<Self>) -> Self::Result {
        self.expire(Instant::now());
        self.has_room()?;
        let visit = message.visit;
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
        self.has_room()?;
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
            live.call = live.call.or(message.snapshot.call_sid);
            live.ended = message.snapshot.ended;
            live.transfer_to.clone_from(&message.snapshot.transfer_to);
            live.last = Some(message);
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
        let now = Instant::now();
        // A call that has come again has another place by now.
        if let Some(guest) = self.guests.get_mut(&call)
            && matches!(guest.place, Place::Live(key) if key == message.key)
        {
            guest.place = Place::Over {
                reason: live.ended,
                transfer_to: live.transfer_to,
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
            let (reason, transfer_to) = match &guest.place {
                Place::Over {
                    reason,
                    transfer_to,
                    ..
                } => (*reason, transfer_to.clone()),
                // Twilio may ask before the last word of the call has arrived here.
                Place::Live(key) => {
                    let live = self.live.get(key);
                    (
                        live.and_then(|live| live.ended),
                        live.and_then(|live| live.transfer_to.clone()),
                    )
                }
                Place::Waiting { .. } => (None, None),
            };
            Ending {
                reason,
                transfer_to,
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
