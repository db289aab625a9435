//! One run of a tool: checked against its schema, once for each wish, in time, and a panic in it survived.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use call_protocol::tool::{ToolFinished, ToolResult, ToolRun, failure, outcome_unknown};
use futures_util::FutureExt as _;
use serde_json::Value;

use super::journal::Begin;
use super::{Caller, LONGEST_EFFECT, Outcome, Place, ToolBox, ToolError, ToolRequest, Why};
use crate::failpoints;
use crate::store::ToolEffect;

const TARGET: &str = "switchboard::tool";

impl ToolBox {
    /// Runs a tool for a call; comes to an end whatever happens to the tool.
    pub async fn run(&self, run: ToolRun, caller: Caller) -> ToolFinished {
        let began = Instant::now();
        let call = caller.call;
        let (result, output) = self.outcome(&run, caller).await;
        let took = began.elapsed();
        self.metrics.tool_ran(&run.tool, result.label(), took);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        log::info!(
            target: TARGET, call_sid = call.as_str(), tool = run.tool.as_str(), result = result.label(), ms,
            effects = run.effects; "tool"
        );
        ToolFinished {
            number: run.number,
            result,
            output,
        }
    }

    async fn outcome(&self, run: &ToolRun, caller: Caller) -> (ToolResult, String) {
        let Some(entry) = self.tools.get(&run.tool) else {
            // An effect that was begun before the tool went away may have happened.
            return if run.effects {
                (ToolResult::Unknown, outcome_unknown())
            } else {
                (ToolResult::Refused, failure("there is no such tool"))
            };
        };
        let arguments = Value::Object(run.arguments.clone());
        if let Err(why) = entry.arguments.check(&arguments) {
            // The schema may be another than the one it was begun under.
            return if run.effects && run.again {
                (ToolResult::Unknown, outcome_unknown())
            } else {
                (ToolResult::Refused, failure(&why))
            };
        }
        let place = &entry.place;
        let request = ToolRequest {
            tool: run.tool.clone(),
            call_id: run.call.as_str().to_owned(),
            key: run.key.clone(),
            effects: run.effects,
            arguments: run.arguments.clone(),
            caller,
        };
        if !run.effects {
            return told(self.attempt(place, request, run.timeout).await, false);
        }
        let call = request.caller.call;
        let effect = ToolEffect {
            key: run.key.clone(),
            call,
            tool: run.tool.clone(),
            arguments: run.canonical.clone(),
        };
        failpoints::pass("tool.before_journal", call.as_str()).await;
        let turn = match self
            .once
            .begin(effect, place.knows_its_key(), run.again)
            .await
        {
            Begin::Proceed(turn) => turn,
            Begin::Known(result, output) => return (result, output),
        };
        failpoints::pass("tool.after_journal", call.as_str()).await;
        let outcome = self.attempt(place, request, run.timeout).await;
        failpoints::pass("tool.before_outcome", call.as_str()).await;
        let (mut result, mut output) = told(outcome, true);
        if turn.in_doubt && result == ToolResult::Failed {
            // This try changed nothing. Whether an earlier one did, it did not learn.
            (result, output) = (ToolResult::Unknown, outcome_unknown());
        }
        turn.finish(result, &output).await;
        failpoints::pass("tool.after_outcome", call.as_str()).await;
        (result, output)
    }

    /// Runs it, in its time.
    async fn attempt(
        &self,
        place: &Place,
        request: ToolRequest,
        timeout: Duration,
    ) -> Result<Outcome, Panicked> {
        let effects = request.effects;
        let tool = request.tool.clone();
        let (act, limit) = match place {
            Place::Local(local) => {
                // Also what a tool does before its first await may panic.
                let local = local.clone();
                let act = async move { local.run(request).await }.boxed_local();
                (act, if effects { LONGEST_EFFECT } else { timeout })
            }
            Place::Http(http) => {
                let act = http.call(self.web.as_ref(), request, timeout).boxed_local();
                (act, timeout + Duration::from_millis(100))
            }
        };
        let act = AssertUnwindSafe(act).catch_unwind();
        match actix_rt::time::timeout(limit, act).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => {
                log::error!(target: TARGET, tool = tool.as_str(); "tool panicked");
                Err(Panicked)
            }
            Err(_) => Ok(Err(ToolError::TimedOut)),
        }
    }
}

/// The tool's own code failed; the process's panic hook has counted it.
struct Panicked;

/// A result and the words for the model.
fn told(outcome: Result<Outcome, Panicked>, effects: bool) -> (ToolResult, String) {
    match outcome {
        Ok(Ok(output)) => (ToolResult::Ok, output),
        Ok(Err(ToolError::Refused(why))) => (ToolResult::Refused, in_words(why)),
        Ok(Err(ToolError::Failed(why))) => (ToolResult::Failed, in_words(why)),
        Ok(Err(ToolError::Unknown(_) | ToolError::TimedOut)) if effects => {
            (ToolResult::Unknown, outcome_unknown())
        }
        Ok(Err(ToolError::Unknown(why))) => (ToolResult::Failed, failure(&why)),
        Ok(Err(ToolError::TimedOut)) => (
            ToolResult::TimedOut,
            failure("the tool did not answer in time"),
        ),
        Err(Panicked) if effects => (ToolResult::Panicked, outcome_unknown()),
        Err(Panicked) => (
            ToolResult::Panicked,
            failure("the tool does not work at the moment"),
        ),
    }
}

fn in_words(why: Why) -> String {
    match why {
        Why::Sentence(sentence) => failure(&sentence),
        Why::Answer(json) => json,
    }
}
