//! The media socket towards a small fake service, over real loopback sockets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::twilio_support::{
    Fake, Socket, clear, drain, mark, media, next_event, next_of, send_all, stream_sid,
};
use call_protocol::audio::encode_sample;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use switchboard_kit::twilio::signature::sign;
use switchboard_kit::twilio::{
    CallEnd, CallOutcome, Caller, CallerAction, Fault, Opening, PlaybackStep, Player, Scripted,
    Silent, Step, StreamEnd, from_fn,
};
use test_times as times;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};

/// What a fake service saw, handed out of its task.
type Log = Arc<Mutex<Vec<Value>>>;

fn log() -> (Log, Log) {
    let log = Log::default();
    (log.clone(), log)
}

fn loud(ms: usize) -> Vec<u8> {
    let (high, low) = (encode_sample(6_000), encode_sample(-6_000));
    let mut audio = Vec::new();
    for _ in 0..ms {
        audio.extend([high, high, high, high, low, low, low, low]);
    }
    audio
}

fn hangs_up_at(limit_ms: u64) -> impl Caller {
    Player::new(Vec::new(), limit_ms)
}

/// Does `fault` 100 ms into the call and hangs up at 400 ms.
fn breaks(fault: Fault) -> impl Caller {
    Scripted::new(
        [
            Step::Wait { ms: 100 },
            Step::Fault(fault),
            Step::Wait { ms: 300 },
            Step::HangUp,
        ],
        10_000,
    )
}

async fn call_with<M, F>(caller: impl Caller, media: M) -> (CallOutcome, Fake)
where
    M: Fn(Socket) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let fake = Fake::with_media(media).await;
    let outcome = fake.line().call(caller).await;
    (outcome, fake)
}

/// Calls a service that writes down everything and sends nothing.
async fn call_a_listener(caller: impl Caller, opening: Opening) -> (CallOutcome, Vec<Value>, Fake) {
    let (log, seen) = log();
    let fake = Fake::with_media(move |mut socket| {
        let log = log.clone();
        async move {
            while let Some(message) = socket.next().await {
                let value = match message {
                    Ok(Message::Text(text)) => {
                        let raw = Value::String(text.to_string());
                        serde_json::from_str(&text).unwrap_or(raw)
                    }
                    Ok(Message::Close(frame)) => {
                        serde_json::json!({"closed": frame.map(|frame| u16::from(frame.code))})
                    }
                    Ok(Message::Binary(bytes)) => serde_json::json!({"binary": bytes.len()}),
                    Ok(_) => continue,
                    Err(error) => serde_json::json!({"error": error.to_string()}),
                };
                log.lock().unwrap().push(value);
            }
        }
    })
    .await;
    let mut line = fake.line();
    line.opening = opening;
    let outcome = line.call(caller).await;
    // The listener sees the end of the socket a moment after the call is over.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let seen = seen.lock().unwrap().clone();
    (outcome, seen, fake)
}

