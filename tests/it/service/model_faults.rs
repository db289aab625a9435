//! A model that is refused, lost, or talks nonsense: what the caller hears, and what they do not.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use switchboard_kit::realtime::{Ended, Ending, Fault, Model, Realtime, Resume, Say, When};
use switchboard_kit::twilio::{CallEnd, CallOutcome, DialAnswer, Step};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use test_support::http::Scrape;
use test_support::phone::closed_with;
use test_support::{
    Options, SOON, TestService, brief, brief_with, caller, fallback_after_ms, listen, say, times,
    tone, until,
};

/// Hears the greeting, says something, hears the answer, hangs up.
async fn short_call(service: &TestService) -> CallOutcome {
    let steps = [listen(), say("yes"), listen(), Step::HangUp];
    service.line().call(caller(steps)).await
}

/// The caller heard the agent so often, on one media socket, and Twilio had nothing to complain about.
fn went_well(outcome: &CallOutcome, answers: usize) {
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1);
    let speech = &outcome.streams[0].agent_speech;
    assert_eq!(speech.len(), answers, "{speech:?}");
}

/// A call that the model cannot serve: what the caller meets instead, and when.
struct Fallen {
    outcome: CallOutcome,
    /// Milliseconds of media stream before the fallback.
    after_ms: u64,
}

/// Phones and stays on the line until the front desk has answered and hung up.
async fn falls_back(service: &TestService) -> Fallen {
    let mut line = service.line();
    line.dial = vec![DialAnswer::Answered { talk_ms: 100 }];
    let outcome = line.call(caller([])).await;
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.end, CallEnd::DocumentEnded, "{:?}", outcome.verbs);
    assert_eq!(
        outcome.streams.len(),
        1,
        "the caller is not connected again"
    );
    assert_eq!(outcome.streams[0].end, closed_with(1000));
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
    let after_ms = fallback_after_ms(&outcome);
    Fallen { outcome, after_ms }
}

/// The one row of the page that counts: how the call ended.
fn outcomes(scrape: &Scrape, outcome: &str) -> f64 {
    scrape.get(&format!("switchboard_calls_total{{outcome=\"{outcome}\"}}"))
}

fn connects(scrape: &Scrape, result: &str) -> f64 {
    scrape.get(&format!(
        "switchboard_model_connects_total{{result=\"{result}\"}}"
    ))
}

// ---- refused for good ----

/// The model wants another key: the caller is looked after at once, and nobody tries again.
async fn is_final(model: Realtime) -> (Scrape, u64) {
    let service = TestService::start(Options {
        model,
        ..Options::default()
    })
    .await;
    let Fallen { outcome, after_ms } = falls_back(&service).await;
    times::within_ms(after_ms, 800, "after");
    assert_eq!(outcome.streams[0].media_bytes, 0);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(outcomes(&scrape, "model_refused"), 1.0);
    assert_eq!(
        service.model.sessions().len(),
        1,
        "a wrong key is not tried again"
    );
    service.stop().await;
    (scrape, after_ms)
}

#[tokio::test]
async fn a_wrong_key_is_final_and_the_caller_hears_the_fallback_at_once() {
    for status in [401, 403] {
        let fault = Fault::RefuseUpgrade {
            status,
            retry_after_s: None,
        };
        let (scrape, after_ms) = is_final(brief().fault(fault)).await;
        assert_eq!(connects(&scrape, "unauthorized"), 1.0);
        println!("{status}: fallback {after_ms} ms after start, bar 800 ms, 1 attempt");
    }
}

#[tokio::test]
async fn a_wrong_key_that_is_told_only_after_the_upgrade_is_as_final() {
    let (_, after_ms) = is_final(brief().keys(["another key"])).await;
    println!("error after the upgrade: fallback {after_ms} ms after start, bar 800 ms, 1 attempt");
}

