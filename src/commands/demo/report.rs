//! The call as it happens, line by line, and what came of it.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use switchboard_kit::twilio::{CallEnd, CallOutcome, CallbackRecord, Happening, PhoneEvent};

use super::book_view::BookView;
use super::record::Record;
use crate::commands::call::ending;

/// States a healthy call goes through.
const STATES: [&str; 4] = ["connected", "start", "media", "stop"];

/// Turns of the caller in the demo.
const CALLER_TURNS: usize = 4;

/// Writes lines to standard output, in colour on a terminal that wants it.
pub(super) struct Report {
    began: Instant,
    colour: bool,
}

impl Report {
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            began: Instant::now(),
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    fn line(&self, who: &str, colour: u8, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (on, off) = if self.colour {
            (format!("\x1b[{colour}m"), "\x1b[0m")
        } else {
            (String::new(), "")
        };
        // A closed pipe is nobody's trouble.
        let _ = writeln!(std::io::stdout(), "{seconds:7.2}  {on}{who:<8}{off} {text}");
    }

    pub(super) fn title(&self, text: &str) {
        self.line("demo", 1, text);
    }

    /// What the appointment book holds before the call.
    pub(super) fn book(&self, diary: &BookView) {
        let coming = match diary.coming() {
            0 => "no coming appointment".to_owned(),
            1 => "one coming appointment".to_owned(),
            more => format!("{more} coming appointments"),
        };
        self.line("book", 34, &coming);
        for line in diary.lines() {
            self.line("book", 34, &line);
        }
    }

    /// Something on the emulated line.
    pub(super) fn phone(&self, event: &PhoneEvent) {
        let text = match &event.what {
            Happening::WebhookAnswered {
                status, took_ms, ..
            } => format!("webhook answered {status} in {took_ms} ms"),
            Happening::WebhookFailed { code, text, .. } => format!("webhook failed: {code} {text}"),
            Happening::VerbStarted { verb } => format!("twiml: {verb}"),
            Happening::SocketOpen { upgrade_ms } => {
                format!("media socket open after {upgrade_ms} ms, upgrade signed")
            }
            Happening::FirstAudio { after_start_ms } => {
                format!("first audio {after_start_ms} ms after start")
            }
            Happening::AgentStoppedSpeaking { spoke_ms } => {
                format!("agent spoke for {spoke_ms} ms")
            }
            Happening::CallerStartedSpeaking => "caller speaks".to_owned(),
            Happening::CallerStoppedSpeaking { spoke_ms } => {
                format!("caller spoke for {spoke_ms} ms")
            }
            Happening::Cleared { discarded_ms } => {
                format!("clear: {discarded_ms} ms thrown away unheard")
            }
            Happening::KeyPressed { key } => format!("key {key}"),
            Happening::Warned { code, text } => format!("twilio would warn: {code} {text}"),
            Happening::CallEnded { end } => format!("call over: {}", ending(end)),
            Happening::ConnectedSent
            | Happening::StartSent { .. }
            | Happening::AgentStartedSpeaking
            | Happening::MarkEchoed { .. }
            | Happening::StreamEnded { .. } => return,
        };
        self.line("line", 36, &text);
    }

    /// Something in the service.
    pub(super) fn report(&self, message: &Value) {
        let data = &message["data"];
        let number = |name: &str| data[name].as_u64().unwrap_or(0);
        let word = |name: &str| data[name].as_str().unwrap_or("…").to_owned();
        let text = match message["report"].as_str().unwrap_or_default() {
            "state" => format!("state {}", data.as_str().unwrap_or_default()),
            "connected" => format!(
                "connected (protocol {}, version {})",
                word("protocol"),
                word("version")
            ),
            "started" => format!("start, stream {}", word("stream")),
            "first_caller_audio" => "first caller audio".to_owned(),
            "first_agent_audio" => format!(
                "first agent audio {} ms after start",
                number("after_start_ms")
            ),
            "model_ready" => format!(
                "model session ready after {} ms ({})",
                number("after_ms"),
                word("session")
            ),
            "model_lost" => format!("model lost: {}", word("why")),
            "answered" => format!(
                "answer began {:.0} ms after the caller's last word",
                number("latency_us") as f64 / 1e3
            ),
            "interrupted" => format!(
                "interrupted: {} ms of the answer were heard",
                number("heard_ms")
            ),
            "tool_started" => format!("tool {} is called", word("tool")),
            "tool" => format!(
                "tool {} answered after {} ms: {}",
                word("tool"),
                number("ms"),
                word("result")
            ),
            "turn" => return self.turn(data),
            "violation" => format!("{} broke a rule: {}", word("peer"), word("kind")),
            "stopped" => format!(
                "stop: {} after {:.1} s",
                word("reason"),
                number("duration_ms") as f64 / 1e3
            ),
            _ => return,
        };
        self.line("service", 33, &text);
    }

