//! One call of a load test.

use std::sync::Arc;
use std::time::Duration;

use call_protocol::audio::{FRAME_BYTES, FRAME_MS, SILENCE};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::{self, protocol::Message};

use super::super::call::{progress_params, read_document, request_params};
use super::super::callbacks::Callbacks;
use super::super::message::{CONNECTED, Envelope, Incoming, Start, decode_payload, parse};
use super::super::outcome::StreamEnd;
use super::super::playback::Playback;
use super::super::socket::{self, MediaSocket, stream_url};
use super::super::stream::{samples, stream_params};
use super::super::twiml::{Stream, Verb};
use super::super::webhook::{self, Method};
use super::reassembly::{Found, Reassembly};
use super::{COME_HOME, Gauges, LoadPlan, Tally};
use crate::probe::{self, Probe};

const FRAME: Duration = Duration::from_millis(FRAME_MS);

pub(super) struct ProbeCall {
    plan: Arc<LoadPlan>,
    gauges: Arc<Gauges>,
    number: u32,
    call_sid: String,
    tally: Tally,
    returned: FrameSet,
    /// One more than the highest frame number that came back.
    expected: u32,
    reassembly: Reassembly,
    playback: Playback,
    decoded: Vec<u8>,
}

/// The number a call comes from: each has one of its own, since a service answers a number only so often an hour.
fn number_of(call: u32) -> String {
    format!("+1555{:07}", 1_000_000 + call % 1_000_000)
}

impl ProbeCall {
    pub(super) fn new(plan: Arc<LoadPlan>, gauges: Arc<Gauges>, number: u32) -> Self {
        let frames = frames_in(plan.probing);
        let call_sid = plan.line.sids.mint("CA");
        Self {
            plan,
            gauges,
            number,
            call_sid,
            tally: Tally::default(),
            returned: FrameSet::new(frames),
            expected: 0,
            reassembly: Reassembly::default(),
            playback: Playback::default(),
            decoded: Vec::with_capacity(8_192),
        }
    }

    pub(super) async fn run(mut self) -> Tally {
        sleep(self.plan.ramp * self.number / self.plan.calls.max(1)).await;
        let began = Instant::now();
        let callbacks = Callbacks::open(&self.plan.line, began);
        if let Err(failure) = self.call(&callbacks, began).await {
            self.tally.failure = Some(failure);
        }
        if let Some(url) = &self.plan.line.status_callback {
            let params = request_params(&self.plan.line, &self.call_sid, "completed");
            let params = progress_params(params, 0, Some(began.elapsed().as_secs()));
            callbacks.send(Method::Post, url, params);
        }
        callbacks.close().await;
        self.tally
    }

    async fn call(&mut self, callbacks: &Callbacks, began: Instant) -> Result<(), String> {
        let stream = self.ask_for_stream().await?;
        let url = stream_url(&stream.url);
        let plan = Arc::clone(&self.plan);
        let socket = MediaSocket::open(&plan.line, &url)
            .await
            .map_err(|end| failure_of(&end))?;
        self.gauges.setup.record(micros(began.elapsed()));

        let stream_sid = plan.line.sids.mint("MZ");
        self.report_stream(callbacks, &stream, &stream_sid, "stream-started");
        let mut envelope = Envelope::new(stream_sid.clone());
        let start = envelope.start(&Start {
            account_sid: &plan.line.account.sid,
            call_sid: &self.call_sid,
            parameters: &stream.parameters,
            encoding: "audio/x-mulaw",
            sample_rate: 8_000,
        });
        let result = self.probe(socket, envelope, start).await;
        self.report_stream(callbacks, &stream, &stream_sid, "stream-stopped");
        result
    }

