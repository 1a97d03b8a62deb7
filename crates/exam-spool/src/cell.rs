//! A few counters in a file, replaced whole or not at all: two slots written in
//! turn, each `generation u64 | payload | crc32c u32`, and the newer whole one
//! counts. Overwriting allocated blocks works on a full disk too, so a new file
//! is given both slots at once.

use crate::sys;
use rustix::fd::OwnedFd;
use std::io;

const SLOT: usize = 128;
const BLANK: [u8; 2 * SLOT] = [0; 2 * SLOT];

/// The payload, and the generation it is of; generation 0 is a new file.
pub(crate) fn load<const N: usize>(file: &OwnedFd) -> io::Result<(u64, [u8; N])> {
    let mut bytes = Vec::with_capacity(2 * SLOT);
    sys::pread_to(file, &mut bytes, 2 * SLOT, 0)?;
    let slots = [0, SLOT]
        .into_iter()
        .filter_map(|at| decode(bytes.get(at..at + SLOT)?));
    Ok(slots
        .max_by_key(|(generation, _)| *generation)
        .unwrap_or((0, [0; N])))
}

pub(crate) fn store<const N: usize>(
    file: &OwnedFd,
    generation: u64,
    payload: &[u8; N],
) -> io::Result<()> {
    if generation == 1 {
        sys::pwrite_all(file, &BLANK, 0)?;
    }
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&generation.to_le_bytes());
    slot[8..8 + N].copy_from_slice(payload);
    let crc = crc32c::crc32c(&slot[..8 + N]);
    slot[8 + N..12 + N].copy_from_slice(&crc.to_le_bytes());
    let written = sys::pwrite_all(file, &slot[..12 + N], generation % 2 * SLOT as u64);
    // What did not get there may be as it was there before: then the slot is whole, and counts.
    if written.is_err() && load(file).is_ok_and(|stored| stored == (generation, *payload)) {
        return Ok(());
    }
    written
}

fn decode<const N: usize>(slot: &[u8]) -> Option<(u64, [u8; N])> {
    let (covered, crc) = (slot.get(..8 + N)?, slot.get(8 + N..12 + N)?);
    let generation = u64::from_le_bytes(covered[..8].try_into().ok()?);
    let whole = generation > 0 && crc32c::crc32c(covered).to_le_bytes() == *crc;
    whole.then_some((generation, covered[8..].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fault::{self, Fault};

    #[test]
    fn what_could_not_be_stored_is_not_there() {
        let mut whole = 0;
        for n in 0..4000_u128 {
            let file = tempfile::tempfile().expect("a file").into();
            for before in [1, 2, 3] {
                store(&file, before, &[7; 16]).expect("stores");
            }
            // All but the last byte of the checksum.
            fault::at_call(0, Fault::Short(980));
            let payload = n.to_le_bytes();
            let stored = store(&file, 4, &payload);
            fault::clear();
            let there = load(&file).expect("loads") == (4, payload);
            assert_eq!(stored.is_ok(), there);
            whole += usize::from(there);
        }
        assert!((1..400).contains(&whole), "{whole} of 4,000");
    }
}
