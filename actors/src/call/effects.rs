//! Effects of the machine, carried out.

use std::time::Instant;

use actix::prelude::SendError;
use actix::{AsyncContext, Context};
use call_protocol::call::effect::Effect;
use call_protocol::call::event::{Event, OperatorEvent};
use call_protocol::call::outcome::{ConsultCall, ConsultEvent, EndReason, Unreached};
use call_protocol::checkpoint::Standing;
use call_protocol::model::command::ModelCommand;
use call_protocol::model::event::ModelEvent;
use call_protocol::time::Time;
use call_protocol::tool::ToolRun;

use super::actor::CallActor;
use crate::events::{AudioEvent, Lane};
use crate::messages::{Order, ToModel, ToPhone, ToolOver};
use crate::openai::{ModelLine, Offered};
use crate::tools::Caller;
#[cfg(not(feature = "fault-hook"))]
use crate::tools::Stop;

impl CallActor {
    /// Carries out all effects; `since` is when the event that caused them was read from its socket.
    pub(super) fn carry_out(&mut self, ctx: &mut Context<Self>, since: Option<Instant>) {
        self.carry_out_each(ctx, since);
        if std::mem::take(&mut self.media_lost) {
            self.offer_slot(ctx);
        }
    }

    fn carry_out_each(&mut self, ctx: &mut Context<Self>, since: Option<Instant>) {
        while let Some(effect) = self.call.poll_effect() {
            #[cfg(feature = "fault-hook")]
            self.planned.strike_effect();
            match effect {
                Effect::ToModel(command) => self.send_model(command, since),
                Effect::Play {
                    stream,
                    payload,
                    begins,
                } => {
                    self.shared.audio.publish(|| AudioEvent::Sound {
                        lane: Lane::Agent,
                        at: begins.since(Time::ZERO),
                        payload: payload.clone(),
                    });
                    self.send_phone(ToPhone::Play {
                        stream,
                        payload,
                        since,
                    });
                }
                Effect::Mark { stream, name } => self.send_phone(ToPhone::Mark { stream, name }),
                Effect::Clear { stream } => {
                    let at = self.now().since(Time::ZERO);
                    self.shared.audio.publish(|| AudioEvent::Cut { at });
                    self.send_phone(ToPhone::Clear { stream, since });
                }
                Effect::ClosePhone { code } => {
                    self.closing = self.checkpoints.close_after_last(self.phone.clone(), code);
                }
                // It was done before a fault.
                Effect::Checkpoint | Effect::Forget if self.is_told => {}
                Effect::Checkpoint => self.write_checkpoint(ctx),
                Effect::Forget => {
                    if let Some(call) = self.log.call {
                        let parting = self.checkpoints.forget(call);
                        self.ownership_check = Some((parting, ctx.address()));
                    }
                }
                Effect::DialModel => self.dial_model(ctx),
                // Dropping the line hangs up, whatever the socket is doing.
                Effect::CloseModel => {
                    self.session = 0;
                    self.model = None;
                }
                Effect::DialNext => {
                    let line = self.dial_line(ctx);
                    self.next = Some((self.dialled, line));
                }
                Effect::ToNext(command) => {
                    if let Some((_, next)) = &self.next {
                        next.tell(ToModel::Command {
                            command,
                            since: None,
                        });
                    }
                }
                Effect::CloseNext => self.next = None,
                Effect::TakeNext => {
                    let (session, model) = self.next.take().unzip();
                    self.session = session.unwrap_or(0);
                    self.model = model;
                }
                Effect::RunTool(run) => self.run_tool(*run, ctx),
                Effect::DialConsult(person) => self.call_person(*person, ctx),
                Effect::EndConsult(person) => {
                    if let (Some(people), Some(call)) = (self.consult_legs.clone(), self.log.call) {
                        people.end(call, person);
                    }
                }
                Effect::Report(report) => self.tell(report),
            }
        }
    }

