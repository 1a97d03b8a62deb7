//! The fold of `serve`: follows cold storage into the state store.
//!
//! - How far each part is folded is a [`Position`] in the store itself, written
//!   with the fold. A part without one is folded from its start: a new store, or
//!   one that lost its memory, is filled without anybody's doing.
//! - A lost memory is noticed within [`CHECK`] even when nothing arrives, by
//!   looking for the position written last.
//! - What arrives now goes first; older parts follow, the newest first.
//! - A store that does not answer is asked again, later and later. Nothing that
//!   receives records ever waits for it.
//! - Memory: one piece of a part, whatever is left to fold: some 20,000 records,
//!   of which only winners travel.
//! - A part is read by its name and offset, closed or not. One that is gone or
//!   damaged is left out, and stops no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use exam_cold::Part;
use exam_state::{FoldBatch, Position, StateError, StateStore};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, watch};

use super::metrics::Metrics;
use super::writer::Committed;

const CHECK: Duration = Duration::from_secs(1);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// As long after the last record is what is left folded when `serve` ends.
const FAREWELL: Duration = Duration::from_secs(5);

pub struct Follower {
    dir: PathBuf,
    /// Names this cold storage in the store.
    id: String,
    store: Arc<dyn StateStore>,
    /// Held while lines are in memory.
    folding: Arc<Mutex<()>>,
    committed: Arc<Committed>,
    metrics: Arc<Metrics>,
    parts: BTreeMap<Arc<str>, Progress>,
    /// Parts with lines that arrived since the last round.
    live: Vec<Arc<str>>,
    /// Other parts with lines to fold, by the time they were begun.
    backlog: BTreeMap<(String, Arc<str>), ()>,
    /// The positions in the store are known.
    loaded: bool,
    /// The part folded last, whose position must be in the store.
    witness: Option<Arc<str>>,
    batch: FoldBatch,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    len: u64,
    /// None: the store has no position of it.
    folded: Option<u64>,
}

impl Progress {
    fn pending(self) -> u64 {
        self.len.saturating_sub(self.folded.unwrap_or(0))
    }
}

enum Error {
    State(StateError),
    Read(Arc<str>, exam_cold::Error),
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Error::State(error)
    }
}

impl Follower {
    pub fn new(
        dir: &Path,
        id: String,
        parts: Vec<Part>,
        store: Arc<dyn StateStore>,
        folding: Arc<Mutex<()>>,
        committed: Arc<Committed>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let progress = |part: Part| match part.length() {
            Ok(len) => Some((part.name, Progress { len, folded: None })),
            Err(error) => {
                tracing::error!(%error, "its lines are not folded");
                None
            }
        };
        Follower {
            dir: dir.join("cold"),
            id,
            store,
            folding,
            committed,
            metrics,
            parts: parts.into_iter().filter_map(progress).collect(),
            live: Vec::new(),
            backlog: BTreeMap::new(),
            loaded: false,
            witness: None,
            batch: FoldBatch::new(),
            buffer: Vec::new(),
        }
    }

