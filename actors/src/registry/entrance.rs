//! The way in: calls are announced, their media sockets present tickets, and there is room or there is not.

use std::time::Instant;

use actix::{Context, Handler};

use super::{Guest, Place, Registry, Reply, Returns};
use crate::limits::TICKET_LIFE;
use crate::messages::{
    Admitted, Adopt, Arrive, Arrived, CallKey, Claim, ClaimError, Claimed, Keep, Refused, WalkIn,
};

impl Registry {
    fn arrive(&mut self, message: Arrive) -> Result<Arrived, Refused> {
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
        let before = self.guests.get(&call);
        let mut returns = before
            .map(|guest| guest.returns.clone())
            .unwrap_or_default();
        if before.is_some() && message.again && !returns.again(now) {
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
            self.gate.admit(now, message.exempt)?;
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

    fn claim(&mut self, message: &Claim) -> Result<Admitted, ClaimError> {
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

    fn adopt(&mut self, message: Adopt) -> Result<Claimed, Refused> {
        self.expire(Instant::now());
        let visit = message.visit;
        // Two may have met the ticket before either was let in.
        let guest = self.guests.get(&visit.call);
        if guest.is_some_and(|guest| guest.token == message.token) {
            return Err(Refused::TicketUsed);
        }
        self.has_room(Some(visit.call))?;
        let key = self.enter(Some(visit.call), Some(visit.clone()));
        let guest = Guest {
            visit: visit.clone(),
            token: message.token,
            returns: Returns::default(),
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

    fn keep(&mut self, message: Keep) {
        // A call that came and went meanwhile needs no session: dropping it hangs up.
        if let Some(guest) = self.guests.get_mut(&message.call)
            && matches!(guest.place, Place::Waiting { .. })
        {
            guest.early = Some(message.early);
        }
    }

    fn walk_in(&mut self) -> Result<CallKey, Refused> {
        let now = Instant::now();
        self.expire(now);
        self.has_room(None)?;
        self.gate.admit(now, false)?;
        Ok(self.enter(None, None))
    }
}

impl Handler<Arrive> for Registry {
    type Result = Reply<Result<Arrived, Refused>>;

    fn handle(&mut self, message: Arrive, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.arrive(message))
    }
}

impl Handler<Claim> for Registry {
    type Result = Reply<Result<Admitted, ClaimError>>;

    fn handle(&mut self, message: Claim, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.claim(&message))
    }
}

impl Handler<Adopt> for Registry {
    type Result = Reply<Result<Claimed, Refused>>;

    fn handle(&mut self, message: Adopt, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.adopt(message))
    }
}

impl Handler<Keep> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: Keep, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.keep(message))
    }
}

impl Handler<WalkIn> for Registry {
    type Result = Reply<Result<CallKey, Refused>>;

    fn handle(&mut self, _: WalkIn, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| registry.walk_in())
    }
}
