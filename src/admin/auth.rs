//! The operator's token, and the pages that may use it.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::problem;
use crate::listener::origin;
use crate::service::state::AppState;

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
    if let Some(app) = request.app_data::<web::Data<AppState>>() {
        app.metrics.admin_refused(reason);
        app.refusals.admin(reason, from);
        if reason == WRONG_TOKEN {
            let wait = app.attempts.wrong(from, Instant::now());
            let place = app.attempts.wait();
            if !wait.is_zero() && place.is_some() {
                actix::clock::sleep(wait).await;
            }
        }
    }
    match reason {
        NO_TOKEN | WRONG_TOKEN => problem(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send the admin token as a bearer token",
        ),
        _ => problem(
            StatusCode::FORBIDDEN,
            reason,
            "pages from elsewhere have no business here",
        ),
    }
}

const NO_TOKEN: &str = "no_token";
const WRONG_TOKEN: &str = "wrong_token";

/// Why a request is refused, if it is.
fn refusal(request: &ServiceRequest) -> Option<&'static str> {
    let Some(app) = request.app_data::<web::Data<AppState>>() else {
        return Some(NO_TOKEN);
    };
    if let Err(foreign) = origin::check(request.headers(), app.admin_names()) {
        return Some(foreign.reason());
    }
    let header = request.headers().get(header::AUTHORIZATION);
    let given = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let given = match given.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
        _ => "",
    };
    match app.keyring.now().is_operators(given) {
        // Nobody needs one in development.
        None | Some(true) => None,
        Some(false) if header.is_none() => Some(NO_TOKEN),
        Some(false) => Some(WRONG_TOKEN),
    }
}
