//! Who is free, where and when. Pure: the business, what is taken and the time are handed in.

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};

use super::hours::Open;
use super::venue::{Service, Therapist, Venue};
use super::when;

/// A stretch of time in which a therapist and a room are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) therapist: String,
    pub(crate) room: String,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
}

/// Somebody who could do a service at a time, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) therapist: &'a str,
    pub(crate) room: &'a str,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
}

/// Why a service cannot be had at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The business is closed that day; why, if it is a special day.
    Closed(Option<String>),
    /// The business is open that day, but not for so long at that time.
    OutsideHours,
    /// The therapist who is asked for does not work then.
    Away,
    /// Somebody else has the time.
    Taken,
}

/// What is asked for: a service, perhaps by somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) service: &'a Service,
    pub(crate) therapist: Option<&'a Therapist>,
}

/// A business and what is taken there.
pub(crate) struct Plan<'a> {
    pub(crate) venue: &'a Venue,
    pub(crate) busy: &'a [Busy],
    /// Nothing begins before it.
    pub(crate) now: Timestamp,
}

impl<'a> Plan<'a> {
    /// Every start of the day's grid with the first therapist free for it, in the order of the clock.
    pub(crate) fn free_on(&self, date: Date, request: Request<'a>) -> Vec<Place<'a>> {
        let zone = self.venue.zone();
        let mut places = Vec::new();
        for open in self.venue.open_on(date) {
            for time in open.starts(self.venue.start_every_minutes) {
                let Some(begins) = when::instant(date, time, zone) else {
                    continue;
                };
                if begins > self.now
                    && let Ok(place) = self.place(begins, request)
                {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Who and where, for a wish at a time; why not, otherwise. It does not ask whether the time is past.
    pub(crate) fn place(
        &self,
        begins: Timestamp,
        request: Request<'a>,
    ) -> Result<Place<'a>, Unfit> {
        let minutes = i64::from(request.service.minutes);
        let ends = begins
            .checked_add(SignedDuration::from_mins(minutes))
            .map_err(|_| Unfit::OutsideHours)?;
        let date = begins.to_zoned(self.venue.zone().clone()).date();
        let open = self.venue.open_on(date);
        if open.is_empty() {
            return Err(Unfit::Closed(self.venue.holiday(date).map(str::to_owned)));
        }
        if !self.within(open, date, begins, ends) {
            return Err(Unfit::OutsideHours);
        }
        let mut somebody_works = false;
        for therapist in self.venue.able(request.service) {
            if request
                .therapist
                .is_some_and(|wanted| wanted.name != therapist.name)
            {
                continue;
            }
            let works = therapist
                .hours
                .as_ref()
                .is_none_or(|week| self.within(week.on(date.weekday()), date, begins, ends));
            somebody_works |= works;
            if !works || self.is_taken(begins, ends, |busy| busy.therapist == therapist.name) {
                continue;
            }
            for room in self.venue.rooms_for(request.service) {
                if !self.is_taken(begins, ends, |busy| busy.room == room.name) {
                    return Ok(Place {
                        therapist: &therapist.name,
                        room: &room.name,
                        begins,
                        ends,
                    });
                }
            }
        }
        Err(if somebody_works {
            Unfit::Taken
        } else {
            Unfit::Away
        })
    }

    fn within(&self, ranges: &[Open], date: Date, begins: Timestamp, ends: Timestamp) -> bool {
        ranges.iter().any(|open| {
            let instants = open.instants(date, self.venue.zone());
            instants.is_some_and(|(opens, closes)| opens <= begins && ends <= closes)
        })
    }

    fn is_taken(&self, begins: Timestamp, ends: Timestamp, whose: impl Fn(&Busy) -> bool) -> bool {
        self.busy
            .iter()
            .any(|busy| busy.begins < ends && begins < busy.ends && whose(busy))
    }
}

/// At most `most` of the places: around a time if there is one, else spread over all of them.
pub(crate) fn some_of<'a>(
    places: &[Place<'a>],
    most: usize,
    near: Option<Timestamp>,
) -> Vec<Place<'a>> {
    if places.len() <= most {
        return places.to_vec();
    }
    if let Some(near) = near {
        let mut nearest = places.to_vec();
        nearest.sort_by_key(|place| place.begins.duration_since(near).unsigned_abs());
        nearest.truncate(most);
        nearest.sort_by_key(|place| place.begins);
        return nearest;
    }
    let step = |index: usize| index * (places.len() - 1) / most.saturating_sub(1).max(1);
    (0..most)
        .filter_map(|index| places.get(step(index)).copied())
        .collect()
}

/// A stretch of the day by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Until noon.
    Morning,
    /// From noon, before 18:00.
    Afternoon,
    /// From 17:00.
    Evening,
}

impl Part {
    /// All names, as the model is told them.
    pub(crate) const NAMES: [&'static str; 4] = ["morning", "afternoon", "evening", "any"];

    /// The part of a name; the night is the end of the evening.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "morning" => Some(Self::Morning),
            "afternoon" => Some(Self::Afternoon),
            "evening" | "night" => Some(Self::Evening),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Morning => "morning",
            Self::Afternoon => "afternoon",
            Self::Evening => "evening",
        }
    }

    /// Whether a start at that time belongs to it.
    pub(crate) fn has(self, time: Time) -> bool {
        match self {
            Self::Morning => time.hour() < 12,
            Self::Afternoon => (12..18).contains(&time.hour()),
            Self::Evening => time.hour() >= 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENUE: &str = r#"
        name = "Night house"
        time_zone = "Europe/Berlin"
        currency = "EUR"
        hours = { sunday = ["00:00-06:00"], monday = ["09:00-12:00"] }
        services = [{ name = "Nap", minutes = 60, price = 10 }, { name = "Bath", minutes = 30, price = 5 }]
        therapists = [{ name = "Ada", hours = { sunday = ["00:00-24:00"] } }, { name = "Bea", services = ["Bath"] }]
        rooms = [{ name = "Any" }, { name = "Tub", services = ["Bath"] }]
    "#;

    fn starts(venue: &Venue, busy: &[Busy], date: &str, service: usize) -> Vec<String> {
        let plan = Plan {
            venue,
            busy,
            now: Timestamp::UNIX_EPOCH,
        };
        let request = Request {
            service: &venue.services[service],
            therapist: None,
        };
        let places = plan.free_on(date.parse().unwrap(), request);
        let clock = |place: &Place<'_>| {
            when::spoken_time(place.begins.to_zoned(venue.zone().clone()).time())
        };
        places.iter().map(clock).collect()
    }

    #[test]
    fn on_the_day_the_clocks_go_forward_nothing_begins_in_the_hour_that_is_not() {
        let venue = Venue::read(VENUE).unwrap();
        let spring = starts(&venue, &[], "2027-03-28", 0);
        assert_eq!(
            spring,
            [
                "00:00", "00:30", "01:00", "01:30", "03:00", "03:30", "04:00", "04:30", "05:00"
            ]
        );
        let usual = starts(&venue, &[], "2027-04-04", 0);
        assert_eq!(usual.len(), 11, "{usual:?}");
    }

    #[test]
    fn on_the_day_the_clocks_go_back_a_nap_at_two_ends_at_two() {
        let venue = Venue::read(VENUE).unwrap();
        let plan = Plan {
            venue: &venue,
            busy: &[],
            now: Timestamp::UNIX_EPOCH,
        };
        let request = Request {
            service: &venue.services[0],
            therapist: None,
        };
        let places = plan.free_on("2027-10-31".parse().unwrap(), request);
        let two = places
            .iter()
            .find(|place| place.begins.to_string() == "2027-10-31T00:00:00Z")
            .unwrap();
        let ends = two.ends.to_zoned(venue.zone().clone());
        assert_eq!(when::spoken_time(ends.time()), "02:00");
        // An hour longer than usual, but the same starts on the clock.
        assert_eq!(places.len(), 11);
    }

    #[test]
    fn who_works_and_which_room_is_free_decide() {
        let venue = Venue::read(VENUE).unwrap();
        assert_eq!(
            starts(&venue, &[], "2027-04-05", 0),
            [""; 0],
            "only Ada naps, and she works on Sundays"
        );
        assert_eq!(
            starts(&venue, &[], "2027-04-05", 1).len(),
            6,
            "Bea bathes whenever the house is open"
        );
        assert_eq!(
            starts(&venue, &[], "2027-04-06", 1),
            [""; 0],
            "closed on Tuesdays"
        );
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let busy = [Busy {
            therapist: "Bea".to_owned(),
            room: "Tub".to_owned(),
            begins: at("2027-04-05T07:30:00Z"),
            ends: at("2027-04-05T08:10:00Z"),
        }];
        assert_eq!(
            starts(&venue, &busy, "2027-04-05", 1),
            ["09:00", "10:30", "11:00", "11:30"]
        );
        let plan = Plan {
            venue: &venue,
            busy: &busy,
            now: Timestamp::UNIX_EPOCH,
        };
        let request = |service: usize, therapist: usize| Request {
            service: &venue.services[service],
            therapist: Some(&venue.therapists[therapist]),
        };
        assert_eq!(
            plan.place(at("2027-04-05T08:00:00Z"), request(1, 1)),
            Err(Unfit::Taken)
        );
        assert_eq!(
            plan.place(at("2027-04-05T08:00:00Z"), request(1, 0)),
            Err(Unfit::Away)
        );
        assert_eq!(
            plan.place(at("2027-04-05T09:45:00Z"), request(1, 1)),
            Err(Unfit::OutsideHours)
        );
        assert_eq!(
            plan.place(at("2027-04-06T08:00:00Z"), request(1, 1)),
            Err(Unfit::Closed(None))
        );
        // A bath goes to the tub and leaves the other room to those who need it.
        assert_eq!(
            plan.place(at("2027-04-05T07:00:00Z"), request(1, 1))
                .unwrap()
                .room,
            "Tub"
        );
    }

    #[test]
    fn a_few_of_many_are_spread_or_near() {
        let place = |hour: i64| Place {
            therapist: "",
            room: "",
            begins: Timestamp::from_second(hour * 3_600).unwrap(),
            ends: Timestamp::from_second(hour * 3_600 + 60).unwrap(),
        };
        let places: Vec<Place<'_>> = (9..20).map(place).collect();
        let hours = |some: Vec<Place<'_>>| {
            some.iter()
                .map(|place| place.begins.as_second() / 3_600)
                .collect::<Vec<_>>()
        };
        assert_eq!(hours(some_of(&places, 3, None)), [9, 14, 19]);
        assert_eq!(
            hours(some_of(&places, 3, Some(place(12).begins))),
            [11, 12, 13]
        );
        assert_eq!(hours(some_of(&places[..2], 3, None)), [9, 10]);
        assert_eq!(hours(some_of(&places, 1, None)), [9]);
    }
}
