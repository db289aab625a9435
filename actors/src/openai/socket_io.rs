//! A model's socket and the messages that wait for it.
//!
//! One owner reads and writes, so that a message costs one write, several messages cost one write together, and nothing
//! queues out of sight.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_http::ws::{Frame, Message, ProtocolError};
use futures_util::{Sink as _, Stream as _};

use super::connect::Socket;
use crate::websocket::close_reason;

/// One socket, from dial to close, with its queue.
#[derive(Default)]
pub(super) struct SocketIo {
    /// None until it was dialled, and when it was lost.
    socket: Option<Box<Socket>>,
    /// Messages for the socket, in order, with the moment the audio in them was read from the phone.
    outgoing: VecDeque<(Message, Option<Instant>)>,
    /// Bytes in `outgoing`.
    backlog: usize,
    /// Something left `outgoing` that is not with the kernel yet.
    unflushed: bool,
}

impl SocketIo {
    /// The socket that was dialled.
    pub(super) fn open(&mut self, socket: Socket) {
        self.socket = Some(Box::new(socket));
    }

    /// Lets go of the socket, without a word.
    pub(super) fn drop_socket(&mut self) {
        self.socket = None;
    }

    pub(super) const fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Bytes that wait for the socket.
    pub(super) const fn backlog(&self) -> usize {
        self.backlog
    }

    /// Whether every message has left for the socket.
    pub(super) fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether anything is on its way to the kernel.
    pub(super) fn has_to_write(&self) -> bool {
        self.unflushed || !self.outgoing.is_empty()
    }

    /// Puts a message behind those that wait.
    pub(super) fn push(&mut self, message: Message, since: Option<Instant>) {
        self.backlog += size(&message);
        self.outgoing.push_back((message, since));
    }

    /// Puts a close frame behind the messages that wait.
    pub(super) fn push_close(&mut self, code: u16) {
        self.push(Message::Close(Some(close_reason(code))), None);
    }

    /// The next frame of the server; `None` at the end of the stream.
    pub(super) fn poll_frame(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, ProtocolError>>> {
        match &mut self.socket {
            Some(socket) => Pin::new(socket.as_mut()).poll_next(task),
            None => Poll::Ready(None),
        }
    }

    /// Writes all that waits, as far as the socket takes it. `audio_left` hears of each message with caller audio.
    pub(super) fn write(
        &mut self,
        task: &mut Context<'_>,
        mut audio_left: impl FnMut(Instant),
    ) -> Result<(), ProtocolError> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let mut socket = Pin::new(socket.as_mut());
        while !self.outgoing.is_empty() {
            match socket.as_mut().poll_ready(task) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            if let Some((message, since)) = self.outgoing.pop_front() {
                self.backlog = self.backlog.saturating_sub(size(&message));
                self.unflushed = true;
                if let Some(since) = since {
                    audio_left(since);
                }
                socket.as_mut().start_send(message)?;
            }
        }
        match socket.as_mut().poll_flush(task) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }
}

/// Bytes a message holds.
fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(data) | Message::Ping(data) | Message::Pong(data) => data.len(),
        Message::Continuation(_) | Message::Close(_) | Message::Nop => 0,
    }
}