    fn report_stream(&self, callbacks: &Callbacks, stream: &Stream, stream_sid: &str, event: &str) {
        let Some(url) = &stream.status_callback else {
            return;
        };
        let params = stream_params(
            &self.plan.line.account.sid,
            &self.call_sid,
            stream_sid,
            stream.name.as_deref(),
            event,
            None,
        );
        callbacks.send(stream.status_callback_method, url, params);
    }

    /// The `<Stream>` of the first `<Connect>`; what stands before it is not waited for.
    async fn ask_for_stream(&self) -> Result<Stream, String> {
        let line = &self.plan.line;
        let mut params = request_params(line, &self.call_sid, "ringing");
        for (name, value) in &mut params {
            if matches!(name.as_str(), "From" | "Caller") {
                *value = number_of(self.number);
            }
        }
        params.extend(line.extra_params.iter().cloned());
        let url = line.webhook.as_str();
        let token = line.sids.idempotency_token();
        let reply = webhook::request(line, line.webhook_method, url, &params, &token)
            .await
            .map_err(|error| format!("webhook_{}", error.code()))?;
        let document = read_document(&reply, url).map_err(|failure| match reply.status {
            200..300 => format!("twiml_{}", failure.code),
            status => format!("webhook_status_{status}"),
        })?;
        for verb in document.verbs {
            if let Verb::Connect(connect) = verb {
                return Ok(connect.stream);
            }
        }
        Err("twiml_without_stream".to_owned())
    }

    /// Silence, probes, silence; then `stop`.
    async fn probe(
        &mut self,
        mut socket: MediaSocket,
        mut envelope: Envelope,
        start: String,
    ) -> Result<(), String> {
        let first = frames_in(self.plan.settle);
        let last = first + frames_in(self.plan.probing);
        let end = last + frames_in(COME_HOME);
        let _ = socket.send(Message::text(CONNECTED));
        let _ = socket.send(Message::text(start));
        let started = Instant::now();
        let schedule = started + self.phase();
        let mut frame = 0;
        let mut said = [SILENCE; FRAME_BYTES];
        let sleep = sleep_until(schedule);
        tokio::pin!(sleep);
        while frame < end {
            let due = schedule + FRAME * frame;
            let mark_due = self.playback.next_mark_at();
            let mark_due = mark_due.map(|sample| started + Duration::from_micros(sample * 125));
            sleep
                .as_mut()
                .reset(mark_due.map_or(due, |mark| mark.min(due)));
            tokio::select! {
                biased;
                () = &mut sleep => {}
                message = socket.next() => {
                    self.receive(message, &mut socket, &mut envelope, started)?;
                    continue;
                }
            }
            let now = samples(started.elapsed());
            while let Some(name) = self.playback.due_mark(now) {
                let _ = socket.send(Message::text(envelope.mark(&name)));
            }
            let now = Instant::now();
            if due > now {
                continue;
            }
            self.gauges.late.record(micros(now - due));
            let is_probe = (first..last).contains(&frame);
            if is_probe {
                let probe = Probe {
                    call: self.number,
                    frame: frame - first,
                    sent_us: probe::now_us(),
                };
                probe::encode(probe, &mut said);
            } else {
                said.fill(SILENCE);
            }
            let timestamp_ms = self.plan.line.first_timestamp_ms + u64::from(frame) * FRAME_MS;
            let sent = socket
                .send_if_ready(envelope.media(timestamp_ms, &said))
                .await;
            match sent {
                Ok(true) if is_probe => self.tally.sent += 1,
                Ok(false) if is_probe => self.tally.not_sent += 1,
                // Reading tells how the socket ended.
                Ok(_) | Err(_) => {}
            }
            frame += 1;
        }
        let stop = envelope.stop(&self.plan.line.account.sid, &self.call_sid);
        let _ = socket.send(Message::text(stop));
        socket.close().await;
        Ok(())
    }

