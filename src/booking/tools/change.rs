//! The caller's own appointments: find, move, cancel.
//!
//! An appointment is the caller's if it was made from the number they call from or left that number, or if they know
//! both its code and the name it was made under.

use serde_json::{Value, json};

use super::asked::{Arguments, Refusal, refuse, refuse_with};
use super::counter::Counter;
use crate::booking::appointment::{self, Appointment, State};
use crate::booking::code;
use crate::booking::when::Said;

pub(super) fn find_appointments(
    counter: &Counter<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let found = match arguments.text("code") {
        Some(said) => vec![by_code(counter, &said, arguments.text("name").as_deref())?],
        None => mine(counter)?,
    };
    let told: Vec<Value> = found
        .iter()
        .map(|found| counter.spoken_appointment(found))
        .collect();
    let mut answer = json!({"appointments": told});
    if found.is_empty() {
        answer["note"] = nothing_here(counter).into();
    }
    if let Some(number) = &counter.caller
        && let Some(name) = appointment::customer(counter.connection, number)?
    {
        answer["caller_name"] = name.into();
    }
    Ok(answer)
}

pub(super) fn move_appointment(
    counter: &Counter<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let current = the_one(counter, arguments)?;
    let day = match arguments.text("day") {
        Some(said) => counter.day(&said)?,
        None => Said {
            date: counter.here(current.begins).date(),
            part: None,
        },
    };
    let said = arguments
        .text("time")
        .ok_or_else(|| refuse("To what time should it be moved?"))?;
    let begins = counter.begins(day, &said)?;
    let Some(service) = counter.premises.service(&current.service) else {
        return Err(refuse(format!(
            "{} is not offered any more; the front desk can help.",
            current.service
        )));
    };
    let wanted = counter.therapist(arguments.text("therapist").as_deref())?;
    let busy = counter.busy(day.date, 1, Some(current.id))?;
    // Whoever has it keeps it if they can.
    let usual = counter.premises.therapist(&current.therapist);
    let with_usual = counter
        .wish(service, wanted.or(usual))
        .and_then(|wish| counter.place(begins, wish, &busy, Some(current.id)));
    let place = match (with_usual, wanted) {
        (Ok(place), _) => place,
        (Err(refusal), Some(_)) => return Err(refusal),
        (Err(_), None) => counter.place(
            begins,
            counter.wish(service, None)?,
            &busy,
            Some(current.id),
        )?,
    };
    appointment::relocate(counter.connection, current.id, place, counter.now)?;
    let moved = appointment::by_uid(counter.connection, &current.uid)?;
    let moved = moved.map(|moved| counter.spoken_appointment(&moved));
    Ok(json!({"moved": moved, "was": counter.spoken_appointment(&current)["when"]}))
}

pub(super) fn cancel_appointment(
    counter: &Counter<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let current = the_one(counter, arguments)?;
    appointment::cancel(counter.connection, current.id, counter.now)?;
    Ok(json!({"cancelled": counter.spoken_appointment(&current)}))
}

fn mine(counter: &Counter<'_>) -> Result<Vec<Appointment>, Refusal> {
    match &counter.caller {
        Some(number) => Ok(appointment::of_number(
            counter.connection,
            number,
            counter.now,
        )?),
        None => Ok(Vec::new()),
    }
}

fn nothing_here(counter: &Counter<'_>) -> &'static str {
    match counter.caller {
        Some(_) => {
            "There is no coming appointment for this number; ask for the confirmation code and the name."
        }
        None => "The number is withheld; ask for the confirmation code and the name.",
    }
}

/// The appointment a change is about: by code, or the only one the caller has.
fn the_one(counter: &Counter<'_>, arguments: &Arguments<'_>) -> Result<Appointment, Refusal> {
    if let Some(said) = arguments.text("code") {
        return by_code(counter, &said, arguments.text("name").as_deref());
    }
    let mut mine = mine(counter)?;
    match (mine.pop(), mine.is_empty()) {
        (None, _) => Err(refuse(nothing_here(counter))),
        (Some(only), true) => begun(counter, only),
        (Some(last), false) => {
            mine.push(last);
            let told: Vec<Value> = mine
                .iter()
                .map(|found| counter.spoken_appointment(found))
                .collect();
            Err(refuse_with(
                "The caller has several appointments; which one?",
                "appointments",
                json!(told),
            ))
        }
    }
}

fn by_code(counter: &Counter<'_>, said: &str, name: Option<&str>) -> Result<Appointment, Refusal> {
    // One sentence for a wrong code and a wrong name: codes cannot be tried out.
    let unknown = || {
        refuse(format!(
            "There is no appointment with the code {said} for this caller; ask for the code and the name again."
        ))
    };
    let code = code::read(said).ok_or_else(unknown)?;
    let found = appointment::by_code(counter.connection, &code)?.ok_or_else(unknown)?;
    let number = counter.caller.as_deref();
    let calls_from_it = number
        .is_some_and(|number| number == found.number || Some(number) == found.caller.as_deref());
    if !calls_from_it && !name.is_some_and(|said| same_person(said, &found.name)) {
        return Err(unknown());
    }
    match found.state {
        State::Booked => begun(counter, found),
        State::Cancelled => Err(refuse(format!(
            "The appointment {} was cancelled before.",
            code::spelled(&found.code)
        ))),
        State::Past => Err(refuse(format!(
            "The appointment {} is over.",
            code::spelled(&found.code)
        ))),
    }
}

fn begun(counter: &Counter<'_>, found: Appointment) -> Result<Appointment, Refusal> {
    if found.begins > counter.now {
        return Ok(found);
    }
    Err(refuse(format!(
        "The appointment {} has begun or is over; the front desk can help.",
        code::spelled(&found.code)
    )))
}

/// Whether a name that was said is the one that was written: the same last word, or more of it.
fn same_person(said: &str, written: &str) -> bool {
    let last = |name: &str| name.split_whitespace().next_back().map(str::to_lowercase);
    last(said).is_some() && last(said) == last(written)
}
