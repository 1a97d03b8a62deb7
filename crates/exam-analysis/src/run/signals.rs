//! Results about an attempt or a quiz, as `signal` records in the state store.
//!
//! Folding is idempotent, so a signal may be folded again after a crash. A store that does not
//! answer is asked again, later and later; windows never wait for it, and what exceeds [`LIMIT`]
//! meanwhile is dropped, the oldest first, and counted: the files of results hold it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use exam_state::{FoldBatch, StateStore};
use serde_json::value::RawValue;

use crate::dialect::Millis;
use crate::json::time;

const LIMIT: usize = 200_000;
const BATCH: usize = 2_000;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long what waits may take to be folded when the program ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// The columns of a result that say what it is about.
#[derive(serde::Deserialize)]
struct About {
    site: String,
    quiz: i64,
    attempt: Option<i64>,
    slot: Option<i64>,
}

#[derive(serde::Serialize)]
struct Signal<'a> {
    v: u8,
    id: String,
    r#type: &'a str,
    ts: f64,
    at: f64,
    site: &'a str,
    quiz: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<i64>,
    name: &'a str,
    revision: u64,
    row: &'a RawValue,
}

/// The record of a result; `None` if the result does not say which quiz it is about.
pub fn record(name: &str, row: &str, end: Millis, revision: u64) -> Option<String> {
    let row: &RawValue = serde_json::from_str(row).ok()?;
    let About {
        site,
        quiz,
        attempt,
        slot,
    } = serde_json::from_str(row.get()).ok()?;
    let word = |n: Option<i64>| n.map_or_else(String::new, |n| n.to_string());
    let seconds = end as f64 / 1e3;
    let signal = Signal {
        v: 1,
        id: format!(
            "{name}/{}/{site}/{quiz}/{}/{}/{revision}",
            time(end),
            word(attempt),
            word(slot)
        ),
        r#type: "signal",
        ts: seconds,
        at: seconds,
        site: &site,
        quiz,
        attempt,
        slot,
        name,
        revision,
        row,
    };
    serde_json::to_string(&signal).ok()
}

/// Folds signals on a thread of its own.
pub struct Folder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<(VecDeque<String>, Option<Instant>)>,
    more: Condvar,
    folded: AtomicU64,
    dropped: AtomicU64,
}

impl Folder {
    pub fn start(store: Arc<dyn StateStore>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = {
            let shared = shared.clone();
            thread::Builder::new()
                .name("signals".into())
                .spawn(move || runtime.block_on(fold(&shared, &*store)))?
        };
        Ok(Folder {
            shared,
            thread: Some(thread),
        })
    }

    pub fn push(&self, records: Vec<String>) {
        let mut queue = self
            .shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        queue.0.extend(records);
        while queue.0.len() > LIMIT {
            queue.0.pop_front();
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.more.notify_one();
    }

    /// Folded, waiting, dropped.
    pub fn counts(&self) -> (u64, u64, u64) {
        let waiting = self
            .shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .len();
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (
            load(&self.shared.folded),
            waiting as u64,
            load(&self.shared.dropped),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut queue = self
            .shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        queue.1 = Some(Instant::now() + FAREWELL);
        drop(queue);
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn fold(shared: &Shared, store: &dyn StateStore) {
    let (mut backoff, mut failing) = (BACKOFF.0, false);
    loop {
        let lines: Vec<String> = {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            while queue.0.is_empty() && queue.1.is_none() {
                queue = shared
                    .more
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let over = queue.1.is_some_and(|until| Instant::now() >= until);
            if queue.0.is_empty() || over {
                if over && !queue.0.is_empty() {
                    tracing::warn!(
                        signals = queue.0.len(),
                        "the state store did not take these in time; the results hold them"
                    );
                }
                return;
            }
            let count = queue.0.len().min(BATCH);
            queue.0.drain(..count).collect()
        };
        let mut batch = FoldBatch::new();
        for line in &lines {
            if let Err(error) = batch.push(line.as_bytes()) {
                tracing::warn!(%error, "a signal is not folded");
            }
        }
        match store.fold(&batch).await {
            Ok(()) => {
                shared
                    .folded
                    .fetch_add(lines.len() as u64, Ordering::Relaxed);
                if std::mem::take(&mut failing) {
                    tracing::info!("the state store answers again");
                }
                backoff = BACKOFF.0;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "signals wait");
                }
                {
                    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    for line in lines.into_iter().rev() {
                        queue.0.push_front(line);
                    }
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_about_an_attempt_is_a_signal_with_the_row_in_it() {
        let row = r#"{"site":"m","quiz":4,"attempt":17,"silent_s":95}"#;
        let record = record("gone", row, 60_000, 1).unwrap();
        let value: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(value["type"], "signal");
        assert_eq!(
            (&value["at"], &value["revision"]),
            (&60.0.into(), &1.into())
        );
        assert_eq!(value["row"]["silent_s"], 95);
        assert_eq!(value["id"], "gone/1970-01-01T00:01:00.000Z/m/4/17//1");
        assert!(value.get("slot").is_none());
    }

    #[test]
    fn a_row_about_nothing_is_no_signal() {
        for row in [r#"{"n":1}"#, r#"{"site":null,"quiz":4}"#, "x"] {
            assert_eq!(record("gone", row, 0, 0), None, "{row}");
        }
    }
}
