//! `switchboard demo`: one whole call with no account and no key.
//!
//! The real service on loopback ports, an emulated Twilio with recorded speech as the caller, an emulated Realtime
//! model. What is shown comes from all three: the line (what was said and heard), the service (states, turns,
//! latencies, tools), the model (what it was told). The appointment that is made stays in the book beside the call's
//! files: the next demo finds it taken.

mod book_view;
mod faults;
mod record;
mod report;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use switchboard_actors::call::TapLine;
use switchboard_actors::events::Subscription;
use switchboard_actors::metrics::Metrics;
use switchboard_kit::realtime::{Realtime, Script};
use switchboard_kit::speech;
use switchboard_kit::twilio::{Account, CallOutcome, Line, PhoneEvent, Route, Scripted, Step};
use tokio::sync::mpsc;

use super::line::fail;
use crate::cli::{Demo, Exit};
use crate::service::Service;
use crate::settings::Settings;
use crate::telemetry;

use book_view::BookView;
use record::Record;
use report::Report;

/// The public address of the demo's service; nobody outside resolves it.
const PUBLIC: &str = "https://spa.demo.example";

/// Signs the demo's webhooks.
const AUTH_TOKEN: &str = "demo-auth-token-0123456789abcdef";

/// The longest the demo's caller stays on the line.
const LIMIT_MS: u64 = 58_000;

/// Messages of the call that may wait to be written down: ten seconds of them.
const TAP: usize = 8_192;

/// Plays the call, shows it and writes it down.
#[must_use]
pub fn run(arguments: &Demo) -> Exit {
    if arguments.faults {
        return faults::run(arguments);
    }
    if let Err(error) = std::fs::create_dir_all(&arguments.out) {
        return fail(&format!("--out {}: {error}", arguments.out.display()));
    }
    let result = actix::System::new().block_on(play(arguments));
    match result {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Failed,
        Err(error) => fail(&error),
    }
}

/// How much sound of the offer the caller hears before interrupting it: the times, and the beginning of what comes
/// after them.
const HEARS_MS: u64 = 5_700;

/// Silence after which an answer that was not so long is over; longer than a tool may take.
const FINISHED_MS: u64 = 2_500;

/// The caller of the demo: asks for a massage, interrupts the long offer and takes the first time, gives a name, says
/// goodbye.
pub(super) fn caller(fast: bool) -> Scripted {
    // Above 400: a code that is spelled has pauses nearly as long.
    let quiet_ms = if fast { 600 } else { 700 };
    let say = |name: &str| {
        Step::Speak(Cow::Borrowed(
            speech::caller(name).map_or(&[][..], |clip| clip.mulaw()),
        ))
    };
    let steps = [
        Step::WaitForAgent { quiet_ms },
        say("hello"),
        Step::WaitToInterruptOrAnswer {
            after_ms: HEARS_MS,
            quiet_ms: FINISHED_MS,
        },
        say("interrupt"),
        Step::WaitForAgent { quiet_ms },
        say("name"),
        Step::WaitForAgent { quiet_ms },
        say("thanks"),
        Step::WaitForAgent { quiet_ms },
        Step::HangUp,
    ];
    Scripted::new(steps, LIMIT_MS)
}

