//! `TwilioSession`: one media socket. The only file that knows `actix_web_actors`.
//!
//! It reads frames into phone events and writes what the call wants played. It decides nothing about the call. The
//! codec below it answers no ping, echoes no close, joins no fragments and repeats some errors for ever: all that is
//! done here.

use std::io;
use std::time::Instant;

use actix::prelude::SendError;
use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, Running, StreamHandler};
use actix_http::ws::{CloseCode, CloseReason, Message, ProtocolError};
use actix_web::error::PayloadError;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{WebsocketContext, WsResponseBuilder};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use call_protocol::call::event::{PhoneEvent, SocketFault};
use call_protocol::twilio::{self, MAX_MESSAGE};

use super::assembler::Assembler;
use super::gate::Gate;
use crate::call::{CallActor, CallSeed};
use crate::limits::{CONTROL_FRAMES, PHONE_MAILBOX, PHONE_PING};
use crate::messages::{PhoneSaid, ToPhone};

/// Upgrades the request and starts the call on this worker thread, where it stays.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub fn accept(
    seed: CallSeed,
    request: &HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    let session = TwilioSession::new(seed);
    WsResponseBuilder::new(session, request, Gate::new(stream, MAX_MESSAGE))
        .frame_size(MAX_MESSAGE)
        .start()
}

/// The actor of one media socket. Temporary: its end is the call's end.
pub(crate) struct TwilioSession {
    phase: Phase,
    assembler: Assembler,
    control: ControlRate,
    /// Reused for every message written.
    buffer: BytesMut,
    log: crate::call::LogContext,
}

enum Phase {
    /// Not started yet.
    Seed(Option<Box<CallSeed>>),
    /// The call lives; this is its strongest link.
    Open {
        call: Addr<CallActor>,
        shared: crate::call::Shared,
    },
    /// Closed by either side.
    Closed,
}

/// Control frames in the running second.
struct ControlRate {
    since: Instant,
    frames: u32,
}

impl ControlRate {
    fn is_flooded(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since).as_secs() >= 1 {
            self.since = now;
            self.frames = 0;
        }
        self.frames += 1;
        self.frames > CONTROL_FRAMES
    }
}

impl TwilioSession {
    fn new(seed: CallSeed) -> Self {
        Self {
            log: crate::call::LogContext::of(&seed),
            phase: Phase::Seed(Some(Box::new(seed))),
            assembler: Assembler::default(),
            control: ControlRate {
                since: Instant::now(),
                frames: 0,
            },
            buffer: BytesMut::new(),
        }
    }

    fn on_text(&mut self, text: &Bytes, ctx: &mut WebsocketContext<Self>) {
        let Phase::Open { call, shared } = &self.phase else {
            return;
        };
        shared.tap(crate::call::Wire::PhoneIn, text);
        let event = match twilio::read(text) {
            Ok(event) => event,
            Err(error) => PhoneEvent::Unusable(error),
        };
        let audio = matches!(event, PhoneEvent::Audio(_));
        let said = PhoneSaid {
            event,
            at: Instant::now(),
        };
        if !audio {
            call.do_send(said);
            return;
        }
        match call.try_send(said) {
            Ok(()) => {}
            Err(SendError::Full(_)) => {
                shared.metrics.frames_from_caller.dropped.inc();
                shared.metrics.call_restarted("stuck");
                log::error!(target: "switchboard::call", call_sid = self.log.call(), key = self.log.key; "call takes no messages, its caller is led away");
                self.abandon(ctx);
            }
            Err(SendError::Closed(_)) => {
                shared.metrics.frames_from_caller.dropped.inc();
                self.abandon(ctx);
            }
        }
    }

    /// The peer broke a WebSocket rule: say so, close, and stop at once. The codec would repeat some errors for ever.
    fn reject(&mut self, fault: SocketFault, ctx: &mut WebsocketContext<Self>) {
        self.tell_last(PhoneEvent::Rejected(fault));
        close(ctx, fault.close_code());
        ctx.stop();
    }

    /// The call's actor died by a panic, or is stuck: the caller is looked after by what follows `<Connect>`. An actor
    /// that comes to itself again finds that its phone leg is gone.
    fn abandon(&mut self, ctx: &mut WebsocketContext<Self>) {
        self.tell_last(PhoneEvent::Closed { code: None });
        close(ctx, 1011);
        ctx.stop();
    }

    /// Tells the call the last thing about this socket.
    fn tell_last(&mut self, event: PhoneEvent) {
        if let Phase::Open { call, .. } = std::mem::replace(&mut self.phase, Phase::Closed) {
            call.do_send(PhoneSaid {
                event,
                at: Instant::now(),
            });
        }
    }

    fn write(&mut self, ctx: &mut WebsocketContext<Self>) {
        let text = self.buffer.split().freeze();
        if let Phase::Open { shared, .. } = &self.phase {
            shared.tap(crate::call::Wire::PhoneOut, &text);
        }
        if let Ok(text) = ByteString::try_from(text) {
            ctx.text(text);
        }
    }
}

