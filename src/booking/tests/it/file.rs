//! The book's file under a process that has it open, and files that are no book.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use appointment_book::{Book, BookError, FILE, Fault};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::support::{Shelf, refusal};

impl Shelf {
    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Anna wishes a time on a day.
    fn wish(&self, day: &str) -> Value {
        let wish =
            json!({"service": "Classic massage", "day": day, "time": "15:00", "name": "Anna"});
        self.anna("book_appointment", wish)
    }

    /// The code the caller is told; it must be in the file at the path at this moment.
    fn books(&self, day: &str) -> String {
        let answer = self.wish(day);
        let Some(code) = answer["booked"]["code"].as_str() else {
            panic!("not booked: {answer}");
        };
        assert!(
            codes(&self.path()).contains(&code.to_owned()),
            "a code that is in no book"
        );
        code.to_owned()
    }

    fn refuses(&self, day: &str) {
        let answer = self.wish(day);
        let sentence = "The appointment book cannot be reached at the moment. Nothing was changed.";
        assert_eq!(refusal(&answer), sentence);
        assert!(
            self.book
                .appointments(
                    super::support::at("2026-01-01T00:00:00Z"),
                    jiff::Timestamp::MAX
                )
                .is_err()
        );
    }

    fn counting(&self) -> Faults {
        let faults = Faults::default();
        let counted = faults.clone();
        self.book
            .count_with(move |fault| counted.0.lock().unwrap().push(fault));
        faults
    }
}

/// What has befallen a book's file.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<Fault>>>);

fn counted(faults: &Faults, fault: &str) -> usize {
    let all = faults.0.lock().unwrap();
    all.iter().filter(|found| found.label() == fault).count()
}

/// The codes in a book's file, and nothing of what lies beside it.
fn codes(path: &Path) -> Vec<String> {
    let alone = path.with_extension("alone");
    fs::copy(path, &alone).unwrap();
    let book = Connection::open(&alone).unwrap();
    let mut asked = book.prepare("SELECT code FROM appointments").unwrap();
    let found = asked.query_map([], |row| row.get(0)).unwrap();
    let found = found.map(Result::unwrap).collect();
    drop(asked);
    drop(book);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", alone.display()));
    }
    found
}

fn is_sound(path: &Path) {
    let book = Connection::open(path).unwrap();
    let word: String = book
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(word, "ok");
}

/// Another house's book, closed.
fn another(shelf: &Shelf) -> (PathBuf, String) {
    let path = shelf.folder.join("another.sqlite");
    let book = Book::open(&path).unwrap();
    let context = appointment_book::CallContext {
        asker: super::support::caller("+15550177"),
        now: super::support::at(super::support::NOW),
        idempotency_key: None,
    };
    let wish = json!({"service": "Facial", "day": "friday", "time": "11:00", "name": "Zoe"});
    let made = book.call("book_appointment", &wish, &context);
    (path, made["booked"]["code"].as_str().unwrap().to_owned())
}

#[test]
fn after_every_change_the_file_alone_is_the_book() {
    let shelf = Shelf::new();
    // A second process has it open.
    let other = Book::open(shelf.path()).unwrap();
    other.venue().unwrap();
    for day in ["monday", "tuesday", "wednesday", "thursday"] {
        shelf.books(day);
        let log = fs::metadata(shelf.folder.join("book.sqlite-wal")).unwrap();
        assert_eq!(log.len(), 0);
    }
    assert_eq!(codes(&shelf.path()).len(), 4);
}

#[test]
fn a_book_that_is_deleted_or_moved_away_is_refused_and_none_is_begun_in_its_place() {
    let shelf = Shelf::new();
    let metrics = shelf.counting();
    let first = shelf.books("monday");
    let away = shelf.folder.join("away.sqlite");
    fs::rename(shelf.path(), &away).unwrap();
    for _ in 0..3 {
        shelf.refuses("tuesday");
    }
    assert!(!shelf.path().exists(), "an empty book was begun");
    assert_eq!(shelf.book.trouble(), Some(Fault::Gone));
    assert_eq!(counted(&metrics, "gone"), 1, "once");
    assert_eq!(codes(&away), std::slice::from_ref(&first));
    fs::rename(&away, shelf.path()).unwrap();
    let second = shelf.books("tuesday");
    assert_eq!(shelf.book.trouble(), None);
    assert_eq!(codes(&shelf.path()), [first, second]);
    assert_eq!(counted(&metrics, "replaced"), 0, "it is the same");
    fs::remove_file(shelf.path()).unwrap();
    shelf.refuses("wednesday");
    assert!(!shelf.path().exists());
    assert_eq!(counted(&metrics, "gone"), 2);
}

