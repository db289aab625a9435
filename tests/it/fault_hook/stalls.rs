//! A stall of each part: how long its caller hears nothing, who brings them back, and what the neighbours notice.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_kit::realtime::{Ended, Realtime, Session};
use switchboard_kit::twilio::load::LoadReport;
use switchboard_kit::twilio::{CallEnd, CallOutcome, CallProgress, Step, StreamEnd};

use test_support::chaos_fixture::{
    behind_chaos, neighbours, noticed_nothing, talking_line, turn_with_neighbours,
};
use test_support::faulted_call::{FaultedCall, a_moment, longest_gap_ms, operator};
use test_support::phone::{Closed, closed_with, sid};
use test_support::process_fixture::Folder;
use test_support::{
    Options, PUBLIC, SOON, TestService, brief, brief_with, listen, say, times, tone, until,
};

/// Neighbours beside each fault.
const OTHERS: u32 = 20;

struct Struck {
    outcome: CallOutcome,
    others: LoadReport,
    service: TestService,
}

/// A service that keeps its calls in that folder.
pub(crate) async fn kept_in(folder: &Folder, model: Realtime) -> TestService {
    let options = Options::default()
        .model(model)
        .with("SWITCHBOARD_STORE", "sqlite")
        .with("SWITCHBOARD_DATA_DIR", &folder.0.display().to_string());
    TestService::start(options).await
}

