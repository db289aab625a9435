//! Messages beyond the limits cost no memory: the service's own process is measured, at its highest.

use std::time::Duration;

use switchboard_kit::realtime::{Fault, Running, When};
use switchboard_kit::twilio::signature::sign;

use test_support::child::Serving;
use test_support::http::{Request, ring};
use test_support::phone::{Leg, connect_of, path_of, sid};
use test_support::proc::memory_kib;
use test_support::socket::{CONTINUATION, FIN, Raw, TEXT, Verdict, frame, head};
use test_support::{AUTH_TOKEN, MODEL_KEY, SOON, brief, environment, until};

/// Sockets that do it at the same time.
const AT_ONCE: usize = 20;

/// Limits of a message on the two sockets, in KiB.
const PHONE_LIMIT: u64 = 64;
const MODEL_LIMIT: u64 = 4 * 1_024;

/// The highest memory from now on; gives what there is now.
fn watch(process: u32) -> u64 {
    // Resets the peak (https://docs.kernel.org/filesystems/proc.html, clear_refs).
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
    memory_kib(process, "VmRSS:")
}

async fn start() -> (Serving, Running) {
    let model = brief().keys([MODEL_KEY]).start().await.unwrap();
    let serving = Serving::start(&environment(&model.url(), &[])).await;
    (serving, model)
}

/// Path and signature of a media socket.
async fn ticket(serving: &Serving, call: &str) -> (String, String) {
    let rung = Request::signed("/incoming-call", &ring(call, "+15550142"));
    let path = path_of(&connect_of(&rung.send(serving.public).await).stream.url);
    let signature = sign::<&str, &str>(AUTH_TOKEN, &format!("wss://spa.example{path}"), &[]);
    (path, signature)
}

async fn raw(serving: &Serving) -> Raw {
    let (path, signature) = ticket(serving, &sid("CA")).await;
    Raw::open(serving.public, &path, &signature).await
}

#[tokio::test]
async fn messages_too_large_for_the_media_socket_cost_no_memory() {
    let (serving, _model) = start().await;
    let text = FIN | TEXT;
    let fragments = |count: usize, size: usize| {
        let mut bytes = frame(TEXT, b"{");
        bytes.extend(frame(CONTINUATION, &vec![b' '; size]).repeat(count));
        bytes
    };
    let promised = |length: u64| {
        let mut bytes = head(text, length);
        bytes.resize(bytes.len() + 60_000, b' ');
        bytes
    };
    // Where a message nearly as large as may be is taken before the one fragment too many, what the socket reads ahead
    // of it counts as well: less than what was sent, all the same.
    let (once, ahead) = (2 * PHONE_LIMIT, 512);
    for (what, bytes, bar) in [
        ("64 KiB and a byte", frame(text, &[b' '; 65_537]), once),
        ("4 GiB promised, 60 kB sent", promised(4 << 30), once),
        ("a thousand fragments", fragments(1_000, 1), once),
        (
            "a thousand fragments of 1 kB",
            fragments(1_000, 1_000),
            ahead,
        ),
        (
            "fragments of 60 kB without end",
            fragments(16, 60_000),
            ahead,
        ),
    ] {
        let mut sockets = Vec::new();
        for _ in 0..AT_ONCE {
            sockets.push(raw(&serving).await);
        }
        let before = watch(serving.id());
        let attacks = sockets.iter_mut().map(async |socket| {
            socket.send(&bytes).await;
            socket.verdict(SOON).await
        });
        for verdict in futures_util::future::join_all(attacks).await {
            assert_eq!(verdict, Verdict::Closed(1009), "{what}");
        }
        let grown = memory_kib(serving.id(), "VmHWM:").saturating_sub(before) / AT_ONCE as u64;
        assert!(grown <= bar, "{what}: {grown} KiB a socket");
        println!("{what}: {grown} KiB a socket more at the highest, bar {bar} KiB");
    }
    serving.stop().await;
}

#[tokio::test]
async fn messages_too_large_from_the_model_cost_no_memory() {
    /// Each of these may cost megabytes; a few show it.
    const CALLS: usize = 4;
    let when = When::Now;
    for (what, fault) in [
        (
            "4 MiB and a byte",
            Fault::Oversized {
                bytes: (4 << 20) + 1,
                when,
            },
        ),
        (
            "64 MiB",
            Fault::Oversized {
                bytes: 64 << 20,
                when,
            },
        ),
        (
            "a thousand fragments of 4 kB",
            Fault::Fragments {
                count: 1_000,
                bytes: 4_000,
                when,
            },
        ),
        (
            "fragments of 6 MB together",
            Fault::Fragments {
                count: 60,
                bytes: 100_000,
                when,
            },
        ),
    ] {
        let (serving, model) = start().await;
        let mut legs = Vec::new();
        for _ in 0..CALLS {
            let call = sid("CA");
            let (path, signature) = ticket(&serving, &call).await;
            let mut leg = Leg::open(serving.public, &path, &[&signature])
                .await
                .unwrap();
            leg.call = call;
            leg.begin().await;
            while leg.heard().await.unwrap()["event"] != "media" {}
            legs.push(leg);
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        let before = watch(serving.id());
        model.faults().live(fault);
        until("they have other sessions", SOON, async || {
            model.sessions().len() >= 2 * CALLS
        })
        .await;
        let grown = memory_kib(serving.id(), "VmHWM:").saturating_sub(before) / CALLS as u64;
        assert!(grown <= 2 * MODEL_LIMIT, "{what}: {grown} KiB a session");
        println!(
            "{what}: {grown} KiB a session more at the highest, bar {} KiB",
            2 * MODEL_LIMIT
        );
        drop(legs);
        serving.stop().await;
    }
}
