//! The writer thread: group commit into cold storage.
//!
//! - A [`Group`] is answered `Ok` only after an fdatasync that covers all of it,
//!   and, where files or directories are new, an fsync of their directories.
//! - While one fdatasync runs, the next groups gather: they share the next one.
//! - A failed write is cut away again and answered with its error; the part is
//!   then used on. A failed fdatasync ends its part: what the kernel still has
//!   in memory of it is not trusted, and the sender's next attempt goes elsewhere.
//! - [`Committed`] tells the follower how much of each part may be folded: never
//!   more than would survive a power cut.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use super::metrics::Metrics;
use crate::clock;
use crate::cold::{self, Place, Tree};

/// As much is written before an fdatasync, at the most.
const COMMIT_BYTES: usize = 32 << 20;
/// Parts held open; the one longest unused is closed first.
const OPEN_PARTS: usize = 64;

/// The lines of one request.
pub struct Group {
    pub chunks: Vec<(Place, Vec<u8>)>,
    pub done: oneshot::Sender<io::Result<()>>,
}

/// The durable length of the parts of the cold tree that have grown.
#[derive(Default)]
pub struct Committed {
    grown: Mutex<BTreeMap<Arc<str>, u64>>,
    changed: Notify,
}

impl Committed {
    /// What has grown since this was asked last.
    pub fn take(&self) -> BTreeMap<Arc<str>, u64> {
        std::mem::take(&mut *self.lock())
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn grew(&self, part: &Arc<str>, len: u64) {
        self.lock().insert(part.clone(), len);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        // Nothing can panic while it is held: a poisoned map is a whole one.
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Writer {
    dir: PathBuf,
    part_bytes: u64,
    open: BTreeMap<Place, OpenPart>,
    last_begun: u64,
    /// None if nothing follows.
    committed: Option<Arc<Committed>>,
    metrics: Arc<Metrics>,
}

struct OpenPart {
    file: File,
    /// Below `DIR/cold`; of another tree, nothing follows it.
    name: Option<Arc<str>>,
    /// Durable length.
    synced: u64,
    /// Length with what this commit wrote.
    len: u64,
    used: Instant,
}

impl Writer {
    pub fn new(
        dir: &Path,
        part_bytes: u64,
        committed: Option<Arc<Committed>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (dir, open) = (dir.to_owned(), BTreeMap::new());
        Writer {
            dir,
            part_bytes,
            open,
            last_begun: 0,
            committed,
            metrics,
        }
    }

    /// Commits groups until every sender of them is gone.
    pub fn run(mut self, mut groups: mpsc::UnboundedReceiver<Group>) {
        while let Some(first) = groups.blocking_recv() {
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            while bytes < COMMIT_BYTES
                && let Ok(next) = groups.try_recv()
            {
                bytes += next.bytes();
                batch.push(next);
            }
            self.commit(batch);
        }
    }

    fn commit(&mut self, groups: Vec<Group>) {
        let began = Instant::now();
        let mut by_place: BTreeMap<&Place, Vec<(usize, &[u8])>> = BTreeMap::new();
        for (index, group) in groups.iter().enumerate() {
            for (place, bytes) in &group.chunks {
                by_place.entry(place).or_default().push((index, bytes));
            }
        }
        let mut errors: Vec<Option<io::Error>> = groups.iter().map(|_| None).collect();
        // Not more at once than are held open, whatever dates a request makes up.
        for some in Vec::from_iter(&by_place).chunks(OPEN_PARTS) {
            let mut written = Vec::new();
            for (place, chunks) in some {
                match self.append(place, chunks) {
                    Ok(()) => written.push((place, chunks)),
                    Err(e) => fail(&mut errors, chunks, place, &e),
                }
            }
            for (place, chunks) in written {
                if let Err(e) = self.sync(place) {
                    fail(&mut errors, chunks, place, &e);
                }
            }
        }
        self.metrics.commits.observe(began.elapsed());
        for (group, error) in groups.into_iter().zip(errors) {
            // A connection that is gone does not wait for its answer.
            let _ = group.done.send(error.map_or(Ok(()), Err));
        }
    }

    fn append(&mut self, place: &Place, chunks: &[(usize, &[u8])]) -> io::Result<()> {
        let part = self.part(place)?;
        let chunks: Vec<&[u8]> = chunks.iter().map(|(_, bytes)| *bytes).collect();
        let Err(error) = write_all(&mut part.file, &chunks) else {
            part.len += chunks.iter().map(|c| c.len() as u64).sum::<u64>();
            return Ok(());
        };
        if part.file.set_len(part.synced).is_err() {
            // Its torn end is cut at the next start.
            self.open.remove(place);
        }
        Err(error)
    }

    fn sync(&mut self, place: &Place) -> io::Result<()> {
        let Some(part) = self.open.get_mut(place) else {
            return Ok(());
        };
        if let Err(error) = part.file.sync_data() {
            let _ = part.file.set_len(part.synced);
            self.open.remove(place);
            return Err(error);
        }
        part.synced = part.len;
        if let (Some(name), Some(committed)) = (&part.name, &self.committed) {
            committed.grew(name, part.synced);
        }
        if part.synced >= self.part_bytes {
            self.open.remove(place);
        }
        Ok(())
    }

    /// The part that `place` is appended to now; a new one if there is none.
    fn part(&mut self, place: &Place) -> io::Result<&mut OpenPart> {
        if !self.open.contains_key(place) {
            if self.open.len() >= OPEN_PARTS {
                let clean = self.open.iter().filter(|(_, p)| p.synced == p.len);
                if let Some((oldest, _)) = clean.min_by_key(|(_, p)| p.used) {
                    let oldest = oldest.clone();
                    self.open.remove(&oldest);
                }
            }
            let part = self.begin(place)?;
            self.open.insert(place.clone(), part);
        }
        let part = self.open.get_mut(place).expect("inserted above");
        part.used = Instant::now();
        Ok(part)
    }

    fn begin(&mut self, place: &Place) -> io::Result<OpenPart> {
        let dir = self.dir.join(place.to_string());
        cold::create_dir_durably(&dir)?;
        loop {
            let now = clock::since_epoch().as_micros() as u64;
            self.last_begun = now.max(self.last_begun + 1);
            let path = dir.join(format!("{:016}.jsonl", self.last_begun));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    cold::sync_dir(&dir)?;
                    let name = (place.tree == Tree::Cold)
                        .then(|| path.strip_prefix(self.dir.join("cold")).ok()?.to_str())
                        .flatten()
                        .map(Arc::from);
                    return Ok(OpenPart {
                        file,
                        name,
                        synced: 0,
                        len: 0,
                        used: Instant::now(),
                    });
                }
                // The clock was set back: the next microsecond is free or the one after.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Group {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

fn fail(
    errors: &mut [Option<io::Error>],
    chunks: &[(usize, &[u8])],
    place: &Place,
    error: &io::Error,
) {
    tracing::error!(%place, %error, "not written; the senders are told to try again");
    for (index, _) in chunks {
        errors[*index] = Some(io::Error::new(error.kind(), format!("{place}: {error}")));
    }
}

fn write_all(file: &mut File, chunks: &[&[u8]]) -> io::Result<()> {
    // IOV_MAX of Linux.
    for some in chunks.chunks(1024) {
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