/// The events in order, repetitions folded; the empty one is the end of the socket.
fn kinds(seen: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for message in seen {
        let kind = message["event"].as_str().unwrap_or("");
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

#[tokio::test]
async fn the_upgrade_looks_like_twilios() {
    let (outcome, fake) = call_with(hangs_up_at(100), |mut socket| async move {
        drain(&mut socket).await;
    })
    .await;
    let upgrade = &fake.seen_at("/media/token1")[0];
    assert_eq!(upgrade.header("user-agent"), Some("Twilio.TmeWs/1.0"));
    assert_eq!(upgrade.header("host"), Some("spa.example"));
    assert_eq!(upgrade.header("sec-websocket-version"), Some("13"));
    for absent in [
        "origin",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
    ] {
        assert_eq!(upgrade.header(absent), None);
    }
    let token = &fake.line().account.auth_token;
    let signature = sign::<&str, &str>(token, "wss://spa.example/media/token1", &[]);
    assert_eq!(
        upgrade.header("x-twilio-signature"),
        Some(signature.as_str())
    );
    assert_eq!(outcome.streams[0].url, "wss://spa.example/media/token1");
}

#[tokio::test]
async fn a_hang_up_is_connected_start_media_stop_close() {
    let (outcome, seen, fake) = call_a_listener(hangs_up_at(500), Opening::Normal).await;
    assert_eq!(kinds(&seen), ["connected", "start", "media", "stop", ""]);
    assert_eq!(seen.last().unwrap()["closed"], 1_000);
    assert_eq!(seen[0]["protocol"], "Call");
    assert_eq!(seen[0].get("sequenceNumber"), None);

    let start = &seen[1];
    let stream_sid = start["streamSid"].as_str().unwrap();
    assert!(stream_sid.starts_with("MZ") && stream_sid.len() == 34);
    assert_eq!(start["start"]["streamSid"], stream_sid);
    assert_eq!(start["start"]["callSid"], outcome.call_sid.as_str());
    assert_eq!(start["start"]["customParameters"]["agent"], "spa");

    // One sequence over everything from `start` on, strings throughout.
    for (index, message) in seen[1..seen.len() - 1].iter().enumerate() {
        assert_eq!(message["sequenceNumber"], (index + 1).to_string());
    }
    let frames = &seen[2..seen.len() - 2];
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame["media"]["track"], "inbound");
        assert_eq!(frame["media"]["chunk"], (index + 1).to_string());
        assert_eq!(frame["media"]["timestamp"], (57 + index * 20).to_string());
        assert_eq!(frame["media"]["payload"].as_str().unwrap().len(), 216);
    }
    assert!((20..=26).contains(&frames.len()), "{}", frames.len());
    assert_eq!(outcome.streams[0].frames_sent, frames.len() as u64);
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.streams[0].end, StreamEnd::CallerHungUp);
    // No further TwiML after a hang-up.
    assert!(fake.seen_at("/after").is_empty());
    let events: Vec<_> = fake
        .seen_at("/stream-status")
        .iter()
        .map(|seen| seen.param("StreamEvent").unwrap().to_owned())
        .collect();
    assert_eq!(events, ["stream-started", "stream-stopped"]);
    let callback = &fake.seen_at("/stream-status")[0];
    assert_eq!(callback.param("StreamSid"), Some(stream_sid));
    assert_eq!(callback.param("StreamName"), Some(stream_sid));
    assert_eq!(callback.param("CallSid"), Some(outcome.call_sid.as_str()));
}

#[tokio::test]
async fn frames_leave_on_an_absolute_schedule() {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let noted = arrivals.clone();
    let (outcome, _fake) = call_with(hangs_up_at(1_500), move |mut socket| {
        let noted = noted.clone();
        async move {
            while next_of(&mut socket, "media").await.is_some() {
                noted.lock().unwrap().push(Instant::now());
            }
        }
    })
    .await;
    let arrivals = arrivals.lock().unwrap().clone();
    let count = arrivals.len() as u32;
    assert!(count >= 60, "{count}");
    assert_eq!(outcome.streams[0].frames_sent, u64::from(count));
    // Relative sleeps would add their lateness up; here the whole run keeps to 20 ms a frame.
    let whole = *arrivals.last().unwrap() - arrivals[0];
    let expected = Duration::from_millis(20) * (count - 1);
    let off = whole.abs_diff(expected);
    times::within(off, Duration::from_millis(60), expected);
}

#[tokio::test]
async fn a_mark_comes_back_when_its_audio_has_been_played() {
    let (log, seen) = log();
    let (outcome, _fake) = call_with(hangs_up_at(900), move |mut socket| {
        let log = log.clone();
        async move {
            let sid = stream_sid(&mut socket).await;
            let began = Instant::now();
            let messages = [
                mark(&sid, "idle"),
                media(&sid, &loud(200)),
                mark(&sid, "first"),
                media(&sid, &loud(200)),
                mark(&sid, "second"),
            ];
            send_all(&mut socket, messages).await;
            while let Some(echo) = next_of(&mut socket, "mark").await {
                let at_ms = began.elapsed().as_millis() as u64;
                log.lock()
                    .unwrap()
                    .push(serde_json::json!({"name": echo["mark"]["name"], "at_ms": at_ms}));
            }
        }
    })
    .await;
    let seen = seen.lock().unwrap().clone();
    let names: Vec<_> = seen.iter().map(|echo| echo["name"].as_str()).collect();
    assert_eq!(names, [Some("idle"), Some("first"), Some("second")]);
    // Not before its audio was played, and soon after it.
    for (echo, (played, bar)) in seen.iter().zip([(0, 60), (195, 290), (395, 490)]) {
        let at_ms = echo["at_ms"].as_u64().unwrap();
        assert!(at_ms >= played, "{echo}");
        times::within_ms(at_ms, bar, echo);
    }
    let stream = &outcome.streams[0];
    assert_eq!(stream.warnings, []);
    assert_eq!(stream.media_bytes, 3_200);
    assert_eq!(stream.underruns.count, 0);
    let speech = stream.agent_speech[0];
    let spoke_ms = speech.to_ms - speech.from_ms;
    assert!(spoke_ms >= 380, "{speech:?}");
    times::within_ms(spoke_ms, 440, speech);
    times::within_ms(stream.first_audio_ms.unwrap(), 100, "first audio");
    assert_eq!(
        stream.heard.len(),
        stream.duration_ms as usize * 8 + stream.heard.len() % 8
    );
}

