//! Counters of `serve`, as Prometheus reads them from `GET /metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub struct Metrics {
    began: Instant,
    pub calls: Counter,
    pub calls_refused: Counter,
    pub calls_failed: Counter,
    pub records: Counter,
    pub lines: Counter,
    pub bytes: Counter,
    pub unparsed: Counter,
    pub commits: Timing,
    pub parts_closed: Counter,
    pub close_errors: Counter,
    /// Of the cold tree, with `parts_plain` live or not closed yet.
    pub parts: Counter,
    pub parts_plain: Counter,
    /// On the disk.
    pub cold_bytes: Counter,
    pub folded: Counter,
    pub refills: Counter,
    pub fold_errors: Counter,
    pub malformed: Counter,
    /// Bytes of cold storage that the state store has not seen.
    pub fold_pending: Counter,
    /// Milliseconds since `began` at which everything committed before was folded.
    caught_up: AtomicU64,
    /// 1 while exam-analyse runs.
    pub analysis_runs: Counter,
    pub analysis_ends: Counter,
}

/// What this `serve` does besides storing, and has figures of.
#[derive(Clone, Copy)]
pub struct Shows {
    pub fold: bool,
    pub analysis: bool,
}

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How often, and how long in all.
#[derive(Default)]
pub struct Timing {
    count: Counter,
    micros: Counter,
}

impl Timing {
    pub fn observe(&self, took: Duration) {
        self.count.add(1);
        self.micros.add(took.as_micros() as u64);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            began: Instant::now(),
            calls: Counter::default(),
            calls_refused: Counter::default(),
            calls_failed: Counter::default(),
            records: Counter::default(),
            lines: Counter::default(),
            bytes: Counter::default(),
            unparsed: Counter::default(),
            commits: Timing::default(),
            parts_closed: Counter::default(),
            close_errors: Counter::default(),
            parts: Counter::default(),
            parts_plain: Counter::default(),
            cold_bytes: Counter::default(),
            folded: Counter::default(),
            refills: Counter::default(),
            fold_errors: Counter::default(),
            malformed: Counter::default(),
            fold_pending: Counter::default(),
            caught_up: AtomicU64::new(0),
            analysis_runs: Counter::default(),
            analysis_ends: Counter::default(),
        }
    }
}

impl Metrics {
    /// Everything committed before `at` is in the state store.
    pub fn set_caught_up(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.began).as_millis() as u64;
        self.caught_up.store(millis, Relaxed);
    }

    /// How far the state is behind: zero when all is folded.
    pub fn fold_lag(&self) -> Duration {
        match self.fold_pending.get() {
            0 => Duration::ZERO,
            _ => (self.began + Duration::from_millis(self.caught_up.load(Relaxed))).elapsed(),
        }
    }

    /// Analysis that does not run is told and no reason to send records elsewhere.
    pub fn health(&self, shows: Shows) -> String {
        let analysis = match (shows.analysis, self.analysis_runs.get()) {
            (false, _) => "",
            (true, 0) => "analysis: down\n",
            (true, _) => "analysis: running\n",
        };
        format!("ok\n{analysis}")
    }

    pub fn prometheus(&self, shows: Shows) -> String {
        let mut text = String::new();
        let mut one = |name: &str, kind: &str, help: &str, value: f64| {
            let _ = write!(
                text,
                "# HELP exam_stream_{name} {help}\n# TYPE exam_stream_{name} {kind}\n\
                 exam_stream_{name} {value}\n"
            );
        };
        let counters = [
            ("calls_total", "API calls", &self.calls),
            (
                "calls_refused_total",
                "API calls answered with a client's error",
                &self.calls_refused,
            ),
            (
                "calls_failed_total",
                "API calls that storage failed",
                &self.calls_failed,
            ),
            (
                "records_total",
                "Firehose records acknowledged",
                &self.records,
            ),
            ("lines_total", "Lines acknowledged", &self.lines),
            ("bytes_total", "Bytes of records acknowledged", &self.bytes),
            (
                "unparsed_total",
                "Pieces acknowledged that were no JSON line",
                &self.unparsed,
            ),
            ("commits_total", "Group commits", &self.commits.count),
            (
                "parts_closed_total",
                "Files of cold storage closed (compressed)",
                &self.parts_closed,
            ),
            (
                "close_errors_total",
                "Files of cold storage that could not be closed, and are tried again",
                &self.close_errors,
            ),
        ];
        for (name, help, counter) in counters {
            one(name, "counter", help, counter.get() as f64);
        }
        let seconds = self.commits.micros.get() as f64 / 1e6;
        one(
            "commit_seconds_total",
            "counter",
            "Time spent in group commits",
            seconds,
        );
        let gauges = [
            ("cold_parts", "Files of cold storage", &self.parts),
            (
                "cold_parts_plain",
                "Of these, not closed: being written, or waiting",
                &self.parts_plain,
            ),
            (
                "cold_bytes",
                "Size of cold storage on disk",
                &self.cold_bytes,
            ),
        ];
        for (name, help, gauge) in gauges {
            one(name, "gauge", help, gauge.get() as f64);
        }
        if shows.fold {
            let counters = [
                (
                    "folded_total",
                    "Lines folded into the state store",
                    &self.folded,
                ),
                (
                    "malformed_total",
                    "Lines that no fold understands",
                    &self.malformed,
                ),
                (
                    "refills_total",
                    "Times the state store had lost its memory",
                    &self.refills,
                ),
                (
                    "fold_errors_total",
                    "Failed calls to the state store",
                    &self.fold_errors,
                ),
            ];
            for (name, help, counter) in counters {
                one(name, "counter", help, counter.get() as f64);
            }
            let pending = self.fold_pending.get() as f64;
            one(
                "fold_pending_bytes",
                "gauge",
                "Cold bytes not yet folded",
                pending,
            );
            let lag = self.fold_lag().as_secs_f64();
            one(
                "fold_lag_seconds",
                "gauge",
                "Age, at most, of the oldest line not folded",
                lag,
            );
        }
        if shows.analysis {
            let runs = self.analysis_runs.get() as f64;
            one("analysis_up", "gauge", "1 while exam-analyse runs", runs);
            one(
                "analysis_ends_total",
                "counter",
                "Times exam-analyse ended by itself, or did not start",
                self.analysis_ends.get() as f64,
            );
        }
        text
    }
}
