//! Keys the caller presses: collected, told to the model once, or bound to an action.

use std::time::Duration;

use super::Call;
use super::closing::{Farewell, Stay};
use super::effect::Report;
use super::outcome::Destination;
use super::timers::Timer;
use crate::ids::ModelId;
use crate::model::command::{ModelCommand, Role};
use crate::time::Time;

/// Keys pressed within this time of each other belong together.
const WINDOW: Duration = Duration::from_millis(1_500);

/// Keys kept; nobody types a longer number.
const MOST: usize = 64;

/// Ends a number at once.
const ENTER: char = '#';

/// The keys the caller presses.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Pressed and not told yet.
    pressed: String,
    /// Numbers told so far.
    told: u32,
}

impl Keys {
    /// Whether the caller is not in the middle of a number.
    pub(super) const fn is_empty(&self) -> bool {
        self.pressed.is_empty()
    }

    /// A key was pressed. How long another one may follow it.
    fn press(&mut self, digit: char) -> Duration {
        if self.pressed.len() < MOST {
            self.pressed.push(digit);
        }
        if digit == ENTER {
            Duration::ZERO
        } else {
            WINDOW
        }
    }

    /// The number that is complete, and which one of the call it is.
    fn take(&mut self) -> (String, u32) {
        self.told += 1;
        (std::mem::take(&mut self.pressed), self.told)
    }
}

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
        let wait = self.keys.press(digit);
        self.timers.set(Timer::Keys, now + wait);
    }

    /// The number is complete: it becomes one item of the conversation.
    pub(super) fn on_keys_due(&mut self, now: Time) {
        if self.keys.is_empty() || !self.model.is_ready() {
            // Told as soon as there is somebody to tell.
            return;
        }
        let (keys, number) = self.keys.take();
        let text = format!("[The caller pressed these keys on the phone: {keys}]");
        self.ask_model(ModelCommand::Tell {
            role: Role::User,
            text,
        });
        let shown = if self.setup.agent.mask_digits {
            "•".repeat(keys.chars().count())
        } else {
            keys
        };
        let item = ModelId::new(&format!("keys-{number}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_number_until_one_ends_it_and_no_longer_than_anybody_types() {
        let mut keys = Keys::default();
        assert_eq!((keys.press('4'), keys.press('2')), (WINDOW, WINDOW));
        assert_eq!(keys.press(ENTER), Duration::ZERO);
        assert_eq!(keys.take(), ("42#".to_owned(), 1));
        assert!(keys.is_empty());
        for _ in 0..2 * MOST {
            keys.press('7');
        }
        assert_eq!(keys.take(), ("7".repeat(MOST), 2));
    }
}
