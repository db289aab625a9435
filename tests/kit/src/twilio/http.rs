//! One HTTP/1.1 request at a time, as Twilio makes them: no TLS, no keep-alive, a limit on time and on size.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::route::Destination;

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The URL cannot be parsed or has no host.
    #[error("{0} is not a url that can be requested")]
    BadUrl(String),
    /// The emulator speaks plain sockets; a `https` or `wss` URL needs a [`Route`](super::Route).
    #[error("{0} needs tls, which this emulator leaves out: give the line a route")]
    NoTls(String),
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke or did not speak HTTP.
    #[error("no http answer: {0}")]
    Broken(String),
    /// The time limit passed first.
    #[error("no complete answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

impl RequestError {
    /// Twilio's error code for a failed webhook: 11205 connection, 11200 the rest
    /// (<https://www.twilio.com/docs/api/errors/11200>).
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Connect(_) => 11_205,
            _ => 11_200,
        }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// `None` when it was longer than the cap.
    pub(crate) body: Option<Vec<u8>>,
}

/// Sends `request` and reads at most `cap` bytes of the answer, all within `limit`.
pub(crate) async fn exchange(
    destination: &Destination,
    request: Request<Full<Bytes>>,
    cap: usize,
    limit: Duration,
) -> Result<Reply, RequestError> {
    match tokio::time::timeout(limit, attempt(destination, request, cap)).await {
        Ok(result) => result,
        Err(_) => Err(RequestError::TimedOut(limit)),
    }
}

async fn attempt(
    destination: &Destination,
    request: Request<Full<Bytes>>,
    cap: usize,
) -> Result<Reply, RequestError> {
    let stream = match destination.connect().await {
        Ok(stream) => stream,
        // A failed connection is the one thing a webhook retries by default, once (`#rc=1&rp=ct`).
        Err(RequestError::Connect(_)) => destination.connect().await?,
        Err(other) => return Err(other),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response, cap).await
    };
    // The connection must be polled for the exchange to move; it may well end first (`connection: close`).
    tokio::pin!(exchange);
    tokio::select! {
        reply = &mut exchange => return reply,
        _ended = connection => {}
    }
    exchange.await
}

async fn read(
    response: Response<hyper::body::Incoming>,
    cap: usize,
) -> Result<Reply, RequestError> {
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = match Limited::new(response.into_body(), cap).collect().await {
        Ok(collected) => Some(collected.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(error) => return Err(RequestError::Broken(error.to_string())),
    };
    Ok(Reply {
        status,
        content_type,
        body,
    })
}

fn broken(error: hyper::Error) -> RequestError {
    RequestError::Broken(error.to_string())
}
