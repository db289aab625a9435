//! A signed webhook request, as Twilio makes them for TwiML and for callbacks.

use std::fmt::Write as _;

use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use serde::Serialize;

use super::http::{self, Reply, RequestError};
use super::line::Line;
use super::route::Destination;
use super::signature::{SIGNATURE_HEADER, sign, url_as_signed};

/// The fields of a form, in the order they are sent.
pub type Params = Vec<(String, String)>;

/// The largest TwiML document Twilio accepts (<https://www.twilio.com/docs/api/errors/11750>).
pub const MAX_TWIML_BYTES: usize = 64 * 1024;

const IDEMPOTENCY_HEADER: &str = "I-Twilio-Idempotency-Token";

/// How a webhook is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// A query string.
    Get,
    /// A form body, the default everywhere.
    #[default]
    Post,
}

/// Requests `url` with `params`, signed for the line's account.
pub(crate) async fn request(
    line: &Line,
    method: Method,
    url: &str,
    params: &Params,
    idempotency_token: &str,
) -> Result<Reply, RequestError> {
    let mut url = without_fragment(url);
    let form = Serializer::new(String::new()).extend_pairs(params).finish();
    let signature = match method {
        Method::Get => {
            let separator = if url.contains('?') { '&' } else { '?' };
            let _ = write!(url, "{separator}{form}");
            sign::<&str, &str>(&line.account.auth_token, &url_as_signed(&url), &[])
        }
        Method::Post => sign(&line.account.auth_token, &url_as_signed(&url), params),
    };
    let destination = Destination::find(line.route.as_ref(), &url)?;
    let builder = Request::builder()
        .uri(destination.target.as_str())
        .header(HOST, &destination.host)
        .header(USER_AGENT, "TwilioProxy/1.1")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .header(SIGNATURE_HEADER, signature)
        .header(IDEMPOTENCY_HEADER, idempotency_token);
    let request = match method {
        Method::Get => builder.method("GET").body(Full::default()),
        Method::Post => builder
            .method("POST")
            .header(
                CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=UTF-8",
            )
            .body(Full::new(Bytes::from(form))),
    };
    let request = request.map_err(|error| RequestError::Broken(error.to_string()))?;
    http::exchange(&destination, request, MAX_TWIML_BYTES, line.webhook_limit).await
}

/// What goes over the wire: a fragment holds connection settings for Twilio itself.
fn without_fragment(url: &str) -> String {
    url.split_once('#')
        .map_or(url, |(before, _)| before)
        .to_owned()
}
