//! One suite for every engine of the store: what a caller of the trait may rely on.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // tests, where a panic is the report

mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use call_protocol::phone::CallSid;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::memory::MemoryStore;
use switchboard_actors::store::sqlite::{Counters, SqliteStore};
use switchboard_actors::store::{
    Begun, CHECKPOINT_LIFE, CallStore, DAY, Forgotten, JOURNAL_LIFE, MAX_CHECKPOINT,
    MAX_EFFECT_TEXT, RING_LIFE, Ring, Rung, Saved, Spent, StoreError, TICKET_LIFE, ToolEffect,
};
use test_times as times;

/// Two processes that share what is kept; in memory there is only one, with two handles.
struct Engine {
    one: Arc<dyn CallStore>,
    other: Arc<dyn CallStore>,
    _folder: Option<Folder>,
}

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("calls.sqlite")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn engines() -> Vec<(&'static str, Engine)> {
    let memory: Arc<dyn CallStore> = Arc::new(MemoryStore::default());
    let folder = Folder::new();
    vec![
        (
            "memory",
            Engine {
                one: memory.clone(),
                other: memory,
                _folder: None,
            },
        ),
        (
            "sqlite",
            Engine {
                one: Arc::new(SqliteStore::open(&folder.file()).unwrap()),
                other: Arc::new(SqliteStore::open(&folder.file()).unwrap()),
                _folder: Some(folder),
            },
        ),
    ]
}

fn call(number: u32) -> CallSid {
    CallSid::parse(&format!("CA{number:032x}")).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn effect(key: &str) -> ToolEffect {
    ToolEffect {
        key: key.to_owned(),
        call: call(1),
        tool: "book_appointment".to_owned(),
        arguments: r#"{"time":"15:30"}"#.to_owned(),
    }
}

#[tokio::test]
async fn a_checkpoint_is_there_for_whoever_takes_the_call_over() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        assert_eq!(one.look(call(1), 100).await.unwrap(), None, "{name}");
        let saved = one.save(call(1), 1, bytes("first"), 100).await.unwrap();
        assert_eq!(saved, Saved::Kept, "{name}");
        one.save(call(1), 1, bytes("second"), 101).await.unwrap();
        one.save(call(2), 1, bytes("another call"), 101)
            .await
            .unwrap();

        let looked = other.look(call(1), 102).await.unwrap();
        assert_eq!(looked, Some(bytes("second")), "{name}");
        let claim = other.claim(call(1), 102).await.unwrap();
        assert_eq!(claim.epoch, 102, "{name}");
        assert_eq!(claim.checkpoint, Some(bytes("second")), "{name}");
        // Looking takes nothing away, and claiming leaves the checkpoint until the new owner writes one.
        assert_eq!(one.look(call(1), 102).await.unwrap(), Some(bytes("second")));
        // A clock that went back gives no number twice.
        let claim = other.claim(call(1), 1).await.unwrap();
        assert_eq!(claim.epoch, 103, "{name}");
        assert_eq!(claim.checkpoint, Some(bytes("second")));
    }
}

#[tokio::test]
async fn whoever_takes_an_unknown_call_over_has_a_number_nobody_had_and_no_checkpoint() {
    for (name, engine) in engines() {
        let claim = engine.one.claim(call(7), 100).await.unwrap();
        assert_eq!((claim.epoch, claim.checkpoint), (100, None), "{name}");
        let claim = engine.other.claim(call(7), 100).await.unwrap();
        assert_eq!((claim.epoch, claim.checkpoint), (101, None), "{name}");
        // Whoever had it before anybody wrote it down has one.
        let late = engine
            .one
            .save(call(7), 1, bytes("late"), 102)
            .await
            .unwrap();
        assert_eq!(late, Saved::Superseded, "{name}");
    }
}

