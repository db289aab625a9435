//! The HTTP upgrade: who is let in, who is turned away before and after it.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::check::ApiError;
use super::faults::Fault;
use super::inspect::{Ended, Greeting, SessionLog};
use super::schema::Model;
use super::wire::Wire;

/// Kept small: with tungstenite's 128 KiB, hundreds of sessions would be mostly buffers.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 16 * 1024;

/// Whom a server lets in.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Any key, if none are named.
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) models: Vec<Model>,
}

/// What follows a successful upgrade.
#[derive(Debug)]
pub(crate) enum Admission {
    /// A session with that model.
    Welcome(Model),
    /// An `error` event and a close.
    TurnedAway {
        error: ApiError,
        code: u16,
        reason: String,
    },
}

/// Answers the upgrade. `None` if there is no WebSocket afterwards.
pub(crate) async fn open(
    mut tcp: TcpStream,
    policy: &Policy,
    faults: &[Fault],
    log: &SessionLog,
) -> Option<(WebSocketStream<Wire>, Admission)> {
    let mut refusal = None;
    for fault in faults {
        match fault {
            Fault::HangHandshake => {
                read_until_closed(&mut tcp).await;
                log.ended(Ended::Refused(0));
                return None;
            }
            Fault::SlowHandshake { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::RefuseUpgrade {
                status,
                retry_after_s,
            } => refusal = Some((*status, *retry_after_s)),
            _ => {}
        }
    }
    let mut admission = None;
    let mut refused_with = 0;
    // The type is tungstenite's.
    #[allow(clippy::result_large_err)]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let greeting = greeting_of(request);
        let decision = match refusal {
            Some((status, retry_after)) => Err((status, retry_after)),
            None => policy.admit(&greeting).map_err(|status| (status, None)),
        };
        log.update(|state| state.greeting = greeting);
        match decision {
            Ok(admitted) => {
                admission = Some(admitted);
                Ok(response)
            }
            Err((status, retry_after)) => {
                refused_with = status;
                Err(refuse(status, retry_after))
            }
        }
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_frame_size(None);
    let wire = Wire::new(tcp);
    let upgraded =
        tokio_tungstenite::accept_hdr_async_with_config(wire, callback, Some(config)).await;
    match (upgraded, admission) {
        (Ok(socket), Some(admission)) => Some((socket, admission)),
        (Err(error), _) if refused_with == 0 => {
            log.ended(Ended::Lost(error.to_string()));
            None
        }
        _ => {
            log.ended(Ended::Refused(refused_with));
            None
        }
    }
}

async fn read_until_closed(tcp: &mut TcpStream) {
    let mut sink = [0; 512];
    while matches!(tcp.read(&mut sink).await, Ok(1..)) {}
}

fn greeting_of(request: &Request) -> Greeting {
    let mut greeting = Greeting {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        ..Greeting::default()
    };
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if name == header::AUTHORIZATION {
            let key = value.strip_prefix("Bearer ").map(str::trim);
            greeting.api_key = key.filter(|key| !key.is_empty()).map(str::to_owned);
        } else {
            greeting.headers.push((name.as_str().to_owned(), value));
        }
    }
    greeting
}

fn refuse(status: u16, retry_after: Option<u32>) -> ErrorResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({"error": {
        "message": status.canonical_reason().unwrap_or("Refused"),
        "type": "invalid_request_error",
        "code": null,
        "param": null,
    }});
    let mut response = ErrorResponse::new(Some(error.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl Policy {
    /// An error is the status of a refused upgrade.
    fn admit(&self, greeting: &Greeting) -> Result<Admission, u16> {
        let Some(key) = &greeting.api_key else {
            return Err(401);
        };
        let query = |wanted: &str| {
            form_urlencoded::parse(greeting.query.as_bytes())
                .find(|(name, value)| name == wanted && !value.is_empty())
                .map(|(_, value)| value.into_owned())
        };
        if greeting.header("openai-beta").is_some() {
            return Ok(turned_away(
                4000,
                "beta_api_shape_disabled",
                "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
            ));
        }
        if self.keys.as_ref().is_some_and(|keys| !keys.contains(key)) {
            return Ok(turned_away(
                3000,
                "invalid_api_key",
                "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
            ));
        }
        let Some(name) = query("model") else {
            // Attaching to a call that this server does not carry.
            if query("call_id").is_some() {
                return Err(404);
            }
            return Ok(turned_away(
                4000,
                "missing_model",
                "You must provide a model parameter.",
            ));
        };
        match self.models.iter().find(|model| model.name == name) {
            Some(model) if !model.shut_down => Ok(Admission::Welcome(model.clone())),
            Some(_) => Ok(turned_away(
                4000,
                "missing_model",
                &format!("The model {name} has been shut down."),
            )),
            None => Ok(turned_away(
                4000,
                "model_not_found",
                &format!("The model {name} does not exist or you do not have access to it."),
            )),
        }
    }
}

fn turned_away(code: u16, why: &str, message: &str) -> Admission {
    Admission::TurnedAway {
        error: ApiError::new(why, message),
        code,
        reason: format!("invalid_request_error.{why}"),
    }
}
