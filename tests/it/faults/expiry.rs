//! F14: sessions that end, under a call that does not.

use std::time::{Duration, Instant};

use switchboard_kit::realtime::Fault;
use switchboard_kit::twilio::{CallEnd, Step};

use test_support::chaos_fixture::longest_silence_ms;
use test_support::{Options, SOON, TestService, brief, caller, listen, say, times, until};

#[tokio::test]
async fn f14_three_sessions_in_a_row_expire_and_the_caller_hears_nothing_of_it() {
    let model = brief()
        .transcription_delay_ms(50)
        .fault(Fault::Expire { after_ms: 8_000 });
    let service = TestService::start(Options::default().model(model)).await;
    let mut steps = vec![listen()];
    for _ in 0..6 {
        steps.extend([say("yes"), listen(), Step::Wait { ms: 700 }]);
    }
    steps.push(Step::HangUp);
    let outcome = service.line().call(caller(steps)).await;
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.streams[0].agent_speech
    );
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1);
    assert_eq!(
        outcome.streams[0].agent_speech.len(),
        7,
        "every question was answered"
    );
    service.empty().await;
    let scrape = service.metrics().await;
    let rollovers = |result: &str| {
        scrape.get(&format!(
            "switchboard_session_rollovers_total{{result=\"{result}\"}}"
        ))
    };
    assert!(rollovers("ok") >= 3.0, "{}", rollovers("ok"));
    assert_eq!(
        (
            rollovers("forced"),
            rollovers("rescued"),
            rollovers("failed")
        ),
        (0.0, 0.0, 0.0)
    );
    assert_eq!(
        scrape.get("switchboard_model_reconnect_seconds_count"),
        0.0,
        "none was lost"
    );
    let sessions = service.model.sessions();
    let mut appends: Vec<Instant> = Vec::new();
    for session in &sessions {
        let received = session.received();
        let audio = received
            .iter()
            .filter(|event| event.kind == "input_audio_buffer.append");
        appends.extend(audio.map(|event| event.at));
    }
    appends.sort();
    let gap = appends.windows(2).map(|two| two[1] - two[0]).max().unwrap();
    times::within(gap, Duration::from_millis(300), "gap");
    for session in &sessions[1..] {
        let told = session.replayed();
        let briefing = told.first().map_or("", |item| item.text.as_str());
        assert!(briefing.contains("You take over this call"), "{told:?}");
    }
    let dropped =
        scrape.get("switchboard_audio_frames_total{direction=\"from_caller\",result=\"dropped\"}");
    assert_eq!(dropped, 0.0);
    service.stop().await;
    println!(
        "F14 sessions of 8 s: {} rollovers between turns in one call, longest gap of caller audio {gap:?} (bar 300 ms), \
         answers missing 0",
        rollovers("ok")
    );
}

/// The next session is refused as long as the old one lives: then the call loses it, and goes on as after a reset.
#[tokio::test]
async fn f14_a_session_that_expires_before_the_next_one_is_there_costs_a_pause() {
    let model = brief().transcription_delay_ms(50);
    let service = TestService::start(Options::default().model(model)).await;
    let faults = service.model.faults().clone();
    faults.nth(1, Fault::Expire { after_ms: 8_000 });
    let line = service.line();
    let mut steps = vec![listen()];
    for _ in 0..6 {
        steps.extend([say("yes"), listen(), Step::Wait { ms: 700 }]);
    }
    steps.push(Step::HangUp);
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    let first = service.model.wait_for_session(1, SOON).await.unwrap();
    faults.every(Fault::RefuseUpgrade {
        status: 503,
        retry_after_s: None,
    });
    until("the first session has expired", SOON, async || {
        service
            .metric("switchboard_session_rollovers_total{result=\"failed\"}")
            .await
            > 0.0
            && first.ended().is_some()
    })
    .await;
    let expired = Instant::now();
    let refused = service.model.sessions().len() - 1;
    faults.clear();
    let outcome = call.await.unwrap();
    assert_eq!(
        outcome.end,
        CallEnd::CallerHungUp,
        "{:?}",
        outcome.streams[0].agent_speech
    );
    assert_eq!(outcome.complaints(), []);
    assert_eq!(outcome.streams.len(), 1, "the media socket is the same");
    let silence_ms = longest_silence_ms(&outcome);
    times::within_ms(silence_ms, 2_300, "silence");
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_model_reconnect_seconds_count"),
        1.0,
        "it was lost, and found again"
    );
    let sessions = service.model.sessions();
    let next = sessions.last().unwrap();
    let told = next.replayed();
    let briefing = told.first().map_or("", |item| item.text.as_str());
    assert!(
        briefing.contains("Do not greet again") && briefing.contains("You: Hello."),
        "{told:?}"
    );
    let again = next.opened().saturating_duration_since(expired);
    times::within(again, Duration::from_millis(2_500), "again");
    service.stop().await;
    println!(
        "F14 the next session refused {refused} times until the old one expired: another {again:?} after that, told the \
         conversation; longest silence {silence_ms} ms"
    );
}
