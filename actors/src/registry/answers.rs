//! What the edge asks of the registry, answered from the rows that were pushed to it.

use std::time::Instant;

use actix::{Context, Handler};
use call_protocol::call::snapshot::Snapshot;
use call_protocol::phone::{CallSid, Direction};

use super::messages::{Count, Ending, Find, Found, LastOutcome, List, Listing, Occupancy};
use super::row::rfc3339;
use super::{CallStatus, Live, Registry, Reply, Row};
use crate::failpoints;

impl Registry {
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
                .info
                .as_ref()
                .map_or(Direction::Inbound, |info| info.direction)
                .label(),
            from: live.info.as_ref().and_then(|info| info.from.clone()),
            to: live.info.as_ref().and_then(|info| info.to.clone()),
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

    fn list(&self) -> Listing {
        let now = Instant::now();
        let calls: Vec<Row> = self
            .live
            .values()
            .filter_map(|live| Self::row(live, now))
            .collect();
        let count = self.live.len();
        Listing {
            draining: self.draining,
            capacity: self.capacity,
            count,
            calls,
        }
    }

    fn count(&mut self) -> Occupancy {
        self.expire(Instant::now());
        Occupancy {
            draining: self.draining,
            taken: self.taken(),
            live: self.live.len(),
            capacity: self.capacity,
        }
    }

    fn find(&self, call: CallSid) -> Option<Found> {
        let now = Instant::now();
        self.live
            .values()
            .rfind(|live| live.call == Some(call))
            .and_then(|live| {
                Some(Found {
                    row: Self::row(live, now)?,
                    call: live.inspect.as_ref()?.upgrade()?,
                    orders: live.orders.as_ref()?.upgrade()?,
                })
            })
    }

    fn how_ended(&self, call: CallSid) -> Option<Ending> {
        self.entries.get(&call).map(|entry| {
            let (reason, transfer_to, awaited_by) = match &entry.place {
                CallStatus::Over {
                    reason,
                    transfer_to,
                    awaited_by,
                    ..
                } => (*reason, transfer_to.clone(), *awaited_by),
                // Twilio may ask before the last word of the call has arrived here.
                CallStatus::Live(key) => {
                    let live = self.live.get(key);
                    (
                        live.and_then(|live| live.ended),
                        live.and_then(|live| live.transfer_to.clone()),
                        live.and_then(|live| live.awaited_by),
                    )
                }
                CallStatus::Waiting { .. } => (None, None, None),
            };
            Ending {
                reason,
                transfer_to,
                awaited_by,
                info: entry.info.clone(),
            }
        })
    }
}

impl Handler<List> for Registry {
    type Result = Reply<Listing>;

    fn handle(&mut self, _: List, ctx: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| {
            failpoints::in_actor("registry.list", "", registry, ctx);
            registry.list()
        })
    }
}

impl Handler<Count> for Registry {
    type Result = Reply<Occupancy>;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.count())
    }
}

impl Handler<Find> for Registry {
    type Result = Reply<Option<Found>>;

    fn handle(&mut self, Find(call): Find, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.find(call))
    }
}

impl Handler<LastOutcome> for Registry {
    type Result = Reply<Option<Ending>>;

    fn handle(&mut self, LastOutcome(call): LastOutcome, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.how_ended(call))
    }
}