#[tokio::test]
async fn an_owner_that_was_replaced_is_told_so_and_changes_nothing() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        one.save(call(1), 1, bytes("old"), 100).await.unwrap();
        let epoch = other.claim(call(1), 101).await.unwrap().epoch;
        other.save(call(1), epoch, bytes("new"), 102).await.unwrap();

        let late = one.save(call(1), 1, bytes("late"), 103).await.unwrap();
        assert_eq!(late, Saved::Superseded, "{name}");
        let late = one.forget(call(1), 1).await.unwrap();
        assert_eq!(late, Forgotten::Superseded, "{name}");
        assert_eq!(
            other.look(call(1), 104).await.unwrap(),
            Some(bytes("new")),
            "{name}"
        );
        let again = other
            .save(call(1), epoch, bytes("newer"), 105)
            .await
            .unwrap();
        assert_eq!(again, Saved::Kept, "{name}");
    }
}

#[tokio::test]
async fn a_call_that_was_forgotten_leaves_no_checkpoint_and_no_way_back_for_an_old_owner() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        one.save(call(1), 1, bytes("old"), 100).await.unwrap();
        let epoch = other.claim(call(1), 101).await.unwrap().epoch;
        let forgotten = other.forget(call(1), epoch).await.unwrap();
        assert_eq!(forgotten, Forgotten::Gone, "{name}");
        let unknown = other.forget(call(2), 1).await.unwrap();
        assert_eq!(unknown, Forgotten::Gone, "{name}: nobody else's");
        assert_eq!(one.look(call(1), 102).await.unwrap(), None, "{name}");
        let late = one.save(call(1), 1, bytes("late"), 103).await.unwrap();
        assert_eq!(late, Saved::Superseded, "{name}");
        let claim = one.claim(call(1), 104).await.unwrap();
        assert_eq!((claim.epoch, claim.checkpoint), (104, None), "{name}");
    }
}

#[tokio::test]
async fn a_checkpoint_lives_a_quarter_of_an_hour_after_it_was_written() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        one.save(call(1), 1, bytes("x"), 1_000).await.unwrap();
        one.save(call(2), 1, bytes("y"), 1_000).await.unwrap();
        let last = 1_000 + CHECKPOINT_LIFE - 1;
        assert!(other.look(call(1), last).await.unwrap().is_some(), "{name}");
        // Taking a call over does not make its checkpoint younger.
        assert!(
            other
                .claim(call(2), last)
                .await
                .unwrap()
                .checkpoint
                .is_some()
        );
        for number in [1, 2] {
            assert_eq!(
                other.look(call(number), last + 1).await.unwrap(),
                None,
                "{name}"
            );
            let claim = other.claim(call(number), last + 1).await.unwrap();
            assert_eq!(claim.checkpoint, None, "{name}");
            assert!(claim.epoch >= 2, "{name}: the epoch goes on counting");
        }
        // Writing does.
        one.save(call(3), 1, bytes("z"), 1_000).await.unwrap();
        one.save(call(3), 1, bytes("z"), 1_500).await.unwrap();
        assert!(
            other.look(call(3), last + 1).await.unwrap().is_some(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_effect_happens_once_and_its_outcome_is_remembered() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        assert_eq!(
            one.begin(effect("a"), 100).await.unwrap(),
            Begun::First,
            "{name}"
        );
        // The process died in between: nobody knows whether it happened.
        assert_eq!(
            other.begin(effect("a"), 101).await.unwrap(),
            Begun::Unknown,
            "{name}"
        );
        one.finish("a".to_owned(), "booked".to_owned(), 102)
            .await
            .unwrap();
        let done = other.begin(effect("a"), 103).await.unwrap();
        assert_eq!(done, Begun::Done("booked".to_owned()), "{name}");
        assert_eq!(
            other.begin(effect("b"), 104).await.unwrap(),
            Begun::First,
            "{name}"
        );
        // An outcome without an announcement leaves no trace.
        one.finish("never".to_owned(), "x".to_owned(), 105)
            .await
            .unwrap();
        assert_eq!(
            other.begin(effect("never"), 106).await.unwrap(),
            Begun::First,
            "{name}"
        );
    }
}

