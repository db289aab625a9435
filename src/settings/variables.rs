//! Variables in an agent's instructions: `{{caller}}` and others, filled when a call is set up.

use super::error::SettingsError;
use switchboard_base::nearest;

/// What instructions can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The caller's number, `unknown` when it is withheld.
    Caller,
    /// The time on the clock of the house, and the part of the day.
    TimeOfDay,
    /// The date there, with the weekday.
    Date,
    /// When the house is open.
    OpeningHours,
    /// The agent's name in the settings.
    Agent,
}

impl Variable {
    /// All variables by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("caller", Self::Caller),
        ("time_of_day", Self::TimeOfDay),
        ("date", Self::Date),
        ("opening_hours", Self::OpeningHours),
        ("agent", Self::Agent),
    ];

    /// Whether the clock of the house says it.
    #[must_use]
    pub const fn is_of_the_house(self) -> bool {
        match self {
            Self::TimeOfDay | Self::Date | Self::OpeningHours => true,
            Self::Caller | Self::Agent => false,
        }
    }

    fn read(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, variable)| *variable)
    }
}

/// A stretch of instructions.
enum Piece<'a> {
    Text(&'a str),
    /// The name between the braces.
    Named(&'a str),
    /// Braces that are never closed.
    Open,
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(inside) = rest.strip_prefix("{{") else {
            let end = rest.find("{{").unwrap_or(rest.len());
            let (text, behind) = rest.split_at(end);
            rest = behind;
            return Some(Piece::Text(text));
        };
        match inside.split_once("}}") {
            Some((name, behind)) => {
                rest = behind;
                Some(Piece::Named(name))
            }
            None => {
                rest = "";
                Some(Piece::Open)
            }
        }
    })
}

/// Refuses instructions with a variable that does not exist.
pub(super) fn check(key: &str, text: &str) -> Result<(), SettingsError> {
    for piece in pieces(text) {
        let name = match piece {
            Piece::Text(_) => continue,
            Piece::Named(name) if Variable::read(name).is_some() => continue,
            Piece::Named(name) => name.trim(),
            Piece::Open => {
                return Err(SettingsError::invalid(
                    key,
                    "has {{ without }} behind it",
                    "close it, as in {{caller}}",
                ));
            }
        };
        let known = Variable::ALL.iter().map(|(known, _)| *known);
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean {{{{{near}}}}}?"),
            None => format!("use one of {}", known.collect::<Vec<_>>().join(", ")),
        };
        let name: String = name.chars().take(40).collect();
        return Err(SettingsError::UnknownName {
            key: key.to_owned(),
            name: format!("{{{{{name}}}}}"),
            hint,
        });
    }
    Ok(())
}

/// The variables that instructions use.
pub fn used(text: &str) -> impl Iterator<Item = Variable> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Named(name) => Variable::read(name),
        Piece::Text(_) | Piece::Open => None,
    })
}

/// Instructions with every variable in place.
pub fn fill<'v>(text: &str, value: impl Fn(Variable) -> &'v str) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Named(name) => match Variable::read(name) {
                Some(variable) => filled.push_str(value(variable)),
                None => filled.push_str(name),
            },
            Piece::Open => {}
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_and_filled() {
        let text = "It is {{date}}, {{ time_of_day }}; {caller} is {{caller}}{{agent}}.";
        let of_the_house = used(text)
            .filter(|variable| variable.is_of_the_house())
            .count();
        assert_eq!((used(text).count(), of_the_house), (4, 2));
        let filled = fill(text, |variable| match variable {
            Variable::Caller => "+15550142",
            Variable::Date => "Monday",
            Variable::TimeOfDay => "noon",
            // What is filled in is not read again.
            Variable::Agent => "{{date}}",
            Variable::OpeningHours => "",
        });
        assert_eq!(filled, "It is Monday, noon; {caller} is +15550142{{date}}.");
    }

    #[test]
    fn a_variable_that_does_not_exist_is_refused() {
        for (text, words) in [
            (
                "{{callers}}",
                "names \"{{callers}}\", which does not exist; did you mean {{caller}}?",
            ),
            (
                "{{weather}}",
                "use one of caller, time_of_day, date, opening_hours, agent",
            ),
            ("{{}}", "use one of"),
            ("hello {{caller", "has {{ without }} behind it"),
        ] {
            let error = check("agents.spa.instructions", text)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("agents.spa.instructions ") && error.contains(words),
                "{text}: {error}"
            );
        }
        assert!(check("k", "no } variables { at }} all").is_ok());
    }
}
