//! G.711 µ-law, the one audio format both legs of a call speak: 8,000 samples a second, one byte each.

/// Bytes of µ-law in a millisecond.
pub const BYTES_PER_MS: u64 = 8;

/// Bytes in the 20 ms frame Twilio sends and likes to be sent.
pub const FRAME_BYTES: usize = 160;

/// Milliseconds in such a frame.
pub const FRAME_MS: u64 = 20;

/// The µ-law byte for silence (positive zero).
pub const SILENCE: u8 = 0xFF;

const BIAS: i16 = 0x84;
const CLIP: i16 = 32_635;

/// Milliseconds that `bytes` of µ-law last, rounded down.
#[must_use]
pub const fn bytes_to_ms(bytes: u64) -> u64 {
    bytes / BYTES_PER_MS
}

/// Bytes of µ-law in `ms` milliseconds.
#[must_use]
pub const fn ms_to_bytes(ms: u64) -> u64 {
    ms * BYTES_PER_MS
}

/// One 16-bit linear sample as µ-law (ITU-T G.711).
#[must_use]
pub const fn encode_sample(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    // `i16::MIN` has no positive twin.
    let magnitude = if sample == i16::MIN {
        i16::MAX
    } else {
        sample.abs()
    };
    let magnitude = if magnitude > CLIP { CLIP } else { magnitude } + BIAS;
    let exponent = 7 - (magnitude.leading_zeros() as u8 - 1);
    let mantissa = ((magnitude >> (exponent + 3)) & 0x0F) as u8;
    !(sign | (exponent << 4) | mantissa)
}

/// One µ-law byte as a 16-bit linear sample (ITU-T G.711).
#[must_use]
pub const fn decode_sample(byte: u8) -> i16 {
    DECODE[byte as usize]
}

static DECODE: [i16; 256] = decode_table();

const fn decode_table() -> [i16; 256] {
    let mut table = [0i16; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let code = !(byte as u8);
        let exponent = (code >> 4) & 0x07;
        let mantissa = (code & 0x0F) as i16;
        let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
        table[byte] = if code & 0x80 != 0 {
            -magnitude
        } else {
            magnitude
        };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=255u8 {
            // 0x7F is negative zero: it decodes to 0, which encodes as positive zero.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(
                encode_sample(decode_sample(byte)),
                expected,
                "byte {byte:#x}"
            );
        }
    }

    #[test]
    fn known_samples_from_g711() {
        assert_eq!(encode_sample(0), 0xFF);
        assert_eq!(encode_sample(i16::MAX), 0x80);
        assert_eq!(encode_sample(i16::MIN), 0x00);
        assert_eq!(decode_sample(0x00), -32_124);
        assert_eq!(decode_sample(0x80), 32_124);
    }
}
