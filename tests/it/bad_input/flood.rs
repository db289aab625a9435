//! Floods beside neighbours: a thousand pings a second, and binary media, from callers who do it again and again.

use std::time::{Duration, Instant};

use test_support::chaos_fixture::{behind_chaos, neighbours, noticed_nothing};
use test_support::phone::sid;
use test_support::socket::{BINARY, FIN, PING, Verdict, frame};
use test_support::{SOON, brief};

/// How long it goes on.
const FLOOD: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_pings_and_binary_media_take_no_frame_from_a_neighbour() {
    let (service, _chaos) = behind_chaos(brief()).await;
    let others = neighbours(&service, 20, FLOOD + Duration::from_secs(1));
    let began = Instant::now();
    let (mut pings, mut floods, mut binary) = (0, 0, 0);
    while began.elapsed() < FLOOD {
        let mut socket = service.pick_up_raw(&sid("CA")).await;
        // A thousand a second, twenty of them every twenty milliseconds, until somebody says stop.
        let some = frame(FIN | PING, b"!").repeat(20);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..10 {
            ticks.tick().await;
            if !socket.send(&some).await {
                break;
            }
            pings += 20;
        }
        assert_eq!(socket.verdict(SOON).await, Verdict::Closed(1008));
        floods += 1;
        let mut socket = service.pick_up_raw(&sid("CA")).await;
        socket
            .send(&frame(FIN | BINARY, &[0xFF; 160]).repeat(50))
            .await;
        assert_eq!(socket.verdict(SOON).await, Verdict::Closed(1003));
        binary += 1;
    }
    let others = noticed_nothing(&others.await.unwrap());
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(
        scrape.violations("twilio", "control_flood"),
        f64::from(floods)
    );
    assert_eq!(
        scrape.violations("twilio", "binary_frame"),
        f64::from(binary)
    );
    assert_eq!(scrape.get("switchboard_panics_total"), 0.0);
    service.stop().await;
    println!(
        "{pings} pings at a thousand a second on {floods} sockets, each closed with 1008, and {binary} sockets of binary media, \
         each closed with 1003, in {FLOOD:?}: {others}"
    );
}