#[tokio::test]
async fn a_quota_that_is_used_up_in_the_call_leads_to_the_fallback() {
    let fault = Fault::FailResponses {
        count: 9,
        ending: Ending::Quota,
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let Fallen { after_ms, .. } = falls_back(&service).await;
    times::within_ms(after_ms, 2_000, "after");
    assert_eq!(service.model.sessions().len(), 1);
    assert_eq!(outcomes(&service.metrics().await, "model_refused"), 1.0);
    service.stop().await;
}

// ---- away for good ----

#[tokio::test]
async fn a_model_that_stays_away_is_given_up_within_sixteen_seconds_and_five_attempts() {
    let fault = Fault::RefuseUpgrade {
        status: 503,
        retry_after_s: None,
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let Fallen { after_ms, .. } = falls_back(&service).await;
    times::within_ms(after_ms, 16_000, "after");
    let sessions = service.model.sessions();
    assert!((2..=5).contains(&sessions.len()), "{}", sessions.len());
    let gaps: Vec<Duration> = sessions
        .windows(2)
        .map(|two| two[1].opened() - two[0].opened())
        .collect();
    assert!(gaps.is_sorted(), "the waits grow: {gaps:?}");
    assert!(gaps[0] >= Duration::from_millis(120), "{gaps:?}");
    let scrape = service.metrics().await;
    assert_eq!(connects(&scrape, "server_error"), sessions.len() as f64);
    assert_eq!(outcomes(&scrape, "model_lost"), 1.0);
    service.stop().await;
    println!(
        "503 for good: fallback after {after_ms} ms, bar 16,000 ms; attempts {}, waits {gaps:?}",
        sessions.len()
    );
}

// ---- away for a while ----

async fn is_dialled_again(fault: Fault, result: &str) -> Duration {
    // What the caller hears while they wait is no answer, and has tests of its own.
    let mut options = Options::default().model(brief());
    options.toml = options
        .toml
        .replace("[fallback]", "filler = { mode = \"silence\" }\n[fallback]");
    let service = TestService::start(options).await;
    service.model.faults().nth(1, fault);
    let outcome = short_call(&service).await;
    went_well(&outcome, 2);
    let sessions = service.model.sessions();
    assert_eq!(sessions.len(), 2);
    let scrape = service.metrics().await;
    assert_eq!(
        (connects(&scrape, result), connects(&scrape, "ok")),
        (1.0, 1.0),
        "{result}"
    );
    // What the caller said while there was no model is not lost on it.
    assert_eq!(sessions[1].responses().len(), 2);
    let waited = sessions[1].opened() - sessions[0].opened();
    service.stop().await;
    waited
}

#[tokio::test]
async fn a_busy_model_is_dialled_again_with_a_back_off() {
    for (status, result) in [
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
    ] {
        let waited = is_dialled_again(
            Fault::RefuseUpgrade {
                status,
                retry_after_s: None,
            },
            result,
        )
        .await;
        assert!(waited >= Duration::from_millis(120), "{status}: {waited:?}");
        times::within(waited, Duration::from_secs(2), status);
        println!("{status}: dialled again after {waited:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up_after_five_seconds() {
    let waited = is_dialled_again(Fault::HangHandshake, "timeout").await;
    assert!(waited >= Duration::from_millis(4_900), "{waited:?}");
    times::within(waited, Duration::from_secs(7), "hung handshake");
    println!("hung handshake: dialled again after {waited:?}");
}

// ---- lost in mid-call ----

/// A model whose first answer takes four seconds and which goes on in a second session where the first one stopped.
fn talkative() -> Realtime {
    brief_with(|script| {
        script.turns = vec![tone(
            660,
            4_000,
            "We have time at nine, at ten and at eleven.",
        )]
    })
    .resume(Resume::CarryOn)
    .transcription_delay_ms(50)
}

/// The session is lost in the middle of an answer; gives the time from the loss to audio of the next session.
async fn goes_on_in_another_session(fault: Fault) -> Duration {
    let service = TestService::start(Options::default().model(talkative())).await;
    service.model.faults().nth(1, fault);
    let steps = [
        listen(),
        say("yes"),
        listen(),
        say("thanks"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.streams[0].agent_speech
    );
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1, "the media socket is the same");

    let sessions = service.model.sessions();
    assert_eq!(sessions.len(), 2);
    let (first, second) = (&sessions[0], &sessions[1]);
    assert_eq!(first.responses().len(), 2, "{:?}", first.responses());
    let told = second.replayed();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].role.as_deref(), Some("system"));
    assert!(told[0].text.contains("You: Hello."), "{}", told[0].text);
    assert!(
        told[0].text.contains("Do not greet again"),
        "{}",
        told[0].text
    );
    assert_eq!(second.sent_of("error"), [] as [Value; 0]);
    // The answer that was cut off, and the one to the caller's next word; no second greeting.
    assert_eq!(second.responses().len(), 2, "{:?}", second.responses());
    let audio = second.responses()[0].first_audio.unwrap();

    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(scrape.get("switchboard_model_reconnect_seconds_count"), 1.0);
    assert_eq!(connects(&scrape, "ok"), 2.0);
    assert_eq!(outcomes(&scrape, "caller_hung_up"), 1.0);
    service.stop().await;
    // Between the last thing the first session said and the first audio of the second.
    let last = first.sent().last().unwrap().at;
    audio.duration_since(last)
}

#[tokio::test]
async fn a_reset_in_an_answer_costs_a_pause_and_not_the_call() {
    let gap = goes_on_in_another_session(Fault::Reset {
        when: When::AfterDeltas(5),
    })
    .await;
    times::within(gap, Duration::from_millis(1_500), "gap");
    println!(
        "reset: {} ms to audio of the next session, bar 1,500 ms",
        gap.as_millis()
    );
}

#[tokio::test]
async fn a_close_in_an_answer_costs_a_pause_and_not_the_call() {
    for code in [1001, 1011] {
        let when = When::AfterDeltas(5);
        let gap = goes_on_in_another_session(Fault::Close {
            code,
            reason: "so be it".to_owned(),
            when,
        })
        .await;
        times::within(gap, Duration::from_millis(1_500), code);
        println!(
            "close {code}: {} ms to audio of the next session, bar 1,500 ms",
            gap.as_millis()
        );
    }
}

#[tokio::test]
async fn a_message_beyond_four_mebibytes_ends_the_session_and_not_the_call() {
    let fault = Fault::Oversized {
        bytes: (4 << 20) + 1,
        when: When::AfterDeltas(5),
    };
    let gap = goes_on_in_another_session(fault).await;
    println!(
        "4 MiB + 1: {} ms to audio of the next session",
        gap.as_millis()
    );
}

#[tokio::test]
async fn frames_no_realtime_server_sends_cost_a_pause_and_not_the_call() {
    let when = When::AfterDeltas(5);
    let text = "no json".to_owned();
    for (what, fault) in [
        ("a binary frame", Fault::Binary { when }),
        ("a text that is not UTF-8", Fault::NotUtf8 { when }),
        ("a reserved bit", Fault::ReservedBit { when }),
        ("a thousand pings", Fault::Pings { count: 1_000, when }),
        (
            "a thousand fragments of one message",
            Fault::Fragments {
                count: 1_000,
                bytes: 1,
                when,
            },
        ),
        (
            "fragments of 6 MB together",
            Fault::Fragments {
                count: 60,
                bytes: 100_000,
                when,
            },
        ),
        (
            "ten unusable messages",
            Fault::Text {
                text,
                count: 10,
                when,
            },
        ),
    ] {
        let gap = goes_on_in_another_session(fault).await;
        println!(
            "{what}: {} ms to audio of the next session",
            gap.as_millis()
        );
    }
}

/// A server that promises a frame of 2^62 bytes and goes on with it; gives the code it is closed with.
async fn promises_too_much(listener: TcpListener) -> u16 {
    let (socket, _) = listener.accept().await.unwrap();
    let mut session = tokio_tungstenite::accept_async(socket).await.unwrap();
    let first = session.next().await;
    assert!(matches!(first, Some(Ok(Message::Text(_)))), "{first:?}");
    let mut promise = vec![0x81, 127];
    promise.extend((1_u64 << 62).to_be_bytes());
    promise.resize(1_000, b' ');
    session.get_mut().write_all(&promise).await.unwrap();
    loop {
        match session.next().await {
            Some(Ok(Message::Close(Some(reason)))) => return reason.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_frame_beyond_four_mebibytes_is_refused_by_its_head() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/realtime", listener.local_addr().unwrap());
    let service = TestService::start(Options::default().with("OPENAI_REALTIME_URL", &url)).await;
    let server = tokio::spawn(promises_too_much(listener));
    let line = service.line();
    let call = tokio::spawn(async move { line.call(caller([])).await });
    let code = timeout(SOON, server).await.expect("closed").unwrap();
    assert_eq!(code, 1009);
    // Nobody listens there any more: the caller is looked after otherwise.
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::DocumentEnded, "{:?}", outcome.verbs);
    service.stop().await;
}

// ---- nonsense ----

/// A call with a model that does this in its greeting: all goes well, and the rule it broke was counted.
async fn is_counted(fault: Fault, kind: &str, times: f64) {
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let outcome = short_call(&service).await;
    went_well(&outcome, 2);
    // Two tones of half a second, and not a byte more.
    assert_eq!(outcome.streams[0].media_bytes, 2 * 4_000, "{kind}");
    let scrape = service.metrics().await;
    assert_eq!(scrape.violations("model", kind), times, "{kind}");
    assert_eq!(service.model.sessions().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn malformed_json_is_counted_and_the_call_goes_on() {
    is_counted(
        Fault::Malformed {
            when: When::AfterEvents(4),
        },
        "malformed",
        1.0,
    )
    .await;
}

#[tokio::test]
async fn a_large_event_of_an_unknown_kind_is_counted_and_the_call_goes_on() {
    let fault = Fault::Oversized {
        bytes: 3 << 20,
        when: When::AfterEvents(4),
    };
    is_counted(fault, "unknown_event", 1.0).await;
}

#[tokio::test]
async fn audio_of_a_response_nobody_knows_is_not_played() {
    is_counted(
        Fault::ForeignDelta {
            when: When::AfterEvents(4),
        },
        "unknown_response",
        1.0,
    )
    .await;
}

#[tokio::test]
async fn a_server_error_that_nobody_called_for_is_counted_and_the_call_goes_on() {
    let (kind, message) = (
        "server_error".to_owned(),
        "Something went wrong.".to_owned(),
    );
    let fault = Fault::Error {
        kind,
        code: None,
        message,
        when: When::AfterEvents(4),
    };
    is_counted(fault, "server_error", 1.0).await;
}

#[tokio::test]
async fn events_and_fields_nobody_knows_change_nothing() {
    let service =
        TestService::start(Options::default().model(brief().fault(Fault::Strangers))).await;
    went_well(&short_call(&service).await, 2);
    assert!(service.metrics().await.violations("model", "unknown_event") > 5.0);
    service.stop().await;
}

#[tokio::test]
async fn the_names_of_the_beta_are_heard_too() {
    let service =
        TestService::start(Options::default().model(brief().fault(Fault::BetaNames))).await;
    let outcome = short_call(&service).await;
    went_well(&outcome, 2);
    assert_eq!(outcome.streams[0].media_bytes, 2 * 4_000);
    service.stop().await;
}

#[tokio::test]
async fn audio_that_comes_after_an_interruption_is_not_played() {
    // In real time, so that there is an answer left to cancel.
    let model = brief_with(|script| {
        script.turns = vec![
            tone(440, 6_000, "A very long answer."),
            tone(880, 500, "Yes."),
        ]
    })
    .speed(1.0)
    .fault(Fault::LateDeltas { count: 6 });
    let service = TestService::start(Options::default().model(model)).await;
    let steps = [
        listen(),
        say("yes"),
        Step::WaitToInterrupt { after_ms: 800 },
        say("interrupt"),
        listen(),
        Step::HangUp,
    ];
    let outcome = service.line().call(caller(steps)).await;
    went_well(&outcome, 3);
    let session = service.model.session(1).unwrap();
    let cancelled: Vec<_> = session
        .responses()
        .into_iter()
        .filter(|one| one.status == "cancelled")
        .collect();
    assert_eq!(cancelled.len(), 1, "{:?}", session.responses());
    let stream = &outcome.streams[0];
    let overlap = stream.overlaps();
    assert_eq!(overlap.len(), 1);
    times::within_ms(overlap[0], 600, "the agent falls silent");
    let interrupted_until = stream.caller_speech.last().unwrap().to_ms;
    assert!(
        stream.agent_speech[2].from_ms >= interrupted_until,
        "{stream:#?}"
    );
    let dropped = "switchboard_audio_frames_total{direction=\"to_caller\",result=\"dropped\"}";
    assert!(service.metric(dropped).await >= 6.0 * 3_500.0 / 160.0);
    service.stop().await;
    println!(
        "interrupted agent silent {} ms after the caller's first sound; 6 late deltas dropped",
        overlap[0]
    );
}

#[tokio::test]
async fn a_configuration_that_is_refused_is_followed_by_the_least_one() {
    let simple = Model {
        name: "gpt-realtime-2.1".to_owned(),
        reasons: false,
        shut_down: false,
    };
    let mut options = Options::default().model(brief().model(simple));
    options.toml = options.toml.replace(
        "[fallback]",
        "model = { name = \"gpt-realtime-2.1\", reasoning = \"low\" }\n[fallback]",
    );
    let service = TestService::start(options).await;
    went_well(&short_call(&service).await, 2);
    let session = service.model.session(1).unwrap();
    let updates = session.received_of("session.update");
    assert_eq!(updates.len(), 2, "{updates:#?}");
    assert_eq!(updates[0]["session"]["reasoning"]["effort"], "low");
    assert!(
        updates[1]["session"].get("reasoning").is_none(),
        "{:#}",
        updates[1]
    );
    for side in ["input", "output"] {
        assert_eq!(
            updates[1]["session"]["audio"][side]["format"]["type"],
            "audio/pcmu"
        );
    }
    assert_eq!(session.sent_of("error").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn an_answer_that_fails_is_asked_for_again() {
    let fault = Fault::FailResponses {
        count: 2,
        ending: Ending::ServerError,
    };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let outcome = short_call(&service).await;
    went_well(&outcome, 2);
    let session = service.model.session(1).unwrap();
    let failed = session
        .responses()
        .into_iter()
        .filter(|one| one.status == "failed")
        .count();
    assert_eq!(failed, 2);
    until("the model session is closed", SOON, async || {
        session.ended().is_some()
    })
    .await;
    assert!(matches!(session.ended(), Some(Ended::ByClient(_))));
    service.stop().await;
}

#[tokio::test]
async fn an_answer_without_a_byte_of_audio_is_taken_back_and_asked_for_again() {
    let silent = [
        ("text alone", Say::written("Two o'clock is free.")),
        (
            "an empty audio part",
            Say::tone(660, 0, "Two o'clock is free."),
        ),
    ];
    for (name, said) in silent {
        let model = brief_with(|script| {
            script.turns = vec![tone(880, 600, "Two o'clock is free.")];
            script.turns[0].says = vec![said];
            script.unprompted = tone(880, 600, "Two o'clock is free.");
        });
        let service = TestService::start(Options::default().model(model)).await;
        let outcome = short_call(&service).await;
        went_well(&outcome, 2);
        let session = service.model.session(1).unwrap();
        let asked = session.received_of("response.create").len();
        let deleted = session.received_of("conversation.item.delete").len();
        assert_eq!((asked, deleted), (2, 1), "{name}");
        service.empty().await;
        let scrape = service.metrics().await;
        assert_eq!(scrape.violations("model", "empty_response"), 1.0, "{name}");
        service.stop().await;
    }
}

// ---- servers that speak the protocol less completely ----

#[tokio::test]
async fn a_server_that_does_not_say_its_formats_serves_the_call() {
    let service =
        TestService::start(Options::default().model(brief().fault(Fault::SilentOnFormats))).await;
    let outcome = short_call(&service).await;
    went_well(&outcome, 2);
    assert_eq!(service.model.sessions().len(), 1);
    let scrape = service.metrics().await;
    assert_eq!(scrape.violations("model", "wrong_format"), 0.0);
    service.stop().await;
}

/// The turns of the call that is on, when so many are over.
async fn turns_of(service: &TestService, least: usize) -> Vec<Value> {
    let mut turns = Vec::new();
    until("the turns are on the call's page", SOON, async || {
        let calls = service.calls().await;
        let Some(sid) = calls["calls"][0]["call_sid"].as_str() else {
            return false;
        };
        let path = format!("/admin/calls/{sid}");
        let page = service.operator("GET", &path).await.json();
        turns = page["turns"].as_array().cloned().unwrap_or_default();
        turns.len() >= least
    })
    .await;
    turns
}

#[tokio::test]
async fn the_whole_transcript_of_an_answer_wins_over_its_pieces() {
    let text = "Good day, this is the spa.".to_owned();
    let fault = Fault::OtherTranscript { text: text.clone() };
    let service = TestService::start(Options::default().model(brief().fault(fault))).await;
    let steps = [listen(), Step::Wait { ms: 3_000 }, Step::HangUp];
    let line = service.line();
    let (outcome, turns) = tokio::join!(line.call(caller(steps)), async {
        let mut turns = Vec::new();
        until("the greeting is heard", SOON, async || {
            turns = turns_of(&service, 1).await;
            turns[0]["heard"] == text.as_str()
        })
        .await;
        turns
    });
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(turns[0]["said"], text.as_str());
    service.stop().await;
}

#[tokio::test]
async fn an_answer_cut_by_tokens_is_counted_and_marked_on_its_turn() {
    let model = brief_with(|script| script.greeting.status = Ending::MaxOutputTokens);
    let service = TestService::start(Options::default().model(model)).await;
    let steps = [listen(), Step::Wait { ms: 2_000 }, Step::HangUp];
    let line = service.line();
    let (outcome, ()) = tokio::join!(
        line.call(caller(steps)),
        until("the turn is marked", SOON, async || {
            turns_of(&service, 1).await[0]["unfinished"] == "tokens"
        })
    );
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    service.empty().await;
    let scrape = service.metrics().await;
    assert!(scrape.violations("model", "out_of_tokens") >= 1.0);
    service.stop().await;
}
