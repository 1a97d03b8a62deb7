//! Appending: one write(2) per put.

use crate::error::WriteError;
use crate::frame::{self, MAX_RECORD, OVERHEAD, Position, SEAL};
use crate::header::{self, Header, Parsed};
use crate::quota;
use crate::spool::{QUARANTINE, SegmentName, Spool, is_ours};
use crate::{process, sys};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;

/// Bytes one write takes at most, which bounds the buffer a writer keeps.
const MAX_WRITE: u64 = 4 * 1024 * 1024;
/// A full disk is tried again after this long: failing to allocate can cost
/// the file system milliseconds.
const DISK_FULL_MICROS: u64 = 5_000;

/// How much of an append was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    All,
    /// The spool or the disk is full: the first so many, and nothing of the others.
    Some(usize),
}

/// Writes the records of one delivery stream for one process.
///
/// A forked child must make its own: in the child every append is refused, and
/// dropping it closes the inherited descriptor and nothing else.
pub struct Writer {
    spool: Spool,
    stream: Box<str>,
    suffix: &'static str,
    token: u64,
    segment: Option<Open>,
    /// The offset up to which bytes of the current segment, or of the next if
    /// there is none, are leased.
    leased: u64,
    disk_full_until: u64,
    buf: Vec<u8>,
}

struct Open {
    name: SegmentName,
    file: OwnedFd,
    salt: u32,
    /// Where the next frame goes. Known, never asked of the file: the remains
    /// of a failed write are written over, not behind.
    end: Position,
    limit: u64,
}

impl Writer {
    pub(crate) fn new(
        spool: Spool,
        stream: &str,
        suffix: &'static str,
    ) -> Result<Self, WriteError> {
        // https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecord.html
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if stream.is_empty() || stream.len() > 64 || !stream.bytes().all(valid) {
            return Err(WriteError::Stream(stream.into()));
        }
        Ok(Self {
            spool,
            stream: stream.into(),
            suffix,
            token: process::process_token(),
            segment: None,
            leased: 0,
            disk_full_until: 0,
            buf: Vec::new(),
        })
    }

    /// Appends records in order, as many as fit: one write for all that go into
    /// one segment. What is refused is counted.
    ///
    /// # Errors
    /// Nothing was accepted: a record that can never be, a forked child's
    /// writer, or a failing disk.
    pub fn append(&mut self, records: &[&[u8]]) -> Result<Appended, WriteError> {
        if !is_ours(self.token) {
            return Err(WriteError::Forked);
        }
        for record in records {
            match record.len() {
                0 => return Err(WriteError::Empty),
                len if len > MAX_RECORD => return Err(WriteError::TooLarge(len)),
                _ => {}
            }
        }
        let now = sys::now_micros();
        let mut accepted = 0;
        while accepted < records.len() {
            match self.append_some(&records[accepted..], now) {
                Ok(0) => break,
                Ok(n) => accepted += n,
                Err(source) => {
                    if accepted > 0 {
                        break;
                    }
                    self.spool.count_refused(records.len() as u64);
                    return Err(WriteError::Io {
                        dir: self.spool.path().into(),
                        what: "write a segment",
                        source,
                    });
                }
            }
        }
        if accepted == records.len() {
            return Ok(Appended::All);
        }
        self.spool.count_refused((records.len() - accepted) as u64);
        Ok(Appended::Some(accepted))
    }

    /// Ends the segment, so that it can be deleted as soon as it is consumed.
    pub fn seal(self) {
        drop(self);
    }

    /// As many of `records` as go into one segment with one write; 0 if full.
    fn append_some(&mut self, records: &[&[u8]], now: u64) -> io::Result<usize> {
        if now < self.disk_full_until && self.disk_full_until - now <= DISK_FULL_MICROS {
            return Ok(0);
        }
        let fitting = match self.make_room(records, now) {
            Ok(fit) => &records[..fit.n],
            Err(e) => {
                self.give_back_unused();
                return self.unless_full(e, now);
            }
        };
        let Some(segment) = self.segment.as_mut().filter(|_| !fitting.is_empty()) else {
            self.give_back_unused();
            return Ok(0);
        };
        self.buf.clear();
        for (record, ordinal) in fitting.iter().zip(segment.end.count + 1..) {
            frame::encode(&mut self.buf, segment.salt, ordinal, now, record);
        }
        let written = sys::pwrite(&segment.file, &self.buf, segment.end.offset);
        if let Ok(written) = written
            && written == self.buf.len()
        {
            segment.end.offset += written as u64;
            segment.end.count += fitting.len() as u32;
            return Ok(fitting.len());
        }
        let whole = Fit::of(fitting, |size, _| {
            size <= *written.as_ref().unwrap_or(&0) as u64
        });
        segment.end.offset += whole.size;
        segment.end.count += whole.n as u32;
        if sys::truncate(&segment.file, segment.end.offset).is_err() {
            // What remains is a torn tail once the lock is gone.
            self.segment = None;
            self.leased = 0;
        }
        match written {
            Ok(_) => Ok(whole.n),
            Err(e) => self.unless_full(e, now),
        }
    }

