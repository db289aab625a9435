//! What the operator calls: the admin listener.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::routes::{Served, get, post, resources};

pub(crate) mod attempts;
mod auth;
mod calls;
mod commands;
mod failpoints;
mod process;
pub(crate) mod state;

/// Every route of the admin listener but those of drills. What is in neither table is not served, and what is in one is
/// behind the token.
const ROUTES: &[Served] = &[
    get("/admin/calls", || web::route().to(calls::list)),
    get("/admin/calls/{call_sid}", || web::route().to(calls::one)),
    post("/admin/calls/{call_sid}/hangup", || {
        web::route().to(calls::hang_up)
    }),
    post("/admin/calls/{call_sid}/say", || {
        web::route().to(commands::say)
    }),
    post("/admin/calls/{call_sid}/instruct", || {
        web::route().to(commands::instruct)
    }),
    post("/admin/calls/{call_sid}/transfer", || {
        web::route().to(commands::transfer)
    }),
    post("/admin/drain", || web::route().to(process::drain)),
    get("/metrics", || web::route().to(process::metrics)),
];

/// Method and path of every route of the admin listener, for tests that leave none out.
pub fn admin_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |served: &'static Served| (served.method.as_str(), served.path);
    ROUTES.iter().chain(failpoints::ROUTES).map(of)
}

/// The admin listener.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let mut scope = web::scope("").wrap(actix_web::middleware::from_fn(auth::guard));
    for table in [ROUTES, failpoints::ROUTES] {
        for resource in resources(table, wrong_method) {
            scope = scope.service(resource);
        }
    }
    config.service(scope.default_service(web::route().to(not_found)));
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let method: &Method = request.method();
    let message = format!("there is nothing at {method} {}", request.path());
    problem(StatusCode::NOT_FOUND, "not_found", &message)
}

fn wrong_method() -> HttpResponse {
    let message = "this path has other methods, see Allow";
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}

/// An error as the contract words it.
pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": {"code": code, "message": message}}))
}
