//! The model's socket with a gate before its codec: a frame too large is refused by its head.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frame_headers::FrameHeaders;

/// An input whose reading fails with [`ErrorKind::FileTooLarge`] where a head goes beyond the limit.
pub(crate) struct FrameLimit<Io> {
    io: Io,
    heads: FrameHeaders,
}

impl<Io> FrameLimit<Io> {
    /// Lets frames of at most `limit` bytes through; `came` has been read already.
    pub(super) fn new(io: Io, limit: usize, came: &BytesMut) -> Self {
        let mut heads = FrameHeaders::new(limit);
        // If these are too much already, the first read says so.
        let _ = heads.follow(came);
        Self { io, heads }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for FrameLimit<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.heads.are_shut() {
            ready!(Pin::new(&mut self.io).poll_read(task, buffer))?;
        }
        let passes = self.heads.follow(&buffer.filled()[before..]);
        Poll::Ready(if passes && !self.heads.are_shut() {
            Ok(())
        } else {
            Err(ErrorKind::FileTooLarge.into())
        })
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for FrameLimit<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }
}
