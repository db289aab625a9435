//! Any WAV file into the µ-law of a phone line: greeting clips, recorded speech.
//!
//! Walks the RIFF chunks itself because µ-law (format tag 7) is foreign to the usual readers.

mod resample;

use crate::audio::{decode_sample, encode_sample};

pub use resample::resample;

/// Samples a second on a phone line.
pub const PHONE_RATE: u32 = 8_000;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const MULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;

/// Why a file is no WAV that can be played into a call.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Not a RIFF/WAVE file, or cut off.
    #[error("not a wav file: {0}")]
    NotWav(&'static str),
    /// A kind of audio that is not read here.
    #[error("wav format tag {tag} with {bits} bits is not supported")]
    Unsupported {
        /// The format tag.
        tag: u16,
        /// Bits a sample.
        bits: u16,
    },
}

/// Reads the bytes of a WAV file as µ-law at 8 kHz, channels mixed: PCM of 8, 16, 24 or 32 bits, 32-bit float, µ-law.
///
/// # Errors
/// [`WavError`] when they are not such a file.
pub fn read(bytes: &[u8]) -> Result<Vec<u8>, WavError> {
    let (format, data) = chunks(bytes)?;
    if format.tag == MULAW && format.channels == 1 && format.rate == PHONE_RATE {
        return Ok(data.to_vec());
    }
    let samples = mono(&format, data)?;
    let samples = resample(&samples, format.rate, PHONE_RATE);
    let mut audio = Vec::with_capacity(samples.len());
    for sample in samples {
        // The cast saturates, so a peak is clipped and not wrapped.
        audio.push(encode_sample((sample * 32_768.0).round() as i16));
    }
    Ok(audio)
}

#[derive(Debug)]
struct Format {
    tag: u16,
    channels: usize,
    rate: u32,
    bits: u16,
}

/// Finds the `fmt ` and the `data` chunk.
fn chunks(bytes: &[u8]) -> Result<(Format, &[u8]), WavError> {
    let riff = bytes.get(..12).ok_or(WavError::NotWav("too short"))?;
    if &riff[..4] != b"RIFF" || &riff[8..12] != b"WAVE" {
        return Err(WavError::NotWav("no RIFF/WAVE header"));
    }
    let mut rest = &bytes[12..];
    let mut format = None;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32_at(head, 4) as usize;
        // Writers that stream leave the length of the last chunk open.
        let content = &body[..length.min(body.len())];
        match &head[..4] {
            b"fmt " => format = Some(read_format(content)?),
            b"data" => {
                let format = format.ok_or(WavError::NotWav("data before fmt"))?;
                return Ok((format, content));
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Err(WavError::NotWav("no data chunk"))
}

fn read_format(chunk: &[u8]) -> Result<Format, WavError> {
    if chunk.len() < 16 {
        return Err(WavError::NotWav("fmt chunk too short"));
    }
    let mut format = Format {
        tag: u16_at(chunk, 0),
        channels: usize::from(u16_at(chunk, 2)),
        rate: u32_at(chunk, 4),
        bits: u16_at(chunk, 14),
    };
    if format.tag == EXTENSIBLE && chunk.len() >= 26 {
        // The real tag begins the sub-format GUID.
        format.tag = u16_at(chunk, 24);
    }
    if format.channels == 0 || format.rate == 0 {
        return Err(WavError::NotWav("no channels or no sample rate"));
    }
    Ok(format)
}

/// Samples between −1 and 1, all channels mixed into one.
fn mono(format: &Format, data: &[u8]) -> Result<Vec<f32>, WavError> {
    let decode: fn(&[u8]) -> f32 = match (format.tag, format.bits) {
        (MULAW, 8) => |b| f32::from(decode_sample(b[0])) / 32_768.0,
        (PCM, 8) => |b| (f32::from(b[0]) - 128.0) / 128.0,
        (PCM, 16) => |b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0,
        (PCM, 24) => |b| i32::from_le_bytes([0, b[0], b[1], b[2]]) as f32 / 2_147_483_648.0,
        (PCM, 32) => |b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32 / 2_147_483_648.0,
        (FLOAT, 32) => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        (tag, bits) => return Err(WavError::Unsupported { tag, bits }),
    };
    let width = usize::from(format.bits / 8);
    let mut samples = Vec::with_capacity(data.len() / (width * format.channels));
    for frame in data.chunks_exact(width * format.channels) {
        let sum: f32 = frame.chunks_exact(width).map(decode).sum();
        samples.push(sum / format.channels as f32);
    }
    Ok(samples)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