#[tokio::test]
async fn of_two_that_begin_the_same_effect_at_once_one_is_first() {
    for (name, engine) in engines() {
        for round in 0..50 {
            let key = format!("k{round}");
            let (a, b) = tokio::join!(
                engine.one.begin(effect(&key), 100),
                engine.other.begin(effect(&key), 100)
            );
            let first = [a.unwrap(), b.unwrap()]
                .into_iter()
                .filter(|begun| *begun == Begun::First)
                .count();
            assert_eq!(first, 1, "{name} round {round}");
        }
    }
}

#[tokio::test]
async fn owners_that_claim_at_once_get_different_epochs() {
    for (name, engine) in engines() {
        let claims = (0..40).map(|n| {
            let store = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            store.claim(call(9), 100)
        });
        let mut epochs = Vec::new();
        for claim in futures_util::future::join_all(claims).await {
            epochs.push(claim.unwrap().epoch);
        }
        epochs.sort_unstable();
        assert_eq!(epochs, (100..140).collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_just_fits_is_kept() {
    for (name, engine) in engines() {
        let store = &engine.one;
        let fits = Bytes::from(vec![0xA5; MAX_CHECKPOINT]);
        assert_eq!(
            store.save(call(1), 1, fits.clone(), 100).await.unwrap(),
            Saved::Kept
        );
        let large = Bytes::from(vec![0; MAX_CHECKPOINT + 1]);
        let refused = store.save(call(1), 1, large, 100).await;
        assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{name}");
        assert_eq!(
            store.look(call(1), 101).await.unwrap(),
            Some(fits),
            "{name}"
        );

        let mut wordy = effect("a");
        wordy.arguments = "x".repeat(MAX_EFFECT_TEXT + 1);
        let refused = store.begin(wordy, 100).await;
        assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{name}");
        let long = "x".repeat(MAX_EFFECT_TEXT + 1);
        let refused = store.finish("a".to_owned(), long, 100).await;
        assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{name}");
    }
}

#[tokio::test]
async fn what_has_outlived_its_time_is_purged_and_nothing_else() {
    for (name, engine) in engines() {
        let store = &engine.one;
        store.save(call(1), 1, bytes("old"), 1_000).await.unwrap();
        store.save(call(2), 1, bytes("young"), 1_900).await.unwrap();
        store.begin(effect("old"), 1_000).await.unwrap();
        store.begin(effect("young"), 2_000).await.unwrap();
        assert_eq!(
            store.purge(1_000 + CHECKPOINT_LIFE).await.unwrap(),
            1,
            "{name}"
        );
        assert!(
            store.look(call(2), 1_901).await.unwrap().is_some(),
            "{name}"
        );
        assert_eq!(
            store.purge(1_000 + JOURNAL_LIFE).await.unwrap(),
            2,
            "{name}"
        );
        assert_eq!(
            store.begin(effect("old"), 3_000).await.unwrap(),
            Begun::First,
            "{name}"
        );
        assert_eq!(
            store.begin(effect("young"), 3_000).await.unwrap(),
            Begun::Unknown,
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_a_day_has_cost_is_added_up_over_all_processes_and_forgotten_when_it_is_long_over() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_000, 0).await.unwrap(),
            0,
            "{name}"
        );
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_000, 40_000).await.unwrap(),
            40_000,
            "{name}"
        );
        assert_eq!(
            other.spend(Spent::MicroUsd, 20_000, 2_500).await.unwrap(),
            42_500,
            "{name}"
        );
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_001, 7).await.unwrap(),
            7,
            "{name}: a new day"
        );
        // Of many at once none is lost.
        let spent = (0..40)
            .map(|n| if n % 2 == 0 { one } else { other }.spend(Spent::MicroUsd, 20_001, 10));
        for sum in futures_util::future::join_all(spent).await {
            sum.unwrap();
        }
        assert_eq!(
            other.spend(Spent::MicroUsd, 20_001, 0).await.unwrap(),
            407,
            "{name}"
        );
        // Time has a sum of its own.
        assert_eq!(
            one.spend(Spent::CallMs, 20_001, 60_000).await.unwrap(),
            60_000,
            "{name}"
        );
        assert_eq!(
            other.spend(Spent::CallMs, 20_001, 1).await.unwrap(),
            60_001,
            "{name}"
        );
        // It is no checkpoint and no line of the journal, and is not counted as one.
        assert_eq!(one.purge(20_001 * DAY).await.unwrap(), 0, "{name}");
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_000, 0).await.unwrap(),
            42_500,
            "{name}"
        );
        one.purge(20_002 * DAY).await.unwrap();
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_000, 0).await.unwrap(),
            0,
            "{name}"
        );
        assert_eq!(
            one.spend(Spent::MicroUsd, 20_001, 0).await.unwrap(),
            407,
            "{name}"
        );
    }
}

