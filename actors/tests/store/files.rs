//! The file under the store: damaged, newer, replaced, open to others; and what may not be left in it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;
use switchboard_actors::call::unix_now;
use switchboard_actors::metrics::Metrics;
use switchboard_actors::store::sqlite::{Counters, SqliteStore};
use switchboard_actors::store::{
    Begun, CHECKPOINT_LIFE, CallStore, Forgotten, JOURNAL_LIFE, Saved,
};

use super::{Folder, bytes, call, effect};

fn counting(path: &Path) -> (SqliteStore, Metrics) {
    let metrics = Metrics::new("0").unwrap();
    let counters = Counters {
        overflow: metrics.store_overflow.clone(),
        faults: metrics.faults_of("calls"),
    };
    let store = SqliteStore::open_counting(path, counters).unwrap();
    (store, metrics)
}

fn counted(metrics: &Metrics, fault: &str) -> bool {
    let line = format!("switchboard_data_file_faults_total{{fault=\"{fault}\",file=\"calls\"}} 1");
    metrics.render().lines().any(|shown| shown == line)
}

/// Names in a folder with this in them.
fn names(folder: &Folder, words: &str) -> Vec<String> {
    let entries = fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(words))
        .collect();
    names.sort();
    names
}

/// A file with something in it, all of it in the file itself.
async fn filled(folder: &Folder) {
    let store = SqliteStore::open(&folder.file()).unwrap();
    for number in 0..40 {
        let checkpoint = Bytes::from(vec![b'x'; 3_000]);
        store.save(call(number), 1, checkpoint, 100).await.unwrap();
    }
    store.tidy().await.unwrap();
}

async fn keeps(store: &SqliteStore, what: &str) {
    let saved = store.save(call(1), 7, bytes("kept"), 100).await;
    assert_eq!(saved, Ok(Saved::Kept), "{what}");
    let found = store.look(call(1), 101).await;
    assert_eq!(found, Ok(Some(bytes("kept"))), "{what}");
    // A tool with effects can run.
    assert_eq!(
        store.begin(effect("a"), 100).await,
        Ok(Begun::First),
        "{what}"
    );
    assert!(store.is_usable(), "{what}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_put_aside_and_a_new_one_begun() {
    type Spoil = fn(&Path);
    let spoils: [(&str, &str, Spoil); 6] = [
        ("words in its place", "damaged", |path| {
            fs::write(path, "these are no tables".repeat(400)).unwrap();
        }),
        ("cut in the middle", "damaged", |path| {
            let file = File::options().write(true).open(path).unwrap();
            let bytes = file.metadata().unwrap().len();
            file.set_len(bytes / 8192 * 4096).unwrap();
        }),
        ("pages of zeros", "damaged", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(&[0; 3 * 4096], 4096).unwrap();
        }),
        ("a newer version", "newer", |path| {
            let newer = Connection::open(path).unwrap();
            newer.pragma_update(None, "user_version", 99).unwrap();
        }),
        ("other tables, no version", "unusable", |path| {
            fs::remove_file(path).unwrap();
            let other = Connection::open(path).unwrap();
            other
                .execute_batch("CREATE TABLE calls (id, whom)")
                .unwrap();
        }),
        ("other tables, a version", "unusable", |path| {
            let other = Connection::open(path).unwrap();
            let change = "DROP TABLE journal; CREATE TABLE journal (key, note)";
            other.execute_batch(change).unwrap();
        }),
    ];
    for (what, fault, spoil) in spoils {
        let folder = Folder::new();
        filled(&folder).await;
        spoil(&folder.file());
        let spoilt = fs::read(folder.file()).unwrap();
        let (store, metrics) = counting(&folder.file());
        keeps(&store, what).await;
        assert!(counted(&metrics, fault), "{what}: {}", metrics.render());
        let mut aside = names(&folder, &format!("calls.sqlite.{fault}-"));
        aside.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        let aside = folder.0.join(&aside[0]);
        // But for its header: SQLite notes there that it was opened.
        assert_eq!(fs::read(&aside).unwrap()[100..], spoilt[100..], "{what}");
        let mode = fs::metadata(&aside).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{what}");
        println!("{what}: put aside as {}", aside.display());
    }
}

