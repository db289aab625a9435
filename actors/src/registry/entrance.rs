//! The way in: calls are announced, their media sockets present tickets, and there is room or there is not.

use std::time::Instant;

use actix::{Context, Handler};

use super::messages::{
    AdmitForeign, AdmitUnticketed, Admitted, Announce, Arrived, AttachSession, ClaimError, Claimed,
    RedeemTicket, Refused,
};
use super::{CallEntry, CallStatus, Registry, Reply, Returns};
use crate::limits::TICKET_LIFE;
use crate::messages::CallKey;

impl Registry {
    fn arrive(&mut self, message: Announce) -> Result<Arrived, Refused> {
        let now = Instant::now();
        self.expire(now);
        let call = message.info.call;
        if let Some(entry) = self.entries.get(&call) {
            let waits = matches!(entry.place, CallStatus::Waiting { .. });
            if (waits && !message.renew) || !message.again {
                // The same webhook again: the same answer, and no second ticket.
                return Ok(Arrived {
                    token: entry.token.clone(),
                    first: false,
                });
            }
        }
        let before = self.entries.get(&call);
        let mut returns = before
            .map(|entry| entry.returns.clone())
            .unwrap_or_default();
        if before.is_some() && message.again && !returns.again(now) {
            return Err(Refused::TooOften);
        }
        if let Some(CallEntry {
            place: CallStatus::Waiting { .. },
            ..
        }) = self.entries.get(&call)
        {
            // Its socket went elsewhere; the place is the new ticket's.
            self.waiting -= 1;
            self.entries.remove(&call);
        }
        self.has_room(Some(call))?;
        if !message.again {
            let most = message.most_of_agent.unwrap_or(usize::MAX);
            if self.of_agent(&message.info.agent.name) >= most {
                return Err(Refused::AgentFull);
            }
            // A caller who comes back is on the line already: for them it is tried in any case.
            self.admission.admit(now, message.exempt)?;
        }
        let until = now + TICKET_LIFE;
        self.waiting += 1;
        self.expiries.push_back((until, call));
        let place = CallStatus::Waiting { until };
        self.entries.insert(
            call,
            CallEntry {
                info: message.info,
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

    fn claim(&mut self, message: &RedeemTicket) -> Result<Admitted, ClaimError> {
        let now = Instant::now();
        self.expire(now);
        // A call that was announced before the drain began is let in: its caller has been told to hold the line.
        let entry = self.entries.get(&message.call).ok_or(ClaimError::Unknown)?;
        match entry.place {
            CallStatus::Waiting { until } if entry.token == message.token && until > now => {
                if let Some((key, slot)) = self.slots.take(message.call) {
                    self.waiting -= 1;
                    self.settle_in(message.call, key);
                    return Ok(Admitted::Seat(slot));
                }
            }
            CallStatus::Waiting { .. } => return Err(ClaimError::Unknown),
            // The lost socket itself may come again: its ticket was good for this call.
            CallStatus::Live(_) if entry.token == message.token => {
                let vacant = self.slots.take(message.call);
                let (_, slot) = vacant.ok_or(ClaimError::Used)?;
                return Ok(Admitted::Seat(slot));
            }
            CallStatus::Live(_) | CallStatus::Over { .. } => return Err(ClaimError::Used),
        }
        let info = entry.info.clone();
        self.waiting -= 1;
        let key = self.enter(Some(message.call), Some(info.clone()));
        let entry = self.entries.get_mut(&message.call);
        let early = entry.and_then(|entry| {
            entry.place = CallStatus::Live(key);
            entry.early.take()
        });
        Ok(Admitted::New(Box::new(Claimed { key, info, early })))
    }

    fn adopt(&mut self, message: AdmitForeign) -> Result<Claimed, Refused> {
        self.expire(Instant::now());
        let info = message.info;
        // Two may have met the ticket before either was let in.
        let entry = self.entries.get(&info.call);
        if entry.is_some_and(|entry| entry.token == message.token) {
            return Err(Refused::TicketUsed);
        }
        self.has_room(Some(info.call))?;
        let key = self.enter(Some(info.call), Some(info.clone()));
        let entry = CallEntry {
            info: info.clone(),
            token: message.token,
            returns: Returns::default(),
            early: None,
            place: CallStatus::Live(key),
        };
        if let Some(CallEntry {
            place: CallStatus::Waiting { .. },
            ..
        }) = self.entries.insert(info.call, entry)
        {
            self.waiting -= 1;
        }
        Ok(Claimed {
            key,
            info,
            early: None,
        })
    }

    fn keep(&mut self, message: AttachSession) {
        // A call that came and went meanwhile needs no session: dropping it hangs up.
        if let Some(entry) = self.entries.get_mut(&message.call)
            && matches!(entry.place, CallStatus::Waiting { .. })
        {
            entry.early = Some(message.early);
        }
    }

    fn walk_in(&mut self) -> Result<CallKey, Refused> {
        let now = Instant::now();
        self.expire(now);
        self.has_room(None)?;
        self.admission.admit(now, false)?;
        Ok(self.enter(None, None))
    }
}

impl Handler<Announce> for Registry {
    type Result = Reply<Result<Arrived, Refused>>;

    fn handle(&mut self, message: Announce, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.arrive(message))
    }
}

impl Handler<RedeemTicket> for Registry {
    type Result = Reply<Result<Admitted, ClaimError>>;

    fn handle(&mut self, message: RedeemTicket, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.claim(&message))
    }
}

impl Handler<AdmitForeign> for Registry {
    type Result = Reply<Result<Claimed, Refused>>;

    fn handle(&mut self, message: AdmitForeign, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.adopt(message))
    }
}

impl Handler<AttachSession> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: AttachSession, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.keep(message))
    }
}

impl Handler<AdmitUnticketed> for Registry {
    type Result = Reply<Result<CallKey, Refused>>;

    fn handle(&mut self, _: AdmitUnticketed, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.walk_in())
    }
}
