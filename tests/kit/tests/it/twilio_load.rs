//! The load generator against a small service that sends probes back.

use std::time::Duration;

use crate::twilio_support::{Answer, Fake, Socket, mark, media, next_of, send_all, stream_sid};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchboard_kit::probe::PROBE_MAGIC;
use switchboard_kit::twilio::Line;
use switchboard_kit::twilio::load::{LoadPlan, load};
use test_times as times;

/// What the echoing service does to a probe on its way back.
#[derive(Clone, Copy, PartialEq)]
enum Treatment {
    Echo,
    LoseEveryTenth,
    AlterEveryTenth,
    DoubleEveryTenth,
}

/// A greeting, then every probe back, the byte stream cut into pieces that fit no frame.
async fn echo(mut socket: Socket, treatment: Treatment) {
    let sid = stream_sid(&mut socket).await;
    let greeting = media(&sid, &[0x41; 4_321]);
    send_all(&mut socket, [greeting, mark(&sid, "greeting")]).await;
    let mut returned = Vec::new();
    let mut number = 0;
    while let Some(frame) = next_of(&mut socket, "media").await {
        let mut bytes = STANDARD
            .decode(frame["media"]["payload"].as_str().unwrap())
            .unwrap();
        if !bytes.starts_with(PROBE_MAGIC) {
            // What is left comes home with the silence behind the probes.
            let rest = std::mem::take(&mut returned);
            if !rest.is_empty() {
                send_all(&mut socket, [media(&sid, &rest)]).await;
            }
            continue;
        }
        number += 1;
        let tenth = number % 10 == 0;
        match treatment {
            Treatment::LoseEveryTenth if tenth => continue,
            Treatment::AlterEveryTenth if tenth => bytes[100] ^= 1,
            Treatment::DoubleEveryTenth if tenth => returned.extend_from_slice(&bytes),
            _ => {}
        }
        returned.extend_from_slice(&bytes);
        while returned.len() > 93 {
            let piece: Vec<u8> = returned.drain(..93).collect();
            send_all(&mut socket, [media(&sid, &piece)]).await;
        }
    }
}

async fn echoing(treatment: Treatment) -> Fake {
    Fake::with_media(move |socket| echo(socket, treatment)).await
}

fn plan(line: Line, calls: u32) -> LoadPlan {
    let mut plan = LoadPlan::new(line, calls, Duration::from_millis(1_000));
    plan.settle = Duration::from_millis(200);
    plan.ramp = Duration::from_millis(100);
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_comes_home_and_is_measured() {
    let fake = echoing(Treatment::Echo).await;
    let report = load(plan(fake.line(), 20)).await;
    assert_eq!(report.failure_reasons, Default::default());
    assert_eq!(report.calls_completed, 20);
    assert_eq!(report.frames_sent, 20 * 50);
    assert_eq!(report.frames_returned, 20 * 50);
    let spoilt = [
        report.frames_lost,
        report.frames_duplicated,
        report.frames_foreign,
        report.frames_out_of_order,
        report.frames_corrupt,
        report.frames_not_sent,
        report.stray_bytes,
    ];
    assert_eq!(spoilt, [0; 7]);
    assert_eq!(report.warnings, Default::default());
    let latency = report.added_latency_ms;
    // Part of each frame waits for the next one to fill a piece of 93 bytes.
    assert!(latency.p50 > 0.0, "{latency:?}");
    times::within_ms(latency.p50.ceil() as u64, 60, latency);
    assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.p999);
    assert!(latency.max >= latency.p999 * 0.99);

    let json = serde_json::to_value(&report).unwrap();
    for key in [
        "calls",
        "seconds",
        "frames_sent",
        "frames_returned",
        "frames_lost",
        "failures",
    ] {
        assert!(json[key].is_number(), "{key}");
    }
    for key in ["p50", "p99", "p999", "max"] {
        assert!(json["added_latency_ms"][key].is_number(), "{key}");
    }
    assert!(json["failure_reasons"].is_object());
    let upgrades = fake.seen_at("/media/token1").len();
    assert_eq!(upgrades, 20);
    // Both ends of each stream were reported.
    assert_eq!(fake.seen_at("/stream-status").len(), 40);
}

#[tokio::test]
async fn lost_altered_and_doubled_frames_are_counted_exactly() {
    let fake = echoing(Treatment::LoseEveryTenth).await;
    let report = load(plan(fake.line(), 2)).await;
    assert_eq!((report.frames_sent, report.frames_lost), (100, 10));
    assert_eq!(report.frames_corrupt, 0);

    let fake = echoing(Treatment::AlterEveryTenth).await;
    let report = load(plan(fake.line(), 2)).await;
    assert_eq!((report.frames_lost, report.frames_corrupt), (10, 10));

    let fake = echoing(Treatment::DoubleEveryTenth).await;
    let report = load(plan(fake.line(), 2)).await;
    assert_eq!((report.frames_lost, report.frames_duplicated), (0, 10));
    assert_eq!(report.frames_out_of_order, 0);
}

#[tokio::test]
async fn audio_of_another_call_is_noticed() {
    // Both calls get what the first one said.
    let (sender, _) = tokio::sync::broadcast::channel::<Vec<u8>>(1_000);
    let fake = Fake::with_media(move |mut socket| {
        let (sender, mut receiver) = (sender.clone(), sender.subscribe());
        async move {
            let sid = stream_sid(&mut socket).await;
            while let Some(frame) = next_of(&mut socket, "media").await {
                let payload = frame["media"]["payload"].as_str().unwrap();
                let bytes = STANDARD.decode(payload).unwrap();
                if bytes.starts_with(PROBE_MAGIC) {
                    sender.send(bytes).unwrap();
                }
                while let Ok(bytes) = receiver.try_recv() {
                    send_all(&mut socket, [media(&sid, &bytes)]).await;
                }
            }
        }
    })
    .await;
    let mut plan = plan(fake.line(), 2);
    plan.ramp = Duration::ZERO;
    let report = load(plan).await;
    assert_eq!(report.frames_lost, 0);
    assert_eq!(report.frames_foreign, 100);
}

#[tokio::test]
async fn failures_are_counted_by_kind() {
    let fake = Fake::without_media(|_| Answer::status(503)).await;
    let report = load(plan(fake.line(), 3)).await;
    assert_eq!(report.failures, 3);
    assert_eq!(report.failure_reasons["webhook_status_503"], 3);

    let fake = Fake::without_media(|_| Answer::twiml("<Say>busy</Say>")).await;
    let report = load(plan(fake.line(), 1)).await;
    assert_eq!(report.failure_reasons["twiml_without_stream"], 1);

    let fake = Fake::without_media(|seen| match seen.path.as_str() {
        "/incoming-call" => Answer::twiml(crate::twilio_support::CONNECT),
        _ => Answer::status(403),
    })
    .await;
    let report = load(plan(fake.line(), 1)).await;
    assert_eq!(report.failure_reasons["upgrade_status_403"], 1);

    let fake = Fake::with_media(|mut socket| async move {
        stream_sid(&mut socket).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        socket.close(None).await.unwrap();
    })
    .await;
    let report = load(plan(fake.line(), 1)).await;
    assert_eq!(report.failure_reasons["server_closed_1005"], 1);
    assert_eq!(report.calls_completed, 0);
    // What was sent before counts, and none of it came back.
    assert!(report.frames_sent > 0);
    assert_eq!(report.frames_lost, report.frames_sent);
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    times::of_these_tests(module_path!()).await;
}
