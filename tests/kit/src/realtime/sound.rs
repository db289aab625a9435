//! The audio formats of the Realtime API and the ways between them. Clips are µ-law; everything else is made from that.

use std::borrow::Cow;

use bytes::Bytes;
use call_protocol::audio;
use serde_json::{Value, json};

/// A format of `session.audio.*.format` (developers.openai.com, *Realtime conversations*).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `audio/pcmu`: G.711 µ-law, 8 kHz.
    Pcmu,
    /// `audio/pcma`: G.711 A-law, 8 kHz.
    Pcma,
    /// `audio/pcm`: 16-bit little endian, 24 kHz. What a session has before it is told otherwise.
    #[default]
    Pcm,
}

impl Format {
    #[must_use]
    pub const fn bytes_per_second(self) -> u64 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::Pcm => 48_000,
        }
    }

    /// Milliseconds that many bytes last, rounded down.
    #[must_use]
    pub const fn ms(self, bytes: u64) -> u64 {
        bytes * 1_000 / self.bytes_per_second()
    }

    /// Bytes in that many milliseconds.
    #[must_use]
    pub const fn bytes(self, ms: u64) -> u64 {
        ms * self.bytes_per_second() / 1_000
    }

    /// The JSON object the API writes for it.
    #[must_use]
    pub fn to_json(self) -> Value {
        match self {
            Self::Pcmu => json!({"type": "audio/pcmu"}),
            Self::Pcma => json!({"type": "audio/pcma"}),
            Self::Pcm => json!({"type": "audio/pcm", "rate": 24_000}),
        }
    }

    /// The format an already validated JSON object names.
    pub(crate) fn from_json(value: &Value) -> Self {
        match value.get("type").and_then(Value::as_str) {
            Some("audio/pcmu") => Self::Pcmu,
            Some("audio/pcma") => Self::Pcma,
            _ => Self::Pcm,
        }
    }

    /// µ-law audio in this format.
    pub(crate) fn encode(self, mulaw: &Bytes) -> Bytes {
        match self {
            Self::Pcmu => mulaw.clone(),
            Self::Pcma => mulaw
                .iter()
                .map(|&byte| alaw_encode(audio::decode_sample(byte)))
                .collect::<Vec<u8>>()
                .into(),
            Self::Pcm => upsample(mulaw).into(),
        }
    }

    /// The samples of a piece of audio, as 16-bit linear. An odd trailing PCM byte is left out.
    pub(crate) fn samples(self, bytes: &[u8]) -> impl Iterator<Item = i16> {
        let width = match self {
            Self::Pcmu | Self::Pcma => 1,
            Self::Pcm => 2,
        };
        bytes
            .chunks_exact(width)
            .map(move |sample| match (self, sample) {
                (Self::Pcma, &[byte]) => alaw_decode(byte),
                (_, &[low, high]) => i16::from_le_bytes([low, high]),
                (_, sample) => audio::decode_sample(sample[0]),
            })
    }

    /// Any audio of this format as µ-law, for those who want to listen to what was received.
    #[must_use]
    pub fn to_mulaw(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Pcmu => Cow::Borrowed(bytes),
            Self::Pcma => self.samples(bytes).map(audio::encode_sample).collect(),
            Self::Pcm => self
                .samples(bytes)
                .step_by(3)
                .map(audio::encode_sample)
                .collect(),
        }
    }
}

/// 8 kHz µ-law to 24 kHz 16-bit, by straight lines between the samples.
fn upsample(mulaw: &[u8]) -> Vec<u8> {
    let mut pcm = Vec::with_capacity(mulaw.len() * 6);
    let mut last = 0i32;
    for &byte in mulaw {
        let next = i32::from(audio::decode_sample(byte));
        for third in 1..=3 {
            let sample = last + (next - last) * third / 3;
            pcm.extend_from_slice(&(sample as i16).to_le_bytes());
        }
        last = next;
    }
    pcm
}

fn alaw_encode(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 { sample } else { !sample } >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let exponent = 12 - magnitude.leading_zeros() as i16;
        (exponent << 4) | ((magnitude >> (exponent - 1)) & 0x0F)
    };
    (code as u8 | sign) ^ 0x55
}

fn alaw_decode(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = i16::from((code >> 4) & 0x07);
    let mantissa = i16::from(code & 0x0F);
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if code & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alaw_byte_survives_decoding_and_encoding() {
        for byte in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(byte)), byte, "{byte:#x}");
        }
        // From the tables of ITU-T G.711: the quietest and the loudest positive value.
        assert_eq!(alaw_decode(0xD5), 8);
        assert_eq!(alaw_decode(0xAA), 32_256);
    }

    #[test]
    fn audio_lasts_as_long_in_every_format() {
        let mulaw: Bytes = (0..800).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
        for format in [Format::Pcmu, Format::Pcma, Format::Pcm] {
            let encoded = format.encode(&mulaw);
            assert_eq!(format.ms(encoded.len() as u64), 100, "{format:?}");
            assert_eq!(format.to_mulaw(&encoded).len(), 800, "{format:?}");
        }
    }

    #[test]
    fn upsampled_speech_keeps_its_level() {
        let clip = crate::speech::receptionist("price").unwrap();
        let pcm = Format::Pcm.encode(&Bytes::from_static(clip.mulaw()));
        let power = |format: Format, bytes: &[u8]| {
            let squares: Vec<f64> = format
                .samples(bytes)
                .map(|s| f64::from(s).powi(2))
                .collect();
            squares.iter().sum::<f64>() / squares.len() as f64
        };
        let ratio = power(Format::Pcm, &pcm) / power(Format::Pcmu, clip.mulaw());
        assert!((0.5..1.1).contains(&ratio), "{ratio}");
    }
}