#[tokio::test]
async fn clear_returns_all_marks_at_once_and_cuts_what_is_heard() {
    let (log, seen) = log();
    let (outcome, _fake) = call_with(hangs_up_at(900), move |mut socket| {
        let log = log.clone();
        async move {
            let sid = stream_sid(&mut socket).await;
            let mut messages = Vec::new();
            for name in ["a", "b", "c"] {
                messages.push(media(&sid, &loud(1_000)));
                messages.push(mark(&sid, name));
            }
            send_all(&mut socket, messages).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            send_all(&mut socket, [clear(&sid), media(&sid, &loud(100))]).await;
            while let Some(echo) = next_of(&mut socket, "mark").await {
                log.lock().unwrap().push(echo["mark"]["name"].clone());
            }
        }
    })
    .await;
    assert_eq!(*seen.lock().unwrap(), ["a", "b", "c"]);
    let stream = &outcome.streams[0];
    let cleared = stream.playback.iter().find_map(|entry| match &entry.what {
        PlaybackStep::Cleared {
            discarded_ms,
            marks,
        } => Some((*discarded_ms, *marks)),
        _ => None,
    });
    let (discarded_ms, marks) = cleared.unwrap();
    // All that was not heard by then.
    assert!(discarded_ms <= 2_720, "{discarded_ms}");
    times::within_ms(2_720 - discarded_ms, 120, "heard before the clear");
    assert_eq!(marks, 3);
    // 300 ms until the clear and 100 ms after it, not three seconds.
    let heard: u64 = stream.heard.iter().filter(|byte| **byte != 0xFF).count() as u64 / 8;
    assert!((380..3_000).contains(&heard), "{heard}");
    times::within_ms(heard, 500, "heard");
}

#[tokio::test]
async fn an_underrun_in_a_run_of_audio_is_counted() {
    let (outcome, _fake) = call_with(hangs_up_at(600), |mut socket| async move {
        let sid = stream_sid(&mut socket).await;
        send_all(&mut socket, [media(&sid, &loud(60))]).await;
        tokio::time::sleep(Duration::from_millis(160)).await;
        send_all(&mut socket, [media(&sid, &loud(60))]).await;
        drain(&mut socket).await;
    })
    .await;
    let underruns = outcome.streams[0].underruns;
    assert_eq!(underruns.count, 1);
    assert!(underruns.ms >= 1, "{underruns:?}");
    assert!(!times::asserted() || underruns.ms >= 80, "{underruns:?}");
    times::within_ms(underruns.ms, 200, underruns);
}

