//! `exam-analyse run`: a folder of queries over the stream.
//!
//! - Event time is `ts`. The watermark is the latest event's time less the lateness, and nothing
//!   that is still to be read holds it back for longer than it has to. A stream that is silent for
//!   the idle timeout goes on with the clock, so that a quiet exam closes its windows.
//! - A slice of time (a window, or ten seconds for queries row by row) is run once, when the
//!   watermark passes its end. Equal events give equal rows, in whatever order they arrived.
//! - An event that comes after a slice it belongs to was run is late: counted, kept apart, and the
//!   slice is run again from cold storage when late events stop coming. If its rows differ they
//!   are written once more, with the next `revision`.
//! - Nothing of the events is kept in a checkpoint: cold storage has them. A restart reads as far
//!   back as the open windows reach, and so does a new query that needs other columns.
//! - Memory is bounded: beyond the limit the watermark goes ahead of time, what comes then is late
//!   and restated; a query that needs more for one window is ended with a word.

pub mod output;
mod queries;
mod reader;
mod signals;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;

use self::output::{Checkpoint, Output};
use self::queries::{Change, Folder, Header};
use self::reader::{Reader, What};
use self::window::{Running, Windows};
use crate::datafusion_engine::DataFusion;
use crate::dialect::Millis;
use crate::engine::Engine;
use crate::json::time;
use crate::source::ColdStorage;
use crate::{duration, reference, size};

/// How often the folder of queries is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often figures are written.
const STATUS: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(200);

/// Run a folder of queries over the stream.
///
/// Results are written to OUT/QUERY/dt=YYYY-MM-DD/rows.jsonl, a window's rows at once; figures
/// to OUT/_status.json. A file of either folder that is added, changed or removed while this runs is taken up.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Directory of a `serve`, with its cold storage
    #[arg(long, value_name = "DIR")]
    cold: PathBuf,
    /// Folder of .sql files
    #[arg(long, value_name = "DIR")]
    queries: PathBuf,
    /// Tables to join with: NAME.csv or NAME.parquet; taken up as queries are
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    /// Where results go; `results` of --cold if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// State store for the results of files that say `-- signal: NAME`: redis:// or rediss://
    #[arg(long, env = "EXAM_STREAM_STATE_URL", hide_env_values = true)]
    state_url: Option<String>,
    /// How much later than others an event may arrive
    #[arg(long, default_value = "60s", value_parser = duration)]
    lateness: Duration,
    /// Silence after which event time goes on with the clock
    #[arg(long, default_value = "30s", value_parser = duration)]
    idle_timeout: Duration,
    /// Memory for events, and as much for a run of a query
    #[arg(long, default_value = "1G", value_parser = size)]
    memory: usize,
    /// Count late events and keep them apart, but leave the windows as they are
    #[arg(long)]
    no_restate: bool,
    /// End when all there is has been read, and every window is closed
    #[arg(long)]
    once: bool,
    /// End when stdin does: so a parent that dies is not outlived
    #[arg(long, conflicts_with = "once")]
    while_stdin: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = stop_at_signals()?;
    if args.while_stdin {
        stop_with_stdin(stop.clone())?;
    }
    // Again from what is committed, when rows were erased meanwhile.
    loop {
        if let Some(code) = run_until_wanted(&args, &stop)? {
            return Ok(code);
        }
        tracing::info!("lets go of the results, for rows to be erased");
    }
}

/// `None`: somebody waits to erase rows.
fn run_until_wanted(args: &Args, stop: &AtomicBool) -> anyhow::Result<Option<ExitCode>> {
    let engine = DataFusion::new(args.memory)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| args.cold.join("results"));
    let (output, checkpoint) = Output::open(&out)?;
    let signals = match &args.state_url {
        Some(url) => {
            let store = exam_state::open(
                url,
                exam_state::Options {
                    aws: exam_state::AwsEnv::snapshot(),
                    ..Default::default()
                },
            )
            .context("opening the state store")?;
            Some(signals::Folder::start(store)?)
        }
        None => None,
    };
    let windows = Windows::new(window::Settings {
        lateness: args.lateness.as_millis() as Millis,
        memory: args.memory,
        restate: !args.no_restate,
    });
    let mut run = Run {
        engine: Box::new(engine),
        folder: Folder::new(&args.queries),
        reader: Reader::start(Box::new(ColdStorage::new(&args.cold)))?,
        history: ColdStorage::new(&args.cold),
        refused: BTreeMap::new(),
        references: None,
        blind: false,
        began: Instant::now(),
        worked: Duration::ZERO,
        heard: None,
        args: args.clone(),
        windows,
        output,
        checkpoint,
        signals,
    };
    if !run.follow(stop)? {
        return Ok(None);
    }
    Ok(Some(match run.refused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }))
}

