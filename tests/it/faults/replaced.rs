//! F20: a second stream for a call: in the place of one that was lost, too late, and beside one that lives.

use std::time::{Duration, Instant};

use switchboard_kit::twilio::{CallEnd, Fault, Step};

use test_support::chaos_fixture::{
    behind_chaos, neighbours, noticed_nothing, talking_line, turn_with_neighbours,
};
use test_support::http::{Request, ring};
use test_support::phone::{Closed, Leg, sid};
use test_support::{
    ACCOUNT, Options, SOON, TestService, brief_with, caller, listen, say, times, tone, until,
};

/// A service whose agent greets for so long that a line can break in the middle of it.
async fn talkative() -> TestService {
    let model = brief_with(|script| script.greeting = tone(440, 6_000, "Hello. And so on."));
    TestService::start(Options::default().model(model)).await
}

/// A call in the middle of its greeting; its ticket, too.
async fn in_mid_greeting(service: &TestService, call: &str) -> (Leg, String) {
    let ticket = service.ticket(call).await;
    let mut leg = service.open(&ticket).await.expect("the ticket is good");
    leg.call = call.to_owned();
    leg.begin().await;
    stay_on(&mut leg, Duration::from_millis(600)).await;
    (leg, ticket)
}

/// Stays on the line; gives the messages of audio that came.
async fn stay_on(leg: &mut Leg, stay: Duration) -> usize {
    let (mut frames, mut heard) = (tokio::time::interval(Duration::from_millis(20)), 0);
    let until = Instant::now() + stay;
    while Instant::now() < until {
        tokio::select! {
            _ = frames.tick() => leg.media().await,
            message = leg.heard() => {
                let message = message.expect("the socket lives");
                heard += usize::from(message["event"] == "media");
                assert_eq!(message["streamSid"], leg.stream.as_str());
            }
        }
    }
    heard
}

/// What Twilio does when a stream is lost: it asks what follows, and opens the socket it is told of.
async fn replacement(service: &TestService, call: &str) -> Leg {
    let next = Request::signed("/after-stream", &ring(call, "+15550142"))
        .send(service.public)
        .await;
    service.follow(&next, call).await
}

async fn resumed(service: &TestService, result: &str) -> f64 {
    let name = format!("switchboard_resumes_total{{result=\"{result}\"}}");
    service.metric(&name).await
}

/// In dev mode a socket needs no ticket, and says itself whose it is.
#[tokio::test]
async fn f20_without_tickets_the_first_stream_keeps_the_call() {
    let dev = [
        ("SWITCHBOARD_DEV", "1"),
        ("SWITCHBOARD_ADMIN_TOKEN", ""),
        ("TWILIO_AUTH_TOKEN", ""),
    ];
    let mut options = Options::default();
    for (name, value) in dev {
        options = options.with(name, value);
    }
    let service = TestService::start(options).await;
    let mut first = Leg::open(service.public, "/media-stream", &[])
        .await
        .unwrap();
    first.begin().await;
    let path = format!("/admin/calls/{}", first.call);
    until("the first is known", SOON, async || {
        service.operator("GET", &path).await.status == 200
    })
    .await;
    let mut second = Leg::open(service.public, "/media-stream", &[])
        .await
        .unwrap();
    second.call.clone_from(&first.call);
    second.connected().await;
    second.start().await;
    assert_eq!(second.closed(SOON).await, Closed::Code(Some(1008)));
    assert!(stay_on(&mut first, Duration::from_millis(300)).await < 100);
    first.stop().await;
    service.empty().await;
    service.stop().await;
    println!(
        "F20 without tickets (dev): another socket's start for a living call 1008, the first goes on"
    );
}

/// Waits until the loss of the socket is noticed; gives the moment.
async fn is_away(service: &TestService, call: &str) -> Instant {
    let page = format!("/admin/calls/{call}");
    until("the loss is noticed", SOON, async || {
        service.operator("GET", &page).await.json()["state"] == "connected"
    })
    .await;
    Instant::now()
}

