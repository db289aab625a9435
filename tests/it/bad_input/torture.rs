//! A corpus of messages nobody should send, one file a case. The first word of a file's name says as what it is counted;
//! `nothing` is taken as it is. `STREAM` in it becomes the stream's SID.

use std::path::Path;

use futures_util::SinkExt as _;
use serde_json::json;
use switchboard_kit::realtime::{Fault, When};
use tokio_tungstenite::tungstenite::Message;

use test_support::phone::{Leg, sid};
use test_support::{Options, SOON, TestService, brief, until};

/// Unusable messages a socket may send in ten seconds.
const BEARABLE: usize = 9;

/// The cases of one side: the name, as what it is counted, the text.
fn cases(side: &str) -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torture");
    let mut cases: Vec<_> = std::fs::read_dir(folder.join(side))
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let kind = name.split('.').next().unwrap().to_owned();
            (name, kind, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    cases.sort_unstable();
    assert!(cases.len() >= 30, "{side}: {} cases", cases.len());
    cases
}

/// What was counted so far besides the kind that marks the time: by kind.
async fn counted(service: &TestService, peer: &str, besides: &str) -> Vec<(String, f64)> {
    let scrape = service.metrics().await;
    let of_peer = format!("peer=\"{peer}\"");
    let names = scrape.names("switchboard_protocol_violations_total");
    let names = names.into_iter().filter(|name| name.contains(&of_peer));
    names
        .filter_map(|name| {
            let kind = name.split("kind=\"").nth(1)?.split('"').next()?;
            (kind != besides).then(|| (kind.to_owned(), scrape.get(name)))
        })
        .collect()
}

/// What was counted since.
fn since(before: &[(String, f64)], after: &[(String, f64)]) -> Vec<(String, f64)> {
    let old = |kind: &str| {
        before
            .iter()
            .find(|(old, _)| old == kind)
            .map_or(0.0, |(_, count)| *count)
    };
    let new = after
        .iter()
        .map(|(kind, count)| (kind.clone(), count - old(kind)));
    new.filter(|(_, count)| *count > 0.0).collect()
}

fn expected(kind: &str) -> Vec<(String, f64)> {
    if kind == "nothing" {
        return Vec::new();
    }
    vec![(kind.to_owned(), 1.0)]
}

/// A call in media whose caller has heard the agent.
async fn on_the_phone(service: &TestService) -> Leg {
    let mut leg = service.pick_up(&sid("CA")).await;
    leg.begin().await;
    while leg.heard().await.unwrap()["event"] != "media" {}
    leg
}

/// The call went on through all of it, in the session it had; now it ends.
async fn went_on(service: &TestService, leg: &mut Leg, sessions: usize) {
    leg.media().await;
    let row = service.calls().await["calls"][0].clone();
    assert_eq!(
        (&row["state"], &row["model"]["state"]),
        (&json!("media"), &json!("ready"))
    );
    assert_eq!(service.model.sessions().len(), sessions);
    leg.stop().await;
    service.empty().await;
}

#[tokio::test]
async fn no_message_on_the_media_socket_does_more_than_be_counted() {
    let service = TestService::start(Options::default().model(brief())).await;
    let cases = cases("twilio");
    let (mut marks, mut wrong) = (0.0, Vec::new());
    for (number, some) in cases.chunks(BEARABLE).enumerate() {
        let mut leg = on_the_phone(&service).await;
        for (name, kind, text) in some {
            let before = counted(&service, "twilio", "unknown_mark").await;
            let text = text.replace("STREAM", &leg.stream);
            leg.socket.send(Message::text(text)).await.unwrap();
            // Tells that what was sent before it was read.
            let mark =
                json!({"event": "mark", "streamSid": leg.stream, "mark": {"name": "never sent"}});
            leg.send(&mark).await;
            marks += 1.0;
            until(name, SOON, async || {
                service.metrics().await.violations("twilio", "unknown_mark") == marks
            })
            .await;
            let after = counted(&service, "twilio", "unknown_mark").await;
            let counted = since(&before, &after);
            if counted != expected(kind) {
                wrong.push(format!("{name}: {counted:?}"));
            }
        }
        went_on(&service, &mut leg, number + 1).await;
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert_eq!(service.metric("switchboard_panics_total").await, 0.0);
    service.stop().await;
    println!(
        "{} bad messages on the media socket: each counted as what it is, 0 panics",
        cases.len()
    );
}

#[tokio::test]
async fn no_message_of_the_model_does_more_than_be_counted() {
    let service = TestService::start(Options::default().model(brief())).await;
    let cases = cases("model");
    let (mut signs, mut wrong) = (0.0, Vec::new());
    for (number, some) in cases.chunks(BEARABLE).enumerate() {
        let mut leg = on_the_phone(&service).await;
        for (name, kind, text) in some {
            let before = counted(&service, "model", "session_created_again").await;
            let say = |text: &str| Fault::Text {
                text: text.to_owned(),
                count: 1,
                when: When::Now,
            };
            service.model.faults().live(say(text));
            // Tells that what was sent before it was read.
            service
                .model
                .faults()
                .live(say(r#"{"type":"session.created","session":{}}"#));
            signs += 1.0;
            until(name, SOON, async || {
                service
                    .metrics()
                    .await
                    .violations("model", "session_created_again")
                    == signs
            })
            .await;
            let after = counted(&service, "model", "session_created_again").await;
            let counted = since(&before, &after);
            if counted != expected(kind) {
                wrong.push(format!("{name}: {counted:?}"));
            }
        }
        went_on(&service, &mut leg, number + 1).await;
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert_eq!(service.metric("switchboard_panics_total").await, 0.0);
    service.stop().await;
    println!(
        "{} bad messages of the model: each counted as what it is, 0 panics",
        cases.len()
    );
}
