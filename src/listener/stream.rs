//! The stream of a connection, which ends what takes too long.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::clock::{Instant, Sleep, sleep_until};
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::{Late, Watch};

/// Answers that the peer does not read are given up after this long.
const UNREAD: Duration = Duration::from_secs(15);

/// Bytes that are read at a stretch: what they ask is answered first. Each request of a few bytes has an answer of some
/// hundred, and the dispatcher bounds those it has not sent by nothing but what it has read.
const STRETCH: usize = 16 * 1024;

/// For half a head, as the dispatcher answers it.
const TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A TCP stream under the limits of its [`Watch`]. As soon as it is a WebSocket, it is a TCP stream and nothing else.
pub(crate) struct Guarded {
    inner: TcpStream,
    watch: Rc<Watch>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when the peer takes nothing of what is written.
    unread_since: Option<Instant>,
    /// Bytes read of this stretch.
    read: usize,
    /// Nothing is read because answers are unread.
    is_withheld: bool,
    is_over: bool,
}

impl Guarded {
    pub(crate) fn new(inner: TcpStream, watch: Rc<Watch>) -> Self {
        Self {
            inner,
            watch,
            timer: None,
            unread_since: None,
            read: 0,
            is_withheld: false,
            is_over: false,
        }
    }

    pub(crate) fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    /// Ready when the connection is to be ended.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over {
            return Poll::Ready(());
        }
        let must_leave = self.watch.must_leave(cx);
        let mut is_due = must_leave;
        let unread = self.unread_since.map(|since| since + UNREAD);
        let until = [self.watch.deadline(), unread].into_iter().flatten().min();
        if let (Some(until), false) = (until, is_due) {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            is_due = timer.as_mut().poll(cx).is_ready();
        }
        if !is_due {
            return Poll::Pending;
        }
        self.is_over = true;
        self.timer = None;
        let late = if must_leave {
            self.watch.end_for("crowded")
        } else if self.unread_since.is_some() {
            self.watch.end_for("unread")
        } else {
            self.watch.end()
        };
        if late == Late::Head && self.unread_since.is_none() {
            // It has all answers it was given; whether this one gets there makes no difference.
            let _ = self.inner.try_write(TIMEOUT);
        }
        Poll::Ready(())
    }

    /// The end of the stream, as the dispatcher is told of it: nothing more comes.
    fn poll_guarded_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_withheld = self.unread_since.is_some();
        if self.is_withheld || self.is_over {
            return self.poll_end(cx).map(Ok);
        }
        if self.read >= STRETCH {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let arrived = &buffer.filled()[before..];
                self.read += arrived.len();
                self.watch.arrived(arrived, Instant::now());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.read = 0;
                self.poll_end(cx).map(Ok)
            }
        }
    }
}

impl AsyncRead for Guarded {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.is_free() {
            this.timer = None;
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        }
        this.poll_guarded_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if this.watch.is_free() {
            return written;
        }
        if written.is_ready() {
            this.unread_since = None;
            if this.is_withheld {
                // Nothing else would have it read on.
                this.is_withheld = false;
                cx.waker().wake_by_ref();
            }
            return written;
        }
        this.unread_since.get_or_insert_with(Instant::now);
        ready!(this.poll_end(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Here an answer has just been given: from now on its successor is awaited.
        if !this.watch.is_free() && !this.is_over && this.poll_end(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
