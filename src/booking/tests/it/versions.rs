//! A book that an earlier version of the program made.

use appointment_book::{Book, FILE, State};
use rusqlite::Connection;

use super::support::Shelf;

/// A book of version 1 with two appointments, made in the place of the shelf's own.
fn version_1() -> (Shelf, Connection) {
    let shelf = Shelf::new();
    let house: String = Connection::open(shelf.folder.join(FILE))
        .and_then(|book| book.query_row("SELECT json FROM premises", [], |row| row.get(0)))
        .unwrap();
    let old = Connection::open(shelf.folder.join("old.sqlite")).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(include_str!("version_1.sql")).unwrap();
    old.execute("INSERT INTO premises VALUES (1, ?1)", [house])
        .unwrap();
    (shelf, old)
}

fn version(book: &Connection) -> i64 {
    book.pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

#[test]
fn a_book_of_version_1_is_brought_along_with_all_that_is_in_it() {
    let (shelf, old) = version_1();
    let path = shelf.folder.join("old.sqlite");
    // Several processes of the new version start at once.
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| Book::open(&path))).collect();
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
    assert_eq!(version(&old), 4);
    let book = Book::open(&path).unwrap();
    let all = book
        .appointments(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX)
        .unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|one| {
            (
                one.uid.as_str(),
                one.code.as_str(),
                one.name.as_str(),
                one.state,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a@example.com", "K7M4", "Anna Weber", State::Booked),
            ("b@example.com", "L2R6", "Bert Klein", State::Cancelled)
        ]
    );
    assert!(all.iter().all(|one| one.recurrence.is_none()));
    let answers: i64 = old
        .query_row("SELECT count(*) FROM answers", [], |row| row.get(0))
        .unwrap();
    assert_eq!(answers, 1);
}

#[test]
fn a_process_of_version_1_goes_on_booking_beside_the_new_one() {
    let (shelf, old) = version_1();
    let book = Book::open(shelf.folder.join("old.sqlite")).unwrap();
    // Its statement, word for word.
    old.execute(
        "INSERT INTO appointments (uid, code, service, price_cents, therapist, room, begins, ends, name, number, caller, \
         state, made, changed) VALUES ('c@example.com', 'F4F4', 'Facial', 7000, 'Elena', 'Room 2', 1795437000, \
         1795439700, 'Cleo', '', NULL, 'booked', 1795200000, 1795200000) \
         ON CONFLICT (uid) DO UPDATE SET code = excluded.code",
        [],
    )
    .unwrap();
    assert_eq!(book.by_code("F4F4").unwrap().unwrap().name, "Cleo");
}
