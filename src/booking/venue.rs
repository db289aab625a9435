//! The business: what is offered, by whom, where and when. Read from TOML or JSON, kept in the book as JSON.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::hours::{Open, Week};
use super::values::{ClosedDay, Price, Zone};
use super::when;

/// The business a new book begins with.
const FIRST_HOUSE: &str = include_str!("willow_spa.toml");

/// Longest treatment in minutes; the database bounds the search for overlaps by it.
pub(crate) const LONGEST_MINUTES: u16 = 12 * 60;
/// More would not fit what a model is told.
const MOST_ENTRIES: usize = 200;
const MOST_NAME_CHARS: usize = 80;

/// A business that takes appointments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    /// What it is called.
    pub name: String,
    /// Where its clocks stand.
    pub time_zone: Zone,
    /// The currency of its prices, such as `EUR`.
    pub currency: String,
    /// Appointments are offered on this grid of the clock.
    #[serde(default = "half_an_hour")]
    pub start_every_minutes: u16,
    /// How many days ahead appointments are taken.
    #[serde(default = "half_a_year")]
    pub days_ahead: u16,
    /// When the doors are open.
    pub hours: Week,
    /// Days without doors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Closed>,
    /// What is offered.
    pub services: Vec<Service>,
    /// Who does it.
    pub therapists: Vec<Therapist>,
    /// Where.
    pub rooms: Vec<Room>,
}

/// A day without doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Which day.
    pub day: ClosedDay,
    /// Why, as it is said.
    pub name: String,
    /// The calendar entry that closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

/// Something a customer can book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it is called.
    pub name: String,
    /// How long it takes, minutes.
    pub minutes: u16,
    /// What it costs.
    pub price: Price,
}

/// Somebody who treats customers, one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Therapist {
    /// The name that is said.
    pub name: String,
    /// What they can do, by name; empty: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// When they work; without it, whenever the business is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Week>,
}

/// A room for one customer at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// What can be done there, by name; empty: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

const fn half_an_hour() -> u16 {
    30
}

const fn half_a_year() -> u16 {
    180
}

impl Venue {
    /// The business a new book begins with: the spa of the example settings.
    ///
    /// # Errors
    /// None, as a test proves.
    pub fn first() -> Result<Self, String> {
        Self::read(FIRST_HOUSE)
    }

    /// Reads TOML, or JSON if the text begins with a brace.
    ///
    /// # Errors
    /// A sentence with the way to mend it.
    pub fn read(text: &str) -> Result<Self, String> {
        let venue: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            toml::from_str(text).map_err(|error| {
                let at = error.span().map_or(0, |span| span.start).min(text.len());
                let line = 1 + text.as_bytes()[..at]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count();
                let what: Vec<&str> = error.message().split_whitespace().collect();
                format!("at line {line}: {}", what.join(" "))
            })?
        };
        venue.check()?;
        Ok(venue)
    }

    fn check(&self) -> Result<(), String> {
        name("name", &self.name)?;
        name("currency", &self.currency)?;
        if !(5..=240).contains(&self.start_every_minutes) {
            return Err(format!(
                "start_every_minutes is {}; use 5 to 240",
                self.start_every_minutes
            ));
        }
        if !(1..=730).contains(&self.days_ahead) {
            return Err(format!("days_ahead is {}; use 1 to 730", self.days_ahead));
        }
        if self.hours.is_empty() {
            return Err(
                "hours are empty, so the house never opens; write monday = [\"09:00-20:00\"]"
                    .to_owned(),
            );
        }
        names(
            "services",
            self.services.iter().map(|service| service.name.as_str()),
        )?;
        names(
            "therapists",
            self.therapists
                .iter()
                .map(|therapist| therapist.name.as_str()),
        )?;
        names("rooms", self.rooms.iter().map(|room| room.name.as_str()))?;
        for service in &self.services {
            if !(5..=LONGEST_MINUTES).contains(&service.minutes) {
                return Err(format!(
                    "{:?} takes {} minutes; use 5 to {LONGEST_MINUTES}",
                    service.name, service.minutes
                ));
            }
        }
        let therapists = self
            .therapists
            .iter()
            .map(|therapist| (&therapist.name, &therapist.services));
        let rooms = self.rooms.iter().map(|room| (&room.name, &room.services));
        for (whose, listed) in therapists.chain(rooms) {
            if let Some(unknown) = listed.iter().find(|listed| self.service(listed).is_none()) {
                return Err(format!(
                    "{whose:?} names the service {unknown:?}, which is not under services; add it there"
                ));
            }
        }
        Ok(())
    }

    /// A service by its exact name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// A therapist by name.
    #[must_use]
    pub fn therapist(&self, name: &str) -> Option<&Therapist> {
        self.therapists
            .iter()
            .find(|therapist| therapist.name.eq_ignore_ascii_case(name))
    }

    /// Who can do a service.
    pub(crate) fn able<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Therapist> {
        self.therapists
            .iter()
            .filter(|therapist| serves(&therapist.services, service))
    }

    /// Where a service can be done, rooms that serve few purposes first: the others stay free for what needs them.
    pub(crate) fn rooms_for(&self, service: &Service) -> Vec<&Room> {
        let mut rooms: Vec<&Room> = self
            .rooms
            .iter()
            .filter(|room| serves(&room.services, service))
            .collect();
        rooms.sort_by_key(|room| room.services.len().wrapping_sub(1));
        rooms
    }

    /// The clock of the business.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        self.time_zone.clock()
    }

    /// Why the business is closed that day, if it is a special day.
    pub(crate) fn holiday(&self, date: Date) -> Option<&str> {
        let found = self.closed.iter().find(|closed| closed.day.is(date))?;
        Some(&found.name)
    }

    /// When the doors are open that day.
    pub(crate) fn open_on(&self, date: Date) -> &[Open] {
        if self.holiday(date).is_some() {
            &[]
        } else {
            self.hours.on(date.weekday())
        }
    }

    /// The opening hours as they are said, with the closed days of the next two weeks.
    pub(crate) fn spoken_hours(&self, today: Date) -> String {
        let mut said = self.hours.spoken();
        for date in today.series(jiff::Span::new().days(1)).take(15) {
            if let Some(why) = self.holiday(date) {
                said = format!("{said}; closed on {} ({why})", when::spoken_date(date));
            }
        }
        said
    }

    /// A price as it is said.
    pub(crate) fn spoken_price(&self, price: Price) -> String {
        format!("{price} {}", self.currency)
    }
}

