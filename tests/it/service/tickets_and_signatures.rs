//! Who is believed: signed webhooks, sockets with a ticket, operators with the token; and nobody else.

use std::time::{Duration, SystemTime};

use switchboard::trust::ticket::{LIFE, TOLERANCE, TicketIssuer};
use switchboard_kit::twilio::signature::{SIGNATURE_HEADER, sign};

use test_support::http::{Reply, Request, form, ring};
use test_support::phone::{Closed, connect_of, path_of, sid};
use test_support::{
    ACCOUNT, ADMIN_TOKEN, AUTH_TOKEN, Options, PUBLIC, SOON, TestService, brief, times, until,
};

async fn service() -> TestService {
    TestService::start(Options::default().model(brief())).await
}

fn is_refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 403, "{what}");
    assert_eq!(reply.text(), "", "{what}");
}

// ---- webhooks ----

const WEBHOOKS: [&str; 7] = [
    "/incoming-call",
    "/after-stream",
    "/after-dial",
    "/briefing",
    "/briefing-key",
    "/stream-status",
    "/call-status",
];

#[tokio::test]
async fn forged_webhooks_are_refused_without_a_word() {
    let service = service().await;
    let call = sid("CA");
    let honest = ring(&call, "+15550142");
    let mut forgeries = 0;
    for path in WEBHOOKS {
        let url = format!("{PUBLIC}{path}");
        let signature = sign(AUTH_TOKEN, &url, &honest);
        let mut altered = honest.clone();
        altered[4].1 = "+15550143";
        let mut extra = honest.clone();
        extra.push(("Extra", "1"));
        let fewer = &honest[..honest.len() - 1];
        let signed_for = |url: &str| sign(AUTH_TOKEN, url, &honest);
        let signed = |form: Request, signature: &str| form.header(SIGNATURE_HEADER, signature);
        let requests = [
            ("no signature", Request::form(path, &honest)),
            (
                "an empty signature",
                signed(Request::form(path, &honest), ""),
            ),
            (
                "not a signature",
                signed(
                    Request::form(path, &honest),
                    "bm90IGEgc2lnbmF0dXJlIGF0IGFsbCE=",
                ),
            ),
            (
                "an altered field",
                signed(Request::form(path, &altered), &signature),
            ),
            (
                "an extra field",
                signed(Request::form(path, &extra), &signature),
            ),
            (
                "a missing field",
                signed(Request::form(path, fewer), &signature),
            ),
            (
                "a query that was not signed",
                signed(Request::form(&format!("{path}?a=b"), &honest), &signature),
            ),
            (
                "signed for another host",
                signed(
                    Request::form(path, &honest),
                    &signed_for(&format!("https://evil.example{path}")),
                ),
            ),
            (
                "signed for plain http",
                signed(
                    Request::form(path, &honest),
                    &signed_for(&format!("http://spa.example{path}")),
                ),
            ),
            (
                "signed for another path",
                signed(
                    Request::form(path, &honest),
                    &signed_for(&format!("{PUBLIC}/other")),
                ),
            ),
            (
                "signed for another port",
                signed(
                    Request::form(path, &honest),
                    &signed_for(&format!("https://spa.example:8443{path}")),
                ),
            ),
            (
                "another token",
                signed(
                    Request::form(path, &honest),
                    &sign("another-token", &url, &honest),
                ),
            ),
            (
                "two signatures, one right",
                signed(signed(Request::form(path, &honest), &signature), "x"),
            ),
            (
                "the right one twice",
                signed(signed(Request::form(path, &honest), &signature), &signature),
            ),
        ];
        for (what, request) in requests {
            is_refused(
                &request.send(service.public).await,
                &format!("{path}: {what}"),
            );
            forgeries += 1;
        }
    }
    // A GET is signed with its query, not with a form.
    let query = form(&honest);
    let get = |signature: &str| {
        Request::new("GET", &format!("/incoming-call?{query}")).header(SIGNATURE_HEADER, signature)
    };
    is_refused(
        &get(&sign(
            AUTH_TOKEN,
            &format!("{PUBLIC}/incoming-call"),
            &honest,
        ))
        .send(service.public)
        .await,
        "GET signed as POST",
    );
    let right = sign::<&str, &str>(AUTH_TOKEN, &format!("{PUBLIC}/incoming-call?{query}"), &[]);
    assert_eq!(get(&right).send(service.public).await.status, 200);

    let scrape = service.metrics().await;
    assert_eq!(
        scrape.sum("switchboard_webhook_rejected_total"),
        f64::from(forgeries) + 1.0
    );
    // Host headers are anybody's to write: they change no verdict.
    let reply = Request::signed("/incoming-call", &honest)
        .header("X-Forwarded-Host", "evil.example")
        .send(service.public)
        .await;
    assert_eq!(reply.status, 200);
    assert!(!reply.text().contains("evil"), "{}", reply.text());
    service.stop().await;
    println!("{forgeries} forged webhooks: all 403 with an empty body");
}