    /// Spreads the calls' frames over the 20 ms, so that they do not all come at once.
    fn phase(&self) -> Duration {
        let period_us = FRAME_MS * 1_000;
        let calls = u64::from(self.plan.calls.max(1));
        let wanted = u64::from(self.number) * period_us / calls;
        let now = probe::now_us() % period_us;
        Duration::from_micros((wanted + period_us - now) % period_us)
    }

    fn receive(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
        socket: &mut MediaSocket,
        envelope: &mut Envelope,
        started: Instant,
    ) -> Result<(), String> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => {
                self.warn(31_950);
                return Ok(());
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1_005, |frame| frame.code.into());
                return Err(format!("server_closed_{code}"));
            }
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => return Err(failure_of(&socket::end_of(&error))),
            None => return Err("server_dropped".to_owned()),
        };
        let now = samples(started.elapsed());
        match parse(&text, &envelope.stream_sid) {
            Ok(Incoming::Media(payload)) => {
                if decode_payload(&payload, &mut self.decoded).is_err() {
                    self.warn(31_951);
                    return Ok(());
                }
                if self.playback.media(now, self.decoded.len()).dropped > 0 {
                    self.warn(31_931);
                }
                self.check_returned();
            }
            Ok(Incoming::Mark(name)) => {
                self.playback.mark(now, name.into_owned());
                while let Some(name) = self.playback.due_mark(now) {
                    let _ = socket.send(Message::text(envelope.mark(&name)));
                }
            }
            Ok(Incoming::Clear) => {
                for name in self.playback.clear(now).marks {
                    let _ = socket.send(Message::text(envelope.mark(&name)));
                }
            }
            Err(_) => self.warn(31_951),
        }
        Ok(())
    }

    fn check_returned(&mut self) {
        let now_us = probe::now_us();
        let (tally, returned, expected) = (&mut self.tally, &mut self.returned, &mut self.expected);
        let (gauges, number) = (&self.gauges, self.number);
        self.reassembly.push(&self.decoded, |found| match found {
            Found::Probe(probe) if probe.call != number => tally.foreign += 1,
            Found::Probe(probe) => {
                if !returned.insert(probe.frame) {
                    tally.duplicated += 1;
                    return;
                }
                tally.returned += 1;
                gauges.latency.record(now_us.saturating_sub(probe.sent_us));
                if probe.frame < *expected {
                    tally.out_of_order += 1;
                } else {
                    *expected = probe.frame + 1;
                }
            }
            Found::Corrupt => tally.corrupt += 1,
            Found::Stray(bytes) => tally.stray_bytes += bytes as u64,
        });
    }

    fn warn(&mut self, code: u32) {
        *self.tally.warnings.entry(code).or_default() += 1;
    }
}

/// Which frames came back, one bit each.
struct FrameSet {
    words: Vec<u64>,
    frames: u32,
}

impl FrameSet {
    fn new(frames: u32) -> Self {
        Self {
            words: vec![0; frames as usize / 64 + 1],
            frames,
        }
    }

    /// False when it was there already or never sent.
    fn insert(&mut self, frame: u32) -> bool {
        if frame >= self.frames {
            return false;
        }
        let bit = 1 << (frame % 64);
        let word = &mut self.words[frame as usize / 64];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

fn frames_in(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / u128::from(FRAME_MS)).unwrap_or(u32::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The kind of failure, without what differs from call to call.
fn failure_of(end: &StreamEnd) -> String {
    match end {
        StreamEnd::HandshakeFailed {
            status: Some(status),
            ..
        } => format!("upgrade_status_{status}"),
        StreamEnd::HandshakeFailed { code, .. } => format!("upgrade_{code}"),
        StreamEnd::ServerDropped { .. } => "server_dropped".to_owned(),
        StreamEnd::ProtocolError { .. } => "protocol_error".to_owned(),
        StreamEnd::ServerClosed { .. }
        | StreamEnd::CallerHungUp
        | StreamEnd::Stopped
        | StreamEnd::Dropped => "stream_ended".to_owned(),
    }
}
