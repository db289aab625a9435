//! F7, F8 and the callback: a phone leg that stalls, does not read, or is said by Twilio to have failed.
//!
//! Memory is measured in a process of its own, service and emulators together. The release gate's size:
//! `cargo test --test release phone_faults -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use switchboard_kit::realtime::Recording;
use switchboard_kit::twilio::{CallOutcome, Fault, Happening, PhoneEvent, Scripted, Step};
use tokio::task::JoinHandle;

use test_support::chaos_fixture::{
    behind_chaos, neighbours, noticed_nothing, talking_line, turn_with_neighbours,
};
use test_support::phone::closed_with;
use test_support::proc::memory_kib;
use test_support::{SOON, TestService, brief_with, caller, times, tone, turns, until};

const FAULTED: usize = 5;

/// Callers whose line breaks while the agent speaks; gives the moment each stream ended, too.
fn broken_lines(
    service: &TestService,
    callers: usize,
    fault: &Fault,
) -> Vec<JoinHandle<(Instant, CallOutcome)>> {
    let calls = (0..callers).map(|_| {
        let mut line = talking_line(service);
        let (observer, mut events) = tokio::sync::mpsc::unbounded_channel();
        line.observer = Some(observer);
        line.status_callback = Some(format!("{}/call-status", test_support::PUBLIC));
        let steps = [Step::Wait { ms: 1_000 }, Step::Fault(fault.clone())];
        tokio::spawn(async move {
            let ended = tokio::spawn(async move {
                let mut at = Instant::now();
                while let Some(PhoneEvent { what, .. }) = events.recv().await {
                    if matches!(what, Happening::StreamEnded { .. }) {
                        at = Instant::now();
                    }
                }
                at
            });
            let outcome = line.call(Scripted::new(steps, 90_000)).await;
            drop(line);
            (ended.await.unwrap(), outcome)
        })
    });
    calls.collect()
}

/// How long after a stream's end the last model session of the broken lines was closed.
async fn model_is_free(service: &TestService, theirs: Range<usize>) -> Duration {
    let began = Instant::now();
    until("their model sessions are closed", SOON, async || {
        let sessions = service.model.sessions();
        sessions[theirs.clone()]
            .iter()
            .all(|session| session.ended().is_some())
    })
    .await;
    began.elapsed()
}

async fn outcomes(service: &TestService, name: &str) -> f64 {
    service
        .metric(&format!("switchboard_calls_total{{outcome=\"{name}\"}}"))
        .await
}

