//! What there is: services and free times.

use serde_json::{Value, json};

use super::asked::{Arguments, Refusal, refuse, refuse_with, time_in};
use super::counter::{Counter, spoken_ranges};
use crate::booking::free::{Part, Place, Plan, Wish, some_of};
use crate::booking::when;

/// Times told of one service; more of it can be asked for with another part of the day or a time.
const MOST_TIMES: usize = 6;
/// Times told of each of several services.
const MOST_TIMES_EACH: usize = 3;

pub(super) fn list_services(counter: &Counter<'_>, _: &Arguments<'_>) -> Result<Value, Refusal> {
    let premises = &counter.premises;
    let mut services = Vec::new();
    for service in &premises.services {
        let therapists: Vec<&str> = premises
            .able(service)
            .map(|able| able.name.as_str())
            .collect();
        services.push(json!({
            "name": service.name,
            "minutes": service.minutes,
            "price": premises.spoken_price(service.price),
            "therapists": therapists,
        }));
    }
    let today = counter.today();
    Ok(json!({
        "services": services,
        "opening_hours": premises.spoken_hours(today),
        "today": format!("{} {}", when::spoken_date(today), today.year()),
    }))
}

pub(super) fn find_times(
    counter: &Counter<'_>,
    arguments: &Arguments<'_>,
) -> Result<Value, Refusal> {
    let Some(said) = arguments.text("service") else {
        return Err(refuse("Which treatment should it be?"));
    };
    let services = counter.services(&said)?;
    let therapist = counter.therapist(arguments.text("therapist").as_deref())?;
    let mut wishes: Vec<Wish<'_>> = Vec::new();
    let mut no_one = None;
    for service in services {
        match counter.wish(service, therapist) {
            Ok(wish) => wishes.push(wish),
            Err(refusal) => no_one = Some(refusal),
        }
    }
    if wishes.is_empty()
        && let Some(refusal) = no_one
    {
        return Err(refusal);
    }
    let day = arguments.text("day").map(|said| counter.day(&said));
    let day = day.transpose()?;
    let part = part(arguments, day.and_then(|day| day.part))?;
    let near = arguments.text("time");
    let near = near.map(|said| time_in(part, &said)).transpose()?;
    let fits =
        |place: &Place<'_>| part.is_none_or(|part| part.has(counter.here(place.begins).time()));

    let date = match day {
        Some(day) => day.date,
        None => match counter.next_free_day(counter.today(), &wishes, fits)? {
            Some(date) => date,
            None => return Err(refuse("Nothing is free in the next two weeks.")),
        },
    };
    let busy = counter.busy(date, 1, None)?;
    let plan = Plan {
        premises: &counter.premises,
        busy: &busy,
        now: counter.now,
    };
    let most = if wishes.len() == 1 {
        MOST_TIMES
    } else {
        MOST_TIMES_EACH
    };
    let near = near.and_then(|time| when::instant(date, time, counter.premises.zone()));
    let mut options = Vec::new();
    for wish in &wishes {
        let mut free = plan.free_on(date, *wish);
        free.retain(&fits);
        if free.is_empty() {
            continue;
        }
        let told = |place: &Place<'_>| json!({"time": when::spoken_time(counter.here(place.begins).time()), "therapist": place.therapist});
        options.push(json!({
            "service": wish.service.name,
            "minutes": wish.service.minutes,
            "price": counter.premises.spoken_price(wish.service.price),
            "times": some_of(&free, most, near).iter().map(told).collect::<Vec<_>>(),
            "free_times_in_all": free.len(),
        }));
    }
    if options.is_empty() {
        return Err(nothing_free(counter, date, part, &wishes)?);
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
    counter: &Counter<'_>,
    date: jiff::civil::Date,
    part: Option<Part>,
    wishes: &[Wish<'_>],
) -> Result<Refusal, Refusal> {
    let spoken = when::spoken_date(date);
    let sentence = if let Some(why) = counter.premises.holiday(date) {
        format!("The house is closed on {spoken}: {why}.")
    } else if counter.premises.open_on(date).is_empty() {
        format!("The house is closed on {spoken}.")
    } else {
        let that_part = if part.is_some() {
            " in that part of the day"
        } else {
            ""
        };
        let hours = spoken_ranges(&counter.premises, date);
        format!("Nothing is free on {spoken}{that_part}; the house is open {hours}.")
    };
    // The same day comes first: another part of it may do.
    let next = counter.next_free_day(date, wishes, |_| true)?;
    Ok(refuse_with(
        sentence,
        "next_free_day",
        match next {
            Some(next) => json!({"day": next.to_string(), "when": when::spoken_date(next)}),
            None => Value::Null,
        },
    ))
}
