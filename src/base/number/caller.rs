//! The number of a caller, as far as there is one.

use super::PhoneNumber;

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
#[must_use]
pub fn callable(from: Option<&str>) -> Option<&str> {
    let from = from?.trim();
    let is_number = PhoneNumber::parse(from).is_ok();
    (is_number && !SPELLED.contains(&from)).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withheld_number_is_none() {
        assert_eq!(callable(Some(" +15550142")), Some("+15550142"));
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
            assert_eq!(callable(Some(withheld)), None, "{withheld}");
        }
        assert_eq!(callable(None), None);
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
