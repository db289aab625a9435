//! Who comes without being asked: pages that have a browser send something, and floods that would fill the log.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use test_support::child::Serving;
use test_support::http::{Request, form, ring};
use test_support::phone::sid;
use test_support::{ADMIN_TOKEN, MODEL_KEY, Options, SOON, TestService, brief, environment, until};

const DEV: [(&str, &str); 4] = [
    ("SWITCHBOARD_DEV", "1"),
    ("SWITCHBOARD_PUBLIC_URL", ""),
    ("SWITCHBOARD_ADMIN_TOKEN", ""),
    ("TWILIO_AUTH_TOKEN", ""),
];

async fn in_dev() -> TestService {
    let options = Options::default().model(brief());
    let options = DEV
        .into_iter()
        .fold(options, |options, (name, value)| options.with(name, value));
    TestService::start(options).await
}

/// The status of a WebSocket handshake with these headers.
async fn handshake(to: SocketAddr, path: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

fn ringing() -> String {
    form(&ring(&sid("CA"), "+15550142"))
}

fn posted(path: &str, host: &str) -> Request {
    Request::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Host", host)
        .body(ringing())
}

#[tokio::test]
async fn in_development_no_page_from_elsewhere_is_let_in() {
    let service = in_dev().await;
    let (public, admin) = (service.public.to_string(), service.admin.to_string());
    let evil = ("Origin", "http://evil.example");
    let rebound = "evil.example:5050";

    // A name that leads to this machine, as a page can make one for itself.
    for (method, path) in switchboard::admin_routes() {
        let asked = Request::new(method, path).header("Host", rebound);
        let reply = asked.send(service.admin).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        assert_eq!(reply.json()["error"]["code"], "foreign_host");
        let sent = Request::new(method, path)
            .header("Host", &admin)
            .header(evil.0, evil.1);
        let reply = sent.send(service.admin).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        assert_eq!(reply.json()["error"]["code"], "foreign_origin");
    }
    for path in [
        "/incoming-call",
        "/after-stream",
        "/call-status",
        "/healthz",
    ] {
        let reply = posted(path, rebound).send(service.public).await;
        assert_eq!(reply.status, 403, "{path}");
        let reply = posted(path, &public)
            .header(evil.0, evil.1)
            .send(service.public)
            .await;
        assert_eq!(reply.status, 403, "{path}");
    }
    // An image whose address rings.
    let image = Request::new("GET", &format!("/incoming-call?{}", ringing()))
        .header("Host", &public)
        .header("Sec-Fetch-Site", "cross-site");
    assert_eq!(image.send(service.public).await.status, 403);
    for headers in [
        format!("Host: {rebound}\r\n"),
        format!("Host: {public}\r\nOrigin: http://evil.example\r\n"),
        format!("Host: {public}\r\nOrigin: http://127.0.0.1:1\r\n"),
        format!("Host: {public}\r\nOrigin: null\r\n"),
    ] {
        let status = handshake(service.public, "/media-stream", &headers).await;
        assert_eq!(status, 403, "{headers}");
    }
    assert_eq!(
        service.model.sessions().len(),
        0,
        "nothing on anybody's key"
    );
    let metrics = service.metrics().await;
    let count = |family: &str, reason: &str| {
        metrics.get(&format!(
            "switchboard_{family}_total{{reason=\"{reason}\"}}"
        ))
    };
    let routes = switchboard::admin_routes().count() as f64;
    assert_eq!(count("admin_refused", "foreign_host"), routes);
    assert_eq!(count("admin_refused", "foreign_origin"), routes);
    assert_eq!(count("webhook_rejected", "foreign_host"), 4.0);
    assert_eq!(count("webhook_rejected", "foreign_origin"), 5.0);
    assert_eq!(count("stream_rejected", "foreign_host"), 1.0);
    assert_eq!(count("stream_rejected", "foreign_origin"), 3.0);

    // The developer, with curl and with the pages of the service.
    for host in [
        public.clone(),
        format!("localhost:{}", service.public.port()),
    ] {
        let reply = posted("/incoming-call", &host).send(service.public).await;
        assert_eq!(reply.status, 200, "{host}");
    }
    let own = Request::new("GET", "/admin/calls")
        .header("Host", &admin)
        .header("Origin", &format!("http://{admin}"));
    assert_eq!(own.send(service.admin).await.status, 200);
    let own = format!("Host: {public}\r\nOrigin: http://{public}\r\n");
    assert_eq!(handshake(service.public, "/media-stream", &own).await, 101);
    service.stop().await;
}

#[tokio::test]
async fn a_page_from_elsewhere_is_refused_with_the_token_too() {
    let service = TestService::start(Options::default().model(brief())).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    for (method, path) in switchboard::admin_routes() {
        for origin in ["https://evil.example", "null", "http://desk.example:8080"] {
            let reply = Request::new(method, path)
                .header("Host", "desk.example")
                .header("Origin", origin)
                .header("Authorization", &bearer)
                .send(service.admin)
                .await;
            assert_eq!(reply.status, 403, "{method} {path} from {origin}");
        }
    }
    let own = Request::new("GET", "/admin/calls")
        .header("Host", "desk.example")
        .header("Origin", "https://desk.example")
        .header("Authorization", &bearer);
    assert_eq!(own.send(service.admin).await.status, 200);
    service.stop().await;
}

/// The events of a log with this message.
fn events(lines: &[String], message: &str) -> Vec<Value> {
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    events
        .filter(|event: &Value| event["msg"] == message)
        .collect()
}

/// What these events say of a reason: lines, and things that happened.
fn told(lines: &[String], one: &str, many: &str, reason: &str) -> (usize, u64) {
    let of = |message: &str| {
        let mut events = events(lines, message);
        events.retain(|event| event["reason"] == reason);
        events
    };
    let (single, rest) = (of(one), of(many));
    let more = |events: &[Value]| -> u64 {
        events
            .iter()
            .map(|event| event["more"].as_u64().unwrap())
            .sum()
    };
    (
        single.len() + rest.len(),
        single.len() as u64 + more(&single) + more(&rest),
    )
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_push_the_log_out() {
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&environment(&model.url(), &[])).await;
    const FLOOD: usize = 300;
    let began = std::time::Instant::now();
    for round in 0..FLOOD / 10 {
        let webhooks = (0..10).map(|_| Request::form("/incoming-call", &[]).send(serving.public));
        for reply in futures_util::future::join_all(webhooks).await {
            assert_eq!(reply.status, 403);
        }
        let sockets =
            (0..10).map(|_| handshake(serving.public, "/media-stream/no-ticket", "Host: x\r\n"));
        for status in futures_util::future::join_all(sockets).await {
            assert_eq!(status, 403);
        }
        // Each waits for a second in the end.
        let tries = if round < 4 { 10 } else { 0 };
        let tokens = (0..tries).map(|_| {
            Request::new("GET", "/admin/calls")
                .header("Authorization", "Bearer wrong-token-0123456789")
                .send(serving.admin)
        });
        for reply in futures_util::future::join_all(tokens).await {
            assert_eq!(reply.status, 401);
        }
    }
    let strangers = ["webhook rejected", "webhooks rejected"];
    let all = FLOOD as u64;
    until("the last refusal is told", SOON, async || {
        told(&serving.lines(), strangers[0], strangers[1], "no_signature").1 == all
    })
    .await;
    let most = began.elapsed().as_secs() as usize + 2;
    let lines = serving.stop().await;
    for (one, many, reason) in [
        (strangers[0], strangers[1], "no_signature"),
        (
            "media socket refused",
            "media sockets refused",
            "no_signature",
        ),
    ] {
        let (written, happened) = told(&lines, one, many, reason);
        assert_eq!(happened, all, "{one}: each is counted");
        assert!(written <= most, "{one}: {written} lines in {most} s");
    }
    let (one, many) = ("admin request refused", "admin requests refused");
    let written = told(&lines, one, many, "wrong_token").0;
    assert!(written <= 1 + most / 60, "{written} lines about tokens");
    assert_eq!(
        events(&lines, one)[0]["from"],
        "127.0.0.1",
        "whoever tries leaves an address"
    );
    println!(
        "{all} refusals of each kind in {most} s: a line a second, a line a minute about tokens"
    );
}
