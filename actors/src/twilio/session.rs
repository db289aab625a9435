//! `TwilioSession`: one media socket. The only file of the service that knows `actix_web_actors`.
//!
//! It reads frames into phone events and writes what the call wants played. It decides nothing about the call.

use std::time::Instant;

use actix::prelude::SendError;
use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, Running, StreamHandler, WeakAddr};
use actix_http::ws::{Message, ProtocolError};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{WebsocketContext, WsResponseBuilder};
use bytes::{Bytes, BytesMut};
use call_protocol::phone::event::PhoneEvent;
use call_protocol::phone::twilio;
use call_protocol::phone::twilio::MAX_MESSAGE;
use call_protocol::wire::SocketFault;

use crate::call::{CallActor, CallSeed, PendingStream};
use crate::failpoints;
use crate::limits::{PHONE_MAILBOX, PHONE_PING};
use crate::messages::{CallKey, PhoneSaid, Replace, ToPhone};
use crate::timer::{ActorTimer, TimerFired};
use crate::websocket::{FrameAction, FrameLimit, InboundFrames, close_reason, encode_text};

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
    WsResponseBuilder::new(session, request, FrameLimit::new(stream, MAX_MESSAGE))
        .frame_size(MAX_MESSAGE)
        .start()
}

/// Upgrades the request; the socket takes a lost one's place in a call that lives, perhaps on another thread.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub fn reattach(
    slot: MediaSlot,
    pending_stream: PendingStream,
    request: &HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, Error> {
    let session = TwilioSession::reattached(slot, pending_stream);
    WsResponseBuilder::new(session, request, FrameLimit::new(stream, MAX_MESSAGE))
        .frame_size(MAX_MESSAGE)
        .start()
}

/// The place of a lost media socket in a call.
pub struct MediaSlot {
    call: WeakAddr<CallActor>,
    shared: crate::call::Shared,
    key: CallKey,
}

impl MediaSlot {
    pub(crate) const fn new(
        call: WeakAddr<CallActor>,
        shared: crate::call::Shared,
        key: CallKey,
    ) -> Self {
        Self { call, shared, key }
    }
}

/// The actor of one media socket. Temporary: its end is the call's end.
pub(crate) struct TwilioSession {
    phase: Phase,
    frames: InboundFrames,
    pings: Option<ActorTimer>,
    log: crate::call::LogContext,
}

enum Phase {
    /// Not started yet.
    Seed(Option<Box<CallSeed>>),
    /// Not started yet; its call lives already.
    Slot(Option<(MediaSlot, PendingStream)>),
    /// The call lives; this is its strongest link.
    Open {
        call: Addr<CallActor>,
        shared: crate::call::Shared,
    },
    /// Closed by either side.
    Closed,
}

impl TwilioSession {
    fn new(seed: CallSeed) -> Self {
        Self {
            log: crate::call::LogContext::of(&seed),
            phase: Phase::Seed(Some(Box::new(seed))),
            frames: InboundFrames::new(MAX_MESSAGE),
            pings: None,
        }
    }

    fn reattached(slot: MediaSlot, pending_stream: PendingStream) -> Self {
        Self {
            log: crate::call::LogContext::of_key(slot.key),
            phase: Phase::Slot(Some((slot, pending_stream))),
            frames: InboundFrames::new(MAX_MESSAGE),
            pings: None,
        }
    }

    /// Takes the seat; a call that ended meanwhile has none.
    fn attach(
        &mut self,
        slot: MediaSlot,
        pending_stream: PendingStream,
        ctx: &mut WebsocketContext<Self>,
    ) {
        let Some(call) = slot.call.upgrade() else {
            self.phase = Phase::Closed;
            close(ctx, 1008);
            ctx.stop();
            return;
        };
        let phone = ctx.address();
        call.do_send(Replace {
            phone,
            pending_stream,
        });
        let shared = slot.shared;
        self.phase = Phase::Open { call, shared };
    }

