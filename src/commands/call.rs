//! `switchboard call`: phones a running instance as Twilio would.

use std::io::Write as _;
use std::time::Duration;

use switchboard_kit::twilio::{CallEnd, CallOutcome, Caller, Line, Player, wav};

use super::line::{fail, line, on_runtime};
use super::progress::Progress;
use crate::cli::{Call, Exit};

/// How long the caller stays on the line after the end of a recording, for the answer.
const LISTENS_MS: u64 = 15_000;

/// Phones, speaks, listens, hangs up.
#[must_use]
pub fn run(arguments: &Call) -> Exit {
    let mut line = match line(
        &arguments.to,
        arguments.public_url.as_ref(),
        arguments.auth_token.as_ref(),
    ) {
        Ok(line) => line,
        Err(error) => return fail(&format!("--to {}: {error}", arguments.to)),
    };
    if let Some(from) = &arguments.from {
        line.from.clone_from(from);
    }
    if let Some(dialled) = &arguments.dialled {
        line.to.clone_from(dialled);
    }
    match &arguments.wav {
        None => on_runtime(phone(line, super::demo::caller(false), arguments)),
        Some(path) => match wav::read_file(path) {
            Ok(audio) => {
                let ends_ms = audio.len() as u64 / 8 + LISTENS_MS;
                on_runtime(phone(line, Player::new(audio, ends_ms), arguments))
            }
            Err(error) => fail(&format!("--wav {}: {error}", path.display())),
        },
    }
}

async fn phone(line: Line, caller: impl Caller, arguments: &Call) -> Exit {
    let tell = |so_far: Duration| format!("on the phone for {} s", so_far.as_secs());
    let call = line.call(caller);
    let outcome = Progress::on_terminal().beside(call, tell).await;
    let heard = outcome.stereo().1;
    let _ = writeln!(std::io::stdout(), "{}", describe(&outcome));
    if let Some(path) = &arguments.out
        && let Err(error) = wav::write_mono_file(path, &heard)
    {
        return fail(&format!("--out {}: {error}", path.display()));
    }
    let talked = outcome
        .streams
        .iter()
        .any(|stream| stream.first_audio_ms.is_some());
    match outcome.end {
        CallEnd::CallerHungUp | CallEnd::HungUp | CallEnd::DocumentEnded | CallEnd::Completed
            if talked =>
        {
            Exit::Done
        }
        _ => Exit::Failed,
    }
}

/// The call in a few lines.
fn describe(outcome: &CallOutcome) -> String {
    let mut lines = vec![format!(
        "call {} lasted {:.1} s and ended: {}",
        outcome.call_sid,
        outcome.duration_ms as f64 / 1_000.0,
        ending(&outcome.end)
    )];
    for document in &outcome.documents {
        if let Err(failure) = &document.result {
            lines.push(format!("webhook failed: {} {}", failure.code, failure.text));
        }
    }
    for stream in &outcome.streams {
        let first = stream
            .first_audio_ms
            .map_or_else(|| "never".to_owned(), |ms| format!("after {ms} ms"));
        lines.push(format!(
            "stream {}: first audio {first}, agent spoke {} times, {} frames sent, {} underruns, {} warnings",
            stream.stream_sid,
            stream.agent_speech.len(),
            stream.frames_sent,
            stream.underruns.count,
            stream.warnings.len()
        ));
    }
    for (code, text) in outcome.complaints() {
        lines.push(format!("twilio would warn: {code} {text}"));
    }
    for text in outcome.said_by_twiml() {
        lines.push(format!("twilio said: {text}"));
    }
    lines.join("\n")
}

/// An end in words.
pub(super) fn ending(end: &CallEnd) -> String {
    match end {
        CallEnd::CallerHungUp => "the caller hung up".to_owned(),
        CallEnd::CallerGaveUp { why } => format!("the caller gave up ({why})"),
        CallEnd::CallerVanished => "the caller vanished".to_owned(),
        CallEnd::DocumentEnded => "nothing followed".to_owned(),
        CallEnd::HungUp => "the service hung up".to_owned(),
        CallEnd::Rejected { reason } => format!("the service did not answer ({reason})"),
        CallEnd::ApplicationError { code, text } => {
            format!("twilio could not go on ({code} {text})")
        }
        CallEnd::Completed => "ended from outside".to_owned(),
        CallEnd::TimeLimit => "time limit".to_owned(),
    }
}
