//! The process itself: leaving, and what it has counted.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::state::AdminState;
use crate::calls::drain::drained;

pub(crate) async fn drain(state: web::Data<AdminState>) -> HttpResponse {
    if state.calls.table.drain() {
        log::info!(target: "switchboard", "draining at the operator's wish");
        // Nobody waits for it: the answer says that it has begun.
        let calls = state.calls.clone();
        actix::spawn(async move { drained(&calls).await });
    }
    HttpResponse::Accepted().json(json!({"draining": true}))
}

pub(crate) async fn metrics(state: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(state.metrics.render())
}