fn serves(listed: &[String], service: &Service) -> bool {
    listed.is_empty()
        || listed
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(&service.name))
}

fn name(what: &str, name: &str) -> Result<(), String> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= MOST_NAME_CHARS
        && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{what} is empty, too long or has control characters; use 1 to {MOST_NAME_CHARS} characters"
        ))
    }
}

fn names<'a>(what: &str, given: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for given in given {
        name(&format!("a name under {what}"), given)?;
        if !seen.insert(given.to_lowercase()) {
            return Err(format!("{what} has {given:?} twice; rename one"));
        }
    }
    match seen.len() {
        0 => Err(format!(
            "{what} are missing; name at least one under [[{what}]]"
        )),
        1..=MOST_ENTRIES => Ok(()),
        many => Err(format!(
            "{what} has {many} entries; use at most {MOST_ENTRIES}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_house_is_sound_and_survives_json() {
        let first = Venue::first().unwrap();
        let json = serde_json::to_string(&first).unwrap();
        assert_eq!(Venue::read(&json).unwrap(), first);
        assert_eq!(first.spoken_price(first.services[1].price), "95 EUR");
        assert_eq!(
            first.spoken_hours("2026-12-20".parse().unwrap()),
            "Monday to Saturday 09:00 to 20:00, Sunday 10:00 to 18:00; closed on Friday 25 December (Christmas Day); \
             closed on Friday 1 January (New Year's Day)"
        );
    }

    #[test]
    fn what_is_wrong_with_a_house_is_said_with_the_way_to_mend_it() {
        for (from, to, words) in [
            ("minutes = 60", "minutes = 0", "minutes; use 5 to"),
            (
                "Europe/Berlin",
                "Europe/Atlantis",
                "write it like Europe/Berlin",
            ),
            ("09:00-20:00", "20:00-09:00", "closes before it opens"),
            ("name = \"Elena\"", "name = \"maria\"", "twice"),
            ("\"Facial\"]", "\"Facials\"]", "not under services"),
            ("price = 80", "price = -80", "is not a price"),
            ("day = \"12-25\"", "day = \"25.12.\"", "for every year"),
            ("days_ahead = 180", "days_ahead = 0", "use 1 to 730"),
            ("currency", "currencie", "currencie"),
        ] {
            assert!(FIRST_HOUSE.contains(from), "{from}");
            let error = Venue::read(&FIRST_HOUSE.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(words), "{from} -> {to}: {error}");
        }
    }
}
