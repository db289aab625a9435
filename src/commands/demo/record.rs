//! The call, written down: `call.wav`, `transcript.json`, `events.jsonl`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_actors::call::{TapLine, Wire};
use switchboard_actors::events::{CallEvent, EventKind};
use switchboard_kit::twilio::{CallOutcome, wav};

/// What is written down of a call.
#[derive(Default)]
pub(super) struct Record {
    /// Lines of `events.jsonl`, with their times: messages and reports come in one by one, but not in one row.
    events: Vec<(Duration, String)>,
    /// The states the machine went through.
    pub(super) states: Vec<String>,
    /// The turns, as the caller heard them.
    pub(super) turns: Vec<Value>,
    /// The tools that were run, and what became of them.
    tools: Vec<Value>,
    /// Microseconds from the caller's last word to the first audio of the answer.
    pub(super) latencies_us: Vec<u64>,
    pub(super) interruptions: u64,
    /// The last word about the call.
    pub(super) end: Option<Value>,
}

impl Record {
    /// Takes one message of the call.
    pub(super) fn take(&mut self, line: &TapLine) {
        let Ok(message) = serde_json::from_slice::<Value>(&line.text) else {
            return;
        };
        let wire = match line.wire {
            Wire::PhoneIn => "phone_in",
            Wire::PhoneOut => "phone_out",
            Wire::ModelIn => "model_in",
            Wire::ModelOut => "model_out",
        };
        self.keep(line.at, wire, &message);
    }

    /// Takes what the machine tells; gives it back as JSON.
    pub(super) fn take_report(&mut self, event: &CallEvent) -> Option<Value> {
        let EventKind::Report(report) = &event.kind else {
            return None;
        };
        let message = serde_json::to_value(report).ok()?;
        self.keep(event.since_accepted, "report", &message);
        let data = &message["data"];
        match message["report"].as_str().unwrap_or_default() {
            "state" => self
                .states
                .push(data.as_str().unwrap_or_default().to_owned()),
            "turn" => self.turns.push(data.clone()),
            "tool" => self.tools.push(data.clone()),
            "answered" => self.latencies_us.extend(data["latency_us"].as_u64()),
            "interrupted" => self.interruptions += 1,
            "stopped" => self.end = Some(data.clone()),
            _ => {}
        }
        Some(message)
    }

    fn keep(&mut self, at: Duration, wire: &str, message: &Value) {
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let line = json!({"t_us": micros, "wire": wire, "message": message});
        self.events.push((at, line.to_string()));
    }

    /// Whether the caller heard an answer to its end with these words in it.
    pub(super) fn was_heard(&self, words: &str) -> bool {
        self.turns.iter().any(|turn| {
            let heard = turn["heard"].as_str().unwrap_or_default();
            turn["who"] == "agent" && turn["cut"] == false && heard.contains(words)
        })
    }

    /// Whether the machine has said its last word.
    pub(super) const fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Writes the three files.
    pub(super) fn write(&self, folder: &Path, outcome: &CallOutcome) -> io::Result<Vec<PathBuf>> {
        let (caller, agent) = outcome.stereo();
        let sound = folder.join("call.wav");
        wav::write_stereo_file(&sound, &caller, &agent).map_err(io::Error::other)?;
        let transcript = folder.join("transcript.json");
        let mut turns = self.turns.clone();
        turns.sort_by_key(|turn| turn["at_ms"].as_u64());
        let text = json!({"call_sid": outcome.call_sid, "turns": turns, "tools": self.tools, "end": self.end});
        std::fs::write(&transcript, format!("{text:#}\n"))?;
        let events = folder.join("events.jsonl");
        let mut file = io::BufWriter::new(std::fs::File::create(&events)?);
        let mut lines: Vec<&(Duration, String)> = self.events.iter().collect();
        lines.sort_by_key(|(at, _)| *at);
        for (_, line) in lines {
            writeln!(file, "{line}")?;
        }
        file.flush()?;
        Ok(vec![sound, transcript, events])
    }
}