#[tokio::test]
async fn f20_a_socket_that_comes_in_time_takes_the_lost_ones_place_and_the_session_stays() {
    let service = talkative().await;
    for again_with_the_new_ticket in [true, false] {
        let call = sid("CA");
        let before = service.model.sessions().len();
        let (leg, ticket) = in_mid_greeting(&service, &call).await;
        let old_stream = leg.stream.clone();
        drop(leg);
        let lost = is_away(&service, &call).await;
        let mut leg = if again_with_the_new_ticket {
            replacement(&service, &call).await
        } else {
            let mut leg = service
                .open(&ticket)
                .await
                .expect("good for this call again");
            leg.call.clone_from(&call);
            leg
        };
        assert_ne!(leg.stream, old_stream);
        leg.begin().await;
        let begun = lost.elapsed();
        let mut waited = None;
        for _ in 0..500 {
            if stay_on(&mut leg, Duration::from_millis(20)).await > 0 {
                waited = Some(lost.elapsed());
                break;
            }
        }
        let waited = waited.expect("the agent is heard again");
        times::within(waited, Duration::from_secs(2), "the agent again");
        assert_eq!(
            service.model.sessions().len(),
            before + 1,
            "the session stays"
        );
        let path = format!("/admin/calls/{call}");
        let page = service.operator("GET", &path).await.json();
        assert_eq!(page["stream_sid"], leg.stream.as_str());
        assert_eq!(page["model"]["reconnects"], 0);
        assert_eq!(page["turns"][0]["cut"], true, "{page}");
        assert_eq!(service.calls().await["count"], 1, "one call, one row");
        // Neither ticket opens anything while the call lives.
        assert_eq!(service.open(&ticket).await.err(), Some(403));
        leg.stop().await;
        service.empty().await;
        println!(
            "F20 socket lost, another {} ms later ({}): adopted, same session, audio {} ms after the loss (bar 2 s)",
            begun.as_millis(),
            if again_with_the_new_ticket {
                "ticket of /after-stream"
            } else {
                "the ticket it had"
            },
            waited.as_millis()
        );
    }
    assert_eq!(resumed(&service, "adopted").await, 2.0);
    let ended = service.metrics().await.sum("switchboard_calls_total");
    assert_eq!(ended, 2.0, "each call ended once");
    service.stop().await;
}

/// Twilio's word of the broken stream comes on another connection, and may be there before the socket's own end.
#[tokio::test]
async fn f20_a_stream_error_that_overtakes_the_end_of_its_socket_ends_no_call() {
    let service = talkative().await;
    let call = sid("CA");
    let (leg, _) = in_mid_greeting(&service, &call).await;
    let fields = [
        ("AccountSid", ACCOUNT),
        ("CallSid", call.as_str()),
        ("StreamSid", leg.stream.as_str()),
        ("StreamEvent", "stream-error"),
        ("StreamError", "31924"),
    ];
    let told = Request::signed("/stream-status", &fields).send(service.public);
    assert_eq!(told.await.status, 204);
    drop(leg);
    is_away(&service, &call).await;
    let mut leg = replacement(&service, &call).await;
    leg.begin().await;
    assert!(stay_on(&mut leg, Duration::from_millis(800)).await > 0);
    assert_eq!(service.model.sessions().len(), 1, "the session stays");
    leg.stop().await;
    service.empty().await;
    service.stop().await;
}

/// The emulated Twilio loses sockets in the middle of an answer, and asks what follows as Twilio does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_callers_whose_sockets_break_hear_a_pause_and_the_others_nothing() {
    let _turn = turn_with_neighbours().await;
    const FAULTED: usize = 5;
    let (service, _chaos) = behind_chaos(brief_with(|script| {
        script.greeting = tone(440, 4_000, "Hello. And so on.");
    }))
    .await;
    let others = neighbours(&service, 45, Duration::from_secs(12));
    until("the neighbours are there", SOON * 2, async || {
        service.model.sessions().len() >= 45
    })
    .await;
    let calls: Vec<_> = (0..FAULTED)
        .map(|_| {
            let line = talking_line(&service);
            let steps = [
                Step::Wait { ms: 2_000 },
                Step::Fault(Fault::DropSocket),
                listen(),
                say("yes"),
                listen(),
                Step::HangUp,
            ];
            tokio::spawn(async move { line.call(caller(steps)).await })
        })
        .collect();
    let mut pauses = Vec::new();
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!(
            outcome.end,
            CallEnd::CallerHungUp,
            "{:?}",
            outcome.documents
        );
        // Twilio's own word about the socket that broke.
        let complaints = outcome.complaints();
        assert!(
            complaints.iter().all(|(code, _)| *code == 31_924),
            "{complaints:?}"
        );
        let [first, second] = outcome.streams.as_slice() else {
            panic!("{:?}", outcome.streams)
        };
        assert_eq!(second.agent_speech.len(), 2, "{:?}", second.agent_speech);
        let heard = second.started_ms + second.first_audio_ms.unwrap();
        pauses.push(heard - (first.started_ms + first.duration_ms));
    }
    pauses.sort_unstable();
    times::within_ms(pauses[FAULTED - 1], 2_000, &pauses);
    assert_eq!(
        service.model.sessions().len(),
        45 + FAULTED,
        "no session more"
    );
    assert_eq!(resumed(&service, "adopted").await, FAULTED as f64);
    let others = noticed_nothing(&others.await.unwrap());
    service.empty().await;
    let ended = service.metrics().await.sum("switchboard_calls_total");
    assert_eq!(ended, 45.0 + FAULTED as f64, "each call ended once");
    service.stop().await;
    println!(
        "F20 {FAULTED} sockets lost in mid-answer, Twilio asks what follows: agent again {pauses:?} ms after the loss (bar 2,000), \
         0 new sessions; {others}"
    );
}

