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
use call_protocol::model::session::SessionId;
use call_protocol::time::Time;
use call_protocol::tool::ToolRun;

use super::actor::CallActor;
use crate::events::{AudioEvent, Lane};
use crate::failpoints;
use crate::messages::{Order, ToModel, ToPhone, ToolOver};
use crate::openai::{ModelLine, Offered};
use crate::tools::Caller;

impl CallActor {
    /// Carries out all effects; `since` is when the event that caused them was read from its socket.
    pub(super) fn carry_out(&mut self, ctx: &mut Context<Self>, since: Option<Instant>) {
        self.learn_names();
        self.carry_out_each(ctx, since);
        let is_away = self.call.is_away();
        if is_away && !self.slot_offered {
            self.offer_slot(ctx);
        }
        self.slot_offered = is_away;
    }

    /// A stream has begun: its socket is not one of those that wait for `start` any more.
    fn learn_names(&mut self) {
        let Some((call, stream)) = self.call.known() else {
            return;
        };
        if self.log.stream != Some(stream) {
            self.pending_stream = None;
            self.log.stream = Some(stream);
            self.log.call = Some(call);
        }
    }

    fn carry_out_each(&mut self, ctx: &mut Context<Self>, since: Option<Instant>) {
        while let Some(effect) = self.call.poll_effect() {
            failpoints::hit("call.effect", self.log.call());
            match effect {
                Effect::ToModel(session, command) => self.send_model(session, command, since),
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
                    // After a fault the machine may not know of all that were dialled.
                    self.lines.clear();
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
                Effect::DialModel(session) => {
                    let line = self.dial_model(session, ctx);
                    self.lines.push((session, line));
                }
                // Dropping the line hangs up, whatever the socket is doing.
                Effect::CloseModel(session) => self.lines.retain(|(id, _)| *id != session),
                Effect::RunTool(run) => self.run_tool(*run, ctx),
                Effect::DialConsult(person) => self.call_person(*person, ctx),
                Effect::EndConsult(person) => {
                    if let (Some(people), Some(call)) = (self.consult_legs.clone(), self.log.call) {
                        people.end(call, person);
                    }
                }
                Effect::Stopped(summary) => self.stop(*summary),
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
            self.checkpoints.save(call, checkpoint, owner);
        }
    }

    /// Opens a session's line: the one that was dialled early, or another.
    fn dial_model(&mut self, session: SessionId, ctx: &mut Context<Self>) -> ModelLine {
        let call = ctx.address().downgrade();
        if let Some(early) = self.early.take()
            && early.adopt(session, &self.shared, call.clone())
        {
            return early;
        }
        let agent = &self.call.setup().agent.name;
        let model_url = self.other_urls.get(agent).unwrap_or(&self.model_url);
        ModelLine::dial(session, model_url, &self.dialler, &self.shared, call)
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
        actix::spawn(async move {
            failpoints::pass("tool.begin", caller.call.as_str()).await;
            let finished = tools.run(run, caller).await;
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

    fn send_model(&mut self, session: SessionId, command: ModelCommand, since: Option<Instant>) {
        let Some(model) = self.line(session) else {
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
                let event = ModelEvent::Unresponsive;
                self.call.handle(Event::Model { session, event }, now);
            }
        }
        self.shared.metrics.frames_from_caller.dropped.inc();
    }
}
