//! A tool on somebody's server: a signed POST, pinned to a checked address.
//!
//! A request that did not reach the server may always be sent again. A request that may have reached it is sent again only
//! if it changes nothing, or if the server knows the `Idempotency-Key` (`idempotent = true`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::{StatusCode, Version, header};
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::{Client, ClientRequest};
use bytes::Bytes;
use call_protocol::ids::clip;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::address::{Resolve, addresses};
use super::{Outcome, ToolError, ToolRequest};

/// Bytes of a reply; a longer one is no answer a model can use.
pub const MAX_REPLY: usize = 1024 * 1024;

/// Longest wait for TCP and for TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Redirects followed.
const REDIRECTS: usize = 3;

/// Times a request is sent.
const TRIES: u32 = 3;

/// First wait before another try; doubles.
const WAIT: Duration = Duration::from_millis(100);

/// Bytes of an error's text that the model is told.
const TOLD: usize = 1_000;

/// How tools reach servers; shared by all threads.
#[derive(Clone)]
pub struct Web {
    /// TLS as this process wants it: our roots, HTTP/1.1 only.
    pub tls: Arc<rustls::ClientConfig>,
    /// Finds addresses.
    pub resolve: Resolve,
}

/// A tool on somebody's server.
pub struct HttpTool {
    /// Where.
    pub url: Url,
    /// Hosts it may be redirected to, besides its own.
    pub redirect_hosts: Vec<String>,
    /// Signs requests.
    pub secret: Option<SecretString>,
    /// Sent along, such as an `Authorization`.
    pub headers: Vec<(String, SecretString)>,
    /// Whether it may be on loopback and private addresses, and without TLS.
    pub allow_private: bool,
    /// Whether the server answers the same `Idempotency-Key` with the first outcome.
    pub knows_its_key: bool,
}

/// Why a try gave nothing.
enum Trouble {
    /// It did not reach the server.
    NotSent(String),
    /// The server says that it did nothing, for now.
    NotNow(String),
    /// It may have been done.
    Lost(String),
    /// It was done or not, and another try would not change that.
    Final(ToolError),
}

/// The value of `X-Switchboard-Signature`: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body" under the secret>`.
#[must_use]
pub fn signature(secret: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let mut text = format!("t={unix_seconds},v1=");
    // RFC 2104: keys of every length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) {
        mac.update(format!("{unix_seconds}.").as_bytes());
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            text.push_str(&format!("{byte:02x}"));
        }
    }
    text
}

impl HttpTool {
    /// Calls the server, within `timeout` with all tries.
    pub(super) async fn call(
        &self,
        web: Option<&Web>,
        request: ToolRequest,
        timeout: Duration,
    ) -> Outcome {
        let Some(web) = web else {
            return Err(ToolError::Failed(
                "no servers can be reached".to_owned().into(),
            ));
        };
        let tries = self.tries(web, &request, timeout);
        actix_rt::time::timeout(timeout, tries)
            .await
            .unwrap_or(Err(ToolError::TimedOut))
    }

    async fn tries(&self, web: &Web, request: &ToolRequest, timeout: Duration) -> Outcome {
        let body = Bytes::from(
            json!({
                "tool": request.tool, "call_sid": request.caller.call, "call_id": request.call_id,
                "caller": request.caller.number, "agent": request.caller.agent, "arguments": request.arguments,
            })
            .to_string(),
        );
        let may_repeat = !request.effects || self.knows_its_key;
        let mut wait = WAIT;
        for left in (0..TRIES).rev() {
            let trouble = match self.send(web, request, &body, timeout).await {
                Ok(output) => return Ok(output),
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Final(error) => return Err(error),
                Trouble::NotSent(why) | Trouble::NotNow(why) if left == 0 => {
                    return Err(ToolError::Failed(why.into()));
                }
                Trouble::Lost(why) if left == 0 || !may_repeat => {
                    return Err(ToolError::Unknown(why));
                }
                Trouble::NotSent(_) | Trouble::NotNow(_) | Trouble::Lost(_) => {}
            }
            actix_rt::time::sleep(wait).await;
            wait *= 2;
        }
        Err(ToolError::Failed(
            "the server was not reached".to_owned().into(),
        ))
    }

