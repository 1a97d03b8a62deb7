//! The bytes all processes together have taken of the spool's limit.
//!
//! A small file under flock. Each operation opens it anew: a lock taken on an
//! inherited descriptor would be the parent's too, and a mutex held at a fork
//! would never be released in the child.

use crate::{cell, sys};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, flock};
use std::io;
use std::time::Duration;

pub(crate) const NAME: &str = "quota";

/// How long anyone waits for a lock of the spool. It is held for microseconds, so whoever
/// holds it longer has been stopped.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);
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
    patience: Duration,
    change: impl FnOnce(&mut Quota) -> R,
) -> io::Result<Option<R>> {
    let file = sys::open(dir, NAME)?;
    if !lock_within(&file, FlockOperation::NonBlockingLockExclusive, patience)? {
        return Ok(None);
    }
    let (generation, bytes) = cell::load(&file)?;
    let before = Quota::decode(bytes);
    let mut quota = before;
    let result = change(&mut quota);
    if quota != before || generation == 0 {
        cell::store(&file, generation + 1, &quota.encode())?;
    }
    Ok(Some(result))
}

pub(crate) fn read(dir: BorrowedFd<'_>) -> io::Result<Quota> {
    Ok(Quota::decode(cell::load(&sys::open(dir, NAME)?)?.1))
}

impl Quota {
    fn encode(self) -> [u8; 16] {
        (u128::from(self.used) | u128::from(self.refused) << 64).to_le_bytes()
    }

    fn decode(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self {
            used: both as u64,
            refused: (both >> 64) as u64,
        }
    }
}

/// Whether the lock was to be had in this time.
pub(crate) fn lock_within(
    file: &OwnedFd,
    how: FlockOperation,
    patience: Duration,
) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) if waited >= patience => return Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        waited += PAUSE;
    }
}
