//! A quick look at the plainest JSON: the two messages that come fifty times a second.
//!
//! Members are taken one after the other out of text that needs no unescaping. Whatever is not as plain as that (escapes,
//! fractions, lists, a member twice) is nobody's loss: the scanner gives up and the full reader takes the message from
//! its beginning. It accepts nothing that the full reader would read differently.

use memchr::memchr2;

/// Digits that always fit a `u64`.
const MAX_DIGITS: usize = 18;

/// A place in a JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// A member was read in the object that is open, so that a comma must come before the next.
    between: bool,
}

impl<'a> Scanner<'a> {
    /// At the first member of the object that `text` is.
    pub(crate) fn of_object(text: &'a str) -> Option<Self> {
        let mut scanner = Self {
            text,
            at: 0,
            between: false,
        };
        scanner.open()?;
        Some(scanner)
    }

    /// Goes into an object.
    pub(crate) fn open(&mut self) -> Option<()> {
        self.expect(b'{')?;
        self.between = false;
        Some(())
    }

    /// The name of the next member, with the scanner at its value; `Some(None)` when the object is closed.
    #[allow(clippy::option_option)] // giving up, the end, and a name are three things
    pub(crate) fn member(&mut self) -> Option<Option<&'a str>> {
        if self.peek()? == b'}' {
            self.at += 1;
            self.between = true;
            return Some(None);
        }
        if self.between {
            self.expect(b',')?;
        }
        let name = self.string()?;
        self.expect(b':')?;
        self.between = true;
        Some(Some(name))
    }

    /// A string without escapes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = memchr2(b'"', b'\\', rest)?;
        // The smallest of many bytes is found in steps of sixteen, a first bad one is not.
        let smallest = rest[..length].iter().fold(u8::MAX, |a, b| a.min(*b));
        let is_plain = rest[length] == b'"' && smallest >= b' ';
        let string = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        is_plain.then_some(string)
    }

    /// A whole number, bare or as a string; `Some(None)` for a string that holds none.
    #[allow(clippy::option_option)]
    pub(crate) fn number(&mut self) -> Option<Option<u64>> {
        if self.peek()? == b'"' {
            return Some(self.string()?.trim().parse().ok());
        }
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let has_more = rest
            .get(digits)
            .is_none_or(|next| !matches!(next, b',' | b'}' | b' '));
        // Zeros in front are not JSON, and fractions are the full reader's.
        if digits == 0 || digits > MAX_DIGITS || has_more || (digits > 1 && rest[0] == b'0') {
            return None;
        }
        let number = self.text.get(self.at..self.at + digits)?.parse().ok()?;
        self.at += digits;
        Some(Some(number))
    }

    /// Passes over a string or a whole number.
    pub(crate) fn skip(&mut self) -> Option<()> {
        if self.peek()? == b'"' {
            self.string().map(drop)
        } else {
            self.number().map(drop)
        }
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }
}

/// Sets what a member says; gives up on one that comes again.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All members of a flat object, as far as the scanner is willing.
    fn members(text: &str) -> Option<Vec<(&str, Option<u64>)>> {
        let mut scanner = Scanner::of_object(text)?;
        let mut members = Vec::new();
        while let Some(name) = scanner.member()? {
            members.push((name, scanner.number()?));
        }
        scanner.is_at_end().then_some(members)
    }

    #[test]
    fn plain_members_are_taken() {
        let expected = vec![("a", Some(1)), ("b", Some(20)), ("c", None)];
        for text in [
            r#"{"a":1,"b":"20","c":"x"}"#,
            "\t{ \"a\" : 1 ,\n\"b\":\" 20\", \"c\":\"\" } \r\n",
        ] {
            assert_eq!(members(text), Some(expected.clone()), "{text}");
        }
        assert_eq!(members("{}"), Some(vec![]));
    }

    #[test]
    fn everything_else_is_left_to_the_full_reader() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":01}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-1}"#,
            r#"{"a":1234567890123456789}"#,
            r#"{"a":null}"#,
            r#"{"a":"b\n"}"#,
            "{\"a\":\"b\n\"}",
            r#"{"a":"b}"#,
            r#"{"a":{}}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{}"#,
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }
}
