//! `start`'s custom parameters: how many are kept is told in the log, and none of them writes it.

use serde_json::json;
use switchboard_kit::twilio::signature::sign;

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{Leg, connect_of, path_of, sid};
use test_support::{AUTH_TOKEN, PUBLIC, SOON, brief, environment, until};

/// `<Parameter>`s that are kept.
const KEPT: usize = 32;

#[tokio::test]
async fn parameters_beyond_the_bounds_are_refused_and_told() {
    let model = brief()
        .keys([test_support::MODEL_KEY])
        .start()
        .await
        .unwrap();
    let serving = Serving::start(&environment(&model.url(), &[])).await;
    let call = sid("CA");
    let rung = Request::signed("/incoming-call", &ring(&call, "+15550142"));
    let path = path_of(&connect_of(&rung.send(serving.public).await).stream.url);
    let signature = sign::<&str, &str>(
        AUTH_TOKEN,
        &format!("{PUBLIC}{path}").replacen("https", "wss", 1),
        &[],
    );
    let mut leg = Leg::open(serving.public, &path, &[&signature])
        .await
        .unwrap();
    leg.call.clone_from(&call);
    leg.connected().await;
    let mut start = leg.start_message();
    let mut many = serde_json::Map::new();
    for number in 0..1_000 {
        many.insert(format!("p{number}"), json!("v"));
    }
    many.insert("long".to_owned(), json!("x".repeat(10_000)));
    many.insert("l".repeat(10_000), json!("long name"));
    many.insert("lines".to_owned(), json!("a\nb \u{1b}[2J"));
    many.insert("call_sid".to_owned(), json!("CA_forged"));
    let sent = many.len();
    start["start"]["customParameters"] = many.into();
    leg.send(&start).await;
    leg.media().await;
    until("the stream has begun", SOON, async || {
        serving.event("start").is_some()
    })
    .await;
    let event = serving.event("start").unwrap();
    assert_eq!(event["refused_parameters"], sent - KEPT, "{event}");
    assert_eq!(event["call_sid"], call.as_str());
    leg.stop().await;
    leg.closed(SOON).await;
    for line in serving.stop().await {
        let raw = ["CA_forged", "xxxxxxxx", "llllllll", "\u{1b}"];
        assert!(!raw.iter().any(|words| line.contains(words)), "{line}");
    }
    println!(
        "{sent} parameters: {KEPT} kept, {} refused and told",
        sent - KEPT
    );
}
