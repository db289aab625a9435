//! Effects of the machine, carried out.

use std::time::Instant;

use actix::prelude::SendError;
use actix::{AsyncContext, Context};
use call_protocol::call::effect::Effect;
use call_protocol::call::end::EndReason;
use call_protocol::model::command::ModelCommand;

use super::actor::CallActor;
use crate::messages::{ToModel, ToPhone};
use crate::openai::ModelLine;

impl CallActor {
    /// Carries out all effects; `since` is when the event that caused them was read from its socket.
    pub(super) fn carry_out(&mut self, ctx: &mut Context<Self>, since: Option<Instant>) {
        while let Some(effect) = self.call.poll_effect() {
            match effect {
                Effect::ToModel(command) => self.send_model(command, since),
                Effect::Play { stream, payload } => self.send_phone(ToPhone::Play {
                    stream,
                    payload,
                    since,
                }),
                Effect::Mark { stream, name } => self.send_phone(ToPhone::Mark { stream, name }),
                Effect::Clear { stream } => self.send_phone(ToPhone::Clear { stream }),
                Effect::ClosePhone { code } => {
                    self.closing = self.keeper.close_after_last(self.phone.clone(), code);
                }
                Effect::Checkpoint => self.write_checkpoint(ctx),
                Effect::Forget => {
                    if let Some(call) = self.log.call {
                        self.keeper.forget(call);
                    }
                }
                Effect::DialModel => self.dial_model(ctx),
                // Dropping the line hangs up, whatever the socket is doing.
                Effect::CloseModel => {
                    self.session += 1;
                    self.model = None;
                }
                Effect::Report(report) => self.tell(report),
            }
        }
    }

    fn write_checkpoint(&mut self, ctx: &mut Context<Self>) {
        if let Some(call) = self.log.call {
            let checkpoint = self.call.checkpoint(self.now());
            let owner = ctx.address().downgrade();
            self.keeper.save(call, checkpoint, owner);
        }
    }

    /// Takes the session that was dialled early, or dials one.
    fn dial_model(&mut self, ctx: &mut Context<Self>) {
        self.session += 1;
        let call = ctx.address().downgrade();
        if let Some(early) = self.early.take()
            && early.adopt(self.session, &self.shared, call.clone())
        {
            self.model = Some(early);
            return;
        }
        let line = ModelLine::dial(
            self.session,
            &self.model_url,
            &self.dialler,
            &self.shared,
            call,
        );
        self.model = Some(line);
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
        } else if !model.offer(message) {
            self.shared.metrics.frames_from_caller.dropped.inc();
        }
    }
}
