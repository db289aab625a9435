//! An effect and its idempotency key are one transaction.

use std::time::Instant;

use appointment_book::{Book, CallContext, FILE};
use serde_json::json;

use super::support::{NOW, Shelf, anna, at, refusal};

#[test]
fn the_same_key_gives_the_same_answer_and_no_second_appointment() {
    let shelf = Shelf::new();
    let wish = json!({"service": "Facial", "day": "tomorrow", "time": "15:00", "name": "Anna"});
    let first = shelf.keyed("k1", "book_appointment", &wish);
    assert!(first["booked"].is_object());
    assert_eq!(shelf.keyed("k1", "book_appointment", &wish), first);
    // Another process, after a crash of the first.
    let reopened = Book::open(shelf.folder.join(FILE)).unwrap();
    let context = CallContext {
        asker: anna(),
        now: at(NOW),
        idempotency_key: Some("k1"),
    };
    assert_eq!(reopened.call("book_appointment", &wish, &context), first);
    assert_eq!(shelf.standing().len(), 1);

    let moved = shelf.keyed(
        "k2",
        "move_appointment",
        &json!({"time": "16:00", "name": "Anna"}),
    );
    assert_eq!(
        shelf.keyed(
            "k2",
            "move_appointment",
            &json!({"time": "16:00", "name": "Anna"})
        ),
        moved
    );
    assert_eq!(moved["was"], "Monday 23 November at 15:00");
    let cancelled = shelf.keyed("k3", "cancel_appointment", &json!({"name": "Anna"}));
    assert_eq!(
        shelf.keyed("k3", "cancel_appointment", &json!({"name": "Anna"})),
        cancelled
    );
    assert!(cancelled["cancelled"].is_object());
    // A key belongs to its tool.
    assert!(
        refusal(&shelf.keyed("k3", "move_appointment", &json!({"time": "9:00"})))
            .contains("no coming appointment")
    );
}

#[test]
fn a_refusal_is_kept_under_its_key_too() {
    let shelf = Shelf::new();
    let wish =
        json!({"service": "Hot stone massage", "day": "tomorrow", "time": "15:30", "name": "Anna"});
    shelf.keyed("k1", "book_appointment", &wish);
    let mut hers = wish.clone();
    hers["name"] = json!("Berta");
    let refused = shelf.keyed("k2", "book_appointment", &hers);
    assert!(refusal(&refused).contains("is taken"));
    shelf.keyed("k3", "cancel_appointment", &json!({"name": "Anna"}));
    // The time is free by now, but the caller was told no: whoever repeats the question hears the same.
    assert_eq!(shelf.keyed("k2", "book_appointment", &hers), refused);
    assert_eq!(shelf.standing(), []);
    assert!(shelf.keyed("k4", "book_appointment", &hers)["booked"].is_object());
}

#[test]
fn the_very_same_appointment_is_not_made_twice_under_another_key() {
    let shelf = Shelf::new();
    let wish =
        json!({"service": "Classic massage", "day": "tomorrow", "time": "15:00", "name": "Anna"});
    let first = shelf.keyed("k1", "book_appointment", &wish);
    let again = shelf.keyed("k2", "book_appointment", &wish);
    assert_eq!(again["booked"], first["booked"]);
    assert!(again["note"].as_str().unwrap().contains("already"));
    assert_eq!(shelf.standing().len(), 1);
    // Two people may come at one time.
    let mut of_bert = wish.clone();
    of_bert["name"] = json!("Bert");
    assert!(shelf.keyed("k3", "book_appointment", &of_bert)["booked"].is_object());
    assert_eq!(shelf.standing().len(), 2);
}

#[test]
fn a_key_used_by_many_at_once_has_one_effect() {
    let shelf = Shelf::new();
    // Two rooms and three therapists: without the key there would be more than one.
    let wish =
        json!({"service": "Back massage", "day": "tomorrow", "time": "15:00", "name": "Anna"});
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || shelf.keyed("same", "book_appointment", &wish);
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer == &answers[0] && answer["booked"].is_object()),
        "{answers:?}"
    );
    assert_eq!(shelf.standing().len(), 1);
}

#[test]
fn an_effect_that_cannot_be_written_down_does_not_happen() {
    let shelf = Shelf::new();
    let file = rusqlite::Connection::open(shelf.folder.join(FILE)).unwrap();
    // The process dies between the appointment and the answer: all that SQLite sees of it is a rollback.
    file.execute_batch(
        "CREATE TRIGGER dies BEFORE INSERT ON answers BEGIN SELECT RAISE(ROLLBACK, 'killed'); END",
    )
    .unwrap();
    let wish = json!({"service": "Facial", "day": "tomorrow", "time": "15:00", "name": "Anna"});
    let answer = shelf.keyed("k1", "book_appointment", &wish);
    assert_eq!(
        refusal(&answer),
        "The appointment book cannot be reached at the moment. Nothing was changed."
    );
    assert_eq!(shelf.standing(), []);
    file.execute_batch("DROP TRIGGER dies").unwrap();
    assert!(shelf.keyed("k1", "book_appointment", &wish)["booked"].is_object());
    assert_eq!(shelf.standing().len(), 1);
}

#[test]
fn a_book_that_somebody_holds_for_a_change_opens_and_is_read() {
    let shelf = Shelf::new();
    let holder = rusqlite::Connection::open(shelf.folder.join(FILE)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let book = Book::open(shelf.folder.join(FILE)).unwrap();
    assert!(!book.venue().unwrap().services.is_empty());
    // It waited for nobody: the change is not over yet.
    println!("opened and read in {:?} beside a change", began.elapsed());
}
