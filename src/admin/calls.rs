//! The live calls: list, one, hang up.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use call_protocol::phone::CallSid;
use serde_json::{Value, json};
use switchboard_actors::messages::{Inspect, Order};
use switchboard_actors::registry::messages::{Find, Found, List};

use super::problem;
use crate::service::state::AppState;

/// Longest wait for a call's own answer; its thread may be busy.
const CALL_ANSWERS: Duration = Duration::from_secs(1);

pub(crate) async fn list(app: web::Data<AppState>) -> HttpResponse {
    match app.ask(List).await {
        Some(listing) => {
            let mut answer = json!(listing);
            answer["node"] = json!(app.node);
            HttpResponse::Ok().json(answer)
        }
        None => registry_silent(),
    }
}

pub(crate) async fn one(app: web::Data<AppState>, call: web::Path<String>) -> HttpResponse {
    let found = match find(&app, &call).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let mut answer = json!(found.row);
    // A call that does not answer shows its row alone.
    if let Ok(Ok(Ok(detail))) = actix::clock::timeout(CALL_ANSWERS, found.call.send(Inspect)).await
    {
        merge(&mut answer, json!(detail));
    }
    HttpResponse::Ok().json(answer)
}

pub(crate) async fn hang_up(app: web::Data<AppState>, call: web::Path<String>) -> HttpResponse {
    let found = match find(&app, &call).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    order(&call, &found, OperatorEvent::HangUp, "hangup").await
}

/// Orders something of a call; `what` is the order's name in the answer.
pub(super) async fn order(
    call: &str,
    found: &Found,
    wish: OperatorEvent,
    what: &str,
) -> HttpResponse {
    match actix::clock::timeout(CALL_ANSWERS, found.orders.send(Order(wish))).await {
        Ok(Ok(Ok(()))) => {
            log::info!(target: "switchboard::desk", call_sid = call, order = what; "operator's order");
            HttpResponse::Accepted().json(json!({"call_sid": call, what: "ordered"}))
        }
        Ok(Ok(Err(Objection::NobodyByThatName))) => {
            bad_body(&Objection::NobodyByThatName.to_string())
        }
        Ok(Ok(Err(objection))) => {
            problem(StatusCode::CONFLICT, "wrong_state", &objection.to_string())
        }
        Ok(Err(_)) | Err(_) => problem(
            StatusCode::GATEWAY_TIMEOUT,
            "no_answer",
            "the call does not answer",
        ),
    }
}

pub(crate) async fn drain(app: web::Data<AppState>) -> HttpResponse {
    if app.drain() {
        log::info!(target: "switchboard", "draining at the operator's wish");
        // Nobody waits for it: the answer says that it has begun.
        actix::spawn(async move { crate::service::drain::drained(&app).await });
    }
    HttpResponse::Accepted().json(json!({"draining": true}))
}

pub(crate) async fn metrics(app: web::Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(app.metrics.render())
}

/// A request that cannot be understood, or asks for what there is not.
pub(super) fn bad_body(why: &str) -> HttpResponse {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", why)
}

pub(super) async fn find(app: &AppState, call: &str) -> Result<Found, HttpResponse> {
    let unknown = || {
        problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no live call with this SID",
        )
    };
    let call = CallSid::parse(call).ok_or_else(unknown)?;
    match app.ask(Find(call)).await {
        Some(Some(found)) => Ok(found),
        Some(None) => Err(unknown()),
        None => Err(registry_silent()),
    }
}

/// Adds the members of one object to another; the number of turns makes way for the turns themselves.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn registry_silent() -> HttpResponse {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the registry of calls does not answer",
    )
}