#[tokio::test]
async fn damage_that_comes_under_a_running_process_is_found_out_at_the_next_purge_at_the_latest() {
    let folder = Folder::new();
    filled(&folder).await;
    let (store, metrics) = counting(&folder.file());
    store.look(call(1), 101).await.unwrap();
    store.tidy().await.unwrap();
    let file = File::options().write(true).open(folder.file()).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xA5; bytes as usize], 0).unwrap();
    // What SQLite remembers it still answers; what it has to read it cannot.
    let mut failed = 0;
    for number in 0..40 {
        failed += u32::from(store.look(call(number), 101).await.is_err());
    }
    assert!(failed <= 1, "the first that met it: {failed}");
    // Once a minute the file is read anew.
    let _ = store.purge(101).await;
    keeps(&store, "afterwards").await;
    assert!(counted(&metrics, "damaged"), "{}", metrics.render());
    assert_eq!(names(&folder, "calls.sqlite.damaged-").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_put_aside_is_told_until_it_can() {
    let folder = Folder::new();
    fs::write(folder.file(), "no tables ".repeat(1_000)).unwrap();
    // As good as a folder that lets nothing be renamed: another process is at it.
    let door = File::open(&folder.0).unwrap();
    door.lock().unwrap();
    let (store, metrics) = counting(&folder.file());
    for _ in 0..3 {
        let refused = store.look(call(1), 100).await.unwrap_err().to_string();
        assert!(refused.contains("is damaged"), "{refused}");
        assert!(refused.contains("cannot be put aside"), "{refused}");
        assert!(!store.is_usable());
    }
    assert!(counted(&metrics, "damaged"), "once: {}", metrics.render());
    drop(door);
    keeps(&store, "the folder is free").await;
}

#[tokio::test]
async fn of_two_processes_that_find_the_damage_one_puts_the_file_aside() {
    for _ in 0..10 {
        let folder = Folder::new();
        fs::write(folder.file(), "no tables ".repeat(1_000)).unwrap();
        let stores = [(); 2].map(|()| SqliteStore::open(&folder.file()).unwrap());
        let [one, other] = &stores;
        let asked = || async {
            tokio::join!(
                one.save(call(1), 1, bytes("one"), 100),
                other.save(call(2), 1, bytes("other"), 100)
            )
        };
        // Whoever comes second may have to ask again.
        let mut kept = asked().await;
        if kept.0.is_err() || kept.1.is_err() {
            kept = asked().await;
        }
        assert_eq!(kept, (Ok(Saved::Kept), Ok(Saved::Kept)));
        assert_eq!(other.look(call(1), 101).await, Ok(Some(bytes("one"))));
        assert_eq!(one.look(call(2), 101).await, Ok(Some(bytes("other"))));
        assert_eq!(names(&folder, "calls.sqlite.damaged-").len(), 1);
    }
}

#[tokio::test]
async fn a_file_that_a_newer_process_changed_while_it_was_in_use_stays_in_use() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("kept"), 100).await.unwrap();
    let newer = Connection::open(folder.file()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    // The store gives its connection up after an error, and opens the file again.
    newer.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.claim(call(2), 101).await.unwrap_err();
    newer.execute_batch("COMMIT").unwrap();
    assert_eq!(store.look(call(1), 102).await, Ok(Some(bytes("kept"))));
    assert_eq!(names(&folder, ".newer-"), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_takes_the_place_of_another_is_not_given_the_other_s_log() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).unwrap();
    store.save(call(1), 1, bytes("first"), 100).await.unwrap();
    let backup = folder.0.join("backup");
    let reader = Connection::open(folder.file()).unwrap();
    let copy = format!("VACUUM INTO '{}'", backup.display());
    reader.execute_batch(&copy).unwrap();
    // All of this is in the log only, which is emptied now and then.
    for number in 2..60 {
        let checkpoint = Bytes::from(vec![b'y'; 3_000]);
        store.save(call(number), 1, checkpoint, 100).await.unwrap();
    }
    assert!(
        fs::metadata(folder.0.join("calls.sqlite-wal"))
            .unwrap()
            .len()
            > 0
    );
    fs::rename(&backup, folder.file()).unwrap();
    assert_eq!(store.look(call(1), 101).await, Ok(Some(bytes("first"))));
    assert_eq!(
        store.look(call(40), 101).await,
        Ok(None),
        "not in the backup"
    );
    keeps(&store, "the backup").await;
    store.tidy().await.unwrap();
    drop(reader);
    let check = Connection::open(folder.file()).unwrap();
    let word: String = check
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(word, "ok");
    assert_eq!(names(&folder, "left-"), Vec::<String>::new());
}

