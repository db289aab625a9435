//! Puts faults into a live process, for `demo --faults`, for tests and for drills. Not in release images.
//!
//! `POST /admin/calls/{call_sid}/fault` breaks one call, `POST /admin/fault` what all calls share; the body is
//! `{"kind":"panic_in_step"}`, `{"kind":"stall_step","ms":2000}`, or `{"kind":"stop_tool","at":"before_outcome"}`. What
//! each means is said in [`switchboard_actors::fault`].

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use call_protocol::phone::CallSid;
use serde::Deserialize;
use serde_json::json;
use switchboard_actors::fault::{Break, Fault, RegistryFault, StoreFault};
use switchboard_actors::tools::ToolStep;

use super::calls::bad_body;
use super::problem;
use crate::service::state::AppState;

/// The longest stall, in milliseconds: a drill must end by itself.
const LONGEST_MS: u64 = 30_000;

/// How long a stall lasts: 1 ms to [`LONGEST_MS`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Stall(Duration);

impl TryFrom<u64> for Stall {
    type Error = String;

    fn try_from(ms: u64) -> Result<Self, String> {
        match ms {
            1..=LONGEST_MS => Ok(Self(Duration::from_millis(ms))),
            _ => Err(format!("ms is 1 to {LONGEST_MS}")),
        }
    }
}

// Braces, because serde lets a variant without them have any field.
/// A fault of one call.
#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum OfCall {
    PanicInStep {},
    PanicInActor {},
    PanicUnguarded {},
    PanicInEffect {},
    PanicInStart {},
    /// Every step panics, until the machine has another value.
    PanicInEveryStep {},
    PanicInTool {},
    StopTool {
        at: ToolStep,
    },
    PanicInModel {},
    PanicInPhone {},
    /// In the handler of this very request.
    PanicInHandler {},
    StallStep {
        ms: Stall,
    },
    StallActor {
        ms: Stall,
    },
    StallModel {
        ms: Stall,
    },
    StallPhone {
        ms: Stall,
    },
}

/// A fault of what all calls share.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum OfProcess {
    /// The next scrape of the metrics panics.
    PanicInMetrics {},
    PanicInRegistry {},
    PanicInStore {},
    /// The next call is answered by a panic.
    PanicInWebhook {},
    StallRegistry {
        ms: Stall,
    },
    StallStore {
        ms: Stall,
    },
}

/// What a body that is no wish is answered.
fn no_wish(error: &serde_json::Error) -> HttpResponse {
    bad_body(&format!(
        "send {{\"kind\":\"panic_in_…\"}} or {{\"kind\":\"stall_…\",\"ms\":…}}: {error}"
    ))
}

pub(crate) async fn of_call(
    app: web::Data<AppState>,
    call: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let wish = match serde_json::from_slice::<OfCall>(&body) {
        Ok(wish) => wish,
        Err(error) => return no_wish(&error),
    };
    let fault = match wish {
        OfCall::PanicInStep {} => Fault::PanicInStep,
        OfCall::PanicInActor {} => Fault::PanicInActor,
        OfCall::PanicUnguarded {} => Fault::PanicUnguarded,
        OfCall::PanicInEffect {} => Fault::PanicInEffect,
        OfCall::PanicInStart {} => Fault::PanicInStart,
        OfCall::PanicInEveryStep {} => Fault::Spoil,
        OfCall::PanicInTool {} => Fault::PanicInTool,
        OfCall::StopTool { at } => Fault::StopTool(at),
        OfCall::PanicInModel {} => Fault::PanicInModel,
        OfCall::PanicInPhone {} => Fault::PanicInPhone,
        OfCall::PanicInHandler {} => panic!("fault hook"),
        OfCall::StallStep { ms: Stall(time) } => Fault::StallStep(time),
        OfCall::StallActor { ms: Stall(time) } => Fault::StallActor(time),
        OfCall::StallModel { ms: Stall(time) } => Fault::StallModel(time),
        OfCall::StallPhone { ms: Stall(time) } => Fault::StallPhone(time),
    };
    let found = match CallSid::parse(&call) {
        Some(sid) => app.ask(Break(sid, fault)).await,
        None => Some(false),
    };
    match found {
        Some(true) => {
            log::warn!(target: "switchboard", call_sid = call.as_str(), fault:?; "fault put into a call by the operator");
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

pub(crate) async fn of_process(app: web::Data<AppState>, body: web::Bytes) -> HttpResponse {
    let wish = match serde_json::from_slice::<OfProcess>(&body) {
        Ok(wish) => wish,
        Err(error) => return no_wish(&error),
    };
    let is_there = match wish {
        OfProcess::PanicInMetrics {} => {
            app.metrics.break_scrape();
            true
        }
        OfProcess::PanicInRegistry {} => {
            app.registry.do_send(RegistryFault::Panic);
            true
        }
        OfProcess::StallRegistry { ms: Stall(time) } => {
            app.registry.do_send(RegistryFault::Stall(time));
            true
        }
        OfProcess::PanicInWebhook {} => {
            app.break_webhook();
            true
        }
        OfProcess::PanicInStore {} => app.store.fail(StoreFault::Panic),
        OfProcess::StallStore { ms: Stall(time) } => app.store.fail(StoreFault::Stall(time)),
    };
    if !is_there {
        return problem(
            StatusCode::CONFLICT,
            "wrong_state",
            "a store in memory has no thread of its own",
        );
    }
    log::warn!(target: "switchboard", fault:? = wish; "fault put into the process by the operator");
    HttpResponse::Accepted().json(json!({"fault": "ordered"}))
}
