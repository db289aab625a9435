//! `switchboard load`: many calls at once, every frame of which proves when it came back.

use std::io::Write as _;
use std::time::Duration;

use switchboard_kit::twilio::load::{LoadPlan, load};

use super::line::{fail, line, on_runtime};
use super::progress::Progress;
use crate::cli::{Exit, Load};

/// Runs the load and prints the report as JSON.
#[must_use]
pub fn run(arguments: &Load) -> Exit {
    let line = match line(
        &arguments.to,
        arguments.public_url.as_ref(),
        arguments.auth_token.as_ref(),
    ) {
        Ok(line) => line,
        Err(error) => return fail(&format!("--to {}: {error}", arguments.to)),
    };
    let plan = LoadPlan::new(
        line,
        arguments.calls,
        Duration::from_secs(arguments.seconds.into()),
    );
    on_runtime(async {
        let (calls, expected) = (plan.calls, plan.ramp + plan.settle + plan.probing);
        let tell = |so_far: Duration| {
            let (so_far, expected) = (so_far.as_secs(), expected.as_secs());
            format!("{calls} calls: {so_far} s of about {expected}")
        };
        let report = Progress::on_terminal().beside(load(plan), tell).await;
        let json = match serde_json::to_string_pretty(&report) {
            Ok(json) => json,
            Err(error) => return fail(&error),
        };
        let _ = writeln!(std::io::stdout(), "{json}");
        let clean = report.failures == 0 && report.frames_lost == 0 && report.frames_foreign == 0;
        if clean { Exit::Done } else { Exit::Failed }
    })
}
