//! The table: one row for an event in a state.

use std::time::Duration;

use call_protocol::call::{ADOPT_WITHIN, MEDIA_TIMEOUT, START_TIMEOUT};

use super::places::{LinkPlace, PhonePlace, StandbyPlace};
use super::samples::Sample;
use crate::common::rig::Rig;

const AN_HOUR: Duration = Duration::from_secs(3_600);

/// What an event did.
pub(crate) struct Row {
    pub(crate) event: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// The model leg, as the admin pages know it.
    pub(crate) model: &'static str,
    /// Effects in short form; the states and violations that have columns of their own are left out of the text.
    pub(crate) effects: Vec<String>,
    pub(crate) violations: usize,
}

impl Row {
    fn of(rig: &mut Rig, from: &str, event: String, next: impl Fn(&[String]) -> String) -> Self {
        let effects = rig.take();
        let is_violation = |effect: &&String| effect.starts_with("violation");
        Self {
            event,
            from: from.to_owned(),
            to: next(&effects),
            model: rig.call.snapshot(rig.now).model.state,
            violations: effects.iter().filter(is_violation).count(),
            effects,
        }
    }
}

fn titled(sample: &Sample) -> String {
    format!("{} {}", sample.name, sample.detail)
        .trim_end()
        .to_owned()
}

/// Where the phone leg is after these effects; the machine tells of every change.
fn phone_state_after(from: &'static str, effects: &[String]) -> String {
    // The admin pages know four states; the machine knows one more.
    let told = effects
        .iter()
        .rev()
        .find_map(|effect| match effect.as_str() {
            "phone_away" => Some("away"),
            other => other.strip_prefix("state "),
        });
    told.unwrap_or(from).to_owned()
}

/// Where the link is after these effects.
fn link_state_after(place: LinkPlace, effects: &[String]) -> String {
    for effect in effects.iter().rev() {
        let to = match effect.as_str() {
            "dial" => "dialling",
            text if text.starts_with("ready") => "ready",
            text if text.starts_with("stopped") => "lost",
            text if text.starts_with("lost") && text.ends_with("redial=true") => "waiting",
            text if text.starts_with("configure") && text.ends_with("(least)") => {
                "configuring_least"
            }
            text if text.starts_with("configure") => "configuring",
            _ => continue,
        };
        return to.to_owned();
    }
    state_of(place.name()).to_owned()
}

/// A place's state: `ready idle` and `ready speaking` are both `ready`.
pub(crate) fn state_of(place: &str) -> &str {
    place.split(' ').next().unwrap_or_default()
}

/// An event in a state of the phone leg.
pub(crate) fn phone_row(place: PhonePlace, sample: Sample) -> Row {
    let mut rig = place.reached(AN_HOUR);
    let event = titled(&sample);
    rig.event(sample.event);
    Row::of(&mut rig, place.name(), event, |effects| {
        phone_state_after(place.name(), effects)
    })
}

/// A model event in a state of the link.
pub(crate) fn link_row(place: LinkPlace, sample: Sample) -> Row {
    let mut rig = place.reached();
    let event = titled(&sample);
    rig.event(sample.event);
    Row::of(&mut rig, place.name(), event, |effects| {
        link_state_after(place, effects)
    })
}

/// Where the next session is after these effects.
fn standby_state_after(place: StandbyPlace, effects: &[String]) -> String {
    for effect in effects.iter().rev() {
        let to = match effect.as_str() {
            "dial_standby" => "dialling",
            "close_standby" | "take_standby" => "absent",
            text if text.starts_with("standby tell") => "ready",
            text if text.starts_with("standby configure") => "configuring",
            _ => continue,
        };
        return to.to_owned();
    }
    place.name().to_owned()
}

/// An event in a state of the next session.
pub(crate) fn standby_row(place: StandbyPlace, sample: Sample) -> Row {
    let mut rig = place.reached();
    let event = titled(&sample);
    rig.event(sample.event);
    Row::of(&mut rig, place.name(), event, |effects| {
        standby_state_after(place, effects)
    })
}