    pub(super) fn write_checkpoint(&mut self, ctx: &mut Context<Self>) {
        if let Some(call) = self.log.call {
            let checkpoint = self.call.checkpoint(self.now());
            if matches!(checkpoint.standing, Standing::Over { .. }) {
                let parting = self.checkpoints.conclude(call, checkpoint);
                self.ownership_check = Some((parting, ctx.address()));
                return;
            }
            let owner = ctx.address().downgrade();
            #[cfg(feature = "fault-hook")]
            let stops = self.planned.take_checkpoint(&checkpoint);
            self.checkpoints.save(call, checkpoint, owner);
            #[cfg(feature = "fault-hook")]
            if stops {
                let owner = ctx.address().downgrade();
                self.checkpoints.stand_still_after_last(owner);
            }
        }
    }

    /// Takes the session that was dialled early, or dials one.
    fn dial_model(&mut self, ctx: &mut Context<Self>) {
        if let Some(early) = self.early.take() {
            let call = ctx.address().downgrade();
            self.dialled += 1;
            if early.adopt(self.dialled, &self.shared, call) {
                self.session = self.dialled;
                self.model = Some(early);
                return;
            }
        }
        let line = self.dial_line(ctx);
        self.session = self.dialled;
        self.model = Some(line);
    }

    /// Dials a session of its own number.
    fn dial_line(&mut self, ctx: &mut Context<Self>) -> ModelLine {
        self.dialled += 1;
        let agent = &self.call.setup().agent.name;
        let model_url = self.other_urls.get(agent).unwrap_or(&self.model_url);
        ModelLine::dial(
            self.dialled,
            model_url,
            &self.dialler,
            &self.shared,
            ctx.address().downgrade(),
        )
    }

    /// Runs a tool on this thread, but not in this actor: it outlives a fault of the call, and its end.
    fn run_tool(&mut self, run: ToolRun, ctx: &Context<Self>) {
        let Some(call) = self.call.call_sid() else {
            return;
        };
        let caller = Caller {
            call,
            number: self.number.0.clone(),
            agent: self.call.setup().agent.name.clone(),
        };
        let (tools, actor) = (self.tools.clone(), ctx.address().downgrade());
        #[cfg(feature = "fault-hook")]
        let planned = self.planned.take_tool();
        actix::spawn(async move {
            #[cfg(feature = "fault-hook")]
            let stop = crate::fault::strike_tool(planned);
            #[cfg(not(feature = "fault-hook"))]
            let stop = Stop::default();
            let finished = tools.run_with(run, caller, stop).await;
            if let Some(actor) = actor.upgrade() {
                actor.do_send(ToolOver(finished));
            }
        });
    }

    fn call_person(&self, person: ConsultCall, ctx: &Context<Self>) {
        if let (Some(people), Some(call)) = (self.consult_legs.clone(), self.call.call_sid()) {
            people.call(call, person, ctx.address().downgrade());
            return;
        }
        let (attempt, why) = (person.attempt, Unreached::Failed);
        let gone = OperatorEvent::Consult(ConsultEvent::Gone { attempt, why });
        ctx.address().do_send(Order(gone));
    }

    fn send_phone(&mut self, message: ToPhone) {
        match self.phone.try_send(message) {
            Ok(()) => {}
            Err(SendError::Full(_)) => {
                // The session is not polled: Twilio does not read. What it was sent is bounded by the ledger's lead.
                let now = self.now();
                self.call.end(EndReason::PhoneStalled, now);
            }
            // Its death is on the way here as a message.
            Err(SendError::Closed(_)) => {}
        }
    }

    fn send_model(&mut self, command: ModelCommand, since: Option<Instant>) {
        let Some(model) = &self.model else {
            return;
        };
        let audio = matches!(command, ModelCommand::Append(_));
        let message = ToModel::Command { command, since };
        if !audio {
            model.tell(message);
            return;
        }
        match model.offer(message) {
            Offered::Taken => return,
            Offered::Gone => {}
            Offered::Full => {
                // Not slow, which it bears itself, but stuck.
                let now = self.now();
                self.call
                    .handle(Event::Model(ModelEvent::Unresponsive), now);
            }
        }
        self.shared.metrics.frames_from_caller.dropped.inc();
    }
}
