//! The operator's token.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use super::problem;
use crate::house::House;

/// Lets a request through only with `Authorization: Bearer TOKEN`; in dev mode there is no token.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_allowed(&request) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let answer = problem(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send the admin token as a bearer token",
    );
    Ok(request.into_response(answer))
}

fn is_allowed(request: &ServiceRequest) -> bool {
    let Some(house) = request.app_data::<web::Data<House>>() else {
        return false;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let given = match given.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
        _ => "",
    };
    // Nobody needs one in development.
    house.keyring.now().is_operators(given).unwrap_or(true)
}
