//! F19: ends that race: both sockets are closed within a second, and the call ends once.

use std::time::{Duration, Instant};

use switchboard_kit::realtime::{Fault, When};

use test_support::http::Request;
use test_support::phone::{Closed, Leg, sid};
use test_support::{ADMIN_TOKEN, Options, SOON, TestService, brief_with, times, tone, until};

/// How a call was ended, and how long its model sessions outlived that.
struct Race {
    what: &'static str,
    freed: Duration,
    outcome: String,
}

async fn talkative() -> TestService {
    let model = brief_with(|script| script.greeting = tone(440, 6_000, "Hello. And so on."));
    TestService::start(Options::default().model(model)).await
}

/// A call whose agent speaks.
async fn spoken_to(service: &TestService) -> Leg {
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    hears(&mut leg).await;
    leg
}

async fn hears(leg: &mut Leg) {
    loop {
        let message = leg.heard().await.expect("the socket lives");
        if message["event"] == "media" {
            return;
        }
    }
}

/// Everything of the one call of this service is over: once, under one name, within a second.
async fn ended_once(service: TestService, what: &'static str, since: Instant) -> Race {
    until("the model is let go", SOON, async || {
        let sessions = service.model.sessions();
        sessions.iter().all(|session| session.ended().is_some())
    })
    .await;
    let freed = since.elapsed();
    times::within(freed, Duration::from_secs(1), what);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.sum("switchboard_calls_total"),
        1.0,
        "{what}: one end"
    );
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    let names = scrape.names("switchboard_calls_total").into_iter();
    let mut ends = names.filter(|name| scrape.get(name) > 0.0);
    let outcome = ends.next().unwrap().to_owned();
    assert_eq!(ends.next(), None, "{what}: one name");
    service.stop().await;
    let outcome = outcome.split('"').nth(1).unwrap().to_owned();
    Race {
        what,
        freed,
        outcome,
    }
}

async fn stop_in_mid_answer() -> Race {
    let service = talkative().await;
    let mut leg = spoken_to(&service).await;
    leg.stop().await;
    let since = Instant::now();
    leg.closed(SOON).await;
    ended_once(service, "stop in mid-answer", since).await
}

async fn hang_up_while_reconnecting() -> Race {
    let service = talkative().await;
    let mut leg = spoken_to(&service).await;
    service.model.faults().every(Fault::HangHandshake);
    service
        .model
        .faults()
        .live(Fault::Reset { when: When::Now });
    until("another session is dialled", SOON, async || {
        service.model.sessions().len() == 2
    })
    .await;
    let path = format!("/admin/calls/{}/hangup", leg.call);
    let reply = service.operator("POST", &path).await;
    assert_eq!(reply.status, 202);
    let since = Instant::now();
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    ended_once(service, "hangup while the model is dialled again", since).await
}

async fn gone_in_setup(with_stop: bool) -> Race {
    let service = talkative().await;
    service.model.faults().every(Fault::HangHandshake);
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.connected().await;
    until("the model is dialled", SOON, async || {
        service.model.sessions().len() == 1
    })
    .await;
    let what = if with_stop {
        leg.stop().await;
        "stop before start"
    } else {
        drop(leg);
        "gone before start"
    };
    let since = Instant::now();
    ended_once(service, what, since).await
}

async fn transfer_against_hang_up() -> Race {
    let service = talkative().await;
    let mut leg = spoken_to(&service).await;
    let path = format!("/admin/calls/{}/transfer", leg.call);
    let sent = Request::new("POST", &path)
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .header("Content-Type", "application/json")
        .body(r#"{"to":"+15550123"}"#)
        .send(service.admin);
    let (transferred, ()) = tokio::join!(sent, leg.stop());
    // Whoever was first: done, too late, or not there any more.
    assert!(
        [202, 404, 409].contains(&transferred.status),
        "{}",
        transferred.text()
    );
    let since = Instant::now();
    leg.closed(SOON).await;
    ended_once(service, "transfer against stop", since).await
}

async fn hang_up_against_stop() -> Race {
    let service = talkative().await;
    let mut leg = spoken_to(&service).await;
    let path = format!("/admin/calls/{}/hangup", leg.call);
    let (hung_up, ()) = tokio::join!(service.operator("POST", &path), leg.stop());
    assert!([202, 404, 409].contains(&hung_up.status));
    let since = Instant::now();
    leg.closed(SOON).await;
    ended_once(service, "hangup against stop", since).await
}

#[tokio::test]
async fn f19_ends_that_race_close_both_sockets_within_a_second_and_count_once() {
    for race in [
        stop_in_mid_answer().await,
        hang_up_while_reconnecting().await,
        gone_in_setup(true).await,
        gone_in_setup(false).await,
        transfer_against_hang_up().await,
        hang_up_against_stop().await,
    ] {
        println!(
            "F19 {}: ended once as {}, model let go {} ms after it (bar 1 s)",
            race.what,
            race.outcome,
            race.freed.as_millis()
        );
    }
}
