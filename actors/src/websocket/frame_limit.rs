//! Frames refused by their head, on the way from the socket to the codec.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_headers::FrameHeaders;

/// The bytes of a socket, ended where the head of a frame goes beyond the limit.
///
/// It comes in two shapes, as the codecs of the two legs want their bytes: a stream of chunks that ends with
/// [`PayloadError::Overflow`], and a socket whose reading fails with [`ErrorKind::FileTooLarge`].
pub(crate) struct FrameLimit<S> {
    socket: S,
    headers: FrameHeaders,
}

impl<S> FrameLimit<S> {
    /// Lets frames of at most `limit` bytes through.
    pub(crate) const fn new(socket: S, limit: usize) -> Self {
        Self {
            socket,
            headers: FrameHeaders::new(limit),
        }
    }

    /// As [`Self::new`], for a socket of which these bytes have been read already.
    pub(crate) fn after(read: &[u8], socket: S, limit: usize) -> Self {
        let mut headers = FrameHeaders::new(limit);
        // If these are too much already, the first read says so.
        let _ = headers.follow(read);
        Self { socket, headers }
    }
}

impl<S> Stream for FrameLimit<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    /// Asks for no wake-up: the dispatcher that feeds a request's payload polls the body of its response, which this
    /// stream is part of, in the same turn. Its wake-up would only have every frame's socket polled twice.
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.headers.are_shut() {
            return Poll::Ready(None);
        }
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.socket).poll_next(&mut nobody) {
            Poll::Ready(Some(Ok(chunk))) if !self.headers.follow(&chunk) => {
                Poll::Ready(Some(Err(PayloadError::Overflow)))
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.headers.are_shut() {
            ready!(Pin::new(&mut self.socket).poll_read(task, buffer))?;
        }
        let passes = self.headers.follow(&buffer.filled()[before..]);
        Poll::Ready(if passes && !self.headers.are_shut() {
            Ok(())
        } else {
            Err(ErrorKind::FileTooLarge.into())
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(task)
    }
}
