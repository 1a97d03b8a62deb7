//! `exam-stream rebuild`: the state from everything that was ever accepted.
//!
//! Cold storage (the directory of a `serve`, or objects of S3 brought here with
//! `aws s3 sync`, gzip or not), Firehose's error prefix (its lines hold the record
//! as `rawData`), the spool with its quarantine. In any order and as often as one
//! likes: the fold is the same one that the sender and `serve` apply, and joining
//! what is there already changes nothing.
//!
//! Files are read by as many threads as there are processors, in pieces, so that
//! one large file keeps them all busy. `--into` needs memory for those pieces
//! only; `--check` and `--json` hold the whole state.

pub mod source;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use exam_record::{AttemptKey, AttemptView, Registers};
use exam_state::{FoldBatch, StateStore};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use self::source::{Piece, Source};
use crate::{clock, settings, state};

/// Records folded at once into the store: so many that several are of one attempt, and one call of
/// the store does for them. Some 30 MiB for each thread.
const BATCH_RECORDS: usize = 50_000;
/// Firehose holds a record back for at most as long (its greatest buffering
/// interval): what the sender skipped before must be in cold storage by now.
const BUFFERED: Duration = Duration::from_secs(900);
/// Differences printed by `--check`.
const SHOWN: usize = 20;
/// Malformed lines that each thread tells of.
const MALFORMED_SHOWN: u64 = 5;

#[derive(clap::Args)]
pub struct Args {
    /// Cold storage: the --dir of a `serve`, or a file or directory of JSON lines, also gzip'd;
    /// a directory of the error prefix likewise
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Spool to read as well, quarantine included
    #[arg(long, env = "EXAM_STREAM_SPOOL_DIR")]
    spool_dir: Option<PathBuf>,
    /// State store to fold into, as exam_stream.state_url names it
    #[arg(long, value_name = "URL")]
    into: Option<String>,
    /// State store to compare with instead: prints differences and ends with 1 if there are any
    #[arg(long, value_name = "URL", conflicts_with = "into")]
    check: Option<String>,
    /// File to write the rebuilt state to, as `exam-stream state` does
    #[arg(long, value_name = "FILE", conflicts_with = "into")]
    json: Option<PathBuf>,
    /// An attempt written is forgotten so many days later; 0: never
    #[arg(long, env = "EXAM_STREAM_STATE_DAYS", default_value_t = 30)]
    state_days: u64,
}

/// What has been read.
#[derive(Default)]
struct Count {
    lines: u64,
    folded: u64,
    malformed: u64,
}

/// What a thread does with a batch that is full.
enum Sink {
    Store(Arc<dyn StateStore>, tokio::runtime::Runtime),
    Memory(HashMap<AttemptKey, Registers>),
}

