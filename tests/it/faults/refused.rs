//! F2 to F5: a model that refuses, hangs or is not there, and what the caller meets instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use switchboard_kit::realtime::{Ending, Fault, Realtime};
use switchboard_kit::twilio::{CallEnd, CallOutcome, DialAnswer, Step};

use test_support::chaos_fixture::{
    behind_chaos, longest_silence_ms, neighbours, noticed_nothing, talking_line,
    turn_with_neighbours,
};
use test_support::http::Request;
use test_support::phone::sid;
use test_support::{
    MODEL_KEY, Options, SOON, TestService, brief, caller, fallback_after_ms, listen, say, times,
    until,
};

/// Phones and stays on the line until the front desk has answered; gives the call and the milliseconds of media stream
/// before the fallback.
async fn falls_back(service: &TestService) -> (CallOutcome, u64) {
    let mut line = service.line();
    line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
    let outcome = line.call(caller([])).await;
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.end, CallEnd::DocumentEnded, "{:?}", outcome.verbs);
    let after_ms = fallback_after_ms(&outcome);
    (outcome, after_ms)
}

async fn ready(service: &TestService) -> (u16, String) {
    let reply = Request::new("GET", "/readyz").send(service.public).await;
    (reply.status, reply.text())
}

fn rejected(reason: &str) -> String {
    format!("switchboard_admission_rejected_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn f2_a_refused_key_is_final_and_turns_new_calls_away_until_it_is_taken_again() {
    let fault = Fault::RefuseUpgrade {
        status: 401,
        retry_after_s: None,
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let (_, after_ms) = falls_back(&service).await;
    times::within_ms(after_ms, 1_000, "after");
    assert_eq!(service.model.sessions().len(), 1, "no retry");
    let (status, reasons) = ready(&service).await;
    assert_eq!(status, 503);
    assert!(reasons.contains("\"model_refused\""), "{reasons}");
    let scrape = service.metrics().await;
    let alert = "switchboard_model_connects_total{result=\"unauthorized\"}";
    assert_eq!(scrape.get(alert), 1.0);
    // The next caller is not connected to a silence: they hear the line and the front desk at once.
    let reply = service.ring(&sid("CA")).await;
    let text = reply.text();
    assert!(
        !text.contains("<Connect") && text.contains("We have a technical problem."),
        "{text}"
    );
    assert!(text.contains("+15550199"), "{text}");
    times::within(reply.took, Duration::from_millis(100), "reply took");
    assert_eq!(service.metric(&rejected("model_refused")).await, 1.0);
    assert_eq!(service.model.sessions().len(), 1);
    service.stop().await;
    println!(
        "F2 401: fallback {after_ms} ms after start (bar 1,000), 1 attempt; the next caller turned away in {:?}",
        reply.took
    );
}

#[tokio::test]
async fn f3_retry_after_is_kept_and_the_door_is_shut_meanwhile() {
    let service = TestService::start(Options::default().model(brief())).await;
    let fault = Fault::RefuseUpgrade {
        status: 429,
        retry_after_s: Some(3),
    };
    service.model.faults().nth(1, fault);
    let line = service.line();
    let call = tokio::spawn(async move {
        line.call(caller([listen(), Step::Wait { ms: 3_000 }, Step::HangUp]))
            .await
    });
    until("admission is closed", SOON, async || {
        ready(&service).await.0 == 503
    })
    .await;
    let (_, reasons) = ready(&service).await;
    assert!(reasons.contains("\"model_rate_limited\""), "{reasons}");
    let text = service.ring(&sid("CA")).await.text();
    assert!(!text.contains("<Connect"), "{text}");
    assert_eq!(service.metric(&rejected("model_rate_limited")).await, 1.0);
    until("admission is open again", SOON, async || {
        ready(&service).await.0 == 200
    })
    .await;
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let sessions = service.model.sessions();
    assert_eq!(
        sessions.len(),
        2,
        "one attempt, and one when its time had come"
    );
    let waited = sessions[1].opened() - sessions[0].opened();
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
    times::within(waited, Duration::from_millis(4_200), "waited");
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, 2_300, "silence");
    service.stop().await;
    println!(
        "F3 429 with Retry-After 3: next attempt after {waited:?}; 1 new call turned away meanwhile, then let in"
    );
}

#[tokio::test]
async fn f3_a_wait_longer_than_a_caller_holds_the_line_is_not_waited_for() {
    let fault = Fault::RefuseUpgrade {
        status: 429,
        retry_after_s: Some(60),
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let (_, after_ms) = falls_back(&service).await;
    times::within_ms(after_ms, 1_500, "after");
    assert_eq!(service.model.sessions().len(), 1);
    service.stop().await;
    println!("F3 429 with Retry-After 60: fallback {after_ms} ms after start, 1 attempt");
}

/// Nobody says when to come back: each call tries five times, less and less often, and no two in step.
#[tokio::test]
async fn f3_limits_that_name_no_time_are_tried_again_less_and_less_often_and_not_in_step() {
    const CALLS: usize = 3;
    let fault = Fault::RefuseUpgrade {
        status: 429,
        retry_after_s: None,
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    // They rang before admission was closed.
    let mut tickets = Vec::new();
    for _ in 0..CALLS {
        let call = sid("CA");
        tickets.push((service.ticket(&call).await, call));
    }
    let mut waits: Vec<Vec<Duration>> = Vec::new();
    for (path, call) in tickets {
        let before = service.model.sessions().len();
        let mut leg = service.open(&path).await.unwrap();
        leg.call = call;
        let began = Instant::now();
        leg.begin().await;
        let mut frames = tokio::time::interval(Duration::from_millis(20));
        let ended = loop {
            tokio::select! {
                _ = frames.tick() => leg.media().await,
                message = leg.heard() => if message.is_none() { break began.elapsed() },
            }
        };
        times::within(ended, Duration::from_secs(16), "ended");
        let (status, reasons) = ready(&service).await;
        assert!(
            status == 503 && reasons.contains("\"model_rate_limited\""),
            "{reasons}"
        );
        let attempts = service.model.sessions();
        let attempts: Vec<_> = attempts[before..].iter().map(|one| one.opened()).collect();
        assert!(
            (2..=5).contains(&attempts.len()),
            "{} attempts in 15 s",
            attempts.len()
        );
        let gaps: Vec<_> = attempts.windows(2).map(|two| two[1] - two[0]).collect();
        for (number, gap) in gaps.iter().enumerate() {
            let most = Duration::from_millis(250 << number);
            // Half of it at least; a busy machine may add to it.
            assert!(*gap >= most / 2, "{gaps:?}");
            times::within(*gap, most + Duration::from_millis(150), &gaps);
        }
        waits.push(gaps);
    }
    let seconds: Vec<_> = waits.iter().map(|gaps| gaps[gaps.len() - 1]).collect();
    let spread = *seconds.iter().max().unwrap() - *seconds.iter().min().unwrap();
    assert!(spread >= Duration::from_millis(10), "in step: {waits:?}");
    let text = service.ring(&sid("CA")).await.text();
    assert!(!text.contains("<Connect"), "{text}");
    assert_eq!(service.metric(&rejected("model_rate_limited")).await, 1.0);
    service.stop().await;
    println!(
        "F3 429 without Retry-After, for good: {CALLS} calls, attempts each {:?} (bar 5), waits between them {waits:?}; the \
         admission closed for the next caller",
        waits.iter().map(|gaps| gaps.len() + 1).collect::<Vec<_>>()
    );
}

/// The account's limit, met in the middle of a call, is every new call's business.
#[tokio::test]
async fn f3_an_answer_that_meets_the_limit_shuts_the_door_for_as_long_as_it_says() {
    let service = TestService::start(Options::default().model(brief())).await;
    let line = service.line();
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    until("the greeting is over", SOON, async || {
        let first = service.model.session(1);
        first.is_some_and(|session| session.responses().iter().any(|one| one.done.is_some()))
    })
    .await;
    assert!(service.ring(&sid("CA")).await.text().contains("<Connect"));
    service.model.faults().live(Fault::FailResponses {
        count: 1,
        ending: Ending::RateLimited("1.5s".to_owned()),
    });
    until("admission is closed", SOON, async || {
        ready(&service).await.0 == 503
    })
    .await;
    let shut = Instant::now();
    assert!(ready(&service).await.1.contains("\"model_rate_limited\""));
    assert!(!service.ring(&sid("CA")).await.text().contains("<Connect"));
    until("admission is open again", SOON, async || {
        ready(&service).await.0 == 200
    })
    .await;
    let lasted = shut.elapsed();
    assert!(lasted >= Duration::from_millis(1_300), "{lasted:?}");
    times::within(lasted, Duration::from_millis(2_000), "lasted");
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(
        outcome.streams[0].agent_speech.len(),
        2,
        "the caller is answered when the limit allows it"
    );
    service.stop().await;
    println!(
        "F3 an answer fails with rate_limit_exceeded (try again in 1.5s): no new call for {} ms, then again; the caller is \
         answered",
        lasted.as_millis()
    );
}

/// A server that shows a certificate of its own making to whoever comes; gives its port.
fn self_signed() -> u16 {
    let certificate = CertificateDer::from(&include_bytes!("../../data/self_signed_cert.der")[..]);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("../../data/self_signed_key.der")[..]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            // Ends with the client's alert.
            while tls.is_handshaking() && tls.complete_io(&mut client).is_ok() {}
            assert!(tls.is_handshaking(), "nobody trusts this certificate");
        }
    });
    port
}

