//! Log lines and the panic hook.
//!
//! `log` with fields in, one line out, in two faces: for eyes, and as one JSON object. Whatever a caller puts into a
//! name or number, an event stays one line and cannot move the cursor: control characters are written as escapes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::time::{Duration, Instant};

use env_logger::fmt::style::Style;
use jiff::Timestamp;
use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Record, SetLoggerError};
use prometheus::IntCounter;

use crate::settings::{Log, LogFormat};

mod seldom;

pub(crate) use seldom::Seldom;

/// Between two lines about a listener that cannot accept.
const SAME_AGAIN: Duration = Duration::from_secs(60);

/// Between two lines about requests that cannot be read.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Starts logging to standard error. `Auto` means human on a terminal, else JSON; `NO_COLOR` is honoured.
///
/// # Errors
/// When the process has a logger already.
pub fn init(log: &Log) -> Result<(), SetLoggerError> {
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(LevelFilter::Info)
        // It says where it listens; the service says so itself.
        .filter_module("actix_server", LevelFilter::Warn)
        .parse_filters(&log.filter);
    let libraries = Libraries::default();
    if human {
        builder.format(move |out, record| {
            if libraries.is_too_often(record) {
                return Ok(());
            }
            let style = out.default_level_style(record.level());
            out.write_all(human_line(record, Timestamp::now(), style).as_bytes())
        });
    } else {
        builder.format(move |out, record| {
            if libraries.is_too_often(record) {
                return Ok(());
            }
            out.write_all(json_line(record, Timestamp::now()).as_bytes())
        });
    }
    builder.try_init()
}

/// What libraries say as often as it happens: a listener that cannot accept because no more files may be opened, twice a
/// second; a request that cannot be read, each time.
struct Libraries {
    listeners: Seldom,
    requests: Seldom,
}

impl Default for Libraries {
    fn default() -> Self {
        Self {
            listeners: Seldom::new(SAME_AGAIN),
            requests: Seldom::new(SAME_REQUEST),
        }
    }
}

impl Libraries {
    /// Whether such a line stood in the log just now.
    fn is_too_often(&self, record: &Record<'_>) -> bool {
        if record.level() != Level::Error {
            return false;
        }
        let now = Instant::now();
        if record.target().starts_with("actix_server") {
            return self.listeners.line("actix_server", now).is_none();
        }
        if record.target().starts_with("actix_http") {
            return self.requests.line("actix_http", now).is_none();
        }
        false
    }
}

/// Makes a panic one log line and one count. tokio and actix swallow panics of tasks; without this nobody knows.
pub fn install_panic_hook(panics: IntCounter) {
    std::panic::set_hook(Box::new(move |info| {
        panics.inc();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        log::error!(place = place.as_str(), thread = thread.name().unwrap_or(""), cause = panic_text(info); "panic");
    }));
}

fn panic_text<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        return text;
    }
    payload
        .downcast_ref::<String>()
        .map_or("not a text", String::as_str)
}

/// `2026-11-22T10:00:00.000Z INFO  target: message key=value`
fn human_line(record: &Record<'_>, now: Timestamp, style: Style) -> String {
    let mut line = format!(
        "{now:.3} {style}{:<5}{style:#} {}: ",
        record.level(),
        Escaped(record.target())
    );
    let _ = write!(line, "{}", Escaped(&record.args().to_string()));
    let mut fields = HumanFields(line);
    let _ = record.key_values().visit(&mut fields);
    let mut line = fields.0;
    line.push('\n');
    line
}

struct HumanFields(String);

impl<'kvs> VisitSource<'kvs> for HumanFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let text = value.to_string();
        let needs_quotes = text.is_empty() || text.contains([' ', '"', '=']);
        let _ = if needs_quotes {
            write!(
                self.0,
                " {}=\"{}\"",
                Escaped(key.as_str()),
                Escaped(&text.replace('"', "\\\""))
            )
        } else {
            write!(self.0, " {}={}", Escaped(key.as_str()), Escaped(&text))
        };
        Ok(())
    }
}

/// One JSON object: `ts`, `level`, `target`, `msg`, then every field as a member of its own.
fn json_line(record: &Record<'_>, now: Timestamp) -> String {
    let mut line = format!(
        "{{\"ts\":\"{now:.3}\",\"level\":\"{}\"",
        record.level().as_str().to_ascii_lowercase()
    );
    push_member(&mut line, "target", &json_text(record.target()));
    push_member(&mut line, "msg", &json_text(&record.args().to_string()));
    let mut fields = JsonFields(line);
    let _ = record.key_values().visit(&mut fields);
    let mut line = fields.0;
    line.push_str("}\n");
    line
}

struct JsonFields(String);

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        // A field may not pass itself off as one of ours.
        let name = match key.as_str() {
            name @ ("ts" | "level" | "target" | "msg") => format!("{name}_"),
            name => name.to_owned(),
        };
        push_member(&mut self.0, &name, &json_value(&value));
        Ok(())
    }
}

