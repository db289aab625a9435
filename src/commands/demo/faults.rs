//! `switchboard demo --faults`: one call through the ladder of faults.
//!
//! The service is a process of its own here, so that it can be killed; the caller, the emulated Twilio and the emulated
//! model live in this one. What is measured is what came out of the phone.

mod caller;
mod fallback_url;
mod files;
mod operator;
mod scenario;
mod serving;
mod silence_meter;
mod step;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use switchboard_actors::failpoints;
use switchboard_kit::realtime::{Realtime, Running};
use switchboard_kit::twilio::{CallEnd, CallOutcome, Line, PhoneEvent};
use tokio::sync::mpsc;

use super::report::Report;
use super::{AUTH_TOKEN, PUBLIC};
use crate::cli::{Demo, Exit, complain};
use crate::commands::line::fail;

use fallback_url::FallbackUrl;
use files::Events;
use operator::Operator;
use scenario::{Scenario, Told};
use serving::{LogLine, Plan, absolute, addresses};
use silence_meter::Sounds;
use step::{HEAD, Measured};

/// Opens the admin listener of the serving process.
const ADMIN_TOKEN: &str = "demo-admin-token-0123456789";

/// The whole of it may take so long.
const LIMIT: Duration = Duration::from_secs(90);

/// What Twilio notes when the process behind a socket and a webhook is gone: 31903 for the socket, 11205 for a request
/// that finds nobody, 11200 for one that is cut off (<https://www.twilio.com/docs/api/errors>).
const EXPECTED: [u32; 3] = [11_200, 11_205, 31_903];

/// Plays the call, shows it and writes it down.
pub(super) fn run(arguments: &Demo) -> Exit {
    if !failpoints::COMPILED {
        // Standard error may be closed; the exit code still tells.
        let _ = complain(
            "this build has no fault hook, which --faults needs; build it with the default features",
        );
        return Exit::Usage;
    }
    if let Err(error) = std::fs::create_dir_all(&arguments.out) {
        return fail(&format!("--out {}: {error}", arguments.out.display()));
    }
    match actix::System::new().block_on(play(arguments)) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Failed,
        Err(error) => fail(&error),
    }
}

async fn play(arguments: &Demo) -> Result<bool, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let began = Instant::now();
    let (think_ms, quiet_ms) = if arguments.fast {
        (60, 400)
    } else {
        (300, 700)
    };
    let model = Realtime::builder()
        .script(scenario::script())
        .resume(scenario::RESUME)
        .think_ms(think_ms)
        .start()
        .await
        .map_err(|error| text(&error))?;
    let show = Rc::new(Report::new());
    show.title(&format!("model emulated at {}", model.url()));

    let out = absolute(&arguments.out)?;
    let plan = plan(&out, &model).map_err(|error| text(&error))??;
    let (log, logs) = mpsc::unbounded_channel();
    let serving = plan.start(&log).await?;
    show.title(&format!(
        "process {} serves at http://{}, admin at http://{}",
        serving.pid, plan.public, plan.admin
    ));
    let standby = FallbackUrl::start(PUBLIC).map_err(|error| text(&error))?;
    let (observer, events) = mpsc::unbounded_channel();
    let line = line(&plan, &standby, observer)?;
    show.title(&format!("a caller dials; webhooks are signed for {PUBLIC}"));

    let watching = actix::spawn(watch(show.clone(), events));
    let (caller, prompter) = caller::caller(quiet_ms);
    let mut calling = actix::spawn(async move { line.call(caller).await });
    let mut story = Scenario {
        prompter,
        model: &model,
        operator: Operator::new(plan.admin, ADMIN_TOKEN),
        plan: &plan,
        log,
        serving: Some(serving),
        show: show.clone(),
    };
    let mut told = Told::default();
    // A call that ends by itself is waited for no longer.
    let (played, over) = tokio::select! {
        biased;
        played = story.play(&mut told) => (played, None),
        outcome = &mut calling => (Err("it ended too early".to_owned()), Some(outcome)),
    };
    if let Err(why) = &played {
        show.title(&format!("the call did not go on: {why}"));
    }
    let Scenario {
        prompter,
        serving,
        log,
        ..
    } = story;
    let clock = prompter.clock();
    // Nobody prompts the caller any more: if they are still there, they hang up.
    drop(prompter);
    let outcome = match over {
        Some(outcome) => outcome,
        None => calling.await,
    };
    let outcome = outcome.map_err(|error| text(&error))?;
    let seen = watching.await.map_err(|error| text(&error))?;
    drop((serving, log));
    standby.stop().await;

    let mut events = Events::default();
    events.of_the_line(&seen);
    events.of_the_log(&read_out(logs).await, &clock);
    events.of_the_model(&model, &clock);
    model.stop().await;
    let sounds = Sounds::of(&outcome);
    let rungs: Vec<Measured> = told
        .rungs
        .into_iter()
        .map(|rung| rung.measured(&sounds))
        .collect();
    let rows: Vec<_> = rungs.iter().map(Measured::json).collect();
    let files = files::write(&out, &outcome, &told.pages, &rows, events);
    for file in files.map_err(|error| text(&error))? {
        let bytes = std::fs::metadata(&file).map_or(0, |data| data.len());
        show.title(&format!("wrote {} ({bytes} bytes)", file.display()));
    }
    Ok(summary(&show, &outcome, &rungs, played.is_ok(), began))
}

