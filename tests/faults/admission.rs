//! L4: more calls than fit.

use std::time::Duration;

use crate::support::phone::sid;
use crate::support::{House, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l4_of_a_hundred_and_fifty_calls_at_once_exactly_a_hundred_are_taken() {
    let options = Options::default().with("SWITCHBOARD_MAX_CALLS", "100");
    let house = House::start(options).await;
    let calls: Vec<String> = (0..150).map(|_| sid("CA")).collect();
    let replies = futures_util::future::join_all(calls.iter().map(|call| house.ring(call))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = replies
        .iter()
        .partition(|reply| reply.text().contains("<Connect"));
    assert_eq!((taken.len(), refused.len()), (100, 50));
    for reply in &refused {
        let text = reply.text();
        assert!(
            text.contains("We have a technical problem.") && text.contains("+15550199"),
            "{text}"
        );
    }
    let full = "switchboard_admission_rejected_total{reason=\"full\"}";
    assert_eq!(house.metric(full).await, 50.0);
    // Alone, without the burst's own queue: the time it takes to be refused.
    let alone = house.ring(&sid("CA")).await;
    assert!(!alone.text().contains("<Connect"));
    assert!(alone.took <= Duration::from_millis(100), "{:?}", alone.took);
    let burst = refused.iter().map(|reply| reply.took).max().unwrap();
    assert_eq!(house.model.sessions().len(), 0, "nobody was dialled for");
    house.stop().await;
    println!(
        "L4 150 calls at once against 100: 100 taken, 50 refused; a refusal takes {:?} (bar 100 ms), the slowest of the \
         burst {burst:?}",
        alone.took
    );
}