#[tokio::test]
async fn f20_in_a_full_house_the_lost_sockets_place_is_kept() {
    let model = brief_with(|script| script.greeting = tone(440, 6_000, "Hello. And so on."));
    let options = Options::default().model(model);
    let service = TestService::start(options.with("SWITCHBOARD_MAX_CALLS", "1")).await;
    let call = sid("CA");
    let (leg, _) = in_mid_greeting(&service, &call).await;
    drop(leg);
    is_away(&service, &call).await;
    let another = service.ring(&sid("CA")).await;
    assert!(!another.text().contains("<Connect"), "{}", another.text());
    let mut leg = replacement(&service, &call).await;
    leg.begin().await;
    assert!(stay_on(&mut leg, Duration::from_secs(1)).await > 0);
    assert_eq!(service.calls().await["count"], 1);
    leg.stop().await;
    service.empty().await;
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    service.stop().await;
    println!(
        "F20 with all of 1 place taken: the lost socket's place is kept for its call, nobody else gets it"
    );
}

#[tokio::test]
async fn f20_the_session_is_closed_within_a_second_and_after_two_the_old_ticket_is_good_for_nothing()
 {
    let service = talkative().await;
    let call = sid("CA");
    let (leg, ticket) = in_mid_greeting(&service, &call).await;
    drop(leg);
    let lost = is_away(&service, &call).await;
    until("the model's session is closed", SOON, async || {
        service.model.session(1).unwrap().ended().is_some()
    })
    .await;
    let freed = lost.elapsed();
    times::within(freed, Duration::from_secs(1), "freed");
    service.empty().await;
    let over = lost.elapsed();
    // Its place is kept for two seconds, noticed a moment after they began.
    assert!(over >= Duration::from_millis(1_500), "{over:?}");
    times::within(over, Duration::from_millis(2_600), "the call's end");
    assert_eq!(service.open(&ticket).await.err(), Some(403), "used");
    let ended = "switchboard_calls_total{outcome=\"phone_lost\"}";
    assert_eq!(service.metric(ended).await, 1.0);
    // With a ticket of Twilio's next question the conversation goes on, in a session that was told of it.
    let mut leg = replacement(&service, &call).await;
    leg.begin().await;
    until("the agent is heard again", SOON, async || {
        leg.media().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        resumed(&service, "ok").await > 0.0
    })
    .await;
    leg.stop().await;
    service.empty().await;
    service.stop().await;
    println!(
        "F20 nobody came: session closed {} ms after the loss (bar 1 s), call over after {} ms (2 s); its old ticket refused, \
         a new one from /after-stream resumes it",
        freed.as_millis(),
        over.as_millis()
    );
}

#[tokio::test]
async fn f20_beside_a_stream_that_lives_there_is_no_second_one() {
    let service = talkative().await;
    let call = sid("CA");
    let (mut leg, ticket) = in_mid_greeting(&service, &call).await;
    assert_eq!(service.open(&ticket).await.err(), Some(403));
    // The socket of another call that names this one is closed, and this one lives.
    let mut thief = service.pick_up(&sid("CA")).await;
    thief.call.clone_from(&call);
    thief.connected().await;
    thief.start().await;
    assert_eq!(thief.closed(SOON).await, Closed::Code(Some(1008)));
    assert!(stay_on(&mut leg, Duration::from_millis(500)).await > 0);
    let again = leg.start_message();
    leg.send(&again).await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1008)));
    service.empty().await;
    service.stop().await;
    println!(
        "F20 beside a living stream: used ticket 403 before the upgrade, another socket's start 1008, a second start 1008"
    );
}
