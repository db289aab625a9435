//! The actor: messages in, machine stepped, restarts counted.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Supervised, Supervisor};
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::operator::Objection;
use call_protocol::call::outcome::EndReason;
use call_protocol::call::state::StateName;
use call_protocol::call::{Call, CallSetup};
use call_protocol::phone::event::PhoneEvent;
use call_protocol::time::Time;

use super::checkpoints::{CheckpointWriter, OwnershipCheck, SaveAgain};
use super::consult_legs::ConsultLegs;
use super::guard::Budget;
use super::shared::{CallSeed, LogContext, PendingStream, Shared};
use crate::down::DownGuard;
use crate::events::{AudioEvent, Lane};
use crate::limits::{CALL_MAILBOX, PUSH_EVERY};
use crate::messages::{
    CallKey, CallerNumber, Inspect, Inspected, ModelSaid, Order, PhoneSaid, Replace, ToPhone,
    ToolOver,
};
use crate::openai::{Dialler, ModelLine};
use crate::registry::messages::Push;
use crate::registry::{Enter, MediaLost, Registry};
use crate::timer::{ActorTimer, TimerFired};
use crate::tools::ToolBox;
use crate::twilio::{MediaSlot, TwilioSession};

/// The actor of one call. Supervised: a fault in a handler builds the machine anew on the same sockets.
///
/// `ctx.stop()` means "crash me and start me again" to a supervised actor. A call that is over lets go of its sockets
/// and its timer instead, and ends when the phone leg lets go of it.
pub(crate) struct CallActor {
    pub(super) key: CallKey,
    pub(super) call: Call,
    pub(super) phone: Addr<TwilioSession>,
    pub(super) model: Option<ModelLine>,
    /// Number of the model session in use, 0 if there is none; words of earlier ones are ignored.
    pub(super) session: u32,
    /// The session that will be used next, and its number.
    pub(super) next: Option<(u32, ModelLine)>,
    /// Sessions dialled so far; the last one's number.
    pub(super) dialled: u32,
    pub(super) model_url: std::sync::Arc<str>,
    /// The same of agents the stream may choose, by name.
    pub(super) other_urls: BTreeMap<String, std::sync::Arc<str>>,
    pub(super) early: Option<ModelLine>,
    pub(super) dialler: Dialler,
    pub(super) tools: std::sync::Arc<ToolBox>,
    pub(super) consult_legs: Option<ConsultLegs>,
    /// The caller's number in full.
    pub(super) number: CallerNumber,
    pub(super) registry: Addr<Registry>,
    pub(super) shared: Shared,
    pub(super) log: LogContext,
    pub(super) checkpoints: CheckpointWriter,
    /// The socket is about to be closed by us: what still comes on it is late.
    pub(super) closing: bool,
    pub(super) lost_model_at: Option<Instant>,
    /// Dropped when `start` comes.
    pub(super) pending_stream: Option<PendingStream>,
    /// The media socket was lost in this step.
    pub(super) media_lost: bool,
    /// While no media socket keeps the call.
    pub(super) away: Option<Away>,
    /// Keeps the call from a fault until it is built anew: without a sender an actor is not started again.
    pub(super) mending: Option<Addr<Self>>,
    /// The end is told, or waits for the store's word.
    pub(super) is_told: bool,
    /// Asked whether the end is this owner's to tell; the address keeps the call until it is told.
    pub(super) ownership_check: Option<(OwnershipCheck, Addr<Self>)>,
    /// The state last told, for the gauge.
    pub(super) state: StateName,
    seed: Option<Box<Enter>>,
    timer: Option<(ActorTimer, Time)>,
    pushed: Option<Time>,
    pub(super) budget: Budget,
    #[cfg(feature = "fault-hook")]
    pub(super) planned: crate::fault::Planned,
    /// The call's place, given back when this is dropped.
    pub(super) place: DownGuard,
}

/// A media socket has said its last word, and lets go of its call.
pub(super) struct Away {
    /// Said again if a fault has kept the machine from hearing it.
    pub(super) last_word: PhoneEvent,
    /// Keeps the call.
    _held: Addr<CallActor>,
}

