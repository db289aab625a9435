//! Content lines of iCalendar (RFC 5545, 3.1) and the components they make, each with its place in the file.

use super::Trouble;

/// Deeper than the standard nests.
const MOST_DEEP: usize = 4;

/// A content line, unfolded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins in the file, counted from 1.
    pub(super) number: usize,
    /// In capitals.
    pub(super) name: String,
    params: Vec<(String, String)>,
    /// As it is written.
    pub(super) value: String,
}

impl Line {
    /// The first value of a parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// The value as a text, in one line; `None` if it is empty.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::with_capacity(self.value.len());
        let mut characters = self.value.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => match characters.next() {
                    Some('n' | 'N') => text.push(' '),
                    Some(escaped) => text.push(escaped),
                    None => {}
                },
                c if c.is_control() => text.push(' '),
                c => text.push(c),
            }
        }
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn trouble(&self, why: impl Into<String>) -> Trouble {
        Trouble::new(self.number, why)
    }

    fn read(number: usize, text: &str) -> Result<Self, Trouble> {
        let trouble = |why: &str| Trouble::new(number, format!("{why}; write NAME:value"));
        let ends = text.find([':', ';']);
        let ends = ends.ok_or_else(|| trouble("is no line of a calendar"))?;
        let (name, mut rest) = text.split_at(ends);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(trouble("begins with no name of a property"));
        }
        let mut params = Vec::new();
        while let Some(param) = rest.strip_prefix(';') {
            let key = param.find(['=', ':', ';']);
            let key = key.filter(|at| param.as_bytes()[*at] == b'=');
            let at = key.ok_or_else(|| trouble("has a parameter without a value"))?;
            let (key, value) = (&param[..at], &param[at + 1..]);
            let mut quoted = false;
            let ends = value.find(|c: char| {
                quoted ^= c == '"';
                !quoted && matches!(c, ':' | ';')
            });
            let ends = ends.ok_or_else(|| trouble("has no value"))?;
            let given = value[..ends].trim_matches('"').to_owned();
            params.push((key.to_ascii_uppercase(), given));
            rest = &value[ends..];
        }
        let value = rest.strip_prefix(':').unwrap_or(rest).to_owned();
        Ok(Self {
            number,
            name: name.to_ascii_uppercase(),
            params,
            value,
        })
    }
}

/// What stands between a `BEGIN` and its `END`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// Where it begins.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
    pub(super) parts: Vec<Component>,
}

impl Component {
    /// The one line of a name.
    ///
    /// # Errors
    /// There are several.
    pub(super) fn line(&self, name: &str) -> Result<Option<&Line>, Trouble> {
        let mut found = self.lines.iter().filter(|line| line.name == name);
        let first = found.next();
        match (first, found.next()) {
            (Some(first), Some(second)) => Err(second.trouble(format!(
                "says {name} again, after line {}; leave one",
                first.number
            ))),
            _ => Ok(first),
        }
    }
}

/// Reads the calendars of a file.
pub(super) fn read(text: &str) -> Result<Vec<Component>, Trouble> {
    let (mut done, mut open): (Vec<Component>, Vec<Component>) = (Vec::new(), Vec::new());
    let mut last = 1;
    for (number, text) in unfolded(text) {
        last = number;
        let line = Line::read(number, &text)?;
        let name = line.value.trim().to_ascii_uppercase();
        let deep = open.len();
        match (line.name.as_str(), open.last_mut()) {
            ("BEGIN", _) if deep >= MOST_DEEP => {
                return Err(line.trouble("nests deeper than a calendar does; check its END lines"));
            }
            ("BEGIN", outer) if outer.is_some() || name == "VCALENDAR" => open.push(Component {
                number,
                name,
                lines: Vec::new(),
                parts: Vec::new(),
            }),
            ("END", Some(inner)) if inner.name == name => {
                let whole = open.pop();
                match open.last_mut() {
                    Some(outer) => outer.parts.extend(whole),
                    None => done.extend(whole),
                }
            }
            ("END", Some(inner)) => {
                return Err(line.trouble(format!(
                    "ends {name} where {} of line {} is open; check the END lines",
                    inner.name, inner.number
                )));
            }
            (_, Some(inner)) => inner.lines.push(line),
            (_, None) => {
                return Err(line.trouble("stands outside of BEGIN:VCALENDAR; take it out"));
            }
        }
    }
    match open.last() {
        Some(inner) => Err(Trouble::new(
            last,
            format!(
                "is the last, and {} of line {} has no END; the file was cut off",
                inner.name, inner.number
            ),
        )),
        None => Ok(done),
    }
}

/// Lines with what was folded from them, by the number of the first.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, whole))) => whole.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => lines.push((index + 1, line.to_owned())),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_unfolded_and_keep_their_places() {
        let text = "BEGIN:VCALENDAR\r\nX-A;P=\"a:b;c\";q=d:on\r\n e\\, two\r\n\r\nbegin:vevent\r\nDESCRIPTION:x\n\ty\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let calendar = &read(text).unwrap()[0];
        let line = &calendar.lines[0];
        assert_eq!((line.number, line.name.as_str()), (2, "X-A"));
        assert_eq!(
            (line.param("P"), line.param("Q")),
            (Some("a:b;c"), Some("d"))
        );
        assert_eq!(line.text().as_deref(), Some("one, two"));
        let event = &calendar.parts[0];
        assert_eq!((event.number, event.name.as_str()), (5, "VEVENT"));
        assert_eq!(event.lines[0].value, "xy");
    }

    #[test]
    fn what_is_no_calendar_is_told_by_its_line() {
        for (text, line, words) in [
            ("BEGIN:VCALENDAR\nnonsense\n", 2, "no line of a calendar"),
            ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n", 3, "cut off"),
            ("BEGIN:VCALENDAR\nEND:VEVENT\n", 2, "END lines"),
            ("BEGIN:VCALENDAR\nEND:VCALENDAR\nX:1\n", 3, "outside"),
            ("BEGIN:VCALENDAR\nDTSTART;TZID:1\n", 2, "without a value"),
        ] {
            let trouble = read(text).unwrap_err();
            assert_eq!(trouble.line, line, "{text}");
            assert!(trouble.why.contains(words), "{text}: {}", trouble.why);
        }
    }
}
