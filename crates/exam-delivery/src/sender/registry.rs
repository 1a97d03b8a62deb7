//! The segments the sender has open, shared by its loops.
//!
//! One descriptor per segment, and never more than [`MAX_OPEN`]: this may be a
//! web worker with a limit of 1,024. Of more, the oldest are opened, whose
//! records have waited longest, and the newest, whose state is wanted first.

use crate::progress::Progress;
use crate::sender::state::Lanes;
use exam_spool::{Cursor, Position, Segment, SegmentId, Spool};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

const MAX_OPEN: usize = 256;
/// A directory changed this recently may change again within the same tick of
/// its timestamp.
const MTIME_TICK: Duration = Duration::from_millis(50);

/// A segment, by the order in which the sender found it.
pub(crate) type Key = u32;

pub(crate) struct Entry {
    pub stream: Arc<str>,
    pub file: Arc<Segment>,
    pub delivery: Progress,
    pub state: Progress,
    pub lanes: Lanes,
    /// Nothing will be appended behind this.
    pub end: Option<Position>,
}

impl Entry {
    /// Bytes in the file; 0 if that cannot be told now.
    pub fn len(&self) -> u64 {
        self.file.len().unwrap_or(0)
    }

    /// Bytes nobody has read for delivery yet.
    pub fn unread(&mut self) -> u64 {
        let (next, _) = self.delivery.next();
        match self.end {
            Some(end) => end.offset.saturating_sub(next.offset),
            None => self.len().saturating_sub(next.offset),
        }
    }

    /// Writes the delivery cursor where its progress stands.
    pub fn advance(&self, cursor: Cursor) -> io::Result<()> {
        let progress = match cursor {
            Cursor::Delivery => &self.delivery,
            Cursor::State => &self.state,
        };
        self.file.advance(cursor, progress.cursor())
    }

    fn passed(&mut self, folded: bool) -> bool {
        if !folded {
            self.state.skip(self.delivery.cursor());
        }
        let at = |progress: &Progress, end: Position| progress.cursor().offset >= end.offset;
        self.end
            .is_some_and(|end| at(&self.delivery, end) && at(&self.state, end))
    }
}

pub(crate) struct Registry {
    spool: Spool,
    pub entries: BTreeMap<Key, Entry>,
    known: HashMap<SegmentId, Key>,
    next: Key,
    seen: Option<SystemTime>,
    checked: Option<Instant>,
    /// Segments of an unknown format version, reported once.
    unreadable: HashMap<SegmentId, String>,
}

impl Registry {
    pub fn new(spool: Spool) -> Registry {
        Registry {
            spool,
            entries: BTreeMap::new(),
            known: HashMap::new(),
            next: 0,
            seen: None,
            checked: None,
            unreadable: HashMap::new(),
        }
    }

    /// Opens segments that are new; answers what could not be opened, once.
    pub fn refresh(&mut self, every: Duration) -> io::Result<Vec<String>> {
        if self.checked.is_some_and(|at| at.elapsed() < every) {
            return Ok(Vec::new());
        }
        self.checked = Some(Instant::now());
        let changed = std::fs::metadata(self.spool.path())?.modified()?;
        let settled = changed.elapsed().is_ok_and(|age| age > MTIME_TICK);
        if settled && self.seen == Some(changed) {
            return Ok(Vec::new());
        }
        let mut names = self.spool.segment_names()?;
        let all = names.len();
        if all > MAX_OPEN {
            names.drain(MAX_OPEN / 2..all - MAX_OPEN / 2);
        }
        let mut troubles = Vec::new();
        for name in names {
            if self.known.contains_key(&name.id)
                || self.unreadable.contains_key(&name.id)
                || self.known.len() >= MAX_OPEN
            {
                continue;
            }
            let id = name.id;
            let stream: Arc<str> = name.stream.as_ref().into();
            match self.spool.segment(name) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    let state = file.cursor(Cursor::State);
                    let entry = Entry {
                        stream,
                        delivery: Progress::new(file.cursor(Cursor::Delivery)),
                        state: Progress::new(state),
                        lanes: Lanes::new(state),
                        end: None,
                        file: Arc::new(file),
                    };
                    self.known.insert(id, self.next);
                    self.entries.insert(self.next, entry);
                    self.next += 1;
                }
                Err(error) => {
                    troubles.push(error.to_string());
                    self.unreadable.insert(id, error.to_string());
                }
            }
        }
        // With more than can be open, look again as soon as one is done.
        // What was read within the tick of a change may lack another of that tick.
        self.seen = (settled && all <= MAX_OPEN).then_some(changed);
        Ok(troubles)
    }

    /// Deletes what both cursors are past and nobody can append to.
    /// Where nothing is `folded`, what is delivered is done with.
    pub fn remove_done(&mut self, folded: bool) -> io::Result<()> {
        let mut buf = Vec::new();
        let mut first_error = Ok(());
        let gone: Vec<Key> = self
            .entries
            .iter_mut()
            .filter_map(|(key, entry)| {
                // Read to its last byte, but it may have been sealed since.
                if entry.end.is_none() && entry.unread() <= SEAL_BYTES {
                    let (next, _) = entry.delivery.next();
                    let outcome = entry.file.read(next, &mut buf, 512).ok()?;
                    if outcome.records.is_empty() {
                        match outcome.state {
                            exam_spool::ReadState::Sealed => entry.end = Some(outcome.next),
                            exam_spool::ReadState::Torn { .. } => entry.end = Some(next),
                            _ => {}
                        }
                        if let Some(end) = entry.end {
                            entry.delivery.taken(end);
                            // A seal carries nothing: passed with what is before it.
                            entry.delivery.complete(next, end);
                            entry.state.complete(next, end);
                        }
                    }
                }
                if !entry.passed(folded) {
                    return None;
                }
                match entry.file.remove_if_done() {
                    Ok(exam_spool::Removal::NotYet) => None,
                    Ok(_) => Some(*key),
                    Err(error) => {
                        first_error = Err(error);
                        None
                    }
                }
            })
            .collect();
        for key in gone {
            if let Some(entry) = self.entries.remove(&key) {
                self.known.remove(&entry.file.id());
            }
        }
        first_error
    }
}

/// At most this much is behind the last record of a sealed segment.
const SEAL_BYTES: u64 = 64;
