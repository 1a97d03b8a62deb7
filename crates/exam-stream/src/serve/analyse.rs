//! `exam-analyse run` beside `serve`, for as long as this serves.
//!
//! A process of its own: whatever becomes of it, a query that takes all memory included, records
//! are received and folded as before. One that ends is started again, later and later. It is told
//! to end by the end of its stdin, so it never outlives a `serve` that was killed.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::metrics::Metrics;

const PROGRAM: &str = "exam-analyse";
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// One that ran for so long is started again at once.
const STEADY: Duration = Duration::from_secs(60);
/// What it gets to write its last results in.
const FAREWELL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

pub struct Analysis {
    pub program: PathBuf,
    /// The `--dir` of this `serve`.
    pub dir: PathBuf,
    pub queries: PathBuf,
    pub reference: Option<PathBuf>,
    /// By the environment, for it may hold a password.
    pub state: Option<String>,
}

/// The program beside this one, where it lies there; else the one that PATH finds.
pub fn program() -> PathBuf {
    let beside = env::current_exe()
        .ok()
        .map(|this| this.with_file_name(PROGRAM));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PROGRAM.into())
}

impl Analysis {
    /// Keeps it running until `stop` says a word or is gone.
    pub fn run(self, stop: &Receiver<()>, metrics: &Metrics) {
        let mut backoff = BACKOFF.0;
        loop {
            let began = Instant::now();
            match self.start() {
                Ok((mut child, stdin)) => {
                    metrics.analysis_runs.set(1);
                    tracing::info!(pid = child.id(), queries = %self.queries.display(), "exam-analyse runs");
                    let ended = loop {
                        if told_to_end(stop, POLL) {
                            drop(stdin);
                            farewell(&mut child);
                            metrics.analysis_runs.set(0);
                            return;
                        }
                        match child.try_wait() {
                            Ok(None) => {}
                            Ok(Some(status)) => break status.to_string(),
                            Err(error) => break error.to_string(),
                        }
                    };
                    metrics.analysis_runs.set(0);
                    metrics.analysis_ends.add(1);
                    if began.elapsed() >= STEADY {
                        backoff = BACKOFF.0;
                    }
                    tracing::warn!(ended, again_in = ?backoff, "exam-analyse ended");
                }
                Err(error) => {
                    metrics.analysis_ends.add(1);
                    let program = self.program.display();
                    tracing::warn!(%error, %program, again_in = ?backoff, "exam-analyse does not start");
                }
            }
            if told_to_end(stop, backoff) {
                return;
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn start(&self) -> io::Result<(Child, Option<ChildStdin>)> {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--while-stdin", "--cold"])
            .arg(&self.dir);
        command.arg("--queries").arg(&self.queries);
        if let Some(dir) = &self.reference {
            command.arg("--reference").arg(dir);
        }
        command.env_remove("EXAM_STREAM_SECRET_KEY");
        match &self.state {
            Some(url) => command.env("EXAM_STREAM_STATE_URL", url),
            None => command.env_remove("EXAM_STREAM_STATE_URL"),
        };
        // stdout is where `serve` says its address.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        // Where memory is short, it goes before those that hold answers.
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "500");
        let stdin = child.stdin.take();
        Ok((child, stdin))
    }
}

fn told_to_end(stop: &Receiver<()>, within: Duration) -> bool {
    !matches!(stop.recv_timeout(within), Err(RecvTimeoutError::Timeout))
}

fn farewell(child: &mut Child) {
    let until = Instant::now() + FAREWELL;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(POLL / 2);
    }
    tracing::warn!("exam-analyse is killed: it did not end in {FAREWELL:?}");
    let _ = child.kill();
    let _ = child.wait();
}
