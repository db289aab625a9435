//! Callers who go to somebody else, and those who come back because nobody took them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Times a caller comes back to the agent from transfers that reached nobody; then the fallback is the better service.
pub const MOST_RETURNS: u32 = 3;

/// Where a caller goes. Its `Debug` and its [`label`](Self::label) show no number.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// A transfer target of the settings, by its name. A model can ask for nothing else.
    Target(String),
    /// A phone number in E.164 form, which only an operator gives.
    Number(String),
}

impl Destination {
    /// The name, or the number in full: for Twilio and the checkpoint only. Names have no `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Target(text) | Self::Number(text) => text,
        }
    }

    /// The destination for logs, records and the model.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Target(name) => name,
            Self::Number(_) => "a number of the operator's",
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text.starts_with('+') {
            Self::Number(text)
        } else {
            Self::Target(text)
        })
    }
}

/// What came of a call to somebody else, as Twilio words it in `DialCallStatus`
/// (<https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// Somebody took the call, and it is over.
    Reached,
    /// Nobody did, and the caller is still there.
    Unreached(Unreached),
}

impl Dialled {
    /// Reads `DialCallStatus` and `DialBridged`. A status that is not documented reached nobody as far as anybody knows,
    /// and neither did one who answered and was not connected: the caller is looked after.
    #[must_use]
    pub fn read(status: &str, bridged: Option<&str>) -> Self {
        match status {
            "completed" | "answered" if bridged == Some("false") => {
                Self::Unreached(Unreached::Declined)
            }
            "completed" | "answered" => Self::Reached,
            "busy" => Self::Unreached(Unreached::Busy),
            "no-answer" => Self::Unreached(Unreached::NoAnswer),
            "canceled" => Self::Unreached(Unreached::Canceled),
            _ => Self::Unreached(Unreached::Failed),
        }
    }
}

/// Why nobody took a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreached {
    /// The line was engaged.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The call was called off before anybody answered.
    Canceled,
    /// Somebody answered and did not take the caller.
    Declined,
    /// The number could not be reached.
    #[serde(other)]
    Failed,
}

impl Unreached {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Busy,
        Self::NoAnswer,
        Self::Canceled,
        Self::Declined,
        Self::Failed,
    ];

    /// The reason with this [`label`](Self::label).
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.label() == label)
    }

    /// Twilio's word for it, where there is one.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Declined => "declined",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Busy => "did not answer (busy)",
            Self::NoAnswer => "did not answer (it rang and nobody picked up)",
            Self::Failed => "could not be reached (the call failed)",
            Self::Canceled => "did not answer (the call was called off)",
            Self::Declined => "answered, but did not take the call",
        }
    }
}

/// A caller who is back from a transfer that reached nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// Who was called; `None` if that is not known any more.
    pub to: Option<Destination>,
    /// Why nobody took the caller.
    pub why: Unreached,
}

impl Returned {
    /// What every session of the call has to know from now on.
    pub(crate) fn note(&self) -> String {
        let to = self.to.as_ref().map_or("somebody else", Destination::label);
        format!(
            "The caller was to be connected with {to}. That failed: {to} {}. The caller is back with you.",
            self.why.words()
        )
    }

    /// The same about a caller who has stayed with the agent.
    pub(crate) fn note_of_one_who_stayed(&self) -> String {
        let to = self.to.as_ref().map_or("somebody else", Destination::label);
        format!(
            "{to} was called for the caller. That failed: {to} {}. The caller is still with you.",
            self.why.words()
        )
    }

    /// What the model is asked to say about it.
    pub(crate) fn news(&self) -> String {
        format!(
            "{} In one or two short sentences tell the caller so, and offer something else.",
            self.note_of_one_who_stayed()
        )
    }

    /// What the model is asked to say first.
    pub(crate) fn instructions(&self) -> String {
        format!(
            "{} Do not greet again. In one or two short sentences tell the caller so, and offer something else.",
            self.note()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_status_is_read_and_an_unknown_one_reached_nobody() {
        let unreached = Dialled::Unreached;
        for (status, dialled) in [
            ("completed", Dialled::Reached),
            ("answered", Dialled::Reached),
            ("busy", unreached(Unreached::Busy)),
            ("no-answer", unreached(Unreached::NoAnswer)),
            ("failed", unreached(Unreached::Failed)),
            ("canceled", unreached(Unreached::Canceled)),
            ("", unreached(Unreached::Failed)),
            ("brand-new", unreached(Unreached::Failed)),
        ] {
            assert_eq!(Dialled::read(status, None), dialled, "{status}");
        }
        let declined = unreached(Unreached::Declined);
        assert_eq!(Dialled::read("completed", Some("false")), declined);
        assert_eq!(Dialled::read("completed", Some("true")), Dialled::Reached);
        let busy = unreached(Unreached::Busy);
        assert_eq!(Dialled::read("busy", Some("false")), busy);
    }

    #[test]
    fn a_number_is_written_down_in_full_and_shown_to_nobody() {
        let number = Destination::Number("+15550142".to_owned());
        let written = serde_json::to_string(&number).unwrap();
        assert_eq!(
            serde_json::from_str::<Destination>(&written).unwrap(),
            number
        );
        let returned = Returned {
            to: Some(number),
            why: Unreached::Busy,
        };
        for shown in [
            format!("{returned:?}"),
            returned.note(),
            returned.instructions(),
        ] {
            assert!(!shown.contains("0142"), "{shown}");
        }
    }

    #[test]
    fn reasons_have_twilios_names_in_a_checkpoint() {
        for why in Unreached::ALL {
            assert_eq!(Unreached::from_label(why.label()), Some(why));
            let written = serde_json::to_value(why).unwrap();
            assert_eq!(written, why.label());
            assert_eq!(serde_json::from_value::<Unreached>(written).unwrap(), why);
        }
        let later: Unreached = serde_json::from_str("\"brand-new\"").unwrap();
        assert_eq!(later, Unreached::Failed);
    }
}
