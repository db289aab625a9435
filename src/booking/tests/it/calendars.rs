//! Calendars of other programs: what they say is in the book afterwards, or nothing of them is.

use appointment_book::{Appointment, BookError, Imported, State};
use serde_json::{Value, json};

use super::support::{NOW, Shelf, at};

fn calendar(entries: &[&str]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| format!("BEGIN:VEVENT\n{entry}\nEND:VEVENT\n"))
        .collect();
    let text = format!(
        "BEGIN:VCALENDAR\nVERSION:2.0\n{}END:VCALENDAR\n",
        entries.concat()
    );
    text.replace('\n', "\r\n")
}

fn take(shelf: &Shelf, text: &str) -> Imported {
    shelf.book.import(text, at(NOW)).unwrap()
}

/// New, changed, unchanged, removed.
fn counts(imported: &Imported) -> [usize; 4] {
    [
        imported.new,
        imported.changed,
        imported.unchanged,
        imported.removed,
    ]
}

fn all(shelf: &Shelf) -> Vec<Appointment> {
    let (from, to) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    shelf.book.appointments(from, to).unwrap()
}

#[test]
fn the_same_file_again_changes_nothing() {
    let shelf = Shelf::new();
    let file = calendar(&[
        "UID:a\nSUMMARY:Facial: Anna Weber\nDTSTART:20261123T143000Z\nCONTACT:+4930123456",
        "UID:b\nSUMMARY:Facial: Bert\nDTSTART:20261123T143000Z",
        "UID:c\nSUMMARY:Facial: Cleo\nDTSTART:20261124T143000Z\nSTATUS:CANCELLED",
        "UID:h\nSUMMARY:Moving\nDTSTART;VALUE=DATE:20261126",
    ]);
    let first = take(&shelf, &file);
    assert_eq!((counts(&first), first.closed_days), ([2, 0, 1, 0], 1));
    let before = all(&shelf);
    for _ in 0..2 {
        let again = take(&shelf, &file);
        assert_eq!((counts(&again), again.closed_days), ([0, 0, 3, 0], 0));
        assert_eq!(all(&shelf), before);
    }
}

