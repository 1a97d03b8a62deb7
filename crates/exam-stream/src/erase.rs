//! `exam-stream erase`: removes what is kept of students, while `serve` runs.
//!
//! Whose: one student's, single attempts', or (`--requested`) those of which an
//! `erased` record came through the stream. In cold storage their lines give way
//! to as long a line that says `{"erased":true}`; every other line stays where it
//! is, byte for byte, and so do the `erased` records. The quarantine is treated
//! likewise. Then the attempts are removed from the state store, in that order, so
//! that nothing folds them back; those of which there is an `erased` record keep
//! the register that says so, and take nothing that comes late.
//!
//! What was made of the lines (Parquet, results of queries) is `exam-analyse
//! erase`'s: what is to go is left for it in `DIR/erasure.json`, before any line
//! goes, for lines tell which rows are whose. Killed at any moment this has torn
//! nothing: run it again.
//!
//! It refuses to guess: what it cannot attribute or reach, it names in its report.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use exam_cold::{Part, Rewriting, Select, Tree};
use exam_record::make::{self, Attempt};
use exam_record::{About, AttemptKey, AttemptView, Erasure, Known};
use exam_state::{FoldBatch, StateStore};
use serde::Serialize;

use crate::rebuild::source::{self, Piece, Source};
use crate::{clock, settings};

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true)))]
pub struct Args {
    /// Directory of the `serve`
    #[arg(
        long,
        env = "EXAM_STREAM_DIR",
        default_value = "/var/lib/exam-stream/serve"
    )]
    dir: PathBuf,
    /// The Moodle site, as the records name it; '' is the paper's bare records
    #[arg(long, required_unless_present = "requested")]
    site: Option<String>,
    /// The student whose attempts are erased, by Moodle's user id
    #[arg(long, value_name = "ID", group = "whose")]
    student: Option<i64>,
    /// An attempt to erase (repeatable)
    #[arg(long, value_name = "ID", group = "whose")]
    attempt: Vec<i64>,
    /// All attempts that Moodle has asked to erase, through the stream
    #[arg(long, group = "whose")]
    requested: bool,
    /// State store to remove the attempts from, as exam_stream.state_url names it
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: Option<String>,
    /// An attempt that is kept as erased is forgotten so many days later; 0: never
    #[arg(long, env = "EXAM_STREAM_STATE_DAYS", default_value_t = 30)]
    state_days: u64,
    /// Spool in whose quarantine lines are erased, and in which lines that are still to come are
    /// counted
    #[arg(long, env = "EXAM_STREAM_SPOOL_DIR")]
    spool_dir: Option<PathBuf>,
    /// Only say what would be erased
    #[arg(long)]
    dry_run: bool,
    /// File to write the report to; `-` is stdout
    #[arg(long, default_value = "-", value_name = "FILE")]
    json: PathBuf,
}

/// What was done, for whoever asked for the erasure. It names no content.
#[derive(Serialize)]
struct Report {
    /// By site: students and attempts. Of each attempt what its lines told, if there were any.
    whose: Erasure,
    dry_run: bool,
    /// Seconds since 1970. Lines that arrived later are not concerned: erase again.
    began: f64,
    ended: f64,
    /// Lines erased in cold storage, and their bytes.
    lines: u64,
    bytes: u64,
    /// The same in each of its files.
    parts: BTreeMap<String, u64>,
    /// Attempts removed from the state store; null: none was given.
    state: Option<Vec<String>>,
    /// Lines erased in the quarantine; null: no spool given.
    quarantine_lines: Option<u64>,
    not_reached: NotReached,
}

/// What may hold something of theirs still.
#[derive(Serialize)]
struct NotReached {
    /// Lines in the spool that are still to be delivered: erase again then. null: no spool given.
    spool_lines: Option<u64>,
    /// Files of bytes that were no JSON: they may hold anybody's.
    unparsed: Vec<String>,
    /// Directories of what was made of the lines: `exam-analyse erase` erases there.
    derived: Vec<PathBuf>,
    elsewhere: &'static str,
}

const ELSEWHERE: &str = "objects of Amazon S3, Flink's results, backups and copies of any of these: \
    bring the objects here, erase in them and put them back, or delete them";

