//! A quick look at the plainest JSON: the two messages that come fifty times a second.
//!
//! Members are taken one after the other out of ASCII that needs no unescaping. Whatever is not as plain as that
//! (escapes, other alphabets, fractions, lists, a member twice, bad base64) is nobody's loss: the scanner gives up and
//! the full reader takes the message from its beginning. It accepts nothing that the full reader would read differently.

use bytes::Bytes;
use memchr::memchr;

use crate::audio::payload::Payload;

/// Digits that always fit a `u64`.
const MAX_DIGITS: usize = 18;

/// A place in a JSON text.
pub(crate) struct Scanner<'a> {
    message: &'a Bytes,
    at: usize,
    /// A member was read in the object that is open, so that a comma must come before the next.
    between: bool,
}

impl<'a> Scanner<'a> {
    /// At the first member of the object that `message` is.
    pub(crate) fn of_object(message: &'a Bytes) -> Option<Self> {
        let mut scanner = Self {
            message,
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
    pub(crate) fn member(&mut self) -> Option<Option<&'a [u8]>> {
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

    /// A string of ASCII without escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = self.message.get(self.at..)?;
        // Names and ids are short: a search that starts faster than it runs.
        let length = rest.iter().position(|byte| !is_plain(*byte))?;
        self.at += length + 1;
        (rest[length] == b'"').then(|| &rest[..length])
    }

    /// A string of base64 with at most `limit` bytes of audio in it; it stays in the buffer it came in.
    pub(crate) fn audio(&mut self, limit: usize) -> Option<Payload> {
        self.expect(b'"')?;
        let length = memchr(b'"', self.message.get(self.at..)?)?;
        let text = self.message.slice(self.at..self.at + length);
        self.at += length + 1;
        Payload::from_base64(text, limit).ok()
    }

    /// A whole number, bare or as a string.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let quoted = self.peek()? == b'"';
        if quoted {
            self.at += 1;
        }
        let rest = self.message.get(self.at..)?;
        let mut number = 0;
        let mut digits = 0;
        while let Some(digit) = rest.get(digits).filter(|byte| byte.is_ascii_digit()) {
            if digits == MAX_DIGITS {
                return None;
            }
            number = number * 10 + u64::from(digit - b'0');
            digits += 1;
        }
        self.at += digits;
        let next = *rest.get(digits)?;
        let is_over = if quoted {
            self.at += 1;
            next == b'"'
        } else {
            // Zeros in front are not JSON, and fractions are the full reader's.
            matches!(next, b',' | b'}' | b' ') && (digits == 1 || rest[0] != b'0')
        };
        (is_over && digits > 0).then_some(number)
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
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.message.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }
}

/// Whether a byte stands for itself in a JSON string, and is a character of its own.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'\x7F') && byte != b'"' && byte != b'\\'
}

/// Sets what a member says; gives up on one that comes again.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All members of a flat object, as far as the scanner is willing.
    fn members(text: &str) -> Option<Vec<(String, u64)>> {
        let message = Bytes::copy_from_slice(text.as_bytes());
        let mut scanner = Scanner::of_object(&message)?;
        let mut members = Vec::new();
        while let Some(name) = scanner.member()? {
            let name = String::from_utf8(name.to_vec()).unwrap();
            members.push((name, scanner.number()?));
        }
        scanner.is_at_end().then_some(members)
    }

    #[test]
    fn plain_members_are_taken() {
        let expected = vec![("a".to_owned(), 1), ("b".to_owned(), 20)];
        for text in [
            r#"{"a":1,"b":"20"}"#,
            "\t{ \"a\" : 1 ,\n\"b\":\"020\" } \r\n",
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
            r#"{"a":"1234567890123456789"}"#,
            r#"{"a":" 1"}"#,
            r#"{"a":"1x"}"#,
            r#"{"a":""}"#,
            r#"{"a":"1}"#,
            r#"{"\n":1}"#,
            "{\"\n\":1}",
            r#"{"é":1}"#,
            r#"{"a:1}"#,
            r#"{"a":{}}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{}"#,
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }
}