fn ring(who: &str, n: u32) -> Ring {
    Ring {
        who: who.to_owned(),
        call: call(n),
        most: 3,
    }
}

#[tokio::test]
async fn a_caller_is_let_in_so_often_within_an_hour_whichever_process_is_asked() {
    for (name, engine) in engines() {
        let (one, other) = (&engine.one, &engine.other);
        for n in 0..3 {
            let store = if n % 2 == 0 { one } else { other };
            assert_eq!(
                store
                    .ring(ring("anna", n), 100 + i64::from(n))
                    .await
                    .unwrap(),
                Rung::LetIn,
                "{name}"
            );
        }
        assert_eq!(
            other.ring(ring("anna", 3), 200).await.unwrap(),
            Rung::TurnedAway(1),
            "{name}"
        );
        // The same call again, while Twilio asks twice: the same answer.
        for _ in 0..10 {
            assert_eq!(
                one.ring(ring("anna", 1), 201).await.unwrap(),
                Rung::LetIn,
                "{name}"
            );
            assert_eq!(
                one.ring(ring("anna", 3), 201).await.unwrap(),
                Rung::TurnedAway(1),
                "{name}"
            );
        }
        // Who keeps on ringing leaves no more behind than that.
        for n in 4..40 {
            let turned = one.ring(ring("anna", n), 202).await.unwrap();
            assert_eq!(turned, Rung::TurnedAway((n - 2).min(4)), "{name}");
        }
        assert_eq!(
            one.ring(ring("bert", 50), 202).await.unwrap(),
            Rung::LetIn,
            "{name}: somebody else"
        );
        // A call that nobody took does not count.
        one.unring(call(2)).await.unwrap();
        assert_eq!(
            one.ring(ring("anna", 60), 203).await.unwrap(),
            Rung::LetIn,
            "{name}"
        );
        assert_eq!(
            one.ring(ring("anna", 61), 204).await.unwrap(),
            Rung::TurnedAway(4),
            "{name}"
        );
        // An hour later the first of them is forgotten, and not those after it.
        let later = 100 + RING_LIFE;
        assert_eq!(one.purge(later).await.unwrap(), 0, "{name}");
        assert_eq!(
            one.ring(ring("anna", 70), later).await.unwrap(),
            Rung::LetIn,
            "{name}"
        );
        assert_eq!(
            one.ring(ring("anna", 71), later).await.unwrap(),
            Rung::TurnedAway(4),
            "{name}"
        );
    }
}