    /// Sees to a segment and a lease, and says how many of `records` they are for.
    fn make_room(&mut self, records: &[&[u8]], now: u64) -> io::Result<Fit> {
        let first = (OVERHEAD + records[0].len() + SEAL) as u64;
        if self
            .segment
            .as_ref()
            .is_some_and(|s| s.end.offset + first > s.limit)
        {
            self.end_segment();
        }
        let limit = self
            .segment
            .as_ref()
            .map_or_else(|| self.segment_limit(), |s| s.limit);
        let mut start = self.segment.as_ref().map_or(header::LEN, |s| s.end.offset);
        let mut fit = Fit::of(records, |size, n| {
            n == 0 || (start + size + SEAL as u64 <= limit && size <= MAX_WRITE)
        });
        if start + fit.size + SEAL as u64 > self.leased {
            if self.segment.as_ref().is_some_and(Open::condemned) {
                self.end_segment();
                start = header::LEN;
            }
            let wanted = quota::leased(start + fit.size, self.spool.0.unit) - self.leased;
            self.leased += self.lease(wanted, now)?;
            let leased = self.leased;
            fit = Fit::of(records, |size, n| {
                n < fit.n && start + size + SEAL as u64 <= leased
            });
        }
        if fit.n > 0 && self.segment.is_none() {
            // Beyond the ceiling the kernel answers with a signal, not with an error.
            if start + fit.size + SEAL as u64 > file_size_ceiling() {
                return Ok(Fit { n: 0, size: 0 });
            }
            self.segment = Some(self.open_segment()?);
        }
        Ok(fit)
    }

    fn lease(&self, wanted: u64, now: u64) -> io::Result<u64> {
        match self.suffix {
            QUARANTINE => self.spool.lease_unlimited(wanted),
            _ => self.spool.lease(wanted, now),
        }
    }

    /// Where a segment is to end. What is put aside in one go stays in one file.
    fn segment_limit(&self) -> u64 {
        match self.suffix {
            QUARANTINE => u64::MAX,
            _ => self.spool.segment_limit().min(file_size_ceiling()),
        }
    }

    /// Syncs the current segment's file.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.segment
            .as_ref()
            .map_or(Ok(()), |s| sys::sync_data(&s.file))
    }

    fn unless_full(&mut self, error: io::Error, now: u64) -> io::Result<usize> {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
                self.disk_full_until = now + DISK_FULL_MICROS;
                Ok(0)
            }
            _ => Err(error),
        }
    }

    fn open_segment(&self) -> io::Result<Open> {
        let (name, file) = self.spool.create_segment(&self.stream, self.suffix)?;
        let limit = self.segment_limit();
        Ok(Open {
            salt: name.id.salt(),
            name,
            file,
            end: header::START,
            limit,
        })
    }

    fn end_segment(&mut self) {
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        let sealed = segment.end.count > 0 && segment.seal();
        let share = if segment.end.count == 0
            && sys::unlink(self.spool.dir(), &segment.name.file(self.suffix)).is_ok()
        {
            0
        } else {
            quota::share(segment.end.offset, sealed, 0, self.spool.0.unit)
        };
        // A failure here is healed by the next recount.
        let _ = self.spool.give_back(self.leased.saturating_sub(share));
        self.leased = 0;
    }

    /// Gives back a lease no segment uses.
    fn give_back_unused(&mut self) {
        let used = self
            .segment
            .as_ref()
            .map_or(0, |s| quota::leased(s.end.offset, self.spool.0.unit));
        let _ = self.spool.give_back(self.leased.saturating_sub(used));
        self.leased = self.leased.min(used);
    }
}

fn file_size_ceiling() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// How many records, from the first, `keep(size, how many before)`; their frames' size.
struct Fit {
    n: usize,
    size: u64,
}

impl Fit {
    fn of(records: &[&[u8]], keep: impl Fn(u64, usize) -> bool) -> Self {
        let mut fit = Fit { n: 0, size: 0 };
        for record in records {
            let size = fit.size + (OVERHEAD + record.len()) as u64;
            if !keep(size, fit.n) {
                break;
            }
            fit = Fit { n: fit.n + 1, size };
        }
        fit
    }
}

impl Open {
    fn seal(&mut self) -> bool {
        let mut seal = Vec::with_capacity(SEAL);
        frame::encode(&mut seal, self.salt, self.end.count, sys::now_micros(), &[]);
        let sealed = sys::pwrite_all(&self.file, &seal, self.end.offset).is_ok();
        if sealed {
            self.end.offset += SEAL as u64;
        } else {
            let _ = sys::truncate(&self.file, self.end.offset);
        }
        sealed
    }

    /// Whether the sender found that this file cannot be synced.
    fn condemned(&self) -> bool {
        let mut head = Vec::with_capacity(header::LEN as usize);
        sys::pread_to(&self.file, &mut head, header::LEN as usize, 0).is_ok()
            && matches!(header::decode(self.name.id, &head), Parsed::Header(Header { notes, .. }) if notes.condemned)
    }
}

#[cfg(test)]
impl Writer {
    /// As if the process were killed now.
    pub(crate) fn die(mut self) {
        self.segment = None;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if is_ours(self.token) {
            self.end_segment();
        }
    }
}