#[test]
fn a_data_directory_that_moves_takes_the_book_along() {
    let shelf = Shelf::new();
    shelf.books("monday");
    let away = shelf.folder.with_extension("away");
    fs::rename(&shelf.folder, &away).unwrap();
    shelf.refuses("tuesday");
    assert!(!shelf.folder.exists());
    fs::rename(&away, &shelf.folder).unwrap();
    shelf.books("tuesday");
    assert_eq!(codes(&shelf.path()).len(), 2);
}

#[test]
fn another_book_or_an_older_copy_in_its_place_is_the_book_from_then_on() {
    // By another file of the same name, and by other content of the same file.
    type Put = fn(&Path, &Path);
    let puts: [(&str, Put); 2] = [
        ("mv", |from, to| fs::rename(from, to).unwrap()),
        ("cp", |from, to| assert!(fs::copy(from, to).unwrap() > 0)),
    ];
    for (how, put) in puts {
        let shelf = Shelf::new();
        let metrics = shelf.counting();
        let first = shelf.books("monday");
        let backup = shelf.folder.join("backup.sqlite");
        fs::copy(shelf.path(), &backup).unwrap();
        let lost = [shelf.books("tuesday"), shelf.books("wednesday")];
        put(&backup, &shelf.path());
        shelf.book.look().unwrap();
        assert_eq!(counted(&metrics, "replaced"), 1, "{how}");
        let second = shelf.books("thursday");
        let codes_now = codes(&shelf.path());
        assert_eq!(codes_now, [first, second], "{how}");
        assert!(lost.iter().all(|code| !codes_now.contains(code)), "{how}");

        let (other, of_other) = another(&shelf);
        put(&other, &shelf.path());
        let third = shelf.books("friday");
        assert_eq!(codes(&shelf.path()), [of_other, third], "{how}");
        assert_eq!(counted(&metrics, "replaced"), 2, "{how}");
        drop(shelf.book.venue().unwrap());
        is_sound(&shelf.path());
    }
}

#[test]
fn the_log_of_a_book_that_was_replaced_is_not_read_into_the_next_one() {
    let shelf = Shelf::new();
    let (other, of_other) = another(&shelf);
    // Somebody reads all the time, so that the log cannot be emptied.
    let reader = Connection::open(shelf.path()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader
        .query_row("SELECT count(*) FROM appointments", [], |row| row.get(0))
        .unwrap();
    let answer = shelf.wish("monday");
    assert!(answer["booked"].is_object());
    let log = shelf.folder.join("book.sqlite-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    fs::rename(&other, shelf.path()).unwrap();
    let second = shelf.books("tuesday");
    assert_eq!(codes(&shelf.path()), [of_other, second]);
    drop(reader);
    is_sound(&shelf.path());
    let kept = fs::read_dir(&shelf.folder).unwrap();
    let kept = kept.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("book.sqlite-wal.left-")
    });
    assert_eq!(kept.count(), 1, "what could not be written is kept");
}