#[tokio::test]
async fn of_many_calls_at_once_no_more_are_let_in_than_may() {
    for (name, engine) in engines() {
        let asked = (0..40).map(|n| {
            let store = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            store.ring(ring("anna", n), 100)
        });
        let answers = futures_util::future::join_all(asked).await;
        let let_in = answers.iter().filter(|answer| **answer == Ok(Rung::LetIn));
        assert_eq!(let_in.count(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_file_of_the_version_before_keeps_what_it_has_and_gets_what_came_later() {
    let folder = Folder::new();
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    file.execute_batch(
        "CREATE TABLE calls (
            call TEXT PRIMARY KEY, epoch INTEGER NOT NULL, checkpoint BLOB, saved INTEGER NOT NULL);
        CREATE INDEX calls_by_age ON calls (saved);
        CREATE TABLE journal (
            key TEXT PRIMARY KEY, call TEXT NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL,
            output TEXT, at INTEGER NOT NULL);
        CREATE INDEX journal_by_age ON journal (at);
        CREATE TABLE spending (day INTEGER PRIMARY KEY, micro_usd INTEGER NOT NULL);
        INSERT INTO spending VALUES (20000, 123);
        PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(file);
    let store = SqliteStore::open(&folder.file()).unwrap();
    assert_eq!(store.spend(Spent::MicroUsd, 20_000, 1).await.unwrap(), 124);
    assert_eq!(store.spend(Spent::CallMs, 20_000, 5).await.unwrap(), 5);
    assert_eq!(store.ring(ring("anna", 1), 100).await.unwrap(), Rung::LetIn);
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let version: i64 = file
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 3);
}

#[tokio::test]
async fn a_ticket_is_redeemed_by_one_process_however_many_try() {
    for (name, engine) in engines() {
        let ticket = |number: u32| format!("ticket-{number}");
        let mut redeemed = 0;
        for number in 0..50 {
            let tries = (0..8).map(|process: i64| {
                let store = if process % 2 == 0 {
                    &engine.one
                } else {
                    &engine.other
                };
                store.redeem(ticket(number), process, 100)
            });
            for redeems in futures_util::future::join_all(tries).await {
                redeemed += u32::from(redeems.unwrap());
            }
        }
        assert_eq!(redeemed, 50, "{name}");
        // The socket of a process that has it may be lost and come again.
        let again = engine.one.redeem(ticket(50), 7, 100);
        assert!(again.await.unwrap(), "{name}");
        assert!(engine.one.redeem(ticket(50), 7, 101).await.unwrap());
        assert!(!engine.other.redeem(ticket(50), 8, 101).await.unwrap());
        engine.one.purge(100 + TICKET_LIFE - 1).await.unwrap();
        assert!(!engine.other.redeem(ticket(50), 8, 102).await.unwrap());
        engine.one.purge(100 + TICKET_LIFE).await.unwrap();
        assert!(
            engine.other.redeem(ticket(50), 8, 103).await.unwrap(),
            "{name}: forgotten"
        );
    }
}

#[tokio::test]
async fn work_is_done_in_the_order_it_was_asked_for_even_if_nobody_waits() {
    for (name, engine) in engines() {
        let store = &engine.one;
        for n in 0..200 {
            drop(store.save(call(1), 1, bytes(&format!("{n}")), 100));
        }
        let last = store.look(call(1), 100).await.unwrap();
        assert_eq!(last, Some(bytes("199")), "{name}");
    }
}

#[tokio::test]
async fn what_one_process_wrote_the_next_one_finds() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("kept"), 100).await.unwrap();
    store.begin(effect("a"), 100).await.unwrap();
    store.spend(Spent::MicroUsd, 20_000, 123).await.unwrap();
    for n in 1..=3 {
        store.ring(ring("anna", n), 100).await.unwrap();
    }
    drop(store);
    let store = SqliteStore::open(&folder.file()).unwrap();
    let claim = store.claim(call(1), 101).await.unwrap();
    assert_eq!((claim.epoch, claim.checkpoint), (101, Some(bytes("kept"))));
    assert_eq!(store.begin(effect("a"), 101).await.unwrap(), Begun::Unknown);
    assert_eq!(store.spend(Spent::MicroUsd, 20_000, 1).await.unwrap(), 124);
    let again = store.ring(ring("anna", 4), 101).await.unwrap();
    assert_eq!(again, Rung::TurnedAway(1));
}

#[tokio::test]
async fn only_the_owner_of_the_process_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("secret"), 100).await.unwrap();
    for file in std::fs::read_dir(&folder.0).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_room_mends_it() {
    let folder = Folder::new();
    // The smallest file that holds the tables and a little more.
    let store = SqliteStore::open_bounded(&folder.file(), 256 * 1024).unwrap();
    let large = Bytes::from(vec![7; MAX_CHECKPOINT]);
    let mut full = None;
    for number in 0..16 {
        let saved = store.save(call(number), 1, large.clone(), 100).await;
        if let Err(error) = saved {
            full = Some((number, error));
            break;
        }
    }
    let (number, error) = full.expect("sixteen checkpoints of 32 KiB do not fit into 256 KiB");
    assert!(matches!(error, StoreError::Engine(_)), "{error}");
    // What was kept before is still there, and what is small still fits.
    assert_eq!(store.look(call(0), 101).await.unwrap(), Some(large.clone()));
    assert!(store.purge(100 + CHECKPOINT_LIFE).await.unwrap() > 0);
    let saved = store.save(call(number), 1, large, 2_000).await;
    assert_eq!(saved.unwrap(), Saved::Kept);
    println!("a file of 256 KiB took {number} checkpoints of 32 KiB, then said: {error}");
}

