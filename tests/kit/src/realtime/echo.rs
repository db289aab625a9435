//! Probe frames of the load generator go straight back: no detector, no record, no copy beyond the one onto the wire.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::{Answer, Cancel};
use super::engine::Engine;
use super::send_queue::Outgoing;
use crate::probe::PROBE_MAGIC;

/// Ordinary audio ends the echo once no probe has come for so long.
const QUIET: Duration = Duration::from_secs(1);

/// The response that carries probe frames back.
#[derive(Debug)]
pub(crate) struct Echo {
    answer: Answer,
    head: String,
    bytes: u64,
    frames: u64,
    last_probe: Instant,
}

impl Echo {
    pub(crate) fn response_id(&self) -> &str {
        &self.answer.id
    }
}

/// Whether base64 text is audio that begins with the magic.
pub(crate) fn is_probe(audio: &str) -> bool {
    // The first 7 bytes and a half of the magic; nearly everything else is told apart here, without decoding.
    const PREFIX: &[u8] = b"U1dCUFJPQk";
    if !audio.as_bytes().starts_with(PREFIX) {
        return false;
    }
    let start = audio.get(..12).map(|start| STANDARD.decode(start));
    matches!(start, Some(Ok(bytes)) if bytes.starts_with(PROBE_MAGIC))
}

impl Engine {
    /// One probe frame came, as base64.
    pub(crate) fn probe(&mut self, audio: &str, now: Instant) {
        if self.echo.is_none() {
            self.begin_echo(now);
        }
        let Some(echo) = &mut self.echo else {
            return;
        };
        echo.last_probe = now;
        echo.frames += 1;
        let padding = audio.bytes().rev().take_while(|&byte| byte == b'=').count();
        echo.bytes += (audio.len() / 4 * 3 - padding) as u64;
        let mut text = String::with_capacity(echo.head.len() + audio.len() + 24);
        text.push_str(&echo.head);
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", echo.frames);
        text.push_str("\",\"delta\":\"");
        text.push_str(audio);
        text.push_str("\"}");
        self.stage.outbox.push(Outgoing::Unrecorded(text.into()));
    }

    fn begin_echo(&mut self, now: Instant) {
        // Probes that came behind the rest of a greeting would measure its length.
        if self.is_speaking(now) {
            let clock_ms = self.input.clock_ms();
            self.speech_started(clock_ms, now);
            self.cancel_active(Cancel::TurnDetected, now);
            let id = self.announced_item();
            let stopped = serde_json::json!({"audio_end_ms": clock_ms, "item_id": id});
            self.stage
                .outbox
                .emit("input_audio_buffer.speech_stopped", stopped);
            let audio = self.input.take_turn();
            self.commit_item(&id, audio, String::new(), now);
        }
        self.input.clear();
        let terms = self.terms();
        let answer = Answer::begin_open_ended(terms, &mut self.stage, now);
        self.echo = Some(Echo {
            head: answer.delta_head(),
            answer,
            bytes: 0,
            frames: 0,
            last_probe: now,
        });
    }

    /// Ordinary audio came: whether the echo swallows it.
    pub(crate) fn echo_swallows(&mut self, now: Instant) -> bool {
        let Some(echo) = &self.echo else {
            return false;
        };
        if now.duration_since(echo.last_probe) <= QUIET {
            return true;
        }
        self.book_echo();
        if let Some(mut echo) = self.echo.take() {
            let finished = echo.answer.finish(&mut self.stage, now);
            self.finished(&echo.answer, &finished, now);
        }
        false
    }

    pub(crate) fn cancel_echo(&mut self, why: Cancel, now: Instant) {
        self.book_echo();
        if let Some(mut echo) = self.echo.take() {
            let finished = echo.answer.cancel(why, &mut self.stage, now);
            self.finished(&echo.answer, &finished, now);
        }
    }

    /// Writes down how much has been echoed: not done with every frame.
    pub(crate) fn book_echo(&mut self) {
        if let Some(echo) = &mut self.echo {
            echo.answer.book(echo.bytes, &mut self.stage);
            let frames = echo.frames;
            self.stage.log.update(|state| state.echoed_frames = frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_magic_is_a_probe() {
        let mut frame = PROBE_MAGIC.to_vec();
        frame.resize(160, 7);
        assert!(is_probe(&STANDARD.encode(&frame)));
        for at in 0..8 {
            let mut other = frame.clone();
            other[at] ^= 1;
            assert!(!is_probe(&STANDARD.encode(&other)), "byte {at}");
        }
        assert!(!is_probe(""));
        assert!(!is_probe("U1dCUFJPQk"));
    }
}
