//! What Twilio's messages must name, and in which order they may come.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_kit::twilio::{CallEnd, Opening, Step};

use test_support::phone::{Closed, Leg, sid};
use test_support::{Options, SOON, TestService, brief, caller, listen, times, until};

async fn service() -> TestService {
    TestService::start(Options::default().model(brief())).await
}

/// Waits until a broken rule was counted so many times.
async fn counted(service: &TestService, kind: &str, times: f64) {
    let what = format!("{kind} is counted {times} times");
    until(&what, SOON, async || {
        service.metrics().await.violations("twilio", kind) >= times
    })
    .await;
    assert_eq!(
        service.metrics().await.violations("twilio", kind),
        times,
        "{kind}"
    );
}

/// The agent is heard and answers: the call is none the worse for what happened before.
async fn goes_on(service: &TestService, leg: &mut Leg) {
    leg.media().await;
    let played = async {
        loop {
            match leg.heard().await {
                Some(message) if message["event"] == "media" => return,
                Some(_) => {}
                None => panic!("the service closed the media socket"),
            }
        }
    };
    tokio::time::timeout(SOON, played)
        .await
        .expect("the agent is heard");
    let row = service.calls().await["calls"][0].clone();
    assert_eq!(row["state"], "media", "{row:#}");
}

/// The socket was closed with this code and the call counted with this outcome; nothing is left of it.
async fn ended(service: &TestService, leg: &mut Leg, code: u16, outcome: &str) {
    assert_eq!(
        leg.closed(SOON).await,
        Closed::Code(Some(code)),
        "{outcome}"
    );
    service.empty().await;
    let name = format!("switchboard_calls_total{{outcome=\"{outcome}\"}}");
    assert_eq!(service.metric(&name).await, 1.0, "{name}");
    until("the model session is closed", SOON, async || {
        service
            .model
            .sessions()
            .iter()
            .all(|session| session.ended().is_some())
    })
    .await;
}

#[tokio::test]
async fn connected_twice_is_counted_and_the_call_goes_on() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.connected().await;
    leg.connected().await;
    leg.start().await;
    leg.connected().await;
    counted(&service, "connected_again", 2.0).await;
    goes_on(&service, &mut leg).await;
    service.stop().await;
}

#[tokio::test]
async fn start_without_connected_is_counted_and_the_call_goes_on() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.start().await;
    counted(&service, "start_before_connected", 1.0).await;
    goes_on(&service, &mut leg).await;
    service.stop().await;
}

#[tokio::test]
async fn media_before_start_ends_the_call() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.connected().await;
    leg.media().await;
    ended(&service, &mut leg, 1008, "media_before_start").await;
    service.stop().await;
}

#[tokio::test]
async fn a_second_start_ends_the_call() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    leg.start().await;
    ended(&service, &mut leg, 1008, "second_start").await;
    service.stop().await;
}

#[tokio::test]
async fn a_socket_without_start_is_closed_after_five_seconds() {
    let service = service().await;
    let (mut mute, mut half) = (
        service.pick_up(&sid("CA")).await,
        service.pick_up(&sid("CA")).await,
    );
    half.connected().await;
    let began = Instant::now();
    let (first, second) = tokio::join!(mute.closed(SOON), half.closed(SOON));
    let took = began.elapsed();
    assert_eq!(
        (first, second),
        (Closed::Code(Some(1008)), Closed::Code(Some(1008)))
    );
    assert!(took >= Duration::from_millis(4_500), "{took:?}");
    times::within(took, Duration::from_secs(6), "no start");
    service.empty().await;
    assert_eq!(
        service
            .metric("switchboard_calls_total{outcome=\"no_start\"}")
            .await,
        2.0
    );
    service.stop().await;
    println!("two sockets without start: closed after {took:?}, bar 5 s");
}

/// What is said on another stream: a sound that no silence holds.
const FOREIGN_VOICE: u8 = 0x55;

#[tokio::test]
async fn what_names_another_stream_is_dropped_and_counted() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    let other = sid("MZ");
    for _ in 0..3 {
        leg.sound_on(&other, FOREIGN_VOICE).await;
    }
    leg.send(&json!({"event": "dtmf", "streamSid": other, "dtmf": {"track": "inbound_track", "digit": "1"}})).await;
    leg.send(&json!({"event": "mark", "streamSid": other, "mark": {"name": "m0-1"}}))
        .await;
    // Were it believed, the call would be over.
    leg.send(&json!({"event": "stop", "streamSid": other, "stop": {}}))
        .await;
    counted(&service, "foreign_stream", 6.0).await;
    goes_on(&service, &mut leg).await;
    // Silence may stand in the place of what was dropped, by the timestamps; the foreign voice may not.
    let heard_by_model = service.model.session(1).unwrap().appended();
    assert!(!heard_by_model.contains(&FOREIGN_VOICE));
    assert!(
        heard_by_model.len() <= 2 * 160 + 3 * 160,
        "more than two frames and three holes reached the model: {} bytes",
        heard_by_model.len()
    );
    service.stop().await;
}

