//! Puts a fault into a live call, for `demo --faults` and for drills. Not in release images.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use call_protocol::ids::CallSid;
use serde::Deserialize;
use serde_json::json;
use switchboard_actors::messages::{Break, Fault};

use super::problem;
use crate::house::House;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The next step of the call's machine panics.
    PanicInStep,
    /// The call's actor panics outside its machine.
    PanicInActor,
    /// The handler of this very request panics.
    PanicInHandler,
}

pub(crate) async fn inject(
    house: web::Data<House>,
    call: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        return problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_body",
            "send {\"kind\":…} with panic_in_step, panic_in_actor or panic_in_handler",
        );
    };
    let fault = match wish.kind {
        Kind::PanicInStep => Fault::PanicInStep,
        Kind::PanicInActor => Fault::PanicInActor,
        Kind::PanicInHandler => panic!("fault hook"),
    };
    let found = match CallSid::parse(&call) {
        Some(sid) => house.ask(Break(sid, fault)).await,
        None => Some(false),
    };
    match found {
        Some(true) => {
            log::warn!(target: "switchboard", call_sid = call.as_str(); "fault put into a call by the operator");
            HttpResponse::Accepted().json(json!({"call_sid": call.as_str(), "fault": "ordered"}))
        }
        Some(false) => problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no live call with this SID",
        ),
        None => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the registry of calls does not answer",
        ),
    }
}