fn settings(model: &str, out: &Path) -> Result<Settings, String> {
    // The book stays beside the call's files: the next demo finds what this one booked.
    let data = out.to_string_lossy();
    let environment: BTreeMap<String, String> = [
        ("SWITCHBOARD_DATA_DIR", data.as_ref()),
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("SWITCHBOARD_PUBLIC_URL", PUBLIC),
        ("SWITCHBOARD_ADMIN_TOKEN", "demo-admin-token-0123456789"),
        ("SWITCHBOARD_WORKERS", "1"),
        ("SWITCHBOARD_STORE", "memory"),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("OPENAI_API_KEY", "demo"),
        ("OPENAI_REALTIME_URL", model),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let toml = include_str!("../../docker/switchboard.toml");
    Settings::from_toml(toml, &out.join("demo.toml"), &environment)
        .map_err(|error| error.to_string())
}

async fn play(arguments: &Demo) -> Result<bool, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let think_ms = if arguments.fast { 60 } else { 300 };
    let model = Realtime::builder()
        .script(Script::spa())
        .think_ms(think_ms)
        .start()
        .await;
    let model = model.map_err(|error| text(&error))?;
    let settings = settings(&model.url(), &arguments.out)?;
    let mut show = Report::new();
    let before = BookView::read(&arguments.out, Timestamp::now()).map_err(|error| text(&error))?;
    show.book(&before);
    show.title(&format!("model emulated at {}", model.url()));

    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| text(&error))?);
    telemetry::install_panic_hook(metrics.panics.clone());
    let (tap, taps) = mpsc::channel(TAP);
    let service = Service::start(settings, metrics, Some(tap)).map_err(|error| text(&error))?;
    let reports = service.events().subscribe("demo");
    show.title(&format!(
        "service at http://{}, admin at http://{}",
        service.public, service.admin
    ));
    show.title(&format!("a caller dials; webhooks are signed for {PUBLIC}"));

    let (observer, events) = mpsc::unbounded_channel();
    let mut line = line_to(service.public, observer)?;
    // Somebody else each time: the book takes so many appointments of a number and no more.
    line.from = format!("+1555010{:04}", before.coming() % 10_000);
    let watched = Watched {
        events,
        taps,
        reports,
    };
    let (outcome, record) = follow(line, caller(arguments.fast), watched, &mut show).await;
    show.completed(&outcome);
    service.drain();
    service.hand_over().await;
    service.stop().await;
    model.stop().await;

    let after = BookView::read(&arguments.out, Timestamp::now()).map_err(|error| text(&error))?;
    let files = record
        .write(&arguments.out, &outcome)
        .map_err(|error| text(&error))?;
    let went_well = show.summary(&outcome, &record, &files);
    let booked = show.booking(&before, &after, &record);
    show.verdict(went_well, booked);
    Ok(went_well && booked)
}

/// A line to a service that listens there and is configured for [`PUBLIC`].
fn line_to(
    service: SocketAddr,
    observer: mpsc::UnboundedSender<PhoneEvent>,
) -> Result<Line, String> {
    let public = url::Url::parse(PUBLIC).map_err(|error| error.to_string())?;
    let webhook = public
        .join("/incoming-call")
        .map_err(|error| error.to_string())?;
    let mut line = Line::new(webhook);
    line.route = Some(Route::new(public.clone(), service));
    line.account = Account::new("AC00000000000000000000000000000001", AUTH_TOKEN);
    line.status_callback = public
        .join("/call-status")
        .ok()
        .map(|callback| callback.to_string());
    line.observer = Some(observer);
    Ok(line)
}

/// Where a call can be watched from.
struct Watched {
    /// The emulated line.
    events: mpsc::UnboundedReceiver<PhoneEvent>,
    /// The messages on both sockets.
    taps: mpsc::Receiver<TapLine>,
    /// What the call's machine tells.
    reports: Subscription,
}

/// Plays the call and shows what happens while it happens.
async fn follow(
    line: Line,
    caller: Scripted,
    mut watched: Watched,
    show: &mut Report,
) -> (CallOutcome, Record) {
    let mut record = Record::default();
    let call = line.call(caller);
    tokio::pin!(call);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = watched.events.recv() => show.phone(&event),
            Some(line) = watched.taps.recv() => record.take(&line),
            Some(Ok(event)) = watched.reports.next() => {
                if let Some(report) = record.take_report(&event) {
                    show.report(&report);
                }
            }
            outcome = &mut call => break outcome,
        }
    };
    // The last words of the call come after the line is dead.
    let patience = std::time::Duration::from_millis(300);
    while let Ok(Some(event)) = tokio::time::timeout(patience, watched.reports.next()).await {
        let report = event.ok().and_then(|event| record.take_report(&event));
        if let Some(report) = report {
            show.report(&report);
        }
        if record.is_over() {
            break;
        }
    }
    while let Ok(line) = watched.taps.try_recv() {
        record.take(&line);
    }
    while let Ok(event) = watched.events.try_recv() {
        show.phone(&event);
    }
    (outcome, record)
}
