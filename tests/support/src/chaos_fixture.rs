//! A service whose model lies behind a proxy that breaks things, and neighbours who must not notice any of it.

use std::time::Duration;

use switchboard_kit::chaos::Chaos;
use switchboard_kit::realtime::Realtime;
use switchboard_kit::twilio::load::{LoadPlan, LoadReport, load};
use switchboard_kit::twilio::{CallOutcome, Line, StreamEnd};
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;

use crate::{Options, TestService, times, turns};

/// The number of the agent that speaks first; every other one waits, as load calls need.
pub const TALKS: &str = "+15550101";

/// Added delay in milliseconds that one frame in a hundred may have beside a fault. Twice and a half of what a service alone
/// keeps: these frames also pass the proxy both ways, in an unoptimised build, beside other tests.
const BESIDE_MS: f64 = 25.0;

/// Tasks that are woken up for a frame there and back: the generator's twice, and twice each the service's, the proxy's and
/// the model's.
const WAKE_UPS: f64 = 8.0;

/// One agent that speaks first, and one that waits.
pub const AGENTS: &str = r#"
default_agent = "quiet"
[agents.quiet]
instructions = "You wait."
greeting = { mode = "wait" }
[agents.spa]
numbers = ["+15550101"]
instructions = "You answer the phone of a spa."
greeting = { mode = "model", text = "Greet the caller." }
[fallback]
say = "We have a technical problem."
dial = ""
"#;

/// A service with its model behind a proxy.
pub async fn behind_chaos(model: Realtime) -> (TestService, Chaos) {
    let chaos = Chaos::start(4).await.unwrap();
    let url = format!("ws://{}/v1/realtime", chaos.address());
    let mut options = Options::default()
        .model(model)
        .with("OPENAI_REALTIME_URL", &url);
    options.toml = AGENTS.to_owned();
    let service = TestService::start(options).await;
    chaos.aim(service.model.addr());
    (service, chaos)
}

/// A line to the agent that speaks first.
pub fn talking_line(service: &TestService) -> Line {
    let mut line = service.line();
    line.to = TALKS.to_owned();
    line
}

/// The turn of a test with neighbours: their figures are about milliseconds, and what they meet is to be the fault, not the
/// load of other tests.
pub async fn turn_with_neighbours() -> SemaphorePermit<'static> {
    turns::of(50).await
}

/// So many calls of frames there and back, beside whatever happens.
pub fn neighbours(service: &TestService, calls: u32, probing: Duration) -> JoinHandle<LoadReport> {
    let mut line = service.line();
    line.record = false;
    tokio::spawn(load(LoadPlan::new(line, calls, probing)))
}

/// The neighbours lost nothing; gives the words for it.
pub fn noticed_nothing(report: &LoadReport) -> String {
    assert_eq!(
        (report.calls_completed, report.failures),
        (report.calls, 0),
        "{report:#?}"
    );
    assert_eq!(report.frames_lost, 0, "{report:#?}");
    assert_eq!(report.frames_returned, report.frames_sent, "{report:#?}");
    let (added, late) = (report.added_latency_ms.p99, report.generator_late_ms.p99);
    // The control group of the same seconds: how late the generator's own timers were. On a machine that is busy with
    // something else every task is woken up as late.
    let bar = BESIDE_MS.max(WAKE_UPS * late);
    times::within_ms(added.ceil() as u64, bar.ceil() as u64, report);
    format!(
        "{} neighbours, {} frames there and back, 0 lost, added p99 {added:.1} ms (bar {bar:.0}, the generator's own timers \
         {late:.1} ms late)",
        report.calls, report.frames_returned
    )
}

/// The longest stretch after the caller's last word in which they heard nothing and waited, in milliseconds.
pub fn longest_silence_ms(outcome: &CallOutcome) -> u64 {
    let stream = &outcome.streams[0];
    // While the caller speaks, and after the last word that was said to them, they do not wait.
    let begins = stream.caller_speech.last().map_or(0, |span| span.to_ms);
    // Where somebody else goes on with them, the wait lasts to the end of the stream.
    let goes_on = stream.end != StreamEnd::CallerHungUp;
    let last_word = stream.agent_speech.last().filter(|_| !goes_on);
    let ends = last_word.map_or(u64::MAX, |span| span.to_ms);
    let length = stream.heard.len() / 8;
    let ends = usize::try_from(ends).map_or(length, |ends| ends.min(length));
    let begins = usize::try_from(begins).map_or(0, |begins| begins.min(ends));
    let heard = &stream.heard[begins * 8..ends * 8];
    let is_quiet = |byte: &u8| call_protocol::audio::decode_sample(*byte).abs() < 100;
    let mut longest = 0;
    for stretch in heard.chunk_by(|a, b| is_quiet(a) == is_quiet(b)) {
        if is_quiet(&stretch[0]) {
            longest = longest.max(stretch.len() as u64 / 8);
        }
    }
    longest
}
