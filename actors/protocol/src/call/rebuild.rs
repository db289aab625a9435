//! A machine built anew after a fault: from the value that failed, and when that fails again, from the last checkpoint.

use super::effect::{Effect, Report};
use super::error_budget::ErrorBudget;
use super::state::{State, Stream};
use super::timers::{Timer, Timers};
use super::{Call, CallSetup, MEDIA_TIMEOUT, START_TIMEOUT, Tally, absence};
use crate::checkpoint::Checkpoint;
use crate::model::command::ModelCommand;
use crate::model::link::{CONFIGURE_TIMEOUT, DIAL_TIMEOUT, Link};
use crate::phone::gaps::CallerClock;
use crate::phone::playback::Playback;
use crate::phone::{CallSid, StreamSid};
use crate::time::Time;

/// What of a call that failed is still good: who it is, and plain numbers. Everything else of it may be what fails.
#[derive(Debug)]
pub struct Salvage {
    setup: CallSetup,
    call: CallSid,
    stream: StreamSid,
    agent_heard: bool,
    epoch: u32,
    sessions: u32,
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
            phone_errors: ErrorBudget::default(),
            model_errors: ErrorBudget::default(),
            ..self
        };
        call.floor.rebuild();
        if let State::Stop(_) = &call.state {
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
            | Effect::ToModel(ModelCommand::Respond { .. }) => keep_playback,
            Effect::DialModel
            | Effect::CloseModel
            | Effect::DialNext
            | Effect::ToNext(_)
            | Effect::CloseNext
            | Effect::TakeNext
            | Effect::ToModel(_)
            | Effect::ClosePhone { .. }
            | Effect::DialConsult(_)
            | Effect::EndConsult(_)
            | Effect::Checkpoint
            | Effect::Forget
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
        match &call.state {
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
        match &call.link {
            Link::Dialling { .. } => call.timers.set(Timer::Dial, now + DIAL_TIMEOUT),
            Link::Configuring(_) => call.timers.set(Timer::Configure, now + CONFIGURE_TIMEOUT),
            Link::Waiting if matches!(call.state, State::Away(_)) => {}
            Link::Waiting => call.timers.set(Timer::Redial, now),
            Link::Ready(_) | Link::Lost => {}
        }
        if !keep_playback && let Some(playback) = call.state.playback_mut() {
            let was_speaking = playback.is_unheard(now) && !call.wait.is_filled();
            playback.interrupt(now);
            *playback = Playback::default();
            call.wait.forget_ledger();
            call.epoch += 1;
            call.floor.forget_responses();
            call.sayings.ask_again();
            call.clear_phone();
            if was_speaking && matches!(call.link, Link::Ready(_)) {
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
        let stream = self.state.stream()?;
        Some(Salvage {
            setup: self.setup.clone(),
            call: stream.call,
            stream: stream.sid,
            agent_heard: stream.agent_heard,
            epoch: self.epoch,
            sessions: self.sessions,
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
        // The ledger of before is given up: its marks must not be taken for those of the new one.
        call.epoch = remains.epoch + 1;
        call.sessions = remains.sessions;
        call.tally = remains.tally;
        call.state = State::Media(Stream {
            sid: remains.stream,
            call: remains.call,
            playback: Playback::default(),
            since: now,
            sequence: None,
            clock: CallerClock::default(),
            agent_heard: remains.agent_heard,
        });
        let state = call.state.name();
        call.report(Report::State(state));
        call.clear_phone();
        call.effects.push_back(Effect::CloseModel);
        call.effects.push_back(Effect::CloseNext);
        call.load_checkpoint(checkpoint, remains.resumes, remains.before_ms, now);
        if remains.agent_heard {
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
