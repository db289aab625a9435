//! Connections that begin a request and never end it, through the proxies: what reaches the service is bounded there, and
//! callers are answered meanwhile.

use std::time::Duration;

use switchboard_kit::twilio::{CallEnd, Step};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::installed;
use super::proxy::{Kind, Proxy};
use test_support::child::{Serving, serve_in};
use test_support::http::Request;
use test_support::process_fixture::Folder;
use test_support::{MODEL_KEY, brief, caller, line_to, listen, turns, until};

/// Connections that are left half done.
const CROWD: usize = 150;

/// Files the service may have open.
const LIMIT: usize = 128;

/// How long a proxy may hold on to what it has passed on: the service's longest limit, and time for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(30);

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_left_half_done_behind_a_proxy_is_bounded_and_given_up() {
    let _turn = turns::of(25).await;
    let runs = installed().into_iter().map(half_done);
    for figures in futures_util::future::join_all(runs).await {
        println!("{figures}");
    }
}

async fn half_done(kind: Kind) -> String {
    let folder = Folder::new();
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" serve");
    let variables = folder.variables(&model.url(), &[]);
    let serving = Serving::start_by(serve_in(&["sh"], &script), &variables).await;
    let proxy = Proxy::start(kind, &[serving.public]).await;
    let before = open_files(serving.id());
    let host = match kind {
        Kind::Caddy => format!("spa.example:{}", proxy.address.port()),
        Kind::Haproxy | Kind::Nginx => "spa.example".to_owned(),
    };
    let whole = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let body = format!(
        "POST /incoming-call HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n5\r\nhello\r\n"
    );
    let mut held = Vec::new();
    let mut most = 0;
    for number in 0..CROWD {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let opening = match number % 3 {
            0 => format!("{whole}G"),
            1 => body.clone(),
            _ => format!("{whole}{body}"),
        };
        stream.write_all(opening.as_bytes()).await.unwrap();
        held.push(stream);
        if number % 30 == 29 {
            let health = Request::new("GET", "/healthz")
                .header("Host", &host)
                .send(proxy.address)
                .await;
            assert_eq!(health.status, 200, "{kind} after {number}");
            most = most.max(open_files(serving.id()));
        }
    }
    let line = line_to(proxy.address);
    let outcome = line.call(caller([listen(), Step::HangUp])).await;
    assert_eq!(outcome.end, CallEnd::CallerHungUp, "{kind}");
    assert!(!outcome.streams[0].agent_speech.is_empty(), "{kind}");
    until("what was half done is given up", GIVEN_UP, async || {
        // The proxy keeps some of them ready for the next request, for a while.
        open_files(serving.id()) <= before + 4
    })
    .await;
    assert_eq!(
        serving.count("ccepting connection"),
        0,
        "{kind}: {:?}",
        serving.lines()
    );
    drop(held);
    serving.stop().await;
    format!(
        "{kind} {}: {CROWD} requests left half done, {most} files of {LIMIT} open at most, health and a call get through, \
         then {before} and a few",
        kind.version()
    )
}