/// The serving process: the example of a spa, loopback ports, its data beside the files of the call.
fn plan(out: &Path, model: &Running) -> std::io::Result<Result<Plan, String>> {
    let config = out.join("switchboard.toml");
    std::fs::write(&config, include_str!("../../../docker/switchboard.toml"))?;
    let data = out.join("data");
    std::fs::create_dir_all(&data)?;
    Ok(addresses().map(|(public, admin)| Plan {
        config,
        environment: vec![
            ("SWITCHBOARD_DATA_DIR", data.to_string_lossy().into_owned()),
            ("SWITCHBOARD_STORE", "sqlite".to_owned()),
            ("SWITCHBOARD_PUBLIC_URL", PUBLIC.to_owned()),
            ("SWITCHBOARD_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            ("SWITCHBOARD_WORKERS", "1".to_owned()),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
            ("OPENAI_API_KEY", "demo".to_owned()),
            ("OPENAI_REALTIME_URL", model.url()),
        ],
        public,
        admin,
    }))
}

fn line(
    plan: &Plan,
    standby: &FallbackUrl,
    observer: mpsc::UnboundedSender<PhoneEvent>,
) -> Result<Line, String> {
    let mut line = super::line_to(plan.public, observer)?;
    let fallback = format!("http://{}/", standby.address);
    line.fallback = Some(url::Url::parse(&fallback).map_err(|error| error.to_string())?);
    Ok(line)
}

/// Shows what happens on the line, and keeps it.
async fn watch(
    show: Rc<Report>,
    mut events: mpsc::UnboundedReceiver<PhoneEvent>,
) -> Vec<PhoneEvent> {
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        show.phone(&event);
        seen.push(event);
    }
    seen
}

/// What the log has until the last process is gone.
async fn read_out(mut logs: mpsc::UnboundedReceiver<LogLine>) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while let Some(line) = logs.recv().await {
        lines.push(line);
    }
    lines
}

/// The table, and what came of it; true if every rung was survived.
fn summary(
    show: &Report,
    outcome: &CallOutcome,
    rungs: &[Measured],
    played: bool,
    began: Instant,
) -> bool {
    let unexpected: Vec<_> = outcome
        .complaints()
        .into_iter()
        .filter(|(code, _)| !EXPECTED.contains(code))
        .collect();
    for (code, text) in &unexpected {
        show.title(&format!("twilio would warn: {code} {text}"));
    }
    show.title(HEAD);
    for rung in rungs {
        show.title(&rung.row());
    }
    let took = began.elapsed();
    let good = played
        && outcome.end == CallEnd::CallerHungUp
        && rungs.iter().all(Measured::survived)
        && unexpected.is_empty()
        && took <= LIMIT;
    show.title(&format!(
        "one call of {:.1} s over {} media streams; it all took {:.1} s",
        outcome.duration_ms as f64 / 1e3,
        outcome.streams.len(),
        took.as_secs_f64()
    ));
    show.title(if good {
        "the call survived every rung"
    } else {
        "the call did not survive every rung"
    });
    good
}
