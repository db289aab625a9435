//! Twilio's REST API, as far as a call needs it: place a call, change one
//! (<https://www.twilio.com/docs/voice/api/call-resource>).
//!
//! What is sent again: a request that did not reach Twilio, and one that was answered 429, which Twilio has not processed
//! (<https://www.twilio.com/docs/api/errors/20429>). Anything else may have been done, and there is no idempotency key.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::{StatusCode, Version, header};
use awc::Client;
use awc::error::{ConnectError, SendRequestError};
use bytes::Bytes;
use call_protocol::ids::clip;
use call_protocol::phone::CallSid;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(8);

/// Longest wait for TCP and for TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Times a request is sent that Twilio has certainly not processed.
const TRIES: u32 = 3;

/// First wait before another try; doubles.
const WAIT: Duration = Duration::from_millis(250);

/// Bytes of an answer: a call resource has two thousand.
const MAX_ANSWER: usize = 64 * 1024;

/// Bytes of an error's text that are kept.
const TOLD: usize = 200;

/// An account at Twilio, and the way there.
pub struct Rest {
    /// `{api}/2010-04-01/Accounts/{AC…}`.
    account: String,
    login: RwLock<Login>,
    tls: Arc<rustls::ClientConfig>,
}

/// User name and password.
#[derive(Clone)]
struct Login {
    user: SecretString,
    password: SecretString,
}

impl Login {
    fn new((user, password): (&str, &str)) -> Self {
        Self {
            user: user.to_owned().into(),
            password: password.to_owned().into(),
        }
    }
}

/// A call to be placed.
#[derive(Clone)]
pub struct NewCall {
    /// Who is called, in E.164 form.
    pub to: String,
    /// The number that person sees: one of the account's.
    pub from: String,
    /// Asked for TwiML when they answer.
    pub url: String,
    /// Told when the call is over, however it ended.
    pub status_callback: String,
    /// Seconds for which it rings.
    pub ring_seconds: u64,
}

/// What is changed of a live call.
#[derive(Clone)]
pub enum Change {
    /// Runs this TwiML at once.
    Twiml(String),
    /// Runs the TwiML found there at once.
    Url(String),
    /// Ends the call, also one that rings.
    Complete,
}

/// Why Twilio did not do what was asked. No text in it holds a credential or a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The request did not reach Twilio.
    #[error("twilio was not reached")]
    NotSent,
    /// Twilio refuses, and did nothing.
    #[error("twilio answered {status} (code {code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's error code (<https://www.twilio.com/docs/api/errors>), 0 if it gave none.
        code: u64,
    },
    /// The call is over (21220), or was never one of the account's (20404).
    #[error("the call is over")]
    Over,
    /// It was done or not: nobody knows.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
}

impl RestError {
    /// The error's name in logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Refused { .. } => "refused",
            Self::Over => "over",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Rest {
    /// The account `account_sid` at `api`, with Basic credentials.
    #[must_use]
    pub fn new(
        api: &Url,
        account_sid: &str,
        login: (&str, &str),
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let api = api.as_str().trim_end_matches('/');
        Self {
            account: format!("{api}/2010-04-01/Accounts/{account_sid}"),
            login: RwLock::new(Login::new(login)),
            tls,
        }
    }

    /// Requests from now on are sent with these credentials of the same account, those of live calls too.
    pub fn log_in(&self, login: (&str, &str)) {
        *self.login.write().unwrap_or_else(PoisonError::into_inner) = Login::new(login);
    }

    fn login(&self) -> Login {
        let login = self.login.read();
        login.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Places a call; gives its SID.
    ///
    /// # Errors
    /// With [`RestError::Unknown`] somebody's phone may ring all the same.
    pub async fn call(&self, call: &NewCall) -> Result<CallSid, RestError> {
        let ring_seconds = call.ring_seconds.to_string();
        let body = form(&[
            ("To", &call.to),
            ("From", &call.from),
            ("Url", &call.url),
            ("StatusCallback", &call.status_callback),
            ("Timeout", &ring_seconds),
        ]);
        let answer = self.post("Calls.json", body).await?;
        let sid = answer["sid"].as_str().and_then(CallSid::parse);
        sid.ok_or_else(|| RestError::Unknown("the answer names no call".to_owned()))
    }

    /// Changes a live call.
    ///
    /// # Errors
    /// [`RestError::Over`] if there is nothing left to change.
    pub async fn change(&self, call: CallSid, change: &Change) -> Result<(), RestError> {
        let body = match change {
            Change::Twiml(twiml) => form(&[("Twiml", twiml)]),
            Change::Url(url) => form(&[("Url", url)]),
            Change::Complete => form(&[("Status", "completed")]),
        };
        let path = format!("Calls/{}.json", call.as_str());
        self.post(&path, body).await.map(drop)
    }

    async fn post(&self, path: &str, body: String) -> Result<Value, RestError> {
        let url = format!("{}/{path}", self.account);
        let body = Bytes::from(body);
        let mut wait = WAIT;
        for left in (0..TRIES).rev() {
            let error = match self.try_post(&url, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_untouched = matches!(
                error,
                RestError::NotSent | RestError::Refused { status: 429, .. }
            );
            if left == 0 || !is_untouched {
                return Err(error);
            }
            actix_rt::time::sleep(wait).await;
            wait *= 2;
        }
        Err(RestError::NotSent)
    }

    async fn try_post(&self, url: &str, body: Bytes) -> Result<Value, RestError> {
        let login = self.login();
        let sent = self
            .client()
            .post(url)
            .basic_auth(login.user.expose_secret(), login.password.expose_secret())
            .insert_header((header::ACCEPT, "application/json"))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
            .insert_header((
                header::USER_AGENT,
                concat!("switchboard/", env!("CARGO_PKG_VERSION")),
            ))
            .send_body(body)
            .await;
        let mut response = sent.map_err(|error| of_sending(&error))?;
        let status = response.status();
        let body = response.body().limit(MAX_ANSWER).await;
        let answer: Option<Value> = body
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok());
        if !status.is_success() {
            return Err(of_status(status, answer.unwrap_or_default()));
        }
        answer.ok_or_else(|| RestError::Unknown("the answer is not JSON".to_owned()))
    }

    /// One client a request: calls are placed once in a while.
    fn client(&self) -> Client {
        let connector = awc::Connector::new()
            .rustls_0_23(self.tls.clone())
            .max_http_version(Version::HTTP_11)
            .timeout(HANDSHAKE)
            .handshake_timeout(HANDSHAKE);
        Client::builder()
            .connector(connector)
            .disable_redirects()
            .timeout(ANSWER)
            .finish()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn of_sending(error: &SendRequestError) -> RestError {
    match error {
        // The client calls a connection that ends before the answer so, too.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            RestError::Unknown("the connection was lost".to_owned())
        }
        SendRequestError::Connect(_) | SendRequestError::Url(_) => RestError::NotSent,
        SendRequestError::Timeout => RestError::Unknown("no answer in time".to_owned()),
        _ => RestError::Unknown("the connection was lost".to_owned()),
    }
}

/// Errors come as `{"code":21211,"message":"…","more_info":"…","status":400}`; the message may quote a number.
fn of_status(status: StatusCode, answer: Value) -> RestError {
    let code = answer["code"].as_u64().unwrap_or_default();
    match (status.as_u16(), code) {
        (_, 21_220) | (404, _) => RestError::Over,
        (500..=599, _) => {
            RestError::Unknown(clip(&format!("status {status}, code {code}"), TOLD).to_owned())
        }
        (status, code) => RestError::Refused { status, code },
    }
}
