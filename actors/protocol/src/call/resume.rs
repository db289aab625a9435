//! Checkpoints: when they are due, what is in them, and a call that goes on from one on another media socket.

use std::collections::VecDeque;
use std::time::Duration;

use super::closing::Farewell;
use super::context_notes::Notes;
use super::effect::{Effect, Report};
use super::outcome::{EndReason, NextStep, Returned};
use super::state::State;
use super::{Call, CallSetup};
use crate::checkpoint::{Checkpoint, MAX_BYTES, Standing};
use crate::conversation::{Conversation, KeptTurn};
use crate::phone::Direction;
use crate::time::Time;

pub(super) const GO_ON: &str = "The line was interrupted for a moment and is back; the caller waits. In one short sentence tell the \
                     caller that you are there again and go on where the conversation stopped. Do not greet again.";

/// A dollar in the units of a checkpoint.
const MICRO: f64 = 1e6;

/// What was before this media socket.
#[derive(Debug, Default)]
pub(super) struct Past {
    resumes: u32,
    elapsed_ms: u64,
    /// Turns the agent remembers.
    turns: u64,
    /// A goodbye the caller may not have heard.
    closing: Option<EndReason>,
    /// A transfer that failed and that the caller was not told of yet.
    returned: Option<Returned>,
    /// Transfers that failed.
    returns: u32,
}

impl Call {
    /// A call that goes on from a checkpoint, on a media socket that was accepted at [`Time::ZERO`]. The model is
    /// told the conversation and speaks first, in one sentence, because the caller waits; a call in which nobody had
    /// said anything begins like any other. What the call has lasted counts towards the longest it may.
    #[must_use]
    pub fn resume(mut setup: CallSetup, checkpoint: &Checkpoint) -> Self {
        let elapsed = Duration::from_millis(checkpoint.elapsed_ms);
        setup.max_length = setup.max_length.saturating_sub(elapsed);
        let mut call = Self::new(setup);
        let resumes = checkpoint.resumes.saturating_add(1);
        call.load_checkpoint(checkpoint, resumes, checkpoint.elapsed_ms, Time::ZERO);
        // Millionths of a dollar stay far below 2^52, where f64 is exact.
        #[allow(clippy::cast_precision_loss)]
        let before = checkpoint.cost_micro_usd as f64 / MICRO;
        call.tally.cost_usd = before;
        call
    }