#[tokio::test]
async fn a_start_for_another_call_than_the_tickets_ends_the_call() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.call = sid("CA");
    leg.connected().await;
    leg.start().await;
    ended(&service, &mut leg, 1008, "foreign_call").await;
    service.stop().await;
}

#[tokio::test]
async fn sids_off_the_pattern_end_the_call() {
    let service = service().await;
    let hex = "0123456789abcdef0123456789abcdef";
    let wrong = [
        format!("MZ{}", &hex[1..]),
        format!("MZ{hex}0"),
        format!("CA{hex}"),
        format!("MZ{}g", &hex[1..]),
        format!("MZ{}\u{e9}", &hex[2..]),
        "../../etc/passwd".to_owned(),
        String::new(),
    ];
    for stream in &wrong {
        let mut leg = service.pick_up(&sid("CA")).await;
        leg.stream.clone_from(stream);
        leg.connected().await;
        leg.start().await;
        assert_eq!(
            leg.closed(SOON).await,
            Closed::Code(Some(1008)),
            "{stream:?}"
        );
    }
    let mut leg = service.pick_up(&sid("CA")).await;
    let mut start = leg.start_message();
    // The SID stands twice; two different ones name nothing.
    start["start"]["streamSid"] = json!(sid("MZ"));
    leg.connected().await;
    leg.send(&start).await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1008)));
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.call = "CA123".to_owned();
    leg.connected().await;
    leg.start().await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1008)));
    let accounts = [
        json!(null),
        json!(""),
        json!(7),
        json!(format!("AC{}", &hex[1..])),
        json!(format!("AC{hex}0")),
        json!(format!("AC{}g", &hex[1..])),
        json!(format!("CA{hex}")),
        json!("AC123\nforged"),
    ];
    for account in &accounts {
        let mut leg = service.pick_up(&sid("CA")).await;
        let mut start = leg.start_message();
        start["start"]["accountSid"] = account.clone();
        leg.connected().await;
        leg.send(&start).await;
        assert_eq!(
            leg.closed(SOON).await,
            Closed::Code(Some(1008)),
            "{account}"
        );
    }
    let mut leg = service.pick_up(&sid("CA")).await;
    let mut start = leg.start_message();
    start["start"].as_object_mut().unwrap().remove("accountSid");
    leg.connected().await;
    leg.send(&start).await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1008)));
    service.empty().await;
    let refused = service
        .metric("switchboard_calls_total{outcome=\"bad_identifiers\"}")
        .await;
    assert_eq!(refused, (wrong.len() + accounts.len()) as f64 + 3.0);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_of_another_account_than_the_settings_is_served_and_counted() {
    let options = Options::default()
        .model(brief())
        .with("TWILIO_ACCOUNT_SID", test_support::ACCOUNT);
    let service = TestService::start(options).await;
    for (opening, foreign) in [(Opening::Normal, 0.0), (Opening::ForeignAccountSid, 1.0)] {
        let mut line = service.line();
        line.opening = opening;
        let steps = [listen(), Step::HangUp];
        let outcome = line.call(caller(steps)).await;
        assert_eq!(outcome.end, CallEnd::CallerHungUp);
        service.empty().await;
        counted(&service, "foreign_account", foreign).await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_format_that_is_not_mulaw_is_refused() {
    let service = service().await;
    let formats = [
        json!({"encoding": "audio/x-l16", "sampleRate": 8000, "channels": 1}),
        json!({"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1}),
        json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}),
        json!({}),
        json!(null),
    ];
    for format in &formats {
        let mut leg = service.pick_up(&sid("CA")).await;
        let mut start = leg.start_message();
        start["start"]["mediaFormat"] = format.clone();
        leg.connected().await;
        leg.send(&start).await;
        assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1003)), "{format}");
    }
    // Numbers as strings are what Twilio sends everywhere else.
    let mut leg = service.pick_up(&sid("CA")).await;
    let mut start = leg.start_message();
    start["start"]["mediaFormat"] =
        json!({"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"});
    leg.connected().await;
    leg.send(&start).await;
    goes_on(&service, &mut leg).await;
    let refused = service
        .metric("switchboard_calls_total{outcome=\"unsupported_format\"}")
        .await;
    assert_eq!(refused, formats.len() as f64);
    service.stop().await;
}

#[tokio::test]
async fn custom_parameters_are_bounded_and_name_nothing_of_ours() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    let mut start = leg.start_message();
    let mut many = serde_json::Map::new();
    // Short ones, a long one, one with control characters, and names that are ours.
    for number in 0..1_000 {
        many.insert(format!("p{number}"), json!("v"));
    }
    many.insert("long".to_owned(), json!("x".repeat(10_000)));
    many.insert("lines".to_owned(), json!("a\nb"));
    many.insert("agent".to_owned(), json!("another"));
    many.insert("callSid".to_owned(), json!(sid("CA")));
    start["start"]["customParameters"] = many.into();
    leg.connected().await;
    leg.send(&start).await;
    goes_on(&service, &mut leg).await;
    let row = service.calls().await["calls"][0].clone();
    assert_eq!(
        (&row["agent"], &row["call_sid"]),
        (&"spa".into(), &leg.call.clone().into())
    );
    service.stop().await;
}

