//! Audio of every size: what is no multiple of a frame is audio all the same, what is none is counted, what is too much is
//! refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use test_support::phone::{Closed, Leg, sid};
use test_support::{Options, SOON, TestService, brief, until};

/// Caller audio of this many bytes, each of this value.
async fn say(leg: &mut Leg, bytes: usize, value: u8) {
    let payload = STANDARD.encode(vec![value; bytes]);
    let media = json!({"event": "media", "streamSid": leg.stream, "media": {"payload": payload}});
    leg.send(&media).await;
}

#[tokio::test]
async fn audio_of_odd_lengths_arrives_and_audio_of_none_is_counted() {
    /// No silence that anybody fills in has it.
    const VALUE: u8 = 0x55;
    let service = TestService::start(Options::default().model(brief())).await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    while leg.heard().await.unwrap()["event"] != "media" {}
    let lengths = [1, 2, 3, 159, 161, 1_601, 8_001, 40_001];
    for bytes in lengths {
        say(&mut leg, bytes, VALUE).await;
    }
    let all: usize = lengths.iter().sum();
    let session = service.model.session(1).unwrap();
    let arrived = || {
        session
            .appended()
            .iter()
            .filter(|byte| **byte == VALUE)
            .count()
    };
    until("all of it is at the model", SOON, async || arrived() >= all).await;
    assert_eq!(arrived(), all, "and not a byte more");
    for _ in 0..3 {
        say(&mut leg, 0, VALUE).await;
    }
    until("nothing is counted three times", SOON, async || {
        service.metrics().await.violations("twilio", "bad_payload") == 3.0
    })
    .await;
    assert_eq!(service.calls().await["calls"][0]["state"], "media");
    service.stop().await;
    println!(
        "{all} bytes in messages of {lengths:?}: all at the model; 3 messages of 0 bytes counted"
    );
}

#[tokio::test]
async fn a_megabyte_of_audio_in_one_message_is_too_much() {
    let service = TestService::start(Options::default().model(brief())).await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    say(&mut leg, 1 << 20, 0xFF).await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1009)));
    service.empty().await;
    assert_eq!(
        service.metrics().await.violations("twilio", "too_large"),
        1.0
    );
    service.stop().await;
}

#[tokio::test]
async fn a_megabyte_of_audio_at_once_is_kept_within_bounds() {
    let service = TestService::start(Options::default().model(brief())).await;
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    while leg.heard().await.unwrap()["event"] != "media" {}
    // In messages as large as may be, two minutes of it in a moment.
    let (size, times) = (40_000, 26);
    for _ in 0..times {
        say(&mut leg, size, 0x55).await;
    }
    let session = service.model.session(1).unwrap();
    let arrived = || {
        session
            .appended()
            .iter()
            .filter(|byte| **byte == 0x55)
            .count()
            / size
    };
    // What the model's socket cannot take at once is dropped and counted; nothing else is.
    until("all of it is somewhere", SOON, async || {
        let dropped =
            "switchboard_audio_frames_total{direction=\"from_caller\",result=\"dropped\"}";
        arrived() as f64 + service.metric(dropped).await >= f64::from(times)
    })
    .await;
    assert_eq!(service.calls().await["calls"][0]["state"], "media");
    println!(
        "{times} messages of {size} bytes at once: {} at the model, the others dropped and counted",
        arrived()
    );
    service.stop().await;
}
