//! Many callers after one time.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use appointment_book::{Asker, Book, CallContext, FILE, Identify};
use serde_json::{Value, json};

use super::support::{NOW, Shelf, at, double_bookings};

fn book(book: &Book, number: usize, arguments: &Value) -> Value {
    let caller = format!("+1555600{number:04}");
    let key = format!("call-{number}");
    let context = CallContext {
        asker: Asker::Caller {
            number: Some(&caller),
            call: &key,
            identify: Identify::default(),
        },
        now: at(NOW),
        idempotency_key: Some(&key),
    };
    book.call("book_appointment", arguments, &context)
}

#[test]
fn of_a_hundred_callers_after_one_time_one_has_it_and_the_others_are_offered_others() {
    let shelf = Shelf::new();
    // Two books on one file: two processes, as the service and the desk are.
    let books = [&shelf.book, &Book::open(shelf.folder.join(FILE)).unwrap()];
    let wish = json!({"service": "Hot stone massage", "day": "tomorrow", "time": "15:30", "name": "Caller"});
    let together = Barrier::new(100);
    let began = Instant::now();
    let answers: Vec<(Value, Duration)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..100)
            .map(|number| {
                let (wish, together) = (&wish, &together);
                scope.spawn(move || {
                    together.wait();
                    let asked = Instant::now();
                    (book(books[number % 2], number, wish), asked.elapsed())
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    let took = began.elapsed();
    let won = answers
        .iter()
        .filter(|(answer, _)| answer["booked"].is_object())
        .count();
    let offered = answers
        .iter()
        .filter(|(answer, _)| {
            answer["other_times"]
                .as_array()
                .is_some_and(|others| others.len() == 3)
        })
        .count();
    assert_eq!((won, offered), (1, 99), "{answers:?}");
    assert_eq!(shelf.standing().len(), 1);
    let slowest = answers.iter().map(|(_, waited)| *waited).max().unwrap();
    println!(
        "100 callers after one time: {won} won, {offered} were offered three other times, all answered in {} ms, the slowest in {} ms",
        took.as_millis(),
        slowest.as_millis()
    );
}

#[test]
fn two_hundred_callers_at_once_are_never_booked_double() {
    let shelf = Shelf::new();
    let services = [
        "Classic massage",
        "Hot stone massage",
        "Aroma massage",
        "Back massage",
        "Facial",
        "Manicure",
    ];
    std::thread::scope(|scope| {
        for number in 0..200 {
            let shelf = &shelf;
            scope.spawn(move || {
                let wish = json!({"service": services[number % 6], "day": "tomorrow", "time": format!("{}:00", 9 + number % 10), "name": "Caller"});
                let answer = book(&shelf.book, number, &wish);
                // Whoever is too late takes the first time that is offered.
                if let Some(other) = answer["other_times"].as_array().and_then(|others| others.first()) {
                    let other = json!({"service": services[number % 6], "day": other["day"], "time": other["time"], "name": "Caller"});
                    book(&shelf.book, 1_000 + number, &other);
                }
            });
        }
    });
    let standing = shelf.standing();
    assert_eq!(double_bookings(&standing), 0);
    assert!(standing.len() >= 30, "{}", standing.len());
    println!(
        "200 callers at once: {} appointments, 0 therapists or rooms booked twice",
        standing.len()
    );
}

#[test]
fn the_database_refuses_a_double_booking_whoever_writes() {
    let shelf = Shelf::new();
    shelf.anna(
        "book_appointment",
        json!({"service": "Hot stone massage", "day": "tomorrow", "time": "15:30", "name": "Anna"}),
    );
    shelf.anna(
        "book_appointment",
        json!({"service": "Hot stone massage", "day": "tomorrow", "time": "17:00", "name": "Anna"}),
    );
    let file = rusqlite::Connection::open(shelf.folder.join(FILE)).unwrap();
    let copy = |therapist: &str, room: &str, shift: i64| {
        file.execute(
            "INSERT INTO appointments (uid, code, service, price_cents, therapist, room, begins, ends, name, number, state, made, changed) \
             SELECT 'x' || ?3 || ?1 || ?2, 'X' || ?3, service, 0, ?1, ?2, begins + ?3, ends + ?3, 'X', '', 'booked', 0, 0 FROM appointments WHERE id = 1",
            rusqlite::params![therapist, room, shift],
        )
    };
    let refused = |result: rusqlite::Result<usize>| result.unwrap_err().to_string();
    assert!(refused(copy("Elena", "Nowhere", 3_540)).contains("therapist is taken"));
    assert!(refused(copy("Elena", "Nowhere", -3_540)).contains("therapist is taken"));
    assert!(refused(copy("Nobody", "Stone room", 60)).contains("room is taken"));
    assert_eq!(
        copy("Elena", "Stone room", -3_600).unwrap(),
        1,
        "one that ends when it begins is none"
    );
    let moved = file.execute(
        "UPDATE appointments SET begins = begins - 3600, ends = ends - 3600 WHERE id = 2",
        [],
    );
    assert!(refused(moved).contains("is taken"));
    let code = file.execute(
        "UPDATE appointments SET code = (SELECT code FROM appointments WHERE id = 1) WHERE id = 2",
        [],
    );
    assert!(refused(code).contains("UNIQUE"));
    assert!(
        refused(file.execute("UPDATE appointments SET ends = begins WHERE id = 1", []))
            .contains("CHECK")
    );
}
