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

/// Where it panics.
#[derive(Clone, Copy, Deserialize)]
enum Kind {
    /// In the next step of the call's machine.
    #[serde(rename = "panic_in_step")]
    Step,
    /// In the call's actor, outside its machine.
    #[serde(rename = "panic_in_actor")]
    Actor,
    /// In the handler of this very request.
    #[serde(rename = "panic_in_handler")]
    Handler,
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
        Kind::Step => Fault::PanicInStep,
        Kind::Actor => Fault::PanicInActor,
        Kind::Handler => panic!("fault hook"),
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
