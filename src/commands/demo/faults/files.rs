//! The call with faults, written down: `call.wav`, `transcript.json`, `events.jsonl`.
//!
//! The serving process is another one, and is killed: its own record of what went over the sockets is not to be had.
//! `events.jsonl` has instead what the line saw, what the model received and sent, and the log of both processes; the
//! turns of `transcript.json` are the call's admin page, before the kill and at the end.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchboard_kit::realtime::{Logged, Running};
use switchboard_kit::twilio::{CallOutcome, PhoneEvent, wav};

use super::serving::LogLine;

/// One line of `events.jsonl`.
struct Line {
    /// Microseconds since the call began.
    at_us: u64,
    wire: &'static str,
    /// The model's session, where it is one.
    session: Option<usize>,
    message: Value,
}

/// What happened, from all who saw it.
#[derive(Default)]
pub(super) struct Events(Vec<Line>);

impl Events {
    /// What the line saw.
    pub(super) fn of_the_line(&mut self, events: &[PhoneEvent]) {
        self.0.extend(events.iter().map(|event| Line {
            at_us: event.at_ms * 1_000,
            wire: "line",
            session: None,
            message: json!(event),
        }));
    }

    /// What the serving processes wrote to their log.
    pub(super) fn of_the_log(
        &mut self,
        log: &[LogLine],
        ms_of: impl Fn(std::time::Instant) -> u64,
    ) {
        self.0.extend(
            log.iter().map(|line| Line {
                at_us: ms_of(line.at) * 1_000,
                wire: "log",
                session: None,
                message: serde_json::from_str(&line.text)
                    .unwrap_or_else(|_| Value::from(line.text.as_str())),
            }),
        );
    }

    /// What went to the model and came from it. The caller's audio is in `call.wav` alone.
    pub(super) fn of_the_model(
        &mut self,
        model: &Running,
        ms_of: impl Fn(std::time::Instant) -> u64,
    ) {
        for session in model.sessions() {
            let number = session.number();
            let line = |wire: &'static str, logged: &Logged| Line {
                at_us: ms_of(logged.at) * 1_000,
                wire,
                session: Some(number),
                message: logged.json(),
            };
            let received = session.received();
            let events = received.iter().filter(|event| !event.text().is_empty());
            self.0.extend(events.map(|event| line("model_out", event)));
            let sent = session.sent();
            self.0
                .extend(sent.iter().map(|event| line("model_in", event)));
        }
    }

    fn write(mut self, path: &Path) -> io::Result<()> {
        self.0.sort_by_key(|line| line.at_us);
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        for line in self.0 {
            let mut written =
                json!({"t_us": line.at_us, "wire": line.wire, "message": line.message});
            if let Some(session) = line.session {
                written["session"] = json!(session);
            }
            writeln!(file, "{written}")?;
        }
        file.flush()
    }
}

/// Writes the three files.
pub(super) fn write(
    folder: &Path,
    outcome: &CallOutcome,
    pages: &[Value],
    rungs: &[Value],
    events: Events,
) -> io::Result<Vec<PathBuf>> {
    let (caller, agent) = outcome.stereo();
    let sound = folder.join("call.wav");
    wav::write_stereo_file(&sound, &caller, &agent).map_err(io::Error::other)?;
    let transcript = folder.join("transcript.json");
    let turns = |page: Option<&Value>| page.map(|page| page["turns"].clone());
    let text = json!({
        "call_sid": outcome.call_sid,
        "turns_before_the_kill": turns(pages.first()),
        "turns": turns(pages.get(1)),
        "rungs": rungs,
    });
    std::fs::write(&transcript, format!("{text:#}\n"))?;
    let lines = folder.join("events.jsonl");
    events.write(&lines)?;
    Ok(vec![sound, transcript, lines])
}
