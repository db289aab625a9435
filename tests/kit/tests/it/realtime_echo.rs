//! Probe frames come back unchanged, in order and cheaply.

use std::time::{Duration, Instant};

use crate::realtime_client::{Client, PATIENCE, quick, session};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard_kit::probe::PROBE_MAGIC;
use switchboard_kit::realtime::Source;
use tokio_tungstenite::tungstenite::Message;

fn probe(number: u32) -> Vec<u8> {
    let mut frame = PROBE_MAGIC.to_vec();
    frame.extend_from_slice(&number.to_le_bytes());
    frame.resize(160, number as u8);
    frame
}

async fn echoed(client: &mut Client) -> Vec<u8> {
    let delta = client.until("response.output_audio.delta").await;
    STANDARD.decode(delta["delta"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn probes_come_back_in_order_in_one_response_that_then_ends() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    client.speak("yes").await;
    client.until("response.done").await;
    for number in 0..50 {
        client.append(&probe(number)).await;
        // What the line sends between probes is not for the detector now.
        client
            .append(switchboard_kit::speech::caller("hello").unwrap().mulaw())
            .await;
        assert_eq!(echoed(&mut client).await, probe(number));
    }
    let responses: std::collections::BTreeSet<String> = client
        .of("response.output_audio.delta")
        .iter()
        .rev()
        .take(50)
        .map(|delta| delta["response_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(responses.len(), 1);
    let active = client.refused(json!({"type": "response.create"})).await;
    assert_eq!(active["code"], "conversation_already_has_active_response");
    let seen = session(&server, 1).await;
    assert!(
        seen.until(PATIENCE, |session| session.echoed_frames() == 50)
            .await
    );
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    client.silence(20).await;
    let done = client.until("response.done").await;
    assert_eq!(done["response"]["status"], "completed");
    assert_eq!(seen.responses().last().unwrap().source, Source::Echo);
    assert_eq!(seen.responses().last().unwrap().audio_ms, 1_000);
    // And the conversation goes on.
    client.speak("hello").await;
    client.until("response.done").await;
}

#[tokio::test]
async fn an_echo_can_be_cut_and_cancelled_like_an_answer() {
    let server = quick().start().await.unwrap();
    let mut client = Client::ready(&server).await;
    for number in 0..5 {
        client.append(&probe(number)).await;
        echoed(&mut client).await;
    }
    let item = client.seen.last().unwrap()["item_id"].clone();
    client.send(json!({"type": "response.cancel"})).await;
    client.until("response.done").await;
    let error = client
        .refused(json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": 101}))
        .await;
    assert_eq!(
        error["message"],
        "Audio content of 100ms is already shorter than 101ms"
    );
}

/// The time this thread has spent on the CPU, in our code and in the kernel, in clock ticks of 10 ms.
fn cpu_of(thread: &str) -> [u64; 2] {
    let mut ticks = [0; 2];
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.trim() == thread {
            let stat = std::fs::read_to_string(path.join("stat")).unwrap();
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap()
                .split_whitespace()
                .collect();
            ticks[0] += fields[11].parse::<u64>().unwrap();
            ticks[1] += fields[12].parse::<u64>().unwrap();
        }
    }
    ticks
}

/// Run it with `--release --ignored --nocapture`: prints microseconds of CPU a frame.
#[test]
#[ignore = "a measurement"]
fn what_an_echoed_frame_costs() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("emulated-model")
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(async { tokio::spawn(quick().start()).await.unwrap().unwrap() });
    let clients = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    const CALLS: usize = 200;
    const SECONDS: usize = 10;
    clients.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..CALLS {
            sockets.push(Client::ready(&server).await);
        }
        let before = cpu_of("emulated-model");
        let tasks: Vec<_> = sockets
            .into_iter()
            .enumerate()
            .map(|(call, mut client)| {
                tokio::spawn(async move {
                    let phase = Duration::from_micros(20_000 * call as u64 / CALLS as u64);
                    let start = tokio::time::Instant::now() + phase;
                    let mut returned = 0;
                    let mut worst = Duration::ZERO;
                    for frame in 0..SECONDS * 50 {
                        tokio::time::sleep_until(start + Duration::from_millis(20 * frame as u64)).await;
                        let text = json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(probe(frame as u32))});
                        let sent = Instant::now();
                        client.socket.send(Message::text(text.to_string())).await.unwrap();
                        loop {
                            let Some(Ok(Message::Text(text))) = client.socket.next().await else {
                                panic!("lost");
                            };
                            if text.contains("output_audio.delta") {
                                worst = worst.max(sent.elapsed());
                                let delta: Value = serde_json::from_str(&text).unwrap();
                                let audio = STANDARD.decode(delta["delta"].as_str().unwrap()).unwrap();
                                assert_eq!(audio, probe(frame as u32));
                                returned += 1;
                                break;
                            }
                        }
                    }
                    (returned, worst)
                })
            })
            .collect();
        let mut returned = 0;
        let mut worst = Duration::ZERO;
        for task in tasks {
            let (frames, slowest) = task.await.unwrap();
            returned += frames;
            worst = worst.max(slowest);
        }
        assert_eq!(returned, CALLS * SECONDS * 50);
        let after = cpu_of("emulated-model");
        let [ours, kernel] = [0, 1].map(|part| (after[part] - before[part]) as f64 * 10_000.0 / returned as f64);
        println!("{CALLS} sessions, {returned} frames: {ours:.2} us of CPU a frame and {kernel:.2} us in the kernel, slowest round trip {worst:?}");
    });
}
