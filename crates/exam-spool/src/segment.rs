//! Reading, cursors, syncing and deleting: the sender's side of a segment.

use crate::error::{SegmentError, SyncError};
use crate::frame::{self, Found, MAX_RECORD, OVERHEAD, Position, Record, SEAL};
use crate::header::{self, Cursor, Header, Notes, Parsed, SegmentId};
use crate::spool::{DAMAGED, SEGMENT, SegmentName, Spool};
use crate::totals::{self, Totals};
use crate::{process, quota, sys};
use rustix::fd::OwnedFd;
use rustix::fs::{self, FlockOperation};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Consumed bytes at the start of a segment are given back to the file system
/// in steps of at least this.
const PUNCH_STEP: u64 = 1024 * 1024;
/// Bytes read at a time where the caller has no say.
const READ: usize = 256 * 1024;
/// About the size of the segments records move to when a sync has failed.
const MOVE: usize = 4 * 1024 * 1024;

/// What the end of a read means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// Read on at `next`.
    More,
    /// The owner lives and has written no further whole record yet.
    Wait,
    /// Sealed: nothing more will come.
    Sealed,
    /// The owner is dead: nothing more will come. So many bytes at the end are
    /// no record: of a put that never returned, or lost to a power cut.
    Torn { bytes: u64 },
}

/// One read of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// In order; their payloads are ranges of the buffer.
    pub records: Vec<Record>,
    /// Where the next read starts, and the cursor when all of this is done with.
    pub next: Position,
    pub state: ReadState,
    /// Bytes passed over in front of `next` because they are damaged. The file is kept.
    pub damaged: u64,
}

/// What became of a segment that both cursors may be done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A writer lives, or a cursor is not at the end.
    NotYet,
    Deleted,
    /// Kept under this name because bytes in it are damaged; nobody reads it again.
    KeptDamaged(String),
}

/// One segment file, open for reading and for moving its cursors.
pub struct Segment {
    spool: Spool,
    name: SegmentName,
    suffix: &'static str,
    file: OwnedFd,
    salt: u32,
    state: Mutex<State>,
}

struct State {
    header: Header,
    /// No writer will ever append again.
    dead: bool,
    /// Length at the last successful sync.
    synced: Option<u64>,
    punched: u64,
}

impl Segment {
    pub(crate) fn open(
        spool: Spool,
        name: SegmentName,
        suffix: &'static str,
    ) -> Result<Option<Self>, SegmentError> {
        let file_name = name.file(suffix);
        let failed = |source| SegmentError::Io {
            name: file_name.clone(),
            source,
        };
        let file = match sys::open(spool.dir(), &file_name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut head = Vec::with_capacity(header::LEN as usize);
        sys::pread_to(&file, &mut head, header::LEN as usize, 0).map_err(failed)?;
        match header::decode(name.id, &head) {
            Parsed::Version(found) => Err(SegmentError::Version {
                name: file_name,
                found,
                known: header::VERSION,
            }),
            Parsed::Header(header) => {
                let punched = header::LEN;
                let state = State {
                    header,
                    dead: false,
                    synced: None,
                    punched,
                };
                Ok(Some(Self {
                    salt: name.id.salt(),
                    spool,
                    name,
                    suffix,
                    file,
                    state: Mutex::new(state),
                }))
            }
        }
    }

    pub fn id(&self) -> SegmentId {
        self.name.id
    }

    pub fn name(&self) -> &SegmentName {
        &self.name
    }

    /// The delivery stream its records are for.
    pub fn stream(&self) -> &str {
        &self.name.stream
    }

    /// Bytes in the file now: grows while the writer lives.
    pub fn len(&self) -> io::Result<u64> {
        Ok(fs::fstat(&self.file)?.st_size as u64)
    }

    /// Whether there is nothing but the header.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? <= header::LEN)
    }

