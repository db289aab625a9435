//! The live calls: list, one, hang up.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use call_protocol::call::event::OperatorEvent;
use call_protocol::call::operator::Objection;
use serde_json::{Value, json};

use super::problem;
use super::state::AdminState;
use crate::calls::orders::{self, Disobeyed, LiveCall, NotFound};

pub(crate) async fn list(state: web::Data<AdminState>) -> HttpResponse {
    let Some(listing) = orders::list(&state.calls).await else {
        return registry_silent();
    };
    let mut answer = json!(listing);
    answer["node"] = json!(state.node);
    HttpResponse::Ok().json(answer)
}

pub(crate) async fn one(state: web::Data<AdminState>, call: web::Path<String>) -> HttpResponse {
    let found = match find(&state, &call).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let mut answer = json!(found.row());
    // A call that does not answer shows its row alone.
    if let Some(detail) = found.inspect().await {
        merge(&mut answer, json!(detail));
    }
    HttpResponse::Ok().json(answer)
}

pub(crate) async fn hang_up(state: web::Data<AdminState>, call: web::Path<String>) -> HttpResponse {
    match find(&state, &call).await {
        Ok(found) => order(&call, &found, OperatorEvent::HangUp, "hangup").await,
        Err(answer) => answer,
    }
}

/// Orders something of a call; `what` is the order's name in the answer.
pub(super) async fn order(
    call: &str,
    found: &LiveCall,
    event: OperatorEvent,
    what: &str,
) -> HttpResponse {
    match found.order(event).await {
        Ok(()) => {
            log::info!(target: "switchboard::desk", call_sid = call, order = what; "operator's order");
            HttpResponse::Accepted().json(json!({"call_sid": call, what: "ordered"}))
        }
        Err(Disobeyed::Objects(objection)) => objected(&objection),
        Err(Disobeyed::Silent) => {
            let status = StatusCode::GATEWAY_TIMEOUT;
            problem(status, "no_answer", "the call does not answer")
        }
    }
}

fn objected(objection: &Objection) -> HttpResponse {
    match objection {
        Objection::NobodyByThatName => bad_body(&objection.to_string()),
        _ => problem(StatusCode::CONFLICT, "wrong_state", &objection.to_string()),
    }
}

/// A request that cannot be understood, or asks for what there is not.
pub(super) fn bad_body(why: &str) -> HttpResponse {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", why)
}

pub(super) async fn find(state: &AdminState, call: &str) -> Result<LiveCall, HttpResponse> {
    let found = orders::find(&state.calls, call).await;
    found.map_err(|why| match why {
        NotFound::Unknown => no_such_call(),
        NotFound::Silent => registry_silent(),
    })
}

/// Adds the members of one object to another; the number of turns makes way for the turns themselves.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub(super) fn no_such_call() -> HttpResponse {
    let message = "there is no live call with this SID";
    problem(StatusCode::NOT_FOUND, "not_found", message)
}

pub(super) fn registry_silent() -> HttpResponse {
    let message = "the registry of calls does not answer";
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