/// What is to be erased from what was made of the lines, left for `exam-analyse erase`.
const PLAN: &str = "erasure.json";
/// What `exam-analyse` makes of the lines.
const DERIVED: [&str; 2] = ["parquet", "results"];

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    if !dir.join("cold").is_dir() {
        bail!("there is no cold storage in {}: give --dir", dir.display());
    }
    // A report that cannot be written is found out before, not after.
    let mut out: Box<dyn Write> = match args.json.to_str() {
        Some("-") => Box::new(io::stdout().lock()),
        _ => Box::new(File::create(&args.json).with_context(|| args.json.display().to_string())?),
    };
    let began = clock::since_epoch().as_secs_f64();
    let store = args
        .state
        .as_deref()
        .map(|url| settings::state(url, args.state_days))
        .transpose()?;
    let spool = args.spool_dir.as_deref().map(source::open_spool);
    let spool = spool.transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rewriting = match Rewriting::try_lock(dir)? {
        Some(rewriting) => rewriting,
        None => {
            eprintln!("waiting for a rebuild, an erasure or a compression that is under way");
            Rewriting::lock(dir)?
        }
    };
    let waiting = |waited: Duration| {
        if waited.as_millis() == 5_000 {
            eprintln!("waiting for `exam-stream serve` to let go of what it writes");
        }
    };
    if !args.dry_run {
        rewriting.release(waiting)?;
    }
    let parts = exam_cold::parts(dir, Tree::Cold, &Select::default())?;

    // Whose.
    let requested = requests(&parts)?;
    let mut whose = Erasure::default();
    if args.requested {
        whose = requested.clone();
        whose
            .0
            .retain(|site, _| args.site.as_ref().is_none_or(|wanted| wanted == site));
    } else {
        let site = args.site.as_deref().unwrap_or_default();
        let ours = whose.of(site);
        ours.students.extend(args.student);
        let attempts = args.attempt.iter();
        ours.attempts
            .extend(attempts.map(|id| (*id, Known::default())));
        if let (Some(store), Some(student)) = (&store, args.student) {
            // What cold storage has forgotten, the state may still know.
            let mut see = |key: AttemptKey, registers| {
                let view = AttemptView::new(&key, &registers);
                if let (Some(attempt), true) = (view.attempt, key.site == site)
                    && view.student_id == Some(student)
                {
                    whose.of(site).attempts.entry(attempt).or_default();
                }
            };
            let scan = store.scan(&mut see);
            runtime.block_on(scan).context("reading the state store")?;
        }
        if args.student.is_some() {
            // A line may name an attempt of theirs and not them.
            for found in on_all(&parts, |part| survey(part, &whose))? {
                whose.merge(found.learnt);
            }
        }
    }
    let mut found = on_all(&parts, |part| survey(part, &whose))?;
    for part in &mut found {
        whose.merge(std::mem::take(&mut part.learnt));
    }

    // What was made of the lines, before they go.
    let derived: Vec<PathBuf> = DERIVED
        .iter()
        .map(|tree| dir.join(tree))
        .filter(|tree| tree.is_dir())
        .collect();
    if !args.dry_run && !derived.is_empty() && !whose.is_empty() {
        leave_plan(dir, &whose)?;
    }
    if !args.dry_run {
        let touched: Vec<&Part> = touched(&parts, &found).map(|(part, _)| part).collect();
        on_all(&touched, |part| {
            rewriting.erase(part, &mut |line| whose.has_line(line))
        })?;
    }
    let mut quarantine_lines = 0;
    if let Some(spool) = &spool {
        let mut edit = |record: &mut [u8]| {
            let lines = match args.dry_run {
                true => record
                    .split(|b| *b == b'\n')
                    .filter(|l| whose.has_line(l))
                    .count() as u64,
                false => exam_cold::erase_lines(record, &mut |line| whose.has_line(line)).0,
            };
            quarantine_lines += lines;
            lines > 0 && !args.dry_run
        };
        spool
            .edit_quarantined(&mut edit)
            .context("the quarantine")?;
    }

    let mut removed = Vec::new();
    if let Some(store) = &store {
        if !args.dry_run {
            // What the fold had read before is folded; from now on it reads none of these.
            rewriting.release(waiting)?;
        }
        for key in keys(&whose) {
            let forget = forget(&**store, &key, &requested, args.dry_run);
            let known = runtime.block_on(forget);
            if known.with_context(|| format!("removing {} from the state", key.to_text()))? {
                removed.push(key.to_text());
            }
        }
    }
    drop(rewriting);

    let report = Report {
        dry_run: args.dry_run,
        began,
        ended: clock::since_epoch().as_secs_f64(),
        lines: found.iter().map(|part| part.lines).sum(),
        bytes: found.iter().map(|part| part.bytes).sum(),
        parts: touched(&parts, &found)
            .map(|(part, found)| (part.name.to_string(), found.lines))
            .collect(),
        state: store.is_some().then_some(removed),
        quarantine_lines: spool.is_some().then_some(quarantine_lines),
        not_reached: NotReached {
            spool_lines: args
                .spool_dir
                .as_deref()
                .map(|dir| in_spool(dir, &whose))
                .transpose()?,
            unparsed: exam_cold::parts(dir, Tree::Unparsed, &Select::default())?
                .iter()
                .map(|part| part.name.to_string())
                .collect(),
            derived,
            elsewhere: ELSEWHERE,
        },
        whose,
    };
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Does `work` on every part, on all processors; results in the order of the parts.
fn on_all<P: std::borrow::Borrow<Part> + Sync, T: Send>(
    parts: &[P],
    work: impl Fn(&Part) -> Result<T, exam_cold::Error> + Sync,
) -> anyhow::Result<Vec<T>> {
    let queue = Mutex::new(parts.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, part)) = next else {
                return Ok(done);
            };
            done.push((index, work(part.borrow())?));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut all = Vec::new();
    for result in results {
        let Ok(result) = result else {
            bail!("a thread panicked")
        };
        let its: Vec<(usize, T)> = result.map_err(|e: exam_cold::Error| anyhow::Error::new(e))?;
        all.extend(its);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

fn each_line(part: &Part, mut each: impl FnMut(&[u8])) -> Result<(), exam_cold::Error> {
    let mut lines = Vec::new();
    let mut from = 0;
    loop {
        part.read(from, &mut lines)?;
        if lines.is_empty() {
            return Ok(());
        }
        lines.split(|byte| *byte == b'\n').for_each(&mut each);
        from += lines.len() as u64;
    }
}

/// The attempts of which there is an `erased` record.
fn requests(parts: &[Part]) -> anyhow::Result<Erasure> {
    let word = memchr::memmem::Finder::new("erased");
    let found = on_all(parts, |part| {
        let mut found = Erasure::default();
        each_line(part, |line| {
            // Few lines have the word, and an erased one is none of them.
            if word.find(line).is_some()
                && let About {
                    erased: true,
                    site: Some(site),
                    attempt: Some(attempt),
                    ..
                } = About::of(line)
            {
                found.of(&site).attempts.entry(attempt).or_default();
            }
        })?;
        Ok(found)
    })?;
    let mut all = Erasure::default();
    found.into_iter().for_each(|found| all.merge(found));
    Ok(all)
}

/// What a part has of theirs.
#[derive(Default)]
struct Found {
    lines: u64,
    bytes: u64,
    learnt: Erasure,
}

fn survey(part: &Part, whose: &Erasure) -> Result<Found, exam_cold::Error> {
    let mut found = Found::default();
    each_line(part, |line| {
        let about = About::of(line);
        if whose.has(&about) {
            found.lines += 1;
            found.bytes += line.len() as u64;
            found.learnt.learn(&about, line);
        }
    })?;
    Ok(found)
}

fn touched<'a>(
    parts: &'a [Part],
    found: &'a [Found],
) -> impl Iterator<Item = (&'a Part, &'a Found)> {
    parts.iter().zip(found).filter(|(_, found)| found.lines > 0)
}

