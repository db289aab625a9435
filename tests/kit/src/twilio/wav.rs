//! Any WAV file into the µ-law of a phone line, and both sides of a call into a stereo WAV.

use std::io::{Seek, Write};
use std::path::Path;

pub use call_protocol::audio::wav::{PHONE_RATE, WavError, read};
use call_protocol::audio::{SILENCE, decode_sample};

/// Reads a WAV file as µ-law at 8 kHz, channels mixed.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn read_file(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    read(&bytes).map_err(std::io::Error::other)
}

/// Writes two µ-law timelines as a 16-bit stereo WAV at 8 kHz; the shorter side ends in silence.
///
/// # Errors
/// When writing fails.
pub fn write_stereo(
    writer: impl Write + Seek,
    left: &[u8],
    right: &[u8],
) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: PHONE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::new(writer, spec)?;
    for index in 0..left.len().max(right.len()) {
        for side in [left, right] {
            let byte = side.get(index).copied().unwrap_or(SILENCE);
            wav.write_sample(decode_sample(byte))?;
        }
    }
    wav.finalize()
}

/// Writes one µ-law timeline as a 16-bit mono WAV at 8 kHz into a file.
///
/// # Errors
/// When the file cannot be made or written.
pub fn write_mono_file(path: impl AsRef<Path>, audio: &[u8]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: PHONE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec)?;
    for byte in audio {
        wav.write_sample(decode_sample(*byte))?;
    }
    wav.finalize()
}

/// [`write_stereo`] into a file.
///
/// # Errors
/// When the file cannot be made or written.
pub fn write_stereo_file(
    path: impl AsRef<Path>,
    left: &[u8],
    right: &[u8],
) -> Result<(), hound::Error> {
    let file = std::fs::File::create(path)?;
    write_stereo(std::io::BufWriter::new(file), left, right)
}