#[test]
fn a_book_that_is_spoilt_under_the_process_is_refused_until_a_sound_one_is_there() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Fault, Spoil); 6] = [
        ("emptied", Fault::Damaged, |path| {
            File::create(path).unwrap();
        }),
        ("cut in the middle", Fault::Damaged, |path| {
            let file = File::options().write(true).open(path).unwrap();
            let bytes = file.metadata().unwrap().len();
            file.set_len(bytes / 8192 * 4096).unwrap();
        }),
        ("words in it", Fault::Damaged, |path| {
            fs::write(path, "no tables ".repeat(9_000)).unwrap();
        }),
        ("an empty file in its place", Fault::Damaged, |path| {
            let empty = path.with_extension("empty");
            File::create(&empty).unwrap();
            fs::rename(&empty, path).unwrap();
        }),
        ("a newer version's", Fault::Newer, |path| {
            let newer = path.with_extension("newer");
            fs::copy(path, &newer).unwrap();
            let book = Connection::open(&newer).unwrap();
            book.pragma_update(None, "user_version", 99).unwrap();
            drop(book);
            fs::rename(&newer, path).unwrap();
        }),
        ("another program's", Fault::Unusable, |path| {
            let other = path.with_extension("other");
            let tables = Connection::open(&other).unwrap();
            tables
                .execute_batch("CREATE TABLE appointments (who)")
                .unwrap();
            drop(tables);
            fs::rename(&other, path).unwrap();
        }),
    ];
    for (what, fault, spoil) in spoils {
        let shelf = Shelf::new();
        let metrics = shelf.counting();
        let first = shelf.books("monday");
        let backup = shelf.folder.join("backup.sqlite");
        fs::copy(shelf.path(), &backup).unwrap();
        spoil(&shelf.path());
        let spoilt = fs::read(shelf.path()).unwrap();
        shelf.refuses("tuesday");
        shelf.refuses("tuesday");
        assert_eq!(shelf.book.trouble(), Some(fault), "{what}");
        assert_eq!(counted(&metrics, fault.label()), 1, "{what}");
        assert!(
            fs::read(shelf.path()).unwrap() == spoilt,
            "{what}: it was written to"
        );
        fs::copy(&backup, shelf.path()).unwrap();
        let second = shelf.books("tuesday");
        assert_eq!(shelf.book.trouble(), None, "{what}");
        assert_eq!(codes(&shelf.path()), [first, second], "{what}");
        println!("{what}: refused as {}, used again", fault.label());
    }
}

#[test]
fn what_other_processes_write_is_no_fault_of_the_file() {
    let shelf = Shelf::new();
    let metrics = shelf.counting();
    shelf.books("monday");
    let folder = &shelf.folder;
    for day in ["2026-12-01", "2026-12-02", "2026-12-03"] {
        let other = Book::open(folder.join(FILE)).unwrap();
        let context = appointment_book::CallContext {
            asker: super::support::caller(super::support::BERT),
            now: super::support::at(super::support::NOW),
            idempotency_key: None,
        };
        let wish = json!({"service": "Facial", "day": day, "time": "11:00", "name": "Bert"});
        let made = other.call("book_appointment", &wish, &context);
        assert!(made["booked"].is_object(), "{made}");
        drop(other);
        shelf.books(day);
    }
    // A copy that SQLite makes whole, and vacuuming.
    let desk = Connection::open(shelf.path()).unwrap();
    desk.execute_batch("VACUUM").unwrap();
    drop(desk);
    shelf.books("2026-12-04");
    let faults = ["gone", "replaced", "damaged", "newer", "unusable"];
    for fault in faults {
        assert_eq!(counted(&metrics, fault), 0, "{fault}");
    }
    assert_eq!(codes(&shelf.path()).len(), 8);
}

#[test]
fn a_book_of_the_first_version_is_taken_over_with_its_appointments() {
    let shelf = Shelf::new();
    let first = shelf.books("monday");
    let earlier = shelf.folder.join("earlier.sqlite");
    fs::copy(shelf.path(), &earlier).unwrap();
    let tables = Connection::open(&earlier).unwrap();
    tables
        .execute_batch("DROP TABLE tries; DROP TABLE edition; ALTER TABLE appointments DROP COLUMN sequence; PRAGMA user_version = 1")
        .unwrap();
    drop(tables);
    let book = Book::open(&earlier).unwrap();
    assert!(!book.is_new());
    assert!(book.by_code(&first).unwrap().is_some());
    assert_eq!(book.look().map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn a_book_that_is_open_to_others_is_not_any_more() {
    let shelf = Shelf::new();
    shelf.books("monday");
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", shelf.path().display());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    }
    let again = Book::open(shelf.path()).unwrap();
    again.venue().unwrap();
    for entry in fs::read_dir(&shelf.folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_book_that_cannot_be_opened_says_which_fault_it_has() {
    let shelf = Shelf::new();
    let path = shelf.folder.join("other.sqlite");
    fs::write(&path, "no tables ".repeat(900)).unwrap();
    let error = Book::open(&path).err().unwrap();
    assert_eq!(error.fault(), Some(Fault::Damaged));
    assert!(matches!(error, BookError::Unusable { .. }));
}
