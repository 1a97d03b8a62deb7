//! Counters that outlive segments and processes.
//!
//! A segment's counts are read off the segment while it exists. Deleting it
//! first adds them to the `totals` file together with the segment's id, then
//! unlinks: whoever finds that id in the file does not count the segment again,
//! and finishes the deletion.

use crate::header::SegmentId;
use crate::segment::remove_file;
use crate::spool::{SEGMENT, Spool};
use crate::{cell, quota, sys};
use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use std::io;
use std::sync::atomic::Ordering;

pub(crate) const NAME: &str = "totals";
/// Eight counters, a segment id, what becomes of that segment.
const STORED: usize = 8 * 8 + 16 + 1;

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
    totals: Totals,
    /// The segment counted last, which may not be deleted yet.
    removing: Option<(SegmentId, bool)>,
}

pub(crate) fn read(spool: &Spool) -> io::Result<Totals> {
    let file = locked(spool, FlockOperation::NonBlockingLockShared)?;
    let Stored {
        mut totals,
        removing,
    } = Stored::decode(&cell::load(&file)?.1);
    for segment in spool.segments()? {
        if removing.is_none_or(|(id, _)| id != segment.id()) {
            totals.add(&segment.contribution()?);
        }
    }
    totals.delivered = totals.delivered.saturating_sub(totals.quarantined);
    totals.refused = quota::read(spool.dir())?.refused;
    Ok(totals)
}

/// Adds a segment's counts and names it as the one being deleted.
pub(crate) fn begin_removal(spool: &Spool, counts: &Totals, id: SegmentId) -> io::Result<()> {
    let removing = load(spool)?.removing;
    if removing.is_some_and(|(begun, _)| begun == id) {
        return Ok(());
    }
    if spool.0.removal_failed.load(Ordering::Relaxed) {
        finish_removal(spool)?;
    }
    change(spool, |stored| {
        stored.totals.add(counts);
        stored.removing = Some((id, counts.damaged_files > 0));
    })
}

/// Gives the file its blocks before the disk is full.
pub(crate) fn prepare(spool: &Spool) -> io::Result<()> {
    let file = sys::open(spool.dir(), NAME)?;
    match cell::load::<STORED>(&file)? {
        (0, _) => cell::store(&file, 1, &Stored::default().encode()),
        _ => Ok(()),
    }
}

pub(crate) fn count_quarantined(spool: &Spool, records: u64) -> io::Result<()> {
    change(spool, |stored| stored.totals.quarantined += records)
}

pub(crate) fn finish_removal(spool: &Spool) -> io::Result<()> {
    let Some((id, damaged)) = load(spool)?.removing else {
        return Ok(());
    };
    if let Some(name) = spool.names(SEGMENT)?.into_iter().find(|name| name.id == id) {
        remove_file(spool, &name, damaged)?;
    }
    spool.0.removal_failed.store(false, Ordering::Relaxed);
    Ok(())
}

fn change(spool: &Spool, change: impl FnOnce(&mut Stored)) -> io::Result<()> {
    let file = locked(spool, FlockOperation::NonBlockingLockExclusive)?;
    let (generation, bytes) = cell::load(&file)?;
    let mut stored = Stored::decode(&bytes);
    change(&mut stored);
    cell::store(&file, generation + 1, &stored.encode())
}

fn load(spool: &Spool) -> io::Result<Stored> {
    Ok(Stored::decode(
        &cell::load(&sys::open(spool.dir(), NAME)?)?.1,
    ))
}

/// Locked, so that readers do not meet a segment both here and in the
/// directory. Only the sender writes, so a lock that a stopped process holds
/// is not waited for.
fn locked(spool: &Spool, how: FlockOperation) -> io::Result<OwnedFd> {
    let file = sys::open(spool.dir(), NAME)?;
    quota::lock_within(&file, how, quota::PATIENCE)?;
    Ok(file)
}

impl Stored {
    fn encode(mut self) -> [u8; STORED] {
        let mut bytes = [0; STORED];
        for (i, value) in self.totals.stored().into_iter().enumerate() {
            bytes[i * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some((id, damaged)) = self.removing {
            bytes[64..80].copy_from_slice(&id.bytes());
            bytes[80] = 1 + u8::from(damaged);
        }
        bytes
    }

    fn decode(bytes: &[u8; STORED]) -> Self {
        let mut totals = Totals::default();
        for (value, bytes) in totals.stored().into_iter().zip(bytes.chunks_exact(8)) {
            *value = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        let removing =
            (bytes[80] > 0).then(|| (SegmentId::from_bytes(&bytes[64..80]), bytes[80] == 2));
        Self { totals, removing }
    }
}
