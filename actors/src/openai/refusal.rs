//! Why an upgrade was refused. The client tells no more than the status of such an answer; how long to stay away stands
//! in its head, which only a middleware sees.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_service::Service;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, RETRY_AFTER};
use awc::error::{SendRequestError, WsClientError};
use awc::middleware::Transform;
use awc::{ConnectRequest, ConnectResponse};
use call_protocol::model::event::Refusal;

/// An upgrade that was refused, and how long to stay away.
#[derive(Debug, thiserror::Error)]
#[error("refused with {status}, not before {wait:?}")]
struct Later {
    status: u16,
    wait: Duration,
}

/// Makes errors of refused upgrades that say how long to stay away.
pub(super) struct HearRefusals;

impl<S> Transform<S, ConnectRequest> for HearRefusals
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError>,
    S::Future: 'static,
{
    type Transform = Hearing<S>;

    fn new_transform(self, service: S) -> Self::Transform {
        Hearing { connector: service }
    }
}

/// The client's connector, listened to.
pub(super) struct Hearing<S> {
    connector: S,
}

impl<S> Service<ConnectRequest> for Hearing<S>
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError>,
    S::Future: 'static,
{
    type Response = ConnectResponse;
    type Error = SendRequestError;
    type Future = Pin<Box<dyn Future<Output = Result<ConnectResponse, SendRequestError>>>>;

    actix_service::forward_ready!(connector);

    fn call(&self, request: ConnectRequest) -> Self::Future {
        let answer = self.connector.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let ConnectResponse::Tunnel(head, _) = &response
                && head.status != StatusCode::SWITCHING_PROTOCOLS
                && let Some(wait) = retry_after(head.headers())
            {
                let status = head.status.as_u16();
                let later = Later { status, wait };
                return Err(SendRequestError::Custom(
                    Box::new(later),
                    Box::new("upgrade"),
                ));
            }
            Ok(response)
        })
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). Its other form, a date, asks for a clock that agrees with the
/// server's, and no realtime server sends it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What a failed dial means.
pub(super) fn refusal(error: &WsClientError) -> Refusal {
    match error {
        WsClientError::InvalidResponseStatus(status) => Refusal::Status(status.as_u16()),
        WsClientError::SendRequest(SendRequestError::Timeout) => Refusal::Timeout,
        WsClientError::SendRequest(SendRequestError::Custom(cause, _))
            if let Some(Later { status, wait }) = cause.downcast_ref() =>
        {
            Refusal::Later {
                status: *status,
                wait: *wait,
            }
        }
        _ => {
            log::debug!(target: "switchboard::openai", error:% = error; "dial failed");
            Refusal::Network
        }
    }
}