    fn on_text(&mut self, text: &Bytes, at: Instant, ctx: &mut WebsocketContext<Self>) {
        let Phase::Open { call, shared } = &self.phase else {
            return;
        };
        shared.tap(crate::call::Wire::PhoneIn, text);
        let event = match twilio::read(text) {
            Ok(event) => event,
            Err(error) => PhoneEvent::Unusable(error),
        };
        let said = PhoneSaid { event, at };
        // Everything on the wire has the same bound: a peer could fill the memory of a stuck call with marks, too.
        match call.try_send(said) {
            Ok(()) => {}
            Err(SendError::Full(said)) => {
                shared.lost_with(&said.event);
                shared.metrics.call_restarted(crate::metrics::STUCK);
                log::error!(target: "switchboard::call", call_sid = self.log.call(), key = self.log.key; "call takes no messages, its caller is led away");
                self.abandon(ctx);
            }
            Err(SendError::Closed(said)) => {
                shared.lost_with(&said.event);
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

    fn write(&self, ctx: &mut WebsocketContext<Self>, write: impl FnOnce(&mut BytesMut)) {
        let Some(text) = encode_text(write) else {
            return;
        };
        if let Phase::Open { shared, .. } = &self.phase {
            shared.tap(crate::call::Wire::PhoneOut, text.as_bytes());
        }
        ctx.text(text);
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
        if let Phase::Slot(slot) = &mut self.phase
            && let Some((slot, pending_stream)) = slot.take()
        {
            self.attach(slot, pending_stream, ctx);
        }
        self.pings = Some(ActorTimer::every(PHONE_PING, ctx.address().downgrade()));
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.tell_last(PhoneEvent::Closed { code: None });
        Running::Stop
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for TwilioSession {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let now = Instant::now();
        if let Phase::Open { shared, .. } = &self.phase {
            failpoints::in_actor("phone.frame", shared.call_sid(), self, ctx);
        }
        match self.frames.judge(item, now) {
            FrameAction::Text(text) => self.on_text(text.as_bytes(), now, ctx),
            FrameAction::Answer(ping) => ctx.pong(&ping),
            FrameAction::Nothing => {}
            FrameAction::Closed(reason) => {
                // A close frame without a code is one all the same (RFC 6455, section 7.1.5).
                let code = reason
                    .as_ref()
                    .map_or(1005, |reason| u16::from(reason.code));
                let code = Some(code);
                self.tell_last(PhoneEvent::Closed { code });
                ctx.close(reason);
                ctx.stop();
            }
            FrameAction::Vanished(_) => {
                self.tell_last(PhoneEvent::Closed { code: None });
                ctx.stop();
            }
            FrameAction::Reject(fault) => {
                log::debug!(target: "switchboard::twilio", fault:? = fault, call = self.log.key; "bad frame");
                self.reject(fault, ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<TimerFired> for TwilioSession {
    type Result = ();

    fn handle(&mut self, _: TimerFired, ctx: &mut Self::Context) {
        match &self.phase {
            Phase::Open { call, .. } if call.connected() => ctx.ping(b""),
            Phase::Open { .. } => self.abandon(ctx),
            Phase::Seed(_) | Phase::Slot(_) | Phase::Closed => {}
        }
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
                self.write(ctx, |out| twilio::write_media(out, stream, &payload));
                if let Phase::Open { shared, .. } = &self.phase {
                    shared.played(&payload, since);
                }
            }
            ToPhone::Mark { stream, name } => {
                self.write(ctx, |out| twilio::write_mark(out, stream, &name));
            }
            ToPhone::Clear { stream, since } => {
                self.write(ctx, |out| twilio::write_clear(out, stream));
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

fn close(ctx: &mut WebsocketContext<TwilioSession>, code: u16) {
    ctx.close(Some(close_reason(code)));
}
