//! The first 512 bytes of a segment, and the segment's name.

use crate::frame::Position;
use std::fmt;
use std::str::FromStr;

pub(crate) const LEN: u64 = 512;
/// Where a cursor stands that has passed nothing.
pub(crate) const START: Position = Position {
    offset: LEN,
    count: 0,
};
pub(crate) const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"ExamSpl";
const FIXED: usize = 108;
const NOTES: u64 = 112;
const NOTES_LEN: usize = 36;
const CURSORS: u64 = 256;
const SLOT: usize = 32;

/// Names a segment; sorts by the time it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Microseconds since 1970.
    pub created: u64,
    /// The process that writes it, in its own pid namespace.
    pub pid: u32,
    /// Random: the pid may collide between containers.
    pub nonce: u32,
}

impl SegmentId {
    pub(crate) fn new() -> Self {
        Self {
            created: crate::sys::now_micros(),
            pid: std::process::id(),
            nonce: fastrand::u32(..),
        }
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.created.to_le_bytes());
        out[8..12].copy_from_slice(&self.pid.to_le_bytes());
        out[12..].copy_from_slice(&self.nonce.to_le_bytes());
        out
    }

    pub(crate) fn from_bytes(b: &[u8]) -> Self {
        Self {
            created: u64_at(b, 0),
            pid: u32_at(b, 8),
            nonce: u32_at(b, 12),
        }
    }

    /// What every checksum of the segment starts from, so that no other
    /// segment's frame, in a record or in a reused disk block, passes for one of this.
    pub(crate) fn salt(self) -> u32 {
        crc32c::crc32c(&self.bytes())
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}-{:08x}-{:08x}",
            self.created, self.pid, self.nonce
        )
    }
}

impl FromStr for SegmentId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut parts = s.splitn(3, '-').map(|p| u64::from_str_radix(p, 16));
        let mut next = || parts.next().unwrap_or_else(|| u64::from_str_radix("", 16));
        Ok(Self {
            created: next()?,
            pid: next()? as u32,
            nonce: next()? as u32,
        })
    }
}

/// Which of the two readers of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// To Firehose.
    Delivery,
    /// To the state store.
    State,
}

/// What the sender notes about a segment besides its cursors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// A sync has failed: it is never synced again, its records move to another segment.
    pub condemned: bool,
    /// How many of its records have moved.
    pub moved: u32,
    /// Of the state cursor's count, records that were skipped, not folded.
    pub skipped: u32,
    /// Bytes that are no frames and no append in progress, all before `damaged_until`.
    pub damaged: u64,
    pub damaged_until: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub pid_namespace: u64,
    pub cursors: [Position; 2],
    /// The sequence number of each cursor's newest slot; the next goes to the other one.
    pub slots: [u32; 2],
    pub notes: Notes,
    /// The fixed part does not match its checksum: the name is trusted instead.
    pub damaged: bool,
}

pub(crate) enum Parsed {
    Header(Header),
    Version(u8),
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4)
        .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

/// The first bytes of a new segment.
pub(crate) fn encode(id: SegmentId, stream: &str, cursors: [Position; 2], notes: Notes) -> Vec<u8> {
    let mut out = vec![0; LEN as usize];
    out[..7].copy_from_slice(MAGIC);
    out[7] = VERSION;
    out[8..24].copy_from_slice(&id.bytes());
    out[24..32].copy_from_slice(&crate::process::pid_namespace().to_le_bytes());
    out[32] = stream.len() as u8;
    out[33..33 + stream.len()].copy_from_slice(stream.as_bytes());
    let crc = crc32c::crc32c(&out[..FIXED - 4]);
    out[FIXED - 4..FIXED].copy_from_slice(&crc.to_le_bytes());
    let (at, bytes) = encode_notes(id, notes);
    out[at as usize..][..bytes.len()].copy_from_slice(&bytes);
    for cursor in [Cursor::Delivery, Cursor::State] {
        let (at, slot) = encode_cursor(id, cursor, 1, cursors[cursor as usize]);
        out[at as usize..][..slot.len()].copy_from_slice(&slot);
    }
    out
}

pub(crate) fn decode(id: SegmentId, bytes: &[u8]) -> Parsed {
    if bytes.get(..7) == Some(MAGIC) && bytes.get(7).is_some_and(|v| *v != VERSION) {
        return Parsed::Version(bytes[7]);
    }
    let fixed = bytes.get(..FIXED - 4).unwrap_or_default();
    let damaged =
        fixed.get(8..24) != Some(&id.bytes()) || crc32c::crc32c(fixed) != u32_at(bytes, FIXED - 4);
    let mut header = Header {
        pid_namespace: if damaged { 0 } else { u64_at(bytes, 24) },
        cursors: [START; 2],
        slots: [0; 2],
        notes: decode_notes(id, bytes.get(NOTES as usize..).unwrap_or_default()),
        damaged,
    };
    for cursor in [Cursor::Delivery, Cursor::State] {
        for parity in 0..2 {
            let at = slot_at(cursor, parity) as usize;
            let slot = bytes.get(at..at + SLOT).unwrap_or_default();
            let seq = u32_at(slot, 12);
            let whole = u32_at(slot, 16)
                == crc32c::crc32c_append(id.salt(), slot.get(..16).unwrap_or_default());
            if whole && seq % 2 == parity && seq > header.slots[cursor as usize] {
                header.slots[cursor as usize] = seq;
                header.cursors[cursor as usize] = Position {
                    offset: u64_at(slot, 0),
                    count: u32_at(slot, 8),
                };
            }
        }
    }
    Parsed::Header(header)
}

fn slot_at(cursor: Cursor, seq: u32) -> u64 {
    CURSORS + (cursor as u64 * 2 + u64::from(seq % 2)) * SLOT as u64
}

/// Where to write, and what, so that `cursor` stands at `position`.
pub(crate) fn encode_cursor(
    id: SegmentId,
    cursor: Cursor,
    seq: u32,
    position: Position,
) -> (u64, [u8; 20]) {
    let mut out = [0; 20];
    out[..8].copy_from_slice(&position.offset.to_le_bytes());
    out[8..12].copy_from_slice(&position.count.to_le_bytes());
    out[12..16].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c_append(id.salt(), &out[..16]);
    out[16..].copy_from_slice(&crc.to_le_bytes());
    (slot_at(cursor, seq), out)
}

pub(crate) fn encode_notes(id: SegmentId, notes: Notes) -> (u64, [u8; NOTES_LEN]) {
    let mut out = [0; NOTES_LEN];
    out[0] = u8::from(notes.condemned);
    out[4..8].copy_from_slice(&notes.moved.to_le_bytes());
    out[8..12].copy_from_slice(&notes.skipped.to_le_bytes());
    out[16..24].copy_from_slice(&notes.damaged.to_le_bytes());
    out[24..32].copy_from_slice(&notes.damaged_until.to_le_bytes());
    let crc = crc32c::crc32c_append(id.salt(), &out[..32]);
    out[32..].copy_from_slice(&crc.to_le_bytes());
    (NOTES, out)
}

fn decode_notes(id: SegmentId, b: &[u8]) -> Notes {
    let whole = u32_at(b, 32) == crc32c::crc32c_append(id.salt(), b.get(..32).unwrap_or_default());
    if !whole {
        return Notes::default();
    }
    Notes {
        condemned: b[0] == 1,
        moved: u32_at(b, 4),
        skipped: u32_at(b, 8),
        damaged: u64_at(b, 16),
        damaged_until: u64_at(b, 24),
    }
}
