//! What a call runs, in which order, and how it ends.

use std::time::{Duration, Instant};

use crate::twilio_support::{Answer, Fake, Seen, drain, stream_sid};
use switchboard_kit::twilio::signature::sign;
use switchboard_kit::twilio::twiml::Verb;
use switchboard_kit::twilio::{
    CallEnd, CallProgress, Delivery, DialAnswer, Happening, Line, Method, Pace, Player, Route,
    Silent, StreamEnd, Update,
};
use test_times as times;
use tokio::sync::mpsc;
use url::Url;

fn verbs(line_outcome: &switchboard_kit::twilio::CallOutcome) -> Vec<&'static str> {
    line_outcome
        .verbs
        .iter()
        .map(|record| match record.verb {
            Verb::Connect(_) => "connect",
            Verb::Say { .. } => "say",
            Verb::Dial { .. } => "dial",
            Verb::Gather { .. } => "gather",
            Verb::Redirect { .. } => "redirect",
            Verb::Hangup => "hangup",
            Verb::Pause { .. } => "pause",
            Verb::Play { .. } => "play",
            Verb::Reject { .. } => "reject",
            Verb::Unknown { .. } => "unknown",
        })
        .collect()
}

/// A service whose webhook always answers this.
async fn answering(inside: &'static str) -> Fake {
    Fake::without_media(move |seen: &Seen| match seen.path.as_str() {
        "/incoming-call" => Answer::twiml(inside),
        "/next" => Answer::twiml("<Say>next</Say>"),
        _ => Answer::status(404),
    })
    .await
}

#[tokio::test]
async fn the_webhook_is_a_signed_form_with_twilios_fields() {
    let fake = answering("<Hangup/>").await;
    let line = fake.line();
    let outcome = line.call(Silent).await;
    let request = &fake.seen()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("host"), Some("spa.example"));
    assert!(
        request
            .header("content-type")
            .unwrap()
            .starts_with("application/x-www-form-urlencoded")
    );
    let expected = [
        ("CallSid", outcome.call_sid.as_str()),
        ("AccountSid", &line.account.sid),
        ("From", "+15550142"),
        ("Caller", "+15550142"),
        ("To", "+15550100"),
        ("Called", "+15550100"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
        ("FromCity", ""),
    ];
    for (name, value) in expected {
        assert_eq!(request.param(name), Some(value), "{name}");
    }
    let url = "https://spa.example/incoming-call";
    let signature = sign(&line.account.auth_token, url, &request.params);
    assert_eq!(
        request.header("x-twilio-signature"),
        Some(signature.as_str())
    );
    assert_eq!(
        request.header("i-twilio-idempotency-token").unwrap().len(),
        36
    );
    assert_eq!(outcome.end, CallEnd::HungUp);
}

#[tokio::test]
async fn a_get_webhook_signs_its_query() {
    let fake = answering("<Hangup/>").await;
    let mut line = fake.line();
    line.webhook_method = Method::Get;
    line.webhook = Url::parse("https://spa.example/incoming-call?agent=spa").unwrap();
    line.call(Silent).await;
    let request = &fake.seen()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.param("agent"), Some("spa"));
    assert_eq!(request.param("From"), Some("+15550142"));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&request.params[1..])
        .finish();
    let url = format!("https://spa.example/incoming-call?agent=spa&{query}");
    let signature = sign::<&str, &str>(&line.account.auth_token, &url, &[]);
    assert_eq!(
        request.header("x-twilio-signature"),
        Some(signature.as_str())
    );
}

