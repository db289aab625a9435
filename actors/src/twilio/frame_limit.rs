//! Frames refused by their head, on the way from the request's payload to the codec.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use crate::frame_headers::FrameHeaders;

/// Bytes of a socket on their way to the codec, ended with [`PayloadError::Overflow`] where a head goes beyond the limit.
pub(super) struct FrameLimit<S> {
    bytes: S,
    heads: FrameHeaders,
}

impl<S> FrameLimit<S> {
    /// Lets frames of at most `limit` bytes through.
    pub(super) const fn new(bytes: S, limit: usize) -> Self {
        Self {
            bytes,
            heads: FrameHeaders::new(limit),
        }
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
        if self.heads.are_shut() {
            return Poll::Ready(None);
        }
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.bytes).poll_next(&mut nobody) {
            Poll::Ready(Some(Ok(chunk))) if !self.heads.follow(&chunk) => {
                Poll::Ready(Some(Err(PayloadError::Overflow)))
            }
            other => other,
        }
    }
}
