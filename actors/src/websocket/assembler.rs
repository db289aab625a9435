//! Fragmented messages put together, because the codec does not, with a cap on bytes and pieces.

use actix_http::ws::Item;
use bytes::{Bytes, BytesMut};
use call_protocol::wire::SocketFault;

use crate::limits::FRAGMENTS;

/// A message in pieces. Control frames may come between the pieces; they do not pass through here.
#[derive(Debug, Default)]
pub(crate) enum Assembler {
    /// No message is open.
    #[default]
    Idle,
    /// A text message is open.
    Open {
        /// Its pieces so far.
        text: BytesMut,
        /// How many.
        pieces: usize,
    },
}

impl Assembler {
    /// Whether the pieces of a message are still coming.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Takes a piece; gives the whole text when it was the last one.
    ///
    /// # Errors
    /// A [`SocketFault`] when pieces come out of order, too many, too large, binary, or not UTF-8 as a whole.
    pub(crate) fn take(&mut self, piece: Item, limit: usize) -> Result<Option<Bytes>, SocketFault> {
        let state = std::mem::take(self);
        match (piece, state) {
            (Item::FirstBinary(_), _) => Err(SocketFault::Binary),
            (Item::FirstText(first), Self::Idle) => {
                let mut text = BytesMut::new();
                add(&mut text, &first, limit)?;
                *self = Self::Open { text, pieces: 1 };
                Ok(None)
            }
            (Item::Continue(next), Self::Open { mut text, pieces }) => {
                if pieces >= FRAGMENTS {
                    return Err(SocketFault::TooLarge);
                }
                add(&mut text, &next, limit)?;
                *self = Self::Open {
                    text,
                    pieces: pieces + 1,
                };
                Ok(None)
            }
            (Item::Last(last), Self::Open { mut text, .. }) => {
                add(&mut text, &last, limit)?;
                let whole = text.freeze();
                match std::str::from_utf8(&whole) {
                    Ok(_) => Ok(Some(whole)),
                    Err(_) => Err(SocketFault::NotUtf8),
                }
            }
            (Item::FirstText(_), Self::Open { .. })
            | (Item::Continue(_) | Item::Last(_), Self::Idle) => Err(SocketFault::Protocol),
        }
    }
}

fn add(text: &mut BytesMut, piece: &Bytes, limit: usize) -> Result<(), SocketFault> {
    if text.len() + piece.len() > limit {
        return Err(SocketFault::TooLarge);
    }
    text.extend_from_slice(piece);
    Ok(())
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
            Ok(Some(text("abc")))
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
            Ok(Some(text("ü")))
        );
        assert_eq!(assembler.take(Item::FirstText(piece(0..1)), 9), Ok(None));
        assert_eq!(
            assembler.take(Item::Last(piece(0..1)), 9),
            Err(SocketFault::NotUtf8)
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
