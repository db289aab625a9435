//! What the caller hears while a tool takes long.

use std::time::Duration;

use crate::call::Call;
use crate::call::protection::TOOL_FILLER;
use crate::call::timers::Timer;
use crate::time::Time;
use crate::tool::FillerWords;

/// A filler after the first one comes no sooner than this.
const FILLER_AGAIN: Duration = Duration::from_secs(4);

impl Call {
    /// The line is quiet, or is not: silence with a tool running is filled.
    pub(in crate::call) fn watch_tool_filler(&mut self, quiet: bool, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(filler) = agent
            .tools
            .filler
            .as_ref()
            .filter(|_| quiet && self.tools.runs.awaits())
        else {
            self.timers.stop(Timer::ToolFiller);
            return;
        };
        if !self.timers.is_set(Timer::ToolFiller) {
            let after = if self.tools.runs.fillers == 0 {
                filler.after
            } else {
                filler.after.max(FILLER_AGAIN)
            };
            self.timers.set(Timer::ToolFiller, now + after);
        }
    }

    pub(in crate::call) fn on_tool_filler_due(&mut self, now: Time) {
        let agent = self.setup.agent.clone();
        let Some(filler) = agent
            .tools
            .filler
            .as_ref()
            .filter(|_| self.tools.runs.awaits())
        else {
            return;
        };
        self.tools.runs.fillers += 1;
        match &filler.words {
            FillerWords::Model { instructions } => {
                self.ask_for_answer(Some(instructions.clone()));
            }
            FillerWords::Clip { audio, text } => {
                let item = format!("{TOOL_FILLER}{}", now.as_millis());
                self.play_clip(&item, audio, text, now);
                self.tell_of_clip(text);
            }
        }
    }
}
