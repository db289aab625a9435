//! One rung of the ladder: what broke, what was needed to survive it, what the caller heard.

use serde_json::{Value, json};

use super::silence_meter::{Sounds, Wait};

/// Since when the agent should speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// It was speaking when something broke, at that moment of the call in milliseconds.
    Moment(u64),
    /// It was the caller's turn: since their last word.
    LastWord,
}

/// What is known of a rung.
#[derive(Debug)]
pub(super) struct FaultStep {
    number: &'static str,
    what: &'static str,
    since: Since,
    /// The caller had heard the agent again, to an end, by that moment of the call in milliseconds.
    pub(super) until_ms: u64,
    /// What the caller heard.
    pub(super) heard: String,
    notes: Vec<String>,
    /// What should have been and was not.
    lacks: Vec<&'static str>,
}

impl FaultStep {
    pub(super) const fn new(number: &'static str, what: &'static str, since: Since) -> Self {
        Self {
            number,
            what,
            since,
            until_ms: 0,
            heard: String::new(),
            notes: Vec::new(),
            lacks: Vec::new(),
        }
    }

    /// Something it takes to have survived.
    pub(super) fn needs(&mut self, what: &'static str, is_so: bool) {
        if !is_so {
            self.lacks.push(what);
        }
    }

    /// Something worth knowing.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// What is worth knowing, and what is missing.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let lacks = self.lacks.iter().map(|what| format!("NOT SO: {what}"));
        self.notes.iter().cloned().chain(lacks)
    }

    /// With the figures of the call.
    pub(super) fn measured(self, sounds: &Sounds) -> Measured {
        let from_ms = match self.since {
            Since::Moment(moment) => Some(moment),
            Since::LastWord => sounds.last_word_before(self.until_ms),
        };
        let wait = from_ms.and_then(|from| sounds.between(from, self.until_ms));
        Measured { rung: self, wait }
    }
}

/// A rung and what the wait was like.
#[derive(Debug)]
pub(super) struct Measured {
    rung: FaultStep,
    /// `None` if the agent was not heard again.
    wait: Option<Wait>,
}

/// Above the rows.
pub(super) const HEAD: &str = "rung  what broke                                silence  agent again   filler  survived  what the caller heard";

impl Measured {
    /// The agent was heard again, and everything else is as it should be.
    pub(super) fn survived(&self) -> bool {
        self.wait.is_some() && self.rung.lacks.is_empty()
    }

    /// One line of the table.
    pub(super) fn row(&self) -> String {
        let ms = |of: fn(&Wait) -> u64| match &self.wait {
            Some(wait) => format!("{} ms", of(wait)),
            None => "never".to_owned(),
        };
        let filler = match &self.wait {
            Some(wait) if wait.filler_ms > 0 => format!("{} ms", wait.filler_ms),
            Some(_) | None => "–".to_owned(),
        };
        format!(
            "{:<4}  {:<38} {:>9}  {:>11}  {:>7}  {:<8}  {}",
            self.rung.number,
            self.rung.what,
            ms(|wait| wait.silence_ms),
            ms(|wait| wait.without_agent_ms),
            filler,
            if self.survived() { "yes" } else { "NO" },
            self.rung.heard,
        )
    }

    /// The same for a file.
    pub(super) fn json(&self) -> Value {
        json!({
            "rung": self.rung.number,
            "what": self.rung.what,
            "silence_ms": self.wait.map(|wait| wait.silence_ms),
            "until_the_agent_again_ms": self.wait.map(|wait| wait.without_agent_ms),
            "filler_ms": self.wait.map(|wait| wait.filler_ms),
            "survived": self.survived(),
            "heard": self.rung.heard,
            "notes": self.rung.notes().collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_without_the_agent_or_with_something_missing_is_not_survived() {
        let sounds = Sounds::default();
        let unheard = FaultStep::new("1", "panic", Since::Moment(0)).measured(&sounds);
        assert!(!unheard.survived());
        assert!(unheard.row().contains("never") && unheard.row().contains("NO"));
        assert_eq!(unheard.json()["silence_ms"], Value::Null);

        let mut rung = FaultStep::new("1", "panic", Since::Moment(0));
        rung.needs("that it rains", true);
        assert_eq!(rung.notes().count(), 0);
        rung.needs("that it shines", false);
        let wait = Some(Wait {
            silence_ms: 12,
            without_agent_ms: 34,
            filler_ms: 0,
        });
        let lacking = Measured { rung, wait };
        assert!(!lacking.survived());
        assert!(lacking.row().contains("12 ms"), "{}", lacking.row());
        assert_eq!(lacking.json()["notes"][0], "NOT SO: that it shines");
    }
}