#[tokio::test]
async fn files_that_were_open_to_others_are_not_any_more() {
    let folder = Folder::new();
    filled(&folder).await;
    let holder = Connection::open(folder.file()).unwrap();
    let kept: i64 = holder
        .query_row("SELECT count(*) FROM calls", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 40);
    let there = names(&folder, "calls.sqlite");
    for name in &there {
        fs::set_permissions(folder.0.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let store = SqliteStore::open(&folder.file()).unwrap();
    keeps(&store, "tightened").await;
    for name in names(&folder, "calls.sqlite") {
        let mode = fs::metadata(folder.0.join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// Files of the folder in which the words are, read as they lie on the disk.
fn holding(folder: &Folder, words: &[u8]) -> Vec<String> {
    let mut found = names(folder, "");
    found.retain(|name| {
        let raw = fs::read(folder.0.join(name)).unwrap();
        raw.windows(words.len()).any(|window| window == words)
    });
    found
}

#[tokio::test]
async fn words_of_calls_that_are_over_are_in_no_file_after_a_purge_and_at_the_end() {
    for by_purge in [true, false] {
        let folder = Folder::new();
        let store = SqliteStore::open(&folder.file()).unwrap();
        // Another process has the files open, too, and does nothing at the moment.
        let other = SqliteStore::open(&folder.file()).unwrap();
        other.look(call(1), 100).await.unwrap();
        let words = "the caller's secret words, said once. ";
        for turns in 1..40 {
            let said = bytes(&words.repeat(turns));
            store.save(call(1), 1, said, 100).await.unwrap();
            let neighbour = bytes(&"a neighbour speaks. ".repeat(turns * 7 % 90));
            store
                .save(call(2 + turns as u32 % 5), 1, neighbour, 100)
                .await
                .unwrap();
        }
        assert_ne!(holding(&folder, words.as_bytes()), Vec::<String>::new());
        assert_eq!(store.forget(call(1), 1).await, Ok(Forgotten::Gone));
        if by_purge {
            store.purge(101).await.unwrap();
        } else {
            store.tidy().await.unwrap();
        }
        assert_eq!(holding(&folder, words.as_bytes()), Vec::<String>::new());
        let neighbour = store.look(call(3), 101).await.unwrap();
        assert!(neighbour.is_some(), "a live call's words stay");
        // What nobody forgot goes when it has outlived its time.
        assert_ne!(
            holding(&folder, b"a neighbour speaks."),
            Vec::<String>::new()
        );
        store.purge(100 + CHECKPOINT_LIFE).await.unwrap();
        assert_eq!(
            holding(&folder, b"a neighbour speaks."),
            Vec::<String>::new()
        );
    }
}

/// Rows that grow, shrink and move leave copies in pages that go on being used; SQLite's `secure_delete` does not reach
/// them. The tables are changed by hand: a store's own calls come to it as rarely as years of calls would.
#[tokio::test]
async fn words_of_calls_that_were_moved_between_pages_are_gone_too() {
    let mut dice = fastrand::Rng::with_seed(7);
    let word = |n: u32| format!("<W{n:03}>");
    for round in 0..10 {
        let folder = Folder::new();
        let store = SqliteStore::open(&folder.file()).unwrap();
        store.look(call(0), 100).await.unwrap();
        let tables = Connection::open(folder.file()).unwrap();
        tables.pragma_update(None, "secure_delete", "ON").unwrap();
        tables.pragma_update(None, "synchronous", "OFF").unwrap();
        for _ in 0..3_000 {
            let n = dice.u32(0..60);
            let name = call(n).to_string();
            let change = match dice.u8(0..10) {
                0..7 => {
                    let sizes = [3, 20, 60, 200, 300, 450, 800, 3_000];
                    let said = word(n).repeat(sizes[dice.usize(0..sizes.len())]);
                    let save = "INSERT INTO calls (call, epoch, checkpoint, saved) VALUES (?1, 1, ?2, 100) ON CONFLICT (call) DO UPDATE SET checkpoint = excluded.checkpoint";
                    tables.execute(save, (name, said.into_bytes()))
                }
                7..9 => {
                    tables.execute("UPDATE calls SET checkpoint = NULL WHERE call = ?1", [name])
                }
                _ => tables.execute("DELETE FROM calls WHERE call = ?1", [name]),
            };
            change.unwrap();
        }
        // A few go on: their rows keep pages in use.
        for n in (0..60).filter(|n| n % 6 != 0) {
            store.forget(call(n), 1).await.unwrap();
        }
        store.purge(101).await.unwrap();
        for n in (0..60).filter(|n| n % 6 != 0) {
            let left = holding(&folder, word(n).as_bytes());
            assert_eq!(left, Vec::<String>::new(), "round {round}, call {n}");
        }
    }
}

#[tokio::test]
async fn files_that_were_put_aside_go_when_the_words_in_them_would_have_gone() {
    let folder = Folder::new();
    fs::write(folder.file(), "words of callers ".repeat(1_000)).unwrap();
    let mine = folder.0.join("calls.sqlite.mine-17");
    fs::write(&mine, "an operator's own").unwrap();
    let store = SqliteStore::open(&folder.file()).unwrap();
    keeps(&store, "a new file").await;
    store.purge(unix_now()).await.unwrap();
    assert_eq!(names(&folder, ".damaged-").len(), 1, "it can be looked at");
    store.purge(unix_now() + JOURNAL_LIFE + 60).await.unwrap();
    assert_eq!(names(&folder, ".damaged-"), Vec::<String>::new());
    assert_eq!(holding(&folder, b"words of callers"), Vec::<String>::new());
    assert!(mine.exists());
}
