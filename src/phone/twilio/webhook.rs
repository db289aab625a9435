//! A webhook request, read within limits and believed only with Twilio's signature.

use std::io;

use actix_web::dev::Payload;
use actix_web::error::{ErrorInternalServerError, InternalError, PayloadError};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, web};
use call_protocol::phone::CallSid;
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;

use super::form::Form;
use super::signature::{Signed, is_signed};
use crate::service::state::AppState;

/// Bytes of a body that are read; Twilio's are below 4 KiB.
const MAX_BODY: usize = 64 * 1024;

/// A webhook's fields, signed.
pub(crate) struct Webhook {
    pub(crate) form: Form,
    /// The call it is about.
    pub(crate) call: CallSid,
}

impl FromRequest for Webhook {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    /// A handler that asks for a webhook meets none that is not believed.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = web::Payload::from_request(request, payload).into_inner();
        let (request, app) = (
            request.clone(),
            request.app_data::<web::Data<AppState>>().cloned(),
        );
        Box::pin(async move {
            let (Some(app), Ok(body)) = (app, body) else {
                return Err(ErrorInternalServerError(""));
            };
            let read = Self::read(&app, &request, body).await;
            read.map_err(|answer| InternalError::from_response("webhook rejected", answer).into())
        })
    }
}

impl Webhook {
    /// Reads the request; the error is the answer to give.
    async fn read(
        app: &AppState,
        request: &HttpRequest,
        body: web::Payload,
    ) -> Result<Self, HttpResponse> {
        let result = Self::try_read(app, request, body).await;
        result.map_err(|(status, reason)| {
            app.metrics.webhook_rejected(reason);
            app.refusals.webhook(reason, status, request.path());
            // What is left of a refused body is not waited for.
            HttpResponse::build(status).force_close().finish()
        })
    }

    async fn try_read(
        app: &AppState,
        request: &HttpRequest,
        body: web::Payload,
    ) -> Result<Self, (StatusCode, &'static str)> {
        let form = if is_read(request) {
            Form::from_query(request.query_string())
        } else {
            let content_type = request
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let body = read_body(body).await?;
            Form::from_body(content_type, &body)
        };
        let form = form.map_err(|error| {
            (
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
                error.reason(),
            )
        })?;
        check_signature(app, request, &form)?;
        let call = form
            .get("CallSid")
            .and_then(CallSid::parse)
            .ok_or((StatusCode::BAD_REQUEST, "no_call_sid"))?;
        Ok(Self { form, call })
    }

    /// How the call ended at Twilio, if it did (<https://www.twilio.com/docs/voice/twiml#callstatus-values>).
    pub(crate) fn final_status(&self) -> Option<&'static str> {
        let status = self.form.get("CallStatus")?;
        ["completed", "busy", "failed", "no-answer", "canceled"]
            .into_iter()
            .find(|last| *last == status)
    }

    /// Whether the call is over at Twilio.
    pub(crate) fn is_over(&self) -> bool {
        self.final_status().is_some()
    }
}

/// Whether the fields are in the query, and the URL alone is signed.
fn is_read(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

async fn read_body(mut body: web::Payload) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| match error {
            // The listener has waited for it.
            PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                (StatusCode::REQUEST_TIMEOUT, "slow_body")
            }
            _ => (StatusCode::BAD_REQUEST, "broken_body"),
        })?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn check_signature(
    app: &AppState,
    request: &HttpRequest,
    form: &Form,
) -> Result<(), (StatusCode, &'static str)> {
    let keys = app.keyring.now();
    let Some(tokens) = keys.of_twilio() else {
        return Ok(());
    };
    let mut headers = request.headers().get_all("x-twilio-signature");
    let (Some(signature), None) = (headers.next(), headers.next()) else {
        return Err((StatusCode::FORBIDDEN, "no_signature"));
    };
    let signature = signature
        .to_str()
        .map_err(|_| (StatusCode::FORBIDDEN, "bad_signature"))?;
    let signed = if is_read(request) {
        Signed::UrlOnly
    } else {
        Signed::Form(form.pairs())
    };
    if is_signed(tokens, &app.spellings(request), signed, signature) {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "bad_signature"))
    }
}
