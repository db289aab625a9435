//! The check against small servers on loopback.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use actix_web::rt::spawn;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

const KEY: &str = "canary-openai-key";
const TOKEN: &str = "canary-auth-token";
const SID: &str = "AC00000000000000000000000000000001";

type Peer = WebSocketStream<TcpStream>;

/// A model server that plays one script with everyone who dials.
async fn model<F, R>(script: F) -> SocketAddr
where
    F: Fn(Peer) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            script(tokio_tungstenite::accept_async(socket).await.unwrap()).await;
        }
    });
    address
}

/// An HTTP server with one answer for everything; keeps the request heads it saw.
async fn http(status: &'static str, body: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

async fn say(peer: &mut Peer, event: Value) {
    peer.send(Message::text(event.to_string())).await.unwrap();
}

async fn hear(peer: &mut Peer) -> Value {
    loop {
        if let Message::Text(text) = peer.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// A model that opens a session and confirms whatever formats it is asked for.
async fn obliging(mut peer: Peer) {
    say(
        &mut peer,
        json!({"type": "session.created", "session": {"id": "sess_1"}}),
    )
    .await;
    let update = hear(&mut peer).await;
    assert_eq!(update["type"], "session.update");
    assert_eq!(update["session"]["type"], "realtime");
    say(&mut peer, json!({"type": "rate_limits.updated"})).await;
    say(
        &mut peer,
        json!({"type": "session.updated", "session": update["session"]}),
    )
    .await;
    while peer.next().await.is_some_and(|message| message.is_ok()) {}
}

fn dev(model: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("SWITCHBOARD_DEV", "1".to_owned()),
        ("SWITCHBOARD_LISTEN", "127.0.0.1:0".to_owned()),
        ("SWITCHBOARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("OPENAI_REALTIME_URL", format!("ws://{model}/v1/realtime")),
        ("OPENAI_API_KEY", KEY.to_owned()),
    ]
}

fn settings(pairs: &[(&str, String)], toml: &str) -> Settings {
    let env: BTreeMap<String, String> = pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.clone()))
        .collect();
    match Settings::from_toml(toml, Path::new("switchboard.toml"), &env) {
        Ok(settings) => settings,
        Err(error) => panic!("{error}"),
    }
}

/// Exit and report; no report may hold a secret or a control character but line ends.
async fn check(settings: &Settings, offline: bool) -> (Exit, String) {
    let mut out = Vec::new();
    let exit = run_within(settings, offline, Duration::from_millis(700), &mut out)
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("canary"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    (exit, text)
}

#[track_caller]
fn assert_line(text: &str, begin: &str) {
    assert!(
        text.lines().any(|line| line.starts_with(begin)),
        "no line begins with {begin} in\n{text}"
    );
}

#[actix_web::test]
async fn everything_that_is_named_is_tried() {
    let (twilio, asked) = http(
        "200 OK",
        json!({"sid": SID, "friendly_name": "Willow Spa", "status": "active"}).to_string(),
    )
    .await;
    let (public, _) = http("200 OK", String::new()).await;
    let mut env = dev(model(obliging).await);
    env.push(("TWILIO_ACCOUNT_SID", SID.to_owned()));
    env.push(("TWILIO_AUTH_TOKEN", TOKEN.to_owned()));
    env.push(("TWILIO_API_URL", format!("http://{twilio}")));
    env.push(("SWITCHBOARD_PUBLIC_URL", format!("http://{public}")));
    let (exit, text) = check(&settings(&env, ""), false).await;
    for begin in [
        "openai.api_key = ••••••••",
        "✓ configuration",
        "✓ model gpt-realtime-2.1: session sess_1 opened",
        "✓ model gpt-realtime-2.1 audio: µ-law both ways",
        "✓ Twilio account: Willow Spa is active",
        &format!("✓ public URL: http://{public}/healthz answered 200"),
    ] {
        assert_line(&text, begin);
    }
    assert_eq!(exit, Exit::Done);
    let head = asked.lock().unwrap().join("");
    assert!(
        head.starts_with(&format!("GET /2010-04-01/Accounts/{SID}.json HTTP/1.1")),
        "{head}"
    );
    assert!(
        head.to_lowercase().contains("authorization: basic"),
        "{head}"
    );
}

#[actix_web::test]
async fn offline_contacts_nobody() {
    // Nothing listens on a port that was bound and let go; a dial would fail the check.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (exit, text) = check(&settings(&dev(gone), ""), true).await;
    assert_line(&text, "✓ configuration");
    assert_line(&text, "– model: skipped (--offline)");
    assert_eq!(exit, Exit::Done);
}

#[actix_web::test]
async fn what_does_not_apply_in_dev_is_skipped_with_the_reason() {
    let (exit, text) = check(&settings(&dev(model(obliging).await), ""), false).await;
    assert_line(&text, "– Twilio account: skipped (no twilio.account_sid");
    assert_line(&text, "– public URL: skipped (dev");
    assert_eq!(exit, Exit::Done);
}

#[actix_web::test]
async fn a_server_that_is_not_there_fails_with_the_key_to_mend() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (exit, text) = check(&settings(&dev(gone), ""), false).await;
    assert_line(&text, "✗ model gpt-realtime-2.1: ");
    assert!(text.contains("OPENAI_REALTIME_URL"), "{text}");
    assert_line(&text, "– model gpt-realtime-2.1 audio: skipped");
    assert_eq!(exit, Exit::Failed);
}

#[actix_web::test]
async fn a_refused_upgrade_names_the_api_key() {
    let (address, heads) = http("401 Unauthorized", String::new()).await;
    let (exit, text) = check(&settings(&dev(address), ""), false).await;
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1: the server answered 401; check openai.api_key (OPENAI_API_KEY)",
    );
    assert_eq!(exit, Exit::Failed);
    let head = heads.lock().unwrap().join("");
    assert!(
        head.starts_with("GET /v1/realtime?model=gpt-realtime-2.1 HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.contains(&format!("Bearer {KEY}")) && !head.to_lowercase().contains("openai-beta"),
        "{head}"
    );
}

#[actix_web::test]
async fn an_error_event_and_a_close_reason_are_explained_without_the_key() {
    let by_event = model(|mut peer| async move {
        let message = format!("Incorrect API key provided:\u{1b}[31m {KEY}\n");
        say(
            &mut peer,
            json!({"type": "error", "error": {"code": "invalid_api_key", "message": message}}),
        )
        .await;
    })
    .await;
    let (_, text) = check(&settings(&dev(by_event), ""), false).await;
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1: the server refused: invalid_api_key: Incorrect API key provided:\\u{1b}[31m ••••••••\\n; \
         check openai.api_key",
    );

    let by_close = model(|mut peer| async move {
        let reason = "invalid_request_error.missing_model".into();
        peer.close(Some(CloseFrame {
            code: 4000.into(),
            reason,
        }))
        .await
        .unwrap();
    })
    .await;
    let (exit, text) = check(&settings(&dev(by_close), ""), false).await;
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1: the server closed with 4000 invalid_request_error.missing_model",
    );
    assert!(text.contains("OPENAI_REALTIME_MODEL"), "{text}");
    assert_eq!(exit, Exit::Failed);
}

