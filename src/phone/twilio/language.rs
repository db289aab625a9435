//! In which language Twilio speaks a text of ours.
//!
//! `<Say>` takes a language with its region, and may refuse one it has no voice for
//! (<https://www.twilio.com/docs/voice/twiml/say#language>): a fallback line that is refused is silence, so that what
//! is not known here is left to the account.

/// Languages `<Say>` has a voice for; the first of each is taken where the region is none of them.
const SPOKEN: &[&str] = &[
    "ca-ES", "cmn-CN", "cy-GB", "da-DK", "de-DE", "en-US", "en-AU", "en-GB", "en-IN", "es-ES",
    "es-MX", "es-US", "fi-FI", "fr-FR", "fr-CA", "hi-IN", "is-IS", "it-IT", "ja-JP", "ko-KR",
    "nb-NO", "nl-NL", "pl-PL", "pt-BR", "pt-PT", "ro-RO", "ru-RU", "sv-SE", "tr-TR",
];

/// Other names of the same languages.
const ALSO: &[(&str, &str)] = &[("no", "nb"), ("zh", "cmn")];

/// The language of the sentences that are written here and not in the settings.
pub(crate) const OURS: Option<&str> = Some("en-US");

/// The `language` of a `<Say>` for a BCP 47 tag; `None`: the account's.
pub(crate) fn of(tag: &str) -> Option<&'static str> {
    let exact = SPOKEN
        .iter()
        .find(|spoken| spoken.eq_ignore_ascii_case(tag));
    if let Some(exact) = exact {
        return Some(exact);
    }
    let bare = tag.split('-').next().unwrap_or_default().to_lowercase();
    let also = ALSO.iter().find(|(name, _)| *name == bare);
    let bare = also.map_or(bare.as_str(), |(_, same)| same);
    let is_same = |spoken: &&&str| spoken.split('-').next() == Some(bare);
    SPOKEN.iter().find(is_same).copied()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_tag_becomes_a_language_twilio_speaks_or_none() {
        for (tag, spoken) in [
            ("en", Some("en-US")),
            ("en-GB", Some("en-GB")),
            ("EN-gb", Some("en-GB")),
            ("en-CA", Some("en-US")),
            ("de", Some("de-DE")),
            ("de-AT", Some("de-DE")),
            ("pt", Some("pt-BR")),
            ("pt-PT", Some("pt-PT")),
            ("no", Some("nb-NO")),
            ("zh-TW", Some("cmn-CN")),
            ("eu", None),
        ] {
            assert_eq!(of(tag), spoken, "{tag}");
        }
    }
}
