//! What the sender tells the others: one small file in the spool.
//!
//! Written in place several times a second, so it has a length and a checksum
//! in front: who reads while it is written reads again. Its space is taken
//! beforehand, so that a full disk does not silence the sender when there is
//! most to say. The counters that are the sender's own survive a change of
//! sender; those of the spool itself are `Spool::totals`.

use crate::histogram::Histogram;
use exam_spool::Spool;
use rustix::fd::OwnedFd;
use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FILE: &str = "status";
const SPACE: usize = 64 * 1024;
/// Magic and version, length, checksum.
const HEAD: usize = 16;
const MAGIC: &[u8; 8] = b"ExamSta1";
const TORN_READS: usize = 20;

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
        let file = spool.ensure_file(FILE)?;
        let mut bytes = vec![0; SPACE];
        for _ in 0..TORN_READS {
            let read = rustix::io::pread(&file, &mut bytes, 0)?;
            if read < HEAD || bytes[..8] != *MAGIC {
                return Ok(None);
            }
            let word = |at: usize| {
                u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            };
            if let Some(json) = bytes[..read].get(HEAD..HEAD + word(8) as usize)
                && crc32c::crc32c(json) == word(12)
            {
                return serde_json::from_slice(json)
                    .map(Some)
                    .map_err(io::Error::other);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(io::Error::other("the sender's status is torn"))
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

/// The sender's hold on the file.
pub(crate) struct StatusFile {
    file: OwnedFd,
    buf: Vec<u8>,
}

impl StatusFile {
    pub fn open(spool: &Spool) -> io::Result<StatusFile> {
        let file = spool.ensure_file(FILE)?;
        // A file system without fallocate only loses the reservation.
        let _ = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SPACE as u64);
        Ok(StatusFile {
            file,
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
        let (head, json) = self.buf.split_at_mut(HEAD);
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&(json.len() as u32).to_le_bytes());
        head[12..].copy_from_slice(&crc32c::crc32c(json).to_le_bytes());
        let written = rustix::io::pwrite(&self.file, &self.buf, 0)?;
        if written < self.buf.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
}
