//! WAV files in and out.

use std::io::Cursor;

use call_protocol::audio::{decode_sample, encode_sample};
use switchboard_kit::twilio::wav::{self, WavError};

fn tone(rate: u32, hz: f64) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (0..rate / 2)
        .map(|n| ((f64::from(n) * step).sin() * 10_000.0) as i16)
        .collect()
}

fn pcm16(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn riff(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut fmt = Vec::new();
    fmt.extend_from_slice(&tag.to_le_bytes());
    fmt.extend_from_slice(&channels.to_le_bytes());
    fmt.extend_from_slice(&rate.to_le_bytes());
    let width = u32::from(channels) * u32::from(bits / 8);
    fmt.extend_from_slice(&(rate * width).to_le_bytes());
    fmt.extend_from_slice(&(width as u16).to_le_bytes());
    fmt.extend_from_slice(&bits.to_le_bytes());
    let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
    // A chunk of odd length in between, padded.
    for (name, content) in [(b"LIST", &b"abc"[..]), (b"fmt ", &fmt), (b"data", data)] {
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(0);
        }
    }
    bytes
}

/// Largest difference to the tone at 8 kHz, away from the edges.
fn distance(audio: &[u8], hz: f64) -> i32 {
    let expected = tone(8_000, hz);
    assert_eq!(audio.len(), expected.len());
    let pairs = audio.iter().zip(&expected).skip(100).take(3_800);
    pairs
        .map(|(byte, want)| (i32::from(decode_sample(*byte)) - i32::from(*want)).abs())
        .max()
        .unwrap()
}

#[test]
fn sixteen_bit_files_of_any_rate_become_phone_audio() {
    for rate in [8_000, 16_000, 22_050, 44_100, 48_000] {
        let audio = wav::read(&pcm16(rate, 1, &tone(rate, 440.0))).unwrap();
        // A step of µ-law at this level is 512.
        let distance = distance(&audio[..4_000.min(audio.len())], 440.0);
        assert!(distance < 400, "{rate}: {distance}");
    }
}

#[test]
fn stereo_is_mixed() {
    let mut interleaved = Vec::new();
    for sample in tone(8_000, 300.0) {
        interleaved.extend([sample, sample]);
    }
    let audio = wav::read(&pcm16(8_000, 2, &interleaved)).unwrap();
    assert!(distance(&audio, 300.0) < 400);
}

#[test]
fn other_sample_formats_are_read() {
    let samples = tone(8_000, 300.0);
    let mut eight = Vec::new();
    let mut twenty_four = Vec::new();
    let mut float = Vec::new();
    for sample in &samples {
        eight.push(((sample >> 8) + 128) as u8);
        twenty_four.extend_from_slice(&(i32::from(*sample) << 8).to_le_bytes()[..3]);
        float.extend_from_slice(&(f32::from(*sample) / 32_768.0).to_le_bytes());
    }
    assert!(distance(&wav::read(&riff(1, 1, 8_000, 8, &eight)).unwrap(), 300.0) < 700);
    assert!(
        distance(
            &wav::read(&riff(1, 1, 8_000, 24, &twenty_four)).unwrap(),
            300.0
        ) < 400
    );
    assert!(distance(&wav::read(&riff(3, 1, 8_000, 32, &float)).unwrap(), 300.0) < 400);
}

#[test]
fn mulaw_at_the_phone_rate_is_taken_as_it_is() {
    let audio: Vec<u8> = (0..=255).collect();
    assert_eq!(wav::read(&riff(7, 1, 8_000, 8, &audio)).unwrap(), audio);
    // At another rate it is converted like anything else.
    let fast: Vec<u8> = tone(16_000, 440.0).into_iter().map(encode_sample).collect();
    assert!(distance(&wav::read(&riff(7, 1, 16_000, 8, &fast)).unwrap(), 440.0) < 700);
}

#[test]
fn what_is_no_wav_is_refused() {
    for bytes in [&b""[..], b"RIFF", b"RIFF\0\0\0\0WAVE", &[0; 100]] {
        assert!(matches!(wav::read(bytes), Err(WavError::NotWav(_))));
    }
    let adpcm = wav::read(&riff(2, 1, 8_000, 4, &[0; 10]));
    assert!(matches!(
        adpcm,
        Err(WavError::Unsupported { tag: 2, bits: 4 })
    ));
    let no_channels = wav::read(&riff(1, 0, 8_000, 16, &[0; 10]));
    assert!(matches!(no_channels, Err(WavError::NotWav(_))));
}

#[test]
fn both_sides_of_a_call_are_written_side_by_side() {
    let left = [encode_sample(1_000), encode_sample(-1_000)];
    let right = [encode_sample(5_000)];
    let mut bytes = Cursor::new(Vec::new());
    wav::write_stereo(&mut bytes, &left, &right).unwrap();
    bytes.set_position(0);
    let mut reader = hound::WavReader::new(bytes).unwrap();
    assert_eq!(reader.spec().channels, 2);
    assert_eq!(reader.spec().sample_rate, 8_000);
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let expected = [left[0], right[0], left[1], 0xFF].map(decode_sample);
    assert_eq!(samples, expected);
}