#[tokio::test]
async fn a_replayed_webhook_gets_the_same_answer_and_no_second_ticket() {
    let service = service().await;
    let call = sid("CA");
    let first = service.ring(&call).await;
    let replays = futures_util::future::join_all((0..100).map(|_| service.ring(&call))).await;
    for reply in &replays {
        assert_eq!((reply.status, reply.text()), (200, first.text()));
    }
    let path = path_of(&connect_of(&first).stream.url);
    let mut leg = service.open(&path).await.expect("the one ticket opens");
    leg.call.clone_from(&call);
    leg.begin().await;
    until("the call lives", SOON, async || {
        service.calls().await["count"] == 1
    })
    .await;
    // While the call lives and after it, the replay opens nothing.
    assert_eq!(service.ring(&call).await.text(), first.text());
    assert_eq!(service.open(&path).await.err(), Some(403));
    leg.stop().await;
    leg.closed(SOON).await;
    service.empty().await;
    assert_eq!(service.ring(&call).await.text(), first.text());
    assert_eq!(service.open(&path).await.err(), Some(403));
    let scrape = service.metrics().await;
    assert_eq!(scrape.sum("switchboard_calls_total"), 1.0);
    assert_eq!(service.model.sessions().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn abused_bodies_are_refused_at_once() {
    let service = service().await;
    let call = sid("CA");
    let honest = ring(&call, "+15550142");
    let large = "a".repeat(2 << 20);
    let many = [("a", ""); 10_000];
    let twice = [honest.clone(), vec![("CallSid", call.as_str())]].concat();
    let json = Request::new("POST", "/incoming-call")
        .header("Content-Type", "application/json")
        .body(r#"{"CallSid":"CA"}"#);
    let untyped = Request::new("POST", "/incoming-call").body(form(&honest));
    let no_call = Request::signed("/incoming-call", &honest[2..]);
    let bad_call = Request::signed("/incoming-call", &ring("CA1\nforged", "+15550142"));
    let cases = [
        (
            "2 MiB",
            Request::signed("/incoming-call", &[("CallSid", &call), ("a", &large)]),
            413,
        ),
        (
            "10,000 fields",
            Request::signed("/incoming-call", &many[..]),
            400,
        ),
        (
            "CallSid twice",
            Request::signed("/incoming-call", &twice),
            400,
        ),
        ("JSON", json, 415),
        ("no content type", untyped, 415),
        ("no CallSid", no_call, 400),
        ("a CallSid off the pattern", bad_call, 400),
    ];
    let mut slowest = Duration::ZERO;
    for (what, request, status) in cases {
        let reply = request.send(service.public).await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (status, ""),
            "{what}"
        );
        slowest = slowest.max(reply.took);
    }
    times::within(slowest, Duration::from_millis(500), "slowest");
    assert_eq!(
        service.ring(&call).await.status,
        200,
        "and an honest call is taken"
    );
    service.stop().await;
    println!("abused bodies: the slowest refusal after {slowest:?}, bar 50 ms on a quiet machine");
}

// ---- the media socket ----

#[tokio::test]
async fn the_media_socket_opens_only_with_its_ticket() {
    let service = service().await;
    let call = sid("CA");
    let path = service.ticket(&call).await;
    let ticket = path.rsplit('/').next().unwrap();

    let mut changed = ticket.to_owned();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'B' } else { 'A' });
    let now = SystemTime::now();
    let mint = TicketIssuer::from_auth_token(&AUTH_TOKEN.to_owned().into());
    let too_old = mint
        .mint(&call, now - LIFE - TOLERANCE - Duration::from_secs(5))
        .unwrap();
    let unannounced = mint.mint(&sid("CA"), now).unwrap();
    let second = mint.mint(&call, now).unwrap();
    let other_key = TicketIssuer::from_auth_token(&"another-token".to_owned().into())
        .mint(&call, now)
        .unwrap();
    let refused = [
        ("no ticket", "/media-stream".to_owned()),
        ("an empty one", "/media-stream/".to_owned()),
        (
            "a ticket in the query",
            format!("/media-stream?token={ticket}"),
        ),
        ("nonsense", "/media-stream/nonsense".to_owned()),
        ("a changed ticket", format!("/media-stream/{changed}")),
        (
            "half a ticket",
            format!("/media-stream/{}", &ticket[..ticket.len() / 2]),
        ),
        ("an expired ticket", format!("/media-stream/{too_old}")),
        (
            "a ticket of a call nobody announced",
            format!("/media-stream/{unannounced}"),
        ),
        (
            "a genuine ticket that was not given",
            format!("/media-stream/{second}"),
        ),
        (
            "a ticket of another key",
            format!("/media-stream/{other_key}"),
        ),
    ];
    for (what, path) in &refused {
        let status = service.open(path).await.err();
        assert!(matches!(status, Some(403 | 404)), "{what}: {status:?}");
    }
    let url = format!("wss://spa.example{path}");
    let right = sign::<&str, &str>(AUTH_TOKEN, &url, &[]);
    let of_token = sign::<&str, &str>("another-token", &url, &[]);
    let of_url = sign::<&str, &str>(AUTH_TOKEN, "wss://spa.example/media-stream/other", &[]);
    for (what, signatures) in [
        ("no signature", vec![]),
        ("a signature of another token", vec![of_token.as_str()]),
        ("a signature of another address", vec![of_url.as_str()]),
        ("two signatures", vec![right.as_str(), right.as_str()]),
    ] {
        assert_eq!(
            service.open_signed(&path, &signatures).await.err(),
            Some(403),
            "{what}"
        );
    }
    assert_eq!(
        service.model.sessions().len(),
        0,
        "no model session was opened for strangers"
    );
    assert_eq!(service.calls().await["count"], 0);

    // After all that the ticket is as good as before, once.
    let mut leg = service
        .open(&path)
        .await
        .expect("the ticket opens the socket");
    leg.call.clone_from(&call);
    leg.begin().await;
    assert_eq!(service.open(&path).await.err(), Some(403), "a used ticket");
    until("the model is dialled", SOON, async || {
        service.model.sessions().len() == 1
    })
    .await;
    leg.stop().await;
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    assert_eq!(
        service.open(&path).await.err(),
        Some(403),
        "a used ticket after the call"
    );
    assert_eq!(service.model.sessions().len(), 1);
    let rejected = service
        .metrics()
        .await
        .sum("switchboard_stream_rejected_total");
    assert!(rejected >= 12.0, "{rejected}");
    service.stop().await;
    println!(
        "{} media sockets refused, 0 model sessions opened for them",
        refused.len() + 6
    );
}

