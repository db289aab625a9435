//! What there is: services and free times.

use serde_json::{Value, json};

use super::arguments::{Arguments, Refusal, refuse, refuse_with, time_in};
use super::context::{ToolContext, spoken_ranges};
use crate::free::{Part, Place, Plan, Request, some_of};
use crate::when;

/// Times told of one service; more of it can be asked for with another part of the day or a time.
const MOST_TIMES: usize = 6;
/// Times told of each of several services.
const MOST_TIMES_EACH: usize = 3;

pub(super) fn list_services(
    context: &ToolContext<'_>,
    _: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let venue = &context.venue;
    let mut services = Vec::new();
    for service in &venue.services {
        let therapists: Vec<&str> = venue.able(service).map(|able| able.name.as_str()).collect();
        services.push(json!({
            "name": service.name,
            "minutes": service.minutes,
            "price": venue.spoken_price(service.price),
            "therapists": therapists,
        }));
    }
    let today = context.today();
    Ok(json!({
        "services": services,
        "opening_hours": venue.spoken_hours(today),
        "today": format!("{} {}", when::spoken_date(today), today.year()),
    }))
}

pub(super) fn find_times(
    context: &ToolContext<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let Some(said) = arguments.text("service") else {
        return Err(refuse("Which treatment should it be?"));
    };
    let services = context.services(&said)?;
    let therapist = context.therapist(arguments.text("therapist").as_deref())?;
    let mut requests: Vec<Request<'_>> = Vec::new();
    let mut no_one = None;
    for service in services {
        match context.request(service, therapist) {
            Ok(request) => requests.push(request),
            Err(refusal) => no_one = Some(refusal),
        }
    }
    if requests.is_empty()
        && let Some(refusal) = no_one
    {
        return Err(refusal);
    }
    let day = arguments.text("day").map(|said| context.day(&said));
    let day = day.transpose()?;
    let part = part(arguments, day.and_then(|day| day.part))?;
    let near = arguments.text("time");
    let near = near.map(|said| time_in(part, &said)).transpose()?;
    let fits =
        |place: &Place<'_>| part.is_none_or(|part| part.has(context.here(place.begins).time()));

    let date = match day {
        Some(day) => day.date,
        None => match context.next_free_day(context.today(), &requests, fits)? {
            Some(date) => date,
            None => return Err(refuse("Nothing is free in the next two weeks.")),
        },
    };
    let busy = context.busy(date, 1, None)?;
    let plan = Plan {
        venue: &context.venue,
        busy: &busy,
        now: context.now,
    };
    let most = if requests.len() == 1 {
        MOST_TIMES
    } else {
        MOST_TIMES_EACH
    };
    let near = near.and_then(|time| when::instant(date, time, context.venue.zone()));
    let mut options = Vec::new();
    for request in &requests {
        let mut free = plan.free_on(date, *request);
        free.retain(&fits);
        if free.is_empty() {
            continue;
        }
        let told = |place: &Place<'_>| json!({"time": when::spoken_time(context.here(place.begins).time()), "therapist": place.therapist});
        options.push(json!({
            "service": request.service.name,
            "minutes": request.service.minutes,
            "price": context.venue.spoken_price(request.service.price),
            "times": some_of(&free, most, near).iter().map(told).collect::<Vec<_>>(),
            "free_times_in_all": free.len(),
        }));
    }
    if options.is_empty() {
        return Err(nothing_free(context, date, part, &requests)?);
    }
    Ok(json!({"day": date.to_string(), "when": when::spoken_date(date), "options": options}))
}

/// The part of the day that is asked for, which the day may have been said with.
fn part(arguments: &Arguments<'_>, of_day: Option<Part>) -> Result<Option<Part>, Refusal> {
    let Some(said) = arguments.text("part_of_day").filter(|said| said != "any") else {
        return Ok(of_day);
    };
    let part = Part::named(&said).ok_or_else(|| {
        refuse(format!(
            "{said:?} is not a part of the day; say morning, afternoon or evening."
        ))
    })?;
    match of_day {
        Some(other) if other != part => Err(refuse(format!(
            "The day was said with {}, and the part of the day is {}; which of the two is meant?",
            other.name(),
            part.name()
        ))),
        _ => Ok(Some(part)),
    }
}

/// Why a day has nothing, and which day has.
fn nothing_free(
    context: &ToolContext<'_>,
    date: jiff::civil::Date,
    part: Option<Part>,
    requests: &[Request<'_>],
) -> Result<Refusal, Refusal> {
    let spoken = when::spoken_date(date);
    let sentence = if let Some(why) = context.venue.holiday(date) {
        format!("The house is closed on {spoken}: {why}.")
    } else if context.venue.open_on(date).is_empty() {
        format!("The house is closed on {spoken}.")
    } else {
        let that_part = if part.is_some() {
            " in that part of the day"
        } else {
            ""
        };
        let hours = spoken_ranges(&context.venue, date);
        format!("Nothing is free on {spoken}{that_part}; the house is open {hours}.")
    };
    // The same day comes first: another part of it may do.
    let next = context.next_free_day(date, requests, |_| true)?;
    Ok(refuse_with(
        sentence,
        "next_free_day",
        match next {
            Some(next) => json!({"day": next.to_string(), "when": when::spoken_date(next)}),
            None => Value::Null,
        },
    ))
}
