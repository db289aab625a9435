//! What an error of the model means for the call: nothing, try again, open another session, or give up.

use std::time::Duration;

use crate::model::event::{ModelError, Refusal};

/// What an error asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A race that needs nothing done.
    Benign,
    /// A response was asked for while another ran.
    AlreadyResponding,
    /// Our configuration is not taken as it is.
    Configuration,
    /// Try again, not before this long.
    Transient(Duration),
    /// The session is over; another can be opened.
    SessionOver,
    /// No call can be served: key, quota, billing or model.
    Fatal,
}

/// Codes and types after which every further attempt fails, and costs.
const FATAL: [&str; 13] = [
    "invalid_api_key",
    "insufficient_quota",
    "credit_balance_exhausted",
    "account_deactivated",
    "billing_hard_limit_reached",
    "organization_spend_limit_exceeded",
    "model_not_found",
    "missing_model",
    "beta_api_shape_disabled",
    "authentication_error",
    "permission_error",
    "billing_error",
    "invalid_organization",
];

/// Codes of races between the caller, the server and us.
const BENIGN: [&str; 6] = [
    "response_cancel_not_active",
    "item_truncate_invalid_item_id",
    "item_delete_invalid_item_id",
    "item_retrieve_invalid_item_id",
    "input_audio_buffer_commit_empty",
    "invalid_tool_call_id",
];

/// The code of a limit that is used up for now.
const RATE_LIMITED: &str = "rate_limit_exceeded";

/// Wait before a retry where the server names none.
const SERVER_ERROR_WAIT: Duration = Duration::from_millis(500);

/// Longest wait taken from a server: a caller does not hold the line in silence for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Whether an error is about the key, the account or its billing: every other call would meet it, too. A model that is
/// not there is the business of the agent that names it.
#[must_use]
pub fn is_of_the_account(error: &ModelError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    let of_agent = [
        "model_not_found",
        "missing_model",
        "beta_api_shape_disabled",
    ];
    classify(error) == Class::Fatal && !of_agent.contains(&code)
}

/// Whether an error says that the account's limit is used up for now, and how long the server wants to be left alone.
#[must_use]
pub fn rate_limit(error: &ModelError) -> Option<Option<Duration>> {
    let is_limit = error.code.as_deref() == Some(RATE_LIMITED);
    is_limit.then(|| wait_in(&error.message))
}

/// Sorts an `error` event or the error of a failed response.
#[must_use]
pub fn classify(error: &ModelError) -> Class {
    let code = error.code.as_deref().unwrap_or_default();
    if FATAL.contains(&code) || FATAL.contains(&error.kind.as_str()) {
        return Class::Fatal;
    }
    if BENIGN.contains(&code) {
        return Class::Benign;
    }
    match code {
        "conversation_already_has_active_response" => Class::AlreadyResponding,
        "session_expired" => Class::SessionOver,
        RATE_LIMITED => Class::Transient(wait_in(&error.message).unwrap_or(SERVER_ERROR_WAIT)),
        "server_error" => Class::Transient(SERVER_ERROR_WAIT),
        _ if error.kind == "server_error" => Class::Transient(SERVER_ERROR_WAIT),
        _ if is_truncation_race(&error.message) => Class::Benign,
        _ => Class::Configuration,
    }
}

/// The truncation errors carry no code of their own, only these words.
fn is_truncation_race(message: &str) -> bool {
    message.starts_with("Only model output audio messages can be truncated")
        || (message.starts_with("Audio content of") && message.contains("is already shorter"))
}

/// Whether a WebSocket close code of the model leg allows another attempt.
#[must_use]
pub const fn close_is_fatal(code: u16) -> bool {
    matches!(code, 1008 | 3000 | 4000)
}

/// Whether a refused upgrade allows another attempt.
#[must_use]
pub const fn refusal_is_fatal(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Status(status) | Refusal::Later { status, .. } => {
            matches!(status, 400..=407 | 410..=428 | 430..=499)
        }
        Refusal::Timeout | Refusal::Network => false,
    }
}

/// The wait in "Please try again in 6.232s", also `174ms` and `1m26.4s`; at most eight seconds.
#[must_use]
pub fn wait_in(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    let mut seconds = 0.0;
    let mut number = String::new();
    let mut characters = rest.chars().peekable();
    let mut found = false;
    while let Some(character) = characters.next() {
        match character {
            '0'..='9' | '.' => number.push(character),
            'm' if characters.peek() == Some(&'s') => {
                characters.next();
                seconds += number.parse::<f64>().ok()? / 1_000.0;
                number.clear();
                found = true;
            }
            'h' | 'm' | 's' => {
                let unit = match character {
                    'h' => 3_600.0,
                    'm' => 60.0,
                    _ => 1.0,
                };
                seconds += number.parse::<f64>().ok()? * unit;
                number.clear();
                found = true;
            }
            _ => break,
        }
    }
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    found.then_some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Interner;
    use crate::model::event::{ModelEvent, ResponseStatus};
    use bytes::Bytes;

    const VARIANTS: &str = include_str!("../../../tests/data/realtime_events_variants.jsonl");

    #[test]
    fn waits_are_read_from_the_message_and_bounded() {
        for (text, expected) in [
            ("Please try again in 6.232s.", Some(6_232)),
            ("Please try again in 174ms. Visit", Some(174)),
            ("Please try again in 1m26.4s.", Some(8_000)),
            ("try again in 1h", Some(8_000)),
            ("Please try again later", None),
            ("try again in ...s", None),
            ("try again in 5 apples", None),
        ] {
            assert_eq!(wait_in(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn the_documented_errors_fall_into_their_classes() {
        let mut classes = Vec::new();
        for line in VARIANTS.lines().filter(|line| !line.is_empty()) {
            let event = crate::model::openai::read(
                &Bytes::from_static(line.as_bytes()),
                &mut Interner::default(),
            );
            match event {
                Ok(ModelEvent::Error(error)) => classes.push(classify(&error)),
                Ok(ModelEvent::ResponseDone(done)) => {
                    if let ResponseStatus::Failed(error) = done.status {
                        classes.push(classify(&error));
                    }
                }
                _ => {}
            }
        }
        let expected = [
            Class::Transient(Duration::from_millis(6_232)),
            Class::Transient(SERVER_ERROR_WAIT),
            Class::Fatal,
            Class::SessionOver,
            Class::AlreadyResponding,
            Class::Benign,
            Class::Benign,
            Class::Benign,
            Class::Benign,
            Class::Configuration,
            Class::Configuration,
            Class::Fatal,
        ];
        assert_eq!(classes, expected);
    }

    #[test]
    fn a_wrong_key_is_final_and_a_busy_server_is_not() {
        for status in [400, 401, 403, 404] {
            assert!(refusal_is_fatal(&Refusal::Status(status)), "{status}");
        }
        for status in [408, 409, 429, 500, 502, 503] {
            assert!(!refusal_is_fatal(&Refusal::Status(status)), "{status}");
        }
        assert!(
            close_is_fatal(3000)
                && close_is_fatal(4000)
                && !close_is_fatal(1001)
                && !close_is_fatal(1006)
        );
    }
}