impl CallActor {
    /// Starts the call under its supervisor, on the current thread.
    pub(crate) fn start_supervised(seed: CallSeed, phone: Addr<TwilioSession>) -> Addr<Self> {
        let log = LogContext::of(&seed);
        seed.shared.metrics.call_began("connected");
        log::info!(target: "switchboard::call", call_sid = log.call(), stream_sid = log.stream(); "media socket accepted");
        Supervisor::start(move |ctx: &mut Context<Self>| {
            let setup = CallSetup {
                agent: seed.agent.clone(),
                call: seed.info.as_ref().map(|info| info.call),
                account: seed.account,
                choices: seed.choices,
                max_length: seed.max_length,
                accepted_at: accepted_at(&seed.shared),
                seed: seed.place.key().wrapping_mul(0x9E37_79B9_7F4A_7C15),
            };
            let keeper = CheckpointWriter::new(
                seed.store,
                seed.place.last_lines().clone(),
                seed.info.as_ref(),
            );
            let checkpoint = seed
                .info
                .as_ref()
                .and_then(|info| info.ownership.checkpoint().cloned());
            let call = match checkpoint {
                Some(checkpoint) => Call::resume(setup, &checkpoint),
                None => Call::new(setup),
            };
            let info = seed.info.as_ref();
            let number = info.map(|info| info.number.clone()).unwrap_or_default();
            let orders = ctx.address().recipient().downgrade();
            seed.place.enroll(orders, seed.shared.audio.clone());
            let enter = Enter {
                key: seed.place.key(),
                info: seed.info,
                inspect: ctx.address().recipient().downgrade(),
                orders: ctx.address().recipient().downgrade(),
                #[cfg(feature = "fault-hook")]
                faults: ctx.address().recipient().downgrade(),
            };
            Self {
                key: seed.place.key(),
                call,
                phone,
                model: None,
                session: 0,
                next: None,
                dialled: 0,
                model_url: seed.model_url,
                other_urls: seed.other_urls,
                early: seed.early,
                dialler: seed.dialler,
                tools: seed.tools,
                consult_legs: seed.consult_legs,
                number,
                place: seed.place,
                registry: seed.registry,
                shared: seed.shared,
                log,
                checkpoints: keeper,
                closing: false,
                lost_model_at: None,
                pending_stream: seed.pending_stream,
                media_lost: false,
                away: None,
                mending: None,
                is_told: false,
                ownership_check: None,
                state: StateName::Connected,
                seed: Some(Box::new(enter)),
                timer: None,
                pushed: None,
                budget: Budget::default(),
                #[cfg(feature = "fault-hook")]
                planned: crate::fault::Planned::default(),
            }
        })
    }

    /// The call's time now.
    pub(super) fn now(&self) -> Time {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Time {
        let elapsed = instant.saturating_duration_since(self.shared.accepted());
        Time::ZERO + elapsed
    }

    /// Runs one step of the machine and what follows from it.
    fn step(
        &mut self,
        ctx: &mut Context<Self>,
        since: Option<Instant>,
        step: impl FnOnce(&mut Call, Time),
    ) {
        self.guarded(ctx, |actor, ctx| actor.take_step(ctx, since, step));
    }

    fn take_step(
        &mut self,
        ctx: &mut Context<Self>,
        since: Option<Instant>,
        step: impl FnOnce(&mut Call, Time),
    ) {
        let now = self.now();
        #[cfg(feature = "fault-hook")]
        self.planned.strike_step();
        step(&mut self.call, now);
        self.carry_out(ctx, since);
        self.arm(ctx);
        self.push_if_due(now);
    }

    /// The media socket is lost: a socket that comes with a ticket of the call may take its place.
    pub(super) fn offer_slot(&self, ctx: &Context<Self>) {
        let Some(call) = self.log.call else { return };
        let slot = MediaSlot::new(ctx.address().downgrade(), self.shared.clone(), self.key);
        self.registry.do_send(MediaLost {
            key: self.key,
            call,
            slot,
        });
    }

    /// Keeps the one real timer at or before the machine's next deadline. A deadline that moved back, as the media
    /// watchdog does with every frame, costs nothing: the timer fires early, once, and is set again.
    pub(super) fn arm(&mut self, ctx: &mut Context<Self>) {
        let Some(due) = self.call.poll_timeout() else {
            self.timer = None;
            return;
        };
        if self.timer.as_ref().is_some_and(|(_, armed)| *armed <= due) {
            return;
        }
        let alarm = ActorTimer::once(due.since(self.now()), ctx.address().downgrade());
        self.timer = Some((alarm, due));
    }

    fn push_if_due(&mut self, now: Time) {
        if self
            .pushed
            .is_none_or(|pushed| now.since(pushed) >= PUSH_EVERY)
        {
            self.push();
        }
    }

    /// Pushes the call's row to the registry.
    pub(super) fn push(&mut self) {
        let now = self.now();
        self.pushed = Some(now);
        let snapshot = Box::new(self.call.snapshot(now));
        let bridge = self.shared.bridge().both;
        self.registry.do_send(Push {
            key: self.key,
            snapshot,
            bridge,
            restarts: self.budget.restarts(),
        });
    }
}

/// The wall clock's word for the call's beginning, in milliseconds; asked once, so that it may jump afterwards.
fn accepted_at(shared: &Shared) -> Option<u64> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    u64::try_from(now.saturating_sub(shared.accepted().elapsed()).as_millis()).ok()
}

