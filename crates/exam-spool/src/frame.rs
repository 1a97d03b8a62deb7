//! Frames: how records lie in a segment.

use std::ops::Range;

/// The longest record a frame takes: what one Firehose record may be
/// (1,000 KiB, <https://docs.aws.amazon.com/firehose/latest/dev/limits.html>),
/// rounded up to have room for what quarantine adds.
pub const MAX_RECORD: usize = 1024 * 1024;

/// len, crc, ordinal, time.
pub(crate) const HEAD: usize = 20;
/// What a frame adds to its record: the head and the trailing len.
pub(crate) const OVERHEAD: usize = HEAD + 4;
/// A seal is a frame without a record.
pub(crate) const SEAL: usize = OVERHEAD;

/// Where a cursor stands: everything before `offset` is consumed, which is `count` records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Bytes from the start of the segment file.
    pub offset: u64,
    /// Records from the start of the segment.
    pub count: u32,
}

/// One whole record in a read buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where in the buffer its bytes are.
    pub payload: Range<usize>,
    /// When it was put: microseconds since 1970, the putting server's clock.
    pub time: u64,
    /// The position of a cursor that has consumed it.
    pub after: Position,
}

pub(crate) fn encode(out: &mut Vec<u8>, salt: u32, ordinal: u32, time: u64, record: &[u8]) {
    let len = (record.len() as u32).to_le_bytes();
    let start = out.len();
    out.reserve(OVERHEAD + record.len());
    out.extend_from_slice(&len);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&ordinal.to_le_bytes());
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(record);
    let crc = checksum(salt, record.len() as u32, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&len);
}

fn checksum(salt: u32, len: u32, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(salt ^ len, covered)
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Frame {
        len: usize,
        ordinal: u32,
        time: u64,
    },
    Seal {
        ordinal: u32,
    },
    /// The bytes end before the frame does, which needs this many in all.
    Incomplete(usize),
    /// Complete, but not a frame of this segment.
    Bad,
}

#[inline]
pub(crate) fn decode(bytes: &[u8], salt: u32) -> Found {
    let u32_at = |i: usize| {
        bytes
            .get(i..i + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let Some(len) = u32_at(0) else {
        return Found::Incomplete(OVERHEAD);
    };
    let size = len as usize;
    if size > MAX_RECORD {
        return Found::Bad;
    }
    let (Some(trailer), Some(crc), Some(ordinal)) = (u32_at(HEAD + size), u32_at(4), u32_at(8))
    else {
        return Found::Incomplete(OVERHEAD + size);
    };
    if trailer != len || crc != checksum(salt, len, &bytes[8..HEAD + size]) {
        return Found::Bad;
    }
    if size == 0 {
        return Found::Seal { ordinal };
    }
    let time = u64::from(u32_at(12).unwrap_or(0)) | u64::from(u32_at(16).unwrap_or(0)) << 32;
    Found::Frame {
        len: size,
        ordinal,
        time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_a_frame_is_incomplete_and_every_flipped_bit_is_noticed() {
        let mut frame = Vec::new();
        encode(&mut frame, 7, 3, 99, b"{\"a\":1}");
        assert_eq!(
            decode(&frame, 7),
            Found::Frame {
                len: 7,
                ordinal: 3,
                time: 99
            }
        );
        assert_eq!(decode(&frame, 8), Found::Bad, "another segment's frame");
        for cut in 0..frame.len() {
            assert!(
                matches!(decode(&frame[..cut], 7), Found::Incomplete(_)),
                "{cut}"
            );
        }
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(decode(&frame, 7), Found::Frame { .. } | Found::Seal { .. }),
                "bit {bit}"
            );
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
