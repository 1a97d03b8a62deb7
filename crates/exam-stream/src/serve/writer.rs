//! The writer thread: group commit into cold storage.
//!
//! - A [`Group`] is answered `Ok` only after an fdatasync that covers all of it,
//!   and, where files or directories are new, an fsync of their directories.
//! - While one fdatasync runs, the next groups gather: they share the next one.
//! - What fails is cut away again ([`exam_cold::Writer`]); its groups are told, and
//!   their senders' next attempt goes to another part.
//! - [`Committed`] tells the follower how much of each part may be folded: never
//!   more than would survive a power cut.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use exam_cold::{Grown, OPEN_FILES, Place, Tree};
use tokio::sync::{Notify, mpsc, oneshot};

use super::metrics::Metrics;

/// As much is written before an fdatasync, at the most.
const COMMIT_BYTES: usize = 32 << 20;

/// What the writer is asked for.
pub enum Work {
    Group(Group),
    /// End the parts whose time has come, or all of them, and say so.
    End {
        all: bool,
        done: SyncSender<()>,
    },
}

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

    fn grew(&self, grown: Grown) {
        self.lock().insert(grown.part, grown.len);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        // Nothing can panic while it is held: a poisoned map is a whole one.
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Writer {
    cold: exam_cold::Writer,
    /// None if nothing follows.
    committed: Option<Arc<Committed>>,
    metrics: Arc<Metrics>,
}

impl Writer {
    pub fn new(
        cold: exam_cold::Writer,
        committed: Option<Arc<Committed>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Writer {
            cold,
            committed,
            metrics,
        }
    }

    /// Commits groups until every sender of them is gone.
    pub fn run(mut self, mut queue: mpsc::UnboundedReceiver<Work>) {
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            let mut bytes = 0;
            let mut batch = Vec::new();
            let mut end = None;
            while let Some(work) = next.take() {
                match work {
                    Work::Group(group) => {
                        bytes += group.bytes();
                        batch.push(group);
                        if bytes < COMMIT_BYTES {
                            next = queue.try_recv().ok();
                        }
                    }
                    Work::End { all, done } => end = Some((all, done)),
                }
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
            if let Some((all, done)) = end {
                match all {
                    true => self.cold.end_all(),
                    false => self.cold.end_due(),
                }
                // Who asked may have ended.
                let _ = done.send(());
            }
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
        // Not more at once than are held open, whatever hours a request makes up.
        for some in Vec::from_iter(&by_place).chunks(OPEN_FILES) {
            let mut written = Vec::new();
            for (place, chunks) in some {
                let lines: Vec<&[u8]> = chunks.iter().map(|(_, bytes)| *bytes).collect();
                match self.cold.append(place, &lines) {
                    Ok(()) => written.push((place, chunks)),
                    Err(e) => fail(&mut errors, chunks, place, &e),
                }
            }
            for (place, chunks) in written {
                match (self.cold.sync(place), &self.committed) {
                    (Err(e), _) => fail(&mut errors, chunks, place, &e),
                    // Of the other tree, nothing is folded.
                    (Ok(grown), Some(committed)) if place.tree == Tree::Cold => {
                        committed.grew(grown);
                    }
                    (Ok(_), _) => {}
                }
            }
        }
        self.metrics.commits.observe(began.elapsed());
        for (group, error) in groups.into_iter().zip(errors) {
            // A connection that is gone does not wait for its answer.
            let _ = group.done.send(error.map_or(Ok(()), Err));
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