#[tokio::test]
async fn a_file_that_is_gone_is_made_again_without_a_restart() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("before"), 100).await.unwrap();
    std::fs::remove_dir_all(&folder.0).unwrap();
    // Something is in the way of the folder: every answer is an error, none is a hang.
    std::fs::write(&folder.0, "in the way").unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        let refused = store.save(call(1), 1, bytes("lost"), 101).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    times::within(began.elapsed(), Duration::from_secs(5), "refusals");
    std::fs::remove_file(&folder.0).unwrap();
    let saved = store.save(call(1), 1, bytes("after"), 102).await.unwrap();
    assert_eq!(saved, Saved::Kept);
    assert_eq!(
        store.look(call(1), 103).await.unwrap(),
        Some(bytes("after"))
    );
}

#[tokio::test]
async fn a_number_is_not_given_twice_where_the_file_was_lost_in_between() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("first"), 100).await.unwrap();
    let one = store.claim(call(1), 101).await.unwrap().epoch;
    std::fs::remove_dir_all(&folder.0).unwrap();
    let other = store.claim(call(1), 102).await.unwrap().epoch;
    assert!(other > one, "{one}, then {other}");
    let late = store.save(call(1), one, bytes("late"), 103).await.unwrap();
    assert_eq!(late, Saved::Superseded);
    let late = store.forget(call(1), one).await.unwrap();
    assert_eq!(late, Forgotten::Superseded, "not its end to tell");
}

#[tokio::test]
async fn a_full_house_of_checkpoints_is_written_in_a_moment() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    let checkpoint = Bytes::from(vec![b'x'; 8 * 1024]);
    store
        .save(call(0), 1, checkpoint.clone(), 100)
        .await
        .unwrap();
    let began = Instant::now();
    let saves = (0..500).map(|n| store.save(call(n), 1, checkpoint.clone(), 100));
    for saved in futures_util::future::join_all(saves).await {
        assert_eq!(saved.unwrap(), Saved::Kept);
    }
    let took = began.elapsed();
    times::within(took, Duration::from_secs(5), "500 checkpoints");
    println!(
        "500 checkpoints of 8 KiB at once: all kept after {} ms",
        took.as_millis()
    );
}

#[tokio::test]
async fn work_a_full_queue_has_no_room_for_is_refused_at_once_and_counted() {
    let folder = Folder::new();
    let metrics = Metrics::new("0").unwrap();
    let overflow = metrics.store_overflow.clone();
    let counters = Counters {
        overflow: overflow.clone(),
        faults: metrics.faults_of("calls"),
    };
    let store = SqliteStore::open_counting(&folder.file(), counters).unwrap();
    // The file is there, with its tables.
    store.look(call(1), 0).await.unwrap();
    assert_eq!(overflow.get(), 0);
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let asked = 1_500_u64;
    let answers: Vec<_> = (0..asked).map(|_| store.look(call(1), 0)).collect();
    let refused = overflow.get();
    // A batch may be on its way already, the queue holds 1,024.
    assert!(
        (asked - 1_024 - 64..=asked - 1_024).contains(&refused),
        "{refused}"
    );
    other.execute_batch("COMMIT").unwrap();
    let mut away = 0;
    for answer in answers {
        away += u64::from(answer.await.is_err());
    }
    // Those that waited for the file may have waited too long.
    assert!(away >= refused, "{away} of {refused}");
    assert_eq!(overflow.get(), refused, "waiting is no overflow");
    println!("{asked} questions at once: {refused} refused and counted");
}

#[tokio::test]
#[ignore = "release gate: the bars of all tests here"]
async fn the_times_of_these_tests_are_kept() {
    times::of_these_tests(module_path!()).await;
}
