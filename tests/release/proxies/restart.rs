//! A caller who rings while the process is being started again.

use std::time::{Duration, Instant};

use super::installed;
use super::proxy::{Kind, Proxy};
use test_support::child::Serving;
use test_support::http::{Reply, Request, ring};
use test_support::phone::sid;
use test_support::process_fixture::{Folder, at, lasting_address};
use test_support::{MODEL_KEY, SOON, brief};

/// How long no process listens.
const DOWN: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_rings_while_no_process_listens_is_asked_to_wait() {
    let runs = installed().into_iter().map(ring_in_between);
    for figures in futures_util::future::join_all(runs).await {
        println!("{figures}");
    }
}

async fn ring_at(proxy: &Proxy, call: &str) -> Reply {
    let request = Request::signed("/incoming-call", &ring(call, "+15550142"));
    request.send(proxy.address).await
}

async fn ring_in_between(kind: Kind) -> String {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let variables = at(folder.variables(&model.url(), &[]), lasting_address());
    let mut first = Serving::start(&variables).await;
    let proxy = Proxy::start(kind, &[first.public]).await;
    first.signal("KILL");
    first.ended(SOON).await;
    let down = Instant::now();
    let call = sid("CA");
    let start_again = async {
        tokio::time::sleep_until((down + DOWN).into()).await;
        Serving::start(&variables).await
    };
    let rings = async { (ring_at(&proxy, &call).await, down.elapsed()) };
    let ((reply, answered), second) = tokio::join!(rings, start_again);
    let text = reply.text();
    assert_eq!(reply.status, 200, "{kind}: {text}");
    let told = if text.contains("<Connect") {
        assert!(answered >= DOWN, "{answered:?}");
        "held, then connected"
    } else {
        let again =
            "<Redirect method=\"POST\"><![CDATA[https://spa.example/incoming-call]]></Redirect>";
        assert!(text.contains(again), "{kind}: {text}");
        let text = ring_at(&proxy, &call).await.text();
        assert!(text.contains("<Connect"), "{kind}: {text}");
        "told to ask again after a second, then connected"
    };
    // HAProxy has no words of its own.
    assert!(kind != Kind::Haproxy || told.starts_with("held"), "{text}");
    // The ticket keeps its place for a minute: nobody comes, so this is not waited for.
    drop(second);
    let version = kind.version();
    format!(
        "{kind} {version}: no process for {DOWN:?}, who rings is {told} ({:?})",
        reply.took
    )
}
