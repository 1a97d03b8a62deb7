//! Counters that outlive segments and processes.
//!
//! A segment's counts are read off the segment while it exists. Deleting it
//! first adds them to the `totals` file together with the segment's id, then
//! unlinks: whoever finds that id in the file does not count the segment again,
//! and finishes the deletion.

use crate::header::SegmentId;
use crate::segment::remove_file;
use crate::spool::{SEGMENT, Spool};
use crate::{quota, sys};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, flock};
use std::io;

pub(crate) const NAME: &str = "totals";
const SLOT: usize = 128;
const COVERED: usize = 100;

/// What a spool has done since it was made, all processes together. Exact after
/// the death of any process; after a power cut as of about the last sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records for which put returned true.
    pub accepted: u64,
    /// Records the delivery cursor has passed, less the quarantined.
    pub delivered: u64,
    /// Records the state cursor has passed, less the skipped.
    pub folded: u64,
    /// Records the state cursor skipped; `rebuild` brings them back.
    pub skipped: u64,
    /// Records put aside because the delivery stream refuses them.
    pub quarantined: u64,
    /// Puts refused because the spool or the disk was full.
    pub refused: u64,
    /// Bytes at the end of dead processes' segments that were no whole record.
    pub torn_bytes: u64,
    /// Bytes in the middle of segments that were no records.
    pub damaged_bytes: u64,
    /// Segments kept as `*.damaged`.
    pub damaged_files: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Totals) {
        for (sum, more) in self.stored().into_iter().zip(other.clone().stored()) {
            *sum += *more;
        }
    }

    fn stored(&mut self) -> [&mut u64; 8] {
        [
            &mut self.accepted,
            &mut self.delivered,
            &mut self.folded,
            &mut self.skipped,
            &mut self.quarantined,
            &mut self.torn_bytes,
            &mut self.damaged_bytes,
            &mut self.damaged_files,
        ]
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    generation: u64,
    totals: Totals,
    /// The segment counted last, which may not be deleted yet.
    removing: Option<(SegmentId, bool)>,
}

pub(crate) fn read(spool: &Spool) -> io::Result<Totals> {
    let file = locked(spool, FlockOperation::LockShared)?;
    let Stored {
        mut totals,
        removing,
        ..
    } = load(&file)?;
    for segment in spool.segments()? {
        if removing.is_none_or(|(id, _)| id != segment.id()) {
            totals.add(&segment.contribution()?);
        }
    }
    totals.delivered = totals.delivered.saturating_sub(totals.quarantined);
    totals.refused = quota::read(spool.dir())?.refused;
    Ok(totals)
}

pub(crate) fn begin_removal(spool: &Spool, counts: &Totals, id: SegmentId) -> io::Result<()> {
    change(spool, |stored| {
        stored.totals.add(counts);
        stored.removing = Some((id, counts.damaged_files > 0));
    })
}

pub(crate) fn count_quarantined(spool: &Spool, records: u64) -> io::Result<()> {
    change(spool, |stored| stored.totals.quarantined += records)
}

pub(crate) fn finish_removal(spool: &Spool) -> io::Result<()> {
    let Some((id, damaged)) = load(&sys::open(spool.dir(), NAME)?)?.removing else {
        return Ok(());
    };
    match spool.names(SEGMENT)?.into_iter().find(|name| name.id == id) {
        Some(name) => remove_file(spool, &name, damaged).map(drop),
        None => Ok(()),
    }
}

fn change(spool: &Spool, change: impl FnOnce(&mut Stored)) -> io::Result<()> {
    let file = locked(spool, FlockOperation::LockExclusive)?;
    let mut stored = load(&file)?;
    change(&mut stored);
    stored.generation += 1;
    let mut bytes = [0; COVERED + 4];
    bytes[..8].copy_from_slice(&stored.generation.to_le_bytes());
    for (i, value) in stored.totals.stored().into_iter().enumerate() {
        bytes[8 + i * 8..16 + i * 8].copy_from_slice(&value.to_le_bytes());
    }
    if let Some((id, damaged)) = stored.removing {
        bytes[72..88].copy_from_slice(&id.bytes());
        bytes[88] = 1 + u8::from(damaged);
    }
    let crc = crc32c::crc32c(&bytes[..COVERED]);
    bytes[COVERED..].copy_from_slice(&crc.to_le_bytes());
    sys::pwrite_all(&file, &bytes, stored.generation % 2 * SLOT as u64)
}

fn locked(spool: &Spool, how: FlockOperation) -> io::Result<OwnedFd> {
    let file = sys::open(spool.dir(), NAME)?;
    rustix::io::retry_on_intr(|| flock(&file, how))?;
    Ok(file)
}

/// The newer of the two slots that are whole.
fn load(file: &OwnedFd) -> io::Result<Stored> {
    let mut bytes = Vec::with_capacity(2 * SLOT);
    sys::pread_to(file, &mut bytes, 2 * SLOT, 0)?;
    let slots = [0, SLOT]
        .into_iter()
        .filter_map(|at| decode(bytes.get(at..at + COVERED + 4)?));
    Ok(slots.max_by_key(|s| s.generation).unwrap_or_default())
}

fn decode(b: &[u8]) -> Option<Stored> {
    let word = |at: usize| b[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    if crc32c::crc32c(&b[..COVERED]).to_le_bytes() != b[COVERED..] {
        return None;
    }
    let mut totals = Totals::default();
    for (i, value) in totals.stored().into_iter().enumerate() {
        *value = word(8 + i * 8);
    }
    let removing = (b[88] > 0).then(|| (SegmentId::from_bytes(&b[72..88]), b[88] == 2));
    Some(Stored {
        generation: word(0),
        totals,
        removing,
    })
}
