//! A new appointment.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::arguments::{Arguments, Refusal, read_number, refuse};
use super::context::{self, ToolContext};
use crate::appointment::{self, Appointment, Guest};
use crate::free::Place;
use crate::identity::{Identify, read_name};
use crate::venue::Service;
use crate::{BookError, code};

/// Codes tried before giving up; one in a thousand is taken, in a business with 3,000 coming appointments.
const CODE_TRIES: usize = 50;

pub(super) fn book_appointment(
    context: &ToolContext<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let wanted = |name: &str, question: &str| arguments.text(name).ok_or_else(|| refuse(question));
    let service = context.service(&wanted("service", "Which treatment should it be?")?)?;
    let day = context.day(&wanted("day", "On which day?")?)?;
    let begins = context.begins(day, &wanted("time", "At what time?")?)?;
    let therapist = context.therapist(arguments.text("therapist").as_deref())?;
    let request = context.request(service, therapist)?;
    let name = match (arguments.text("name"), &context.caller) {
        (Some(name), _) => Some(name),
        // Where a name is a proof, a caller who leaves it out must not learn it here.
        (None, Some(caller)) if context.identify() == Identify::Number => {
            appointment::customer(context.connection, caller)?
        }
        (None, _) => None,
    };
    let name = name.ok_or_else(|| refuse("Under which name should it be booked?"))?;
    let name = read_name(&name).ok_or_else(|| {
        refuse("That is no name that can be booked; ask for the name alone, 60 letters at most.")
    })?;
    let number = match (arguments.text("phone"), &context.caller) {
        (Some(said), caller) => match read_number(&said) {
            Some(number) => number,
            // Digits are meant as a number, and the caller's own would not be the one that was said.
            None if said.contains(|c: char| c.is_ascii_digit()) => {
                return Err(refuse(format!(
                    "{said:?} is not a phone number; ask for it again, with its country code."
                )));
            }
            // Instead of a number a model sometimes writes that it is this one.
            None => caller
                .clone()
                .ok_or_else(|| refuse(format!("{said:?} is not a phone number.")))?,
        },
        (None, Some(caller)) => caller.clone(),
        (None, None) => {
            return Err(refuse(
                "The number is withheld; at which number can we reach the caller?",
            ));
        }
    };
    // Whose it is, the number says that calls: the one that is left is but said.
    let own = match &context.caller {
        Some(caller) => appointment::of_number(context.connection, caller, context.now)?,
        None => Vec::new(),
    };
    let is_this = |made: &&Appointment| {
        made.begins == begins
            && made.service == service.name
            && made.name.eq_ignore_ascii_case(name)
    };
    if let Some(made) = own.iter().find(is_this) {
        if let Some(wanted) = therapist.filter(|wanted| wanted.name != made.therapist) {
            return Err(refuse(format!(
                "It is in the book already, with {}; to have {} instead, move it.",
                made.therapist, wanted.name
            )));
        }
        let mut told = context.spoken_appointment(made);
        if context.identify() == Identify::Code {
            context::without(&mut told, &["code", "code_spelled"]);
        }
        // Under another key, so a new wish; but nobody lies on two tables at once.
        return Ok(json!({
            "booked": told,
            "note": "It was in the book already. For a second person, book under that person's name.",
        }));
    }
    may_book(context, &number)?;
    let busy = context.busy(day.date, 1, None)?;
    let place = context.place(begins, request, &busy, None)?;
    let guest = Guest {
        name,
        number: &number,
        caller: context.caller.as_deref(),
    };
    let code = enter(context.connection, service, place, &guest, context.now)?;
    if context.is_desk() || context.caller.as_ref() == Some(&number) {
        appointment::remember(context.connection, &guest, context.now)?;
    }
    if let Some(tally) = context.tally() {
        tally.add_booking()?;
    }
    let made = appointment::by_code(context.connection, &code)?;
    let made = made.map(|made| context.spoken_appointment(&made));
    Ok(json!({"booked": made}))
}

/// Nobody fills the book by phone: neither from one number, nor in the name of another one, nor from a withheld one.
fn may_book(context: &ToolContext<'_>, number: &str) -> Result<(), Refusal> {
    let Some(tally) = context.tally() else {
        return Ok(());
    };
    let caller = context.caller.as_deref();
    // What others left this number for does not keep its owner from booking.
    let left = (caller != Some(number)).then_some(number);
    let count = |who| appointment::count_coming(context.connection, who, context.now);
    let is_full = |coming: usize| coming >= appointment::MOST_COMING;
    if is_full(count((caller, None))?) || is_full(count((None, left))?) {
        return Err(refuse(
            "This number has too many coming appointments; the front desk can help.",
        ));
    }
    if !tally.may_book()? {
        return Err(refuse(
            "With a withheld number no more can be booked at the moment; the front desk can help.",
        ));
    }
    Ok(())
}

/// Writes a new appointment under a code nobody has.
pub(crate) fn enter(
    connection: &Connection,
    service: &Service,
    place: Place<'_>,
    guest: &Guest<'_>,
    now: jiff::Timestamp,
) -> Result<String, BookError> {
    let randomness = |error: getrandom::Error| BookError::Venue(format!("no randomness: {error}"));
    let code = free_code(connection, now)?;
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(randomness)?;
    let uid = format!("{:032x}@switchboard", u128::from_be_bytes(bytes));
    appointment::insert(connection, (&uid, &code), service, place, guest, now)?;
    Ok(code)
}

/// A code no live appointment has.
pub(crate) fn free_code(
    connection: &Connection,
    now: jiff::Timestamp,
) -> Result<String, BookError> {
    appointment::retire(connection, now)?;
    for _ in 0..CODE_TRIES {
        let code =
            code::random().map_err(|error| BookError::Venue(format!("no randomness: {error}")))?;
        let found = appointment::by_code(connection, &code)?;
        if found.is_none_or(|found| found.state != appointment::State::Booked) {
            return Ok(code);
        }
    }
    Err(BookError::Venue("no confirmation code is free".to_owned()))
}