#[test]
fn our_own_export_as_a_mail_program_writes_it_keeps_what_it_does_not_say() {
    let shelf = Shelf::new();
    for (therapist, time) in [("Maria", "15:00"), ("Elena", "17:00")] {
        shelf.anna("book_appointment", json!({"service": "Classic massage", "day": "tomorrow", "time": time, "name": "Anna Weber", "therapist": therapist}));
    }
    let before = all(&shelf);
    let exported = shelf
        .book
        .export(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX, at(NOW))
        .unwrap();
    let bare: String = exported
        .split_inclusive("\r\n")
        .filter(|line| {
            !["X-", "CONTACT", "LOCATION"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect();
    assert!(bare.len() < exported.len());
    assert_eq!(counts(&take(&shelf, &bare)), [0, 0, 2, 0]);
    assert_eq!(all(&shelf), before);
    // What it says is changed, and nothing else.
    let moved = bare
        .replace("20261123T140000Z", "20261123T120000Z")
        .replace("20261123T150000Z", "20261123T130000Z");
    assert_eq!(counts(&take(&shelf, &moved)), [0, 1, 1, 0]);
    let after = all(&shelf);
    let mut expected = before[0].clone();
    expected.begins = at("2026-11-23T12:00:00Z");
    expected.ends = at("2026-11-23T13:00:00Z");
    assert_eq!(after, [expected, before[1].clone()]);
    // The caller finds it as their own still.
    let found = shelf.anna("find_appointments", json!({}));
    assert_eq!(
        found["appointments"].as_array().unwrap().len(),
        2,
        "{found}"
    );
}

#[test]
fn an_older_file_does_not_undo_what_a_caller_did() {
    let shelf = Shelf::new();
    let file = calendar(&["UID:a\nSEQUENCE:3\nSUMMARY:Facial: Anna\nDTSTART:20261123T143000Z"]);
    take(&shelf, &file);
    let code = all(&shelf)[0].code.clone();
    shelf.book.cancel(&code, at(NOW)).unwrap().unwrap();
    let error = shelf.book.import(&file, at(NOW)).unwrap_err().to_string();
    assert!(
        error.contains("SEQUENCE:3") && error.contains("4 in the book"),
        "{error}"
    );
    assert_eq!(all(&shelf)[0].state, State::Cancelled);
    let newer = file.replace("SEQUENCE:3", "SEQUENCE:4\r\nSTATUS:CONFIRMED");
    assert_eq!(counts(&take(&shelf, &newer)), [0, 1, 0, 0]);
    assert_eq!(shelf.standing()[0].code, code);
}

#[test]
fn entries_of_one_series_are_as_many_appointments() {
    let shelf = Shelf::new();
    let one = |id: &str, day: &str| {
        format!(
            "UID:s\nRECURRENCE-ID;TZID=Europe/Berlin:{id}T100000\nSUMMARY:Facial: Anna\nDTSTART;TZID=Europe/Berlin:{day}T100000"
        )
    };
    let file = calendar(&[&one("20261123", "20261123"), &one("20261130", "20261201")]);
    assert_eq!(counts(&take(&shelf, &file)), [2, 0, 0, 0]);
    assert_eq!(shelf.standing().len(), 2);
    // The same instances, written in UTC, in our own words.
    let exported = shelf
        .book
        .export(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX, at(NOW))
        .unwrap();
    assert!(
        exported.contains("RECURRENCE-ID:20261130T090000Z\r\n"),
        "{exported}"
    );
    assert_eq!(counts(&take(&shelf, &exported)), [0, 0, 2, 0]);
    // Called off as a whole.
    let gone = calendar(&["UID:s\nSUMMARY:Facial: Anna"]).replace("VERSION:2.0", "METHOD:CANCEL");
    assert_eq!(counts(&take(&shelf, &gone)), [0, 0, 0, 2]);
    assert_eq!(shelf.standing(), []);
}

#[test]
fn ends_and_lengths_are_kept_as_they_are_written() {
    let shelf = Shelf::new();
    let vtimezone = "BEGIN:VTIMEZONE\r\nTZID:Our clock\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n";
    for (index, (lines, begins, ends)) in [
        ("DTSTART:20261123T143000Z\nDURATION:PT1H30M", "2026-11-23T14:30:00Z", "2026-11-23T16:00:00Z"),
        ("DTSTART;TZID=W. Europe Standard Time:20261124T100000\nDURATION:PT20M", "2026-11-24T09:00:00Z", "2026-11-24T09:20:00Z"),
        ("DTSTART;TZID=Our clock:20261125T100000\nDTEND:20261125T093000Z", "2026-11-25T09:00:00Z", "2026-11-25T09:30:00Z"),
        ("DTSTART;TZID=\"Our clock\":20270625T100000\nDTEND:20270625T083000Z", "2027-06-25T08:00:00Z", "2027-06-25T08:30:00Z"),
        ("DTSTART:20261126T10\n 0000\nDTEND;TZID=America/New_York:20261126T043000", "2026-11-26T09:00:00Z", "2026-11-26T09:30:00Z"),
        ("DTSTART:20261127T143000Z\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT15M\nDURATION:PT5M\nREPEAT:2\nEND:VALARM", "2026-11-27T14:30:00Z", "2026-11-27T15:15:00Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = calendar(&[&format!("UID:{index}\nSUMMARY:Facial: Bo\n{lines}")]).replacen("BEGIN:VEVENT", &format!("{vtimezone}BEGIN:VEVENT"), 1);
        assert_eq!(counts(&take(&shelf, &text)), [1, 0, 0, 0], "{lines}");
        let uid = index.to_string();
        let made = all(&shelf).into_iter().find(|one| one.uid == uid).unwrap();
        assert_eq!((made.begins, made.ends), (at(begins), at(ends)), "{lines}");
    }
}

#[test]
fn whole_days_close_as_many_days_as_they_last() {
    let shelf = Shelf::new();
    let days = |lines: &str| calendar(&[&format!("UID:h\nSUMMARY:Moving\n{lines}")]);
    for (lines, closed, opened) in [
        ("DTSTART;VALUE=DATE:20270301\nDURATION:P3D", 3, 0),
        ("DTSTART;VALUE=DATE:20270301\nDURATION:P1W", 4, 0),
        (
            "DTSTART;VALUE=DATE:20270302\nDTEND;VALUE=DATE:20270304",
            0,
            5,
        ),
        ("DTSTART;VALUE=DATE:20270304", 1, 2),
        ("DTSTART;VALUE=DATE:20270304\nSTATUS:CANCELLED", 0, 1),
    ] {
        let imported = take(&shelf, &days(lines));
        assert_eq!(
            (imported.closed_days, imported.opened_days),
            (closed, opened),
            "{lines}"
        );
    }
}

#[test]
fn what_the_book_cannot_keep_is_refused_with_its_line_and_nothing_is_taken_in() {
    let shelf = Shelf::new();
    let start = "DTSTART:20261123T143000Z";
    let rows = [
        (
            "DTSTART:20261123T143000Z\nDTEND;VALUE=DATE:20261124",
            11,
            "write both as times",
        ),
        (
            "DTSTART;VALUE=DATE:20261123\nDTEND:20261124T100000Z",
            11,
            "write both as days",
        ),
        (
            "DTSTART;VALUE=DATE:20261123\nDURATION:PT3H",
            11,
            "write whole days",
        ),
        (
            "DTSTART;VALUE=DATE:20261123\nDTEND;VALUE=DATE:20261123",
            7,
            "lasts 0 days",
        ),
        (
            "DTSTART:20261123T143000Z\nDTEND:20261123T153000Z\nDURATION:PT1H",
            12,
            "leave one of the two",
        ),
        (
            "DTSTART:20261123T143000Z\nDURATION:P1M",
            11,
            "write it like PT1H30M",
        ),
        (
            "DTSTART:20261123T143000Z\nDURATION:P1D",
            11,
            "more than 12 hours",
        ),
        ("DTSTART;TZID=Mars/Base:20261123T143000", 10, "Mars/Base"),
        (
            "DTSTART;TZID=Europe/Berlin:20261123T143000Z",
            10,
            "leave one of the two",
        ),
        (
            "DTSTART:20261123T143000Z\nRRULE:FREQ=DAILY",
            11,
            "an entry of its own",
        ),
        (
            "DTSTART:20261123T143000Z\nEXDATE:20261123T143000Z",
            11,
            "an entry of its own",
        ),
        (
            "DTSTART:20261123T143000Z\nTRANSP:TRANSPARENT",
            11,
            "takes no time",
        ),
        (
            "DTSTART:20261123T143000Z\nSTATUS:TENTATIVE",
            11,
            "write CONFIRMED",
        ),
        (
            "DTSTART:20261123T143000Z\nCONTACT:+1555",
            11,
            "no phone number",
        ),
        (
            "DTSTART:20261123T143000Z\nX-SWITCHBOARD-CODE:000",
            11,
            "take the line out",
        ),
        (
            "DTSTART:20261123T143000Z\nX-SWITCHBOARD-THERAPIST:Zoe",
            7,
            "add them to it",
        ),
        (
            "DTSTART:20261123T143000Z\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261123T143000Z",
            11,
            "an entry of its own",
        ),
        (
            "DTSTART:20261123T143000Z\nDTSTART:20261124T143000Z",
            11,
            "again, after line 11",
        ),
        ("DTSTART:20261123T143000Z\nSEQUENCE:x", 11, "SEQUENCE"),
    ];
    for (lines, line, words) in rows {
        let text = calendar(&[
            &format!("UID:good\nSUMMARY:Facial: Anna\n{start}"),
            &format!("UID:bad\nSUMMARY:Facial: Bo\n{lines}"),
        ]);
        // Lines 3 to 7 are the good one.
        let error = shelf.book.import(&text, at(NOW)).unwrap_err();
        let BookError::Calendar(refused) = &error else {
            panic!("{lines}: {error}")
        };
        let [trouble] = refused.troubles.as_slice() else {
            panic!("{lines}: {error}")
        };
        assert_eq!(
            trouble.line,
            if line == 7 { 8 } else { line + 1 },
            "{lines}: {error}"
        );
        assert!(error.to_string().contains(words), "{lines}: {error}");
        assert!(
            error.to_string().ends_with("nothing was imported"),
            "{error}"
        );
        assert_eq!(all(&shelf), [], "{lines}");
    }
}

#[test]
fn several_refusals_are_told_at_once_to_people_and_scripts() {
    let shelf = Shelf::new();
    let text = calendar(&[
        "UID:1\nSUMMARY:Facial: Anna\nDTSTART:20261123T143000Z\nRRULE:FREQ=DAILY",
        "UID:2\nSUMMARY:Facial: Bert\nDTSTART:20261123T143000Z",
        "UID:2\nSUMMARY:Facial: Cleo\nDTSTART:20261124T143000Z",
    ]);
    let BookError::Calendar(refused) = shelf.book.import(&text, at(NOW)).unwrap_err() else {
        panic!("not refused")
    };
    let said = refused.to_string();
    assert!(
        said.starts_with("2 of 3 entries are refused; line 7: the entry \"Facial: Anna\" repeats"),
        "{said}"
    );
    assert!(
        said.contains("line 14: the entry \"Facial: Cleo\" has the UID"),
        "{said}"
    );
    let scripts: Value = serde_json::to_value(&refused).unwrap();
    assert_eq!(scripts["troubles"][0]["line"], 7);
    // A calendar that was cut off, and the second one of a file.
    let cut = calendar(&["UID:1\nSUMMARY:Facial: Anna\nDTSTART:20261123T143000Z"])
        .replace("END:VCALENDAR\r\n", "");
    assert!(
        shelf
            .book
            .import(&cut, at(NOW))
            .unwrap_err()
            .to_string()
            .contains("cut off")
    );
    let two = calendar(&["UID:1\nSUMMARY:Facial: Anna\nDTSTART:20261123T143000Z"])
        + &calendar(&["UID:2\nSUMMARY:Facial: Bert\nDTSTART:20261124T143000Z"]);
    assert_eq!(counts(&take(&shelf, &two)), [2, 0, 0, 0]);
}

#[test]
fn what_has_no_place_in_the_book_is_counted() {
    let shelf = Shelf::new();
    let imported = take(
        &shelf,
        &calendar(&[
            "UID:1\nSUMMARY:Facial: Anna\nDTSTART:20261123T143000Z\nDESCRIPTION:almonds\nLOCATION:12 Elm St\nX-MS-A:1\nBEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM",
        ]),
    );
    let left_out: Vec<_> = imported
        .left_out
        .iter()
        .map(|(name, times)| (name.as_str(), *times))
        .collect();
    assert_eq!(
        left_out,
        [("DESCRIPTION", 1), ("LOCATION", 1), ("VALARM", 1)]
    );
}

#[test]
fn names_of_all_kinds_come_back() {
    let shelf = Shelf::new();
    let text = calendar(&[
        "UID:a\\,b\nSUMMARY:Facial: Anna Łucja\\; Weber\\, geb. Groß\\\\Klein: of a house whose name is so long that the line is folded\nDTSTART:20261123T143000Z",
    ]);
    take(&shelf, &text);
    let before = all(&shelf);
    assert_eq!(before[0].uid, "a,b");
    assert_eq!(
        before[0].name,
        "Anna Łucja; Weber, geb. Groß\\Klein: of a house whose name is so long that the line is folded"
    );
    let exported = shelf
        .book
        .export(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX, at(NOW))
        .unwrap();
    assert!(exported.lines().all(|line| line.len() <= 75), "{exported}");
    let other = Shelf::new();
    take(&other, &exported);
    assert_eq!(all(&other), before);
}
