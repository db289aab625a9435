//! Who asks the book, and what they must show before it tells or changes what is a customer's.
//!
//! A caller is known by the number the call comes from, never by an argument of a tool. What they say of themselves, a
//! code or a name, is evidence that can be wrong a few times (`tally`).

/// What a change of an appointment asks for, besides a call from its number. From another number it is always the code
/// and the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identify {
    /// Nothing: a call from the number is enough, and all that is kept under it is told.
    Number,
    /// The name it was made under, or its code. Without them only day, time and treatment are told.
    #[default]
    NumberAndName,
    /// Its code. Without it nothing is told.
    Code,
}

/// Who asks the book.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// Somebody at the desk, who knows what they do.
    Desk,
    /// A caller, by a model that may say anything.
    Caller {
        /// The number the call comes from, in full; `None` when it is withheld.
        number: Option<&'a str>,
        /// Names the call.
        call: &'a str,
        /// What a change asks for.
        identify: Identify,
    },
}

/// Longest name, in characters.
const MOST_NAME_CHARS: usize = 60;

/// A name as it is kept; `None` if it is too long or has what no name has, such as digits, brackets or colons.
pub(crate) fn read_name(said: &str) -> Option<&str> {
    let fits = said.chars().count() <= MOST_NAME_CHARS && said.chars().any(char::is_alphabetic);
    (fits && said.chars().all(is_of_a_name)).then_some(said)
}

/// A name as the model is told it: what was kept before there was a rule, or came with a file, is cut to it.
pub(crate) fn told_name(kept: &str) -> String {
    let letters = kept.chars().filter(|c| is_of_a_name(*c));
    letters.take(MOST_NAME_CHARS).collect()
}

/// Letters of any script with their marks, and what stands between them.
fn is_of_a_name(character: char) -> bool {
    let is_mark = match character {
        // Accents; Hebrew and Arabic points; joiners.
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' => true,
        '\u{670}' | '\u{200c}' | '\u{200d}' => true,
        // Vowel signs of the scripts of India and of Thai and Lao, but for their full stops.
        '\u{964}' | '\u{965}' => false,
        '\u{900}'..='\u{eff}' => !character.is_numeric(),
        _ => false,
    };
    is_mark
        || character.is_alphabetic()
        || matches!(
            character,
            ' ' | '-' | '.' | ',' | '\'' | '’' | '‐' | '·' | '・'
        )
}

/// Whether a name that was said is the one that was written: the same last word, or more of it.
pub(crate) fn same_person(said: &str, written: &str) -> bool {
    let last = |name: &str| name.split_whitespace().next_back().map(str::to_lowercase);
    last(said).is_some() && last(said) == last(written)
}
