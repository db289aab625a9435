//! What must never leave the process: keys, tokens, whole phone numbers, audio, and lines that somebody else wrote.
//!
//! A service of its own process logs at the finest level, its libraries' lines included, while all kinds of things
//! happen to it; then everything it ever said is searched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use switchboard_kit::realtime::{Fault, Running};
use switchboard_kit::speech;
use switchboard_kit::twilio::signature::{SIGNATURE_HEADER, sign};
use switchboard_kit::twilio::{CallEnd, Line, Step};

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{Closed, Leg, connect_of, path_of, sid};
use test_support::{
    PUBLIC, SOON, brief_with, caller, environment, line_to, listen, say, tone, until,
};

const AUTH: &str = "canary-auth-7f3a9d1e5b8c2046";
const ADMIN: &str = "canary-admin-2c61e8f09ab4d735";
const KEY: &str = "sk-canary-b50f7e21c9d84a36";
const API_SECRET: &str = "canary-api-secret-90d2f6a1";
/// What the agent says; transcripts are off.
const WORDS: &str = "canary words of the agent";
const NUMBER: &str = "+14155550173";

fn variables(model: &Running) -> std::collections::BTreeMap<String, String> {
    let more = [
        ("TWILIO_AUTH_TOKEN", AUTH.to_owned()),
        ("SWITCHBOARD_ADMIN_TOKEN", ADMIN.to_owned()),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("TWILIO_ACCOUNT_SID", test_support::ACCOUNT.to_owned()),
        (
            "TWILIO_API_KEY",
            "SK00000000000000000000000000000001".to_owned(),
        ),
        ("TWILIO_API_SECRET", API_SECRET.to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ];
    environment(&model.url(), &more)
}

async fn start() -> (Running, Serving) {
    let model = brief_with(|script| script.greeting = tone(440, 500, WORDS));
    let model = model.keys([KEY]).start().await.unwrap();
    let serving = Serving::start(&variables(&model)).await;
    (model, serving)
}

fn line(serving: &Serving) -> Line {
    let mut line = line_to(serving.public);
    line.account.auth_token = AUTH.to_owned();
    line.from = NUMBER.to_owned();
    line
}

async fn operator(serving: &Serving, path: &str) -> String {
    let request = Request::new("GET", path).header("Authorization", &format!("Bearer {ADMIN}"));
    request.send(serving.admin).await.text()
}

/// A webhook signed with the canary token.
fn signed(path: &str, fields: &[(&str, &str)]) -> Request {
    let signature = sign(AUTH, &format!("{PUBLIC}{path}"), fields);
    Request::form(path, fields).header(SIGNATURE_HEADER, &signature)
}

/// Base64 of frames as they travel from the caller: one in the middle of the clip is enough to know all.
fn a_frame_of_the_caller() -> String {
    let clip = speech::caller("yes").unwrap().mulaw();
    STANDARD.encode(&clip[20 * 160..21 * 160])
}

#[tokio::test]
async fn no_secret_no_number_and_no_audio_is_ever_written() {
    let (model, serving) = start().await;
    let mut said = Vec::new();

    // A whole call, looked at from the desk while it lives.
    let call = {
        let line = line(&serving);
        let steps = [
            listen(),
            say("yes"),
            listen(),
            Step::Wait { ms: 500 },
            Step::HangUp,
        ];
        tokio::spawn(async move { line.call(caller(steps)).await })
    };
    until("the agent is heard", SOON, async || {
        let list: Value = serde_json::from_str(&operator(&serving, "/admin/calls").await).unwrap();
        list["calls"][0]["frames"]["to_caller"].as_u64() > Some(0)
    })
    .await;
    let list = operator(&serving, "/admin/calls").await;
    let call_sid = serde_json::from_str::<Value>(&list).unwrap()["calls"][0]["call_sid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(list.contains("+1•••••0173"), "{list}");
    said.push(list);
    let page = operator(&serving, &format!("/admin/calls/{call_sid}")).await;
    // The page of a call is where its words may be read.
    assert!(page.contains(WORDS), "{page}");
    said.push(page.replace(WORDS, ""));
    let outcome = call.await.unwrap();
    assert_eq!(outcome.end, CallEnd::CallerHungUp);
    assert!(outcome.streams[0].media_bytes > 0);

    // Strangers, forgeries, wrong keys, lost models: what goes wrong is told in more words.
    for token in ["wrong", ADMIN] {
        let request = Request::new("GET", "/admin/nothing")
            .header("Authorization", &format!("Bearer {token}"));
        said.push(request.send(serving.admin).await.text());
    }
    let forged = Request::form("/incoming-call", &ring(&sid("CA"), NUMBER));
    said.push(
        forged
            .header(SIGNATURE_HEADER, "forged")
            .send(serving.public)
            .await
            .text(),
    );
    said.push(
        Request::form("/incoming-call", &[("CallSid", NUMBER)])
            .send(serving.public)
            .await
            .text(),
    );
    model.faults().next(Fault::RefuseUpgrade {
        status: 401,
        retry_after_s: None,
    });
    let outcome = line(&serving).call(caller([])).await;
    assert_eq!(outcome.streams[0].media_bytes, 0);
    for document in &outcome.documents {
        said.push(document.body.clone());
    }
    for path in ["/readyz", "/healthz", "/metrics"] {
        said.push(Request::new("GET", path).send(serving.public).await.text());
    }
    said.push(operator(&serving, "/metrics").await);

    let log = serving.stop().await;
    let lines = log.len();
    let traced = log
        .iter()
        .filter(|line| line.contains("\"level\":\"trace\""))
        .count();
    assert!(traced > 100, "the finest level is on");
    said.extend(log);

    let digits = &NUMBER[1..];
    let basic = STANDARD.encode(format!("SK00000000000000000000000000000001:{API_SECRET}"));
    let frame = a_frame_of_the_caller();
    let canaries = [
        AUTH,
        ADMIN,
        KEY,
        API_SECRET,
        WORDS,
        NUMBER,
        digits,
        &digits[1..],
        &basic,
        &frame,
    ];
    for text in &said {
        for canary in canaries {
            if let Some(place) = text.find(canary) {
                let from = place.saturating_sub(120);
                let around: String = text.chars().skip(from).take(300).collect();
                panic!("{canary} stands in: …{around}…");
            }
        }
    }
    println!(
        "{} texts searched, {lines} of them log lines, for {} canaries: 0 hits",
        said.len(),
        canaries.len()
    );
}

/// Text that wants to be a line of its own, colour the terminal, break out of JSON and out of a page.
const ATTACK: &str = "+1415\n{\"level\":\"error\",\"msg\":\"forged\"}\r\n\u{1b}[31m\u{9b}2J\",\"msg\":\"forged\u{2028}<script>";

#[tokio::test]
async fn a_caller_cannot_write_a_line_of_the_log() {
    let (_model, serving) = start().await;
    let call = sid("CA");
    let mut fields = ring(&call, ATTACK);
    fields[5].1 = ATTACK;
    fields.push(("CallerName", ATTACK));
    fields.push(("StirVerstat", ATTACK));
    let reply = signed("/incoming-call", &fields).send(serving.public).await;
    assert_eq!(reply.status, 200);
    let path = path_of(&connect_of(&reply).stream.url);

    let signature = sign::<&str, &str>(AUTH, &format!("wss://spa.example{path}"), &[]);
    let mut leg = Leg::open(serving.public, &path, &[&signature])
        .await
        .expect("the ticket opens the socket");
    leg.call.clone_from(&call);
    leg.send(&json!({"event": "connected", "protocol": ATTACK, "version": ATTACK}))
        .await;
    let mut start = leg.start_message();
    start["start"]["customParameters"] = json!({"agent": ATTACK, ATTACK: "name"});
    leg.send(&start).await;
    leg.media().await;
    leg.send(&json!({"event": ATTACK, "streamSid": leg.stream}))
        .await;
    leg.send(&json!({"event": "mark", "streamSid": leg.stream, "mark": {"name": ATTACK}}))
        .await;
    let stream_sid = leg.stream.clone();
    until("the call is in the list", SOON, async || {
        let list = operator(&serving, "/admin/calls").await;
        assert!(!list.chars().any(char::is_control), "{list:?}");
        let list: Value = serde_json::from_str(&list).unwrap();
        list["calls"][0]["stream_sid"] == stream_sid.as_str()
    })
    .await;
    let error = [
        ("CallSid", call.as_str()),
        ("StreamEvent", "stream-error"),
        ("StreamError", ATTACK),
    ];
    assert_eq!(
        signed("/stream-status", &error)
            .send(serving.public)
            .await
            .status,
        204
    );
    assert_eq!(
        Request::form("/incoming-call?%0aforged", &fields)
            .send(serving.public)
            .await
            .status,
        403
    );
    leg.stop().await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));

    let log = serving.stop().await;
    let mut told = 0;
    for line in &log {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_ne!(event["msg"], "forged", "{line:?}");
        assert!(
            event["ts"].is_string() && event["target"].is_string(),
            "{line:?}"
        );
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{2028}'),
            "{line:?}"
        );
        told += usize::from(line.contains("forged"));
    }
    // The attack did reach the log, as text.
    assert!(told > 0);
    println!(
        "{} log lines, all of them ours; {told} quote the attacker",
        log.len()
    );
}