#[tokio::test]
async fn a_thousand_strangers_at_the_media_socket_open_no_model_session() {
    let service = service().await;
    let mint = TicketIssuer::from_auth_token(&AUTH_TOKEN.to_owned().into());
    for _ in 0..20 {
        let paths: Vec<String> = (0..50)
            .map(|_| {
                format!(
                    "/media-stream/{}",
                    mint.mint(&sid("CA"), SystemTime::now()).unwrap()
                )
            })
            .collect();
        let tries =
            futures_util::future::join_all(paths.iter().map(|path| service.open(path))).await;
        assert!(tries.iter().all(|result| matches!(result, Err(403))));
    }
    assert_eq!(service.model.sessions().len(), 0);
    assert_eq!(
        service
            .metric("switchboard_stream_rejected_total{reason=\"unknown_ticket\"}")
            .await,
        1_000.0
    );
    service.stop().await;
}

// ---- the operator's listener ----

/// Every route of the admin listener, as the listener itself has them.
fn admin() -> Vec<(&'static str, String)> {
    let call = "CA00000000000000000000000000000001";
    switchboard::admin_routes()
        .map(|(method, path)| (method, path.replace("{call_sid}", call)))
        .collect()
}

#[tokio::test]
async fn the_admin_listener_is_closed_without_the_token() {
    let service = service().await;
    let prefix = &ADMIN_TOKEN[..ADMIN_TOKEN.len() - 1];
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer wrong-token-0123456789".to_owned()),
        Some(format!("Bearer {prefix}")),
        Some(format!("Bearer {ADMIN_TOKEN}x")),
        Some(format!("Bearer {}", ADMIN_TOKEN.to_uppercase())),
        Some(format!("Basic {ADMIN_TOKEN}")),
        Some(ADMIN_TOKEN.to_owned()),
        Some(format!("Bearer {AUTH_TOKEN}")),
    ];
    let unknown = [
        ("GET", "/admin/secrets"),
        ("GET", "/"),
        ("POST", "/metrics"),
        ("DELETE", "/admin/calls"),
    ];
    let unknown = unknown.map(|(method, path)| (method, path.to_owned()));
    let routes = admin();
    assert!(routes.len() >= 8, "{routes:?}");
    // Many at once: wrong tokens are answered later and later.
    let mut tried = Vec::new();
    for (method, path) in routes.iter().chain(&unknown) {
        for header in &headers {
            let mut request = Request::new(method, path);
            if let Some(value) = header {
                request = request.header("Authorization", value);
            }
            tried.push((format!("{method} {path} with {header:?}"), request));
        }
        let in_query = Request::new(method, &format!("{path}?token={ADMIN_TOKEN}"));
        tried.push((
            format!("{method} {path} with the token in its query"),
            in_query,
        ));
    }
    let (told, requests): (Vec<_>, Vec<_>) = tried.into_iter().unzip();
    let mut replies = Vec::new();
    for some in requests.chunks(24) {
        let some = some
            .iter()
            .map(|request| request.clone().send(service.admin));
        replies.extend(futures_util::future::join_all(some).await);
    }
    for (what, reply) in told.iter().zip(&replies) {
        assert_eq!(reply.status, 401, "{what}");
        assert_eq!(reply.json()["error"]["code"], "unauthorized", "{what}");
    }
    let refused = |reason: &str| format!("switchboard_admin_refused_total{{reason=\"{reason}\"}}");
    let without = 2 * (routes.len() + unknown.len());
    assert_eq!(service.metric(&refused("no_token")).await, without as f64);
    let wrong = replies.len() - without;
    assert_eq!(service.metric(&refused("wrong_token")).await, wrong as f64);
    assert_eq!(
        service.calls().await["draining"],
        false,
        "nobody without the token drains the service"
    );
    service.stop().await;
}

