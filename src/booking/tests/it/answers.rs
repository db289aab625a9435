//! What a caller is told, from the list of treatments to the cancelled appointment.

use serde_json::{Value, json};

use super::support::{BERT, NOW, Shelf, at, refusal};

fn times(option: &Value) -> Vec<&str> {
    option["times"]
        .as_array()
        .unwrap()
        .iter()
        .map(|time| time["time"].as_str().unwrap())
        .collect()
}

#[test]
fn a_fresh_machine_has_a_spa_that_takes_appointments() {
    let shelf = Shelf::new();
    let listed = shelf.anna("list_services", json!({}));
    let stone = &listed["services"][1];
    assert_eq!(
        stone,
        &json!({"name": "Hot stone massage", "minutes": 60, "price": "95 EUR", "therapists": ["Elena"]})
    );
    assert_eq!(
        listed["opening_hours"],
        "Monday to Saturday 09:00 to 20:00, Sunday 10:00 to 18:00"
    );
    assert_eq!(listed["today"], "Sunday 22 November 2026");

    let found = shelf.anna(
        "find_times",
        json!({"service": "massage", "day": "tomorrow", "part_of_day": "afternoon"}),
    );
    assert_eq!(found["when"], "Monday 23 November");
    let services: Vec<&str> = found["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["service"].as_str().unwrap())
        .collect();
    assert_eq!(
        services,
        [
            "Classic massage",
            "Hot stone massage",
            "Aroma massage",
            "Back massage"
        ]
    );
    assert!(
        times(&found["options"][1])
            .iter()
            .all(|time| ("12:00".."18:00").contains(time))
    );

    let booked = shelf.anna(
        "book_appointment",
        json!({"service": "hot stone massage", "day": "tomorrow", "time": "15:30", "name": "Anna Weber"}),
    );
    let booked = &booked["booked"];
    assert_eq!(
        (
            &booked["when"],
            &booked["therapist"],
            &booked["price"],
            &booked["name"]
        ),
        (
            &json!("Monday 23 November at 15:30"),
            &json!("Elena"),
            &json!("95 EUR"),
            &json!("Anna Weber")
        )
    );
    let code = booked["code"].as_str().unwrap();
    assert_eq!(code.len(), 6);
    assert_eq!(
        booked["code_spelled"].as_str().unwrap().replace(", ", ""),
        code
    );

    let again = shelf.call(
        Some(BERT),
        "book_appointment",
        json!({"service": "Hot stone massage", "day": "2026-11-23", "time": "15:30", "name": "Bert"}),
    );
    assert_eq!(
        refusal(&again),
        "Monday 23 November at 15:30 is taken for Hot stone massage."
    );
    let others: Vec<&str> = again["other_times"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["time"].as_str().unwrap())
        .collect();
    assert_eq!(
        others,
        ["14:00", "14:30", "16:30"],
        "the nearest that are free"
    );
}

#[test]
fn a_customer_finds_moves_and_cancels_what_is_theirs() {
    let shelf = Shelf::new();
    let booked = shelf.anna(
        "book_appointment",
        json!({"service": "classic massage", "day": "friday", "time": "3 pm", "name": "Anna Weber", "therapist": "maria"}),
    );
    let code = booked["booked"]["code"].as_str().unwrap();

    let found = shelf.anna("find_appointments", json!({"name": "Weber"}));
    assert_eq!(
        found["appointments"][0]["when"],
        "Friday 27 November at 15:00"
    );
    assert_eq!(found["appointments"][0]["name"], "Anna Weber");

    let moved = shelf.anna(
        "move_appointment",
        json!({"time": "11:00", "name": "anna weber"}),
    );
    assert_eq!(
        (&moved["was"], &moved["moved"]["when"]),
        (
            &json!("Friday 27 November at 15:00"),
            &json!("Friday 27 November at 11:00")
        )
    );
    assert_eq!(
        (&moved["moved"]["code"], &moved["moved"]["therapist"]),
        (&json!(code), &json!("Maria"))
    );
    // Half an hour later overlaps with itself only.
    let nudged = shelf.anna(
        "move_appointment",
        json!({"code": code, "time": "11:30", "therapist": "Elena"}),
    );
    assert_eq!(nudged["moved"]["therapist"], "Elena");

    let cancelled = shelf.anna("cancel_appointment", json!({"code": code.to_lowercase()}));
    assert_eq!(
        cancelled["cancelled"]["when"],
        "Friday 27 November at 11:30"
    );
    assert!(
        refusal(&shelf.anna("cancel_appointment", json!({"code": code})))
            .contains("was cancelled before")
    );
    assert_eq!(shelf.standing(), []);
    assert_eq!(
        shelf.anna("find_appointments", json!({}))["appointments"],
        json!([])
    );
}

#[test]
fn what_is_not_the_callers_stays_closed_without_code_and_name() {
    let shelf = Shelf::new();
    let anna =
        json!({"service": "Facial", "day": "tomorrow", "time": "10:00", "name": "Anna Weber"});
    let code = shelf.anna("book_appointment", anna)["booked"]["code"]
        .as_str()
        .unwrap()
        .to_owned();
    for caller in [Some(BERT), None] {
        assert_eq!(
            shelf.call(caller, "find_appointments", json!({}))["appointments"],
            json!([])
        );
        let wrong = shelf.call(caller, "cancel_appointment", json!({"code": code}));
        let guessed = shelf.call(
            caller,
            "cancel_appointment",
            json!({"code": code, "name": "Bert Klein"}),
        );
        let made_up = shelf.call(
            caller,
            "cancel_appointment",
            json!({"code": "no code", "name": "Anna Weber"}),
        );
        // A right code with a wrong name sounds like a wrong code.
        assert_eq!(refusal(&wrong), refusal(&guessed));
        assert_eq!(refusal(&made_up).replace("no code", &code), refusal(&wrong));
    }
    assert_eq!(shelf.standing().len(), 1);
    let moved = shelf.call(
        Some(BERT),
        "move_appointment",
        json!({"code": code, "name": "Frau weber", "time": "12:00"}),
    );
    assert_eq!(moved["moved"]["time"], "12:00");
    // A withheld number leaves one.
    let unreachable =
        json!({"service": "Facial", "day": "tomorrow", "time": "14:00", "name": "Cleo"});
    assert!(refusal(&shelf.call(None, "book_appointment", unreachable.clone())).contains("number"));
    let mut reachable = unreachable;
    // Digits that are no number are asked for again, of those who have another one, too.
    for (caller, phone) in [
        (None, "+1555"),
        (Some(BERT), "+1555"),
        (Some(BERT), "+44207946095812"),
        (Some(BERT), "+2105550100"),
        (None, "0012"),
    ] {
        reachable["phone"] = json!(phone);
        let answer = shelf.call(caller, "book_appointment", reachable.clone());
        assert!(
            refusal(&answer).contains("is not a phone number"),
            "{phone}: {answer}"
        );
    }
    reachable["phone"] = json!("+1 (555) 555-0144");
    assert!(shelf.call(None, "book_appointment", reachable)["error"].is_null());
    assert_eq!(shelf.standing()[1].number, "+15555550144");
}

#[test]
fn several_appointments_are_told_apart_by_their_codes() {
    let shelf = Shelf::new();
    for time in ["10:00", "12:00"] {
        shelf.anna(
            "book_appointment",
            json!({"service": "Facial", "day": "tomorrow", "time": time, "name": "Anna"}),
        );
    }
    let which = shelf.anna("cancel_appointment", json!({"name": "Anna"}));
    assert!(refusal(&which).contains("which one"));
    let times: Vec<&str> = which["appointments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["time"].as_str().unwrap())
        .collect();
    assert_eq!(times, ["10:00", "12:00"]);
    assert_eq!(shelf.standing().len(), 2);
}

/// Tool, arguments, and words of the sentence that comes back.
type Row = (&'static str, Value, &'static str);

#[test]
fn whatever_is_asked_comes_back_as_a_sentence() {
    let shelf = Shelf::new();
    let book = |service: &str, day: &str, time: &str| json!({"service": service, "day": day, "time": time, "name": "Anna"});
    let rows: Vec<Row> = vec![
        (
            "book_appointment",
            book("Facail", "tomorrow", "15:00"),
            "did you mean Facial?",
        ),
        (
            "book_appointment",
            book("Haircut", "tomorrow", "15:00"),
            "There is no \"Haircut\" here.",
        ),
        (
            "book_appointment",
            book("massage", "tomorrow", "15:00"),
            "There are several: Classic massage, Hot stone massage",
        ),
        (
            "book_appointment",
            book("Facial", "yesterday", "15:00"),
            "is not a day I understand",
        ),
        (
            "book_appointment",
            book("Facial", "2026-11-21", "15:00"),
            "Saturday 21 November 2026 is past; today is Sunday 22 November",
        ),
        (
            "book_appointment",
            book("Facial", "2026-02-30", "15:00"),
            "is not a day I understand",
        ),
        (
            "book_appointment",
            book("Facial", "2028-01-01", "15:00"),
            "too far ahead; appointments are taken until",
        ),
        (
            "book_appointment",
            book("Facial", "today", "15:30"),
            "Sunday 22 November at 15:30 is past; it is 16:00 now",
        ),
        (
            "book_appointment",
            book("Facial", "tomorrow", "half past three"),
            "is not a time I understand",
        ),
        (
            "book_appointment",
            book("Facial", "tomorrow", "15:31"),
            "full five minutes",
        ),
        (
            "book_appointment",
            book("Facial", "tomorrow", "08:00"),
            "does not fit the opening hours on Monday 23 November at 08:00: 09:00 to 20:00",
        ),
        (
            "book_appointment",
            book("Facial", "tomorrow", "19:30"),
            "does not fit the opening hours",
        ),
        (
            "book_appointment",
            book("Facial", "2026-12-25", "12:00"),
            "closed on Friday 25 December: Christmas Day",
        ),
        (
            "book_appointment",
            json!({"service": "Facial", "day": "tomorrow", "time": "15:00"}),
            "Under which name",
        ),
        (
            "book_appointment",
            json!({"service": "Facial", "day": "tomorrow", "name": "A"}),
            "At what time?",
        ),
        ("book_appointment", json!([1, 2]), "Which treatment"),
        ("book_appointment", json!({"service": 7}), "Which treatment"),
        (
            "find_times",
            json!({"service": "Facial", "day": "25 December"}),
            "closed on Friday 25 December: Christmas Day",
        ),
        (
            "find_times",
            json!({"service": "Facial", "therapist": "Maira"}),
            "did you mean Maria?",
        ),
        (
            "find_times",
            json!({"service": "Facial", "therapist": "Elena"}),
            "Elena does not do Facial",
        ),
        (
            "find_times",
            json!({"service": "Facial", "day": "tomorrow", "part_of_day": "teatime"}),
            "say morning, afternoon or evening",
        ),
        (
            "find_times",
            json!({"service": "Manicure", "day": "today", "part_of_day": "morning"}),
            "in that part of the day",
        ),
        (
            "move_appointment",
            json!({"time": "12:00"}),
            "no coming appointment for this number",
        ),
        (
            "cancel_appointment",
            json!({"code": "K7M4"}),
            "no appointment with the code K7M4",
        ),
        ("paint_nails", json!({}), "has no tool paint_nails"),
    ];
    for (tool, arguments, words) in rows {
        let answer = shelf.anna(tool, arguments.clone());
        assert!(
            refusal(&answer).contains(words),
            "{tool} {arguments}: {answer}"
        );
    }
    assert_eq!(shelf.standing(), []);
    let closed = shelf.anna("book_appointment", book("Facial", "2026-12-25", "12:00"));
    assert_eq!(
        closed["other_times"][0]["when"], "Saturday 26 December at 11:30",
        "the next day's nearest time"
    );
}

#[test]
fn without_a_day_the_next_one_with_free_times_is_found() {
    let shelf = Shelf::new();
    let found = shelf.anna(
        "find_times",
        json!({"service": "Manicure", "part_of_day": "morning"}),
    );
    assert_eq!(
        found["when"], "Monday 23 November",
        "today's morning is over"
    );
    assert_eq!(times(&found["options"][0])[0], "09:00");
    let near = shelf.anna(
        "find_times",
        json!({"service": "Manicure", "day": "tomorrow", "time": "15:30"}),
    );
    assert!(times(&near["options"][0]).contains(&"15:30"));
    assert_eq!(near["options"][0]["free_times_in_all"], 21);
}

#[test]
fn on_the_days_the_clocks_change_appointments_are_as_long_as_ever() {
    let shelf = Shelf::with(
        r#"
        name = "Night spa"
        time_zone = "Europe/Berlin"
        currency = "EUR"
        days_ahead = 700
        hours = { saturday = ["20:00-24:00"], sunday = ["00:00-05:00"] }
        services = [{ name = "Float", minutes = 90, price = 50 }]
        therapists = [{ name = "Ada" }]
        rooms = [{ name = "Tank" }]
        "#,
    );
    let float = |day: &str, time: &str| {
        shelf.anna(
            "book_appointment",
            json!({"service": "Float", "day": day, "time": time, "name": "Anna"}),
        )
    };
    assert!(
        refusal(&float("2027-03-28", "02:30"))
            .contains("the clocks go forward, and there is no 02:30")
    );
    assert_eq!(float("2027-03-28", "01:30")["booked"]["minutes"], 90);
    assert!(
        refusal(&float("2027-03-28", "03:30")).contains("is taken"),
        "01:30 and 90 minutes are 04:00 that night"
    );
    assert_eq!(float("2027-10-31", "01:30")["booked"]["minutes"], 90);
    assert_eq!(
        float("2027-10-31", "02:00")["error"],
        "Sunday 31 October at 02:00 is taken for Float."
    );
    assert!(
        float("2027-10-31", "03:00")["error"].is_null(),
        "02:30 of the second time is free by then"
    );
    let standing = shelf.standing();
    let ends: Vec<String> = standing
        .iter()
        .map(|appointment| appointment.ends.to_string())
        .collect();
    assert_eq!(
        ends,
        [
            "2027-03-28T02:00:00Z",
            "2027-10-31T01:00:00Z",
            "2027-10-31T03:30:00Z"
        ]
    );
}

#[test]
fn the_clock_of_the_house_fills_instructions() {
    let shelf = Shelf::new();
    let clock = shelf.book.clock(at(NOW)).unwrap();
    assert_eq!(clock.date, "Sunday 22 November 2026");
    assert_eq!(clock.time_of_day, "16:00 in the afternoon");
    assert_eq!(
        clock.opening_hours,
        "Monday to Saturday 09:00 to 20:00, Sunday 10:00 to 18:00"
    );
    assert_eq!(
        shelf
            .book
            .clock(at("2026-12-20T22:30:00Z"))
            .unwrap()
            .time_of_day,
        "23:30 at night"
    );
}

#[test]
fn every_tool_describes_the_arguments_that_it_requires() {
    for tool in appointment_book::tools() {
        let schema = tool.parameters();
        assert_eq!(schema["type"], "object", "{}", tool.name);
        assert!(tool.description.len() <= 1_024);
        for name in schema["required"].as_array().unwrap() {
            assert!(
                schema["properties"][name.as_str().unwrap()].is_object(),
                "{}: {name}",
                tool.name
            );
        }
        assert_eq!(
            tool.effects,
            ["book_appointment", "move_appointment", "cancel_appointment"].contains(&tool.name)
        );
    }
}
