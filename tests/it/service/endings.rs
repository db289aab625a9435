//! Legs that end badly: whatever goes first, both sockets are closed within a second and the call ends once.

use std::time::{Duration, Instant};

use switchboard_kit::realtime::{Ended, Fault as ModelFault, When};
use switchboard_kit::twilio::{CallEnd, CallProgress, Fault, Happening, PhoneEvent, Step};

use test_support::http::{Request, call_over};
use test_support::phone::{Closed, Leg, sid};
use test_support::{Options, SOON, TestService, brief_with, caller, times, tone, until};

/// Money runs while a model session is open.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A service whose agent speaks for ten seconds.
async fn service() -> TestService {
    let model = brief_with(|script| script.greeting = tone(440, 10_000, "Hello."));
    TestService::start(Options::default().model(model)).await
}

/// Waits until the model has nobody on the line; gives the time it took.
async fn model_is_free(service: &TestService) -> Duration {
    let began = Instant::now();
    until("every model session is closed", SOON, async || {
        service
            .model
            .sessions()
            .iter()
            .all(|session| session.ended().is_some())
    })
    .await;
    began.elapsed()
}

/// The call is over, once, for this reason; nothing of it is left.
async fn ended_once(service: &TestService, outcome: &str) {
    service.empty().await;
    let scrape = service.metrics().await;
    let name = format!("switchboard_calls_total{{outcome=\"{outcome}\"}}");
    assert_eq!(scrape.get(&name), 1.0, "{outcome}");
    assert_eq!(scrape.sum("switchboard_calls_total"), 1.0, "{outcome}");
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0, "{outcome}");
}

/// A call by hand, with the agent speaking.
async fn while_the_agent_speaks(service: &TestService) -> Leg {
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    while leg.heard().await.expect("the agent speaks")["event"] != "media" {}
    leg
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_answer_closes_both_sockets() {
    let service = service().await;
    let mut leg = while_the_agent_speaks(&service).await;
    assert_eq!(
        service.model.session(1).unwrap().responses()[0].status,
        "in_progress"
    );
    let began = Instant::now();
    leg.stop().await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    let phone = began.elapsed();
    let model = phone + model_is_free(&service).await;
    times::within(phone.max(model), AT_ONCE, (phone, model));
    ended_once(&service, "caller_hung_up").await;
    service.stop().await;
    println!(
        "stop in an answer: media socket closed after {phone:?}, model session after {model:?}, bar 1 s"
    );
}

#[tokio::test]
async fn a_socket_that_breaks_without_a_stop_frees_the_model() {
    let service = service().await;
    let leg = while_the_agent_speaks(&service).await;
    drop(leg);
    let model = model_is_free(&service).await;
    times::within(model, AT_ONCE, "model session's end");
    ended_once(&service, "phone_lost").await;
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_is_gone_before_the_model_answers_leaves_nothing_behind() {
    let service = service().await;
    service.model.faults().every(ModelFault::HangHandshake);
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    until("the model is being dialled", SOON, async || {
        service.model.sessions().len() == 1
    })
    .await;
    leg.stop().await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    let model = model_is_free(&service).await;
    times::within(model, AT_ONCE, "model session's end");
    ended_once(&service, "caller_hung_up").await;
    assert_eq!(
        service.model.sessions().len(),
        1,
        "nobody dials for a caller who is gone"
    );
    service.stop().await;
}

#[tokio::test]
async fn an_operator_hangs_up_while_the_model_is_away() {
    let service = service().await;
    service.model.faults().nth(
        1,
        ModelFault::Reset {
            when: When::AfterDeltas(2),
        },
    );
    service.model.faults().nth(2, ModelFault::HangHandshake);
    let mut leg = while_the_agent_speaks(&service).await;
    let page = format!("/admin/calls/{}", leg.call);
    until("the model is dialled again", SOON, async || {
        service.operator("GET", &page).await.json()["model"]["state"] == "reconnecting"
            && service.model.sessions().len() == 2
    })
    .await;
    let began = Instant::now();
    assert_eq!(
        service
            .operator("POST", &format!("{page}/hangup"))
            .await
            .status,
        202
    );
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    model_is_free(&service).await;
    times::within(began.elapsed(), AT_ONCE, "both sockets' end");
    ended_once(&service, "operator_hang_up").await;
    service.stop().await;
}

#[tokio::test]
async fn the_end_of_a_call_at_twilio_ends_a_media_socket_that_outlived_it() {
    let service = service().await;
    let mut leg = while_the_agent_speaks(&service).await;
    let began = Instant::now();
    assert_eq!(
        Request::signed("/call-status", &call_over(&leg.call))
            .send(service.public)
            .await
            .status,
        204
    );
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    model_is_free(&service).await;
    times::within(began.elapsed(), AT_ONCE, "both sockets' end");
    ended_once(&service, "call_over").await;
    service.stop().await;
}

#[tokio::test]
async fn a_phone_leg_that_sends_no_audio_for_five_seconds_is_gone() {
    let service = service().await;
    let mut line = service.line();
    line.status_callback = Some(format!("{}/call-status", test_support::PUBLIC));
    line.status_events = vec![CallProgress::Completed];
    let (observer, mut events) = tokio::sync::mpsc::unbounded_channel();
    line.observer = Some(observer);
    let steps = [Step::Wait { ms: 1_000 }, Step::Fault(Fault::Stall)];
    let began = Instant::now();
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    // The socket is open and read all the while; only nothing comes on it.
    let mut stream_ended = None;
    while let Some(PhoneEvent { what, .. }) = events.recv().await {
        if matches!(what, Happening::StreamEnded { .. }) {
            stream_ended = Some(began.elapsed());
            break;
        }
    }
    let closed = stream_ended.expect("the service ends the stream");
    let model = model_is_free(&service).await;
    let outcome = call.await.unwrap();
    let silent = closed - Duration::from_millis(outcome.streams[0].started_ms + 1_000);
    assert!(silent >= Duration::from_millis(4_800), "{silent:?}");
    times::within(silent, Duration::from_secs(6), "silent phone leg");
    times::within(model, AT_ONCE, "model session's end");
    // The caller may still be there, and is looked after.
    assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
    assert_eq!(outcome.end, CallEnd::DocumentEnded);
    ended_once(&service, "phone_stalled").await;
    let session = service.model.session(1).unwrap();
    assert!(
        matches!(session.ended(), Some(Ended::ByClient(_))),
        "{:?}",
        session.ended()
    );
    service.stop().await;
    println!(
        "a silent phone leg: given up after {silent:?} (bar 5 s), model session closed {model:?} later (bar 1 s)"
    );
}

#[tokio::test]
async fn a_line_that_breaks_while_the_caller_is_there_is_connected_again() {
    let service = service().await;
    let steps = [
        Step::Wait { ms: 800 },
        Step::Fault(Fault::DropSocket),
        Step::Wait { ms: 1_500 },
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let [first, second] = outcome.streams.as_slice() else {
        panic!("{:?}", outcome.streams)
    };
    assert_ne!(first.url, second.url, "a used ticket opens nothing");
    assert!(second.media_bytes > 0, "the agent is there again");
    service.empty().await;
    let scrape = service.metrics().await;
    // One call on two sockets, with one session and one end.
    assert_eq!(
        scrape.get("switchboard_resumes_total{result=\"adopted\"}"),
        1.0
    );
    assert_eq!(scrape.sum("switchboard_calls_total"), 1.0);
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        1.0
    );
    assert_eq!(service.model.sessions().len(), 1);
    service.stop().await;
}