#[tokio::test]
async fn the_operator_gets_json_also_for_what_is_not_there() {
    let service = service().await;
    for (method, path) in [
        ("GET", "/admin/secrets"),
        ("GET", "/admin/calls/nonsense"),
        ("POST", "/admin/calls/CA1/hangup"),
        ("POST", "/admin/calls/CA1/say"),
        ("POST", "/admin/calls/CA1/instruct"),
        ("POST", "/admin/calls/CA1/transfer"),
        ("GET", "/admin/calls/CA00000000000000000000000000000001"),
    ] {
        let reply = service.operator(method, path).await;
        assert_eq!(reply.status, 404, "{method} {path}");
        let error = &reply.json()["error"];
        assert_eq!(error["code"], "not_found", "{method} {path}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{method} {path}"
        );
    }
    // What the operator may see is not to be had where Twilio comes in.
    for (method, path) in admin() {
        let reply = Request::new(method, &path)
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .send(service.public)
            .await;
        assert_eq!(reply.status, 404, "{method} {path} on the public listener");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_operator_with_the_token_hangs_up() {
    let service = service().await;
    let call = sid("CA");
    let mut leg = service.pick_up(&call).await;
    leg.begin().await;
    let page = format!("/admin/calls/{call}");
    until("the call lives", SOON, async || {
        service.operator("GET", &page).await.status == 200
    })
    .await;
    let reply = service.operator("POST", &format!("{page}/hangup")).await;
    assert_eq!(reply.status, 202);
    assert_eq!(leg.closed(SOON).await, Closed::Code(Some(1000)));
    service.empty().await;
    assert_eq!(
        service
            .metric("switchboard_calls_total{outcome=\"operator_hang_up\"}")
            .await,
        1.0
    );
    let next = Request::signed(
        "/after-stream",
        &[("AccountSid", ACCOUNT), ("CallSid", &call)],
    )
    .send(service.public)
    .await;
    assert!(next.text().contains("<Hangup"), "{}", next.text());
    service.stop().await;
}

#[tokio::test]
async fn the_signature_of_a_media_socket_counts_as_the_settings_say() {
    for (mode, refused) in [("require", Some(403)), ("log", None), ("off", None)] {
        let toml = format!(
            "{}[twilio]\nstream_signature = \"{mode}\"\n",
            test_support::AGENT
        );
        let service = TestService::start(Options {
            toml,
            ..Options::default()
        })
        .await;
        let call = sid("CA");
        let path = service.ticket(&call).await;
        let opened = service.open_signed(&path, &["of nobody"]).await;
        assert_eq!(opened.err(), refused, "{mode}");
        service.stop().await;
    }
}
