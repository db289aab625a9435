//! What is known about OpenAI's models: which have gone, which are going, which can reason.
//!
//! Source: developers.openai.com, pages *deprecations* and the model pages, read in November 2026.

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Works, or is not OpenAI's (a deployment name, a compatible server's model).
    Usable,
    /// Works until `shutdown`, an ISO 8601 date.
    Deprecated {
        /// The last day.
        shutdown: &'static str,
        /// What to move to.
        successor: &'static str,
    },
    /// Answers no more.
    ShutDown {
        /// What to move to.
        successor: &'static str,
    },
}

/// The model an operator should use today.
pub const RECOMMENDED: &str = "gpt-realtime-2.1";
/// The transcription model of an agent that names none; it accepts turn detection.
pub const TRANSCRIPTION: &str = "gpt-transcribe";

const REALTIME_SHUTDOWN: &str = "2027-01-20";
const TRANSCRIPTION_SHUTDOWN: &str = "2027-02-26";

/// Where a Realtime model stands.
#[must_use]
pub fn realtime(model: &str) -> Standing {
    if model.starts_with("gpt-4o-mini-realtime-preview") {
        return Standing::ShutDown {
            successor: "gpt-realtime-2.1-mini",
        };
    }
    if model.starts_with("gpt-4o-realtime-preview") {
        return Standing::ShutDown {
            successor: RECOMMENDED,
        };
    }
    match undated(model) {
        "gpt-realtime" => Standing::Deprecated {
            shutdown: REALTIME_SHUTDOWN,
            successor: RECOMMENDED,
        },
        "gpt-realtime-mini" => Standing::Deprecated {
            shutdown: REALTIME_SHUTDOWN,
            successor: "gpt-realtime-2.1-mini",
        },
        _ => Standing::Usable,
    }
}

/// Where a transcription model stands.
#[must_use]
pub fn transcription(model: &str) -> Standing {
    let going = Standing::Deprecated {
        shutdown: TRANSCRIPTION_SHUTDOWN,
        successor: TRANSCRIPTION,
    };
    match undated(model) {
        "whisper-1" | "gpt-4o-transcribe" | "gpt-4o-transcribe-diarize" => going,
        name if name.starts_with("gpt-4o-mini-transcribe") => going,
        _ => Standing::Usable,
    }
}

/// Streaming transcription models refuse turn detection, which a phone call needs.
#[must_use]
pub fn transcribes_without_turns(model: &str) -> bool {
    matches!(
        undated(model),
        "gpt-live-transcribe" | "gpt-realtime-whisper"
    )
}

/// Whether `reasoning` may be sent; to a model without it the whole `session.update` fails.
#[must_use]
pub fn reasons(model: &str) -> bool {
    matches!(
        undated(model),
        "gpt-realtime-2" | "gpt-realtime-2.1" | "gpt-realtime-2.1-mini"
    )
}

/// The name without a trailing `-YYYY-MM-DD`, so that `gpt-realtime-2025-08-28` is not taken for the 2 family.
fn undated(model: &str) -> &str {
    let Some(split) = model.len().checked_sub(11) else {
        return model;
    };
    let Some((name, date)) = model.split_at_checked(split) else {
        return model;
    };
    let is_date = date.bytes().enumerate().all(|(place, byte)| match place {
        0 | 5 | 8 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if is_date { name } else { model }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_shut_down_dated_or_not() {
        for model in [
            "gpt-4o-realtime-preview",
            "gpt-4o-realtime-preview-2024-12-17",
        ] {
            assert_eq!(
                realtime(model),
                Standing::ShutDown {
                    successor: "gpt-realtime-2.1"
                }
            );
        }
        assert_eq!(
            realtime("gpt-4o-mini-realtime-preview-2024-12-17"),
            Standing::ShutDown {
                successor: "gpt-realtime-2.1-mini"
            }
        );
    }

    #[test]
    fn a_dated_first_generation_model_is_not_of_the_second() {
        assert!(!reasons("gpt-realtime-2025-08-28"));
        assert!(matches!(
            realtime("gpt-realtime-2025-08-28"),
            Standing::Deprecated {
                shutdown: "2027-01-20",
                ..
            }
        ));
        assert!(matches!(
            realtime("gpt-realtime-mini-2025-12-15"),
            Standing::Deprecated { .. }
        ));
    }

    #[test]
    fn the_second_family_reasons() {
        for model in [
            "gpt-realtime-2",
            "gpt-realtime-2.1",
            "gpt-realtime-2.1-mini",
            "gpt-realtime-2.1-2026-07-06",
        ] {
            assert!(reasons(model), "{model}");
            assert_eq!(realtime(model), Standing::Usable);
        }
        assert!(!reasons("gpt-realtime-1.5"));
        assert!(!reasons("my-deployment"));
    }

    #[test]
    fn odd_names_do_not_panic() {
        assert_eq!(realtime("ééééééé-2025-08-28"), Standing::Usable);
        assert_eq!(realtime("é2025-08-28"), Standing::Usable);
        assert_eq!(realtime(""), Standing::Usable);
    }
}