    /// Follows until `stop` says so and all is folded or [`FAREWELL`] is over.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut checked = Instant::now();
        let mut backoff = BACKOFF.0;
        let mut farewell = None;
        let mut failing = false;
        loop {
            if *stop.borrow() {
                let until = *farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
                if Instant::now() >= until {
                    return;
                }
            }
            match self.round(&mut checked).await {
                Ok(more) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the state store answers again");
                    }
                    backoff = BACKOFF.0;
                    if more {
                        continue;
                    }
                    if farewell.is_some() {
                        return;
                    }
                    tokio::select! {
                        () = self.committed.changed() => {}
                        () = tokio::time::sleep(CHECK) => {}
                        _ = stop.changed() => {}
                    }
                }
                Err(Error::State(StateError::PositionMoved { name })) => {
                    tracing::warn!(%name, "the state store lost its memory: refilling it from cold storage");
                    self.metrics.refills.add(1);
                    self.loaded = false;
                }
                Err(Error::Read(part, error)) if error.is_gone() => {
                    tracing::info!(%part, "is gone from cold storage");
                    self.parts.remove(&part);
                    self.loaded = false;
                }
                Err(Error::Read(part, error @ exam_cold::Error::Damaged { .. })) => {
                    tracing::error!(%error, "its lines are not folded");
                    self.parts.remove(&part);
                    self.loaded = false;
                }
                Err(error) => {
                    self.metrics.fold_errors.add(1);
                    if !std::mem::replace(&mut failing, true) {
                        match error {
                            Error::State(error) => tracing::warn!(%error, "folding waits"),
                            Error::Read(part, error) => {
                                tracing::warn!(%part, %error, "folding waits: a part cannot be read");
                            }
                        }
                    }
                    // Whatever it was, the store may come back empty.
                    self.loaded = false;
                    tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Folds what has arrived, and one piece of the backlog. True if there is more.
    async fn round(&mut self, checked: &mut Instant) -> Result<bool, Error> {
        let began = Instant::now();
        for (name, len) in self.committed.take() {
            self.parts.entry(name.clone()).or_default().len = len;
            self.live.push(name);
        }
        self.tell_pending();
        if !self.loaded {
            self.load().await?;
        } else if checked.elapsed() >= CHECK {
            self.check().await?;
            *checked = Instant::now();
        }
        while let Some(name) = self.live.last().cloned() {
            while self.fold_piece(&name).await? {}
            self.live.pop();
        }
        if let Some(((_, name), ())) = self.backlog.last_key_value() {
            let name = name.clone();
            if !self.fold_piece(&name).await? {
                self.backlog.pop_last();
            }
        }
        if self.backlog.is_empty() {
            self.metrics.set_caught_up(began);
        }
        self.tell_pending();
        Ok(!self.backlog.is_empty())
    }

    /// Reads every part's position from the store.
    async fn load(&mut self) -> Result<(), Error> {
        let names: Vec<Arc<str>> = self.parts.keys().cloned().collect();
        let (store, id) = (&self.store, &self.id);
        let reads = names.into_iter().map(|name| async move {
            let stored = store.position(&position_name(id, &name)).await?;
            let stored = stored.and_then(|p| std::str::from_utf8(&p).ok()?.parse().ok());
            Ok::<(Arc<str>, Option<u64>), StateError>((name, stored))
        });
        let found: Vec<_> = stream::iter(reads)
            .buffer_unordered(64)
            .try_collect()
            .await?;
        self.live.clear();
        self.backlog.clear();
        self.witness = None;
        for (name, folded) in found {
            let Some(progress) = self.parts.get_mut(&name) else {
                continue;
            };
            progress.folded = folded;
            if progress.pending() > 0 {
                self.backlog.insert((begun(&name), name.clone()), ());
            }
            if folded.is_some() {
                self.witness = Some(name);
            }
        }
        self.loaded = true;
        self.tell_pending();
        Ok(())
    }

    /// Is the position written last still there?
    async fn check(&self) -> Result<(), Error> {
        let Some(name) = &self.witness else {
            return Ok(());
        };
        let stored = self.store.position(&position_name(&self.id, name)).await?;
        let expected = self.parts.get(name).and_then(|p| p.folded).map(text);
        if stored == expected {
            return Ok(());
        }
        Err(StateError::PositionMoved {
            name: position_name(&self.id, name),
        }
        .into())
    }

    /// Folds the next piece of a part. True if there is more of it.
    async fn fold_piece(&mut self, name: &Arc<str>) -> Result<bool, Error> {
        let Some(progress) = self.parts.get(name).copied() else {
            return Ok(false);
        };
        if progress.pending() == 0 {
            return Ok(false);
        }
        let from = progress.folded.unwrap_or(0);
        let folding = self.folding.clone();
        let _folding = folding.lock().await;
        let path = self.dir.join(&**name);
        exam_cold::read(&path, from, progress.len, &mut self.buffer)
            .map_err(|e| Error::Read(name.clone(), e))?;
        let whole = self.buffer.len();
        if whole == 0 {
            // Somebody else has cut it: what is not there does not keep the others waiting.
            self.parts.entry(name.clone()).or_default().len = from;
            return Ok(false);
        }
        self.batch.clear();
        let mut malformed = 0;
        for line in self.buffer.split(|b| *b == b'\n') {
            if !line.is_empty() && self.batch.push(line).is_err() {
                malformed += 1;
            }
        }
        let folded = from + whole as u64;
        self.batch.position = Some(Position {
            name: position_name(&self.id, name),
            before: progress.folded.map(text),
            after: text(folded),
        });
        self.store.fold(&self.batch).await?;
        self.metrics.fold_pending.sub(whole as u64);
        self.metrics.folded.add(self.batch.records() as u64);
        self.metrics.malformed.add(malformed);
        if let Some(progress) = self.parts.get_mut(name) {
            progress.folded = Some(folded);
        }
        self.witness = Some(name.clone());
        Ok(folded < progress.len)
    }

    fn tell_pending(&self) {
        // Parts that wait are named in one of the two lists once positions are known.
        let waiting = self
            .live
            .iter()
            .chain(self.backlog.keys().map(|(_, name)| name));
        let pending = |name| self.parts.get(name).map_or(0, |p| p.pending());
        let bytes = match self.loaded {
            true => waiting.map(pending).sum(),
            false => self.parts.values().map(|p| p.pending()).sum(),
        };
        self.metrics.fold_pending.set(bytes);
    }
}

fn position_name(id: &str, part: &str) -> String {
    format!("serve/{id}/{part}")
}

fn text(position: u64) -> Vec<u8> {
    position.to_string().into_bytes()
}

/// The last component of a part's name sorts by the time the part was begun.
fn begun(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}
