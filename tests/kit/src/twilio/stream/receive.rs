//! What the service sends: audio into the playback queue, marks, clears, and complaints about the rest.

use call_protocol::audio::bytes_to_ms;
use tokio_tungstenite::tungstenite::{self, protocol::Message};

use super::super::caller::Caller;
use super::super::event::Happening;
use super::super::message::{Incoming, decode_payload, parse, quote};
use super::super::outcome::{PlaybackEntry, PlaybackStep, StreamEnd, Warning};
use super::super::socket;
use super::session::Session;

impl<C: Caller> Session<'_, '_, C> {
    pub(super) fn receive(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Option<StreamEnd> {
        match message {
            Some(Ok(Message::Text(text))) => self.receive_text(&text),
            Some(Ok(Message::Binary(bytes))) => {
                self.warn(31_950, &format!("binary frame of {} bytes", bytes.len()));
            }
            // The library has queued the pong; it leaves with the next read.
            Some(Ok(Message::Ping(_))) => self.record.pings += 1,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                return Some(StreamEnd::ServerClosed {
                    code: frame.as_ref().map(|frame| frame.code.into()),
                    reason: frame.map_or_else(String::new, |frame| frame.reason.to_string()),
                });
            }
            Some(Err(error)) => return Some(socket::end_of(&error)),
            None => {
                return Some(StreamEnd::ServerDropped {
                    text: "end of stream".to_owned(),
                });
            }
        }
        None
    }

    fn receive_text(&mut self, text: &str) {
        let now = self.now_sample();
        match parse(text, &self.envelope.stream_sid) {
            Ok(Incoming::Media(payload)) => {
                let mut decoded = std::mem::take(&mut self.decoded);
                match decode_payload(&payload, &mut decoded) {
                    Ok(()) => self.receive_audio(now, &decoded),
                    Err(complaint) => self.warn(31_951, &complaint),
                }
                self.decoded = decoded;
            }
            Ok(Incoming::Mark(name)) => {
                self.log_playback(PlaybackStep::MarkReceived {
                    name: name.clone().into_owned(),
                });
                self.playback.mark(now, name.into_owned());
            }
            Ok(Incoming::Clear) => self.receive_clear(now),
            Err(complaint) => self.warn(31_951, &complaint),
        }
    }

    fn receive_audio(&mut self, now: u64, audio: &[u8]) {
        if self.record.media_messages == 0 {
            let after_start_ms = bytes_to_ms(now);
            self.record.first_audio_ms = Some(after_start_ms);
            self.leg.tell(Happening::FirstAudio { after_start_ms });
        }
        self.record.media_messages += 1;
        self.record.media_bytes += audio.len() as u64;
        let queued = self.playback.media(now, audio.len());
        self.heard.lay(queued.starts_at, &audio[..queued.accepted]);
        self.log_playback(PlaybackStep::Media {
            bytes: audio.len(),
            plays_at_ms: bytes_to_ms(queued.starts_at),
            after_silence: queued.after_silence,
        });
        if let Some(gap) = queued.underrun {
            self.record.underruns.count += 1;
            self.record.underruns.ms += gap.div_ceil(8);
        }
        if queued.dropped > 0 {
            let text = format!(
                "more than ten minutes queued, {} bytes dropped",
                queued.dropped
            );
            self.warn(31_931, &text);
        }
    }

    fn receive_clear(&mut self, now: u64) {
        let cleared = self.playback.clear(now);
        self.heard.cut(now);
        let discarded_ms = bytes_to_ms(cleared.discarded);
        self.log_playback(PlaybackStep::Cleared {
            discarded_ms,
            marks: cleared.marks.len(),
        });
        self.leg.tell(Happening::Cleared { discarded_ms });
        for name in cleared.marks {
            self.echo_mark(name, true);
        }
    }

    pub(super) fn echo_due_marks(&mut self) {
        if self.stalled {
            return;
        }
        let now = self.now_sample();
        while let Some(name) = self.playback.due_mark(now) {
            self.echo_mark(name, false);
        }
    }

    fn echo_mark(&mut self, name: String, flushed: bool) {
        let text = self.envelope.mark(&name);
        self.send(Message::text(text));
        self.leg.tell(Happening::MarkEchoed {
            name: name.clone(),
            flushed,
        });
        self.log_playback(PlaybackStep::MarkEchoed { name, flushed });
    }

    fn log_playback(&mut self, what: PlaybackStep) {
        // As long as the call, so it goes with the recording.
        if self.leg.line.record {
            let at_ms = bytes_to_ms(self.now_sample());
            self.record.playback.push(PlaybackEntry { at_ms, what });
        }
    }

    pub(super) fn warn(&mut self, code: u32, text: &str) {
        let text = quote(text);
        self.leg.tell(Happening::Warned {
            code,
            text: text.clone(),
        });
        let at_ms = bytes_to_ms(self.now_sample());
        self.record.warnings.push(Warning { at_ms, code, text });
    }
}
