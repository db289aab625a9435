//! Two statements of one fact: the weaker is never dropped without a word.

use serde_json::{Value, json};

use super::support::{Shelf, refusal};

#[test]
fn what_contradicts_itself_is_asked_again_and_nothing_is_booked() {
    let shelf = Shelf::new();
    let book = |day: &str, time: &str| json!({"service": "Facial", "day": day, "time": time, "name": "Anna"});
    let rows: Vec<(&str, Value, [&str; 2])> = vec![
        (
            "book_appointment",
            book("Tuesday 2 December 2026", "15:00"),
            ["Wednesday 2 December 2026", "not a Tuesday"],
        ),
        (
            "book_appointment",
            book("tomorrow, 2 December", "15:00"),
            [
                "tomorrow is Monday 23 November 2026",
                "2 december is Wednesday 2 December 2026",
            ],
        ),
        (
            "book_appointment",
            book("tomorrow friday", "15:00"),
            ["Monday 23 November 2026", "not a Friday"],
        ),
        (
            "book_appointment",
            book("tomorrow morning", "15:00"),
            ["15:00", "morning"],
        ),
        (
            "book_appointment",
            book("tomorrow", "15:30 in the morning"),
            ["15:30", "morning"],
        ),
        (
            "book_appointment",
            book("2026-11-23T09:00", "15:00"),
            ["2026-11-23T09:00", "is not a day I understand"],
        ),
        (
            "find_times",
            json!({"service": "Facial", "day": "tomorrow", "time": "15:30", "part_of_day": "morning"}),
            ["15:30", "morning"],
        ),
        (
            "find_times",
            json!({"service": "Facial", "day": "tomorrow afternoon", "part_of_day": "evening"}),
            ["afternoon", "evening"],
        ),
        (
            "book_appointment",
            json!({"service": "Facial", "day": "tomorrow", "time": "15:00", "name": "Anna", "therapist": "Elena"}),
            ["Elena does not do", "Facial"],
        ),
    ];
    for (tool, arguments, words) in rows {
        let answer = shelf.anna(tool, arguments.clone());
        for words in words {
            assert!(
                refusal(&answer).contains(words),
                "{tool} {arguments}: {answer}"
            );
        }
    }
    assert_eq!(shelf.standing(), []);
}

#[test]
fn statements_that_agree_are_taken_together() {
    let shelf = Shelf::new();
    for (day, time, when) in [
        (
            "Wednesday 2 December 2026",
            "3:30 in the afternoon",
            "Wednesday 2 December at 15:30",
        ),
        (
            "1 December 26",
            "9:00 in the morning",
            "Tuesday 1 December at 09:00",
        ),
        ("tomorrow afternoon", "15:00", "Monday 23 November at 15:00"),
    ] {
        let booked = shelf.anna(
            "book_appointment",
            json!({"service": "Facial", "day": day, "time": time, "name": "Anna"}),
        );
        assert_eq!(booked["booked"]["when"], when, "{booked}");
    }
    let found = shelf.anna(
        "find_times",
        json!({"service": "Facial", "day": "tomorrow evening"}),
    );
    let times = found["options"][0]["times"].as_array().unwrap();
    assert!(
        times
            .iter()
            .all(|time| time["time"].as_str().unwrap() >= "17:00"),
        "{found}"
    );
}

#[test]
fn another_therapist_for_what_is_booked_is_no_second_appointment() {
    let shelf = Shelf::new();
    let mut wish = json!({"service": "Classic massage", "day": "tomorrow", "time": "15:00", "name": "Anna", "therapist": "Maria"});
    shelf.anna("book_appointment", wish.clone());
    wish["therapist"] = json!("Elena");
    let answer = shelf.anna("book_appointment", wish);
    assert_eq!(
        refusal(&answer),
        "It is in the book already, with Maria; to have Elena instead, move it."
    );
    assert_eq!(shelf.standing().len(), 1);
}
