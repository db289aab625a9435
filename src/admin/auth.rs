//! The operator's token, and the pages that may use it.

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::problem;
use super::state::AdminState;
use crate::listener::origin;

/// Lets a request through only with `Authorization: Bearer TOKEN`; in dev mode there is no token. What a page from
/// elsewhere had a browser send is refused in any case.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match refusal(&request) {
        None => Ok(next.call(request).await?.map_into_boxed_body()),
        Some(reason) => {
            let answer = refuse(&request, reason).await;
            Ok(request.into_response(answer))
        }
    }
}

/// Counts and logs the refusal; the answer to a wrong token waits.
async fn refuse(request: &ServiceRequest, reason: &'static str) -> HttpResponse {
    let from: Option<IpAddr> = request.peer_addr().map(|peer| peer.ip());
    if let Some(state) = request.app_data::<web::Data<AdminState>>() {
        state.refused(reason, from);
        if reason == WRONG_TOKEN {
            state.slow_down(from).await;
        }
    }
    let (status, code, message) = match reason {
        NO_TOKEN | WRONG_TOKEN => (
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send the admin token as a bearer token",
        ),
        _ => (
            StatusCode::FORBIDDEN,
            reason,
            "pages from elsewhere have no business here",
        ),
    };
    problem(status, code, message)
}

const NO_TOKEN: &str = "no_token";
const WRONG_TOKEN: &str = "wrong_token";

/// Why a request is refused, if it is.
fn refusal(request: &ServiceRequest) -> Option<&'static str> {
    let Some(state) = request.app_data::<web::Data<AdminState>>() else {
        return Some(NO_TOKEN);
    };
    if let Err(foreign) = origin::check(request.headers(), state.names) {
        return Some(foreign.reason());
    }
    let header = request.headers().get(header::AUTHORIZATION);
    match state.keyring.now().is_operators(token(header)) {
        // Nobody needs one in development.
        None | Some(true) => None,
        Some(false) if header.is_none() => Some(NO_TOKEN),
        Some(false) => Some(WRONG_TOKEN),
    }
}

/// The token of `Bearer TOKEN`; nothing where there is none.
fn token(header: Option<&HeaderValue>) -> &str {
    let given = header.and_then(|value| value.to_str().ok());
    match given.unwrap_or_default().split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
        _ => "",
    }
}