    /// Whether a writer may still append.
    ///
    /// The writer holds a lock on the file. A forked child may hold the same
    /// lock after its parent's death, though it never writes: then the
    /// parent's pid tells, where this process can see it.
    pub fn alive(&self) -> io::Result<bool> {
        let mut state = self.state();
        if state.dead {
            return Ok(false);
        }
        match fs::flock(&self.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                fs::flock(&self.file, FlockOperation::Unlock)?;
                state.dead = true;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let visible = state.header.pid_namespace != 0
                    && state.header.pid_namespace == process::pid_namespace();
                let pid = rustix::process::Pid::from_raw(self.name.id.pid as i32);
                let gone =
                    |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
                state.dead = visible && pid.is_some_and(gone);
            }
            Err(e) => return Err(e.into()),
        }
        Ok(!state.dead)
    }

    /// Reads whole records from `from` on, at least one if there is one,
    /// else about `max` bytes, into `buf`, which is cleared.
    pub fn read(&self, from: Position, buf: &mut Vec<u8>, max: usize) -> io::Result<ReadOutcome> {
        let mut max = max.max(OVERHEAD);
        // Second look: taken after the owner was found dead, or after something
        // was seen that cannot be an append in progress.
        let mut second = false;
        let mut dead = false;
        loop {
            buf.clear();
            sys::pread_to(&self.file, buf, max, from.offset)?;
            let (records, next, stop) = self.parse(from, buf);
            let outcome = |records, next, state| {
                Ok(ReadOutcome {
                    records,
                    next,
                    state,
                    damaged: 0,
                })
            };
            match stop {
                Found::Seal { .. } => {
                    let next = Position {
                        offset: next.offset + SEAL as u64,
                        ..next
                    };
                    return outcome(records, next, ReadState::Sealed);
                }
                _ if !records.is_empty() => return outcome(records, next, ReadState::More),
                Found::Incomplete(need) if buf.len() >= max => {
                    max = need;
                    continue;
                }
                _ => {}
            }
            let in_progress = matches!(stop, Found::Incomplete(_));
            if !second {
                second = true;
                dead = !self.alive()?;
                if !dead && in_progress {
                    return outcome(records, from, ReadState::Wait);
                }
                continue;
            }
            let tail = buf.len() as u64;
            return match self.resync(from.offset + 1)? {
                // A whole frame behind proves that these bytes were final: the
                // one writer appends in order.
                Some(next) => {
                    self.note_damage(from.offset, next.offset)?;
                    Ok(ReadOutcome {
                        records,
                        next,
                        state: ReadState::More,
                        damaged: next.offset - from.offset,
                    })
                }
                None if dead => {
                    let end = self.len()?.max(from.offset + tail);
                    if !in_progress {
                        self.note_damage(from.offset, end)?;
                    }
                    outcome(
                        records,
                        from,
                        ReadState::Torn {
                            bytes: end - from.offset,
                        },
                    )
                }
                None => outcome(records, from, ReadState::Wait),
            };
        }
    }

    /// The whole file, of a segment that nobody writes to any more.
    pub(crate) fn read_whole(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        sys::pread_to(&self.file, bytes, self.len()? as usize, 0).map(drop)
    }

    fn parse(&self, from: Position, buf: &[u8]) -> (Vec<Record>, Position, Found) {
        let mut records = Vec::with_capacity(buf.len() / 256);
        let mut at = 0;
        let mut next = from;
        loop {
            match frame::decode(&buf[at..], self.salt) {
                Found::Frame { len, ordinal, time } => {
                    let payload = at + frame::HEAD..at + frame::HEAD + len;
                    at += OVERHEAD + len;
                    next = Position {
                        offset: from.offset + at as u64,
                        count: ordinal,
                    };
                    records.push(Record {
                        payload,
                        time,
                        after: next,
                    });
                }
                stop => return (records, next, stop),
            }
        }
    }

    /// The position of the first whole frame at or after `at`.
    fn resync(&self, mut at: u64) -> io::Result<Option<Position>> {
        const WINDOW: usize = 2 * (MAX_RECORD + OVERHEAD);
        let mut buf = Vec::new();
        loop {
            buf.clear();
            sys::pread_to(&self.file, &mut buf, WINDOW, at)?;
            let at_end = buf.len() < WINDOW;
            let candidates = if at_end {
                buf.len()
            } else {
                buf.len() - MAX_RECORD - OVERHEAD
            };
            for i in 0..candidates {
                let count = match frame::decode(&buf[i..], self.salt) {
                    Found::Frame { ordinal, .. } => ordinal.saturating_sub(1),
                    Found::Seal { ordinal } => ordinal,
                    _ => continue,
                };
                return Ok(Some(Position {
                    offset: at + i as u64,
                    count,
                }));
            }
            if at_end {
                return Ok(None);
            }
            at += candidates as u64;
        }
    }

    fn note_damage(&self, from: u64, to: u64) -> io::Result<()> {
        let mut state = self.state();
        let mut notes = state.header.notes;
        let new = to.saturating_sub(from.max(notes.damaged_until));
        if new == 0 {
            return Ok(());
        }
        notes.damaged += new;
        notes.damaged_until = to;
        self.write_notes(&mut state, notes)
    }

    fn write_notes(&self, state: &mut State, notes: Notes) -> io::Result<()> {
        let (at, bytes) = header::encode_notes(self.name.id, notes);
        sys::pwrite_all(&self.file, &bytes, at)?;
        state.header.notes = notes;
        Ok(())
    }

    /// Where a cursor stands.
    pub fn cursor(&self, cursor: Cursor) -> Position {
        self.state().header.cursors[cursor as usize]
    }

    /// Moves a cursor forward; a position behind it changes nothing.
    ///
    /// The cursor survives any process, and a power cut as of the last sync.
    pub fn advance(&self, cursor: Cursor, to: Position) -> io::Result<()> {
        let mut state = self.state();
        self.advance_locked(&mut state, cursor, to)
    }

    fn advance_locked(&self, state: &mut State, cursor: Cursor, to: Position) -> io::Result<()> {
        let i = cursor as usize;
        if to.offset <= state.header.cursors[i].offset {
            return Ok(());
        }
        let unit = self.spool.0.unit;
        let before = state.done() / unit;
        let seq = state.header.slots[i].wrapping_add(1).max(1);
        let (at, slot) = header::encode_cursor(self.name.id, cursor, seq, to);
        sys::pwrite_all(&self.file, &slot, at)?;
        state.header.slots[i] = seq;
        state.header.cursors[i] = to;
        self.spool.give_back((state.done() / unit - before) * unit)
    }

    /// Moves the state cursor past records that are not folded, because the
    /// spool runs full while the state store is away. The durable mark that
    /// `rebuild` reads is written first.
    pub fn skip_state(&self, to: Position) -> io::Result<()> {
        let mut state = self.state();
        let from = state.header.cursors[Cursor::State as usize];
        if to.offset <= from.offset {
            return Ok(());
        }
        crate::quarantine::mark_skipped(&self.spool, &self.name, from, to)?;
        let mut notes = state.header.notes;
        notes.skipped += to.count - from.count;
        self.write_notes(&mut state, notes)?;
        self.advance_locked(&mut state, Cursor::State, to)
    }

    /// When the first record behind the cursor was put, in microseconds since 1970.
    pub fn oldest(&self, cursor: Cursor) -> io::Result<Option<u64>> {
        let outcome = self.read(self.cursor(cursor), &mut Vec::new(), 512)?;
        Ok(outcome.records.first().map(|r| r.time))
    }

    /// How many records it has accepted.
    pub fn count(&self) -> io::Result<u32> {
        if let Some(count) = self.count_from_end()? {
            return Ok(count);
        }
        let [delivery, state] = self.state().header.cursors;
        let mut at = delivery.max(state);
        let mut buf = Vec::new();
        loop {
            let outcome = self.read(at, &mut buf, READ)?;
            at = outcome.next;
            if outcome.state != ReadState::More {
                return Ok(at.count);
            }
        }
    }

    /// From the last frame, if the file ends with a whole one.
    fn count_from_end(&self) -> io::Result<Option<u32>> {
        let len = self.len()?;
        let mut buf = Vec::new();
        sys::pread_to(&self.file, &mut buf, 4, len.saturating_sub(4))?;
        let Some(trailer) = buf
            .get(..4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
        else {
            return Ok(None);
        };
        let size = OVERHEAD as u64 + u64::from(trailer);
        if trailer as usize > MAX_RECORD || len < header::LEN + size {
            return Ok(None);
        }
        buf.clear();
        sys::pread_to(&self.file, &mut buf, size as usize, len - size)?;
        Ok(match frame::decode(&buf, self.salt) {
            Found::Frame { ordinal, .. } | Found::Seal { ordinal } => Some(ordinal),
            _ => None,
        })
    }

    fn sealed(&self, len: u64) -> io::Result<bool> {
        if len < header::LEN + SEAL as u64 {
            return Ok(false);
        }
        let mut buf = Vec::with_capacity(SEAL);
        sys::pread_to(&self.file, &mut buf, SEAL, len - SEAL as u64)?;
        Ok(matches!(frame::decode(&buf, self.salt), Found::Seal { .. }))
    }

    /// What it takes of the spool's limit.
    pub(crate) fn share(&self) -> io::Result<u64> {
        let len = self.len()?;
        Ok(quota::share(
            len,
            self.sealed(len)?,
            self.state().done(),
            self.spool.0.unit,
        ))
    }

    /// Makes what is in the file now safe against a power cut; costs nothing if
    /// it already is. `true`: the disk was asked.
    ///
    /// # Errors
    /// After a failed fdatasync the kernel may have dropped the pages and call
    /// the next one a success. So this file is never synced again: what may be
    /// lost is written to a new segment, now and at each later call.
    pub fn sync(&self) -> Result<bool, SyncError> {
        let failed = |what| {
            move |source| SyncError::Io {
                name: self.name.file(self.suffix),
                what,
                source,
            }
        };
        let (condemned, synced, punched, done) = {
            let state = self.state();
            (
                state.header.notes.condemned,
                state.synced,
                state.punched,
                state.done(),
            )
        };
        let move_out = || {
            self.move_out()
                .map_err(failed("writing its records to a new segment"))
        };
        if condemned {
            return move_out();
        }
        let len = self.len().map_err(failed("fstat"))?;
        let punch = done / PUNCH_STEP * PUNCH_STEP;
        if synced == Some(len) && punch <= punched {
            return Ok(false);
        }
        // Without the lock: a disk may take its time, the cursors must not wait for it.
        if let Err(error) = sys::sync_data(&self.file) {
            let mut state = self.state();
            let notes = Notes {
                condemned: true,
                ..state.header.notes
            };
            self.write_notes(&mut state, notes)
                .map_err(failed("condemning it"))?;
            drop(state);
            tracing::error!(segment = %self.name.id, %error, "fdatasync failed; its records move to a new segment");
            return move_out();
        }
        if synced.is_none() {
            sys::sync_dir(self.spool.dir()).map_err(failed("syncing the directory"))?;
        }
        if punch > punched {
            // Only what cursors that are on disk by now are past; a file system that cannot
            // keeps the bytes.
            let from = punched.next_multiple_of(4096);
            let _ = sys::punch(&self.file, from, punch - from);
        }
        let mut state = self.state();
        state.synced = Some(len);
        state.punched = punched.max(punch);
        Ok(true)
    }

    /// Writes what a cursor is not past to new segments, synced and sealed, and
    /// moves both cursors of this one to its end. A crash in between delivers twice.
    fn move_out(&self) -> io::Result<bool> {
        let mut moved = false;
        while self.move_some()? {
            moved = true;
        }
        Ok(moved)
    }

    fn move_some(&self) -> io::Result<bool> {
        let (old, notes) = {
            let state = self.state();
            (state.header.cursors, state.header.notes)
        };
        let start = old[0].min(old[1]);
        let id = SegmentId::new();
        let mut cursors = [header::START; 2];
        let mut frames = Vec::new();
        let mut buf = Vec::new();
        let (mut at, mut count) = (start, 0);
        while frames.len() < MOVE {
            let outcome = self.read(at, &mut buf, READ)?;
            for record in &outcome.records {
                count += 1;
                frame::encode(
                    &mut frames,
                    id.salt(),
                    count,
                    record.time,
                    &buf[record.payload.clone()],
                );
                for (new, old) in cursors.iter_mut().zip(old) {
                    if record.after <= old {
                        *new = Position {
                            offset: header::LEN + frames.len() as u64,
                            count,
                        };
                    }
                }
            }
            at = outcome.next;
            if outcome.state != ReadState::More {
                break;
            }
        }
        let skipped = notes.skipped.min(cursors[Cursor::State as usize].count);
        if count > 0 {
            frame::encode(&mut frames, id.salt(), count, sys::now_micros(), &[]);
            let notes = Notes {
                skipped,
                ..Notes::default()
            };
            let head = header::encode(id, &self.name.stream, cursors, notes);
            self.spool
                .write_whole_segment(id, &self.name.stream, &[head, frames].concat())?;
        }
        let mut state = self.state();
        let moved = notes.moved + (at.count - start.count);
        let skipped = notes.skipped - skipped;
        let notes = Notes {
            moved,
            skipped,
            ..state.header.notes
        };
        self.write_notes(&mut state, notes)?;
        self.advance_locked(&mut state, Cursor::Delivery, at)?;
        self.advance_locked(&mut state, Cursor::State, at)?;
        Ok(count > 0)
    }

    /// Deletes the segment if no writer may append and both cursors are at the
    /// end; its counts go into the totals first. A damaged one is kept.
    pub fn remove_if_done(&self) -> io::Result<Removal> {
        let dead = !self.alive()?;
        let [delivery, state] = self.state().header.cursors;
        let mut at = delivery.min(state);
        let mut buf = Vec::new();
        let torn = loop {
            let outcome = self.read(at, &mut buf, READ)?;
            if !outcome.records.is_empty() {
                return Ok(Removal::NotYet);
            }
            at = outcome.next;
            match outcome.state {
                ReadState::More => {}
                ReadState::Sealed => break 0,
                ReadState::Torn { bytes } if dead => break bytes,
                _ => return Ok(Removal::NotYet),
            }
        };
        let share = self.share()?;
        let notes = self.state().header.notes;
        let damaged =
            notes.damaged > 0 || (self.state().header.damaged && self.len()? > header::LEN);
        let mut totals = self.contribution()?;
        totals.torn_bytes = torn;
        totals.damaged_bytes = notes.damaged;
        totals.damaged_files = u64::from(damaged);
        totals::begin_removal(&self.spool, &totals, self.name.id)?;
        self.spool.0.removal_failed.store(true, Ordering::Relaxed);
        let removal = remove_file(&self.spool, &self.name, damaged)?;
        self.spool.0.removal_failed.store(false, Ordering::Relaxed);
        self.spool.give_back(share)?;
        Ok(removal)
    }

    /// Its part in the spool's counters.
    pub(crate) fn contribution(&self) -> io::Result<Totals> {
        let count = self.count()?;
        let state = self.state();
        let Notes { moved, skipped, .. } = state.header.notes;
        let passed = |cursor: Cursor| {
            u64::from(
                state.header.cursors[cursor as usize]
                    .count
                    .saturating_sub(moved),
            )
        };
        Ok(Totals {
            accepted: u64::from(count.saturating_sub(moved)),
            delivered: passed(Cursor::Delivery),
            folded: passed(Cursor::State).saturating_sub(u64::from(skipped)),
            skipped: u64::from(skipped),
            ..Totals::default()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where the cursor that is behind stands.
    fn done(&self) -> u64 {
        let [delivery, state] = self.header.cursors;
        delivery.offset.min(state.offset)
    }
}

pub(crate) fn remove_file(spool: &Spool, name: &SegmentName, damaged: bool) -> io::Result<Removal> {
    let file = name.file(SEGMENT);
    if damaged {
        let kept = name.file(DAMAGED);
        sys::rename(spool.dir(), &file, &kept)?;
        return Ok(Removal::KeptDamaged(kept));
    }
    sys::unlink(spool.dir(), &file)?;
    Ok(Removal::Deleted)
}
