//! Many calls at once: nobody loses a frame, nobody hears another's, one call's fault is that call's business.

use std::time::{Duration, Instant};

use call_protocol::phone::CallSid;
use serde_json::Value;
use switchboard_actors::failpoints::{Action, arm, arm_always};
use switchboard_kit::realtime::{Ended, Realtime};
use switchboard_kit::twilio::load::{LoadPlan, LoadReport, load};
use switchboard_kit::twilio::{CallEnd, CallOutcome, Step, StreamEnd};
use test_support::chaos_fixture::{AGENTS, TALKS};
use test_support::phone::closed_with;
use test_support::proc::processor_time;
use test_support::{
    Options, SOON, TestService, brief_with, caller, listen, say, times, tone, turns, until,
};
use tokio::task::JoinHandle;

const CALLS: u32 = 200;

/// A greeting of four seconds: long enough to break something in the middle of it.
fn model() -> Realtime {
    brief_with(|script| {
        script.greeting = tone(
            440,
            4_000,
            "Hello, this is the spa, and we have all the time you want.",
        )
    })
}

async fn service(options: Options) -> TestService {
    let toml = AGENTS.to_owned();
    TestService::start(Options {
        toml,
        ..options.model(model())
    })
    .await
}

/// Load on the service; the probes of each call last so long.
fn loaded(service: &TestService, probing: Duration) -> JoinHandle<LoadReport> {
    let mut line = service.line();
    line.record = false;
    tokio::spawn(load(LoadPlan::new(line, CALLS, probing)))
}

fn nothing_was_lost(report: &LoadReport) {
    assert_eq!(
        (report.calls_completed, report.failures),
        (report.calls, 0),
        "{report:#?}"
    );
    assert_eq!(report.frames_returned, report.frames_sent, "{report:#?}");
    let wrong = [
        report.frames_lost,
        report.frames_foreign,
        report.frames_duplicated,
        report.frames_out_of_order,
        report.frames_corrupt,
        report.frames_not_sent,
    ];
    assert_eq!(
        wrong, [0; 6],
        "lost, foreign, duplicated, out of order, corrupt, not sent: {report:#?}"
    );
    assert!(report.warnings.is_empty(), "{report:#?}");
}

fn figures(report: &LoadReport) -> String {
    let (added, late) = (&report.added_latency_ms, &report.generator_late_ms);
    format!(
        "{} calls, {} frames there and back, 0 lost; added latency p50 {:.1} p99 {:.1} max {:.1} ms, of which the \
         generator's own timers p99 {:.1} ms",
        report.calls, report.frames_returned, added.p50, added.p99, added.max, late.p99
    )
}

/// A caller who listens to the whole greeting, says something, hears the answer and hangs up.
fn faulted_call(service: &TestService) -> JoinHandle<CallOutcome> {
    let mut line = service.line();
    line.to = TALKS.to_owned();
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    tokio::spawn(async move { line.call(caller(steps)).await })
}

/// Waits until the agent of that call is in the middle of its greeting; gives the call's SID.
async fn in_mid_greeting(service: &TestService) -> CallSid {
    let mut found = None;
    until(
        "the greeting is under way",
        Duration::from_secs(20),
        async || {
            let list = service.calls().await;
            let rows = list["calls"].as_array().unwrap().clone();
            let row = rows
                .iter()
                .find(|row| row["to"] == TALKS && row["frames"]["to_caller"].as_u64() > Some(0));
            let sid = row.and_then(|row| CallSid::parse(row["call_sid"].as_str()?));
            found = sid;
            sid.is_some()
        },
    )
    .await;
    found.unwrap()
}

/// The longest wait between two frames of the caller at the model, from that moment on.
fn longest_silence(service: &TestService, model_session: usize, since: Instant) -> Duration {
    let session = service.model.session(model_session).unwrap();
    let appends: Vec<Instant> = session
        .received()
        .iter()
        .filter(|event| event.kind == "input_audio_buffer.append" && event.at >= since)
        .map(|event| event.at)
        .collect();
    assert!(appends.len() > 50, "{}", appends.len());
    let first = appends[0] - since;
    let gaps = appends.windows(2).map(|two| two[1] - two[0]);
    gaps.fold(first, Duration::max)
}

