//! What is written to Twilio.

use bytes::{BufMut, BytesMut};

use super::StreamSid;
use crate::audio::payload::Payload;

/// Writes a `media` message: audio to be played to the caller.
pub fn write_media(out: &mut BytesMut, stream: StreamSid, payload: &Payload) {
    out.reserve(96 + payload.as_base64().len());
    out.put_slice(br#"{"event":"media","streamSid":""#);
    out.put_slice(stream.as_str().as_bytes());
    out.put_slice(br#"","media":{"payload":""#);
    out.put_slice(payload.as_base64());
    out.put_slice(br#""}}"#);
}

/// Writes a `mark` message: Twilio sends it back when all audio before it has been played.
///
/// `name` is one of our own: letters, digits and dashes.
pub fn write_mark(out: &mut BytesMut, stream: StreamSid, name: &str) {
    debug_assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    );
    out.reserve(96 + name.len());
    out.put_slice(br#"{"event":"mark","streamSid":""#);
    out.put_slice(stream.as_str().as_bytes());
    out.put_slice(br#"","mark":{"name":""#);
    out.put_slice(name.as_bytes());
    out.put_slice(br#""}}"#);
}

/// Writes a `clear` message: Twilio throws away what it has not played and sends back every outstanding mark.
pub fn write_clear(out: &mut BytesMut, stream: StreamSid) {
    out.reserve(64);
    out.put_slice(br#"{"event":"clear","streamSid":""#);
    out.put_slice(stream.as_str().as_bytes());
    out.put_slice(br#""}"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

    fn stream() -> StreamSid {
        StreamSid::parse(STREAM).unwrap()
    }

    #[test]
    fn what_we_write_has_the_documented_fields_and_no_other() {
        let mut out = BytesMut::new();
        write_media(&mut out, stream(), &Payload::from_audio(&[0xFF; 160]));
        let media: Value = serde_json::from_slice(&out).unwrap();
        let payload = media["media"]["payload"].as_str().unwrap().to_owned();
        assert_eq!(
            media,
            json!({"event":"media","streamSid":STREAM,"media":{"payload":payload}})
        );
        out.clear();
        write_mark(&mut out, stream(), "m7");
        let mark: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            mark,
            json!({"event":"mark","streamSid":STREAM,"mark":{"name":"m7"}})
        );
        out.clear();
        write_clear(&mut out, stream());
        let clear: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(clear, json!({"event":"clear","streamSid":STREAM}));
    }
}
