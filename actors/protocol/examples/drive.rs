//! Drives a call from a JSONL file: the driver's loop without a socket, a runtime or a clock.
//!
//! A line is what `switchboard demo` writes to `events.jsonl`: `{"t_us": 12000, "wire": "phone_in", "message": {…}}`. Of the
//! wires `phone_in` and `model_in` go into the call; the others are what a call gave back then, and are skipped. The first
//! message of the model stands for its socket being open.
//!
//! ```sh
//! cargo run -p call-protocol --example drive                             # the recording beside this file
//! cargo run -p call-protocol --example drive -- demo-call/events.jsonl
//! ```
//!
//! Each effect is a line on standard output.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use call_protocol::call::effect::Effect;
use call_protocol::call::event::Event;
use call_protocol::call::{AgentProfile, Call, CallSetup, Greeting};
use call_protocol::ids::Interner;
use call_protocol::model::command::{ModelCommand, SessionSetup, Voice};
use call_protocol::model::event::ModelEvent;
use call_protocol::model::openai;
use call_protocol::phone::event::PhoneEvent;
use call_protocol::phone::twilio;
use call_protocol::time::Time;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of the recording.
#[derive(Deserialize)]
struct Line<'a> {
    t_us: u64,
    wire: &'a str,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// A call and what its driver keeps beside it.
struct Driver<'a> {
    call: Call,
    ids: Interner,
    model_is_open: bool,
    out: &'a mut dyn Write,
}

impl Driver<'_> {
    /// One step: the event and the time in, the effects out.
    fn step(&mut self, event: Event, now: Time) -> std::io::Result<()> {
        self.wait_until(now)?;
        self.call.handle(event, now);
        self.carry_out(now)
    }

    /// Has the call's own deadlines come before that time.
    fn wait_until(&mut self, until: Time) -> std::io::Result<()> {
        while let Some(due) = self.call.poll_timeout().filter(|due| *due < until) {
            self.call.handle_timeout(due);
            self.carry_out(due)?;
        }
        Ok(())
    }

    /// Carries out what the call wants done, in order: here, by writing it down.
    fn carry_out(&mut self, now: Time) -> std::io::Result<()> {
        while let Some(effect) = self.call.poll_effect() {
            let mut text = BytesMut::new();
            match &effect {
                Effect::ToModel(ModelCommand::Append(_)) => continue,
                Effect::ToModel(command) => openai::write(&mut text, command),
                Effect::Play {
                    stream, payload, ..
                } => twilio::write_media(&mut text, *stream, payload),
                Effect::Mark { stream, name } => twilio::write_mark(&mut text, *stream, name),
                Effect::Clear { stream } => twilio::write_clear(&mut text, *stream),
                other => text.extend_from_slice(format!("{other:?}").as_bytes()),
            }
            let text = String::from_utf8_lossy(&text);
            let shown: String = text.chars().take(150).collect();
            writeln!(self.out, "{:>8} ms  {shown}", now.as_millis())?;
        }
        Ok(())
    }

    /// Takes a line of the recording.
    fn take(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        let now = Time::from_micros(line.t_us);
        let message = Bytes::copy_from_slice(line.message.get().as_bytes());
        match line.wire {
            // What cannot be read is an event, too.
            "phone_in" => {
                let event = twilio::read(&message).unwrap_or_else(PhoneEvent::Unusable);
                self.step(Event::Phone(event), now)
            }
            "model_in" => {
                if !self.model_is_open {
                    self.model_is_open = true;
                    self.step(Event::Model(ModelEvent::Opened), now)?;
                }
                let event =
                    openai::read(&message, &mut self.ids).unwrap_or_else(ModelEvent::Unusable);
                self.step(Event::Model(event), now)
            }
            _ => Ok(()),
        }
    }
}

/// Who answers.
fn agent() -> AgentProfile {
    AgentProfile {
        greeting: Greeting::Model {
            instructions: "Greet the caller.".to_owned(),
        },
        ..AgentProfile::new(
            "spa",
            "gpt-realtime-2.1",
            SessionSetup {
                instructions: "You answer the phone of a spa.".to_owned(),
                voice: Voice::Named("marin".to_owned()),
                tools: Vec::new(),
                options: None,
            },
        )
    }
}

/// Plays a recording through a call and writes what it wants done; gives the call back.
fn drive(recording: &str, out: &mut dyn Write) -> Result<Call, Box<dyn Error>> {
    let call = Call::new(CallSetup::new(Arc::new(agent())));
    let mut driver = Driver {
        call,
        ids: Interner::default(),
        model_is_open: false,
        out,
    };
    // A new call has effects before anything happens: it dials the model.
    driver.carry_out(Time::ZERO)?;
    for (number, line) in recording.lines().enumerate() {
        let line: Line<'_> =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        driver.take(&line)?;
    }
    Ok(driver.call)
}

fn main() -> Result<(), Box<dyn Error>> {
    let recording = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => include_str!("call.jsonl").to_owned(),
    };
    drive(&recording, &mut std::io::stdout().lock())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_is_a_whole_call() {
        let mut out = Vec::new();
        let call = drive(include_str!("call.jsonl"), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(call.is_over(), "{out}");
        for wanted in [
            "DialModel",
            r#""event_id":"configure-1""#,
            r#""event_id":"respond-1""#,
            r#""event":"media""#,
            r#""event":"mark""#,
            "CallerHungUp",
        ] {
            assert!(out.contains(wanted), "{wanted} is missing:\n{out}");
        }
    }
}