#[actix_web::test]
async fn a_silent_server_does_not_hang_the_check() {
    let silent = model(|mut peer| async move {
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let (exit, text) = check(&settings(&dev(silent), ""), false).await;
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1: no session.created within 0.7 s",
    );
    assert_eq!(exit, Exit::Failed);
}

#[actix_web::test]
async fn a_server_that_keeps_its_own_audio_format_fails() {
    let stubborn = model(|mut peer| async move {
        say(
            &mut peer,
            json!({"type": "session.created", "session": {"id": "sess_1"}}),
        )
        .await;
        hear(&mut peer).await;
        let pcm = json!({"format": {"type": "audio/pcm", "rate": 24_000}});
        let session =
            json!({"audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": pcm}});
        say(
            &mut peer,
            json!({"type": "session.updated", "session": session}),
        )
        .await;
    })
    .await;
    let (exit, text) = check(&settings(&dev(stubborn), ""), false).await;
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1 audio: the server set audio/pcmu in and audio/pcm out",
    );
    assert_eq!(exit, Exit::Failed);
}

#[actix_web::test]
async fn pings_fragments_and_large_events_are_understood() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let address = model(|mut peer| async move {
        peer.send(Message::Ping("are you there".into())).await.unwrap();
        assert_eq!(peer.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
        // Over awc's default frame limit of 64 KiB, in three parts.
        let padding = "x".repeat(200_000);
        let event = json!({"type": "session.created", "session": {"id": "sess_big", "instructions": padding}});
        let text = event.to_string().into_bytes();
        let (first, rest) = text.split_at(10);
        let (second, third) = rest.split_at(100_000);
        for (part, code, is_final) in [
            (first, OpCode::Data(Data::Text), false),
            (second, OpCode::Data(Data::Continue), false),
            (third, OpCode::Data(Data::Continue), true),
        ] {
            peer.send(Message::Frame(Frame::message(part.to_vec(), code, is_final))).await.unwrap();
        }
        let update = hear(&mut peer).await;
        say(&mut peer, json!({"type": "session.updated", "session": update["session"]})).await;
    })
    .await;
    let (exit, text) = check(&settings(&dev(address), ""), false).await;
    assert_line(&text, "✓ model gpt-realtime-2.1: session sess_big opened");
    assert_eq!(exit, Exit::Done, "{text}");
}

