//! Any message from Twilio is read or refused, and audio that is read is valid base64 of the length it claims.
use bytes::{Bytes, BytesMut};
use call_protocol::phone::event::PhoneEvent;
use call_protocol::phone::twilio;

/// What the target does with an input.
pub(crate) fn run(message: &[u8]) {
    if let Ok(PhoneEvent::Audio(audio)) = twilio::read(&Bytes::copy_from_slice(message)) {
        let mut opened = BytesMut::new();
        audio.payload.decode_into(&mut opened);
        assert_eq!(opened.len(), audio.payload.audio_bytes());
        assert!(opened.len() <= twilio::MAX_MESSAGE);
    }
}
