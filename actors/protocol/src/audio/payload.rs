//! Base64 audio as it travels in JSON, checked but not opened.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use crate::audio::decode_sample;

/// A stretch of G.711 µ-law as the base64 text that both peers put into their JSON.
///
/// Forwarding takes the text as it is; only what is held back or cut is decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    text: Bytes,
    audio_bytes: u32,
}

/// Why a payload was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not standard base64 with padding, or trailing bits that are not zero.
    #[error("payload is not base64")]
    NotBase64,
    /// Nothing in it.
    #[error("payload is empty")]
    Empty,
    /// More audio in one message than any peer has reason to send.
    #[error("payload is too long")]
    TooLong,
}

impl Payload {
    /// Takes base64 text of at most `limit` bytes of audio, sharing the buffer it lies in.
    ///
    /// # Errors
    /// [`PayloadError`] when the text is empty, longer than `limit` allows, or not strict base64.
    pub fn from_base64(text: Bytes, limit: usize) -> Result<Self, PayloadError> {
        let audio_bytes = decoded_length(&text)?;
        if audio_bytes > limit {
            return Err(PayloadError::TooLong);
        }
        let audio_bytes = u32::try_from(audio_bytes).map_err(|_| PayloadError::TooLong)?;
        Ok(Self { text, audio_bytes })
    }

    /// Wraps µ-law bytes.
    #[must_use]
    pub fn from_audio(audio: &[u8]) -> Self {
        let audio_bytes = u32::try_from(audio.len()).unwrap_or(u32::MAX);
        Self {
            text: Bytes::from(STANDARD.encode(audio)),
            audio_bytes,
        }
    }

    /// The base64 text; ASCII, safe inside a JSON string.
    #[must_use]
    pub fn as_base64(&self) -> &[u8] {
        &self.text
    }

    /// Bytes of audio inside.
    #[must_use]
    pub const fn audio_bytes(&self) -> usize {
        self.audio_bytes as usize
    }

    /// Whether somebody speaks, as far as loudness tells: a tenth of the samples above -31 dBFS.
    ///
    /// Every third sample is looked at, whose upper six bits are a character of their own; nothing is decoded.
    #[must_use]
    pub fn is_loud(&self) -> bool {
        let (quads, _) = self.text.as_chunks::<4>();
        let loud = quads.iter().filter(|quad| LOUD[quad[0] as usize]).count();
        loud * 10 >= quads.len()
    }

    /// Appends the audio to `out`.
    pub fn decode_into(&self, out: &mut BytesMut) {
        let start = out.len();
        out.resize(start + self.audio_bytes(), 0);
        // The text was checked when the payload was made, so it decodes to exactly that many bytes.
        if STANDARD
            .decode_slice(&self.text, &mut out[start..])
            .is_err()
        {
            out.truncate(start);
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Audio never appears in a log.
        write!(f, "Payload({} bytes)", self.audio_bytes)
    }
}

/// Which first characters begin with a loud sample.
static LOUD: [bool; 256] = loud_table();

const fn loud_table() -> [bool; 256] {
    // Of 32,767.
    const LEVEL: u16 = 900;
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // The two bits that are missing are the finest of the amplitude.
        let sample = decode_sample(value(byte as u8) << 2 | 0b10);
        table[byte] = sample.unsigned_abs() > LEVEL;
        byte += 1;
    }
    table
}

/// The six bits of a base64 character; anything for another byte.
const fn value(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

/// Whether a byte is a base64 character, without a branch or a table: sixteen bytes are looked at in one go.
const fn is_base64(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26)
        | (byte.wrapping_sub(b'0') < 10)
        | (byte == b'+')
        | (byte == b'/')
}

/// Checks strict base64 and counts the bytes in it without decoding.
fn decoded_length(text: &[u8]) -> Result<usize, PayloadError> {
    if text.is_empty() {
        return Err(PayloadError::Empty);
    }
    if !text.len().is_multiple_of(4) {
        return Err(PayloadError::NotBase64);
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    let body = &text[..text.len() - padding];
    if !body.iter().fold(true, |all, byte| all & is_base64(*byte)) {
        return Err(PayloadError::NotBase64);
    }
    let last = body.last().map_or(0, |byte| value(*byte));
    let unused_bits = match padding {
        0 => 0,
        1 => 0b11,
        _ => 0b1111,
    };
    if last & unused_bits != 0 {
        return Err(PayloadError::NotBase64);
    }
    Ok(text.len() / 4 * 3 - padding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{SILENCE, encode_sample};
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Payload, PayloadError> {
        Payload::from_base64(Bytes::copy_from_slice(text.as_bytes()), 1_000_000)
    }

    #[test]
    fn sloppy_base64_is_refused() {
        assert_eq!(parse(""), Err(PayloadError::Empty));
        for bad in [
            "abc",
            "ab=c",
            "a===",
            "====",
            "ab c",
            "YQ=\n",
            "YR==",
            "YWJ=",
            "YWJj\u{e9}",
            "YW-_",
        ] {
            assert_eq!(parse(bad), Err(PayloadError::NotBase64), "{bad:?}");
        }
    }

    #[test]
    fn a_voice_is_loud_and_the_noise_of_a_line_is_not() {
        let tone = |amplitude: f64| {
            let samples = (0..160).map(|n| {
                let sample = amplitude * (f64::from(n) * 0.4).sin();
                encode_sample(sample as i16)
            });
            Payload::from_audio(&samples.collect::<Vec<u8>>())
        };
        assert!(tone(2_000.0).is_loud() && tone(-2_000.0).is_loud() && tone(30_000.0).is_loud());
        assert!(!tone(700.0).is_loud());
        assert!(!Payload::from_audio(&[SILENCE; 160]).is_loud());
        // A click is none, however loud.
        let mut click = [SILENCE; 160];
        click[..6].fill(0);
        assert!(!Payload::from_audio(&click).is_loud());
        assert!(Payload::from_audio(&[0]).is_loud());
    }

    #[test]
    fn the_limit_counts_audio_not_text() {
        let text = Bytes::from(STANDARD.encode([0u8; 161]));
        assert!(Payload::from_base64(text.clone(), 161).is_ok());
        assert_eq!(Payload::from_base64(text, 160), Err(PayloadError::TooLong));
    }

    proptest! {
        #[test]
        fn audio_survives_the_way_there_and_back(audio in proptest::collection::vec(any::<u8>(), 1..700)) {
            let payload = Payload::from_audio(&audio);
            let again = Payload::from_base64(Bytes::copy_from_slice(payload.as_base64()), 700).unwrap();
            let mut out = BytesMut::new();
            again.decode_into(&mut out);
            prop_assert_eq!(&out[..], &audio[..]);
        }

        #[test]
        fn the_check_agrees_with_the_decoder(text in "[A-Za-z0-9+/=]{0,24}") {
            let decoded = STANDARD.decode(&text);
            match parse(&text) {
                Ok(payload) => prop_assert_eq!(payload.audio_bytes(), decoded.unwrap().len()),
                Err(PayloadError::Empty) => prop_assert!(text.is_empty()),
                Err(_) => prop_assert!(decoded.is_err()),
            }
        }
    }
}
