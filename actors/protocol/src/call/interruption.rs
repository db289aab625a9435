//! The caller speaks while the agent does: what he has not heard is taken back.

use super::effect::Report;
use super::timers::Timer;
use super::{Call, LOCAL};
use crate::model::command::ModelCommand;
use crate::model::link::Link;
use crate::playback::PartKey;
use crate::time::Time;

impl Call {
    /// The caller speaks: whatever he has not heard is taken back.
    pub(super) fn on_speech_started(&mut self, now: Time) {
        self.stay();
        self.caller_speaks = true;
        self.silent_since = None;
        self.retry = None;
        self.timers.stop(Timer::Retry);
        let server_cancels = match &self.link {
            Link::Ready(session) => session.interrupts,
            Link::Dialling { .. } | Link::Configuring(_) | Link::Waiting | Link::Lost => true,
        };
        if let Some(command) = self.responses.interrupt(server_cancels) {
            self.ask_model(command);
        }
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
        for part in &interruption.parts {
            self.responses.discard(&part.key.response);
            let of_item = |other: &&crate::playback::Settled| other.key.item == part.key.item;
            let item_heard = interruption
                .parts
                .iter()
                .filter(of_item)
                .any(|other| other.heard_ms > 0);
            if part.key.response.as_str() != LOCAL && part.cut {
                if item_heard {
                    let PartKey {
                        item, part: number, ..
                    } = part.key.clone();
                    self.ask_model(ModelCommand::Truncate {
                        item,
                        part: number,
                        heard_ms: part.heard_ms,
                    });
                } else if part.key.part == 0 {
                    self.ask_model(ModelCommand::Delete {
                        item: part.key.item.clone(),
                    });
                }
            }
            self.settle(part, now);
        }
    }
}
