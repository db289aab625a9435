//! What people at the desk do: the real binary on a folder of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::support::{NOW, Shelf, at};

/// Runs `switchboard book …` with nothing set but the data directory.
pub(crate) fn desk(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(folder, arguments);
    command.output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command
        .arg("book")
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir(folder);
    command.env_clear().env("SWITCHBOARD_DATA_DIR", folder);
    command
}

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

/// What a command prints for scripts; it must have gone well.
fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let output = desk(folder, &[arguments, &["--json"]].concat());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A day that the house is open and that is not today, whenever the test runs.
fn a_day() -> String {
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let mut day = jiff::Timestamp::now()
        .to_zoned(zone)
        .date()
        .tomorrow()
        .unwrap();
    while (day.month(), day.day()) == (12, 25) || (day.month(), day.day()) == (1, 1) {
        day = day.tomorrow().unwrap();
    }
    day.to_string()
}

fn add<'a>(day: &'a str, time: &'a str) -> Vec<&'a str> {
    vec![
        "add",
        "--service",
        "Facial",
        "--day",
        day,
        "--time",
        time,
        "--name",
        "Anna Weber",
        "--phone",
        "+15550142",
    ]
}

#[test]
fn the_desk_books_lists_and_cancels_while_the_service_has_the_book_open() {
    let shelf = Shelf::new();
    let day = a_day();
    let booked = json_of(&shelf.folder, &add(&day, "15:00"));
    let code = booked["booked"]["code"].as_str().unwrap();
    assert_eq!(shelf.standing().len(), 1, "the open book sees it");

    let listed = desk(&shelf.folder, &["list", "--day", &day]);
    let table = text(&listed.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("when "), "{table}");
    for words in [
        &format!("{day} 15:00  15:45"),
        "Facial",
        "Anna Weber",
        "+15550142",
        code,
    ] {
        assert!(lines[1].contains(words), "{words}: {table}");
    }
    assert_eq!(
        json_of(&shelf.folder, &["list"])["appointments"][0]["code"],
        code
    );

    let cancelled = json_of(&shelf.folder, &["cancel", &code.to_lowercase()]);
    assert_eq!(cancelled["cancelled"]["state"], "cancelled");
    assert_eq!(shelf.standing(), []);
    assert_eq!(
        text(&desk(&shelf.folder, &["list"]).stdout),
        "no appointments\n"
    );
    assert!(text(&desk(&shelf.folder, &["list", "--all"]).stdout).contains("(cancelled)"));
}

