//! What callers may, and what the book believes of them.

use switchboard::settings::Identify;

use super::support::{REQUIRED, accepted, env, refusal};

const ANNA: Option<&str> = Some("+493090182011");

#[test]
fn a_number_is_answered_twenty_times_an_hour_unless_the_settings_say_otherwise() {
    let callers = accepted("", &env(REQUIRED)).callers;
    assert_eq!(callers.most_calls(ANNA), Some(20));
    assert_eq!(callers.most_calls(None), Some(200), "all that are withheld");
    assert_eq!(callers.minutes_per_day, None);

    let toml = "[limits]\nnumber_calls_per_hour = 3\nminutes_per_day = 600\nexempt_numbers = [\"+49 30 9018-2011\"]\n";
    let callers = accepted(toml, &env(REQUIRED)).callers;
    assert_eq!(callers.most_calls(Some("+493090182022")), Some(3));
    assert_eq!(callers.most_calls(ANNA), None);
    assert!(callers.is_exempt(ANNA) && !callers.is_exempt(None));
    assert_eq!(callers.minutes_per_day, Some(600));

    let none = accepted("[limits]\nnumber_calls_per_hour = 0\n", &env(REQUIRED));
    assert_eq!(none.callers.most_calls(None), None);
}

#[test]
fn what_no_limit_can_be_is_refused_with_the_key() {
    for (line, key) in [
        ("number_calls_per_hour = -1", "limits.number_calls_per_hour"),
        ("minutes_per_day = -5", "limits.minutes_per_day"),
        ("exempt_numbers = [\"desk\"]", "limits.exempt_numbers"),
    ] {
        let sentence = refusal(&format!("[limits]\n{line}\n"), &env(REQUIRED));
        assert!(sentence.contains(key), "{sentence}");
    }
}

#[test]
fn a_change_of_an_appointment_asks_for_number_and_name_unless_the_settings_say_otherwise() {
    let book = accepted("", &env(REQUIRED)).book;
    assert_eq!(book.identify, Identify::NumberAndName);
    assert!(!book.verified_only);
    for (name, rule) in Identify::NAMES {
        let toml = format!("[book]\nidentify = \"{name}\"\nverified_only = true\n");
        let book = accepted(&toml, &env(REQUIRED)).book;
        assert_eq!((book.identify, book.verified_only), (rule, true));
    }
    let sentence = refusal("[book]\nidentify = \"numbr\"\n", &env(REQUIRED));
    assert!(
        sentence.contains("book.identify") && sentence.contains("\"number\""),
        "{sentence}"
    );
}

#[test]
fn the_minutes_of_a_day_need_a_restart_and_the_others_none() {
    let before = accepted("", &env(REQUIRED));
    let minutes = accepted("[limits]\nminutes_per_day = 5\n", &env(REQUIRED));
    assert_eq!(before.needs_restart(&minutes), ["limits.minutes_per_day"]);
    let others = "[limits]\nnumber_calls_per_hour = 5\nexempt_numbers = [\"+493090182011\"]\n\
                  [book]\nidentify = \"code\"\nverified_only = true\n";
    let others = accepted(others, &env(REQUIRED));
    assert_eq!(before.needs_restart(&others), [""; 0]);
}