#[actix_web::test]
async fn every_model_that_agents_use_is_dialled_once_with_its_agents_options() {
    // By connection.
    let updates: Arc<Mutex<Vec<Vec<Value>>>> = Arc::default();
    let seen = Arc::clone(&updates);
    let address = model(move |mut peer| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().unwrap().push(Vec::new());
            say(
                &mut peer,
                json!({"type": "session.created", "session": {"id": "sess_1"}}),
            )
            .await;
            while let Some(Ok(message)) = peer.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                let update: Value = serde_json::from_str(&text).unwrap();
                let session = update["session"].clone();
                let updated = json!({"type": "session.updated", "session": session});
                seen.lock().unwrap().last_mut().unwrap().push(session);
                say(&mut peer, updated).await;
            }
        }
    })
    .await;
    let toml = r#"
        default_agent = "a"
        [agents.a]
        instructions = "x"
        voice = "cedar"
        model = { reasoning = "low" }
        [agents.b]
        instructions = "y"
        voice = { id = "voice_1" }
        model = { name = "gpt-realtime-1.5" }
        [agents.c]
        instructions = "z"
    "#;
    let (exit, text) = check(&settings(&dev(address), toml), false).await;
    assert_eq!(exit, Exit::Done, "{text}");
    let updates = updates.lock().unwrap();
    let [older, newer] = updates.as_slice() else {
        panic!("{updates:?}")
    };
    let voices = |updates: &[Value]| -> Vec<Value> {
        let voice = |session: &Value| session["audio"]["output"]["voice"].clone();
        updates.iter().map(voice).collect()
    };
    assert_eq!(voices(older), [json!({"id": "voice_1"})]);
    assert_eq!(older[0]["reasoning"], Value::Null);
    assert_eq!(voices(newer), [json!("cedar"), json!("marin")]);
    assert_eq!(newer[0]["reasoning"]["effort"], "low");
}

#[actix_web::test]
async fn twilio_refusals_are_told_apart_by_what_was_shown() {
    let (twilio, _) = http("401 Unauthorized", String::new()).await;
    let mut env = dev(model(obliging).await);
    env.push(("TWILIO_ACCOUNT_SID", SID.to_owned()));
    env.push(("TWILIO_API_URL", format!("http://{twilio}")));
    let mut by_token = env.clone();
    by_token.push(("TWILIO_AUTH_TOKEN", TOKEN.to_owned()));
    let (exit, text) = check(&settings(&by_token, ""), false).await;
    assert_line(
        &text,
        "✗ Twilio account: Twilio answered 401; check twilio.account_sid (TWILIO_ACCOUNT_SID)",
    );
    assert_eq!(exit, Exit::Failed);

    let mut by_key = env;
    by_key.push(("TWILIO_API_KEY", "SKcanary".to_owned()));
    by_key.push(("TWILIO_API_SECRET", "canary-secret".to_owned()));
    let (exit, text) = check(&settings(&by_key, ""), false).await;
    assert_line(
        &text,
        "– Twilio account: skipped (Twilio answered 401: an API key cannot read the account",
    );
    assert_eq!(exit, Exit::Done);
}