#[tokio::test]
async fn every_violation_is_a_warning_and_the_call_goes_on() {
    let (outcome, _fake) = call_with(hangs_up_at(500), |mut socket| async move {
        let sid = stream_sid(&mut socket).await;
        let text = |inside: &str| Message::text(inside.replace("SID", &sid));
        let messages = [
            Message::binary(vec![0xFF; 160]),
            text("no json"),
            text(r#"{"event":"clear","stream_sid":"SID"}"#),
            text(r#"{"event":"media","streamSid":"SID","media":{"payload":"!"}}"#),
            text(r#"{"event":"shout","streamSid":"SID"}"#),
            clear("MZffffffffffffffffffffffffffffffff"),
            media(&sid, &[0x55; 800]),
        ];
        send_all(&mut socket, messages).await;
        drain(&mut socket).await;
    })
    .await;
    let stream = &outcome.streams[0];
    let codes: Vec<_> = stream.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [31_950, 31_951, 31_951, 31_951, 31_951, 31_951]);
    assert!(stream.warnings[1].text.contains("no json"));
    assert!(stream.warnings[2].text.contains("stream_sid"));
    assert_eq!(stream.media_bytes, 800);
    assert_eq!(stream.end, StreamEnd::CallerHungUp);
}

#[tokio::test]
async fn more_than_ten_minutes_of_audio_is_thrown_away() {
    let (outcome, _fake) = call_with(hangs_up_at(600), |mut socket| async move {
        let sid = stream_sid(&mut socket).await;
        let minute = vec![0x55; 60 * 8_000];
        for _ in 0..11 {
            send_all(&mut socket, [media(&sid, &minute)]).await;
        }
        drain(&mut socket).await;
    })
    .await;
    let warnings = &outcome.streams[0].warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, 31_931);
}

#[tokio::test]
async fn pings_are_answered() {
    let (log, seen) = log();
    let (outcome, _fake) = call_with(hangs_up_at(400), move |mut socket| {
        let log = log.clone();
        async move {
            stream_sid(&mut socket).await;
            socket
                .send(Message::Ping("are you there".into()))
                .await
                .unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Pong(bytes) = message {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    log.lock().unwrap().push(Value::String(text));
                }
            }
        }
    })
    .await;
    assert_eq!(*seen.lock().unwrap(), ["are you there"]);
    assert_eq!(outcome.streams[0].pings, 1);
}

#[tokio::test]
async fn keys_arrive_as_dtmf() {
    let steps = [
        Step::Keys("4#".to_owned()),
        Step::Wait { ms: 100 },
        Step::HangUp,
    ];
    let (_, seen, _) = call_a_listener(Scripted::new(steps, 10_000), Opening::Normal).await;
    let keys: Vec<_> = seen
        .iter()
        .filter(|message| message["event"] == "dtmf")
        .map(|message| {
            assert_eq!(message["dtmf"]["track"], "inbound_track");
            message["dtmf"]["digit"].as_str().unwrap()
        })
        .collect();
    assert_eq!(keys, ["4", "#"]);
}

#[tokio::test]
async fn the_servers_close_leads_to_the_action() {
    let (outcome, fake) = call_with(Silent, |mut socket| async move {
        stream_sid(&mut socket).await;
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "goodbye".into(),
        };
        socket.close(Some(frame)).await.unwrap();
        // The emulator echoes the close.
        drain(&mut socket).await;
    })
    .await;
    let end = StreamEnd::ServerClosed {
        code: Some(1_000),
        reason: "goodbye".to_owned(),
    };
    assert_eq!(outcome.streams[0].end, end);
    assert_eq!(outcome.streams[0].warnings, []);
    assert_eq!(outcome.end, CallEnd::HungUp);
    assert_eq!(fake.seen_at("/after").len(), 1);
    assert_eq!(
        fake.seen_at("/after")[0].param("CallStatus"),
        Some("in-progress")
    );
}

#[tokio::test]
async fn a_lost_connection_is_a_stream_error_and_leads_to_the_action() {
    let (outcome, fake) = call_with(Silent, |mut socket| async move {
        stream_sid(&mut socket).await;
        drop(socket);
    })
    .await;
    let stream = &outcome.streams[0];
    assert!(
        matches!(stream.end, StreamEnd::ServerDropped { .. }),
        "{:?}",
        stream.end
    );
    assert_eq!(stream.warnings.last().unwrap().code, 31_903);
    let status = fake.seen_at("/stream-status");
    let last = status.last().unwrap();
    assert_eq!(last.param("StreamEvent"), Some("stream-error"));
    assert!(last.param("StreamError").is_some());
    assert_eq!(outcome.end, CallEnd::HungUp);
}

#[tokio::test]
async fn a_dropped_socket_has_no_stop_and_no_close() {
    let (outcome, seen, fake) = call_a_listener(breaks(Fault::DropSocket), Opening::Normal).await;
    assert_eq!(kinds(&seen), ["connected", "start", "media", ""]);
    assert!(seen.last().unwrap().get("error").is_some());
    assert_eq!(outcome.streams[0].end, StreamEnd::Dropped);
    // The caller is still there.
    assert_eq!(fake.seen_at("/after").len(), 1);

    let (outcome, _, fake) = call_a_listener(breaks(Fault::Vanish), Opening::Normal).await;
    assert_eq!(outcome.end, CallEnd::CallerVanished);
    assert!(fake.seen_at("/after").is_empty());
}

