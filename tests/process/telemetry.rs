//! Logging of a whole process. The logger and the panic hook are global, so each test runs this binary again as a
//! child that logs, and reads what the child wrote to standard error.

use std::process::Command;

use switchboard::settings::{Log, LogFormat};
use switchboard::telemetry;

/// Words of a caller who means harm.
const TURN: &str = "Hello.\n2026-11-22T10:00:00.000Z ERROR forged \u{1b}[2J\u{9b}31m\u{202e}\"}";

const ROLE: &str = "TELEMETRY_TEST_FORMAT";

/// Lines of the child's standard error, with these variables set.
fn child(format: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "telemetry::the_child_logs_and_panics",
        "--ignored",
        "--nocapture",
    ]);
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "RUST_LOG"] {
        command.env_remove(name);
    }
    let output = command
        .env(ROLE, format)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<String> = text
        .lines()
        .filter(|line| line.contains("telemetry"))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    lines
}

#[test]
#[ignore = "run by the other tests as their child"]
fn the_child_logs_and_panics() {
    let Ok(format) = std::env::var(ROLE) else {
        return;
    };
    let format = match format.as_str() {
        "json" => LogFormat::Json,
        "human" => LogFormat::Human,
        _ => LogFormat::Auto,
    };
    telemetry::init(&Log {
        filter: "info,telemetry=debug".to_owned(),
        format,
        transcripts: false,
    })
    .unwrap();
    let panics = prometheus::IntCounter::new("panics", "panics").unwrap();
    telemetry::install_panic_hook(panics.clone());

    log::debug!(target: "telemetry", call_sid = "CA1", frames = 3; "stop\nforged line");
    log::trace!(target: "telemetry", "filtered out");
    let thread = std::thread::Builder::new().name("worker".to_owned());
    let fault = std::env::var("HOME").map_or(2, |home| home.len());
    let ended = thread
        .spawn(move || assert_eq!(fault, usize::MAX, "two\nlines"))
        .unwrap()
        .join();
    assert!(ended.is_err());
    log::info!(target: "telemetry", panics = panics.get(); "after the panic");
    // A turn as it is logged where transcripts are switched on.
    log::info!(target: "telemetry", who = "agent", said = TURN, heard = TURN; "turn");
}

#[test]
fn json_lines_are_json_and_a_panic_is_one_of_them() {
    for format in ["json", "auto"] {
        let events: Vec<serde_json::Value> = child(format, &[])
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events[0]["level"], "debug");
        assert_eq!(events[0]["target"], "telemetry");
        assert_eq!(events[0]["msg"], "stop\nforged line");
        assert_eq!(
            (events[0]["call_sid"].as_str(), events[0]["frames"].as_i64()),
            (Some("CA1"), Some(3))
        );
        assert_eq!(
            (events[1]["msg"].as_str(), events[1]["thread"].as_str()),
            (Some("panic"), Some("worker"))
        );
        assert!(
            events[1]["cause"].as_str().unwrap().contains("two\nlines"),
            "{}",
            events[1]
        );
        assert!(
            events[1]["place"]
                .as_str()
                .unwrap()
                .starts_with("tests/process/telemetry.rs:"),
            "{}",
            events[1]
        );
        assert_eq!(events[2]["panics"], 1);
        assert_eq!(
            (events[3]["said"].as_str(), events[3]["heard"].as_str()),
            (Some(TURN), Some(TURN))
        );
    }
}

#[test]
fn human_lines_have_colours_only_where_they_are_wanted() {
    let plain = child("human", &[]);
    assert!(
        plain[0].ends_with("DEBUG telemetry: stop\\nforged line call_sid=CA1 frames=3"),
        "{}",
        plain[0]
    );
    assert!(!plain.concat().contains('\u{1b}'));
    assert!(
        plain[3].contains(
            "Hello.\\n2026-11-22T10:00:00.000Z ERROR forged \\u{1b}[2J\\u{9b}31m\\u{202e}"
        ),
        "{}",
        plain[3]
    );
    assert!(
        child("human", &[("CLICOLOR_FORCE", "1")])
            .concat()
            .contains("\u{1b}[")
    );
    assert!(
        !child("human", &[("NO_COLOR", "1")])
            .concat()
            .contains('\u{1b}')
    );
    assert!(
        !child("human", &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])
            .concat()
            .contains('\u{1b}')
    );
}
