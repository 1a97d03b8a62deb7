//! The closing thread: ends parts, closes them, and lets other programs at them.
//!
//! It works at the lowest priority and behind nobody's answer: a part that is not closed yet is
//! read as well as one that is. What cannot be closed (a full disk) stays plain and is tried again.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use exam_cold::{Error, Live, Rewriting, Select, Tree};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::sync::{Mutex, mpsc};

use super::metrics::Metrics;
use super::writer::Work;

/// A program that asks for the live parts waits at most so long.
const POLL: Duration = Duration::from_millis(100);
const ROUND: Duration = Duration::from_secs(10);
/// A part that could not be closed is tried again after this time.
const RETRY: Duration = Duration::from_secs(60);

pub struct Closer {
    pub dir: PathBuf,
    pub live: Live,
    /// Gone when `serve` ends.
    pub writer: mpsc::WeakUnboundedSender<Work>,
    /// Held by the fold while it has lines in memory.
    pub folding: Arc<Mutex<()>>,
    pub metrics: Arc<Metrics>,
}

impl Closer {
    pub fn run(self) {
        // Of this thread alone, as Linux has it. Refused, it is as busy as the others.
        let _ = setpriority_process(Some(gettid()), 19);
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "what an interrupted closing left cannot be removed");
        }
        let mut failed = HashMap::new();
        let mut round = None;
        let mut ended = 0;
        while self.writer.strong_count() > 0 {
            if exam_cold::asked_to_release(&self.dir) {
                self.release();
            }
            let due = round.is_none_or(|at: Instant| at.elapsed() >= ROUND);
            if due {
                self.end(false);
            }
            let before = std::mem::replace(&mut ended, self.live.ended());
            if due || before != ended {
                if let Err(error) = self.close(&mut failed) {
                    tracing::warn!(%error, "no part can be closed");
                }
                round = Some(Instant::now());
            }
            thread::sleep(POLL);
        }
    }

    fn sweep(&self) -> Result<(), Error> {
        match Rewriting::try_lock(&self.dir)? {
            Some(rewriting) => rewriting.sweep(),
            None => Ok(()),
        }
    }

    /// Has the writer end parts; returns when it has.
    fn end(&self, all: bool) {
        let (done, ended) = sync_channel(1);
        if let Some(writer) = self.writer.upgrade()
            && writer.send(Work::End { all, done }).is_ok()
        {
            drop(writer);
            // An error: it ended without a word, and with all its parts.
            let _ = ended.recv();
        }
    }

    fn release(&self) {
        self.end(true);
        // What the fold has read is folded before whoever asks removes it from the store.
        drop(self.folding.blocking_lock());
        if let Err(error) = exam_cold::released(&self.dir) {
            tracing::warn!(%error, "a program that asks for the live parts waits in vain");
        }
    }

    fn close(&self, failed: &mut HashMap<PathBuf, Instant>) -> Result<(), Error> {
        failed.retain(|_, at| at.elapsed() < RETRY);
        let parts = match Rewriting::try_lock(&self.dir)? {
            Some(rewriting) => rewriting.to_close(&self.live)?,
            // An erasure is under way.
            None => return Ok(()),
        };
        for part in parts {
            if failed.contains_key(&part.path) {
                continue;
            }
            if self.writer.strong_count() == 0 || exam_cold::asked_to_release(&self.dir) {
                break;
            }
            let Some(rewriting) = Rewriting::try_lock(&self.dir)? else {
                break;
            };
            match rewriting.close(&part.path) {
                Ok(closed) => {
                    self.metrics.parts_closed.add(u64::from(closed.is_some()));
                }
                Err(error) => {
                    self.metrics.close_errors.add(1);
                    tracing::warn!(%error, part = %part.name, "not closed; it stays as it is");
                    failed.insert(part.path, Instant::now());
                }
            }
        }
        self.measure()
    }

    fn measure(&self) -> Result<(), Error> {
        let parts = exam_cold::parts(&self.dir, Tree::Cold, &Select::default())?;
        let plain = parts.iter().filter(|part| !part.closed).count();
        let bytes = parts.iter().map(|part| part.bytes).sum();
        self.metrics.parts.set(parts.len() as u64);
        self.metrics.parts_plain.set(plain as u64);
        self.metrics.cold_bytes.set(bytes);
        Ok(())
    }
}
