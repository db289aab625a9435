//! F14: sessions that end, under a call that does not.

use std::time::{Duration, Instant};

use switchboard_kit::realtime::Fault;
use switchboard_kit::twilio::{CallEnd, Step};

use crate::support::{House, Options, brief, caller, listen, say};

#[tokio::test]
async fn f14_three_sessions_in_a_row_expire_and_the_caller_hears_nothing_of_it() {
    let model = brief()
        .transcription_delay_ms(50)
        .fault(Fault::Expire { after_ms: 8_000 });
    let house = House::start(Options::default().model(model)).await;
    let mut steps = vec![listen()];
    for _ in 0..6 {
        steps.extend([say("yes"), listen(), Step::Wait { ms: 700 }]);
    }
    steps.push(Step::HangUp);
    let outcome = house.line().call(caller(steps)).await;
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
    house.empty().await;
    let scrape = house.metrics().await;
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
    let sessions = house.model.sessions();
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
    assert!(gap <= Duration::from_millis(300), "{gap:?}");
    for session in &sessions[1..] {
        let told = session.replayed();
        assert!(
            told.is_empty() || told[0].text.contains("You take over this call"),
            "{told:?}"
        );
    }
    let dropped =
        scrape.get("switchboard_audio_frames_total{direction=\"from_caller\",result=\"dropped\"}");
    assert_eq!(dropped, 0.0);
    house.stop().await;
    println!(
        "F14 sessions of 8 s: {} rollovers between turns in one call, longest gap of caller audio {gap:?} (bar 300 ms), \
         answers missing 0",
        rollovers("ok")
    );
}
