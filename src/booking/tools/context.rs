//! What every tool stands at: the book, the business, the time, who asks.

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp, Zoned};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::arguments::{Refusal, refuse, refuse_with, time_in};

use crate::Counter;
use crate::appointment::{self, Appointment};
use crate::code;
use crate::free::{Busy, Place, Plan, Request, Unfit, some_of};
use crate::identity::{Asker, Identify, told_name};
use crate::venue::{Service, Therapist, Venue};
use crate::when::{self, Said, Unclear};
use switchboard_base::nearest;

/// Days that are searched for the next free time.
const SEARCH_DAYS: i64 = 14;

/// A tool call at work.
pub(super) struct ToolContext<'a> {
    pub(super) connection: &'a Connection,
    pub(super) venue: Venue,
    pub(super) now: Timestamp,
    /// Who asks.
    pub(super) asker: Asker<'a>,
    /// The number that calls, as it is kept.
    pub(super) caller: Option<String>,
    /// Counts wrong codes and names.
    pub(super) guesses: Option<&'a Counter>,
}

impl ToolContext<'_> {
    pub(super) const fn is_desk(&self) -> bool {
        matches!(self.asker, Asker::Desk)
    }

    /// What a change asks for.
    pub(super) const fn identify(&self) -> Identify {
        match self.asker {
            Asker::Desk => Identify::Number,
            Asker::Caller { identify, .. } => identify,
        }
    }

    pub(super) fn here(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.venue.zone().clone())
    }

    pub(super) fn today(&self) -> Date {
        self.here(self.now).date()
    }

    /// Reads a day that can still be booked.
    pub(super) fn day(&self, said: &str) -> Result<Said, Refusal> {
        let today = self.today();
        let day = when::read_day(said, today).map_err(|unclear| {
            refuse(match unclear {
                Unclear::Unknown => format!(
                    "{said:?} is not a day I understand; say today, tomorrow, a weekday, or a date such as {today}."
                ),
                Unclear::Two(sentence) => sentence,
            })
        })?;
        let date = day.date;
        let spoken = when::spoken_date(date);
        if date < today {
            return Err(refuse(format!(
                "{spoken} {} is past; today is {}.",
                date.year(),
                when::spoken_date(today)
            )));
        }
        let days = i64::from(self.venue.days_ahead);
        let last = today
            .checked_add(jiff::Span::new().days(days))
            .unwrap_or(Date::MAX);
        if date > last {
            return Err(refuse(format!(
                "{spoken} {} is too far ahead; appointments are taken until {} {}.",
                date.year(),
                when::spoken_date(last),
                last.year()
            )));
        }
        Ok(day)
    }

    /// Reads a time of a day that is still to come.
    pub(super) fn begins(&self, day: Said, said: &str) -> Result<Timestamp, Refusal> {
        let Said { date, part } = day;
        let time = time_in(part, said)?;
        if time.minute() % 5 != 0 {
            return Err(refuse(format!(
                "Appointments begin at full five minutes, not at {}.",
                when::spoken_time(time)
            )));
        }
        let Some(begins) = when::instant(date, time, self.venue.zone()) else {
            return Err(refuse(format!(
                "On {} the clocks go forward, and there is no {}.",
                when::spoken_date(date),
                when::spoken_time(time)
            )));
        };
        if begins <= self.now {
            return Err(refuse(format!(
                "{} is past; it is {} now.",
                when::spoken(&self.here(begins)),
                when::spoken_time(self.here(self.now).time())
            )));
        }
        Ok(begins)
    }

    /// All services a name could mean: the one of that name, or those that have all its words.
    pub(super) fn services(&self, said: &str) -> Result<Vec<&Service>, Refusal> {
        if let Some(exact) = self.venue.service(said) {
            return Ok(vec![exact]);
        }
        let lower = said.to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let has = |service: &&Service| {
            let name = service.name.to_lowercase();
            words
                .iter()
                .all(|word| name.contains(word.trim_end_matches('s')))
        };
        let found: Vec<&Service> = self.venue.services.iter().filter(has).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let names = self.venue.services.iter().map(|it| it.name.as_str());
        let sentence = format!("There is no {said:?} here");
        Err(unknown(&sentence, said, "services", names.collect()))
    }

    /// The one service a name means.
    pub(super) fn service(&self, said: &str) -> Result<&Service, Refusal> {
        match self.services(said)?.as_slice() {
            [one] => Ok(one),
            several => {
                let names: Vec<&str> = several
                    .iter()
                    .map(|service| service.name.as_str())
                    .collect();
                Err(refuse_with(
                    format!("There are several: {}. Which one?", names.join(", ")),
                    "services",
                    json!(names),
                ))
            }
        }
    }

    /// The therapist a name means.
    pub(super) fn therapist(&self, said: Option<&str>) -> Result<Option<&Therapist>, Refusal> {
        let Some(said) = said else { return Ok(None) };
        if let Some(known) = self.venue.therapist(said) {
            return Ok(Some(known));
        }
        let names = self.venue.therapists.iter().map(|it| it.name.as_str());
        let sentence = format!("Nobody here is called {said}");
        Err(unknown(&sentence, said, "therapists", names.collect()))
    }

    /// The wish for a service by somebody, if they do it.
    pub(super) fn request<'w>(
        &self,
        service: &'w Service,
        therapist: Option<&'w Therapist>,
    ) -> Result<Request<'w>, Refusal> {
        if let Some(wanted) = therapist
            && !self
                .venue
                .able(service)
                .any(|able| able.name == wanted.name)
        {
            let able: Vec<&str> = self
                .venue
                .able(service)
                .map(|able| able.name.as_str())
                .collect();
            let sentence = format!("{} does not do {}.", wanted.name, service.name);
            return Err(refuse_with(sentence, "therapists", json!(able)));
        }
        Ok(Request { service, therapist })
    }

    /// What is taken on some days, but for one appointment.
    pub(super) fn busy(
        &self,
        from: Date,
        days: i64,
        but: Option<i64>,
    ) -> Result<Vec<Busy>, Refusal> {
        let zone = self.venue.zone();
        let start = zone
            .to_ambiguous_timestamp(from.to_datetime(Time::midnight()))
            .earlier();
        let start = start.map_err(|_| refuse("That day is beyond the calendar."))?;
        // A day of 25 hours, and what reaches into the next one.
        let end = start
            .checked_add(SignedDuration::from_hours(days * 25 + 24))
            .unwrap_or(Timestamp::MAX);
        Ok(appointment::busy(self.connection, start, end, but)?)
    }

    /// A place for a wish; otherwise why not, and what there is instead.
    pub(super) fn place<'p>(
        &'p self,
        begins: Timestamp,
        request: Request<'p>,
        busy: &'p [Busy],
        but: Option<i64>,
    ) -> Result<Place<'p>, Refusal> {
        let plan = Plan {
            venue: &self.venue,
            busy,
            now: self.now,
        };
        let unfit = match plan.place(begins, request) {
            Ok(place) => return Ok(place),
            Err(unfit) => unfit,
        };
        let at = self.here(begins);
        let date = when::spoken_date(at.date());
        let sentence = match unfit {
            Unfit::Closed(Some(why)) => format!("The house is closed on {date}: {why}."),
            Unfit::Closed(None) => {
                format!(
                    "The house is closed on {date}. Opening hours: {}.",
                    self.venue.spoken_hours(self.today())
                )
            }
            Unfit::OutsideHours => format!(
                "{} takes {} minutes, which does not fit the opening hours on {date} at {}: {}.",
                request.service.name,
                request.service.minutes,
                when::spoken_time(at.time()),
                spoken_ranges(&self.venue, at.date())
            ),
            Unfit::Away => match request.therapist {
                Some(therapist) => format!(
                    "{} does not work on {} for that long.",
                    therapist.name,
                    when::spoken(&at)
                ),
                None => format!(
                    "Nobody who does {} works on {} for that long.",
                    request.service.name,
                    when::spoken(&at)
                ),
            },
            Unfit::Taken => format!(
                "{} is taken for {}.",
                when::spoken(&at),
                request.service.name
            ),
        };
        Err(refuse_with(
            sentence,
            "other_times",
            self.others(begins, request, but)?,
        ))
    }

    /// The free times nearest to one that cannot be had: of that day, else of the next day with any.
    fn others(
        &self,
        begins: Timestamp,
        request: Request<'_>,
        but: Option<i64>,
    ) -> Result<Value, Refusal> {
        let asked = self.here(begins);
        let busy = self.busy(asked.date(), SEARCH_DAYS, but)?;
        for date in asked
            .date()
            .series(jiff::Span::new().days(1))
            .take(SEARCH_DAYS as usize)
        {
            let plan = Plan {
                venue: &self.venue,
                busy: &busy,
                now: self.now,
            };
            let free = plan.free_on(date, request);
            if !free.is_empty() {
                // On another day, around the same time on the clock.
                let near = when::instant(date, asked.time(), self.venue.zone());
                let some = some_of(&free, 3, near.or(Some(begins)));
                return Ok(some.iter().map(|place| self.spoken_place(place)).collect());
            }
        }
        Ok(json!([]))
    }

    /// The next day from a day on that has free times for any of the wishes.
    pub(super) fn next_free_day(
        &self,
        from: Date,
        requests: &[Request<'_>],
        fits: impl Fn(&Place<'_>) -> bool,
    ) -> Result<Option<Date>, Refusal> {
        let busy = self.busy(from, SEARCH_DAYS, None)?;
        for date in from
            .series(jiff::Span::new().days(1))
            .take(SEARCH_DAYS as usize)
        {
            let plan = Plan {
                venue: &self.venue,
                busy: &busy,
                now: self.now,
            };
            if requests
                .iter()
                .any(|request| plan.free_on(date, *request).iter().any(&fits))
            {
                return Ok(Some(date));
            }
        }
        Ok(None)
    }

    /// A place as the model is told it.
    pub(super) fn spoken_place(&self, place: &Place<'_>) -> Value {
        let begins = self.here(place.begins);
        json!({
            "when": when::spoken(&begins),
            "day": begins.date().to_string(),
            "time": when::spoken_time(begins.time()),
            "therapist": place.therapist,
        })
    }

    /// An appointment as the model is told it.
    pub(super) fn spoken_appointment(&self, appointment: &Appointment) -> Value {
        let begins = self.here(appointment.begins);
        let minutes = appointment
            .ends
            .duration_since(appointment.begins)
            .as_mins();
        json!({
            "code": appointment.code,
            "code_spelled": code::spelled(&appointment.code),
            "service": appointment.service,
            "minutes": minutes,
            "price": self.venue.spoken_price(appointment.price),
            "therapist": appointment.therapist,
            "when": when::spoken(&begins),
            "day": begins.date().to_string(),
            "time": when::spoken_time(begins.time()),
            "name": told_name(&appointment.name),
        })
    }
}

/// An answer without some of its members.
pub(super) fn without(answer: &mut Value, names: &[&str]) {
    if let Some(members) = answer.as_object_mut() {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
}

pub(super) fn spoken_ranges(venue: &Venue, date: Date) -> String {
    let ranges: Vec<String> = venue
        .open_on(date)
        .iter()
        .map(|open| open.to_string().replace('-', " to "))
        .collect();
    ranges.join(" and ")
}

/// A name that is none of those there are, with the one that was probably meant.
fn unknown(sentence: &str, said: &str, key: &str, names: Vec<&str>) -> Refusal {
    let sentence = match nearest(said, names.iter().copied()) {
        Some(near) => format!("{sentence}; did you mean {near}?"),
        None => format!("{sentence}."),
    };
    refuse_with(sentence, key, json!(names))
}
