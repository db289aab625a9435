//! Base64 is taken exactly when it decodes, to exactly the length claimed, and comes out again as it went in.
use bytes::{Bytes, BytesMut};
use call_protocol::audio::payload::Payload;
use call_protocol::audio::{decode_sample, encode_sample};

/// What the target does with an input.
pub(crate) fn run(data: &[u8]) {
    if let Ok(payload) = Payload::from_base64(Bytes::copy_from_slice(data), 64 * 1024) {
        let mut audio = BytesMut::new();
        payload.decode_into(&mut audio);
        assert_eq!(audio.len(), payload.audio_bytes());
        assert!(!audio.is_empty());
        let again = Payload::from_audio(&audio);
        assert_eq!(again.as_base64(), data, "one text for one stretch of audio");
    }
    if data.is_empty() {
        return;
    }
    let wrapped = Payload::from_audio(data);
    let mut audio = BytesMut::new();
    wrapped.decode_into(&mut audio);
    assert_eq!(&audio[..], data);
    for byte in data {
        let sample = decode_sample(*byte);
        assert_eq!(decode_sample(encode_sample(sample)), sample);
    }
}