/// A service whose model cannot be had, and how long its caller waits for the fallback.
async fn away(model: Realtime, url: Option<&str>) -> (u64, u64, usize) {
    let mut options = Options::default().model(model);
    if let Some(url) = url {
        options = options.with("OPENAI_REALTIME_URL", url);
    }
    let service = TestService::start(options).await;
    let (outcome, after_ms) = falls_back(&service).await;
    let attempts = service.model.sessions().len();
    service.stop().await;
    (after_ms, longest_silence_ms(&outcome), attempts)
}

#[tokio::test]
async fn f4_f5_a_model_away_for_good_is_filled_and_given_up_within_sixteen_seconds() {
    // No TLS where TLS is asked for: a listener that says nothing of the kind.
    let plain = brief().start().await.unwrap();
    let no_tls = format!("wss://{}/v1/realtime", plain.addr());
    let refuse = |status| {
        brief().fault(Fault::RefuseUpgrade {
            status,
            retry_after_s: None,
        })
    };
    let untrusted = format!("wss://localhost:{}/v1/realtime", self_signed());
    let (hung, busy, tls, certificate, dns) = tokio::join!(
        away(brief().fault(Fault::HangHandshake), None),
        away(refuse(502), None),
        away(brief(), Some(&no_tls)),
        away(brief(), Some(&untrusted)),
        away(brief(), Some("wss://model.invalid/v1/realtime")),
    );
    for (what, (after_ms, silence_ms, attempts)) in [
        ("hung handshake", hung),
        ("502", busy),
        ("no TLS", tls),
        ("a certificate of its own making", certificate),
        ("no such name", dns),
    ] {
        times::within_ms(after_ms, 16_000, what);
        times::within_ms(silence_ms, 2_300, what);
        println!(
            "F4/F5 {what}: fallback {after_ms} ms after start (bar 16,000); longest silence {silence_ms} ms (bar 2,000 and \
             the pattern's pause); upgrades tried {attempts}"
        );
    }
}