/// What happens to the next session when nothing comes from the model any more.
pub(crate) fn standby_overdue_row(place: StandbyPlace) -> Row {
    let mut rig = place.reached();
    rig.caller_sends(Some(0xFF));
    let mut effects = Vec::new();
    for _ in 0..6_000 {
        rig.pass(10);
        effects.extend(rig.take());
        if standby_state_after(place, &effects) != place.name() {
            break;
        }
    }
    effects.retain(|effect| {
        !["play", "mark", "turn", "append", "first_agent_audio"]
            .contains(&effect.split(' ').next().unwrap_or_default())
    });
    Row {
        event: "timeout".to_owned(),
        from: place.name().to_owned(),
        to: standby_state_after(place, &effects),
        model: rig.call.snapshot(rig.now).model.state,
        violations: 0,
        effects,
    }
}

/// What happens in a state of the phone leg when time runs out.
pub(crate) fn overdue_rows(place: PhonePlace) -> Vec<Row> {
    let mut rows = Vec::new();
    let (awaited, patience) = match place {
        PhonePlace::Accepted | PhonePlace::Connected => ("timeout no start", START_TIMEOUT),
        PhonePlace::Start | PhonePlace::Media => ("timeout no media", MEDIA_TIMEOUT),
        PhonePlace::Away => ("timeout nobody", ADOPT_WITHIN),
        PhonePlace::Stop => ("timeout an hour", AN_HOUR),
    };
    for (event, longest, patience) in [
        (awaited, AN_HOUR, patience),
        (
            "too_long",
            Duration::from_secs(1),
            Duration::from_millis(1_000),
        ),
    ] {
        let mut rig = place.reached(longest);
        // Only the end counts here: what is played meanwhile has tests of its own.
        rig.phone.deaf = true;
        rig.pass(patience.as_millis() as u64);
        let mut row = Row::of(&mut rig, place.name(), event.to_owned(), |effects| {
            phone_state_after(place.name(), effects)
        });
        let is_audio = |effect: &String| effect.starts_with("play") || effect.starts_with("mark");
        row.effects.retain(|effect| !is_audio(effect));
        rows.push(row);
    }
    rows
}

/// What happens in a state of the link when nothing comes from the model for as long as it may take.
pub(crate) fn link_overdue_row(place: LinkPlace) -> Row {
    let mut rig = place.reached();
    // The caller is there all the time; their frames are not shown.
    rig.caller_sends(Some(0xFF));
    let mut effects = Vec::new();
    for _ in 0..600 {
        rig.pass(10);
        effects.extend(
            rig.take()
                .into_iter()
                .filter(|effect| !effect.starts_with("append") && !effect.starts_with("caller_")),
        );
        let moved = link_state_after(place, &effects) != state_of(place.name());
        if moved {
            break;
        }
    }
    effects.retain(|effect| {
        !["play", "mark", "turn"].contains(&effect.split(' ').next().unwrap_or_default())
    });
    Row {
        event: "timeout".to_owned(),
        from: place.name().to_owned(),
        to: link_state_after(place, &effects),
        model: rig.call.snapshot(rig.now).model.state,
        violations: 0,
        effects,
    }
}

/// The rows as an aligned table.
pub(crate) fn aligned(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let shown: Vec<&str> = row
            .effects
            .iter()
            .map(String::as_str)
            .filter(|effect| !effect.starts_with("state "))
            .collect();
        [
            row.from.clone(),
            row.event.clone(),
            if row.to == state_of(&row.from) {
                "=".to_owned()
            } else {
                row.to.clone()
            },
            row.model.to_owned(),
            row.violations.to_string(),
            shown.join(", "),
        ]
    };
    let heading = [
        "in",
        "event",
        "to",
        "model",
        "violations",
        "effects, in order",
    ];
    let mut table = vec![heading.map(str::to_owned)];
    table.extend(rows.iter().map(cells));
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    for row in &table {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
