//! What the operator calls: the admin listener.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

mod auth;
mod calls;
mod commands;
#[cfg(feature = "fault-hook")]
mod fault;

/// The routes of the admin listener; every one of them is behind the token.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("")
            .wrap(actix_web::middleware::from_fn(auth::guard))
            .route("/admin/calls", web::get().to(calls::list))
            .route("/admin/calls/{call_sid}", web::get().to(calls::one))
            .route(
                "/admin/calls/{call_sid}/hangup",
                web::post().to(calls::hang_up),
            )
            .route("/admin/calls/{call_sid}/say", web::post().to(commands::say))
            .route(
                "/admin/calls/{call_sid}/instruct",
                web::post().to(commands::instruct),
            )
            .route(
                "/admin/calls/{call_sid}/transfer",
                web::post().to(commands::transfer),
            )
            .configure(faults)
            .route("/admin/drain", web::post().to(calls::drain))
            .route("/metrics", web::get().to(calls::metrics))
            .default_service(web::route().to(not_found)),
    );
}

/// Breaks something on purpose; a build without the feature knows no such paths.
fn faults(config: &mut web::ServiceConfig) {
    #[cfg(feature = "fault-hook")]
    config
        .route(
            "/admin/calls/{call_sid}/fault",
            web::post().to(fault::of_call),
        )
        .route("/admin/fault", web::post().to(fault::of_process));
    #[cfg(not(feature = "fault-hook"))]
    let _ = config;
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let method: &Method = request.method();
    let message = format!("there is nothing at {method} {}", request.path());
    problem(StatusCode::NOT_FOUND, "not_found", &message)
}

/// An error as the contract words it.
pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": {"code": code, "message": message}}))
}