impl Actor for CallActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(CALL_MAILBOX);
        if let Some(enter) = self.seed.take() {
            self.registry.do_send(*enter);
        }
        // What was due may have met the fault.
        self.timer = None;
        self.guarded(ctx, |actor, ctx| {
            actor.carry_out(ctx, None);
            actor.arm(ctx);
            actor.push();
        });
    }
}

impl Supervised for CallActor {}

impl Drop for CallActor {
    /// An actor that dies by a panic must not stay in the gauge. Nothing in here may panic.
    fn drop(&mut self) {
        if self.state != StateName::Stop {
            if std::thread::panicking() {
                // Its caller is led to another one.
                self.shared.metrics.call_restarted(crate::metrics::PANIC);
            }
            self.shared.metrics.call_ended(
                self.state.label(),
                EndReason::Panicked,
                self.shared.accepted().elapsed(),
            );
        }
    }
}

impl Handler<PhoneSaid> for CallActor {
    type Result = ();

    fn handle(&mut self, message: PhoneSaid, ctx: &mut Self::Context) {
        if self.closing {
            return;
        }
        if !self.is_told && message.event.is_last() {
            self.away = Some(Away {
                last_word: message.event.clone(),
                _held: ctx.address(),
            });
        }
        if let PhoneEvent::Audio(audio) = &message.event {
            let at = self.at(message.at).since(Time::ZERO);
            self.shared.audio.publish(|| AudioEvent::Sound {
                lane: Lane::Caller,
                at,
                payload: audio.payload.clone(),
            });
        }
        self.step(ctx, Some(message.at), |call, now| {
            call.handle(Event::Phone(message.event), now)
        });
    }
}

impl Handler<Replace> for CallActor {
    type Result = ();

    fn handle(&mut self, message: Replace, ctx: &mut Self::Context) {
        self.guarded(ctx, |actor, _| {
            if actor.call.state() == StateName::Stop {
                // It came too late; what follows is asked for again.
                message.phone.do_send(ToPhone::Close { code: 1008 });
                return;
            }
            actor.phone = message.phone;
            actor.pending_stream = Some(message.pending_stream);
            // The socket holds the call from here on.
            actor.away = None;
        });
    }
}

impl Handler<ModelSaid> for CallActor {
    type Result = ();

    fn handle(&mut self, message: ModelSaid, ctx: &mut Self::Context) {
        let event = if message.session == self.session {
            Event::Model(message.event)
        } else if self
            .next
            .as_ref()
            .is_some_and(|(number, _)| *number == message.session)
        {
            Event::Next(message.event)
        } else {
            return;
        };
        self.step(ctx, Some(message.at), |call, now| call.handle(event, now));
    }
}

impl Handler<TimerFired> for CallActor {
    type Result = ();

    fn handle(&mut self, due: TimerFired, ctx: &mut Self::Context) {
        // It may be the word of an alarm that was replaced by an earlier one meanwhile; the machine knows what is due.
        self.timer = None;
        if due.stood_still() {
            self.step(ctx, None, |call, now| {
                call.handle(Event::Operator(OperatorEvent::WokeUp), now)
            });
        }
        self.step(ctx, None, Call::handle_timeout);
    }
}

impl Handler<ToolOver> for CallActor {
    type Result = ();

    fn handle(&mut self, ToolOver(finished): ToolOver, ctx: &mut Self::Context) {
        self.step(ctx, None, |call, now| {
            call.handle(Event::Tool(Box::new(finished)), now)
        });
    }
}

impl Handler<Order> for CallActor {
    type Result = Result<(), Objection>;

    fn handle(&mut self, Order(order): Order, ctx: &mut Self::Context) -> Self::Result {
        let mut answer = Ok(());
        self.guarded(ctx, |actor, ctx| match actor.call.objection(&order) {
            Some(objection) => answer = Err(objection),
            None => actor.take_step(ctx, None, |call, now| {
                call.handle(Event::Operator(order), now)
            }),
        });
        answer
    }
}

impl Handler<SaveAgain> for CallActor {
    type Result = ();

    fn handle(&mut self, SaveAgain(number): SaveAgain, ctx: &mut Self::Context) {
        self.guarded(ctx, |actor, ctx| {
            if actor.checkpoints.is_last(number) {
                actor.write_checkpoint(ctx);
            }
        });
    }
}

impl Handler<Inspect> for CallActor {
    type Result = Result<Inspected, ()>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        // A page that cannot be shown is no fault of the call.
        let inspected = catch_unwind(AssertUnwindSafe(|| Inspected {
            detail: self.call.detail(self.now()),
            bridge_latency_by_way_us: self.shared.bridge(),
        }));
        inspected.map_err(drop)
    }
}