    /// What Twilio told the service of the call's end, and was answered.
    pub(super) fn completed(&self, outcome: &CallOutcome) {
        let of_call = |told: &&CallbackRecord| told.url.ends_with("/call-status");
        for told in outcome.callbacks.iter().filter(of_call) {
            let of = |name: &str| {
                let found = told.params.iter().find(|(key, _)| key == name);
                found.map_or("", |(_, value)| value.as_str())
            };
            let answer = match &told.answer {
                Ok(status) => format!("answered {status}"),
                Err(error) => error.clone(),
            };
            let (status, seconds) = (of("CallStatus"), of("CallDuration"));
            self.line(
                "line",
                36,
                &format!("{status} after {seconds} s, told to the service, {answer}"),
            );
        }
    }

    fn turn(&self, turn: &Value) {
        let who = turn["who"].as_str().unwrap_or_default();
        let said = turn["said"].as_str().unwrap_or("(no words)");
        if turn["cut"].as_bool() == Some(true) {
            let heard = turn["heard"].as_str().unwrap_or_default();
            let (heard_ms, all_ms) = (&turn["heard_ms"], &turn["received_ms"]);
            self.line(
                who,
                35,
                &format!("“{heard} …” (cut: {heard_ms} of {all_ms} ms heard)"),
            );
        } else {
            self.line(who, 32, &format!("“{said}”"));
        }
    }

    /// What came of it; true if the call went as it should.
    pub(super) fn summary(
        &self,
        outcome: &CallOutcome,
        record: &Record,
        files: &[PathBuf],
    ) -> bool {
        let caller_turns = record
            .turns
            .iter()
            .filter(|turn| turn["who"] == "caller")
            .count();
        let agent_turns = record.turns.len() - caller_turns;
        let through = STATES
            .iter()
            .all(|state| record.states.iter().any(|seen| seen == state));
        let complaints = outcome.complaints().len();
        self.title("");
        self.title(&format!("states: {}", record.states.join(" → ")));
        self.title(&format!(
            "turns: {caller_turns} of the caller, {agent_turns} of the agent, {} interrupted",
            record.interruptions
        ));
        let mut latencies: Vec<u64> = record
            .latencies_us
            .iter()
            .map(|micros| micros / 1_000)
            .collect();
        latencies.sort_unstable();
        self.title(&format!("from the caller's last word to the answer, ms: {latencies:?} (the model thinks for most of it)"));
        for stream in &outcome.streams {
            self.title(&format!(
                "sound: {} gaps inside the agent's speech, {} ms of it thrown away by clear",
                stream.underruns.count,
                stream.thrown_away_ms()
            ));
            for overlap in stream.overlaps() {
                self.title(&format!("interruption: the agent fell silent {overlap} ms after the caller's first sound"));
            }
        }
        for file in files {
            let bytes = std::fs::metadata(file).map_or(0, |data| data.len());
            self.title(&format!("wrote {} ({bytes} bytes)", file.display()));
        }
        let regular = outcome.end == CallEnd::CallerHungUp;
        let good = through
            && regular
            && caller_turns >= CALLER_TURNS
            && record.interruptions >= 1
            && complaints == 0;
        for (code, text) in outcome.complaints() {
            self.title(&format!("twilio would warn: {code} {text}"));
        }
        good
    }

    /// What the call brought into the book; true if it is one appointment, and the caller heard its code.
    pub(super) fn booking(&self, before: &BookView, after: &BookView, record: &Record) -> bool {
        let made = after.since(before);
        for appointment in &made {
            self.line("book", 34, &format!("new: {}", after.line(appointment)));
        }
        let [appointment] = made.as_slice() else {
            self.line(
                "book",
                31,
                &format!("{} new appointments instead of one", made.len()),
            );
            return false;
        };
        let heard = record.was_heard(&appointment.spelled_code());
        let text = if heard {
            format!(
                "the code that was spoken, {}, is in the book",
                appointment.spelled_code()
            )
        } else {
            format!(
                "the code in the book, {}, was not spoken",
                appointment.spelled_code()
            )
        };
        self.line("book", if heard { 34 } else { 31 }, &text);
        heard
    }

    /// The last line.
    pub(super) fn verdict(&self, went_well: bool, booked: bool) {
        self.title(match (went_well, booked) {
            (true, true) => {
                "the call went through every state as it should, and the appointment is made"
            }
            (true, false) => {
                "the call went through every state, but there is no appointment as it should be"
            }
            (false, _) => "the call did not go as it should",
        });
    }
}