/// Which of the model's sessions belongs to the agent that speaks first.
fn talking_session(service: &TestService) -> usize {
    let talks = |session: &switchboard_kit::realtime::Session| {
        session.received_of("response.create") != [] as [Value; 0]
    };
    service
        .model
        .sessions()
        .iter()
        .find(|session| talks(session))
        .unwrap()
        .number()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_lose_no_frame_and_mix_none() {
    let _turn = turns::of(CALLS).await;
    let service = service(Options::default()).await;
    let report = loaded(&service, Duration::from_secs(6)).await.unwrap();
    nothing_was_lost(&report);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        f64::from(CALLS)
    );
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    assert_eq!(scrape.sum("switchboard_protocol_violations_total"), 0.0);
    until("every model session is closed", SOON, async || {
        service
            .model
            .sessions()
            .iter()
            .all(|session| matches!(session.ended(), Some(Ended::ByClient(_))))
    })
    .await;
    service.stop().await;
    println!("{}", figures(&report));
}

/// One call of the service meets a fault that is caught: a pause in the same conversation on the same sockets, and nothing to
/// the others. Gives the figures.
async fn is_a_pause(point: &'static str) -> String {
    let _turn = turns::of(CALLS).await;
    let service = service(Options::default()).await;
    let others = loaded(&service, Duration::from_secs(6));
    let faulted = faulted_call(&service);
    let call = in_mid_greeting(&service).await;
    let broken_at = Instant::now();
    arm(point, call.as_str(), Action::Panic);
    let page = format!("/admin/calls/{call}");
    until("the restart is on the call's page", SOON, async || {
        service.operator("GET", &page).await.json()["restarts"] == 1
    })
    .await;

    let outcome = faulted.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1, "the media socket is the same");
    let stream = &outcome.streams[0];
    // The greeting in one piece, then the answer: the conversation went on where it was. The message that met the fault
    // is lost, and may have been half a second of the greeting.
    assert_eq!(stream.agent_speech.len(), 2, "{:?}", stream.agent_speech);
    let greeting = stream.agent_speech[0].to_ms - stream.agent_speech[0].from_ms;
    assert!(
        (3_400..=4_500).contains(&greeting),
        "{greeting} ms of 4,000"
    );
    let session = talking_session(&service);
    let gap = longest_silence(&service, session, broken_at)
        .max(Duration::from_millis(stream.underruns.ms));
    times::within(gap, Duration::from_millis(500), "gap");

    let report = others.await.unwrap();
    nothing_was_lost(&report);
    let scrape = service.metrics().await;
    let restarts = "switchboard_call_restarts_total";
    assert_eq!(
        (
            scrape.get(&format!("{restarts}{{reason=\"fault\"}}")),
            scrape.sum(restarts)
        ),
        (1.0, 1.0)
    );
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        f64::from(CALLS) + 1.0
    );
    assert_eq!(
        service.model.sessions().len(),
        CALLS as usize + 1,
        "the model session is the same"
    );
    service.empty().await;
    service.stop().await;
    format!(
        "F9 a panic at {point} in one of {} calls: gap {} ms, bar 500 ms; {}",
        CALLS + 1,
        gap.as_millis(),
        figures(&report)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_one_calls_step_is_a_pause_in_that_call_and_nothing_to_the_others() {
    println!("{}", is_a_pause("call.step").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_anywhere_in_one_calls_actor_is_a_pause_in_that_call_and_nothing_to_the_others() {
    println!("{}", is_a_pause("call.handle").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_what_follows_from_a_step_is_a_pause_in_that_call_and_nothing_to_the_others() {
    println!("{}", is_a_pause("call.effect").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_one_calls_actor_brings_the_caller_back_and_is_nothing_to_the_others() {
    let _turn = turns::of(CALLS).await;
    let service = service(Options::default()).await;
    let others = loaded(&service, Duration::from_secs(6));
    let faulted = faulted_call(&service);
    let call = in_mid_greeting(&service).await;
    arm("call.unguarded", call.as_str(), Action::Panic);

    let outcome = faulted.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let asked: Vec<&str> = outcome
        .documents
        .iter()
        .map(|document| document.url.as_str())
        .collect();
    assert_eq!(
        asked,
        [
            "https://spa.example/incoming-call",
            "https://spa.example/after-stream"
        ]
    );
    let [first, second] = outcome.streams.as_slice() else {
        panic!("{:?}", outcome.streams)
    };
    assert_eq!(first.end, closed_with(1011));
    assert_eq!(second.end, StreamEnd::CallerHungUp);
    let away = second.started_ms - (first.started_ms + first.duration_ms);
    times::within_ms(away, 1_000, "away");
    assert!(!second.agent_speech.is_empty(), "the agent is there again");

    let report = others.await.unwrap();
    nothing_was_lost(&report);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"panicked\"}"),
        1.0
    );
    assert_eq!(
        scrape.get("switchboard_call_restarts_total{reason=\"panic\"}"),
        1.0
    );
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        f64::from(CALLS) + 1.0
    );
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    until("every model session is closed", SOON, async || {
        service
            .model
            .sessions()
            .iter()
            .all(|session| session.ended().is_some())
    })
    .await;
    service.stop().await;
    println!(
        "F9 the death of one of {} actors: the caller back on a new stream after {away} ms; {}",
        CALLS + 1,
        figures(&report)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_faults_again_and_again_goes_to_the_fallback() {
    let service = service(Options::default()).await;
    let faulted = faulted_call(&service);
    let call = in_mid_greeting(&service).await;
    let page = format!("/admin/calls/{call}");
    // Three restarts in a minute, and no more.
    for faults in 1..=3 {
        arm("call.step", call.as_str(), Action::Panic);
        until("the restart is on the call's page", SOON, async || {
            service.operator("GET", &page).await.json()["restarts"] == faults
        })
        .await;
    }
    arm("call.step", call.as_str(), Action::Panic);
    let last = Instant::now();
    let outcome = faulted.await.unwrap();
    let took = last.elapsed();
    times::within(took, Duration::from_secs(1), "took");
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.streams.len(), 1, "the stream was kept until then");
    let scrape = service.metrics().await;
    assert_eq!(scrape.sum("switchboard_call_restarts_total"), 3.0);
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"fault\"}"),
        1.0
    );
    service.empty().await;
    service.stop().await;
    println!(
        "F10 4 faults in one call: 3 restarts, the fallback {} ms after the fourth (bar 1,000)",
        took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_at_every_start_goes_to_the_fallback_at_once_and_costs_nothing_after() {
    if !times::is_own_process("many_calls::a_call_that_fails_at_every_start_goes_to_the_fallback_at_once_and_costs_nothing_after").await {
        return;
    }
    let service = service(Options::default()).await;
    let faulted = faulted_call(&service);
    let call = in_mid_greeting(&service).await;
    arm("call.handle", call.as_str(), Action::Panic);
    arm_always("call.start", call.as_str(), Action::Panic);
    let since = Instant::now();
    let outcome = faulted.await.unwrap();
    let took = since.elapsed();
    times::within(took, Duration::from_secs(1), "took");
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.streams.len(), 1);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_call_restarts_total{reason=\"fault\"}"),
        3.0
    );
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"fault\"}"),
        1.0
    );
    assert_eq!(scrape.sum("switchboard_calls_total"), 1.0);
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    let before = processor_time(std::process::id());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let busy = processor_time(std::process::id()) - before;
    times::within(busy, Duration::from_millis(200), "busy");
    service.stop().await;
    println!(
        "F10 a call that panics at every start: 3 restarts, the fallback after {} ms (bar 1,000); processor time of the 2 s \
         after it {} ms (bar 200)",
        took.as_millis(),
        busy.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_value_is_spoilt_goes_on_from_its_last_checkpoint_on_the_same_stream() {
    let model = brief_with(|script| script.greeting = tone(440, 500, "Hello, this is the spa."));
    let service = TestService::start(Options {
        toml: AGENTS.to_owned(),
        ..Options::default().model(model)
    })
    .await;
    let mut line = service.line();
    line.to = TALKS.to_owned();
    let steps = [
        listen(),
        say("yes"),
        listen(),
        Step::Wait { ms: 4_000 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let faulted = tokio::spawn(async move { line.call(caller(steps)).await });
    let mut call = None;
    until("three turns are over", SOON, async || {
        let list = service.calls().await;
        let row = list["calls"][0].clone();
        call = row["call_sid"].as_str().and_then(CallSid::parse);
        row["turns"].as_u64() >= Some(3)
    })
    .await;
    arm_always("call.step", call.unwrap().as_str(), Action::Panic);
    let since = Instant::now();
    until("another session talks", SOON, async || {
        service.model.session(2).is_some_and(|session| {
            session
                .responses()
                .iter()
                .any(|one| one.first_audio.is_some())
        })
    })
    .await;
    let session = service.model.session(2).unwrap();
    let audio = session.responses()[0].first_audio.unwrap() - since;
    let outcome = faulted.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1, "the media socket is the same");
    // Greeting, answer; the agent is back, and so soon that it may be one piece with the answer; another answer.
    let spoken = &outcome.streams[0].agent_speech;
    let heard: u64 = spoken.iter().map(|span| span.to_ms - span.from_ms).sum();
    assert!(heard >= 1_900, "{spoken:?}");
    let told = session.received_of("conversation.item.create");
    let text = told[0]["item"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("this is the spa"), "{text}");
    assert_eq!(service.model.sessions().len(), 2);
    let scrape = service.metrics().await;
    // The value as it was, and then what was written down.
    assert_eq!(scrape.sum("switchboard_call_restarts_total"), 2.0);
    service.empty().await;
    service.stop().await;
    println!(
        "F9 a value that fails at every step: 2 restarts, the second from the checkpoint on the same stream, audio of another \
         session after {} ms",
        audio.as_millis()
    );
}

#[tokio::test]
async fn past_the_limit_callers_hear_the_busy_tone_at_once() {
    let _turn = turns::of(6).await;
    let service = service(Options::default().with("SWITCHBOARD_MAX_CALLS", "5")).await;
    let mut calls = Vec::new();
    for _ in 0..12 {
        let line = service.line();
        let steps = [Step::Wait { ms: 1_500 }, Step::HangUp];
        calls.push(tokio::spawn(async move { line.call(caller(steps)).await }));
    }
    until("all places are taken", SOON, async || {
        service.calls().await["count"] == 5
    })
    .await;
    let ready = test_support::http::Request::new("GET", "/readyz")
        .send(service.public)
        .await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"][0]),
        (503, &"full".into())
    );
    let mut slowest = 0;
    let (mut taken, mut refused) = (0, 0);
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.complaints(), []);
        match outcome.end {
            CallEnd::CallerHungUp => {
                taken += 1;
                assert_eq!(outcome.streams[0].end, StreamEnd::CallerHungUp);
            }
            CallEnd::Rejected { reason } => {
                refused += 1;
                assert_eq!(reason, "busy");
                assert_eq!(outcome.streams.len(), 0, "no upgrade is tried");
                slowest = slowest.max(outcome.documents[0].took_ms);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (5, 7));
    times::within_ms(slowest, 100, "slowest");
    assert_eq!(service.model.sessions().len(), 5);
    assert_eq!(
        service
            .metric("switchboard_admission_rejected_total{reason=\"full\"}")
            .await,
        7.0
    );
    service.empty().await;
    let ready = test_support::http::Request::new("GET", "/readyz")
        .send(service.public)
        .await;
    assert_eq!(ready.status, 200);
    service.stop().await;
    println!("L4 limit 5, offered 12: 5 taken, 7 busy, the slowest after {slowest} ms, bar 100 ms");
}

/// The share of the bridge's `clear`s that took no longer than so many seconds, as they stand in a bucket's name.
async fn clears_within(service: &TestService, seconds: &str) -> f64 {
    let name = format!(
        "switchboard_bridge_latency_seconds_bucket{{direction=\"clear\",le=\"{seconds}\"}}"
    );
    service.metric(&name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_interrupted_agents_fall_silent_at_once() {
    const CALLERS: usize = 100;
    const TIMES: usize = 3;
    let _turn = turns::of(100).await;
    let talkative = brief_with(|script| {
        script.otherwise = tone(660, 9_000, "a long list of times that nobody waits for");
    });
    let service = TestService::start(Options {
        toml: AGENTS.to_owned(),
        ..Options::default().model(talkative)
    })
    .await;
    let mut calls = Vec::new();
    for _ in 0..CALLERS {
        let mut line = service.line();
        line.to = TALKS.to_owned();
        let mut steps = vec![listen(), say("hello")];
        for _ in 0..TIMES {
            steps.extend([Step::WaitToInterrupt { after_ms: 700 }, say("yes")]);
        }
        steps.extend([Step::WaitToInterrupt { after_ms: 300 }, Step::HangUp]);
        calls.push(tokio::spawn(async move { line.call(caller(steps)).await }));
        // A crowd, not a choir: calls that begin in one millisecond are interrupted in one.
        tokio::time::sleep(Duration::from_millis(13)).await;
    }
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        assert_eq!(outcome.complaints(), []);
    }
    service.empty().await;
    let cleared = clears_within(&service, "+Inf").await;
    assert!(cleared >= (CALLERS * TIMES) as f64, "{cleared}");
    let mut median = "?";
    for seconds in [
        "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005",
    ] {
        median = seconds;
        if clears_within(&service, seconds).await >= cleared * 0.5 {
            break;
        }
    }
    let in_time = clears_within(&service, "0.005").await;
    // Without the control group of a gate a bucket of five milliseconds says nothing.
    assert!(
        !times::asserted() || in_time >= cleared * 0.99,
        "{in_time} of {cleared} within 5 ms"
    );
    for session in service.model.sessions() {
        assert_eq!(session.sent_of("error"), [] as [Value; 0]);
    }
    service.stop().await;
    println!(
        "{CALLERS} calls, {cleared} interruptions: {:.1} % cleared within 5 ms of the model's word (bar 99 %), half within {median} s",
        in_time * 100.0 / cleared
    );
}

/// How late the latest of a timer's ticks was: what this machine does to everybody at that time.
async fn latest_tick(during: Duration) -> Duration {
    let begin = tokio::time::Instant::now();
    let mut latest = Duration::ZERO;
    let mut due = begin;
    while due < begin + during {
        due += Duration::from_millis(5);
        tokio::time::sleep_until(due).await;
        latest = latest.max(due.elapsed());
    }
    latest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_hear_long_answers_without_a_gap() {
    let _turn = turns::of(CALLS).await;
    let service = service(Options::default()).await;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let mut line = service.line();
        line.to = TALKS.to_owned();
        let steps = [listen(), say("yes"), listen(), Step::HangUp];
        calls.push(tokio::spawn(async move { line.call(caller(steps)).await }));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let clock = tokio::spawn(latest_tick(Duration::from_secs(9)));
    let (mut gaps, mut gap_ms, mut heard_ms) = (0, 0, 0);
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        let stream = &outcome.streams[0];
        gaps += stream.underruns.count;
        gap_ms += stream.underruns.ms;
        for span in &stream.agent_speech {
            heard_ms += span.to_ms - span.from_ms;
        }
    }
    assert!(heard_ms > u64::from(CALLS) * 4_000, "{heard_ms}");
    let late = clock.await.unwrap();
    // Where the machine does not even let a timer run, the answers of the emulators were late, too.
    if times::asserted() && late < Duration::from_millis(50) {
        assert_eq!((gaps, gap_ms), (0, 0), "underruns and their length");
    }
    service.empty().await;
    service.stop().await;
    println!(
        "{CALLS} calls heard {} s of speech: {gaps} underruns, {gap_ms} ms of them (a timer beside them was late by {} ms at most)",
        heard_ms / 1_000,
        late.as_millis()
    );
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}
