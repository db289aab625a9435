//! Keys the caller presses: collected, told to the model once, or bound to an action.

use std::time::Duration;

use super::Call;
use super::closing::{Farewell, Stay};
use super::effect::Report;
use super::outcome::Destination;
use super::timers::Timer;
use crate::ids::ModelId;
use crate::model::command::{ModelCommand, Role};
use crate::model::link::Link;
use crate::time::Time;

/// Keys pressed within this time of each other belong together.
const WINDOW: Duration = Duration::from_millis(1_500);

/// Keys kept; nobody types a longer number.
const MOST: usize = 64;

/// Ends a number at once.
const ENTER: char = '#';

impl Call {
    pub(super) fn take_key(&mut self, digit: char, now: Time) {
        self.stay(Stay::CallerActs);
        if self.keys.is_empty()
            && let Some(target) = self.setup.agent.keys.get(&digit).cloned()
        {
            // The caller does not want to hear the rest. No server cancels because of a key.
            self.cut_playback(false, now);
            self.connect(Destination::Target(target), Farewell::Asked, now);
            return;
        }
        if self.keys.len() < MOST {
            self.keys.push(digit);
        }
        let wait = if digit == ENTER {
            Duration::ZERO
        } else {
            WINDOW
        };
        self.timers.set(Timer::Keys, now + wait);
    }

    /// The number is complete: it becomes one item of the conversation.
    pub(super) fn on_keys_due(&mut self, now: Time) {
        if self.keys.is_empty() || !matches!(self.link, Link::Ready(_)) {
            // Told as soon as there is somebody to tell.
            return;
        }
        let keys = std::mem::take(&mut self.keys);
        let text = format!("[The caller pressed these keys on the phone: {keys}]");
        self.ask_model(ModelCommand::Tell {
            role: Role::User,
            text,
        });
        self.key_presses += 1;
        let shown = if self.setup.agent.mask_digits {
            "•".repeat(keys.chars().count())
        } else {
            keys
        };
        let item = ModelId::new(&format!("keys-{}", self.key_presses));
        if let Some(turn) =
            self.conversation
                .caller_words(&item, Some(format!("[keys {shown}]")), now)
        {
            self.report(Report::Turn(Box::new(turn)));
        }
        self.on_real_turn(now);
        self.caller_asks();
        self.ask_for_answer(None);
    }
}
