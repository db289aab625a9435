//! Puts faults into a live process, for `demo --faults`, for tests and for drills. Not in release images.
//!
//! `POST /admin/calls/{call_sid}/fault` breaks one call, `POST /admin/fault` what all calls share; the body is
//! `{"kind":"panic_in_step"}`, `{"kind":"stall_step","ms":2000}`, or `{"kind":"stop_tool","at":"before_outcome"}`. Each
//! arms points of [`switchboard_actors::failpoints`], which say what a panic and a stall mean there.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use switchboard_actors::failpoints::{Action, arm, arm_always};

use crate::admin::calls::{bad_body, find};
use crate::admin::problem;
use crate::admin::state::AdminState;
use crate::calls::orders::list;
use crate::routes::{Served, post};

pub(super) const ROUTES: &[Served] = &[
    post("/admin/calls/{call_sid}/fault", || web::route().to(of_call)),
    post("/admin/fault", || web::route().to(of_process)),
];

/// The longest stall, in milliseconds: a drill must end by itself.
const LONGEST_MS: u64 = 30_000;

/// How long a stop lasts that nobody ends by killing the process.
const STOP: Action = Action::Stall(Duration::from_millis(LONGEST_MS));

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
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum OfCall {
    PanicInStep {},
    PanicInActor {},
    /// Where nothing catches it: the actor is dead.
    PanicUnguarded {},
    PanicInEffect {},
    /// In a handler, and in every start that follows.
    PanicInStart {},
    /// Every step panics, until the machine has another value.
    PanicInEveryStep {},
    PanicInTool {},
    /// The next tool with effects stands still there, so that the process can be killed.
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

/// A step of the run of a tool with effects, the last one in a checkpoint of its call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolStep {
    BeforeJournal,
    AfterJournal,
    BeforeOutcome,
    AfterOutcome,
    AfterCheckpoint,
}

impl ToolStep {
    const fn point(self) -> &'static str {
        match self {
            Self::BeforeJournal => "tool.before_journal",
            Self::AfterJournal => "tool.after_journal",
            Self::BeforeOutcome => "tool.before_outcome",
            Self::AfterOutcome => "tool.after_outcome",
            Self::AfterCheckpoint => "call.outcome_kept",
        }
    }
}

impl OfCall {
    /// The point it is about, and what happens there.
    fn point(self) -> (&'static str, Action) {
        use Action::{Panic, Stall as For};
        match self {
            Self::PanicInStep {} | Self::PanicInEveryStep {} => ("call.step", Panic),
            Self::PanicInActor {} | Self::PanicInStart {} => ("call.handle", Panic),
            Self::PanicUnguarded {} => ("call.unguarded", Panic),
            Self::PanicInEffect {} => ("call.effect", Panic),
            Self::PanicInTool {} => ("tool.begin", Panic),
            Self::StopTool { at } => (at.point(), STOP),
            Self::PanicInModel {} => ("model.message", Panic),
            Self::PanicInPhone {} => ("phone.frame", Panic),
            Self::PanicInHandler {} => panic!("fault hook: this request"),
            Self::StallStep { ms: Stall(time) } => ("call.step", For(time)),
            Self::StallActor { ms: Stall(time) } => ("call.handle", For(time)),
            Self::StallModel { ms: Stall(time) } => ("model.message", For(time)),
            Self::StallPhone { ms: Stall(time) } => ("phone.frame", For(time)),
        }
    }

    /// Arms it for that call.
    fn arm(self, (point, action): (&'static str, Action), call: &str) {
        match self {
            Self::PanicInEveryStep {} => arm_always(point, call, action),
            Self::PanicInStart {} => {
                arm_always("call.start", call, action);
                arm(point, call, action);
            }
            _ => arm(point, call, action),
        }
    }
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

async fn of_call(
    state: web::Data<AdminState>,
    call: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let wish = match serde_json::from_slice::<OfCall>(&body) {
        Ok(wish) => wish,
        Err(error) => return no_wish(&error),
    };
    let point = wish.point();
    if let Err(answer) = find(&state, &call).await {
        return answer;
    }
    wish.arm(point, &call);
    log::warn!(target: "switchboard", call_sid = call.as_str(), fault:? = wish; "fault put into a call by the operator");
    HttpResponse::Accepted().json(json!({"call_sid": call.as_str(), "fault": "ordered"}))
}

async fn of_process(state: web::Data<AdminState>, body: web::Bytes) -> HttpResponse {
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
    match wish {
        OfProcess::PanicInMetrics {} => arm("metrics.render", "", Action::Panic),
        OfProcess::PanicInWebhook {} => arm("phone.webhook", "", Action::Panic),
        OfProcess::PanicInRegistry {} => in_registry(state, Action::Panic),
        OfProcess::StallRegistry { ms: Stall(time) } => in_registry(state, Action::Stall(time)),
        OfProcess::PanicInStore {} => return in_store(state, Action::Panic),
        OfProcess::StallStore { ms: Stall(time) } => return in_store(state, Action::Stall(time)),
    }
    true
}

/// The registry meets it at once, in a question whose answer nobody misses.
fn in_registry(state: &AdminState, action: Action) {
    arm("registry.list", "", action);
    let calls = state.calls.clone();
    actix::spawn(async move { drop(list(&calls).await) });
}

/// The store meets it with the next thing it is asked.
fn in_store(state: &AdminState, action: Action) -> bool {
    let file = state.calls.store.file();
    if let Some(file) = file {
        arm("store.write", &file.to_string_lossy(), action);
    }
    file.is_some()
}
