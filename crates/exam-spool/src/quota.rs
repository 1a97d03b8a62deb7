//! The bytes all processes together have taken of the spool's limit.
//!
//! A small file under flock. Each operation opens it anew: a lock taken on an
//! inherited descriptor would be the parent's too, and a mutex held at a fork
//! would never be released in the child.

use crate::sys;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, flock};
use std::io;
use std::time::Duration;

pub(crate) const NAME: &str = "quota";

/// How long a put waits for the lock. It is held for microseconds, so whoever
/// holds it longer has been stopped.
const PATIENCE: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_micros(100);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Bytes taken, see [`share`].
    pub used: u64,
    /// Records refused since the spool was made.
    pub refused: u64,
}

/// What a segment takes of the limit: a pure function of the file, so that
/// counting the directory always heals the figure. `done` is where the cursor
/// that is behind stands: consumed bytes take nothing. An unsealed segment
/// counts as the whole units its writer has leased.
pub(crate) fn share(len: u64, sealed: bool, done: u64, unit: u64) -> u64 {
    let taken = if sealed { len } else { leased(len, unit) };
    taken.saturating_sub(done / unit * unit)
}

/// The end of the lease of a segment of this length, room for its seal included.
pub(crate) fn leased(len: u64, unit: u64) -> u64 {
    (len + crate::frame::SEAL as u64).next_multiple_of(unit)
}

/// `None`: the lock was not to be had in time.
pub(crate) fn update<R>(
    dir: BorrowedFd<'_>,
    change: impl FnOnce(&mut Quota) -> R,
) -> io::Result<Option<R>> {
    let Some(file) = locked(dir, PATIENCE)? else {
        return Ok(None);
    };
    let before = load(&file)?;
    let mut quota = before;
    let result = change(&mut quota);
    if quota != before {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&quota.used.to_le_bytes());
        bytes[8..16].copy_from_slice(&quota.refused.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        sys::pwrite_all(&file, &bytes, 0)?;
    }
    Ok(Some(result))
}

pub(crate) fn read(dir: BorrowedFd<'_>) -> io::Result<Quota> {
    load(&sys::open(dir, NAME)?)
}

fn locked(dir: BorrowedFd<'_>, patience: Duration) -> io::Result<Option<OwnedFd>> {
    let file = sys::open(dir, NAME)?;
    let mut waited = Duration::ZERO;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) if waited >= patience => return Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(e) => return Err(e.into()),
        }
        waited += PAUSE;
    }
}

/// A figure torn by a power cut reads as nothing, and counting heals it.
fn load(file: &OwnedFd) -> io::Result<Quota> {
    let mut b = Vec::with_capacity(20);
    sys::pread_to(file, &mut b, 20, 0)?;
    let word = |i: usize| {
        b.get(i..i + 8)
            .and_then(|w| w.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    let crc = b
        .get(16..20)
        .and_then(|w| w.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    if b.len() < 20 || crc != crc32c::crc32c(&b[..16]) {
        return Ok(Quota::default());
    }
    Ok(Quota {
        used: word(0),
        refused: word(8),
    })
}
