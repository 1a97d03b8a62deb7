//! What the sender tells the others: one small file in the spool.
//!
//! Written in place several times a second, in two slots in turn, each with a
//! generation, a length and a checksum in front; the newer whole one counts. So
//! one is whole at any time, however long a writer is kept from finishing, or
//! killed. Their space is taken beforehand, so that a full disk does not silence
//! the sender when there is most to say. The counters that are the sender's own
//! survive a change of sender; those of the spool itself are `Spool::totals`.

use crate::histogram::Histogram;
use exam_spool::Spool;
use rustix::fd::OwnedFd;
use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

const FILE: &str = "status";
/// Of a slot.
const SPACE: usize = 64 * 1024;
/// Magic and version, generation, length, checksum of generation and JSON.
const HEAD: usize = 24;
const MAGIC: &[u8; 8] = b"ExamSta2";
/// Between a reader's looks at heads and JSON both slots may be written anew, where one sender
/// follows another.
const READS: usize = 3;

/// Something that went wrong, and when (µs since 1970).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub what: String,
    pub at: u64,
}

/// One delivery stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Lines, since this spool has a status.
    pub delivered: u64,
    pub retried: u64,
    pub quarantined: u64,
    /// Why nothing is sent now, and since when.
    pub hold: Option<Problem>,
    pub last_error: Option<Problem>,
}

/// The write-through to the state store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStatus {
    /// Lines the fold could make nothing of, passed over.
    pub malformed: u64,
    /// Why nothing is folded now, and since when.
    pub hold: Option<Problem>,
    pub last_error: Option<Problem>,
}

/// Times are microseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The sender that wrote this; 0 when it ended in order.
    pub pid: u32,
    pub written: u64,
    /// Lines sent again because they had not been taken.
    pub retried: u64,
    pub quarantined: u64,
    pub streams: BTreeMap<String, StreamStatus>,
    pub state: StateStatus,
    /// The newest problem of any kind.
    pub last_error: Option<Problem>,
    /// When the oldest line that is not delivered, or not folded, was put.
    pub oldest_undelivered: Option<u64>,
    pub oldest_unfolded: Option<u64>,
    /// Since this sender was elected.
    pub put_to_delivered: Histogram,
    pub put_to_folded: Histogram,
}

impl Status {
    /// What the last sender wrote; `None` if none ever did.
    pub fn read(spool: &Spool) -> io::Result<Option<Status>> {
        let Some((_, json)) = newest(&spool.ensure_file(FILE)?)? else {
            return Ok(None);
        };
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(io::Error::other)
    }

    pub(crate) fn problem(&mut self, what: &str) -> Problem {
        let problem = Problem {
            what: what.to_owned(),
            at: now(),
        };
        self.last_error = Some(problem.clone());
        problem
    }

    pub(crate) fn stream(&mut self, name: &str) -> &mut StreamStatus {
        if !self.streams.contains_key(name) {
            self.streams
                .insert(name.to_owned(), StreamStatus::default());
        }
        self.streams.entry(name.to_owned()).or_default()
    }
}

/// What stands in front of a slot's JSON.
struct Head {
    /// Where the slot begins.
    at: u64,
    generation: u64,
    len: usize,
    crc: u32,
}

impl Head {
    /// Of the slot that begins at `at`; `None` if it was never written.
    fn read(file: &OwnedFd, at: u64) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD];
        let read = rustix::io::pread(file, &mut bytes, at)?;
        if read < HEAD || bytes[..8] != *MAGIC {
            return Ok(None);
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Ok(Some(Head {
            at,
            generation: word(8),
            len: word(16) as u32 as usize,
            crc: (word(16) >> 32) as u32,
        }))
    }

    /// The JSON behind it; `None` unless it is whole.
    fn json(&self, file: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
        let mut json = vec![0; self.len.min(SPACE)];
        let read = rustix::io::pread(file, &mut json, self.at + HEAD as u64)?;
        let whole = read == self.len && checksum(self.generation, &json) == self.crc;
        Ok(whole.then_some(json))
    }
}

fn checksum(generation: u64, json: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&generation.to_le_bytes()), json)
}

