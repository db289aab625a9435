//! What every session of a call is told besides the conversation: the operator's instructions, transfers that failed.

use std::collections::VecDeque;

use super::Call;
use crate::model::command::{ModelCommand, Role};

/// Bytes of notes kept for later sessions, the newest; they are paid for with every answer, and a checkpoint holds them.
const MOST: usize = 8 * 1024;

/// Notes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Notes(VecDeque<String>);

impl Notes {
    /// The notes of a checkpoint.
    pub(super) fn of(texts: &VecDeque<String>) -> Self {
        let mut notes = Self::default();
        for text in texts {
            notes.add(text.clone());
        }
        notes
    }

    /// Adds one, unless it is the last one again; the oldest go when there are too many.
    pub(super) fn add(&mut self, text: String) {
        if self.0.back() == Some(&text) {
            return;
        }
        self.0.push_back(text);
        let mut bytes: usize = self.0.iter().map(String::len).sum();
        while bytes > MOST && self.0.len() > 1 {
            bytes -= self.0.pop_front().map_or(0, |oldest| oldest.len());
        }
    }

    /// All of them.
    pub(super) const fn texts(&self) -> &VecDeque<String> {
        &self.0
    }
}

impl Call {
    /// The model is to know this from its next answer on, in this session and those after it.
    pub(super) fn note(&mut self, text: String) {
        if self.model.is_ready() {
            self.tell_note(text.clone());
        }
        self.model.notes.add(text);
        self.keep();
    }

    /// A session begins that knows none of the notes.
    pub(super) fn tell_notes(&mut self) {
        for text in self.model.notes.texts().clone() {
            self.tell_note(text);
        }
    }

    fn tell_note(&mut self, text: String) {
        let role = Role::System;
        self.ask_model(ModelCommand::Tell { role, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_notes_stay_and_none_is_kept_twice_in_a_row() {
        let mut notes = Notes::default();
        for number in 0..20 {
            for _ in 0..2 {
                notes.add(format!("{number} {}", "word ".repeat(200)));
            }
        }
        let kept: Vec<_> = notes.texts().iter().map(|text| &text[..2]).collect();
        assert_eq!(kept, ["12", "13", "14", "15", "16", "17", "18", "19"]);
        notes.add("x".repeat(2 * MOST));
        assert_eq!(
            notes.texts().len(),
            1,
            "one that is too long by itself is told all the same"
        );
    }
}