impl Drop for TwilioSession {
    /// However the session goes, the call learns of it.
    fn drop(&mut self) {
        self.tell_last(PhoneEvent::Closed { code: None });
    }
}

impl Actor for TwilioSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(PHONE_MAILBOX);
        if let Phase::Seed(seed) = &mut self.phase
            && let Some(seed) = seed.take()
        {
            let shared = seed.shared.clone();
            let call = CallActor::start_supervised(*seed, ctx.address());
            self.phase = Phase::Open { call, shared };
        }
        ctx.run_interval(PHONE_PING, |session, ctx| match &session.phase {
            Phase::Open { call, .. } if call.connected() => ctx.ping(b""),
            Phase::Open { .. } => session.abandon(ctx),
            Phase::Seed(_) | Phase::Closed => {}
        });
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.tell_last(PhoneEvent::Closed { code: None });
        Running::Stop
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for TwilioSession {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match item {
            Ok(Message::Text(text)) => self.on_text(text.as_bytes(), ctx),
            Ok(Message::Continuation(piece)) => match self.assembler.take(piece, MAX_MESSAGE) {
                Ok(Some(text)) => self.on_text(&text, ctx),
                Ok(None) => {}
                Err(fault) => self.reject(fault, ctx),
            },
            Ok(Message::Ping(data)) => {
                if self.control.is_flooded(Instant::now()) {
                    self.reject(SocketFault::Flood, ctx);
                } else {
                    ctx.pong(&data);
                }
            }
            Ok(Message::Pong(_)) => {
                if self.control.is_flooded(Instant::now()) {
                    self.reject(SocketFault::Flood, ctx);
                }
            }
            Ok(Message::Binary(_)) => self.reject(SocketFault::Binary, ctx),
            Ok(Message::Close(reason)) => {
                let code = reason.as_ref().map(|reason| u16::from(reason.code));
                self.tell_last(PhoneEvent::Closed { code });
                ctx.close(reason);
                ctx.stop();
            }
            Ok(Message::Nop) => {}
            Err(ProtocolError::Overflow) => self.reject(SocketFault::TooLarge, ctx),
            Err(ProtocolError::Io(error)) if is_overflow(&error) => {
                self.reject(SocketFault::TooLarge, ctx);
            }
            Err(ProtocolError::Io(error)) if is_vanished(&error) => {
                self.tell_last(PhoneEvent::Closed { code: None });
                ctx.stop();
            }
            Err(error) => {
                log::debug!(target: "switchboard::twilio", error:% = error, call = self.log.key; "bad frame");
                self.reject(SocketFault::Protocol, ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<ToPhone> for TwilioSession {
    type Result = ();

    fn handle(&mut self, message: ToPhone, ctx: &mut Self::Context) {
        match message {
            ToPhone::Play {
                stream,
                payload,
                since,
            } => {
                twilio::write_media(&mut self.buffer, stream, &payload);
                self.write(ctx);
                if let Phase::Open { shared, .. } = &self.phase {
                    shared.played(&payload, since);
                }
            }
            ToPhone::Mark { stream, name } => {
                twilio::write_mark(&mut self.buffer, stream, &name);
                self.write(ctx);
            }
            ToPhone::Clear { stream, since } => {
                twilio::write_clear(&mut self.buffer, stream);
                self.write(ctx);
                if let (Phase::Open { shared, .. }, Some(since)) = (&self.phase, since) {
                    shared.cleared(since);
                }
            }
            ToPhone::Close { code } => {
                // The call is over and knows it; nothing more is to be told.
                self.phase = Phase::Closed;
                close(ctx, code);
                ctx.stop();
            }
        }
    }
}

#[cfg(feature = "fault-hook")]
impl Handler<crate::fault::SessionFault> for TwilioSession {
    type Result = ();

    fn handle(&mut self, fault: crate::fault::SessionFault, ctx: &mut Self::Context) {
        match fault {
            crate::fault::SessionFault::Panic => panic!("{}", crate::fault::CAUSE),
            crate::fault::SessionFault::Stall(time) => {
                ctx.wait(actix::WrapFuture::into_actor(
                    actix_rt::time::sleep(time),
                    self,
                ));
            }
        }
    }
}

/// The gate's error has lost its type on the way here.
fn is_overflow(error: &io::Error) -> bool {
    error.to_string() == PayloadError::Overflow.to_string()
}

/// A vanished peer, broken UTF-8 and reserved bits are told by the same error; only the first leaves nobody to answer.
fn is_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && !error.to_string().contains("utf-8")
}

fn close(ctx: &mut WebsocketContext<TwilioSession>, code: u16) {
    ctx.close(Some(CloseReason {
        code: CloseCode::from(code),
        description: None,
    }));
}