/// The attempts, as the state store names them.
fn keys(whose: &Erasure) -> Vec<AttemptKey> {
    let mut keys = Vec::new();
    for (site, of_site) in &whose.0 {
        let attempts = of_site.attempts.keys();
        keys.extend(attempts.map(|attempt| AttemptKey::new(&site[..], *attempt)));
        if site.is_empty() {
            // Of a bare record the student is the attempt.
            let students = of_site.students.iter();
            keys.extend(students.map(|student| AttemptKey::new("", *student)));
        }
    }
    keys
}

/// Whether the state store knew anything of the attempt. It is told of an erasure that came through
/// the stream once more where it does: it may have been filled from elsewhere.
async fn forget(
    store: &dyn StateStore,
    key: &AttemptKey,
    requested: &Erasure,
    dry_run: bool,
) -> anyhow::Result<bool> {
    let known = store.read(key).await?;
    let Some(known) = known.filter(|known| !known.is_erased()) else {
        return Ok(false);
    };
    let view = AttemptView::new(key, &known);
    let asked_for = requested.0.get(&key.site);
    match view.attempt {
        _ if dry_run => {}
        Some(attempt) if asked_for.is_some_and(|of| of.attempts.contains_key(&attempt)) => {
            let attempt = Attempt {
                site: view.site,
                quiz: view.quiz.unwrap_or(0),
                attempt,
                usage: 0,
                student_id: 0,
            };
            let mut batch = FoldBatch::new();
            let now = clock::since_epoch().as_micros() as u64;
            batch.push(make::erased(&attempt, now).as_bytes())?;
            store.fold(&batch).await?;
        }
        _ => drop(store.remove(key).await?),
    }
    Ok(true)
}

/// Adds to what `exam-analyse erase` has still to do, durably.
fn leave_plan(dir: &Path, whose: &Erasure) -> anyhow::Result<()> {
    let path = dir.join(PLAN);
    let mut plan: Erasure = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| path.display().to_string())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Erasure::default(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    plan.merge(whose.clone());
    exam_cold::replace_file(&path, &serde_json::to_vec(&plan)?)?;
    Ok(())
}

/// Lines about them that the spool has still to deliver.
fn in_spool(dir: &Path, whose: &Erasure) -> anyhow::Result<u64> {
    let mut source = Source::default();
    source.add_spool(dir)?;
    let mut lines = 0;
    for piece in source.pieces()? {
        if !matches!(piece, Piece::Quarantine(_)) {
            piece.lines(&mut |line| {
                lines += u64::from(whose.has_line(line));
                Ok(())
            })?;
        }
    }
    Ok(lines)
}
