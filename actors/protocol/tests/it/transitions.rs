//! Every event in every state: what becomes of the call, as a table and as the diagram drawn from it.
//!
//! After a wanted change: `INSTA_UPDATE=always UPDATE_DIAGRAM=1 cargo test -p call-protocol transitions`, then
//! read the difference.

mod places;
mod samples;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use self::places::{LinkPlace, PhonePlace, StandbyPlace};
use self::samples::{name_of, samples};
use self::table::{Row, aligned, link_row, overdue_rows, phone_row, standby_row, state_of};

/// The diagram in the crate's documentation.
const DIAGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/call/diagram.md");

/// Every event in every state of the phone leg, the session ready and an answer running.
fn phone_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for place in PhonePlace::ALL {
        for sample in samples() {
            rows.push(phone_row(place, sample));
        }
        rows.extend(overdue_rows(place));
    }
    rows
}

/// Every event of the model leg in every state of the link, the phone in `media`.
fn link_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for place in LinkPlace::ALL {
        for sample in samples() {
            let name = name_of(&sample.event);
            if name.starts_with("model.") || name.starts_with("tool.") {
                rows.push(link_row(place, sample));
            }
        }
        rows.push(table::link_overdue_row(place));
    }
    rows
}

/// Every event of the next session in every state of it, and those of the present one that decide about it.
fn standby_rows() -> Vec<Row> {
    let deciding = [
        "standby",
        "model.closed",
        "model.response_done",
        "model.error",
        "closed",
    ];
    let mut rows = Vec::new();
    for place in StandbyPlace::ALL {
        for sample in samples() {
            if deciding.contains(&name_of(&sample.event)) {
                rows.push(standby_row(place, sample));
            }
        }
        rows.push(table::standby_overdue_row(place));
    }
    rows
}

#[test]
fn each_sample_stands_under_its_own_name() {
    for sample in samples() {
        assert_eq!(
            name_of(&sample.event),
            sample.name,
            "{} is misfiled",
            sample.detail
        );
    }
}

#[test]
fn every_event_has_a_defined_result_in_every_phone_state() {
    insta::assert_snapshot!("phone_states", aligned(&phone_rows()));
}

#[test]
fn every_model_event_has_a_defined_result_in_every_link_state() {
    insta::assert_snapshot!("link_states", aligned(&link_rows()));
}

#[test]
fn every_event_has_a_defined_result_in_every_state_of_the_next_session() {
    insta::assert_snapshot!("standby_states", aligned(&standby_rows()));
}

#[test]
fn a_call_that_is_over_stays_over() {
    for row in phone_rows().iter().filter(|row| row.from == "stop") {
        assert_eq!(row.to, "stop", "{}", row.event);
        let acts = row
            .effects
            .iter()
            .any(|effect| !effect.starts_with("violation"));
        assert!(!acts, "{} does {:?}", row.event, row.effects);
    }
}

#[test]
fn nothing_reaches_twilio_before_start() {
    let rows = phone_rows();
    let early = rows
        .iter()
        .filter(|row| ["accepted", "connected"].contains(&row.from.as_str()));
    for row in early.filter(|row| row.to != "start") {
        let spoke = row.effects.iter().any(|effect| {
            ["play", "mark", "clear"].contains(&effect.split(' ').next().unwrap_or_default())
        });
        assert!(!spoke, "{} in {}: {:?}", row.event, row.from, row.effects);
    }
}

#[test]
fn nothing_but_a_configuration_reaches_a_session_that_is_not_ready() {
    for row in link_rows()
        .iter()
        .filter(|row| !row.from.starts_with("ready") && row.to != "ready")
    {
        for effect in &row.effects {
            let word = effect.split(' ').next().unwrap_or_default();
            let command = [
                "append",
                "truncate",
                "delete",
                "respond",
                "cancel",
                "tell",
                "tool_output",
            ];
            assert!(
                !command.contains(&word),
                "{} while {}: {effect}",
                row.event,
                row.from
            );
        }
    }
}

/// States and the events that lead from one to another, as mermaid draws them.
fn drawn(rows: &[Row], first: &str, last: &str) -> String {
    let mut states: Vec<&str> = Vec::new();
    for row in rows {
        if !states.contains(&state_of(&row.from)) {
            states.push(state_of(&row.from));
        }
    }
    let place_of = |state: &str| {
        states
            .iter()
            .position(|name| *name == state)
            .expect("a state of the table")
    };
    let mut edges: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| state_of(&row.from) != row.to) {
        let edge = (place_of(state_of(&row.from)), place_of(&row.to));
        let labels = edges.entry(edge).or_default();
        let label = row.event.split(' ').next().unwrap_or_default();
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    let _ = writeln!(text, "    [*] --> {first}");
    for ((from, to), labels) in edges {
        let labels = labels.join("<br/>");
        let _ = writeln!(text, "    {} --> {}: {labels}", states[from], states[to]);
    }
    let _ = writeln!(text, "    {last} --> [*]\n```");
    text
}

#[test]
fn the_diagram_in_the_documentation_is_the_one_the_table_gives() {
    let mut text = String::from(
        "<!-- Drawn by tests/it/transitions.rs from what the machine does; UPDATE_DIAGRAM=1 writes it again. -->\n\n\
         A call, by what happens on its phone leg, at the operator's wish, or when time runs out:\n\n",
    );
    text.push_str(&drawn(&phone_rows(), "accepted", "stop"));
    text.push_str("\nIts link to the model, while the phone is in `media`:\n\n");
    text.push_str(&drawn(&link_rows(), "dialling", "lost"));
    insta::assert_snapshot!("diagram", text);
    if std::env::var_os("UPDATE_DIAGRAM").is_some() {
        std::fs::write(DIAGRAM, &text).unwrap();
    }
    let written = std::fs::read_to_string(DIAGRAM).unwrap_or_default();
    assert!(
        written == text,
        "src/call/diagram.md is not what the machine does; UPDATE_DIAGRAM=1 writes it again"
    );
}
