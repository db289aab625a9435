//! Faults carried out on an open media socket.

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::super::caller::Caller;
use super::super::fault::Fault;
use super::super::message::Envelope;
use super::super::outcome::{CallEnd, StreamEnd};
use super::session::{Finish, Session};

impl<C: Caller> Session<'_, '_, C> {
    /// Carries out `fault`; some of them end the stream.
    pub(super) fn inject(&mut self, fault: Fault) -> Option<Finish> {
        match fault {
            Fault::DropSocket => return Some(Finish::falls_through(StreamEnd::Dropped)),
            Fault::Vanish => {
                return Some(Finish::ends_call(
                    StreamEnd::Dropped,
                    CallEnd::CallerVanished,
                ));
            }
            Fault::Stall => self.stalled = true,
            Fault::Resume => self.stalled = false,
            Fault::StreamError(text) => {
                self.error_reported = true;
                self.leg.stream_callback(
                    self.noun,
                    &self.record.stream_sid,
                    "stream-error",
                    Some(&text),
                );
            }
            Fault::StopReading(time) => self.deaf_until = Some(Instant::now() + time),
            Fault::Raw(text) => self.send(Message::text(text)),
            Fault::Binary(bytes) => self.send(Message::binary(bytes)),
            Fault::HugeFrame(bytes) => self.send_payload(&"/".repeat(bytes)),
            Fault::MalformedJson => self.send(Message::text(r#"{"event":"media","media":"#)),
            Fault::InvalidBase64 => self.send_payload("not base64!"),
            Fault::ForeignStreamSid => {
                let mut foreign = Envelope::new(self.leg.line.sids.mint("MZ"));
                let text = foreign.media(self.timestamp_ms(self.now_sample()), &[0xFF; 160]);
                self.send(Message::text(text));
            }
            Fault::SecondStart => self.send_start(),
            Fault::SkipSequence(count) => self.envelope.skip(count),
            Fault::LoseFrames(count) => self.frames_to_lose += count,
        }
        None
    }

    fn send_payload(&mut self, payload: &str) {
        let timestamp_ms = self.timestamp_ms(self.now_sample());
        let text = self.envelope.media_with_payload(timestamp_ms, payload);
        self.send(Message::text(text));
    }
}