/// Resident memory of this process, service and emulators together, in KiB.
fn resident_kib() -> u64 {
    memory_kib(std::process::id(), "VmRSS:")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_a_dead_phone_leg_ends_after_five_seconds_and_its_model_session_with_it() {
    let _turn = turn_with_neighbours().await;
    let (service, _chaos) = behind_chaos(brief_with(|script| {
        script.greeting = tone(440, 10_000, "Hello.")
    }))
    .await;
    let calls = broken_lines(&service, FAULTED, &Fault::Stall);
    until("they are connected", SOON, async || {
        service.model.sessions().len() == FAULTED
    })
    .await;
    let others = neighbours(&service, 45, Duration::from_secs(6));
    let mut lasted = Vec::new();
    for call in calls {
        let (_, outcome) = call.await.unwrap();
        lasted.push(outcome.streams[0].duration_ms - 1_000);
    }
    let free = model_is_free(&service, 0..FAULTED).await;
    times::within(free, Duration::from_secs(1), "free");
    // Not before five seconds without a frame.
    assert!(lasted.iter().all(|ms| *ms >= 4_800), "{lasted:?}");
    let longest = lasted.iter().max().unwrap();
    times::within_ms(*longest, 6_000, &lasted);
    assert_eq!(outcomes(&service, "phone_stalled").await, FAULTED as f64);
    let others = noticed_nothing(&others.await.unwrap());
    service.stop().await;
    println!(
        "F7 {FAULTED} dead phone legs: ended {lasted:?} ms after the last frame (bar 5 s), model sessions closed at most \
         {free:?} later (bar 1 s); {others}"
    );
}

/// So many callers take nothing for so long; gives the figures.
async fn nobody_reads(callers: usize, unread: Duration, others: u32) -> String {
    // Two minutes of greeting for callers who take none of it; what the emulator records of it would be counted, too.
    let model = brief_with(|script| script.greeting = tone(440, 60_000, "Hello."));
    let (service, _chaos) = behind_chaos(model.recording(Recording::Counts)).await;
    let others_probe = neighbours(&service, others, Duration::from_secs(18));
    let others = others as usize;
    until("the neighbours are there", SOON * 2, async || {
        service.model.sessions().len() == others
    })
    .await;
    // Their own memory has grown by the time they send what they send all the time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let calls = broken_lines(&service, callers, &Fault::StopReading(unread));
    until("they are connected", SOON, async || {
        service.model.sessions().len() == others + callers
    })
    .await;
    let since = Instant::now();
    // What a call costs that is read, the emulators' share included, is not what is asked for here.
    let before = resident_kib();
    let mut most = 0;
    let given_up = times::allowed(Duration::from_secs(18));
    until("they are given up", given_up, async || {
        most = most.max(resident_kib());
        outcomes(&service, "not_played").await == callers as f64
    })
    .await;
    let took = since.elapsed();
    times::within(took, Duration::from_secs(13), "took");
    let grown = most.saturating_sub(before) / callers as u64;
    let free = model_is_free(&service, others..others + callers).await;
    times::within(free, Duration::from_secs(1), "free");
    assert!(grown <= 1_024, "{grown} KiB a call");
    let neighbours = noticed_nothing(&others_probe.await.unwrap());
    let mut ends = BTreeMap::new();
    for call in calls {
        let (_, outcome) = call.await.unwrap();
        *ends
            .entry(format!("{:?}", outcome.streams[0].end))
            .or_insert(0) += 1;
    }
    // Whoever reads again, however late, finds the close frame behind what was sent before.
    let told = closed_with(1013);
    assert_eq!(ends.get(&format!("{told:?}")), Some(&callers), "{ends:?}");
    service.stop().await;
    format!(
        "F8 {callers} callers who do not read for {unread:?}: given up {took:?} after they were connected with 1013, {grown} \
         KiB a call more (bar 1,024, everything in this process counted); {neighbours}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f8_a_phone_leg_that_does_not_read_costs_bounded_memory_and_ends() {
    let _turn = turn_with_neighbours().await;
    if !times::is_own_process(
        "phone_faults::f8_a_phone_leg_that_does_not_read_costs_bounded_memory_and_ends",
    )
    .await
    {
        return;
    }
    println!("{}", nobody_reads(20, Duration::from_secs(20), 30).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the release gate's size"]
async fn f8_twenty_callers_who_do_not_read_for_a_minute() {
    let _gate = times::release_gate().await;
    let _alone = turns::alone().await;
    if !times::is_own_process("phone_faults::f8_twenty_callers_who_do_not_read_for_a_minute").await
    {
        return;
    }
    println!("{}", nobody_reads(20, Duration::from_secs(60), 30).await);
}

/// A slow reader speaks into the agent's words: what it has not taken of them by then it never gets.
#[tokio::test]
async fn f8_audio_from_before_an_interruption_is_not_sent_to_a_slow_reader() {
    let (service, _chaos) = behind_chaos(brief_with(|script| {
        script.greeting = tone(440, 10_000, "Hello.")
    }))
    .await;
    let line = talking_line(&service);
    let unread = Duration::from_secs(3);
    let steps = [
        Step::Wait { ms: 1_000 },
        Step::Fault(Fault::StopReading(unread)),
        Step::Wait { ms: 1_000 },
        test_support::say("yes"),
        Step::Wait { ms: 4_000 },
        Step::HangUp,
    ];
    let outcome = line.call(caller(steps)).await;
    let speech = &outcome.streams[0].agent_speech;
    let heard_ms: u64 = speech.iter().map(|span| span.to_ms - span.from_ms).sum();
    // A second before, the lead inside the socket, and half a second of answer; of ten seconds of greeting.
    assert!((1_000..8_000).contains(&heard_ms), "{speech:?}");
    times::within_ms(heard_ms, 4_000, speech);
    service.empty().await;
    service.stop().await;
    println!(
        "F8 interrupted while they did not read for {unread:?}: {heard_ms} ms of the agent reached them, of 10,000 of greeting and \
         500 of answer"
    );
}

#[tokio::test]
async fn a_stream_error_told_by_callback_ends_the_stream_at_once_and_a_warning_does_not() {
    let (service, _chaos) = behind_chaos(brief_with(|script| {
        script.greeting = tone(440, 6_000, "Hello.")
    }))
    .await;
    let mut line = talking_line(&service);
    let warning = Fault::StreamError("31951 - Stream - Protocol - Invalid Message".to_owned());
    let error = Fault::StreamError("31924 - Stream - WebSocket - Protocol Error".to_owned());
    line.record = false;
    let steps = [
        Step::Wait { ms: 500 },
        Step::Fault(warning),
        Step::Wait { ms: 1_500 },
        Step::Fault(error),
        Step::Wait { ms: 1_500 },
        Step::HangUp,
    ];
    let outcome = line.call(caller(steps)).await;
    assert_eq!(outcome.streams.len(), 2, "the caller is connected again");
    let lasted = outcome.streams[0].duration_ms;
    assert!(lasted >= 1_950, "ended by the error: {lasted} ms");
    times::within_ms(lasted, 3_000, "the stream after its error");
    assert_eq!(outcomes(&service, "stream_failed").await, 1.0);
    service.empty().await;
    service.stop().await;
    println!(
        "F7 stream-error callback: the stream ended {} ms after it, and the caller was connected again",
        lasted - 2_000
    );
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}