impl Sink {
    fn take(&mut self, batch: &mut FoldBatch) -> anyhow::Result<()> {
        match self {
            Sink::Store(store, runtime) => {
                runtime
                    .block_on(store.fold(batch))
                    .context("folding into the state store")?;
            }
            Sink::Memory(state) => {
                for (key, attempt) in batch.attempts() {
                    state
                        .entry(key.clone())
                        .or_default()
                        .merge(attempt.registers.clone());
                }
            }
        }
        batch.clear();
        Ok(())
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.into.is_none() && args.check.is_none() && args.json.is_none() {
        bail!("say what to do with the state: --into URL, --check URL or --json FILE");
    }
    if args.paths.is_empty() && args.spool_dir.is_none() {
        bail!("say what to build it from: PATHs of cold storage, --spool-dir, or both");
    }
    let mut source = Source::of_files(&args.paths)?;
    let skipped = match &args.spool_dir {
        Some(dir) => source.add_spool(dir)?,
        None => Vec::new(),
    };
    let began = Instant::now();
    let (count, rebuilt) = read(&source, args.into.as_deref(), args.state_days)?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "{} lines ({}) in {seconds:.1} s: {} folded, {} of no attempt, {} malformed",
        HumanCount(count.lines),
        HumanBytes(source.bytes),
        HumanCount(count.folded),
        HumanCount(count.lines - count.folded - count.malformed),
        HumanCount(count.malformed),
    );
    if args.into.is_some() && !args.paths.is_empty() {
        let old = clock::since_epoch().saturating_sub(BUFFERED).as_micros() as u64;
        let (done, young): (Vec<_>, Vec<_>) = skipped.into_iter().partition(|s| s.time < old);
        source.forget_skipped(&done)?;
        if !young.is_empty() {
            eprintln!(
                "{} marks of records that the sender did not fold are younger than {} minutes, and \
                 may not be in cold storage yet: rebuild again then",
                young.len(),
                BUFFERED.as_secs() / 60
            );
        }
    }
    if let Some(path) = &args.json {
        let mut sorted: Vec<_> = rebuilt.iter().map(|(k, r)| (k.to_text(), k, r)).collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        state::write(
            path,
            sorted.into_iter().map(|(_, k, r)| (k.clone(), r.clone())),
        )?;
    }
    match &args.check {
        Some(url) => check(url, rebuilt),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Reads all of `source`, on all processors, into the store or, without one, memory.
fn read(
    source: &Source,
    into: Option<&str>,
    days: u64,
) -> anyhow::Result<(Count, HashMap<AttemptKey, Registers>)> {
    let progress = ProgressBar::new(source.bytes);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        progress.set_style(style);
    }
    let queue = Mutex::new(source.pieces()?);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> anyhow::Result<(Count, HashMap<AttemptKey, Registers>)> {
        let mut sink = match into {
            // A store for each thread: its connection belongs to the thread's runtime.
            Some(url) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                Sink::Store(settings::state(url, days)?, runtime)
            }
            None => Sink::Memory(HashMap::new()),
        };
        let mut count = Count::default();
        let mut batch = FoldBatch::new();
        while let Some(piece) = next() {
            let malformed = |line: &[u8], why: &dyn std::fmt::Display| {
                let start = String::from_utf8_lossy(&line[..line.len().min(80)]);
                progress.suspend(|| eprintln!("{piece}: {why}: {start:?}"));
            };
            fold_piece(&piece, &mut batch, &mut sink, &mut count, &malformed)
                .with_context(|| piece.to_string())?;
            progress.inc(piece.bytes());
        }
        sink.take(&mut batch)?;
        match sink {
            Sink::Memory(state) => Ok((count, state)),
            Sink::Store(..) => Ok((count, HashMap::new())),
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    progress.finish_and_clear();
    let mut count = Count::default();
    let mut state: HashMap<AttemptKey, Registers> = HashMap::new();
    for result in results {
        let Ok(result) = result else {
            bail!("a thread panicked")
        };
        let (its, more) = result?;
        count.lines += its.lines;
        count.folded += its.folded;
        count.malformed += its.malformed;
        if state.is_empty() {
            state = more;
            continue;
        }
        for (key, registers) in more {
            state.entry(key).or_default().merge(registers);
        }
    }
    Ok((count, state))
}

fn fold_piece(
    piece: &Piece,
    batch: &mut FoldBatch,
    sink: &mut Sink,
    count: &mut Count,
    malformed: &dyn Fn(&[u8], &dyn std::fmt::Display),
) -> anyhow::Result<()> {
    piece.lines(&mut |line| {
        count.lines += 1;
        match batch.push(line) {
            Ok(true) => count.folded += 1,
            Ok(false) => {}
            Err(why) => {
                count.malformed += 1;
                if count.malformed <= MALFORMED_SHOWN {
                    malformed(line, &why);
                }
            }
        }
        if batch.records() >= BATCH_RECORDS {
            sink.take(batch)
        } else {
            Ok(())
        }
    })
}

/// Prints where the store at `url` and the rebuilt state differ.
fn check(url: &str, mut rebuilt: HashMap<AttemptKey, Registers>) -> anyhow::Result<ExitCode> {
    let store = settings::state(url, 0)?;
    let mut seen = std::collections::HashSet::new();
    let mut differences = 0;
    let mut differs = |text: String| {
        differences += 1;
        if differences <= SHOWN {
            println!("{text}");
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(store.scan(&mut |key, stored| {
            // A scan may name an attempt twice.
            if !seen.insert(key.clone()) {
                return;
            }
            match rebuilt.remove(&key) {
                None => differs(format!("{}: only in the store", key.to_text())),
                Some(rebuilt) if rebuilt != stored => differs(difference(&key, &rebuilt, &stored)),
                Some(_) => {}
            }
        }))
        .context("reading the state store")?;
    let mut missing: Vec<_> = rebuilt.into_keys().map(|key| key.to_text()).collect();
    missing.sort_unstable();
    for key in missing {
        differs(format!("{key}: not in the store"));
    }
    if differences > SHOWN {
        println!("… and {} more", differences - SHOWN);
    }
    println!(
        "{} attempts in the store, {differences} differences",
        seen.len()
    );
    Ok(if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One attempt's difference, by register and as a status word.
fn difference(key: &AttemptKey, rebuilt: &Registers, stored: &Registers) -> String {
    let names = |r: &Registers| {
        r.iter()
            .map(|(f, v)| (f.to_vec(), v.to_vec()))
            .collect::<HashMap<_, _>>()
    };
    let (ours, theirs) = (names(rebuilt), names(stored));
    let mut fields: Vec<_> = ours
        .keys()
        .chain(theirs.keys())
        .filter(|f| ours.get(*f) != theirs.get(*f))
        .map(|f| String::from_utf8_lossy(f).into_owned())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let word = |r| AttemptView::new(key, r).word;
    format!(
        "{}: rebuilt {}, in the store {}; registers {}",
        key.to_text(),
        word(rebuilt),
        word(stored),
        fields.join(" ")
    )
}