#[tokio::test]
async fn a_stall_stops_the_media_and_keeps_the_socket() {
    let (_, seen, _) = call_a_listener(breaks(Fault::Stall), Opening::Normal).await;
    let frames = seen.iter().filter(|message| message["event"] == "media");
    let frames = frames.count();
    assert!((3..=6).contains(&frames), "{frames}");
    // The hang-up at 400 ms still comes through.
    assert_eq!(seen.last().unwrap()["closed"], 1_000);
}

#[tokio::test]
async fn a_stream_error_is_reported_while_the_socket_stays_open() {
    let fault = Fault::StreamError("31924".to_owned());
    let (outcome, seen, fake) = call_a_listener(breaks(fault), Opening::Normal).await;
    let events: Vec<_> = fake
        .seen_at("/stream-status")
        .iter()
        .map(|seen| seen.param("StreamEvent").unwrap().to_owned())
        .collect();
    assert_eq!(events, ["stream-started", "stream-error"]);
    let frames = seen.iter().filter(|message| message["event"] == "media");
    assert!(frames.count() > 12);
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
}

#[tokio::test]
async fn faults_reach_the_service_as_ordered() {
    let (_, seen, _) = call_a_listener(breaks(Fault::Raw("{}".into())), Opening::Normal).await;
    assert!(seen.contains(&serde_json::json!({})));
    let (_, seen, _) = call_a_listener(breaks(Fault::Binary(vec![1, 2])), Opening::Normal).await;
    assert!(seen.contains(&serde_json::json!({"binary": 2})));
    let (_, seen, _) = call_a_listener(breaks(Fault::MalformedJson), Opening::Normal).await;
    assert!(seen.iter().any(Value::is_string));
    let (_, seen, _) = call_a_listener(breaks(Fault::InvalidBase64), Opening::Normal).await;
    let bad = seen
        .iter()
        .find(|message| message["media"]["payload"] == "not base64!");
    assert!(bad.is_some());
    let (_, seen, _) = call_a_listener(breaks(Fault::SecondStart), Opening::Normal).await;
    let starts = seen.iter().filter(|message| message["event"] == "start");
    assert_eq!(starts.count(), 2);
    let (_, seen, _) = call_a_listener(breaks(Fault::HugeFrame(300_000)), Opening::Normal).await;
    let huge = seen
        .iter()
        .filter_map(|message| message["media"]["payload"].as_str())
        .any(|payload| payload.len() == 300_000);
    assert!(huge);
    let (_, seen, _) = call_a_listener(breaks(Fault::ForeignStreamSid), Opening::Normal).await;
    let mut sids: Vec<_> = seen
        .iter()
        .filter_map(|message| message["streamSid"].as_str())
        .collect();
    sids.sort_unstable();
    sids.dedup();
    assert_eq!(sids.len(), 2);
}

#[tokio::test]
async fn lost_frames_leave_a_gap_in_time_and_lost_messages_one_in_the_sequence() {
    let (_, seen, _) = call_a_listener(breaks(Fault::LoseFrames(5)), Opening::Normal).await;
    let jump = largest_step(&seen, |message| &message["media"]["timestamp"]);
    assert_eq!(jump, 120);
    assert_eq!(largest_step(&seen, |message| &message["sequenceNumber"]), 1);
    let (_, seen, _) = call_a_listener(breaks(Fault::SkipSequence(7)), Opening::Normal).await;
    assert_eq!(largest_step(&seen, |message| &message["sequenceNumber"]), 8);
    assert_eq!(largest_step(&seen, |message| &message["media"]["chunk"]), 1);
}

fn largest_step(seen: &[Value], field: impl Fn(&Value) -> &Value) -> u64 {
    let numbers: Vec<u64> = seen
        .iter()
        .filter_map(|message| field(message).as_str()?.parse().ok())
        .collect();
    numbers
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap()
}

