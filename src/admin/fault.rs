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
use switchboard_actors::fault::{Fault, RegistryFault, StoreFault};
use switchboard_actors::tools::ToolStep;

use super::calls::{bad_body, no_such_call, registry_silent};
use super::problem;
use super::state::AdminState;
use crate::calls::fault::{break_call, break_registry, break_store};

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

impl OfCall {
    /// As the actors name it.
    fn fault(self) -> Fault {
        match self {
            Self::PanicInStep {} => Fault::PanicInStep,
            Self::PanicInActor {} => Fault::PanicInActor,
            Self::PanicUnguarded {} => Fault::PanicUnguarded,
            Self::PanicInEffect {} => Fault::PanicInEffect,
            Self::PanicInStart {} => Fault::PanicInStart,
            Self::PanicInEveryStep {} => Fault::Spoil,
            Self::PanicInTool {} => Fault::PanicInTool,
            Self::StopTool { at } => Fault::StopTool(at),
            Self::PanicInModel {} => Fault::PanicInModel,
            Self::PanicInPhone {} => Fault::PanicInPhone,
            Self::PanicInHandler {} => panic!("fault hook"),
            Self::StallStep { ms: Stall(time) } => Fault::StallStep(time),
            Self::StallActor { ms: Stall(time) } => Fault::StallActor(time),
            Self::StallModel { ms: Stall(time) } => Fault::StallModel(time),
            Self::StallPhone { ms: Stall(time) } => Fault::StallPhone(time),
        }
    }
}

pub(crate) async fn of_call(
    state: web::Data<AdminState>,
    call: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let fault = match serde_json::from_slice::<OfCall>(&body) {
        Ok(wish) => wish.fault(),
        Err(error) => return no_wish(&error),
    };
    let Some(sid) = CallSid::parse(&call) else {
        return no_such_call();
    };
    match break_call(&state.calls, sid, fault).await {
        Some(true) => {
            log::warn!(target: "switchboard", call_sid = call.as_str(), fault:?; "fault put into a call by the operator");
            HttpResponse::Accepted().json(json!({"call_sid": call.as_str(), "fault": "ordered"}))
        }
        Some(false) => no_such_call(),
        None => registry_silent(),
    }
}

pub(crate) async fn of_process(state: web::Data<AdminState>, body: web::Bytes) -> HttpResponse {
    let wish = match serde_json::from_slice::<OfProcess>(&body) {
        Ok(wish) => wish,
        Err(error) => return no_wish(&error),
    };
    if !put(&state, wish) {
        let message = "a store in memory has no thread of its own";
        return problem(StatusCode::CONFLICT, "wrong_state", message);
    }
    log::warn!(target: "switchboard", fault:? = wish; "fault put into the process by the operator");
    HttpResponse::Accepted().json(json!({"fault": "ordered"}))
}

/// Puts a fault into the process; gives whether there is something to break.
fn put(state: &AdminState, wish: OfProcess) -> bool {
    let calls = &state.calls;
    match wish {
        OfProcess::PanicInMetrics {} => state.metrics.break_scrape(),
        OfProcess::PanicInRegistry {} => break_registry(calls, RegistryFault::Panic),
        OfProcess::StallRegistry { ms: Stall(time) } => {
            break_registry(calls, RegistryFault::Stall(time));
        }
        OfProcess::PanicInWebhook {} => state.webhook_fault.plan(),
        OfProcess::PanicInStore {} => return break_store(calls, StoreFault::Panic),
        OfProcess::StallStore { ms: Stall(time) } => {
            return break_store(calls, StoreFault::Stall(time));
        }
    }
    true
}