#[tokio::test]
async fn verbs_run_in_document_order_until_one_leaves_it() {
    let fake = answering("<Say>one</Say><Pause/><Redirect>/next</Redirect><Say>never</Say>").await;
    let outcome = fake.line().call(Silent).await;
    assert_eq!(verbs(&outcome), ["say", "pause", "redirect", "say"]);
    assert_eq!(outcome.said_by_twiml(), ["one", "next"]);
    assert_eq!(outcome.end, CallEnd::DocumentEnded);

    let fake = answering("<Say>one</Say><Hangup/><Say>never</Say>").await;
    let outcome = fake.line().call(Silent).await;
    assert_eq!(outcome.end, CallEnd::HungUp);
    assert_eq!(outcome.said_by_twiml(), ["one"]);

    let fake = answering(r#"<Reject reason="busy"/>"#).await;
    let outcome = fake.line().call(Silent).await;
    let reason = "busy".to_owned();
    assert_eq!(outcome.end, CallEnd::Rejected { reason });
}

#[tokio::test]
async fn speaking_takes_its_time_and_can_be_hung_up_on() {
    let fake = answering("<Say>0123456789</Say>").await;
    let mut line = fake.line();
    line.pace = Pace::real();
    let outcome = line.call(Silent).await;
    let took_ms = outcome.verbs[0].took_ms;
    assert!(took_ms >= 590, "{took_ms}");
    times::within_ms(took_ms, 750, "ten characters");
    assert_eq!(outcome.end, CallEnd::DocumentEnded);

    let outcome = line.call(Player::new(Vec::new(), 200)).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    times::within_ms(outcome.duration_ms, 500, "the call's end");
}

#[tokio::test]
async fn an_unknown_verb_is_skipped_and_complained_about() {
    let fake = answering("<Shout>hi</Shout><Say>still here</Say>").await;
    let outcome = fake.line().call(Silent).await;
    assert_eq!(outcome.said_by_twiml(), ["still here"]);
    let complaints = outcome.complaints();
    assert_eq!(complaints.len(), 1);
    assert_eq!(complaints[0].0, 12_200);
    assert!(complaints[0].1.contains("Shout"));
}

#[tokio::test]
async fn a_dial_reports_its_status_to_the_action() {
    let cases = [
        (DialAnswer::Answered { talk_ms: 40 }, "completed"),
        (DialAnswer::Busy, "busy"),
        (DialAnswer::NoAnswer, "no-answer"),
        (DialAnswer::Failed, "failed"),
    ];
    for (answer, status) in cases {
        let fake = Fake::without_media(|seen| match seen.path.as_str() {
            "/incoming-call" => Answer::twiml(
                r#"<Dial action="/dialled" timeout="5"><Number>+15550199</Number></Dial><Say>never</Say>"#,
            ),
            _ => Answer::twiml("<Hangup/>"),
        })
        .await;
        let mut line = fake.line();
        line.dial = vec![answer];
        let outcome = line.call(Silent).await;
        assert_eq!(outcome.dialled(), ["+15550199"]);
        assert_eq!(outcome.verbs[0].dial_status, Some(status));
        assert_eq!(verbs(&outcome), ["dial", "hangup"]);
        let action = &fake.seen_at("/dialled")[0];
        assert_eq!(action.param("DialCallStatus"), Some(status));
        assert!(action.param("DialCallSid").unwrap().starts_with("CA"));
    }
}

#[tokio::test]
async fn a_person_who_is_briefed_takes_the_caller_by_a_key_or_not_at_all() {
    for (answer, bridged) in [
        (DialAnswer::Answered { talk_ms: 40 }, "true"),
        (DialAnswer::Declines, "false"),
    ] {
        let fake = Fake::without_media(|seen| match seen.path.as_str() {
            "/incoming-call" => Answer::twiml(
                r#"<Dial action="/dialled"><Number url="/brief">+15550199</Number></Dial>"#,
            ),
            "/brief" => Answer::twiml(
                r#"<Gather action="/key" numDigits="1"><Say>Ann. Press 1.</Say></Gather><Hangup/>"#,
            ),
            "/key" => Answer::twiml(""),
            _ => Answer::twiml("<Hangup/>"),
        })
        .await;
        let mut line = fake.line();
        line.dial = vec![answer];
        let outcome = line.call(Silent).await;
        assert_eq!(outcome.complaints(), []);
        assert_eq!(outcome.verbs[0].briefing.as_deref(), Some("Ann. Press 1."));
        let action = &fake.seen_at("/dialled")[0];
        assert_eq!(action.param("DialBridged"), Some(bridged));
        assert_eq!(action.param("DialCallStatus"), Some("completed"));
        // The person's leg has a SID of its own.
        let brief = &fake.seen_at("/brief")[0];
        assert_eq!(brief.param("CallSid"), action.param("DialCallSid"));
        assert_eq!(brief.param("ParentCallSid"), Some(&*outcome.call_sid));
        let keys = fake.seen_at("/key");
        assert_eq!(keys.len(), usize::from(bridged == "true"));
        assert!(keys.iter().all(|key| key.param("Digits") == Some("1")));
    }
}

#[tokio::test]
async fn a_dial_without_an_action_goes_on_in_the_document() {
    let fake = answering("<Dial>+15550199</Dial><Say>nobody there</Say>").await;
    let outcome = fake.line().call(Silent).await;
    assert_eq!(verbs(&outcome), ["dial", "say"]);
}

#[tokio::test]
async fn without_an_action_the_verb_after_connect_runs() {
    let routes = |seen: &Seen| match seen.path.as_str() {
        "/incoming-call" => Answer::twiml(
            r#"<Connect><Stream url="wss://spa.example/media"/></Connect><Say>line lost</Say>"#,
        ),
        _ => Answer::upgrade(),
    };
    let media = |mut socket| async move {
        stream_sid(&mut socket).await;
        socket.close(None).await.unwrap();
        drain(&mut socket).await;
    };
    let fake = Fake::start(routes, media).await;
    let outcome = fake.line().call(Silent).await;
    assert_eq!(verbs(&outcome), ["connect", "say"]);
    let end = &outcome.streams[0].end;
    assert!(
        matches!(end, StreamEnd::ServerClosed { code: None, .. }),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_refused_media_socket_falls_through_and_is_reported() {
    let fake = Fake::without_media(|seen| match seen.path.as_str() {
        "/incoming-call" => Answer::twiml(crate::twilio_support::CONNECT),
        "/media/token1" => Answer::status(403),
        "/after" => Answer::twiml("<Say>sorry</Say>"),
        _ => Answer::status(204),
    })
    .await;
    let outcome = fake.line().call(Silent).await;
    let end = &outcome.streams[0].end;
    assert!(
        matches!(
            end,
            StreamEnd::HandshakeFailed {
                code: 31_920,
                status: Some(403),
                ..
            }
        ),
        "{end:?}"
    );
    assert_eq!(outcome.streams[0].upgrade_ms, None);
    assert_eq!(outcome.said_by_twiml(), ["sorry"]);
    let callbacks = fake.seen_at("/stream-status");
    assert_eq!(callbacks.len(), 1);
    assert_eq!(callbacks[0].param("StreamEvent"), Some("stream-error"));
    assert_eq!(outcome.callbacks[0].answer, Ok(204));
}

#[tokio::test]
async fn stream_urls_twilio_would_not_dial_fail_with_its_codes() {
    let cases = [
        (r#"url="ws://spa.example/m""#, 31_922),
        (r#"url="https://spa.example/m""#, 31_922),
        (r#"url="wss://""#, 31_923),
        (r#"url="wss://elsewhere.example/m""#, 31_910),
        (r#"url="ws://127.0.0.1:1/m""#, 31_902),
        (r#"url="wss://spa.example/m" track="both_tracks""#, 31_941),
    ];
    for (attributes, expected) in cases {
        let twiml = format!("<Connect><Stream {attributes}/></Connect>");
        let fake = Fake::without_media(move |_| Answer::twiml(&twiml)).await;
        let outcome = fake.line().call(Silent).await;
        match &outcome.streams[0].end {
            StreamEnd::HandshakeFailed { code, .. } => assert_eq!(*code, expected, "{attributes}"),
            other => panic!("{attributes}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_query_of_a_stream_url_is_neither_sent_nor_signed() {
    let routes = |seen: &Seen| match seen.path.as_str() {
        "/incoming-call" => {
            Answer::twiml(r#"<Connect><Stream url="wss://spa.example/m?token=1"/></Connect>"#)
        }
        _ => Answer::upgrade(),
    };
    let fake = Fake::start(routes, |mut socket| async move { drain(&mut socket).await }).await;
    let line = fake.line();
    let outcome = line.call(Player::new(Vec::new(), 100)).await;
    let upgrade = &fake.seen_at("/m")[0];
    assert_eq!(upgrade.params, []);
    let signature = sign::<&str, &str>(&line.account.auth_token, "wss://spa.example/m", &[]);
    assert_eq!(
        upgrade.header("x-twilio-signature"),
        Some(signature.as_str())
    );
    assert_eq!(outcome.streams[0].warnings[0].code, 31_920);
}

#[tokio::test]
async fn bad_answers_end_the_call_with_twilios_codes() {
    let too_long = Answer::twiml(&format!("<Say>{}</Say>", "x".repeat(70_000)));
    let html = Answer {
        content_type: "text/html",
        ..Answer::twiml("")
    };
    let broken = Answer {
        body: "<Response>".to_owned(),
        ..Answer::twiml("")
    };
    let cases = [
        (Answer::status(500), 11_200),
        (Answer::status(403), 11_200),
        (too_long, 11_750),
        (html, 12_300),
        (broken, 12_100),
    ];
    for (answer, expected) in cases {
        let fake = Fake::without_media(move |_| answer.clone()).await;
        let outcome = fake.line().call(Silent).await;
        match outcome.end {
            CallEnd::ApplicationError { code, .. } => assert_eq!(code, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_failed_webhook_goes_to_the_fallback() {
    let fake = Fake::without_media(|seen| match seen.path.as_str() {
        "/fallback" => Answer::twiml("<Say>sorry</Say>"),
        _ => Answer::status(502),
    })
    .await;
    let mut line = fake.line();
    line.fallback = Some(Url::parse("https://spa.example/fallback").unwrap());
    let outcome = line.call(Silent).await;
    assert_eq!(outcome.said_by_twiml(), ["sorry"]);
    let request = &fake.seen_at("/fallback")[0];
    assert_eq!(request.param("ErrorCode"), Some("11200"));
    assert_eq!(
        request.param("ErrorUrl"),
        Some("https://spa.example/incoming-call")
    );
    assert_eq!(outcome.documents.len(), 2);
    assert_eq!(outcome.documents[0].status, Some(502));
}

#[tokio::test]
async fn when_the_action_cannot_be_asked_the_fallback_is_and_the_verbs_behind_connect_never_run() {
    let fake = Fake::start(
        |seen: &Seen| match seen.path.as_str() {
            "/incoming-call" => Answer::twiml(
                r#"<Connect action="/after-stream"><Stream url="wss://spa.example/media"/></Connect><Say>behind</Say>"#,
            ),
            "/after-stream" => Answer::status(502),
            "/fallback" => Answer::twiml("<Say>one moment</Say>"),
            _ => Answer::upgrade(),
        },
        |mut socket| async move {
            stream_sid(&mut socket).await;
            socket.close(None).await.unwrap();
        },
    )
    .await;
    let mut line = fake.line();
    let without = line.call(Silent).await;
    assert!(matches!(
        without.end,
        CallEnd::ApplicationError { code: 11_200, .. }
    ));
    assert!(without.said_by_twiml().is_empty());
    line.fallback = Some(Url::parse("https://spa.example/fallback").unwrap());
    let with = line.call(Silent).await;
    assert_eq!(with.said_by_twiml(), ["one moment"]);
}

#[tokio::test]
async fn an_unreachable_or_silent_webhook_ends_the_call() {
    let mut line = Line::new(Url::parse("http://127.0.0.1:1/incoming-call").unwrap());
    let outcome = line.call(Silent).await;
    assert!(matches!(
        outcome.end,
        CallEnd::ApplicationError { code: 11_205, .. }
    ));

    // Accepts and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    line.webhook = Url::parse("https://spa.example/incoming-call").unwrap();
    line.route = Some(Route::everything(addr));
    line.webhook_limit = Duration::from_millis(300);
    let began = Instant::now();
    let outcome = line.call(Silent).await;
    assert!(matches!(
        outcome.end,
        CallEnd::ApplicationError { code: 11_200, .. }
    ));
    times::within(began.elapsed(), Duration::from_secs(2), "given up");
}

#[tokio::test]
async fn a_redirect_in_circles_is_stopped() {
    let fake = answering("<Redirect>/incoming-call</Redirect>").await;
    let outcome = fake.line().call(Silent).await;
    assert!(matches!(outcome.end, CallEnd::ApplicationError { .. }));
    assert_eq!(outcome.documents.len(), 100);
}

#[tokio::test]
async fn a_route_can_be_moved_to_another_instance_while_the_call_runs() {
    let second = answering("<Say>second instance</Say>").await;
    let routes = |seen: &Seen| match seen.path.as_str() {
        "/incoming-call" => Answer::twiml(
            r#"<Connect action="/incoming-call"><Stream url="wss://spa.example/media"/></Connect>"#,
        ),
        _ => Answer::upgrade(),
    };
    let first = Fake::start(routes, |mut socket| async move {
        stream_sid(&mut socket).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        // As if the process was killed.
        drop(socket);
    })
    .await;
    let line = first.line();
    let route = line.route.clone().unwrap();
    let call = tokio::spawn(async move { line.call(Silent).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The first address is dead by now; the next one answers.
    route.set_targets(vec!["127.0.0.1:1".parse().unwrap(), second.addr]);
    let outcome = call.await.unwrap();
    assert_eq!(outcome.said_by_twiml(), ["second instance"]);
}

#[tokio::test]
async fn a_live_call_is_redirected_and_completed_from_outside() {
    let fake = Fake::with_media(|mut socket| async move { drain(&mut socket).await }).await;
    let line = fake.line();
    let exchange = line.exchange.clone();
    let (observer, mut events) = mpsc::unbounded_channel();
    let mut watched = line.clone();
    watched.observer = Some(observer);
    let call = tokio::spawn(async move { watched.call(Silent).await });
    let call_sid = loop {
        let event = events.recv().await.unwrap();
        if matches!(event.what, Happening::StartSent { .. }) {
            break event.call_sid;
        }
    };
    assert_eq!(exchange.live(), [call_sid.to_string()]);
    let twiml = "<Response><Dial>+15550199</Dial><Pause length=\"1\"/></Response>";
    let update = Update::Twiml(twiml.to_owned());
    exchange.update(&call_sid, update).unwrap();
    let outcome = call.await.unwrap();
    assert_eq!(outcome.streams[0].end, StreamEnd::Stopped);
    assert_eq!(verbs(&outcome), ["connect", "dial", "pause"]);
    // The action of the replaced <Connect> is not asked.
    assert!(fake.seen_at("/after").is_empty());
    assert!(exchange.update(&call_sid, Update::Complete).is_err());

    let line = fake.line();
    let exchange = line.exchange.clone();
    let call = tokio::spawn(async move { line.call(Silent).await });
    let call_sid = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(sid) = exchange.live().pop() {
            break sid;
        }
    };
    exchange.update(&call_sid, Update::Complete).unwrap();
    assert_eq!(call.await.unwrap().end, CallEnd::Completed);
}

#[tokio::test]
async fn the_time_limit_ends_the_call() {
    let fake = Fake::with_media(|mut socket| async move { drain(&mut socket).await }).await;
    let mut line = fake.line();
    line.time_limit = Duration::from_millis(300);
    let outcome = line.call(Silent).await;
    assert_eq!(outcome.end, CallEnd::TimeLimit);
    assert_eq!(outcome.streams[0].end, StreamEnd::Stopped);
}

fn progress(fake: &Fake) -> Vec<(String, String)> {
    let mut progress = Vec::new();
    for seen in fake.seen_at("/call-status") {
        progress.push((
            seen.param("SequenceNumber").unwrap().to_owned(),
            seen.param("CallStatus").unwrap().to_owned(),
        ));
    }
    progress
}

fn pair(sequence: &str, status: &str) -> (String, String) {
    (sequence.to_owned(), status.to_owned())
}

#[tokio::test]
async fn call_status_callbacks_arrive_in_order_twice_or_backwards() {
    let fake = answering("<Hangup/>").await;
    let mut line = fake.line();
    line.status_callback = Some("https://spa.example/call-status".to_owned());
    line.call(Silent).await;
    assert_eq!(progress(&fake), [pair("0", "completed")]);
    let completed = &fake.seen_at("/call-status")[0];
    assert_eq!(completed.param("CallDuration"), Some("0"));
    assert!(completed.param("Timestamp").unwrap().ends_with("+0000"));
    let url = "https://spa.example/call-status";
    let signature = sign(&line.account.auth_token, url, &completed.params);
    assert_eq!(
        completed.header("x-twilio-signature"),
        Some(signature.as_str())
    );

    let fake = answering("<Hangup/>").await;
    line.route = fake.line().route;
    line.delivery = Delivery::Twice;
    line.call(Silent).await;
    let seen = fake.seen_at("/call-status");
    assert_eq!(seen.len(), 2);
    let token = |index: usize| {
        let seen: &Seen = &seen[index];
        seen.header("i-twilio-idempotency-token")
            .unwrap()
            .to_owned()
    };
    assert_eq!(token(0), token(1));

    let fake = answering("<Hangup/>").await;
    line.route = fake.line().route;
    line.delivery = Delivery::Reversed;
    line.status_events = vec![
        CallProgress::Ringing,
        CallProgress::Answered,
        CallProgress::Completed,
    ];
    let outcome = line.call(Silent).await;
    assert_eq!(
        progress(&fake),
        [
            pair("2", "completed"),
            pair("1", "in-progress"),
            pair("0", "ringing")
        ]
    );
    assert_eq!(outcome.callbacks[0].answer, Ok(404));
}

#[tokio::test]
async fn the_observer_sees_the_call_as_it_happens() {
    let fake = Fake::with_media(|mut socket| async move { drain(&mut socket).await }).await;
    let mut line = fake.line();
    let (observer, mut events) = mpsc::unbounded_channel();
    line.observer = Some(observer);
    let outcome = line.call(Player::new(vec![0x00; 1_600], 600)).await;
    drop(line);
    let mut names = Vec::new();
    while let Some(event) = events.recv().await {
        assert_eq!(*event.call_sid, *outcome.call_sid);
        let json = serde_json::to_value(&event).unwrap();
        names.push(json["event"].as_str().unwrap().to_owned());
    }
    let expected = [
        "webhook_answered",
        "verb_started",
        "socket_open",
        "connected_sent",
        "start_sent",
        "caller_started_speaking",
        "caller_stopped_speaking",
        "stream_ended",
        "call_ended",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_call_may_run_on_any_task() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let fake = answering("<Hangup/>").await;
    let line = fake.line();
    let outcome = tokio::spawn(async move { assert_send(line.call(Silent)).await });
    assert_eq!(outcome.await.unwrap().end, CallEnd::HungUp);
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    times::of_these_tests(module_path!()).await;
}