    /// One try, with its redirects.
    async fn send(
        &self,
        web: &Web,
        request: &ToolRequest,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<String, Trouble> {
        let client = client(web, timeout);
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            self.check(&url).map_err(refused)?;
            let found = addresses(&url, &web.resolve, self.allow_private).await;
            let found = found.map_err(refused)?;
            let mut response = self.post(&client, &url, &found, request, body).await?;
            match response.status() {
                status if status.is_success() => {
                    let promised = promised(response.headers());
                    let body = response.body().limit(MAX_REPLY).await;
                    return read_reply(promised, body, request.effects);
                }
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    let location = response.headers().get(header::LOCATION);
                    let location = location.and_then(|location| location.to_str().ok());
                    let next = location.and_then(|location| url.join(location).ok());
                    url = next.ok_or_else(|| refused("it redirects nowhere".to_owned()))?;
                }
                // The others would make a GET of it.
                status if status.is_redirection() => {
                    return Err(refused(format!("it redirects with {}", status.as_u16())));
                }
                status => {
                    let text = response.body().limit(MAX_REPLY).await.unwrap_or_default();
                    return Err(trouble_of(status, &text));
                }
            }
        }
        Err(refused("it redirects too often".to_owned()))
    }

    async fn post(
        &self,
        client: &Client,
        url: &Url,
        found: &[SocketAddr],
        request: &ToolRequest,
        body: &Bytes,
    ) -> Result<awc::ClientResponse, Trouble> {
        let mut trouble = Trouble::NotSent("the server was not reached".to_owned());
        for address in found {
            let sent = self
                .signed(client.post(url.as_str()), request, body)
                .address(*address)
                .send_body(body.clone())
                .await;
            match sent {
                Ok(response) => return Ok(response),
                Err(error) => trouble = trouble_of_sending(&error),
            }
            if !matches!(trouble, Trouble::NotSent(_)) {
                break;
            }
        }
        Err(trouble)
    }

    fn signed(&self, post: ClientRequest, request: &ToolRequest, body: &Bytes) -> ClientRequest {
        let mut post = post
            .no_decompress()
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::ACCEPT, "application/json"))
            .insert_header((
                header::USER_AGENT,
                concat!("switchboard/", env!("CARGO_PKG_VERSION")),
            ))
            .insert_header(("Idempotency-Key", request.key.as_str()));
        for (name, value) in &self.headers {
            post = post.insert_header((name.as_str(), value.expose_secret()));
        }
        if let Some(secret) = &self.secret {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let seconds = now.map_or(0, |now| now.as_secs());
            let signed = signature(secret.expose_secret().as_bytes(), seconds, body);
            post = post.insert_header(("X-Switchboard-Signature", signed));
        }
        post
    }

    /// The tool's own host, or one it may be redirected to, with TLS unless it is inside.
    fn check(&self, url: &Url) -> Result<(), String> {
        let plain = url.scheme() == "http" && self.allow_private;
        if url.scheme() != "https" && !plain {
            return Err("its address is not https".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its address carries a password".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        let own = self.url.host_str() == Some(host) && self.url.port() == url.port();
        if own || self.redirect_hosts.iter().any(|known| known == host) {
            return Ok(());
        }
        Err("it redirects to a host that is not allowed".to_owned())
    }
}

/// One client a request: tools are called once in a while, and a connection kept would outlive its check.
fn client(web: &Web, timeout: Duration) -> Client {
    let connector = awc::Connector::new()
        .rustls_0_23(web.tls.clone())
        .max_http_version(Version::HTTP_11)
        .timeout(HANDSHAKE)
        .handshake_timeout(HANDSHAKE);
    Client::builder()
        .connector(connector)
        .disable_redirects()
        .timeout(timeout)
        .finish()
}

fn refused(why: String) -> Trouble {
    let why = format!("the tool cannot be reached: {why}");
    Trouble::Final(ToolError::Failed(why.into()))
}

fn trouble_of_sending(error: &SendRequestError) -> Trouble {
    match error {
        // The client calls a connection that ends before the answer so, too.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            Trouble::Lost("the connection was lost".to_owned())
        }
        SendRequestError::Connect(_) | SendRequestError::Url(_) => {
            Trouble::NotSent("the server was not reached".to_owned())
        }
        SendRequestError::Timeout => Trouble::Lost("the server did not answer in time".to_owned()),
        _ => Trouble::Lost("the connection was lost".to_owned()),
    }
}