#[tokio::test]
async fn unknown_events_are_counted_and_the_call_goes_on() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.send(&json!({"event": "hello"})).await;
    leg.begin().await;
    for number in 0..30 {
        leg.send(&json!({"event": format!("brand_new_{number}"), "streamSid": leg.stream, "extra": [1, {"a": null}]})).await;
    }
    counted(&service, "unknown_event", 31.0).await;
    goes_on(&service, &mut leg).await;
    service.stop().await;
}

#[tokio::test]
async fn events_after_stop_change_nothing() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    until("the call lives", SOON, async || {
        service.calls().await["calls"][0]["state"] == "media"
    })
    .await;
    leg.stop().await;
    leg.media().await;
    leg.start().await;
    leg.connected().await;
    leg.stop().await;
    leg.send(&json!({"event": "mark", "streamSid": leg.stream, "mark": {"name": "m0-1"}}))
        .await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"caller_hung_up\"}"),
        1.0
    );
    assert_eq!(
        scrape.sum("switchboard_calls_total"),
        1.0,
        "one call has one end"
    );
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    service.stop().await;
}

#[tokio::test]
async fn ten_bad_messages_in_ten_seconds_end_the_call() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    bad(&mut leg, 10).await;
    ended(&service, &mut leg, 1007, "too_many_bad_messages").await;
    service.stop().await;
}

#[tokio::test]
async fn nine_bad_messages_are_counted_and_the_call_goes_on() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    bad(&mut leg, 9).await;
    counted(&service, "malformed", 4.0).await;
    counted(&service, "incomplete", 3.0).await;
    counted(&service, "bad_payload", 2.0).await;
    goes_on(&service, &mut leg).await;
    service.stop().await;
}

/// Messages that cannot be used, each in another way.
async fn bad(leg: &mut Leg, count: usize) {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::protocol::Message;
    let deep = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    let bodies = [
        "no json".to_owned(),
        "{}".to_owned(),
        r#"{"event":"media","media":{"payload":"%%%%"}}"#.to_owned(),
        r#"{"event":"media","media":7}"#.to_owned(),
        r#"{"event":5}"#.to_owned(),
        r#"{"event":"media","media":{"payload":""}}"#.to_owned(),
        deep,
        r#"{"event":"mark","mark":{}}"#.to_owned(),
        "{\"event\":\"media\",\"media\":{\"payload\":\"\\ud800\"}}".to_owned(),
        "\0".to_owned(),
    ];
    for body in bodies.iter().cycle().take(count) {
        let _ = leg.socket.send(Message::text(body.clone())).await;
    }
}

#[tokio::test]
async fn a_stream_without_a_ticket_chooses_its_agent() {
    let porter = "\n[agents.porter]\ninstructions = \"You are the night porter.\"\n\
                  greeting = { mode = \"model\", text = \"Greet by night.\" }\n\
                  model = { name = \"gpt-realtime-2.1-mini\" }\n";
    let options = Options {
        toml: format!("default_agent = \"spa\"\n{}{porter}", test_support::AGENT),
        ..Options::default()
    };
    let options = options.model(brief()).with("SWITCHBOARD_DEV", "1");
    let service = TestService::start(options).await;
    for (agent, instructions, kind) in [
        ("porter", "You are the night porter.", None),
        ("spa", "You answer the phone of a spa.", None),
        (
            "the moon",
            "You answer the phone of a spa.",
            Some("unknown_agent"),
        ),
    ] {
        let mut leg = service.open_signed("/media-stream", &[]).await.unwrap();
        leg.connected().await;
        let mut start = leg.start_message();
        start["start"]["customParameters"]["agent"] = json!(agent);
        leg.send(&start).await;
        goes_on(&service, &mut leg).await;
        let row = service.calls().await["calls"][0].clone();
        let answers = if kind.is_some() { "spa" } else { agent };
        assert_eq!(row["agent"], answers);
        let (mut number, mut last) = (1, None);
        while let Some(session) = service.model.session(number) {
            last = Some(session);
            number += 1;
        }
        let config = last.unwrap().config();
        assert_eq!(config["instructions"], instructions, "{agent}");
        if let Some(kind) = kind {
            counted(&service, kind, 1.0).await;
        }
        leg.stop().await;
        service.empty().await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_ticket_has_chosen_the_agent() {
    let service = service().await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.connected().await;
    let mut start = leg.start_message();
    start["start"]["customParameters"]["agent"] = json!("porter");
    leg.send(&start).await;
    counted(&service, "other_agent", 1.0).await;
    goes_on(&service, &mut leg).await;
    assert_eq!(service.calls().await["calls"][0]["agent"], "spa");
    service.stop().await;
}