#[test]
fn what_the_desk_gets_wrong_is_one_sentence_with_the_right_exit_code() {
    let shelf = Shelf::new();
    let day = a_day();
    let all_rooms = ["15:00", "15:00"];
    for time in all_rooms {
        assert_eq!(desk(&shelf.folder, &add(&day, time)).status.code(), Some(0));
    }
    let bad_file = shelf.folder.join("bad.toml");
    std::fs::write(&bad_file, "name = \"x\"\n").unwrap();
    let bad_file = bad_file.to_str().unwrap();
    let rows: Vec<(Vec<&str>, i32, &str)> = vec![
        (add(&day, "15:00"), 1, "is taken for Facial. Free: "),
        (add("someday", "15:00"), 64, "is not a day I understand"),
        (add(&day, "quarter to"), 64, "is not a time I understand"),
        (
            vec!["list", "--day", "someday"],
            64,
            "write today, friday or 2026-11-23",
        ),
        (vec!["cancel", "K7M4"], 1, "see switchboard book list"),
        (vec!["cancel"], 64, "<CODE>"),
        (
            vec!["import", "not-there.ics"],
            64,
            "cannot read not-there.ics",
        ),
        (vec!["import", bad_file], 64, "missing field `time_zone`"),
        (
            vec!["export", "--out", "/nowhere/book.ics"],
            1,
            "cannot write /nowhere/book.ics",
        ),
        (vec!["lsit"], 64, "list"),
    ];
    for (arguments, code, words) in rows {
        let output = desk(&shelf.folder, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.starts_with("switchboard: ") && said.contains(words) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
    // Scripts get the same, with what else there is.
    let mut taken = add(&day, "15:00");
    taken.push("--json");
    let output = desk(&shelf.folder, &taken);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            output.status.code(),
            answer["other_times"].as_array().unwrap().len()
        ),
        (Some(1), 3)
    );

    let output = command(&shelf.folder, &["list"])
        .env("SWITCHBOARD_DATA_DIR", "/proc/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn names_and_numbers_are_for_the_owner_of_the_file_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let shelf = Shelf::new();
    json_of(&shelf.folder, &add(&a_day(), "15:00"));
    for file in std::fs::read_dir(&shelf.folder).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_calendar_goes_out_and_comes_back() {
    let shelf = Shelf::new();
    let day = a_day();
    for time in ["10:00", "11:30"] {
        json_of(&shelf.folder, &add(&day, time));
    }
    json_of(&shelf.folder, &["cancel", &shelf.standing()[1].code]);
    let before = shelf.standing();
    let file = shelf.folder.join("out.ics");
    let file = file.to_str().unwrap();
    assert_eq!(
        json_of(&shelf.folder, &["export", "--out", file])["written"],
        file
    );
    let calendar = std::fs::read_to_string(file).unwrap();
    assert!(
        calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.contains("STATUS:CANCELLED\r\n"),
        "{calendar}"
    );

    // Into another book, and again into the same: both end as they were.
    let other = Shelf::new();
    let mut child = command(&other.folder, &["import", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(calendar.as_bytes())
        .unwrap();
    let imported: Value =
        serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        imported["imported"],
        json!({"house": false, "new": 1, "changed": 0, "unchanged": 1, "removed": 0, "refused": 0, "closed_days": 0, "opened_days": 0, "left_out": {}})
    );
    json_of(&shelf.folder, &["import", file]);
    assert_eq!(other.standing(), before);
    assert_eq!(shelf.standing(), before);

    // What the desk program moved is moved here, under its code.
    let begins = before[0].begins.strftime("%Y%m%dT%H%M%SZ").to_string();
    let ends = before[0].ends.strftime("%Y%m%dT%H%M%SZ").to_string();
    let later = |at: jiff::Timestamp| {
        (at + jiff::SignedDuration::from_hours(2))
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string()
    };
    let moved = calendar
        .replace(&begins, &later(before[0].begins))
        .replace(&ends, &later(before[0].ends));
    shelf.book.import(&moved, at(NOW)).unwrap();
    let after = shelf.standing();
    assert_eq!((after.len(), &after[0].code), (1, &before[0].code));
    assert_eq!(
        after[0].begins.duration_since(before[0].begins).as_hours(),
        2
    );
}

#[test]
fn an_import_that_would_book_double_changes_nothing() {
    let shelf = Shelf::new();
    let entry = |uid: &str, start: &str, more: &str| {
        format!(
            "BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:Hot stone massage: Bo\r\nDTSTART;TZID=Europe/Berlin:{start}\r\n{more}END:VEVENT\r\n"
        )
    };
    let calendar = |entries: &[String]| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n",
            entries.concat()
        )
    };
    let elena = "X-SWITCHBOARD-THERAPIST:Elena\r\nLOCATION:Stone room\r\n";
    let twice = calendar(&[
        entry("1", "20261123T100000", elena),
        entry("2", "20261123T103000", elena),
    ]);
    let error = shelf.book.import(&twice, at(NOW)).unwrap_err().to_string();
    assert!(error.contains("line 10: the entry \"Hot stone massage: Bo\" is at a time when Elena or Stone room is taken; change one of them; nothing was imported"), "{error}");
    assert_eq!(shelf.standing(), []);
    // Without a therapist: only Elena does it, and she is taken.
    let nobody = calendar(&[
        entry("1", "20261123T100000", elena),
        entry("2", "20261123T103000", ""),
    ]);
    assert!(
        shelf
            .book
            .import(&nobody, at(NOW))
            .unwrap_err()
            .to_string()
            .contains("nobody or no room free")
    );
    assert_eq!(shelf.standing(), []);

    // Two that change places are no double booking.
    let both = calendar(&[
        entry("1", "20261123T100000", elena),
        entry("2", "20261123T110000", ""),
    ]);
    assert_eq!(shelf.book.import(&both, at(NOW)).unwrap().new, 2);
    let swapped = calendar(&[
        entry("1", "20261123T110000", elena),
        entry("2", "20261123T100000", elena),
    ]);
    assert_eq!(shelf.book.import(&swapped, at(NOW)).unwrap().changed, 2);
    assert_eq!(shelf.standing()[0].uid, "2");

    let holidays = calendar(&["BEGIN:VEVENT\r\nUID:h\r\nSUMMARY:Moving house\r\nDTSTART;VALUE=DATE:20261124\r\nDTEND;VALUE=DATE:20261126\r\nEND:VEVENT\r\n".to_owned()]);
    assert_eq!(
        shelf.book.import(&holidays, at(NOW)).unwrap().closed_days,
        2
    );
    assert_eq!(
        shelf.book.import(&holidays, at(NOW)).unwrap().closed_days,
        0,
        "they are known"
    );
    let closed = shelf.anna(
        "find_times",
        json!({"service": "Facial", "day": "2026-11-25"}),
    );
    assert_eq!(
        closed["error"],
        "The house is closed on Wednesday 25 November: Moving house."
    );
}

#[test]
fn another_house_takes_the_place_of_the_first_and_appointments_stay() {
    let shelf = Shelf::new();
    let day = a_day();
    json_of(&shelf.folder, &add(&day, "15:00"));
    let house = desk(&shelf.folder, &["export", "--house"]);
    let changed = text(&house.stdout)
        .replace("\"Facial\"", "\"Deep facial\"")
        .replace("Willow Spa", "Casa Verde");
    let file = shelf.folder.join("house.json");
    std::fs::write(&file, changed).unwrap();
    let told = desk(&shelf.folder, &["import", file.to_str().unwrap()]);
    assert_eq!(text(&told.stdout), "the house is now Casa Verde\n");
    let services = shelf.anna("list_services", json!({}));
    assert!(
        services["services"]
            .as_array()
            .unwrap()
            .iter()
            .any(|service| service["name"] == "Deep facial")
    );
    assert_eq!(shelf.standing().len(), 1, "what was booked stands");
    let moved = shelf.book.call(
        "move_appointment",
        &json!({"time": "16:00", "name": "Weber"}),
        &appointment_book::CallContext {
            asker: super::support::anna(),
            now: jiff::Timestamp::now(),
            idempotency_key: None,
        },
    );
    assert!(
        moved["error"]
            .as_str()
            .unwrap()
            .contains("Facial is not offered any more"),
        "{moved}"
    );
}
