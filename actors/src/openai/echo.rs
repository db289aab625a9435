//! An echo on the model leg's own socket path, for a test of conformance with RFC 6455: limit, codec, frame rules and queue
//! are those of a session; instead of a session there is a mirror. Built with the feature `echo` only; `examples/echo.rs`
//! dials with it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use actix_http::ws::Message;
use bytestring::ByteString;
use call_protocol::model::openai::MAX_MESSAGE;
use rustls::{ClientConfig, RootCertStore};

use super::connect::{Dialler, Endpoint};
use super::socket_io::SocketIo;
use crate::websocket::{FrameAction, InboundFrames};

/// Dials that URL, which is no TLS one, and sends every text back until the socket is closed; gives the last text.
///
/// # Errors
/// When the dial is refused.
pub async fn dial(url: &str) -> Result<Option<ByteString>, String> {
    let tls = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let dialler = Dialler::new(Endpoint {
        authorization: Arc::new(|| "none".to_owned()),
        tls: Arc::new(tls),
    });
    let socket = dialler
        .dial(url)
        .await
        .map_err(|refusal| format!("{refusal:?}"))?;
    let mut io = SocketIo::default();
    io.open(socket);
    Ok(mirror(io).await)
}

async fn mirror(mut io: SocketIo) -> Option<ByteString> {
    let mut frames = InboundFrames::new(MAX_MESSAGE);
    let mut last = None;
    let mut hanging_up = false;
    poll_fn(|task| {
        loop {
            if io.has_to_write() && io.write(task, |_| {}).is_err() {
                return Poll::Ready(());
            }
            if hanging_up {
                // As a session does: the peer's answer is not waited for.
                return if io.has_to_write() {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                };
            }
            let Some(item) = ready!(io.poll_frame(task)) else {
                return Poll::Ready(());
            };
            match frames.judge_frame(item, Instant::now()) {
                FrameAction::Text(text) => {
                    last = Some(text.clone());
                    io.push(Message::Text(text), None);
                }
                FrameAction::Answer(ping) => io.push(Message::Pong(ping), None),
                FrameAction::Nothing => {}
                FrameAction::Closed(reason) => {
                    io.push_close(reason.map_or(1000, |reason| reason.code.into()));
                    hanging_up = true;
                }
                FrameAction::Vanished(_) => return Poll::Ready(()),
                FrameAction::Reject(fault) => {
                    io.push_close(fault.close_code());
                    hanging_up = true;
                }
            }
        }
    })
    .await;
    last
}
