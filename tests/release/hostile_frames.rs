//! Bytes that no WebSocket library would send, from a peer that has a ticket and means harm, and from a model.
//!
//! The codec below both legs repeats some errors for ever and buffers what it is told will come; two bytes from
//! anyone must not pin a core, nor a header fill the memory.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;
use switchboard_kit::twilio::{CallEnd, CallOutcome, Step};
use test_support::http::Scrape;
use test_support::phone::sid;
use test_support::proc::processor_time;
use test_support::socket::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, Sender, TEXT, Verdict, frame,
};
use test_support::{Options, SOON, TestService, brief_with, caller, times, tone, until};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// What one attacker sends, and the close code they get.
struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
    code: u16,
}

fn attack(name: &'static str, bytes: Vec<u8>, code: u16) -> Attack {
    Attack { name, bytes, code }
}

/// What the service refuses of this peer, whose messages may have so many bytes.
fn attacks(from: Sender, limit: usize) -> Vec<Attack> {
    let text = FIN | TEXT;
    let frame = |first: u8, payload: &[u8]| from.frame(first, payload);
    let many = |count: usize, frame: Vec<u8>| frame.repeat(count);
    let fragments = |count: usize, size: usize| {
        let mut bytes = frame(TEXT, b"{");
        bytes.extend(many(count, frame(CONTINUATION, &vec![b' '; size])));
        bytes
    };
    let wrong_mask = match from {
        Sender::Twilio => Sender::Model,
        Sender::Model => Sender::Twilio,
    };
    let not_utf8 = |bytes: &[u8]| [br#"{"type":""#, bytes, br#""}"#].concat();
    vec![
        attack(
            "a reserved bit, as a compressed frame has",
            frame(text | 0x40, b"{}"),
            1002,
        ),
        attack("all reserved bits", frame(text | 0x70, b"{}"), 1002),
        attack(
            "a frame masked as the other side's",
            wrong_mask.frame(text, b"{}"),
            1002,
        ),
        attack("an unknown opcode", frame(FIN | 0x3, b"{}"), 1002),
        attack("an unknown control opcode", frame(FIN | 0xB, b""), 1002),
        attack("text that is not UTF-8", frame(text, &[0xC3, 0x28]), 1007),
        attack(
            "text that ends inside a character",
            frame(text, &[0xE2, 0x82]),
            1007,
        ),
        attack(
            "an overlong character in an event",
            frame(text, &not_utf8(&[0xC0, 0xAF])),
            1007,
        ),
        attack(
            "a surrogate in an event",
            frame(text, &not_utf8(&[0xED, 0xA0, 0x80])),
            1007,
        ),
        attack(
            "a character beyond the last one in an event",
            frame(text, &not_utf8(&[0xF4, 0x90, 0x80, 0x80])),
            1007,
        ),
        attack(
            "a fragment that is not UTF-8, of a message that does not end",
            [frame(TEXT, b"{"), frame(CONTINUATION, &[0xFF])].concat(),
            1007,
        ),
        attack(
            "fragments that end inside a character",
            [frame(TEXT, &[0xE2]), frame(FIN | CONTINUATION, &[0x82])].concat(),
            1007,
        ),
        attack(
            "a continuation of nothing",
            frame(FIN | CONTINUATION, b"{}"),
            1002,
        ),
        attack(
            "a message inside a message",
            [frame(TEXT, b"{"), frame(text, b"{}")].concat(),
            1002,
        ),
        attack("a fragmented ping", frame(PING, b""), 1002),
        attack("a fragmented close", frame(CLOSE, b""), 1002),
        attack(
            "a control frame over 125 bytes",
            frame(FIN | PING, &[0; 126]),
            1002,
        ),
        attack(
            "a close frame with half a code",
            frame(FIN | CLOSE, &[3]),
            1002,
        ),
        attack(
            "a close frame with a code nobody may send",
            frame(FIN | CLOSE, &1005_u16.to_be_bytes()),
            1002,
        ),
        attack(
            "a close frame whose reason is not UTF-8",
            frame(FIN | CLOSE, &[3, 232, 0xC3, 0x28]),
            1002,
        ),
        attack(
            "a byte of text too many",
            frame(text, &vec![b' '; limit + 1]),
            1009,
        ),
        attack(
            "the head of a frame of 4 GiB",
            from.head(text, 4 << 30),
            1009,
        ),
        attack(
            "the head of a frame of 2^63 bytes",
            from.head(text, 1 << 63),
            1009,
        ),
        attack(
            "the head of a ping of 4 GiB",
            from.head(FIN | PING, 4 << 30),
            1009,
        ),
        attack("a thousand fragments", fragments(1_000, 1), 1009),
        attack(
            "fragments of a quarter more than a message together",
            fragments(20, limit / 16),
            1009,
        ),
        attack("a binary frame", frame(FIN | BINARY, &[0xFF; 160]), 1003),
        attack(
            "a fragmented binary frame",
            frame(BINARY, &[0xFF; 160]),
            1003,
        ),
        attack(
            "a thousand pings",
            many(1_000, frame(FIN | PING, b"!")),
            1008,
        ),
        attack(
            "a thousand pongs",
            many(1_000, frame(FIN | PONG, b"")),
            1008,
        ),
    ]
}

/// Each refusal is counted, and nothing else.
fn are_counted(attacks: &[Attack], peer: &str, scrape: &Scrape) {
    let counted = |code: u16| attacks.iter().filter(|attack| attack.code == code).count() as f64;
    for (code, kind) in [
        (1002, "websocket_protocol"),
        (1007, "invalid_utf8"),
        (1009, "too_large"),
        (1003, "binary_frame"),
        (1008, "control_flood"),
    ] {
        assert_eq!(scrape.violations(peer, kind), counted(code), "{kind}");
    }
    assert_eq!(scrape.get("switchboard_panics_total"), 0.0);
}

/// A service with a neighbour on the line, who listens to one long tone.
async fn service_with_neighbour(listens_ms: u64) -> (TestService, JoinHandle<CallOutcome>) {
    let model = brief_with(|script| script.greeting = tone(440, listens_ms, "Hello."));
    let service = TestService::start(Options::default().model(model)).await;
    let line = service.line();
    let steps = [Step::WaitForAgent { quiet_ms: 600 }, Step::HangUp];
    let call = tokio::spawn(async move { line.call(caller(steps)).await });
    until("the neighbour hears the agent", SOON, async || {
        service.calls().await["calls"][0]["frames"]["to_caller"]
            .as_u64()
            .unwrap_or(0)
            > 0
    })
    .await;
    (service, call)
}

/// The neighbour heard the whole tone without a gap.
async fn was_undisturbed(neighbour: JoinHandle<CallOutcome>, listens_ms: u64) {
    let outcome = neighbour.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert_eq!(outcome.complaints(), []);
    let stream = &outcome.streams[0];
    assert_eq!(stream.agent_speech.len(), 1, "{:?}", stream.agent_speech);
    let gaps = stream.underruns.ms;
    let spoken = stream.agent_speech[0].to_ms - stream.agent_speech[0].from_ms;
    assert!(spoken + 40 >= listens_ms, "{spoken} ms of {listens_ms}");
    times::within_ms(gaps, 0, stream.underruns);
    times::within_ms(spoken, listens_ms + 40, "one tone");
}

/// The share of a core this process uses in that time.
async fn cores_used(over: Duration) -> f64 {
    let (began, before) = (Instant::now(), processor_time(std::process::id()));
    tokio::time::sleep(over).await;
    (processor_time(std::process::id()) - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hostile_frame_ends_its_own_call_and_nothing_else() {
    if !times::is_own_process("hostile_frames::a_hostile_frame_ends_its_own_call_and_nothing_else")
        .await
    {
        return;
    }
    let listens_ms = 14_000;
    let (service, neighbour) = service_with_neighbour(listens_ms).await;
    let mut open = Vec::new();
    let mut busiest: f64 = 0.0;
    let attacks = attacks(Sender::Twilio, 64 << 10);
    for Attack { name, bytes, code } in &attacks {
        let mut socket = service.pick_up_raw(&sid("CA")).await;
        socket.send(bytes).await;
        assert_eq!(socket.verdict(SOON).await, Verdict::Closed(*code), "{name}");
        until(
            &format!("the call is gone after {name}"),
            SOON,
            async || service.calls().await["count"] == 1,
        )
        .await;
        // A spinning worker uses a whole core, also when its peer says no more.
        let cores = cores_used(Duration::from_millis(150)).await;
        assert!(cores < 0.6, "{name}: {cores:.2} cores");
        busiest = busiest.max(cores);
        open.push(socket);
    }
    let with_sockets_open = cores_used(Duration::from_secs(1)).await;
    drop(open);
    was_undisturbed(neighbour, listens_ms).await;
    let alone = cores_used(Duration::from_secs(1)).await;
    assert!(
        with_sockets_open < 0.4 && alone < 0.1,
        "{with_sockets_open:.2}, {alone:.2}"
    );
    service.empty().await;
    let scrape = service.metrics().await;
    are_counted(&attacks, "twilio", &scrape);
    service.stop().await;
    println!(
        "{} hostile frames: busiest {busiest:.2} cores just after, {with_sockets_open:.2} cores with one call and all \
         attackers' sockets, {alone:.2} cores idle; the neighbour's call without a gap",
        attacks.len()
    );
}

/// A model that meets its first visitors with one attack each, once they have told what they want, and all others with
/// nothing; gives the name of each attack and the code it was closed with.
async fn hostile_model(listener: TcpListener, attacks: Vec<Attack>, told: Told) {
    for Attack { name, bytes, code } in attacks {
        let (socket, _) = listener.accept().await.unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            let mut session = tokio_tungstenite::accept_async(socket).await.unwrap();
            let first = session.next().await;
            assert!(matches!(first, Some(Ok(Message::Text(_)))), "{first:?}");
            // The service may have closed before it was told everything.
            let _ = session.get_mut().write_all(&bytes).await;
            let closed = loop {
                match session.next().await {
                    Some(Ok(Message::Close(reason))) => break reason.map(|reason| reason.code),
                    Some(Ok(_)) => {}
                    _ => break None,
                }
            };
            told.send((name, closed.map(u16::from), code))
                .await
                .unwrap();
        });
    }
}

/// The name of an attack, the code it was closed with, the code it should be closed with.
type Told = mpsc::Sender<(&'static str, Option<u16>, u16)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hostile_frame_of_a_model_ends_its_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/realtime", listener.local_addr().unwrap());
    let service = TestService::start(Options::default().with("OPENAI_REALTIME_URL", &url)).await;
    let attacks = || attacks(Sender::Model, 4 << 20);
    let (told, mut verdicts) = mpsc::channel(attacks().len());
    let model = tokio::spawn(hostile_model(listener, attacks(), told));
    let mut calls = Vec::new();
    for _ in attacks() {
        let mut leg = service.pick_up(&sid("CA")).await;
        leg.begin().await;
        calls.push(leg);
    }
    let mut met = 0;
    while let Ok(Some((name, closed, code))) = timeout(SOON, verdicts.recv()).await {
        assert_eq!(closed, Some(code), "{name}");
        met += 1;
    }
    assert_eq!(met, attacks().len());
    model.await.unwrap();
    drop(calls);
    service.empty().await;
    are_counted(&attacks(), "model", &service.metrics().await);
    service.stop().await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_words() {
    let service = TestService::start(Options::default().model(brief_with(|_| {}))).await;
    let mut socket = service.pick_up_raw(&sid("CA")).await;
    socket.send(&frame(FIN | PING, b"are you there?")).await;
    let pong = socket.next().await;
    assert_eq!(
        pong,
        Some(Frame {
            opcode: PONG,
            payload: b"are you there?".to_vec()
        })
    );
    service.stop().await;
}

#[tokio::test]
async fn a_close_is_echoed_and_ends_the_call() {
    let service = TestService::start(Options::default().model(brief_with(|_| {}))).await;
    let mut socket = service.pick_up_raw(&sid("CA")).await;
    socket
        .send(&frame(FIN | CLOSE, &1000_u16.to_be_bytes()))
        .await;
    assert_eq!(socket.verdict(SOON).await, Verdict::Closed(1000));
    let echoed = Instant::now();
    assert_eq!(
        socket.next().await,
        None,
        "the connection ends after the echo"
    );
    // What follows `<Connect>` may wait for it.
    let ended = echoed.elapsed();
    times::within(ended, Duration::from_secs(1), "ended");
    println!("the connection ended {ended:?} after its close frame, bar 1 s");
    service.empty().await;
    assert_eq!(
        service
            .metric("switchboard_calls_total{outcome=\"phone_lost\"}")
            .await,
        1.0
    );
    service.stop().await;
}

#[tokio::test]
async fn fragments_with_a_ping_between_them_are_one_message() {
    let service = TestService::start(Options::default().model(brief_with(|_| {}))).await;
    let call = sid("CA");
    let mut socket = service.pick_up_raw(&call).await;
    let stream = sid("MZ");
    let start = json!({"event": "start", "sequenceNumber": "1", "streamSid": stream, "start": {
        "accountSid": test_support::ACCOUNT, "streamSid": stream, "callSid": call, "note": "\u{fc}ber alles verteilt",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}})
    .to_string();
    socket
        .send_text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#)
        .await;
    // Cut inside a character, which only the whole has to spell.
    let cut = start.find('\u{fc}').unwrap() + 1;
    let (first, last) = start.as_bytes().split_at(cut);
    for bytes in [
        frame(TEXT, first),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, last),
    ] {
        socket.send(&bytes).await;
    }
    until("the stream is known", SOON, async || {
        service.calls().await["calls"][0]["stream_sid"] == stream.as_str()
    })
    .await;
    assert_eq!(
        service
            .metrics()
            .await
            .sum("switchboard_protocol_violations_total"),
        0.0
    );
    service.stop().await;
}

#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_of_a_frame_leaves_nothing_behind() {
    let service = TestService::start(Options::default().model(brief_with(|_| {}))).await;
    let mut socket = service.pick_up_raw(&sid("CA")).await;
    let whole = frame(FIN | TEXT, br#"{"event":"connected"}"#);
    socket.send(&whole[..whole.len() / 2]).await;
    until("the call is there", SOON, async || {
        service.calls().await["count"] == 1
    })
    .await;
    drop(socket);
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.get("switchboard_calls_total{outcome=\"phone_lost\"}"),
        1.0
    );
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    service.stop().await;
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    test_support::times::of_these_tests(module_path!()).await;
}
