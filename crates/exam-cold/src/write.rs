//! Appending to cold storage: the one writer of a directory.
//!
//! - [`append`](Writer::append) writes, [`sync`](Writer::sync) makes durable: file, and where they
//!   are new, directory entries. Only what `sync` covered may be acknowledged.
//! - A failed write or fdatasync cuts its part back to what was durable and *ends* it: what the
//!   kernel still has in memory of it is not trusted, and a reader that went ahead of what was
//!   durable never meets other bytes at the offset it remembers.
//! - A part is *live* until it is ended: at its size, when its hour is over and nothing has come
//!   for [`IDLE`], a day after it was begun, or on demand. An ended part is never appended to
//!   again; closing it is another thread's work (see [`crate::close`]).
//! - Records of many hours at once (a log replayed, clocks that were never set) share
//!   [`OPEN_FILES`] descriptors and continue the part of their hour, however often they take turns.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::calendar::Hour;
use crate::layout::{Place, Select, Tree, create_dir_durably, gz, parts, sync_dir};
use crate::read::whole_lines;

/// Descriptors held; the part longest unused gives its own back.
pub const OPEN_FILES: usize = 64;
/// Parts that may be appended to; the one longest unused is ended.
const LIVE_PARTS: usize = 256;
/// An hour that is over gets stragglers, but not for longer than this.
pub const IDLE: Duration = Duration::from_secs(600);
/// No part is appended to for longer.
pub const AGE: Duration = Duration::from_secs(86_400);

/// Cuts off what follows the last newline of every plain part, in both trees: a write that a crash
/// interrupted, and nobody was told of. Returns how many were cut. Before there is a [`Writer`].
pub fn recover(dir: &Path) -> Result<u64, Error> {
    let mut cut = 0;
    for tree in [Tree::Cold, Tree::Unparsed] {
        for part in parts(dir, tree, &Select::default())? {
            if !part.closed {
                match cut_torn_line(&part.path) {
                    Ok(torn) => cut += u64::from(torn),
                    // An erasure that was under way has just closed it.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io(&part.path)(e)),
                }
            }
        }
    }
    Ok(cut)
}