/// The newer whole slot: its generation and JSON.
fn newest(file: &OwnedFd) -> io::Result<Option<(u64, Vec<u8>)>> {
    for _ in 0..READS {
        let mut heads: Vec<Head> = Vec::new();
        for at in [0, SPACE as u64] {
            heads.extend(Head::read(file, at)?);
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.generation));
        for head in heads {
            if let Some(json) = head.json(file)? {
                return Ok(Some((head.generation, json)));
            }
        }
    }
    Ok(None)
}

/// The sender's hold on the file.
pub(crate) struct StatusFile {
    file: OwnedFd,
    /// Of the slot that was written last.
    generation: u64,
    buf: Vec<u8>,
}

impl StatusFile {
    pub fn open(spool: &Spool) -> io::Result<StatusFile> {
        let file = spool.ensure_file(FILE)?;
        // A file system without fallocate only loses the reservation.
        let _ = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 2 * SPACE as u64);
        let generation = newest(&file)?.map_or(0, |(generation, _)| generation);
        Ok(StatusFile {
            file,
            generation,
            buf: Vec::new(),
        })
    }

    pub fn write(&mut self, status: &mut Status) -> io::Result<()> {
        status.written = now();
        loop {
            self.buf.clear();
            self.buf.resize(HEAD, 0);
            serde_json::to_writer(&mut self.buf, status)?;
            if self.buf.len() <= SPACE {
                break;
            }
            // Hundreds of streams: those without trouble are told last.
            let dispensable = |s: &StreamStatus| s.hold.is_none();
            let name = status
                .streams
                .iter()
                .find(|(_, s)| dispensable(s))
                .or(status.streams.iter().next());
            let Some(name) = name.map(|(name, _)| name.clone()) else {
                return Err(io::Error::other("the status is too long for its file"));
            };
            status.streams.remove(&name);
        }
        let generation = self.generation + 1;
        let (head, json) = self.buf.split_at_mut(HEAD);
        head[..8].copy_from_slice(MAGIC);
        head[8..16].copy_from_slice(&generation.to_le_bytes());
        head[16..20].copy_from_slice(&(json.len() as u32).to_le_bytes());
        head[20..].copy_from_slice(&checksum(generation, json).to_le_bytes());
        let at = generation % 2 * SPACE as u64;
        let written = rustix::io::pwrite(&self.file, &self.buf, at)?;
        if written < self.buf.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.generation = generation;
        Ok(())
    }
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    fn spool(dir: &std::path::Path) -> Spool {
        let config = exam_spool::Config {
            dir: dir.join("spool"),
            max_bytes: 1 << 20,
            segment_bytes: 1 << 18,
        };
        Spool::open(config).expect("opens")
    }

    #[test]
    fn a_write_that_stops_anywhere_leaves_one_status_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let spool = spool(dir.path());
        assert_eq!(Status::read(&spool).expect("reads"), None);
        let mut status = Status::default();
        for told in 1..=4u64 {
            let path = spool.path().join(FILE);
            let before = fs::read(&path).unwrap_or_default();
            let known = Status::read(&spool).expect("reads");
            status.retried = told;
            // As a new sender does.
            let mut file = StatusFile::open(&spool).expect("opens");
            file.write(&mut status).expect("writes");
            assert_eq!(Status::read(&spool).expect("reads").as_ref(), Some(&status));
            let after = fs::read(&path).expect("reads");
            // Killed, or kept from going on, behind so many of its bytes.
            let file = File::options().write(true).open(&path).expect("opens");
            let at = told as usize % 2 * SPACE;
            let slot = &after[at..];
            let len = HEAD + u32::from_le_bytes([slot[16], slot[17], slot[18], slot[19]]) as usize;
            for cut in 0..len {
                let mut torn = before.clone();
                torn.resize(2 * SPACE, 0);
                torn[at..at + cut].copy_from_slice(&after[at..at + cut]);
                file.write_all_at(&torn, 0).expect("writes");
                // The new one, where the rest is what was there before.
                let found = Status::read(&spool).expect("reads");
                assert!(
                    found == known || found.as_ref() == Some(&status),
                    "{cut} of {len} bytes: {found:?}"
                );
            }
            file.write_all_at(&after, 0).expect("writes");
        }
    }
}
