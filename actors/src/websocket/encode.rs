//! Where a thread writes its messages before they go to a socket's queue.
//!
//! One buffer a thread, not one a socket: it stays in the nearest cache, and what leaves it is a piece of memory of
//! just the size of the message, most likely the one that the message before has given back.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

/// A larger buffer is given back after use: a message may be a long instruction, most are a frame.
const KEPT: usize = 64 * 1024;

thread_local! {
    static ENCODE_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The text message that `write` writes; `None` if it is no UTF-8.
pub(crate) fn encode_text(write: impl FnOnce(&mut BytesMut)) -> Option<ByteString> {
    ENCODE_BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        write(buffer);
        let message = Bytes::copy_from_slice(buffer);
        if buffer.capacity() > KEPT {
            *buffer = BytesMut::new();
        }
        ByteString::try_from(message).ok()
    })
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn messages_do_not_see_each_other() {
        let write = |text: &str| encode_text(|out| out.put_slice(text.as_bytes()));
        let first = write("one");
        let long = write(&"x".repeat(KEPT + 1));
        assert_eq!(write("two").as_deref(), Some("two"));
        assert_eq!(first.as_deref(), Some("one"));
        assert_eq!(long.map(|text| text.len()), Some(KEPT + 1));
        assert_eq!(encode_text(|out| out.put_slice(b"\xFF")), None);
    }
}
