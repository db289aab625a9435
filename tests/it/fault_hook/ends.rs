//! Two processes that both learn that a call is over: its end is told once, by whoever the store says it belongs to,
//! whatever the store does meanwhile.

use std::time::Duration;

use rusqlite::Connection;
use switchboard_kit::twilio::Step;

use super::stalls::kept_in;
use test_support::faulted_call::{FaultedCall, operator};
use test_support::http::{Request, call_over};
use test_support::process_fixture::Folder;
use test_support::{SOON, TestService, brief_with, listen, tone, until};

/// Two services over one data directory, and a call that the first one has, written down.
struct Shared {
    folder: Folder,
    service: TestService,
    other: TestService,
    faulted: FaultedCall,
}

async fn shared(steps: impl IntoIterator<Item = Step>) -> Shared {
    let folder = Folder::new();
    let greeting = || brief_with(|script| script.greeting = tone(440, 500, "Hello."));
    let (service, other) = (
        kept_in(&folder, greeting()).await,
        kept_in(&folder, greeting()).await,
    );
    let faulted = FaultedCall::on(service.line(), service.admin, "+15550142", steps).await;
    until("the greeting is written down", SOON, async || {
        let store = Connection::open(folder.0.join("calls.sqlite")).unwrap();
        let sql = "SELECT json_array_length(CAST(checkpoint AS TEXT), '$.call.turns') FROM calls";
        let turns = store.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        matches!(turns, Ok(Some(1)))
    })
    .await;
    Shared {
        folder,
        service,
        other,
        faulted,
    }
}

/// Twilio's word that the call is over meets that service.
async fn is_over(at: &TestService, call: &str) {
    let told = Request::signed("/call-status", &call_over(call)).send(at.public);
    assert_eq!(told.await.status, 204);
}

async fn ends(service: &TestService, reason: &str) -> f64 {
    let name = format!("switchboard_calls_total{{outcome=\"{reason}\"}}");
    service.metric(&name).await
}

/// Holds the file that both keep their calls in; nobody else may read or write it for a change meanwhile.
fn held(folder: &Folder) -> Connection {
    let holder = Connection::open(folder.0.join("calls.sqlite")).unwrap();
    holder.busy_timeout(SOON).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    holder
}

/// Longer than anybody waits for the store who would not wait for its word.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// The other service has told the end, and the call's own one, whose store has not agreed, tells none of its own.
async fn the_other_tells_it(shared: Shared, own: &str) {
    let Shared {
        folder,
        service,
        other,
        faulted,
    } = shared;
    let call = faulted.call.clone();
    faulted.outcome().await;
    is_over(&other, &call).await;
    assert_eq!(ends(&other, "gone_meanwhile").await, 1.0);
    until("the owner has told its end", SOON, async || {
        service.metrics().await.sum("switchboard_calls_total") == 1.0
    })
    .await;
    assert_eq!(ends(&service, own).await, 0.0, "not its own to tell");
    assert_eq!(ends(&service, "superseded").await, 1.0);
    service.empty().await;
    assert_eq!(service.metrics().await.sum("switchboard_calls_active"), 0.0);
    // Who hears of it again, and later, tells nothing any more.
    is_over(&service, &call).await;
    is_over(&other, &call).await;
    assert_eq!(ends(&service, "gone_meanwhile").await, 0.0);
    assert_eq!(ends(&other, "gone_meanwhile").await, 1.0);
    service.stop().await;
    other.stop().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_end_another_process_has_told_meanwhile_tells_none() {
    let shared = shared([listen(), Step::Wait { ms: 1_500 }, Step::HangUp]).await;
    shared
        .faulted
        .breaks("{\"kind\":\"stall_actor\",\"ms\":4500}")
        .await;
    the_other_tells_it(shared, "caller_hung_up").await;
}

/// The owner ends while the store is held; when it is free, another one has taken the call over and told its end.
async fn another_was_first(shared: Shared, own: &str) {
    let Shared {
        folder,
        service,
        other,
        faulted,
    } = shared;
    let holder = held(&folder);
    let call = faulted.call.clone();
    if own == "operator_hang_up" {
        let path = format!("/admin/calls/{call}/hangup");
        let hung_up = operator(service.admin, "POST", &path, "").await;
        assert_eq!(hung_up.status, 202);
    }
    faulted.outcome().await;
    a_while().await;
    let told = service.metrics().await.sum("switchboard_calls_total");
    assert_eq!(told, 0.0, "the store has not said whose the call is");
    let concluded = "UPDATE calls SET epoch = epoch + 1, checkpoint = NULL WHERE call = ?1";
    assert_eq!(holder.execute(concluded, [&call]).unwrap(), 1);
    holder.execute_batch("COMMIT").unwrap();
    until("the owner has told what it knows", SOON, async || {
        ends(&service, "superseded").await == 1.0
    })
    .await;
    service.empty().await;
    let scrape = service.metrics().await;
    assert_eq!(ends(&service, own).await, 0.0, "not its own to tell");
    assert_eq!(scrape.sum("switchboard_calls_total"), 1.0);
    assert_eq!(scrape.sum("switchboard_calls_active"), 0.0);
    service.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_not_told_before_the_store_has_said_whose_it_is() {
    let shared = shared([listen(), Step::Wait { ms: 1_500 }, Step::HangUp]).await;
    another_was_first(shared, "caller_hung_up").await;
}

/// Ends that leave a word for whoever is asked what follows are no different.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_an_end_of_the_owners_own_making() {
    let shared = shared([listen(), Step::Wait { ms: 20_000 }]).await;
    another_was_first(shared, "operator_hang_up").await;
}

/// A third one holds the file: neither of the two may say anything until it is free, and then one of them does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ends_while_the_store_is_locked_has_one_end_when_it_is_free() {
    let shared = shared([listen(), Step::Wait { ms: 1_000 }, Step::HangUp]).await;
    let Shared {
        folder,
        service,
        other,
        faulted,
    } = shared;
    let holder = held(&folder);
    let call = faulted.call.clone();
    faulted.outcome().await;
    let told = async {
        // Both ask again and again meanwhile.
        a_while().await;
        let both = [&service, &other].map(|service| service.metrics());
        for scrape in futures_util::future::join_all(both).await {
            assert_eq!(scrape.sum("switchboard_calls_total"), 0.0, "nobody knows");
        }
        drop(holder);
    };
    tokio::join!(is_over(&other, &call), told);
    until("one has told it", SOON, async || {
        ends(&service, "caller_hung_up").await + ends(&other, "gone_meanwhile").await == 1.0
            && service.metrics().await.sum("switchboard_calls_total") == 1.0
    })
    .await;
    service.empty().await;
    for service in [&service, &other] {
        is_over(service, &call).await;
    }
    let ends = ends(&service, "caller_hung_up").await
        + ends(&service, "gone_meanwhile").await
        + ends(&other, "gone_meanwhile").await;
    assert_eq!(ends, 1.0);
    let store = Connection::open(folder.0.join("calls.sqlite")).unwrap();
    let sql = "SELECT count(*) FROM calls WHERE checkpoint IS NOT NULL";
    let kept: i64 = store.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0, "nothing is left of it");
    service.stop().await;
    other.stop().await;
}