#[tokio::test]
async fn an_agent_whose_model_does_not_exist_falls_back_and_shuts_no_door_for_others() {
    let mut options = Options::default().model(Realtime::builder().keys([MODEL_KEY]));
    options.toml = options.toml.replace(
        "[fallback]",
        "model = { name = \"gpt-realtime-of-tomorrow\" }\n[fallback]",
    );
    let service = TestService::start(options).await;
    let (_, after_ms) = falls_back(&service).await;
    times::within_ms(after_ms, 1_500, "after");
    assert_eq!(ready(&service).await.0, 200);
    service.stop().await;
    println!("bad agent configuration: fallback {after_ms} ms after start");
}

/// F2, F3 and F4 in one service of fifty calls: each fault strikes one caller, and the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_f3_f4_a_refusal_is_the_business_of_the_call_it_meets() {
    let _turn = turn_with_neighbours().await;
    let (service, _chaos) = behind_chaos(brief()).await;
    let others = neighbours(&service, 47, Duration::from_secs(45));
    until("the neighbours are there", SOON * 2, async || {
        service.model.sessions().len() >= 47
    })
    .await;
    let refusal = |status, retry_after_s| Fault::RefuseUpgrade {
        status,
        retry_after_s,
    };
    // Each leaves admission as the next one needs it: the refused key, which closes it, comes last.
    let mut after = Vec::new();
    for (what, fault) in [
        ("503", refusal(503, None)),
        ("429 with Retry-After 20", refusal(429, Some(20))),
        ("hung handshake", Fault::HangHandshake),
        ("401", refusal(401, None)),
    ] {
        until("admission is open", SOON * 3, async || {
            ready(&service).await.0 == 200
        })
        .await;
        service.model.faults().every(fault);
        let outcome = talking_line(&service).call(caller([])).await;
        service.model.faults().clear();
        assert_eq!(outcome.said_by_twiml(), ["We have a technical problem."]);
        let stream = &outcome.streams[0];
        times::within_ms(stream.duration_ms, 16_000, what);
        after.push(format!("{what} {} ms", stream.duration_ms));
    }
    let others = noticed_nothing(&others.await.unwrap());
    service.stop().await;
    println!(
        "F2 F3 F4 under load, media stream until the fallback: {}; {others}",
        after.join(", ")
    );
}
