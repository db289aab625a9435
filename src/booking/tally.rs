//! What callers may try so often: wrong codes and names, and bookings from withheld numbers. Counted in the book, so
//! that a restart forgets nothing and every process counts the same.
//!
//! # Why a code has six characters
//!
//! Withheld callers have [`MOST_GUESSES_AN_HOUR`] tries together, 7,200 in the thirty days an appointment is usually made
//! ahead. Of 12^4 = 20,736 codes that is a third, of 12^6 = 2,985,984 one in 415, and the right name is asked for as well.
//! A number that is spoofed has tries of its own; a thousand such numbers, trying every hour for a day, find the code of
//! somebody whose name they know once in twelve times among six characters, and for certain among four.

use rusqlite::{Connection, params};

use switchboard_base::number::mask;

/// Wrong codes and names a call may give.
pub(crate) const MOST_GUESSES_A_CALL: u32 = 5;

/// The same for a number within an hour, and for all withheld numbers together.
pub(crate) const MOST_GUESSES_AN_HOUR: u32 = 10;

/// Bookings of one call whose number is withheld.
const MOST_BOOKINGS_A_CALL: u32 = 3;

/// Bookings of all such calls within an hour.
const MOST_BOOKINGS_AN_HOUR: u32 = 10;

const HOUR: i64 = 3_600;

/// Longer than any call.
const KEEP: i64 = 2 * 86_400;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A wrong code or name.
    Guess,
    /// A booking.
    Booking,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Booking => "booking",
        }
    }

    /// How many a call, how many an hour.
    const fn most(self) -> (u32, u32) {
        match self {
            Self::Guess => (MOST_GUESSES_A_CALL, MOST_GUESSES_AN_HOUR),
            Self::Booking => (MOST_BOOKINGS_A_CALL, MOST_BOOKINGS_AN_HOUR),
        }
    }
}

/// What a call has tried so far, by its own count and by that of its number.
pub(crate) struct Tally<'a> {
    pub(crate) connection: &'a Connection,
    /// The caller's number; all that are withheld share one count.
    pub(crate) number: Option<&'a str>,
    pub(crate) call: &'a str,
    /// Seconds since the epoch.
    pub(crate) now: i64,
}

impl Tally<'_> {
    /// Whether there is one more to try.
    pub(crate) fn has_left(&self, kind: Kind) -> rusqlite::Result<bool> {
        let (most_of_call, most_of_number) = kind.most();
        let (of_call, of_number) = self.so_far(kind)?;
        Ok(of_call < most_of_call && of_number < most_of_number)
    }

    /// Whether a booking more may be made. Those of a number are bounded by its coming appointments.
    pub(crate) fn may_book(&self) -> rusqlite::Result<bool> {
        Ok(self.number.is_some() || self.has_left(Kind::Booking)?)
    }

    /// A booking was made.
    pub(crate) fn add_booking(&self) -> rusqlite::Result<()> {
        if self.number.is_some() {
            return Ok(());
        }
        self.add(Kind::Booking)
    }

    /// One more; the last that may be is told to the operator.
    pub(crate) fn add(&self, kind: Kind) -> rusqlite::Result<()> {
        self.connection
            .execute("DELETE FROM tries WHERE at <= ?1", [self.now - KEEP])?;
        self.connection.execute(
            "INSERT INTO tries (kind, who, call, at) VALUES (?1, ?2, ?3, ?4)",
            params![kind.as_str(), self.who(), self.call, self.now],
        )?;
        let (of_call, of_number) = self.so_far(kind)?;
        let (most_of_call, most_of_number) = kind.most();
        if of_call == most_of_call || of_number == most_of_number {
            let from = self.number.map_or("withheld".to_owned(), mask);
            let tried = kind.as_str();
            log::warn!(
                target: "switchboard::book", call_sid = self.call, from:% = from, tried, of_call, of_number;
                "a caller has tried as often as they may, and is told of the front desk"
            );
        }
        Ok(())
    }

    fn so_far(&self, kind: Kind) -> rusqlite::Result<(u32, u32)> {
        let sql = "SELECT (SELECT COUNT(*) FROM tries WHERE kind = ?1 AND call = ?2), \
             (SELECT COUNT(*) FROM tries WHERE kind = ?1 AND who = ?3 AND at > ?4)";
        let values = params![kind.as_str(), self.call, self.who(), self.now - HOUR];
        self.connection
            .query_row(sql, values, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn who(&self) -> &str {
        self.number.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn a_months_tries_of_all_who_withhold_their_number_are_a_small_part_of_the_codes_there_are() {
        let tries = f64::from(MOST_GUESSES_AN_HOUR) * 24.0 * 30.0;
        assert!(tries / code::of_length(4) > 0.3, "four were not enough");
        assert!(tries / code::of_length(code::LENGTH) < 0.0025);
        let spoofed = 1_000.0 * f64::from(MOST_GUESSES_AN_HOUR) * 24.0;
        assert!(spoofed / code::of_length(4) > 1.0);
        assert!(spoofed / code::of_length(code::LENGTH) < 1.0 / 12.0);
    }
}
