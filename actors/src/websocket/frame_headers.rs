//! Frames judged by their heads, as the bytes come: the codec of either leg finds a frame too large only once it has
//! buffered all of it, and a head may promise 2^63 bytes.

/// The frames of one direction of a socket, followed by their heads.
#[derive(Debug)]
pub(crate) struct FrameHeaders {
    limit: u64,
    place: Place,
}

/// Where in a frame the bytes are (RFC 6455, section 5.2).
#[derive(Debug)]
enum Place {
    /// In the head: its first two bytes and the extended length, as far as they came.
    Head { bytes: [u8; 10], came: usize },
    /// In mask and payload, so far from the end.
    Body { left: u64 },
    /// Refused.
    Shut,
}

impl Place {
    const START: Self = Self::Head {
        bytes: [0; 10],
        came: 0,
    };
}

impl FrameHeaders {
    /// Lets frames of at most `limit` bytes through.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit: limit as u64,
            place: Place::START,
        }
    }

    /// Whether a frame was too large; nothing after it counts.
    pub(crate) const fn are_shut(&self) -> bool {
        matches!(self.place, Place::Shut)
    }

    /// Follows the frames through a chunk; false when one of them is too large.
    pub(crate) fn follow(&mut self, mut chunk: &[u8]) -> bool {
        while let Some((&byte, after)) = chunk.split_first() {
            match &mut self.place {
                Place::Body { left } => {
                    let skipped = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(chunk.len());
                    chunk = &chunk[skipped..];
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.place = Place::START;
                    }
                }
                Place::Head { bytes, came } => {
                    chunk = after;
                    bytes[*came] = byte;
                    *came += 1;
                    if let Some((length, masked)) = read_head(&bytes[..*came]) {
                        if length > self.limit {
                            self.place = Place::Shut;
                            return false;
                        }
                        let left = length + if masked { 4 } else { 0 };
                        self.place = match left {
                            0 => Place::START,
                            left => Place::Body { left },
                        };
                    }
                }
                Place::Shut => return false,
            }
        }
        true
    }
}

/// Length of the payload and whether it is masked, once the head is whole.
fn read_head(head: &[u8]) -> Option<(u64, bool)> {
    let [_, second, extended @ ..] = head else {
        return None;
    };
    let length = match second & 0x7F {
        126 => u64::from(u16::from_be_bytes(*extended.first_chunk()?)),
        127 => u64::from_be_bytes(*extended.first_chunk()?),
        short => u64::from(short),
    };
    Some((length, second & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_000;

    /// Whether the frames pass when they come in chunks of that size.
    fn passes(bytes: &[u8], chunk: usize) -> bool {
        let mut heads = FrameHeaders::new(LIMIT);
        bytes.chunks(chunk).all(|chunk| heads.follow(chunk))
    }

    fn frame(second: u8, extended: &[u8], body: usize) -> Vec<u8> {
        let mut bytes = vec![0x81, second];
        bytes.extend(extended);
        // A body that would be a monstrous head if it were taken for one.
        bytes.resize(bytes.len() + body, 0xFF);
        bytes
    }

    #[test]
    fn frames_within_the_limit_pass_however_they_are_cut() {
        let frames = [
            frame(0x80, &[], 4),
            frame(0x00, &[], 0),
            frame(0x80 | 125, &[], 4 + 125),
            frame(0x80 | 126, &1_000_u16.to_be_bytes(), 4 + 1_000),
            frame(0x80 | 127, &1_000_u64.to_be_bytes(), 4 + 1_000),
            frame(5, &[], 5),
        ]
        .concat();
        for chunk in 1..frames.len() {
            assert!(passes(&frames, chunk), "chunks of {chunk}");
        }
    }

    #[test]
    fn a_head_beyond_the_limit_is_the_last_one_read() {
        let heads = [
            frame(0x80 | 126, &1_001_u16.to_be_bytes(), 0),
            frame(0x80 | 127, &1_001_u64.to_be_bytes(), 0),
            frame(0x80 | 127, &u64::MAX.to_be_bytes(), 0),
        ];
        for head in heads {
            let bytes = [frame(0x80 | 3, &[], 4 + 3), head].concat();
            for chunk in 1..=bytes.len() {
                assert!(!passes(&bytes, chunk), "chunks of {chunk}");
            }
            assert!(
                passes(&bytes[..bytes.len() - 1], 1),
                "the head is not whole"
            );
        }
    }
}
