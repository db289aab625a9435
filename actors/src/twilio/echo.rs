//! An echo on the phone leg's own socket path, for a test of conformance with RFC 6455: gate, codec and frame rules are
//! those of a call; instead of a call there is a mirror. Built with the feature `echo` only; `examples/echo.rs` serves it.

use std::time::Instant;

use actix::{Actor, ActorContext, StreamHandler};
use actix_http::ws::{Message, ProtocolError};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{WebsocketContext, WsResponseBuilder};
use call_protocol::phone::twilio::MAX_MESSAGE;

use crate::websocket::{FrameAction, FrameLimit, InboundFrames, close_reason};

/// Upgrades the request; every text is sent back.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub fn accept(request: &HttpRequest, stream: web::Payload) -> Result<HttpResponse, Error> {
    let mirror = Mirror {
        frames: InboundFrames::new(MAX_MESSAGE),
    };
    WsResponseBuilder::new(mirror, request, FrameLimit::new(stream, MAX_MESSAGE))
        .frame_size(MAX_MESSAGE)
        .start()
}

struct Mirror {
    frames: InboundFrames,
}

impl Actor for Mirror {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Message, ProtocolError>> for Mirror {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match self.frames.judge(item, Instant::now()) {
            FrameAction::Text(text) => ctx.text(text),
            FrameAction::Answer(ping) => ctx.pong(&ping),
            FrameAction::Nothing => {}
            FrameAction::Closed(reason) => {
                ctx.close(reason);
                ctx.stop();
            }
            FrameAction::Vanished(_) => ctx.stop(),
            FrameAction::Reject(fault) => {
                ctx.close(Some(close_reason(fault.close_code())));
                ctx.stop();
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
