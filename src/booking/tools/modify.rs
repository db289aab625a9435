//! The caller's own appointments: find, move, cancel.
//!
//! An appointment is the caller's if it was made from the number they call from or left that number, and they show what
//! the settings ask for besides ([`Identify`]); or if they know both its code and the name it was made under.

use serde_json::{Value, json};

use super::arguments::{Arguments, Refusal, refuse, refuse_with};
use super::context::{self, ToolContext};
use crate::appointment::{self, Appointment, State};
use crate::code;
use crate::identity::{Identify, same_person, told_name};
use crate::when::Said;

pub(super) fn find_appointments(
    context: &ToolContext<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let name = arguments.text("name");
    if let Some(said) = arguments.text("code") {
        let found = by_code(context, &said, name.as_deref())?;
        return Ok(json!({"appointments": [context.spoken_appointment(&found)]}));
    }
    let mine = mine(context)?;
    if mine.is_empty() {
        return Ok(json!({"appointments": [], "note": nothing_here(context)}));
    }
    if context.identify() == Identify::Code {
        return Ok(json!({"appointments": [], "note": ASK_CODE}));
    }
    let told = |found: &[Appointment]| -> Vec<Value> {
        let told = found.iter();
        told.map(|found| context.spoken_appointment(found))
            .collect()
    };
    if context.identify() == Identify::Number {
        let mut answer = json!({"appointments": told(&mine)});
        if let Some(number) = &context.caller
            && let Some(name) = appointment::customer(context.connection, number)?
        {
            answer["caller_name"] = told_name(&name).into();
        }
        return Ok(answer);
    }
    if let Some(name) = &name {
        return Ok(json!({"appointments": told(&of_name(context, mine, name)?)}));
    }
    // Who has a number may not be its owner: names and codes are for those who know the one.
    let mut partly = told(&mine);
    for told in &mut partly {
        context::without(told, &["code", "code_spelled", "name"]);
    }
    Ok(json!({"appointments": partly, "note": ASK_NAME}))
}

pub(super) fn move_appointment(
    context: &ToolContext<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let current = the_one(context, arguments)?;
    let day = match arguments.text("day") {
        Some(said) => context.day(&said)?,
        None => Said {
            date: context.here(current.begins).date(),
            part: None,
        },
    };
    let said = arguments
        .text("time")
        .ok_or_else(|| refuse("To what time should it be moved?"))?;
    let begins = context.begins(day, &said)?;
    let Some(service) = context.venue.service(&current.service) else {
        return Err(refuse(format!(
            "{} is not offered any more; the front desk can help.",
            current.service
        )));
    };
    let wanted = context.therapist(arguments.text("therapist").as_deref())?;
    let busy = context.busy(day.date, 1, Some(current.id))?;
    // The therapist stays the same if possible.
    let usual = context.venue.therapist(&current.therapist);
    let with_usual = context
        .request(service, wanted.or(usual))
        .and_then(|request| context.place(begins, request, &busy, Some(current.id)));
    let place = match (with_usual, wanted) {
        (Ok(place), _) => place,
        (Err(refusal), Some(_)) => return Err(refusal),
        (Err(_), None) => context.place(
            begins,
            context.request(service, None)?,
            &busy,
            Some(current.id),
        )?,
    };
    appointment::relocate(context.connection, current.id, place, context.now)?;
    let moved = appointment::by_key(context.connection, &current.key())?;
    let moved = moved.map(|moved| context.spoken_appointment(&moved));
    Ok(json!({"moved": moved, "was": context.spoken_appointment(&current)["when"]}))
}

pub(super) fn cancel_appointment(
    context: &ToolContext<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let current = the_one(context, arguments)?;
    appointment::cancel(context.connection, current.id, context.now)?;
    Ok(json!({"cancelled": context.spoken_appointment(&current)}))
}

/// What a caller is asked for who has but their number.
const ASK_NAME: &str = "Before one is moved or cancelled, ask under which name it was made.";
/// The same where the number tells nothing.
const ASK_CODE: &str = "Ask for the confirmation code.";

fn mine(context: &ToolContext<'_>) -> Result<Vec<Appointment>, Refusal> {
    match &context.caller {
        Some(number) => Ok(appointment::of_number(
            context.connection,
            number,
            context.now,
        )?),
        None => Ok(Vec::new()),
    }
}

fn nothing_here(context: &ToolContext<'_>) -> &'static str {
    match context.caller {
        Some(_) => {
            "There is no coming appointment for this number; ask for the confirmation code and the name."
        }
        None => "The number is withheld; ask for the confirmation code and the name.",
    }
}

/// Those of the caller's appointments that were made under a name they said.
fn of_name(
    context: &ToolContext<'_>,
    mut mine: Vec<Appointment>,
    said: &str,
) -> Result<Vec<Appointment>, Refusal> {
    context.may_guess()?;
    mine.retain(|found| same_person(said, &found.name));
    if mine.is_empty() {
        context.guessed_wrong()?;
        return Err(refuse(
            "None of this number's appointments was made under that name; ask for the name again, or for the \
             confirmation code.",
        ));
    }
    Ok(mine)
}

/// The appointment a change is about: by code, or the only one the caller has.
fn the_one(context: &ToolContext<'_>, arguments: &Arguments<'_>) -> Result<Appointment, Refusal> {
    let name = arguments.text("name");
    if let Some(said) = arguments.text("code") {
        return by_code(context, &said, name.as_deref());
    }
    let mut mine = mine(context)?;
    if mine.is_empty() {
        return Err(refuse(nothing_here(context)));
    }
    match (context.identify(), &name) {
        (Identify::Number, _) => {}
        (Identify::NumberAndName, Some(name)) => mine = of_name(context, mine, name)?,
        (Identify::NumberAndName, None) => {
            return Err(refuse("Under which name was the appointment made?"));
        }
        (Identify::Code, _) => return Err(refuse(ASK_CODE)),
    }
    match (mine.pop(), mine.is_empty()) {
        (None, _) => Err(refuse(nothing_here(context))),
        (Some(only), true) => begun(context, only),
        (Some(last), false) => {
            mine.push(last);
            let told: Vec<Value> = mine
                .iter()
                .map(|found| context.spoken_appointment(found))
                .collect();
            Err(refuse_with(
                "The caller has several appointments; which one?",
                "appointments",
                json!(told),
            ))
        }
    }
}

/// An appointment by its code: from its own number, or together with the name it was made under.
fn by_code(
    context: &ToolContext<'_>,
    said: &str,
    name: Option<&str>,
) -> Result<Appointment, Refusal> {
    context.may_guess()?;
    let found = match code::read(said) {
        Some(code) => appointment::by_code(context.connection, &code)?,
        None => None,
    };
    let number = context.caller.as_deref();
    let is_theirs = |found: &Appointment| {
        let calls_from_it = number.is_some_and(|number| {
            number == found.number || Some(number) == found.caller.as_deref()
        });
        calls_from_it || name.is_some_and(|said| same_person(said, &found.name))
    };
    let Some(found) = found.filter(is_theirs) else {
        context.guessed_wrong()?;
        // One sentence for a wrong code and a wrong name: codes cannot be tried out.
        return Err(refuse(format!(
            "There is no appointment with the code {said} for this caller; ask for the code and the name again."
        )));
    };
    match found.state {
        State::Booked => begun(context, found),
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

fn begun(context: &ToolContext<'_>, found: Appointment) -> Result<Appointment, Refusal> {
    if found.begins > context.now {
        return Ok(found);
    }
    Err(refuse(format!(
        "The appointment {} has begun or is over; the front desk can help.",
        code::spelled(&found.code)
    )))
}
