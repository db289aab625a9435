//! Confirmation codes: six characters that survive a telephone.

use getrandom::fill;

/// One of each family that sounds or looks alike on the phone: of B C D E G P T V Z 3 only T, of A H J K 8 only K, of
/// M N only M, of F S X only F, of I Y 5 9 only 9, of Q U 2 only 2; no O, 0 and 1. What is left of the rest: L R W 4 6 7.
const ALPHABET: &[u8; 12] = b"FKLMRTW24679";

/// Characters of a new code; why so many is said in [`tally`](super::tally).
pub(crate) const LENGTH: usize = 6;

/// Characters of codes that were given before.
const FORMER_LENGTH: usize = 4;

/// A new code, one of 2,985,984; the database refuses one that a live appointment has.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut code = String::with_capacity(LENGTH);
    while code.len() < LENGTH {
        let mut byte = [0];
        fill(&mut byte)?;
        // 252 is the largest multiple of 12 in a byte: above it some characters would come more often.
        if byte[0] < 252 {
            code.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(code)
}

/// Reads a code as it was heard: without spaces and dashes, a character of a family for the one we use.
pub(crate) fn read(heard: &str) -> Option<String> {
    let mut code = String::with_capacity(LENGTH);
    for character in heard.chars() {
        let character = match character.to_ascii_uppercase() {
            ' ' | '-' | ',' | '.' | '_' => continue,
            'B' | 'C' | 'D' | 'E' | 'G' | 'P' | 'V' | 'Z' | '3' => 'T',
            'A' | 'H' | 'J' | '8' => 'K',
            'N' => 'M',
            'S' | 'X' => 'F',
            'I' | 'Y' | '5' => '9',
            'Q' | 'U' => '2',
            other => other,
        };
        let known = u8::try_from(character).is_ok_and(|byte| ALPHABET.contains(&byte));
        if !known || code.len() == LENGTH {
            return None;
        }
        code.push(character);
    }
    [LENGTH, FORMER_LENGTH]
        .contains(&code.len())
        .then_some(code)
}

/// How many codes of a length there are.
#[cfg(test)]
pub(crate) fn of_length(length: usize) -> f64 {
    let mut codes = 1.0;
    (0..length).for_each(|_| codes *= 12.0);
    codes
}

/// The code as it is said: `K, 7, M, 4`.
pub(crate) fn spelled(code: &str) -> String {
    code.chars()
        .map(String::from)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_said() {
        for _ in 0..1_000 {
            let code = random().unwrap();
            assert_eq!(read(&code), Some(code.clone()));
            assert_eq!(read(&spelled(&code).to_lowercase()), Some(code));
        }
        assert_eq!(read("k-7 n4").as_deref(), Some("K7M4"), "one of before");
        assert_eq!(read("k 7 n 4, 2 l").as_deref(), Some("K7M42L"));
        assert_eq!(read("J 7 N, 4.").as_deref(), Some("K7M4"));
        for wrong in ["", "K7M", "K7M44", "K7M42LL", "K7O4", "K7M1", "ÄÖÜß"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
