//! A machine built anew after a fault: from the value that failed, and when that fails again, from the last checkpoint.

use crate::call::effect::{Effect, Report};
use crate::call::model_leg::{self, ModelLeg};
use crate::call::phone_leg::{self, PhoneLeg};
use crate::call::state::State;
use crate::call::timers::{Timer, Timers};
use crate::call::{Call, CallSetup, MEDIA_TIMEOUT, START_TIMEOUT, Tally, absence};
use crate::checkpoint::Checkpoint;
use crate::model::command::ModelCommand;
use crate::model::session::{CONFIGURE_TIMEOUT, DIAL_TIMEOUT, Phase};
use crate::time::Time;

/// What of a call that failed is still good: who it is, and plain numbers. Everything else of it may be what fails.
#[derive(Debug)]
pub struct Salvage {
    setup: CallSetup,
    phone: phone_leg::Remains,
    model: model_leg::Remains,
    resumes: u32,
    before_ms: u64,
    tally: Tally,
}

impl Call {
    /// Builds the machine anew after a fault in a step or in carrying out its effects, on the sockets it had: same
    /// stream, same session, same conversation. What was not carried out yet is still to be. With `keep_playback` the
    /// ledger goes on, too; without it (the fault came back) what was waiting is given up and the model is asked to go
    /// on.
    #[must_use]
    pub fn rebuild(mut self, keep_playback: bool, now: Time) -> Self {
        let mut unsent: Vec<Effect> = self.effects.drain(..).collect();
        let is_back = self.timers.is_set(Timer::Return);
        let mut call = Self {
            timers: Timers::default(),
            ..self
        };
        call.phone.forgive();
        call.floor.rebuild();
        if call.is_over() {
            // The fault may have struck between any two of them.
            unsent.retain(|effect| !effect.concludes());
            call.effects.extend(unsent);
            call.conclude();
            return call;
        }
        // Ahead of all that follows, as it came before it. Tools have their own way of being begun again.
        let is_kept = |effect: &mut Effect| match effect {
            Effect::RunTool(_) => false,
            Effect::Play { .. }
            | Effect::Mark { .. }
            | Effect::Clear { .. }
            | Effect::ToModel(_, ModelCommand::Respond { .. }) => keep_playback,
            Effect::DialModel(_)
            | Effect::CloseModel(_)
            | Effect::ToModel(..)
            | Effect::ClosePhone { .. }
            | Effect::DialConsult(_)
            | Effect::EndConsult(_)
            | Effect::Checkpoint
            | Effect::Forget
            | Effect::Stopped(_)
            | Effect::Report(_) => true,
        };
        call.effects.extend(unsent.extract_if(.., is_kept));
        call.watch_length();
        call.watch_turns(now);
        if is_back {
            call.timers.set(Timer::Return, now + absence::ASKED_AFTER);
        }
        let leave = call.closing.watch_again(now);
        call.timers.set_or_stop(Timer::Leave, leave);
        if !call.keys.is_empty() {
            call.timers.set(Timer::Keys, now);
        }
        match call.phone.state() {
            State::Accepted(_) | State::Connected(_) => {
                call.timers.set(Timer::Start, now + START_TIMEOUT)
            }
            State::Away(absence) => {
                call.timers.set(Timer::Start, absence.until);
                call.timers.set(Timer::Park, now);
            }
            State::Start(_) | State::Media(_) => call.timers.set(Timer::Media, now + MEDIA_TIMEOUT),
            State::Stop(_) => {}
        }
        match call.model.current().phase() {
            Phase::Dialling { .. } => call.timers.set(Timer::Dial, now + DIAL_TIMEOUT),
            Phase::Configuring(_) => call.timers.set(Timer::Configure, now + CONFIGURE_TIMEOUT),
            Phase::Draining if call.is_away() => {}
            Phase::Draining => call.timers.set(Timer::Redial, now),
            Phase::Ready(_) | Phase::Over => {}
        }
        if !keep_playback && let Some(playback) = call.phone.playback() {
            let was_speaking = playback.is_unheard(now) && !call.wait.is_filled();
            call.phone.begin_ledger(now);
            call.wait.forget_ledger();
            call.floor.forget_responses();
            call.sayings.ask_again();
            call.clear_phone();
            if was_speaking && call.model.is_ready() {
                call.ask_for_answer(None);
            }
        }
        call.watch_person(now);
        call.revive_tools(unsent, now);
        // A mark may have been lost with the step that failed.
        call.with_playback(now, |playback, mut out| playback.mark_again(&mut out));
        call.catch_up(now);
        call.watch_next_session(now);
        call.pump(now);
        call.after_step(now);
        call
    }

    /// What is left if this value is given up; `None` while no stream lives, as a checkpoint cannot replace what is said
    /// before one.
    #[must_use]
    pub fn salvage(&self) -> Option<Salvage> {
        Some(Salvage {
            phone: self.phone.remains()?,
            setup: self.setup.clone(),
            model: self.model.remains(),
            resumes: self.resumes(),
            before_ms: self.before_ms(),
            tally: self.tally.clone(),
        })
    }

    /// Builds the machine anew from what was written down last, on the phone's socket alone: same stream, another
    /// session, the conversation as it was kept. The model speaks first, as after any interruption.
    #[must_use]
    pub fn rebuild_from_checkpoint(remains: Salvage, checkpoint: &Checkpoint, now: Time) -> Self {
        let mut call = Self::bare(remains.setup);
        call.phone = PhoneLeg::after(remains.phone, now);
        call.model = ModelLeg::after(remains.model, call.setup.seed);
        call.tally = remains.tally;
        let state = call.state();
        call.report(Report::State(state));
        call.clear_phone();
        let open = [remains.model.standby, Some(remains.model.current)];
        for id in open.into_iter().flatten() {
            call.effects.push_back(Effect::CloseModel(id));
        }
        call.load_checkpoint(checkpoint, remains.resumes, remains.before_ms, now);
        if remains.phone.agent_heard {
            call.told_of_return();
        }
        call.promise_again(checkpoint);
        call.timers.set(Timer::Media, now + MEDIA_TIMEOUT);
        call.watch_length();
        call.watch_turns(now);
        call.dial(now);
        call.after_step(now);
        call
    }
}