fn push_member(line: &mut String, name: &str, value: &str) {
    let _ = write!(line, ",{}:{value}", json_text(name));
}

fn json_value(value: &Value<'_>) -> String {
    if let Some(truth) = value.to_bool() {
        return truth.to_string();
    }
    if let Some(number) = value.to_i64() {
        return number.to_string();
    }
    if let Some(number) = value.to_u64() {
        return number.to_string();
    }
    match value.to_f64() {
        Some(number) if number.is_finite() => number.to_string(),
        _ => json_text(&value.to_string()),
    }
}

/// A JSON string that moves no cursor: serde_json leaves DEL, the C1 controls and the line separators as they are.
fn json_text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    if !quoted.chars().any(is_unsafe) {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len() + 16);
    for c in quoted.chars() {
        if is_unsafe(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Controls (with DEL and C1), line and paragraph separators, and the marks that turn the direction of writing.
/// All are in the Basic Multilingual Plane, so one `\u` escape is enough.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from outside for a terminal: one line that moves no cursor.
pub fn printable(text: &str) -> String {
    Escaped(text).to_string()
}

/// Text for a terminal, with unsafe characters as Rust would write them.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            if is_unsafe(c) {
                write!(out, "{}", c.escape_default())?;
            } else {
                out.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;
    use proptest::prelude::*;

    fn with_record<T>(
        message: &str,
        fields: &[(&str, Value<'_>)],
        use_it: impl Fn(&Record<'_>) -> T,
    ) -> T {
        use_it(
            &Record::builder()
                .level(Level::Info)
                .target("switchboard::call")
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
        )
    }

    fn now() -> Timestamp {
        "2026-11-22T10:00:00.12345Z".parse().unwrap()
    }

    #[test]
    fn a_json_line_has_the_four_members_first_and_fields_typed() {
        let fields = [
            ("call_sid", Value::from("CA1")),
            ("frames", Value::from(4061_u64)),
            ("cost_usd", Value::from(0.5)),
            ("cut", Value::from(true)),
            ("offset", Value::from(-3)),
        ];
        let line = with_record("start", &fields, |record| json_line(record, now()));
        assert_eq!(
            line,
            "{\"ts\":\"2026-11-22T10:00:00.123Z\",\"level\":\"info\",\"target\":\"switchboard::call\",\"msg\":\"start\",\
             \"call_sid\":\"CA1\",\"frames\":4061,\"cost_usd\":0.5,\"cut\":true,\"offset\":-3}\n"
        );
    }

    #[test]
    fn a_field_cannot_replace_the_message() {
        let line = with_record("stop", &[("msg", Value::from("fake"))], |record| {
            json_line(record, now())
        });
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["msg"], "stop");
        assert_eq!(parsed["msg_"], "fake");
    }

    #[test]
    fn a_human_line_shows_fields_after_the_message() {
        let fields = [
            ("from", Value::from("+1•••••0142")),
            ("name", Value::from("Ann Lee")),
        ];
        let line = with_record("start", &fields, |record| {
            human_line(record, now(), Style::new())
        });
        assert_eq!(
            line,
            "2026-11-22T10:00:00.123Z INFO  switchboard::call: start from=+1•••••0142 name=\"Ann Lee\"\n"
        );
    }

    proptest! {
        #[test]
        fn one_event_is_one_line_whatever_the_text(message in any::<String>(), field in any::<String>()) {
            let fields = [("caller", Value::from(field.as_str()))];
            let json = with_record(&message, &fields, |record| json_line(record, now()));
            let human = with_record(&message, &fields, |record| human_line(record, now(), Style::new()));
            for line in [&json, &human] {
                let (last, body) = line.as_bytes().split_last().unwrap();
                prop_assert_eq!(*last, b'\n');
                prop_assert!(!std::str::from_utf8(body).unwrap().chars().any(is_unsafe));
            }
            let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed["msg"].as_str(), Some(message.as_str()));
            prop_assert_eq!(parsed["caller"].as_str(), Some(field.as_str()));
        }
    }

    #[test]
    fn terminal_codes_come_out_as_escapes() {
        let attack = "a\nb\u{1b}[2Jc\u{9b}31m\u{7f}\u{202e}d\u{2028}";
        let human = with_record(attack, &[], |record| {
            human_line(record, now(), Style::new())
        });
        assert!(
            human.ends_with("a\\nb\\u{1b}[2Jc\\u{9b}31m\\u{7f}\\u{202e}d\\u{2028}\n"),
            "{human}"
        );
        let json = with_record(attack, &[], |record| json_line(record, now()));
        assert!(
            json.contains(r#""msg":"a\nb\u001b[2Jc\u009b31m\u007f\u202ed\u2028""#),
            "{json}"
        );
    }
}