struct Run {
    args: Args,
    engine: Box<dyn Engine>,
    folder: Folder,
    reader: Reader,
    history: ColdStorage,
    windows: Windows,
    output: Output,
    checkpoint: Checkpoint,
    signals: Option<signals::Folder>,
    /// Why files do not run, as they are.
    refused: BTreeMap<String, String>,
    /// The files of --reference as they were at the last look.
    references: Option<reference::Stamps>,
    /// The folder of queries could not be read.
    blind: bool,
    began: Instant,
    /// Time spent on what was read, without the waiting for it.
    worked: Duration,
    /// When something was read last, or written before this began.
    heard: Option<SystemTime>,
}

impl Run {
    /// False: somebody waits to erase rows.
    fn follow(&mut self, stop: &AtomicBool) -> anyhow::Result<bool> {
        if let Some(signals) = &self.signals {
            // Those of the last commit before a crash.
            signals.push(std::mem::take(&mut self.checkpoint.signals));
        }
        let (mut looked, mut told) = (None::<Instant>, Instant::now());
        let (mut failing, mut wanted) = (false, false);
        while !stop.load(Ordering::Relaxed) {
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                wanted = self.output.is_wanted()?;
                if wanted {
                    break;
                }
                self.look()?;
                looked = Some(Instant::now());
            }
            let next = self.reader.next(TICK);
            let began = Instant::now();
            match next {
                Some(What::Rows(read)) => {
                    self.heard = Some(SystemTime::now());
                    self.windows
                        .add(&read, &mut self.checkpoint, &mut self.output)?;
                    failing = false;
                    self.close(false)?;
                    while self.windows.full() && self.windows.force(&mut self.checkpoint) {
                        self.close(false)?;
                    }
                }
                Some(What::Idle(written)) => {
                    self.heard = self.heard.max(written);
                    if self.args.once {
                        self.finish()?;
                        self.worked += began.elapsed();
                        break;
                    }
                    let silence = self.heard.and_then(|at| at.elapsed().ok());
                    let silence = silence.filter(|silence| *silence >= self.args.idle_timeout);
                    self.windows.idle(silence, &mut self.checkpoint);
                    failing = false;
                    self.close(false)?;
                    self.restate(false)?;
                    self.commit_if(self.output.pending() > 0)?;
                }
                Some(What::Failed(error)) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cold storage cannot be read: trying again");
                    }
                    if self.args.once {
                        return Err(error).context("reading cold storage");
                    }
                }
                None => {}
            }
            self.worked += began.elapsed();
            if told.elapsed() >= STATUS {
                self.tell()?;
                told = Instant::now();
            }
        }
        self.commit_if(true)?;
        self.tell()?;
        Ok(!wanted)
    }

    /// Takes up what changed in the folder.
    fn look(&mut self) -> anyhow::Result<()> {
        let first = !self.windows.started();
        self.look_at_references();
        let changes = match self.folder.changes() {
            // It may be about to be replaced: what runs runs on.
            Err(error) if !first => {
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::error!(%error, "the folder {} cannot be read", self.args.queries.display());
                }
                return Ok(());
            }
            found => found
                .with_context(|| format!("reading the folder {}", self.args.queries.display()))?,
        };
        self.blind = false;
        let mut changed = first;
        for change in changes {
            match change {
                Change::Removed { name } => {
                    tracing::info!(query = name, "removed");
                    changed |= self.windows.remove(&name);
                    self.checkpoint.queries.remove(&name);
                    self.refused.remove(&name);
                }
                Change::Unusable { name, file, reason } => {
                    let reason = format!("{}: {reason}", file.display());
                    tracing::error!("{reason}");
                    self.refused.insert(name, reason);
                }
                Change::Text { name, file, text } => {
                    let prepared = Header::read(&text)
                        .and_then(|header| Ok((header, self.engine.prepare(&text)?)));
                    match prepared {
                        Ok((header, prepared)) => {
                            tracing::info!(query = name, "runs");
                            self.refused.remove(&name);
                            let running = Running::new(name, header.signal, prepared);
                            self.windows.put(running, &mut self.checkpoint);
                            changed = true;
                        }
                        Err(refusal) => {
                            let still = match self.windows.runs(&name) {
                                true => "; it runs on as it was before",
                                false => "",
                            };
                            let reason = format!("{}:{refusal}{still}", file.display());
                            tracing::error!("{reason}");
                            self.refused.insert(name, reason);
                        }
                    }
                }
            }
        }
        if changed && let Some((from, projection)) = self.windows.restart(&self.checkpoint, first) {
            let positions = &self.checkpoint.positions;
            let positions = positions
                .iter()
                .map(|(part, read)| (part.as_str().into(), *read));
            self.reader.rewind(from, positions.collect(), projection);
        }
        Ok(())
    }

    /// Takes up tables that came or changed, and every query anew, because any may use them.
    fn look_at_references(&mut self) {
        let Some(dir) = &self.args.reference else {
            return;
        };
        let found = reference::stamps(dir);
        if self.references.as_ref() == Some(&found) {
            return;
        }
        self.references = Some(found);
        self.refused.retain(|name, _| !name.contains('.'));
        match self.engine.load_references(dir) {
            Ok(refused) => {
                for (file, reason) in refused {
                    tracing::error!("{reason}");
                    self.refused.insert(file, reason.to_string());
                }
            }
            Err(error) => {
                tracing::error!("{error}");
                self.refused
                    .insert("--reference .".into(), error.to_string());
            }
        }
        self.folder.forget();
    }

    /// Runs the slices that the watermark has passed, or all.
    fn close(&mut self, all: bool) -> anyhow::Result<()> {
        while self
            .windows
            .close(all, &mut self.checkpoint, &mut self.output)?
        {
            self.commit_if(true)?;
        }
        Ok(())
    }

    fn restate(&mut self, now: bool) -> anyhow::Result<()> {
        self.commit_if(self.output.pending() > 0)?;
        while self
            .windows
            .restate(now, &self.history, &mut self.checkpoint, &mut self.output)?
        {
            self.commit_if(true)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.close(true)?;
        self.restate(true)
    }

    fn commit_if(&mut self, due: bool) -> anyhow::Result<()> {
        if due {
            let signals = self.output.commit(&mut self.checkpoint)?;
            if let Some(folder) = &self.signals {
                folder.push(signals);
            }
        }
        Ok(())
    }

    /// Writes the figures.
    fn tell(&mut self) -> anyhow::Result<()> {
        #[derive(serde::Serialize)]
        struct Status<'a> {
            watermark: Option<String>,
            latest_event: Option<String>,
            #[serde(flatten)]
            counts: output::Counts,
            buffered_events: usize,
            buffered_bytes: usize,
            memory_limit: usize,
            resident_bytes: Option<u64>,
            /// The watermark went ahead because of the limit.
            forced: u64,
            uptime_s: u64,
            working_s: f64,
            queries: BTreeMap<&'a str, Query<'a>>,
            refused: &'a BTreeMap<String, String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            signals: Option<Signals>,
        }
        #[derive(serde::Serialize)]
        struct Query<'a> {
            closed: Option<String>,
            windows: u64,
            rows: u64,
            late: u64,
            restated: u64,
            to_restate: usize,
            failed: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
        }
        #[derive(serde::Serialize)]
        struct Signals {
            folded: u64,
            waiting: u64,
            dropped: u64,
        }
        let checkpoint = &self.checkpoint;
        let query = |running: &'_ Running| {
            let progress = checkpoint
                .queries
                .get(running.name())
                .cloned()
                .unwrap_or_default();
            Query {
                closed: progress.closed.map(time),
                windows: progress.windows,
                rows: progress.rows,
                late: progress.late,
                restated: progress.restated,
                to_restate: progress.dirty.len(),
                failed: progress.failed,
                error: None,
            }
        };
        let mut queries: BTreeMap<&str, Query<'_>> = BTreeMap::new();
        for running in self.windows.running() {
            let mut figures = query(running);
            figures.error = running.error();
            queries.insert(running.name(), figures);
        }
        let (buffered_events, buffered_bytes, forced) = self.windows.memory();
        let status = Status {
            watermark: checkpoint.watermark.map(time),
            latest_event: checkpoint.latest.map(time),
            counts: checkpoint.counts,
            buffered_events,
            buffered_bytes,
            memory_limit: self.args.memory,
            resident_bytes: resident(),
            forced,
            uptime_s: self.began.elapsed().as_secs(),
            working_s: self.worked.as_secs_f64(),
            queries,
            refused: &self.refused,
            signals: self.signals.as_ref().map(|folder| {
                let (folded, waiting, dropped) = folder.counts();
                Signals {
                    folded,
                    waiting,
                    dropped,
                }
            }),
        };
        let text = serde_json::to_vec_pretty(&status)?;
        self.output.status(&text)?;
        tracing::debug!(buffered_events, buffered_bytes, "figures are written");
        Ok(())
    }
}

/// Memory of this process that is resident.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn stop_with_stdin(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let read = move || {
        // What is said there is nobody's concern; an error is an end as well.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stop.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(read)?;
    Ok(())
}

/// True from the first SIGTERM or SIGINT on.
fn stop_at_signals() -> anyhow::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let flag = stop.clone();
    let listen = move || {
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
            ) else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(listen)?;
    Ok(stop)
}
