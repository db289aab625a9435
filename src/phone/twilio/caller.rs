//! The caller's number, as far as there is one.

use switchboard_base::number::PhoneNumber;

/// A withheld number comes as a word, or as the number that spells one on a keypad: ANONYMOUS, RESTRICTED, BLOCKED,
/// UNKNOWN, UNAVAILABLE (help.twilio.com, *Why am I getting calls from these strange numbers?*).
const SPELLED: [&str; 5] = [
    "+266696687",
    "+7378742833",
    "+2562533",
    "+8656696",
    "+86282452253",
];

/// The number in full if it is one that can be called back; `None` when it is withheld.
pub(crate) fn number(from: Option<&str>) -> Option<&str> {
    let from = from?.trim();
    let is_number = PhoneNumber::parse(from).is_ok();
    (is_number && !SPELLED.contains(&from)).then_some(from)
}

/// Whether the caller's carrier vouches for the number in full: attestation A of STIR/SHAKEN, whatever is added behind
/// it (<https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir>). Nothing said is nothing vouched for.
pub(crate) fn is_attested(verstat: Option<&str>) -> bool {
    let full = "TN-Validation-Passed-A";
    verstat.is_some_and(|verstat| {
        let rest = verstat.trim().strip_prefix(full);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_attestation_vouches_for_a_number() {
        for full in [
            "TN-Validation-Passed-A",
            "TN-Validation-Passed-A-Diverted",
            "TN-Validation-Passed-A-Passthrough",
        ] {
            assert!(is_attested(Some(full)), "{full}");
        }
        for less in [
            "",
            "TN-Validation-Passed-B",
            "TN-Validation-Passed-C-Diverted",
            "TN-Validation-Passed-Any",
            "TN-Validation-Failed-A",
            "TN-Validation-Failed",
            "No-TN-Validation",
        ] {
            assert!(!is_attested(Some(less)), "{less}");
        }
        assert!(!is_attested(None));
    }

    #[test]
    fn a_withheld_number_is_none() {
        assert_eq!(number(Some(" +15550142")), Some("+15550142"));
        for withheld in [
            "",
            "anonymous",
            "Restricted",
            "+266696687",
            "+7378742833",
            "sip:anna@example.com",
            "0",
            "+1555",
        ] {
            assert_eq!(number(Some(withheld)), None, "{withheld}");
        }
        assert_eq!(number(None), None);
    }

    #[test]
    fn the_spelled_ones_spell_their_words() {
        let keys = |word: &str| -> String {
            let key = |letter: u8| b"22233344455566677778889999"[usize::from(letter - b'A')];
            word.bytes().map(|letter| char::from(key(letter))).collect()
        };
        for (word, number) in [
            "ANONYMOUS",
            "RESTRICTED",
            "BLOCKED",
            "UNKNOWN",
            "UNAVAILABLE",
        ]
        .iter()
        .zip(SPELLED)
        {
            assert_eq!(format!("+{}", keys(word)), number, "{word}");
        }
    }
}
