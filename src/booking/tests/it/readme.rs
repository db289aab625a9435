//! The page of the README for whoever answers in the book's place: what each tool is asked and answers, as the book does.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{ANNA, BERT, Shelf};

/// Where the page stands.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The page is between these.
const BEGINS: &str = "<!-- book answers -->";
const ENDS: &str = "<!-- /book answers -->";

/// What is asked in the example, one after the other; each with what the page says of it.
fn asked() -> Vec<(&'static str, &'static str, Value)> {
    let massage = |time: &str| json!({"service": "Classic massage", "day": "monday", "time": time, "therapist": "Maria", "name": "Anna Weber"});
    vec![
        ("list_services", "", json!({})),
        (
            "find_times",
            "",
            json!({"service": "Classic massage", "day": "monday", "part_of_day": "afternoon", "therapist": "Maria"}),
        ),
        (
            "find_times",
            "closed, or nothing free",
            json!({"service": "Classic massage", "day": "2026-12-25"}),
        ),
        (
            "find_times",
            "no such service",
            json!({"service": "Haircut"}),
        ),
        ("book_appointment", "", massage("14:00")),
        // The same caller once more.
        ("book_appointment", "", massage("14:00")),
        ("book_appointment", "taken", massage("14:00")),
        ("book_appointment", "not understood", massage("noonish")),
        ("find_appointments", "", json!({})),
        ("find_appointments", "", json!({"name": "Anna Weber"})),
        (
            "find_appointments",
            "nothing found",
            json!({"code": "ZZZZ", "name": "Anna Weber"}),
        ),
        (
            "move_appointment",
            "",
            json!({"day": "tuesday", "time": "15:30", "name": "Anna Weber"}),
        ),
        (
            "move_appointment",
            "past",
            json!({"day": "2026-11-20", "time": "15:30", "name": "Anna Weber"}),
        ),
        ("cancel_appointment", "", json!({"name": "Anna Weber"})),
        ("cancel_appointment", "nothing to cancel", json!({})),
    ]
}

/// Lists with their first element alone: a house has more services than a page wants.
fn first_of_lists(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.truncate(1);
            list.iter_mut().for_each(first_of_lists);
        }
        Value::Object(members) => members.values_mut().for_each(first_of_lists),
        _ => {}
    }
}

/// The page, as the book answers today.
fn page() -> String {
    let shelf = Shelf::new();
    let (mut page, mut last) = (String::from("```text\n"), "");
    let mut code = String::new();
    for (tool, when, arguments) in asked() {
        let caller = if when == "taken" { BERT } else { ANNA };
        let mut answer = shelf.call(Some(caller), tool, arguments.clone());
        if let Some(made) = answer["booked"]["code"].as_str() {
            made.clone_into(&mut code);
        }
        assert_eq!(
            answer["error"].is_string(),
            !when.is_empty(),
            "{tool}, {when}: {answer}"
        );
        first_of_lists(&mut answer);
        let spelled: Vec<String> = code.chars().map(String::from).collect();
        let mut answer = answer.to_string();
        if !code.is_empty() {
            answer = answer
                .replace(&code, "K7M4FL")
                .replace(&spelled.join(", "), "K, 7, M, 4, F, L");
        }
        if last != tool {
            let _ = writeln!(page, "{tool}");
            last = tool;
        }
        let when = if when.is_empty() {
            String::new()
        } else {
            format!(" ({when})")
        };
        let _ = writeln!(page, "  > {arguments}{when}\n  < {answer}");
    }
    page.push_str("```");
    page
}

#[test]
fn the_readme_shows_what_the_book_is_asked_and_answers() {
    let readme = std::fs::read_to_string(README).unwrap_or_default();
    let shown = readme
        .split_once(BEGINS)
        .and_then(|(_, rest)| rest.split_once(ENDS))
        .map(|(page, _)| page.trim().to_owned());
    let page = page();
    assert!(
        shown.as_deref() == Some(page.as_str()),
        "put this between {BEGINS} and {ENDS} in {README}:\n{page}"
    );
}
