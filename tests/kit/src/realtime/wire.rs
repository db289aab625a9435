//! The TCP stream below the WebSocket, with one trick: it can lose pongs. tungstenite always answers pings itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const OPCODE_PONG: u8 = 0xA;

/// A TCP stream that a server's WebSocket frames are written to.
#[derive(Debug)]
pub(crate) struct Wire {
    tcp: TcpStream,
    frames: Option<FrameSieve>,
}

/// Follows frame boundaries in what is written and drops the pongs.
#[derive(Debug, Default)]
struct FrameSieve {
    left: usize,
    dropping: bool,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, frames: None }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// To be changed between frames only, that is after a flush.
    pub(crate) fn withhold_pong(&mut self, withhold: bool) {
        if withhold != self.frames.is_some() {
            self.frames = withhold.then(FrameSieve::default);
        }
    }
}

impl FrameSieve {
    /// How much of `buf` belongs to the frame at its beginning, and whether that frame is dropped.
    fn next(&mut self, buf: &[u8]) -> (usize, bool) {
        if self.left == 0 {
            self.left = frame_length(buf).unwrap_or(buf.len());
            self.dropping = buf.first().is_some_and(|first| first & 0x0F == OPCODE_PONG);
        }
        (self.left.min(buf.len()), self.dropping)
    }
}

/// Header and payload of the unmasked frame that begins here (RFC 6455, 5.2).
fn frame_length(buf: &[u8]) -> Option<usize> {
    let length = match buf.get(1)? & 0x7F {
        126 => 4 + usize::from(u16::from_be_bytes(buf.get(2..4)?.try_into().ok()?)),
        127 => 10 + u64::from_be_bytes(buf.get(2..10)?.try_into().ok()?) as usize,
        short => 2 + usize::from(short),
    };
    Some(length)
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(frames) = &mut this.frames else {
            return Pin::new(&mut this.tcp).poll_write(context, buf);
        };
        let (length, dropped) = frames.next(buf);
        let written = if dropped {
            length
        } else {
            ready!(Pin::new(&mut this.tcp).poll_write(context, &buf[..length]))?
        };
        frames.left -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_are_told_from_other_frames() {
        let mut sieve = FrameSieve::default();
        let mut stream = vec![0x81, 3, b'a', b'b', b'c', 0x8A, 1, b'x', 0x81, 126, 0, 200];
        stream.resize(12 + 200, b'y');
        let mut kept = Vec::new();
        let mut at = 0;
        while at < stream.len() {
            let (length, dropped) = sieve.next(&stream[at..]);
            // A short write in the middle of a frame must not lose the boundary.
            let written = length.min(7);
            if !dropped {
                kept.extend_from_slice(&stream[at..at + written]);
            }
            sieve.left -= written;
            at += written;
        }
        assert_eq!(kept, [&stream[..5], &stream[8..]].concat());
    }
}