fn cut_torn_line(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let whole = whole_lines(&file, len)?;
    if whole == len {
        return Ok(false);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(true)
}

/// Which parts are being appended to. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<(Mutex<HashSet<PathBuf>>, AtomicU64)>);

impl Live {
    /// How many parts have been ended: another number tells that there may be one to close.
    pub fn ended(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // Nothing can panic while it is held: a poisoned set is a whole one.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Writer {
    dir: PathBuf,
    part_bytes: u64,
    parts: BTreeMap<Place, LivePart>,
    files: usize,
    live: Live,
    last_begun: u64,
}

struct LivePart {
    path: PathBuf,
    /// See [`crate::Part::name`].
    name: Arc<str>,
    /// None: given back for another part's.
    file: Option<File>,
    /// Durable length.
    synced: u64,
    /// Length with what was appended since.
    len: u64,
    begun: Instant,
    used: Instant,
}

/// A part has so many durable bytes now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// See [`crate::Part::name`].
    pub part: Arc<str>,
    pub len: u64,
}

impl Writer {
    /// `dir` has been [recovered](recover), and nobody else writes there.
    pub fn new(dir: &Path, part_bytes: u64) -> Self {
        Writer {
            dir: dir.to_owned(),
            part_bytes,
            parts: BTreeMap::new(),
            files: 0,
            live: Live::default(),
            last_begun: 0,
        }
    }

    pub fn live(&self) -> Live {
        self.live.clone()
    }

    #[cfg(test)]
    pub(crate) fn last_begun(&self) -> u64 {
        self.last_begun
    }

    #[cfg(test)]
    pub(crate) fn set_last_begun(&mut self, begun: u64) {
        self.last_begun = begun;
    }

    /// Appends whole lines. At most [`OPEN_FILES`] places between two calls of `sync` for each.
    pub fn append(&mut self, place: &Place, lines: &[&[u8]]) -> io::Result<()> {
        let part = self.part(place)?;
        let file = part.file.as_mut().expect("opened by `part`");
        if let Err(error) = write_all(file, lines) {
            self.give_up(place);
            return Err(error);
        }
        part.len += lines.iter().map(|some| some.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Makes durable what was appended to the part of `place`.
    pub fn sync(&mut self, place: &Place) -> io::Result<Grown> {
        let ended = || io::Error::other("what was appended before failed");
        let part = self.parts.get_mut(place).ok_or_else(ended)?;
        let synced = part.file.as_ref().map_or(Ok(()), File::sync_data);
        if let Err(error) = synced {
            self.give_up(place);
            return Err(error);
        }
        part.synced = part.len;
        let grown = Grown {
            part: part.name.clone(),
            len: part.synced,
        };
        if part.synced >= self.part_bytes {
            self.end(place);
        }
        Ok(grown)
    }

    /// Ends the parts whose time has come.
    pub fn end_due(&mut self) {
        let now = Hour::of_micros(micros());
        self.end_where(|place, part| {
            part.begun.elapsed() >= AGE || (place.hour < now && part.used.elapsed() >= IDLE)
        });
    }

    /// Ends all parts.
    pub fn end_all(&mut self) {
        self.end_where(|_, _| true);
    }

    fn end_where(&mut self, due: impl Fn(&Place, &LivePart) -> bool) {
        let due: Vec<Place> = self
            .parts
            .iter()
            .filter(|(place, part)| part.len == part.synced && due(place, part))
            .map(|(place, _)| place.clone())
            .collect();
        due.iter().for_each(|place| self.end(place));
    }

    fn end(&mut self, place: &Place) {
        if let Some(part) = self.parts.remove(place) {
            self.files -= usize::from(part.file.is_some());
            self.live.lock().remove(&part.path);
            self.live.0.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends a part that could not be written, less what was not durable.
    fn give_up(&mut self, place: &Place) {
        let Some(part) = self.parts.get(place) else {
            return;
        };
        // A part of nothing would be one more at each attempt while the disk is full. What cannot
        // be cut off was not acknowledged, and may stay: a torn line is cut at the next start.
        let _ = match (part.synced, &part.file) {
            (0, _) => fs::remove_file(&part.path),
            (synced, Some(file)) => file.set_len(synced),
            (_, None) => Ok(()),
        };
        self.end(place);
    }

    /// The part that `place` is appended to now, with its file open; a new one if there is none.
    fn part(&mut self, place: &Place) -> io::Result<&mut LivePart> {
        if self.parts.get(place).is_none_or(|part| part.file.is_none()) {
            if self.files >= OPEN_FILES
                && let Some(oldest) = self.longest_unused(|part| part.file.is_some())
                && let Some(part) = self.parts.get_mut(&oldest)
            {
                part.file = None;
                self.files -= 1;
            }
            if self.parts.contains_key(place) {
                self.open_again(place);
            }
            if !self.parts.contains_key(place) {
                if self.parts.len() >= LIVE_PARTS
                    && let Some(oldest) = self.longest_unused(|_| true)
                {
                    self.end(&oldest);
                }
                let part = self.begin(place)?;
                self.parts.insert(place.clone(), part);
                self.files += 1;
            }
        }
        let part = self.parts.get_mut(place).expect("found or made above");
        part.used = Instant::now();
        Ok(part)
    }

    fn longest_unused(&self, of: impl Fn(&LivePart) -> bool) -> Option<Place> {
        let clean = self
            .parts
            .iter()
            .filter(|(_, part)| part.len == part.synced && of(part));
        let oldest = clean.min_by_key(|(_, part)| part.used);
        oldest.map(|(place, _)| place.clone())
    }

    /// Opens the file of a part that had given it back; ends the part if it is not as it was.
    fn open_again(&mut self, place: &Place) {
        let Some(part) = self.parts.get_mut(place) else {
            return;
        };
        let file = OpenOptions::new().append(true).open(&part.path);
        let as_it_was = |file: &File| {
            file.metadata()
                .is_ok_and(|about| about.len() == part.synced)
        };
        match file.ok().filter(as_it_was) {
            Some(file) => {
                part.file = Some(file);
                self.files += 1;
            }
            None => self.end(place),
        }
    }

    fn begin(&mut self, place: &Place) -> io::Result<LivePart> {
        let tree = self.dir.join(place.tree.name());
        let dir = self.dir.join(place.to_string());
        let mut gone = 0;
        loop {
            create_dir_durably(&dir)?;
            self.last_begun = micros().max(self.last_begun + 1);
            let path = dir.join(format!("{:016}.jsonl", self.last_begun));
            // The clock was set back: the next microsecond is free or the one after.
            if gz(&path).exists() {
                continue;
            }
            // Live before it is there: whoever closes parts must not take it for an ended one.
            self.live.lock().insert(path.clone());
            let made = OpenOptions::new().append(true).create_new(true).open(&path);
            let made = made.and_then(|file| sync_dir(&dir).map(|()| file));
            if made.is_err() {
                self.live.lock().remove(&path);
            }
            match made {
                Ok(file) => {
                    let name = path.strip_prefix(tree).ok().and_then(Path::to_str);
                    let name = name.expect("made of text above").into();
                    return Ok(LivePart {
                        path,
                        name,
                        file: Some(file),
                        synced: 0,
                        len: 0,
                        begun: Instant::now(),
                        used: Instant::now(),
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                // Retention has just removed the empty directory.
                Err(e) if e.kind() == io::ErrorKind::NotFound && gone < 3 => gone += 1,
                Err(e) => return Err(e),
            }
        }
    }
}

fn micros() -> u64 {
    // A clock before 1970 is a clock that was never set: zero says that as well.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_micros() as u64
}

fn write_all(file: &mut File, lines: &[&[u8]]) -> io::Result<()> {
    // IOV_MAX of Linux.
    for some in lines.chunks(1024) {
        let mut slices: Vec<IoSlice<'_>> = some.iter().map(|c| IoSlice::new(c)).collect();
        let mut slices = slices.as_mut_slice();
        while !slices.is_empty() {
            match file.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut slices, n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}
