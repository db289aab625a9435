//! One media stream from the dialling of its socket to its end.

mod faults;
mod receive;
mod session;

use std::time::Duration;

use call_protocol::audio::FRAME_BYTES;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::Message;

use session::{Finish, Session};

use super::call::{Flow, Leg};
use super::caller::Caller;
use super::event::Happening;
use super::fault::Opening;
use super::message::{CONNECTED, Envelope, Start};
use super::outcome::{StreamEnd, StreamOutcome, Underruns, Warning};
use super::socket::{MediaSocket, stream_url};
use super::twiml::Stream;
use super::webhook::Params;

impl<C: Caller> Leg<'_, C> {
    /// Runs the stream; [`Flow::Continue`] when what follows `<Connect>` is to run.
    pub(crate) async fn stream(&mut self, noun: &Stream) -> Flow {
        let mut record = empty_record(self.line.sids.mint("MZ"), noun, self.now_ms());
        let dialled = Instant::now();
        let socket = match self.open(noun, &record.url).await {
            Ok(socket) => socket,
            Err(end) => {
                self.stream_over(noun, &record.stream_sid, &end);
                record.end = end;
                self.outcome.streams.push(record);
                return Flow::Continue;
            }
        };
        let upgrade_ms = dialled.elapsed().as_millis() as u64;
        record.upgrade_ms = Some(upgrade_ms);
        self.tell(Happening::SocketOpen { upgrade_ms });
        self.stream_callback(noun, &record.stream_sid, "stream-started", None);

        let envelope = Envelope::new(record.stream_sid.clone());
        let mut session = Session::new(self, noun, socket, envelope, record);
        session.open_protocol().await;
        let (record, Finish { end, then }) = session.run().await;
        self.tell(Happening::StreamEnded { end });
        self.outcome.streams.push(record);
        then
    }

    async fn open(&self, noun: &Stream, url: &str) -> Result<MediaSocket, StreamEnd> {
        if let Some(track) = &noun.track
            && track != "inbound_track"
        {
            return Err(StreamEnd::HandshakeFailed {
                code: 31_941,
                status: None,
                text: format!("track {track} under <Connect>"),
            });
        }
        MediaSocket::open(self.line, url).await
    }

    /// Reports the end to the status callback and the observer.
    fn stream_over(&self, noun: &Stream, stream_sid: &str, end: &StreamEnd) {
        match end.error() {
            Some((_, text)) => self.stream_callback(noun, stream_sid, "stream-error", Some(&text)),
            None => self.stream_callback(noun, stream_sid, "stream-stopped", None),
        }
        if let StreamEnd::HandshakeFailed { .. } = end {
            self.tell(Happening::StreamEnded { end: end.clone() });
        }
    }

    /// Posts a stream status callback (<https://www.twilio.com/docs/voice/twiml/stream#statuscallback>).
    fn stream_callback(&self, noun: &Stream, stream_sid: &str, event: &str, error: Option<&str>) {
        let Some(url) = &noun.status_callback else {
            return;
        };
        let params = stream_params(
            &self.line.account.sid,
            &self.sid,
            stream_sid,
            noun.name.as_deref(),
            event,
            error,
        );
        self.callbacks
            .send(noun.status_callback_method, url, params);
    }
}

/// The fields of a stream status callback.
pub(crate) fn stream_params(
    account_sid: &str,
    call_sid: &str,
    stream_sid: &str,
    name: Option<&str>,
    event: &str,
    error: Option<&str>,
) -> Params {
    let timestamp = Timestamp::now().to_string();
    let mut params = vec![
        ("AccountSid", account_sid),
        ("CallSid", call_sid),
        ("StreamSid", stream_sid),
        ("StreamName", name.unwrap_or(stream_sid)),
        ("StreamEvent", event),
        ("Timestamp", &timestamp),
    ];
    if let Some(error) = error {
        params.push(("StreamError", error));
    }
    params
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl<C: Caller> Session<'_, '_, C> {
    /// `connected` and `start`, in order or not.
    async fn open_protocol(&mut self) {
        let line = self.leg.line;
        tokio::time::sleep(line.start_delay).await;
        if !matches!(line.opening, Opening::NoConnected | Opening::Mute) {
            self.send(Message::text(CONNECTED));
            self.leg.tell(Happening::ConnectedSent);
        }
        tokio::time::sleep(line.start_delay).await;
        if line.opening == Opening::MediaBeforeStart {
            let early = self
                .envelope
                .media(line.first_timestamp_ms, &[0xFF; FRAME_BYTES]);
            self.send(Message::text(early));
        }
        match line.opening {
            Opening::NoStart | Opening::Mute => self.stalled = true,
            _ => self.send_start(),
        }
        if line.opening == Opening::TwoStarts {
            self.send_start();
        }
        self.begin_clock();
    }

    fn send_start(&mut self) {
        let line = self.leg.line;
        let opening = line.opening;
        let foreign_call = line.sids.mint("CA");
        let foreign_account = line.sids.mint("AC");
        let text = self.envelope.start(&Start {
            account_sid: match opening {
                Opening::ForeignAccountSid => &foreign_account,
                _ => &line.account.sid,
            },
            call_sid: match opening {
                Opening::ForeignCallSid => &foreign_call,
                _ => &self.leg.sid,
            },
            parameters: &self.noun.parameters,
            encoding: match opening {
                Opening::OtherMediaFormat => "audio/x-l16",
                _ => "audio/x-mulaw",
            },
            sample_rate: match opening {
                Opening::OtherMediaFormat => 16_000,
                _ => 8_000,
            },
        });
        self.send(Message::text(text));
        self.leg.tell(Happening::StartSent {
            stream_sid: self.envelope.stream_sid.clone(),
        });
    }
}

fn empty_record(stream_sid: String, noun: &Stream, started_ms: u64) -> StreamOutcome {
    let url = stream_url(&noun.url);
    let mut warnings = Vec::new();
    if noun.url.contains('?') {
        warnings.push(Warning {
            at_ms: 0,
            code: 31_920,
            text: "the query string of the stream url is not sent".to_owned(),
        });
    }
    StreamOutcome {
        stream_sid,
        url,
        started_ms,
        duration_ms: 0,
        upgrade_ms: None,
        first_audio_ms: None,
        said: Vec::new(),
        heard: Vec::new(),
        agent_speech: Vec::new(),
        caller_speech: Vec::new(),
        playback: Vec::new(),
        underruns: Underruns::default(),
        warnings,
        frames_sent: 0,
        frames_dropped: 0,
        media_messages: 0,
        media_bytes: 0,
        pings: 0,
        end: StreamEnd::Stopped,
    }
}

/// Samples of 125 µs in a stretch of time.
pub(crate) fn samples(time: Duration) -> u64 {
    (time.as_micros() / 125) as u64
}