    /// Takes over what a checkpoint holds, on a media socket that was accepted when the call had lasted `before_ms`.
    pub(super) fn load_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        resumes: u32,
        before_ms: u64,
        now: Time,
    ) {
        self.conversation =
            Conversation::resumed(&checkpoint.turns, checkpoint.forgotten, before_ms);
        let closing = match &checkpoint.standing {
            Standing::Leaving { reason, .. } => Some(*reason),
            Standing::Live | Standing::Over { .. } => None,
        };
        self.past = Past {
            resumes,
            elapsed_ms: before_ms,
            turns: self.conversation.count(),
            closing,
            returned: checkpoint.returned.clone(),
            returns: checkpoint.returns,
        };
        self.notes = Notes::of(&checkpoint.notes);
        if let Some(returned) = &checkpoint.returned {
            self.notes.add(returned.note());
        }
        if self.conversation.count() > 0 || checkpoint.returned.is_some() {
            self.floor.owe();
        }
        self.restore_people(checkpoint.called, checkpoint.person.clone(), now);
        self.restore_tools(checkpoint.tools.clone(), now);
    }

    /// The caller has heard the agent since they came back from a transfer.
    pub(super) fn told_of_return(&mut self) {
        self.past.returned = None;
    }

    /// A caller who was about to be transferred from this very stream is still transferred.
    pub(super) fn promise_again(&mut self, checkpoint: &Checkpoint) {
        if let Standing::Leaving { to, .. } = &checkpoint.standing {
            let briefing = checkpoint.briefing.as_ref();
            self.closing.promise_again(to.as_ref(), briefing);
        }
    }

    /// The call as another process would need it. The caller's numbers and the owner's epoch are not the machine's
    /// business; whoever writes this down adds them.
    #[must_use]
    pub fn checkpoint(&self, now: Time) -> Checkpoint {
        let standing = self.standing();
        // A caller who was sent to somebody else may come back, and then goes on where they were.
        let over = match &standing {
            Standing::Over { reason, .. } => *reason != EndReason::Transferred,
            Standing::Live | Standing::Leaving { .. } => false,
        };
        let (forgotten, turns) = if over {
            (self.conversation.count(), VecDeque::new())
        } else {
            self.kept_turns(now)
        };
        // Costs are small and never negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let cost_micro_usd = (self.tally.cost_usd * MICRO).round() as u64;
        let lasted = match &self.state {
            State::Stop(ended) => ended.at,
            State::Accepted(_)
            | State::Connected(_)
            | State::Start(_)
            | State::Media(_)
            | State::Away(_) => now,
        };
        Checkpoint {
            agent: self.setup.agent.name.clone(),
            from: None,
            to: None,
            direction: Direction::Inbound,
            epoch: 0,
            ticket: None,
            resumes: self.past.resumes,
            // Never nothing: a call whose `start` came within the first millisecond has begun, too.
            elapsed_ms: self.past.elapsed_ms + lasted.as_millis().max(1),
            cost_micro_usd,
            forgotten,
            turns,
            standing,
            tools: self.tool_memory().for_checkpoint(),
            notes: self.notes.texts().clone(),
            briefing: self.closing.briefing().cloned().filter(|_| {
                self.closing.destination().is_some() || self.consult_legs.now.is_some()
            }),
            called: self.consult_legs.called,
            person: self.consult_legs.now.clone(),
            returned: self.past.returned.clone(),
            returns: self.past.returns,
        }
    }

    fn standing(&self) -> Standing {
        let to = self.closing.destination().cloned();
        match (&self.state, self.closing.reason()) {
            (State::Stop(ended), _) if ended.reason.next_step() != NextStep::Reconnect => {
                let reason = ended.reason;
                let to = to.filter(|_| reason == EndReason::Transferred);
                Standing::Over { reason, to }
            }
            (_, Some(reason)) => Standing::Leaving { reason, to },
            (_, None) => Standing::Live,
        }
    }

    /// The newest turns, oldest first, as many as a checkpoint may hold; and the number of the others.
    fn kept_turns(&self, now: Time) -> (u64, VecDeque<KeptTurn>) {
        let mut kept = VecDeque::new();
        let mut bytes = 0;
        let turns: Vec<_> = self.conversation.turns().collect();
        for turn in turns.into_iter().rev() {
            let playback = self.state.playback();
            let so_far = playback.and_then(|playback| {
                let heard_ms = playback.heard_ms_of(&turn.item, now)?;
                Some((heard_ms, playback.received_ms_of(&turn.item)?))
            });
            let turn = KeptTurn::of(turn, so_far);
            bytes += turn.text_bytes();
            if bytes > MAX_BYTES {
                break;
            }
            kept.push_front(turn);
        }
        (self.conversation.count() - kept.len() as u64, kept)
    }

    /// A checkpoint is due, once this step is done.
    pub(super) fn keep(&mut self) {
        self.unsaved = self.state.known().is_some();
    }

    /// Has the checkpoint written if one is due.
    pub(super) fn save(&mut self) {
        if std::mem::take(&mut self.unsaved) {
            self.effects.push_back(Effect::Checkpoint);
        }
    }

    /// The last checkpoint, before the socket closes: Twilio asks what follows, and may ask another process.
    pub(super) fn save_last(&mut self, reason: EndReason, had_stream: bool) {
        self.unsaved = false;
        if !had_stream {
            return;
        }
        match reason {
            // The checkpoint is another's.
            EndReason::Superseded | EndReason::Unconfirmed => {}
            // There is nobody left whom Twilio could ask for.
            EndReason::CallerHungUp | EndReason::CallOver | EndReason::GoneMeanwhile => {
                self.effects.push_back(Effect::Forget);
            }
            EndReason::PhoneLost
            | EndReason::PhoneStalled
            | EndReason::NotPlayed
            | EndReason::StreamFailed
            | EndReason::NoStart
            | EndReason::MediaBeforeStart
            | EndReason::SecondStart
            | EndReason::BadIdentifiers
            | EndReason::ForeignCall
            | EndReason::UnsupportedFormat
            | EndReason::TooManyBadMessages
            | EndReason::SocketFault(_)
            | EndReason::ModelRefused
            | EndReason::ModelLost
            | EndReason::ModelSilent
            | EndReason::AgentHungUp
            | EndReason::Transferred
            | EndReason::CallerSilent
            | EndReason::NobodyThere
            | EndReason::OperatorHangUp
            | EndReason::HandedOver
            | EndReason::TooLong
            | EndReason::BudgetReached
            | EndReason::Fault
            | EndReason::Panicked => {
                self.effects.push_back(Effect::Checkpoint);
            }
        }
    }

    /// How often the call went on on another media socket.
    pub(super) const fn resumes(&self) -> u32 {
        self.past.resumes
    }

    /// Milliseconds the call lasted before this media socket.
    pub(super) const fn before_ms(&self) -> u64 {
        self.past.elapsed_ms
    }

    /// Whether the caller is back from a transfer that failed, and was told nothing yet.
    pub(super) const fn is_back_from_transfer(&self) -> bool {
        self.past.returned.is_some()
    }

    /// Whether the caller was told nothing yet of a call that goes on.
    fn is_resuming(&self, now: Time) -> bool {
        let has_past = self.past.turns > 0 || self.is_back_from_transfer();
        has_past && !self.is_heard_here(now)
    }

    /// The session of a resumed call is ready: the agent says the first word, or the goodbye that may not have been
    /// heard. Says whether there was anything to say.
    pub(super) fn go_on(&mut self, now: Time) -> bool {
        if !self.is_resuming(now) {
            return false;
        }
        self.floor.owe();
        match (&self.past.returned, self.past.closing) {
            (Some(returned), _) => self.ask_for_answer(Some(returned.instructions())),
            (None, Some(reason)) => self.leave(reason, Farewell::Asked, now),
            (None, None) => {
                self.runs.going_on = true;
                self.ask_for_answer(Some(GO_ON.to_owned()));
            }
        }
        true
    }

    pub(super) fn tell_if_resumed(&mut self, audible: bool, after_start_ms: u64) {
        if audible {
            // The caller hears it now; the next session knows it from the notes.
            self.past.returned = None;
        }
        if self.past.resumes > 0 {
            self.report(Report::Resumed {
                audible,
                after_start_ms,
                turns: self.past.turns,
                resumes: self.past.resumes,
            });
        }
    }

    /// The call ends, and the caller has not heard the agent again.
    pub(super) fn tell_if_resuming_failed(&mut self, reason: EndReason, now: Time) {
        let waited = self
            .state
            .stream()
            .filter(|stream| !stream.agent_heard)
            .map(|stream| now.millis_since(stream.since));
        let stays = !reason.is_end_at_twilio() && reason.next_step() != NextStep::Reconnect;
        if let Some(waited) = waited.filter(|_| stays) {
            self.tell_if_resumed(false, waited);
        }
    }
}