fn trouble_of(status: StatusCode, text: &[u8]) -> Trouble {
    let text = String::from_utf8_lossy(text);
    let mut why = format!("the server answered {}", status.as_u16());
    if !text.trim().is_empty() {
        why.push_str(": ");
        why.push_str(clip(text.trim(), TOLD));
    }
    match status.as_u16() {
        429 => Trouble::NotNow(why),
        502..=504 => Trouble::Lost(why),
        // A server that fails in the middle has perhaps done it.
        500..=599 => Trouble::Final(ToolError::Unknown(why)),
        _ => Trouble::Final(ToolError::Failed(why.into())),
    }
}

/// What the head of a reply says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promised {
    Json,
    Text,
    /// Pictures, archives and the like: nothing a model can be told.
    Bytes,
    Nothing,
}

fn promised(headers: &header::HeaderMap) -> Promised {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Promised::Nothing;
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind {
        "" => Promised::Nothing,
        "application/json" | "text/json" => Promised::Json,
        kind if kind.ends_with("+json") => Promised::Json,
        kind if kind.starts_with("text/") || kind.ends_with("xml") => Promised::Text,
        "application/x-www-form-urlencoded" => Promised::Text,
        _ => Promised::Bytes,
    }
}

/// What was done, where the server has no words for it.
fn done(more: Option<&str>) -> String {
    match more {
        None => json!({ "status": "done" }),
        Some(more) => json!({ "status": "done", "note": more }),
    }
    .to_string()
}

/// A 2xx says that it was done, with or without a body. JSON is passed on as JSON and text as text. JSON that was
/// promised and is broken says that something went wrong on the way to it: nobody knows what.
fn read_reply(
    promised: Promised,
    body: Result<Bytes, PayloadError>,
    effects: bool,
) -> Result<String, Trouble> {
    let body = match body {
        Ok(body) => body,
        Err(PayloadError::Overflow) if effects => {
            return Ok(done(Some("the server's answer is too long to be read")));
        }
        Err(PayloadError::Overflow) => {
            let why = "the server's answer is too long".to_owned();
            return Err(Trouble::Final(ToolError::Failed(why.into())));
        }
        Err(_) => return Err(Trouble::Lost("the connection was lost".to_owned())),
    };
    if body.trim_ascii().is_empty() {
        return Ok(done(None));
    }
    if let Ok(json) = serde_json::from_slice::<Value>(&body) {
        return Ok(json.to_string());
    }
    match (promised, std::str::from_utf8(&body)) {
        (Promised::Json, _) => {
            let why = "the server's answer is not the JSON it promised".to_owned();
            Err(Trouble::Final(ToolError::Unknown(why)))
        }
        (Promised::Text | Promised::Nothing, Ok(text)) => Ok(text.trim().to_owned()),
        (Promised::Text, Err(_)) => Ok(String::from_utf8_lossy(&body).trim().to_owned()),
        (Promised::Bytes, _) | (Promised::Nothing, Err(_)) => {
            Ok(done(Some("the server's answer is not text")))
        }
    }
}
