//! Timers of an actor that are not polled with it.
//!
//! actix polls all futures of an actor, its timers too, whenever the actor gets a message: a hundred times a second and
//! call, for a timer that is due once in a while. An alarm is a task of its own and comes as a message.

use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::{Actor, Handler, Message, WeakAddr};
use actix_rt::task::JoinHandle;
use actix_rt::time::sleep;

use crate::limits::STANDSTILL;

/// The time has come.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TimerFired {
    at: Instant,
}

impl TimerFired {
    fn after(wait: Duration) -> Self {
        let at = Instant::now() + wait;
        Self { at }
    }

    /// Whether it comes so late that the thread, or the whole process, stood still meanwhile.
    pub(crate) fn stood_still(&self) -> bool {
        self.at.elapsed() >= STANDSTILL
    }

    /// False if there is nobody to be told.
    fn tell<A>(self, whom: &WeakAddr<A>) -> bool
    where
        A: Actor + Handler<Self>,
        A::Context: ToEnvelope<A, Self>,
    {
        let actor = whom.upgrade();
        if let Some(actor) = &actor {
            actor.do_send(self);
        }
        actor.is_some()
    }
}

/// A timer of an actor, on the actor's own thread; dropping it stops it.
#[derive(Debug)]
pub(crate) struct ActorTimer(JoinHandle<()>);

impl ActorTimer {
    /// Sends [`TimerFired`] once, after that time.
    pub(crate) fn once<A>(wait: Duration, whom: WeakAddr<A>) -> Self
    where
        A: Actor + Handler<TimerFired>,
        A::Context: ToEnvelope<A, TimerFired>,
    {
        let (time, due) = (sleep(wait), TimerFired::after(wait));
        Self(actix_rt::spawn(async move {
            time.await;
            due.tell(&whom);
        }))
    }

    /// Sends [`TimerFired`] again and again, with so much time between them: who stood still for long is told once.
    pub(crate) fn every<A>(period: Duration, whom: WeakAddr<A>) -> Self
    where
        A: Actor + Handler<TimerFired>,
        A::Context: ToEnvelope<A, TimerFired>,
    {
        Self(actix_rt::spawn(async move {
            loop {
                let due = TimerFired::after(period);
                sleep(period).await;
                if !due.tell(&whom) {
                    return;
                }
            }
        }))
    }
}

impl Drop for ActorTimer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
