//! Following cold storage from outside of its writer.
//!
//! - Every line of every part comes once, in batches of whole lines, and parts in the order of
//!   their hours. The last lines of a live part may not be acknowledged yet; whoever sent them
//!   sends them again then, so a reader that deduplicates by `id` need not care.
//! - A position is a part's name and an uncompressed offset. Closing, erasure and restarts leave
//!   it right; retention removes it. Who stores [`positions`](Follower::positions) with what it
//!   made of the batches, and gives them back, continues exactly there.
//! - A poll looks at the live parts, and once in [`RESCAN`] for new ones: one stat(2) an hour's
//!   directory, which is read again only when it has changed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::Error;
use crate::layout::{Part, Select, Tree, gz, places};

/// A new part is found within this time.
pub const RESCAN: Duration = Duration::from_secs(1);
/// A part that could not be read is tried again after this time.
const RETRY: Duration = Duration::from_secs(10);
/// A directory changed so short a time ago may change again without its time telling.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Part name → uncompressed offset up to which it was read.
pub type Positions = BTreeMap<String, u64>;

/// Whole lines of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub part: Arc<str>,
    /// Uncompressed offset of the first line.
    pub from: u64,
    /// Each ended by its newline.
    pub lines: Vec<u8>,
}

pub struct Follower {
    dir: PathBuf,
    stream: Option<String>,
    positions: Positions,
    /// When each directory had changed last as it was read; `None` if it is to be read again.
    places: HashMap<PathBuf, Option<SystemTime>>,
    /// Parts that may grow.
    plain: Vec<Part>,
    /// Parts with lines to read, and up to where in this turn.
    queue: VecDeque<(Part, u64)>,
    scanned: Option<Instant>,
    /// Parts that could not be read, and when.
    broken: HashMap<Arc<str>, Instant>,
}

impl Follower {
    /// Follows all streams of the cold storage in `dir`, or one, from `positions` on.
    pub fn new(dir: &Path, stream: Option<&str>, positions: Positions) -> Self {
        Follower {
            dir: dir.to_owned(),
            stream: stream.map(str::to_owned),
            positions,
            places: HashMap::new(),
            plain: Vec::new(),
            queue: VecDeque::new(),
            scanned: None,
            broken: HashMap::new(),
        }
    }

    /// How far it has read: behind the last batch it gave.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Has the next poll look for new parts, however short ago it did.
    #[cfg(test)]
    pub(crate) fn scan_now(&mut self) {
        self.scanned = None;
    }

    /// The next lines, some 4 MiB of them; `None` if there are none now. An error is about one
    /// part, which is tried again later; the next call goes on with the others.
    pub fn poll(&mut self) -> Result<Option<Batch>, Error> {
        match self.next_of_queue()? {
            Some(batch) => Ok(Some(batch)),
            None => {
                self.look()?;
                self.next_of_queue()
            }
        }
    }

    fn next_of_queue(&mut self) -> Result<Option<Batch>, Error> {
        while let Some((part, until)) = self.queue.front() {
            let from = self.positions.get(&*part.name).copied().unwrap_or(0);
            let mut lines = Vec::new();
            if from < *until {
                match part.read(from, &mut lines) {
                    Ok(()) => {}
                    Err(error) if error.is_gone() => {}
                    Err(error) => {
                        self.broken.insert(part.name.clone(), Instant::now());
                        self.queue.pop_front();
                        return Err(error);
                    }
                }
            }
            if lines.is_empty() {
                self.queue.pop_front();
                continue;
            }
            let part = part.name.clone();
            let to = from + lines.len() as u64;
            self.positions.insert(part.to_string(), to);
            return Ok(Some(Batch { part, from, lines }));
        }
        Ok(None)
    }

    /// Fills the queue.
    fn look(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        let mut scanned = Ok(());
        if self.scanned.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.try_again();
            scanned = self.scan(&mut found);
            self.scanned = Some(Instant::now());
        }
        let positions = &self.positions;
        self.plain.retain(|part| {
            let from = positions.get(&*part.name).copied().unwrap_or(0);
            match fs::metadata(&part.path) {
                Ok(about) if about.len() > from => found.push((part.clone(), about.len())),
                Ok(_) => {}
                // Closed: what is left of it is read from there.
                Err(_) => {
                    found.push((part.clone(), u64::MAX));
                    return false;
                }
            }
            true
        });
        found.retain(|(part, _)| !self.broken.contains_key(&part.name));
        found.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
        self.queue = found.into();
        scanned
    }

    /// Has the directories of parts that could not be read looked into again.
    fn try_again(&mut self) {
        let root = self.dir.join(Tree::Cold.name());
        let places = &mut self.places;
        self.broken.retain(|name, since| {
            let waits = since.elapsed() < RETRY;
            if !waits && let Some(place) = root.join(&**name).parent() {
                places.insert(place.to_owned(), None);
            }
            waits
        });
    }

    /// Reads the directories that have changed.
    fn scan(&mut self, found: &mut Vec<(Part, u64)>) -> Result<(), Error> {
        let select = Select {
            stream: self.stream.as_deref(),
            ..Select::default()
        };
        let mut there = HashSet::new();
        let mut failed = None;
        for place in places(&self.dir, Tree::Cold, &select)? {
            there.insert(place.name.clone());
            let modified = place.modified()?;
            if modified.is_some() && self.places.get(&place.path) == Some(&modified) {
                continue;
            }
            let mut parts = Vec::new();
            place.parts(&mut parts)?;
            let names: HashSet<Arc<str>> = parts.iter().map(|part| part.name.clone()).collect();
            let root = self.dir.join(Tree::Cold.name());
            self.positions.retain(|name, _| {
                let elsewhere = name
                    .rsplit_once('/')
                    .is_none_or(|(dir, _)| dir != place.name);
                elsewhere || names.contains(&**name) || is_there(&root.join(name))
            });
            self.plain.retain(|part| !names.contains(&part.name));
            for part in parts {
                if !part.closed {
                    self.plain.push(part);
                    continue;
                }
                let from = self.positions.get(&*part.name).copied().unwrap_or(0);
                match part.length() {
                    Ok(len) if len > from => found.push((part, len)),
                    Ok(_) => {}
                    Err(error) if error.is_gone() => {}
                    Err(error) => {
                        self.broken.insert(part.name, Instant::now());
                        failed = Some(error);
                    }
                }
            }
            let settled = modified.filter(|at| at.elapsed().is_ok_and(|age| age > UNSETTLED));
            self.places.insert(place.path, settled);
        }
        // Of no directory at all: what they lie on is not mounted, rather than all removed.
        if there.len() != self.places.len() && !there.is_empty() {
            self.positions.retain(|name, _| {
                name.rsplit_once('/')
                    .is_none_or(|(dir, _)| there.contains(dir))
            });
            let root = self.dir.join(Tree::Cold.name());
            self.places.retain(|path, _| {
                let name = path.strip_prefix(&root).ok().and_then(Path::to_str);
                name.is_some_and(|name| there.contains(name))
            });
        }
        failed.map_or(Ok(()), Err)
    }
}

fn is_there(path: &Path) -> bool {
    path.exists() || gz(path).exists()
}
