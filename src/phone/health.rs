//! `/healthz` and `/readyz`.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::state::PhoneState;
use crate::calls::readiness::reasons_against;

/// The process works; nothing external is asked.
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether it takes calls.
pub(crate) async fn readyz(state: web::Data<PhoneState>) -> HttpResponse {
    let reasons = reasons_against(&state.calls).await;
    if reasons.is_empty() {
        HttpResponse::Ok().json(json!({"ready": true}))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({"ready": false, "reasons": reasons}))
    }
}