#[actix_web::test]
async fn an_account_that_is_not_active_or_not_ours_fails() {
    for (body, words) in [
        (
            json!({"sid": SID, "status": "suspended"}).to_string(),
            "the account is suspended",
        ),
        (
            json!({"sid": "AC9", "status": "active"}).to_string(),
            "the answer is not about the account",
        ),
        ("<html>".to_owned(), "the answer is not about the account"),
    ] {
        let (twilio, _) = http("200 OK", body).await;
        let mut env = dev(model(obliging).await);
        env.push(("TWILIO_ACCOUNT_SID", SID.to_owned()));
        env.push(("TWILIO_AUTH_TOKEN", TOKEN.to_owned()));
        env.push(("TWILIO_API_URL", format!("http://{twilio}")));
        let (exit, text) = check(&settings(&env, ""), false).await;
        assert_line(&text, &format!("✗ Twilio account: {words}"));
        assert_eq!(exit, Exit::Failed);
    }
}

#[actix_web::test]
async fn a_public_url_that_leads_elsewhere_fails_and_so_does_bad_tls() {
    let (public, _) = http("502 Bad Gateway", String::new()).await;
    let mut env = dev(model(obliging).await);
    env.push(("SWITCHBOARD_PUBLIC_URL", format!("http://{public}")));
    let (exit, text) = check(&settings(&env, ""), false).await;
    assert_line(
        &text,
        &format!(
            "✗ public URL: http://{public}/healthz answered 502; check that server.public_url"
        ),
    );
    assert_eq!(exit, Exit::Failed);

    env.pop();
    env.push(("SWITCHBOARD_PUBLIC_URL", format!("https://{public}")));
    let (exit, text) = check(&settings(&env, ""), false).await;
    assert_line(&text, &format!("✗ public URL: https://{public}/healthz: "));
    assert_eq!(exit, Exit::Failed);
}

/// A house with a tool of its own and two agents on one model.
const TWO_AGENTS: &str = r#"
default_agent = "spa"

[agents.spa]
instructions = "You answer the phone of a spa."
tools = ["lookup", "end_call", "book_appointment"]
turn_detection = { type = "server_vad", threshold = 0.7, silence_duration_ms = 640 }

[agents.porter]
instructions = "You are the night porter."
turn_detection = { type = "semantic_vad", eagerness = "low" }

[tools.lookup]
kind = "http"
description = "Finds a customer."
url = "https://crm.example/lookup"
parameters = { type = "object", properties = { phone = { type = "string" } } }
"#;

#[actix_web::test]
async fn every_agent_is_tried_with_what_its_calls_would_send() {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let updates = Arc::clone(&heard);
    let address = model(move |mut peer| {
        let updates = Arc::clone(&updates);
        async move {
            let session = json!({"id": "sess_1"});
            say(
                &mut peer,
                json!({"type": "session.created", "session": session}),
            )
            .await;
            for _ in 0..2 {
                let update = hear(&mut peer).await;
                updates.lock().unwrap().push(update.clone());
                // The porter's way to find turns is refused.
                let detection = &update["session"]["audio"]["input"]["turn_detection"];
                let answer = if detection["type"] == "semantic_vad" {
                    let error = json!({"code": "invalid_value", "message": "No such eagerness."});
                    json!({"type": "error", "error": error})
                } else {
                    json!({"type": "session.updated", "session": update["session"]})
                };
                say(&mut peer, answer).await;
            }
            while peer.next().await.is_some_and(|message| message.is_ok()) {}
        }
    })
    .await;
    let (exit, text) = check(&settings(&dev(address), TWO_AGENTS), false).await;
    assert_line(
        &text,
        "✓ model gpt-realtime-2.1 audio, agent spa: µ-law both ways",
    );
    assert_line(
        &text,
        "✗ model gpt-realtime-2.1 audio, agent porter: the server refused: invalid_value: No such eagerness.; \
         check the agent's voice, turn detection, transcription, tools",
    );
    assert_eq!(exit, Exit::Failed);
    let heard = heard.lock().unwrap();
    let session = &heard[0]["session"];
    assert_eq!(session["instructions"], "You answer the phone of a spa.");
    let input = &session["audio"]["input"];
    assert_eq!(input["turn_detection"]["silence_duration_ms"], 640);
    assert!(input["transcription"]["model"].is_string(), "{input}");
    let mut tools: Vec<_> = session["tools"].as_array().unwrap().iter().collect();
    tools.sort_by_key(|tool| tool["name"].to_string());
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["book_appointment", "end_call", "lookup"]);
    assert_eq!(
        tools[2]["parameters"]["properties"]["phone"]["type"],
        "string"
    );
}
