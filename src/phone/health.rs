//! `/healthz` and `/readyz`.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use serde_json::json;
use switchboard_actors::registry::messages::Count;

use crate::service::state::AppState;

/// The process works; nothing external is asked.
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether it takes calls.
pub(crate) async fn readyz(app: web::Data<AppState>) -> HttpResponse {
    let mut reasons = Vec::new();
    if app.is_draining() {
        reasons.push("draining");
    }
    match app.ask(Count).await {
        Some(occupancy) if occupancy.taken >= occupancy.capacity => reasons.push("full"),
        Some(_) => {}
        None => reasons.push("registry_silent"),
    }
    if let Some(shut) = app.admission.shut(Instant::now()) {
        reasons.push(shut.label());
    }
    if let Some(trouble) = app.book().and_then(|book| book.trouble()) {
        reasons.push(trouble.reason());
    }
    if !app.store.is_usable() {
        reasons.push("store_unusable");
    }
    if reasons.is_empty() {
        HttpResponse::Ok().json(json!({"ready": true}))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({"ready": false, "reasons": reasons}))
    }
}