#[tokio::test]
async fn openings_break_the_protocol_as_ordered() {
    let cases: [(Opening, &[&str]); 5] = [
        (
            Opening::MediaBeforeStart,
            &["connected", "media", "start", "media", "stop", ""],
        ),
        (Opening::NoConnected, &["start", "media", "stop", ""]),
        (
            Opening::TwoStarts,
            &["connected", "start", "media", "stop", ""],
        ),
        (Opening::NoStart, &["connected", "stop", ""]),
        (Opening::Mute, &["stop", ""]),
    ];
    for (opening, expected) in cases {
        let (_, seen, _) = call_a_listener(hangs_up_at(150), opening).await;
        assert_eq!(kinds(&seen), expected, "{opening:?}");
    }
    let (outcome, seen, _) = call_a_listener(hangs_up_at(150), Opening::ForeignCallSid).await;
    assert_ne!(seen[1]["start"]["callSid"], outcome.call_sid.as_str());
    let (_, seen, _) = call_a_listener(hangs_up_at(150), Opening::OtherMediaFormat).await;
    assert_eq!(seen[1]["start"]["mediaFormat"]["sampleRate"], 16_000);
}

#[tokio::test]
async fn while_the_socket_is_not_read_pings_stay_unanswered() {
    let (log, seen) = log();
    let steps = [
        Step::Fault(Fault::StopReading(Duration::from_millis(400))),
        Step::Wait { ms: 700 },
        Step::HangUp,
    ];
    call_with(Scripted::new(steps, 10_000), move |mut socket| {
        let log = log.clone();
        async move {
            next_of(&mut socket, "media").await;
            let began = Instant::now();
            socket.send(Message::Ping("x".into())).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_pong() {
                    let ms = began.elapsed().as_millis() as u64;
                    log.lock().unwrap().push(ms.into());
                }
            }
        }
    })
    .await;
    let waited = seen.lock().unwrap()[0].as_u64().unwrap();
    assert!(waited >= 300, "{waited}");
    times::within_ms(waited, 600, "the pong");
}

#[tokio::test]
async fn a_service_that_does_not_read_costs_the_callers_frames() {
    let text = "x".repeat(200_000);
    let caller = from_fn(move |now_ms, _heard, _out| match now_ms {
        0..1_500 => CallerAction::Fault(Fault::Raw(text.clone())),
        1_500.. => CallerAction::HangUp,
    });
    let (outcome, _fake) = call_with(caller, |mut socket| async move {
        next_event(&mut socket).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    })
    .await;
    let stream = &outcome.streams[0];
    assert!(stream.frames_dropped > 0);
    assert_eq!(stream.warnings[0].code, 31_930);
}

#[tokio::test]
async fn a_scripted_caller_talks_with_the_agent() {
    let steps = [
        Step::WaitForAgent { quiet_ms: 200 },
        Step::Speak(loud(300).into()),
        Step::WaitToInterrupt { after_ms: 500 },
        Step::Speak(loud(100).into()),
        Step::Wait { ms: 100 },
        Step::HangUp,
    ];
    let caller = Scripted::new(steps, 10_000);
    let progress = caller.progress();
    // The agent greets, then answers with a long speech as soon as the caller is heard and quiet again.
    let (outcome, _fake) = call_with(caller, |mut socket| async move {
        let sid = stream_sid(&mut socket).await;
        send_all(&mut socket, [media(&sid, &loud(300))]).await;
        let mut caller_spoke = false;
        while let Some(frame) = next_of(&mut socket, "media").await {
            let silent = frame["media"]["payload"] == "/".repeat(213) + "w==";
            if caller_spoke && silent {
                send_all(&mut socket, [media(&sid, &loud(3_000))]).await;
                break;
            }
            caller_spoke |= !silent;
        }
        drain(&mut socket).await;
    })
    .await;
    assert_eq!(progress.finished(), 6);
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    let stream = &outcome.streams[0];
    assert_eq!(stream.caller_speech.len(), 2);
    let [greeting, speech] = stream.agent_speech[..] else {
        panic!("{:?}", stream.agent_speech);
    };
    let [answer, interruption] = stream.caller_speech[..] else {
        panic!("{:?}", stream.caller_speech);
    };
    assert!(
        answer.from_ms >= greeting.to_ms + 200,
        "{answer:?} {greeting:?}"
    );
    assert!(interruption.from_ms >= speech.from_ms + 500);
    times::within_ms(
        interruption.to_ms.saturating_sub(speech.to_ms),
        100,
        "the end",
    );
    let (caller, agent) = outcome.stereo();
    assert_eq!(caller.len(), agent.len());
    assert!(caller.len() >= stream.said.len());
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    times::of_these_tests(module_path!()).await;
}
