//! The caller speaks while the agent does: what they have not heard is taken back, unless it is protected.

use super::closing::Stay;
use super::effect::Report;
use super::timers::Timer;
use super::{Call, LOCAL};
use crate::ids::PartKey;
use crate::model::command::ModelCommand;
use crate::model::link::Link;
use crate::phone::playback::Settled;
use crate::time::Time;

impl Call {
    pub(super) fn on_speech_started(&mut self, now: Time) {
        self.stay(Stay::CallerActs);
        self.floor.caller_starts();
        self.timers.stop(Timer::Return);
        if self.is_filled() && !self.setup.agent.protected.filler {
            self.stop_filler(now);
        }
        if self.is_filled() || self.is_protected(now) {
            return;
        }
        let server_cancels = match &self.link {
            Link::Ready(session) => session.interrupts,
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting | Link::Lost => true,
        };
        self.cut_playback(server_cancels, now);
    }

    /// Takes back whatever the caller has not heard, and what was still to be said.
    pub(super) fn cut_playback(&mut self, server_cancels: bool, now: Time) {
        self.cancel_pending_speech(server_cancels, now);
        let Some(playback) = self.state.playback_mut() else {
            return;
        };
        if !playback.is_unheard(now) {
            return;
        }
        let interruption = playback.interrupt(now);
        if interruption.clear {
            self.clear_phone();
        }
        self.timers.stop(Timer::Playback);
        self.timers.stop(Timer::Acknowledge);
        self.tally.barge_ins += 1;
        let heard_ms = interruption
            .parts
            .iter()
            .rfind(|part| part.heard_ms > 0)
            .map_or(0, |part| part.heard_ms);
        self.report(Report::Interrupted { heard_ms });
        self.truncate_history(&interruption.parts, now);
    }

    /// What was still to be said is not.
    pub(super) fn cancel_pending_speech(&mut self, server_cancels: bool, now: Time) {
        self.stop_filler(now);
        self.timers.stop(Timer::Retry);
        self.saying_interrupted();
        // What a lost session said can be taken from the caller, not from the session.
        let has_session = matches!(self.link, Link::Ready(_));
        if let Some(command) = self.floor.cancel(server_cancels || !has_session) {
            self.ask_model(command);
        }
    }

    /// The session's memory is cut to what was heard of these parts.
    pub(super) fn truncate_history(&mut self, parts: &[Settled], now: Time) {
        let has_session = matches!(self.link, Link::Ready(_));
        let mut deleted = None;
        for part in parts {
            self.floor.discard(&part.key.response);
            let is_known = has_session
                && part.key.response.as_str() != LOCAL
                && !self.floor.is_foreign(&part.key.response);
            if is_known && part.cut && deleted.as_ref() != Some(&part.key.item) {
                if self.item_was_heard(part, parts) {
                    self.truncate(part);
                } else {
                    let item = part.key.item.clone();
                    deleted = Some(item.clone());
                    self.ask_model(ModelCommand::Delete { item });
                }
            }
            self.settle(part, now);
        }
    }

    /// Whether the caller heard something of this part's item, be it of another part.
    fn item_was_heard(&self, part: &Settled, parts: &[Settled]) -> bool {
        let item = &part.key.item;
        let now = parts
            .iter()
            .any(|other| other.key.item == *item && other.heard_ms > 0);
        let before = || {
            let mut turns = self.conversation.turns();
            turns.any(|turn| turn.item == *item && turn.heard_ms > 0)
        };
        now || before()
    }

    fn truncate(&mut self, part: &Settled) {
        let PartKey {
            item, part: number, ..
        } = part.key.clone();
        self.ask_model(ModelCommand::Truncate {
            item,
            part: number,
            heard_ms: part.heard_ms,
        });
    }
}