/// A call that meets a fault a second or two into a greeting of that length, and what its neighbours noticed.
async fn struck(fault: &str, greeting_ms: u64, steps: impl IntoIterator<Item = Step>) -> Struck {
    let model = brief_with(|script| script.greeting = tone(440, greeting_ms, "Hello."));
    let (service, _chaos) = behind_chaos(model).await;
    let others = neighbours(&service, OTHERS, Duration::from_secs(8));
    let faulted = FaultedCall::on(talking_line(&service), service.admin, "+15550142", steps).await;
    // The others are all there by then.
    a_moment().await;
    faulted.breaks(fault).await;
    let outcome = faulted.outcome().await;
    let others = others.await.unwrap();
    service.empty().await;
    until("every model session is closed", SOON, async || {
        let sessions = service.model.sessions();
        sessions.iter().all(|session| session.ended().is_some())
    })
    .await;
    Struck {
        outcome,
        others,
        service,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_holds_its_thread_is_a_pause_for_every_call_of_that_thread() {
    let _turn = turn_with_neighbours().await;
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let Struck {
        outcome,
        others,
        service,
    } = struck("{\"kind\":\"stall_step\",\"ms\":2000}", 5_000, steps).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.streams.len(), 1);
    let gap = longest_gap_ms(&outcome);
    times::within_ms(gap, 2_500, "gap");
    // Late, but there: nobody is led away.
    assert_eq!(others.failures, 0, "{others:#?}");
    let late = others.added_latency_ms;
    service.stop().await;
    println!(
        "a step that holds its thread for 2 s: its caller heard nothing for {gap} ms; of {OTHERS} neighbours on two threads \
         {} frames lost, added p50 {:.1} ms, max {:.0} ms",
        others.frames_lost, late.p50, late.max
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_stood_still_longer_than_a_dead_phone_leg_may_ends_no_call() {
    let _turn = turn_with_neighbours().await;
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let Struck {
        outcome,
        others,
        service,
    } = struck("{\"kind\":\"stall_step\",\"ms\":6000}", 5_000, steps).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{:?}", outcome.verbs);
    assert_eq!(outcome.streams.len(), 1);
    assert_eq!(others.failures, 0, "{others:#?}");
    // Nor is a model that was asked nothing meanwhile taken for one that does not answer.
    assert_eq!(service.model.sessions().len(), OTHERS as usize + 1);
    service.stop().await;
    println!(
        "a step that holds its thread for 6 s: its caller heard nothing for {} ms, {} of {OTHERS} neighbours went on",
        longest_gap_ms(&outcome),
        others.calls_completed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_no_messages_is_left_by_its_caller() {
    let _turn = turn_with_neighbours().await;
    let steps = [listen(), listen(), say("yes"), listen(), Step::HangUp];
    let Struck {
        outcome,
        others,
        service,
    } = struck("{\"kind\":\"stall_actor\",\"ms\":10000}", 2_000, steps).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{outcome:#?}");
    let [first, second] = outcome.streams.as_slice() else {
        panic!("{:?}", outcome.documents)
    };
    let left = closed_with(1011);
    assert_eq!((&first.end, &second.end), (&left, &StreamEnd::CallerHungUp));
    let gap = longest_gap_ms(&outcome);
    times::within_ms(gap, 4_500, "gap");
    let others = noticed_nothing(&others);
    let restarts = service
        .metric("switchboard_call_restarts_total{reason=\"stuck\"}")
        .await;
    assert_eq!(restarts, 1.0);
    service.stop().await;
    println!(
        "an actor that takes no messages for 10 s: its caller on another after {gap} ms; {others}"
    );
}

/// Twilio says that the call is over while its actor takes no messages: it tells its end when it comes to itself, and
/// nobody tells another one meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_stands_still_when_it_is_over_has_one_end() {
    let _turn = turn_with_neighbours().await;
    let model = brief_with(|script| script.greeting = tone(440, 2_000, "Hello."));
    let (service, _chaos) = behind_chaos(model).await;
    let mut line = talking_line(&service);
    line.status_callback = Some(format!("{PUBLIC}/call-status"));
    line.status_events = vec![CallProgress::Completed];
    let steps = [listen(), Step::HangUp];
    let faulted = FaultedCall::on(line, service.admin, "+15550142", steps).await;
    // Longer than until the caller hangs up, and until calls that nobody owns would have been told as over.
    faulted
        .breaks("{\"kind\":\"stall_actor\",\"ms\":5500}")
        .await;
    let outcome = faulted.outcome().await;
    assert_eq!(outcome.callbacks.last().unwrap().answer, Ok(204));
    service.empty().await;
    a_moment().await;
    let ends = |outcome: &str| format!("switchboard_calls_total{{outcome=\"{outcome}\"}}");
    assert_eq!(service.metric(&ends("gone_meanwhile")).await, 0.0);
    assert_eq!(service.metric(&ends("caller_hung_up")).await, 1.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_session_that_does_nothing_is_replaced() {
    let _turn = turn_with_neighbours().await;
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let Struck {
        outcome,
        others,
        service,
    } = struck("{\"kind\":\"stall_model\",\"ms\":10000}", 2_000, steps).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{outcome:#?}");
    assert_eq!(outcome.streams.len(), 1);
    let gap = longest_gap_ms(&outcome);
    times::within_ms(gap, 4_500, "gap");
    let others = noticed_nothing(&others);
    let sessions = service.model.sessions();
    let by_us = |session: &&switchboard_kit::realtime::Session| {
        matches!(session.ended(), Some(Ended::ByClient(_) | Ended::Lost(_)))
    };
    assert_eq!(sessions.iter().filter(by_us).count(), sessions.len());
    assert_eq!(sessions.len(), OTHERS as usize + 2);
    service.stop().await;
    println!(
        "a model session that does nothing for 10 s: longest gap {gap} ms, another session; {others}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_session_that_does_nothing_costs_its_call_its_model_after_five_seconds() {
    let _turn = turn_with_neighbours().await;
    let steps = [Step::Wait { ms: 20_000 }];
    let model = brief_with(|script| script.greeting = tone(440, 2_000, "Hello."));
    let (service, _chaos) = behind_chaos(model).await;
    let others = neighbours(&service, OTHERS, Duration::from_secs(8));
    let faulted = FaultedCall::on(talking_line(&service), service.admin, "+15550142", steps).await;
    a_moment().await;
    let sessions = service.model.sessions();
    let talks = |session: &&Session| !session.received_of("response.create").is_empty();
    let session = sessions.iter().find(talks).unwrap();
    faulted
        .breaks("{\"kind\":\"stall_phone\",\"ms\":7000}")
        .await;
    let since = Instant::now();
    let model_ends = async {
        until("the model's session is closed", SOON, async || {
            session.ended().is_some()
        })
        .await;
        since.elapsed()
    };
    let (outcome, model_took) = tokio::join!(faulted.outcome(), model_ends);
    assert!(matches!(session.ended(), Some(Ended::ByClient(_))));
    // Five seconds without a frame, and the second in which nothing of a call may cost money after its end.
    assert!(model_took >= Duration::from_millis(4_900), "{model_took:?}");
    times::within(model_took, Duration::from_secs(6), "the session's end");
    let others = others.await.unwrap();
    service.empty().await;
    // Nobody can end a socket for a session that does nothing: the caller is looked after when it comes to itself.
    let stream = &outcome.streams[0];
    assert_eq!(outcome.dialled(), [] as [&str; 0]);
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    let others = noticed_nothing(&others);
    service.stop().await;
    println!(
        "a phone session that does nothing for 7 s: the watchdog ended the call, its caller was on the fallback when it came to \
         itself, after {} ms in all; its model's session was closed after {} ms (bar 6,000); {others}",
        stream.duration_ms,
        model_took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_costs_no_call_its_caller() {
    let _turn = turn_with_neighbours().await;
    let folder = Folder::new();
    let model = brief_with(|script| script.greeting = tone(440, 2_000, "Hello."));
    let service = kept_in(&folder, model).await;
    let steps = || [listen(), say("yes"), listen(), Step::HangUp];
    let one = FaultedCall::on(service.line(), service.admin, "+15550142", steps()).await;
    let body = "{\"kind\":\"stall_store\",\"ms\":6000}";
    let order = operator(service.admin, "POST", "/admin/fault", body).await;
    assert_eq!(order.status, 202);
    // One that comes meanwhile, and one that has to come back meanwhile.
    let stays = [
        listen(),
        say("yes"),
        listen(),
        // The store answers again, and the call is written down.
        Step::Wait { ms: 5_000 },
        say("yes"),
        listen(),
        Step::HangUp,
    ];
    let two = FaultedCall::on(service.line(), service.admin, "+15550143", stays).await;
    two.breaks("{\"kind\":\"panic_unguarded\"}").await;
    let (one, two) = (one.outcome().await, two.outcome().await);
    for outcome in [&one, &two] {
        assert_eq!(outcome.end, CallEnd::CallerHungUp, "{outcome:#?}");
        assert!(outcome.dialled().is_empty());
    }
    assert_eq!((one.streams.len(), two.streams.len()), (1, 2));
    // Whoever took the call over before the store had answered is its owner all the same.
    let superseded = service
        .metric("switchboard_calls_total{outcome=\"superseded\"}")
        .await;
    assert_eq!(superseded, 0.0);
    let file = folder.0.join("calls.sqlite");
    let store = rusqlite::Connection::open(file).unwrap();
    let sql = "SELECT count(*) FROM calls WHERE checkpoint IS NOT NULL";
    until("nothing is left in the store", SOON, async || {
        store
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
            == 0
    })
    .await;
    let webhook = two.documents[0].took_ms;
    times::within_ms(webhook, 500, "webhook");
    let (first, second) = (&two.streams[0], &two.streams[1]);
    let heard = second.started_ms + second.first_audio_ms.unwrap();
    let gap = heard - (first.started_ms + first.duration_ms);
    times::within_ms(gap, 3_000, "gap");
    service.empty().await;
    service.stop().await;
    println!(
        "a store that stands still for 6 s: a call that was there heard nothing for {} ms at most; one that came was answered \
         after {webhook} ms, and when its actor died was back after {gap} ms, without its history",
        longest_gap_ms(&one)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_sent_to_a_call_that_takes_no_messages_fill_no_memory() {
    let _turn = turn_with_neighbours().await;
    let service = TestService::start(Options::default().model(brief())).await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    until("the call is in media", SOON, async || {
        service.calls().await["calls"][0]["state"] == "media"
    })
    .await;
    let stall = "{\"kind\":\"stall_actor\",\"ms\":3000}";
    let path = format!("/admin/calls/{}/fault", leg.call);
    assert_eq!(
        operator(service.admin, "POST", &path, stall).await.status,
        202
    );
    a_moment().await;
    let mark = json!({"event": "mark", "streamSid": leg.stream, "mark": {"name": "never sent"}});
    for _ in 0..2_000 {
        leg.send(&mark).await;
    }
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1011)));
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_call_restarts_total{reason=\"stuck\"}"),
        1.0
    );
    // What the call finds when it comes to itself: its mailbox, and no more.
    let waited = scrape.violations("twilio", "unknown_mark");
    assert!((1.0..=200.0).contains(&waited), "{waited}");
    service.stop().await;
    println!(
        "2,000 marks to a stuck call: {waited} waited for it, bound 150 and what was under way; closed with 1011"
    );
}
