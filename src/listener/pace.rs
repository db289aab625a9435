//! Tells a connection's [watch](super::watch) what becomes of its requests.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix::clock::Instant;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::Stream;

use super::watch::Watch;

/// To be wrapped around everything else. A body that was not read to its end when the answer is given is not waited for.
pub(crate) async fn keep<B: MessageBody + Unpin>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Answer<B>>, Error> {
    let watch = request.conn_data::<Rc<Watch>>().cloned();
    let payload = request.take_payload();
    let has_body = !matches!(payload, Payload::None);
    let read_all = Rc::new(Cell::new(!has_body));
    // No body of a GET is ever read, but for what a WebSocket sends: that is not to go through anything more.
    let reads_body = has_body && request.method() != Method::GET;
    if let Some(watch) = &watch {
        watch.asked(reads_body, Instant::now());
    }
    request.set_payload(match &watch {
        Some(watch) if reads_body => {
            let body = Body {
                payload,
                watch: watch.clone(),
                read_all: read_all.clone(),
            };
            Payload::Stream {
                payload: Box::pin(body),
            }
        }
        _ => payload,
    });
    // Dropped when the answer has been given, or when there will be none.
    let mut answering = Answering {
        watch,
        read_all,
        has_body,
    };
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(watch) = answering.watch.take() {
            watch.upgraded();
        }
    } else if !answering.read_all.get() {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response.map_body(|_, body| Answer {
        body,
        _answering: answering,
    }))
}

/// A request's body on its way to its reader.
struct Body {
    payload: Payload,
    watch: Rc<Watch>,
    read_all: Rc<Cell<bool>>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(Pin::new(&mut this.payload).poll_next(cx));
        match next {
            Some(Ok(bytes)) => return Poll::Ready(Some(Ok(bytes))),
            Some(Err(_)) if this.watch.is_body_late() => {
                let late = io::ErrorKind::TimedOut.into();
                return Poll::Ready(Some(Err(PayloadError::Io(late))));
            }
            Some(Err(_)) => {}
            None => this.read_all.set(true),
        }
        this.watch.read_to_the_end();
        Poll::Ready(next)
    }
}

/// A request that is being answered.
struct Answering {
    watch: Option<Rc<Watch>>,
    read_all: Rc<Cell<bool>>,
    has_body: bool,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.answered(self.read_all.get(), self.has_body, Instant::now());
        }
    }
}

/// The body of an answer; when it is dropped, the answer was given.
pub(crate) struct Answer<B> {
    body: B,
    _answering: Answering,
}

impl<B: MessageBody + Unpin> MessageBody for Answer<B> {
    type Error = B::Error;

    #[inline]
    fn size(&self) -> BodySize {
        self.body.size()
    }

    #[inline]
    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
