//! How values are spoken with the word clips of [`crate::speech`]: times, days, confirmation codes, words.

use jiff::civil::{Date, Time, Weekday};

use crate::speech::{self, Clip};

/// Numbers that are one word.
const NUMBERS: [(i8, &str); 18] = [
    (1, "one"),
    (2, "two"),
    (3, "three"),
    (4, "four"),
    (5, "five"),
    (6, "six"),
    (7, "seven"),
    (8, "eight"),
    (9, "nine"),
    (10, "ten"),
    (11, "eleven"),
    (12, "twelve"),
    (15, "fifteen"),
    (20, "twenty"),
    (30, "thirty"),
    (40, "forty"),
    (50, "fifty"),
    (0, "o_clock"),
];

/// A value in words.
#[derive(Debug, Clone)]
pub(crate) struct Spoken {
    pub(crate) words: Vec<&'static Clip>,
    /// As it stands in the transcript.
    pub(crate) text: String,
    /// Spelled: every word stands alone.
    pub(crate) spelled: bool,
}

/// Says `12:30` as *twelve thirty*, `2026-11-23` as *Monday*, `K7M4` and `K, 7, M, 4` as *K, 7, M, 4*, and anything else
/// word by word. `None` if a word is not recorded.
pub(crate) fn spoken(value: &str) -> Option<Spoken> {
    if let Some(time) = time(value) {
        return Some(in_words(&clock(time)?));
    }
    if let Ok(date) = value.parse::<Date>() {
        return Some(in_words(&[speech::word(weekday(date))?]));
    }
    if let Some(characters) = code(value) {
        let words = characters
            .iter()
            .map(|&character| letter(character))
            .collect::<Option<_>>()?;
        let text: Vec<String> = characters.into_iter().map(String::from).collect();
        return Some(Spoken {
            words,
            text: text.join(", "),
            spelled: true,
        });
    }
    let words: Option<Vec<_>> = value
        .split_whitespace()
        .map(|word| speech::word(&word.to_lowercase()))
        .collect();
    words
        .filter(|words| !words.is_empty())
        .map(|words| in_words(&words))
}

fn in_words(words: &[&'static Clip]) -> Spoken {
    let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
    Spoken {
        words: words.to_vec(),
        text: texts.join(" "),
        spelled: false,
    }
}

/// `HH:MM`, nothing else: the parser of times takes more.
fn time(value: &str) -> Option<Time> {
    let (hour, minute) = value.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn clock(time: Time) -> Option<Vec<&'static Clip>> {
    // 0 and 12 are both twelve; which half of the day is meant goes without saying.
    let hour = (time.hour() + 11) % 12 + 1;
    let mut words = vec![number(hour)?];
    match time.minute() {
        minute @ 1..=9 => words.extend([speech::word("oh")?, number(minute)?]),
        minute => match number(minute) {
            Some(word) => words.push(word),
            None if minute < 20 => return None,
            None => words.extend([number(minute / 10 * 10)?, number(minute % 10)?]),
        },
    }
    Some(words)
}

fn number(value: i8) -> Option<&'static Clip> {
    let (_, name) = NUMBERS.iter().find(|(number, _)| *number == value)?;
    speech::word(name)
}

fn weekday(date: Date) -> &'static str {
    match date.weekday() {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}

/// The characters of a code: four capitals and digits, or six, together or one by one.
fn code(value: &str) -> Option<Vec<char>> {
    let characters: Vec<char> = value.chars().filter(|c| !matches!(c, ',' | ' ')).collect();
    let is_code = matches!(characters.len(), 4 | 6)
        && characters
            .iter()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_code.then_some(characters)
}

fn letter(character: char) -> Option<&'static Clip> {
    match character.to_digit(10) {
        Some(digit @ 1..) => number(i8::try_from(digit).ok()?),
        // Nobody says whether it is nought, zero or oh: codes have none.
        Some(0) => None,
        None => speech::word(&character.to_lowercase().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_said_as_people_say_them() {
        for (value, said) in [
            ("12:00", "twelve o'clock"),
            ("13:30", "one thirty"),
            ("17:05", "five oh five"),
            ("09:15", "nine fifteen"),
            ("00:45", "twelve forty five"),
            ("2026-11-23", "Monday"),
            ("2026-11-29", "Sunday"),
            ("2028-02-29", "Tuesday"),
            ("K7M4", "K, 7, M, 4"),
            ("2, 2, F, W", "2, 2, F, W"),
            ("K7M4FL", "K, 7, M, 4, F, L"),
            ("Maria", "Maria"),
        ] {
            let spoken = spoken(value).unwrap_or_else(|| panic!("{value} cannot be said"));
            assert_eq!(spoken.text, said, "{value}");
            assert!(!spoken.words.is_empty());
        }
    }

    #[test]
    fn what_has_no_words_is_not_said() {
        for value in [
            "",
            "Brunhilde",
            "25:00",
            "12:13",
            "K7M0",
            "A7M4",
            "2026-13-01",
        ] {
            assert!(spoken(value).is_none(), "{value}");
        }
    }

    #[test]
    fn every_start_of_an_appointment_and_every_code_can_be_said() {
        for minute in 0..24 * 12 {
            let value = format!("{:02}:{:02}", minute / 12, minute % 12 * 5);
            assert!(spoken(&value).is_some(), "{value}");
        }
        for character in "FKLMRTW24679".chars() {
            let value = format!("{character}, 7, M, 4");
            assert_eq!(spoken(&value).unwrap().words.len(), 4, "{value}");
        }
    }
}
