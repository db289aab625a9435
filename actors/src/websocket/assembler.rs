//! Fragmented messages put together, because the codec does not, with a cap on bytes and pieces.

use actix_http::ws::Item;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use call_protocol::wire::SocketFault;

use crate::limits::FRAGMENTS;

/// A message in pieces. Control frames may come between the pieces; they do not pass through here.
#[derive(Debug, Default)]
pub(super) enum Assembler {
    /// No message is open.
    #[default]
    Idle,
    /// A text message is open.
    Open(Pieces),
}

impl Assembler {
    /// Takes a piece; gives the whole text when it was the last one.
    ///
    /// # Errors
    /// A [`SocketFault`] when pieces come out of order, too many, too large, binary, or can become no UTF-8.
    pub(super) fn take(
        &mut self,
        piece: Item,
        limit: usize,
    ) -> Result<Option<ByteString>, SocketFault> {
        match (piece, std::mem::take(self)) {
            (Item::FirstBinary(_), _) => Err(SocketFault::Binary),
            (Item::FirstText(first), Self::Idle) => {
                let pieces = Pieces::default().with(&first, limit)?;
                *self = Self::Open(pieces);
                Ok(None)
            }
            (Item::Continue(next), Self::Open(pieces)) => {
                if pieces.count >= FRAGMENTS {
                    return Err(SocketFault::TooLarge);
                }
                *self = Self::Open(pieces.with(&next, limit)?);
                Ok(None)
            }
            (Item::Last(last), Self::Open(pieces)) => {
                let text = pieces.with(&last, limit)?.text.freeze();
                let text = ByteString::try_from(text).map_err(|_| SocketFault::NotUtf8)?;
                Ok(Some(text))
            }
            (Item::FirstText(_), Self::Open(_))
            | (Item::Continue(_) | Item::Last(_), Self::Idle) => Err(SocketFault::Protocol),
        }
    }
}

/// The pieces of a text that came so far.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    text: BytesMut,
    /// How many bytes of the text are whole characters.
    spelled: usize,
    count: usize,
}

impl Pieces {
    /// A wrong byte is found in the piece that brings it, not when the text is whole; a piece may end inside a character.
    fn with(mut self, piece: &Bytes, limit: usize) -> Result<Self, SocketFault> {
        if self.text.len() + piece.len() > limit {
            return Err(SocketFault::TooLarge);
        }
        self.text.extend_from_slice(piece);
        self.count += 1;
        self.spelled += match std::str::from_utf8(&self.text[self.spelled..]) {
            Ok(rest) => rest.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(SocketFault::NotUtf8),
        };
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(piece: &'static str) -> Bytes {
        Bytes::from_static(piece.as_bytes())
    }

    #[test]
    fn pieces_become_one_message() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(Item::FirstText(text("a")), 9), Ok(None));
        assert_eq!(assembler.take(Item::Continue(text("b")), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Last(text("c")), 9),
            Ok(Some("abc".into()))
        );
        assert_eq!(
            assembler.take(Item::FirstText(text("d")), 9),
            Ok(None),
            "ready for the next"
        );
    }

    #[test]
    fn a_character_may_be_split_but_not_be_wrong() {
        let mut assembler = Assembler::default();
        let umlaut = "ü".as_bytes();
        let piece = |range: std::ops::Range<usize>| Bytes::copy_from_slice(&umlaut[range]);
        assert_eq!(assembler.take(Item::FirstText(piece(0..1)), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Last(piece(1..2)), 9),
            Ok(Some("ü".into()))
        );
        assert_eq!(assembler.take(Item::FirstText(piece(0..1)), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Last(piece(0..1)), 9),
            Err(SocketFault::NotUtf8),
            "it ends inside a character"
        );
        assert_eq!(assembler.take(Item::FirstText(piece(0..1)), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Continue(piece(0..1)), 9),
            Err(SocketFault::NotUtf8),
            "before the text is whole"
        );
    }

    #[test]
    fn pieces_out_of_order_are_a_fault() {
        assert_eq!(
            Assembler::default().take(Item::Continue(text("a")), 9),
            Err(SocketFault::Protocol)
        );
        assert_eq!(
            Assembler::default().take(Item::Last(text("a")), 9),
            Err(SocketFault::Protocol)
        );
        assert_eq!(
            Assembler::default().take(Item::FirstBinary(text("a")), 9),
            Err(SocketFault::Binary)
        );
    }

    #[test]
    fn neither_bytes_nor_pieces_grow_without_end() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(Item::FirstText(text("12345")), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Continue(text("67890")), 9),
            Err(SocketFault::TooLarge)
        );
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(Item::FirstText(text("")), 9), Ok(None));
        let endless =
            (0..2 * FRAGMENTS).find_map(|_| assembler.take(Item::Continue(text("")), 9).err());
        assert_eq!(endless, Some(SocketFault::TooLarge));
    }
}
