//! `exam-stream erase`: removes what is kept of one student, while `serve` runs.
//!
//! In cold storage the student's lines give way to as long a line that says
//! `{"erased":true}`; every other line stays where it is, byte for byte. Then the
//! attempts are removed from the state store, in that order, so that nothing folds
//! them back. Killed at any moment it has torn nothing: run it again.
//!
//! It refuses to guess: what it cannot attribute, or does not own (Parquet, results
//! of queries, the spool, the quarantine), it names in its report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use exam_cold::{Part, Rewriting, Select, Tree};
use exam_record::{AttemptKey, AttemptView, members, string_bytes};
use serde::Serialize;

use crate::rebuild::source::{Piece, Source};
use crate::{clock, settings};

#[derive(clap::Args)]
pub struct Args {
    /// Directory of the `serve`
    #[arg(
        long,
        env = "EXAM_STREAM_DIR",
        default_value = "/var/lib/exam-stream/serve"
    )]
    dir: PathBuf,
    /// The Moodle site, as the records name it; '' is the paper's bare records
    #[arg(long)]
    site: String,
    /// The student whose attempts are erased, by Moodle's user id
    #[arg(long, value_name = "ID", required_unless_present = "attempt")]
    student: Option<i64>,
    /// An attempt to erase (repeatable), instead of a student
    #[arg(long, value_name = "ID", conflicts_with = "student")]
    attempt: Vec<i64>,
    /// State store to remove the attempts from: redis:// or rediss://
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: Option<String>,
    /// Spool in which lines that are still to come are counted
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
    site: String,
    student: Option<i64>,
    attempts: BTreeSet<i64>,
    dry_run: bool,
    /// Seconds since 1970. Lines that arrived later are not concerned: erase again.
    began: f64,
    ended: f64,
    lines: u64,
    bytes: u64,
    /// Lines erased in each file of cold storage.
    parts: BTreeMap<String, u64>,
    /// Attempts removed from the state store; null: none was given.
    state: Option<Vec<String>>,
    /// Lines of the student that are still to be delivered, or were put aside; null: no spool given.
    spool_lines: Option<u64>,
    quarantine_lines: Option<u64>,
    /// Files of bytes that were no JSON: they may hold anybody's.
    unparsed: Vec<String>,
    /// Made from the lines of these hours and days: make them anew, or delete them.
    derived: Vec<PathBuf>,
}

/// Whose lines.
struct Concerned {
    site: String,
    student: Option<i64>,
    attempts: BTreeSet<i64>,
}

/// What a line says of whom it is about, of whatever form it is otherwise.
#[derive(Default)]
struct About {
    site: Option<Vec<u8>>,
    attempt: Option<i64>,
    student: Option<i64>,
}

impl About {
    fn of(line: &[u8]) -> Self {
        let mut about = About::default();
        // Every line of cold storage is JSON; what is no object says nothing of anybody.
        let _ = members(line, |key, value| {
            match &*string_bytes(key).unwrap_or_default() {
                b"site" => about.site = string_bytes(value).map(|site| site.into_owned()),
                b"attempt" => about.attempt = integer(value),
                b"student_id" => about.student = integer(value),
                _ => {}
            }
        });
        about
    }
}

/// As the fold reads an integer: also as a text or as `3.0`.
fn integer(value: &[u8]) -> Option<i64> {
    let digits = match value {
        [b'"', digits @ .., b'"'] => digits,
        digits => digits,
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let float = || digits.parse::<f64>().ok().filter(|n| n.fract() == 0.0);
    digits.parse().ok().or_else(|| float().map(|n| n as i64))
}

impl Concerned {
    fn has(&self, about: &About) -> bool {
        about.site.as_deref().unwrap_or_default() == self.site.as_bytes()
            && (self.student.is_some() && about.student == self.student
                || about.attempt.is_some_and(|id| self.attempts.contains(&id)))
    }
}

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
        .map(|url| settings::state(url, 0))
        .transpose()?;
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
    let mut concerned = Concerned {
        site: args.site.clone(),
        student: args.student,
        attempts: args.attempt.iter().copied().collect(),
    };
    if args.student.is_some() {
        let found = on_all(&parts, |part| attempts_of(part, &concerned))?;
        concerned.attempts = found.into_iter().flatten().collect();
        // What cold storage has forgotten, the state may still know.
        if let Some(store) = &store {
            let mut see = |key: AttemptKey, registers| {
                if let AttemptView {
                    attempt: Some(attempt),
                    student_id: Some(student),
                    ..
                } = AttemptView::new(&key, &registers)
                    && key.site == args.site
                    && Some(student) == args.student
                {
                    concerned.attempts.insert(attempt);
                }
            };
            let scan = store.scan(&mut see);
            runtime.block_on(scan).context("reading the state store")?;
        }
    }
    let erased = on_all(&parts, |part| {
        erase(&rewriting, part, &concerned, args.dry_run)
    })?;

    let mut keys: Vec<_> = concerned
        .attempts
        .iter()
        .map(|attempt| AttemptKey::new(&args.site[..], *attempt))
        .collect();
    // Of a bare record the student is the attempt.
    keys.extend(
        args.student
            .filter(|_| args.site.is_empty())
            .map(|student| AttemptKey::new("", student)),
    );
    let mut removed = Vec::new();
    if let Some(store) = &store {
        if !args.dry_run {
            // What the fold had read before is folded; from now on it reads none of these.
            rewriting.release(waiting)?;
        }
        for key in &keys {
            let known = match args.dry_run {
                true => runtime
                    .block_on(store.read(key))
                    .map(|known| known.is_some()),
                false => runtime.block_on(store.remove(key)),
            };
            if known.with_context(|| format!("removing {} from the state", key.to_text()))? {
                removed.push(key.to_text());
            }
        }
    }
    drop(rewriting);

    let spool = args.spool_dir.as_deref();
    let spool = spool.map(|dir| in_spool(dir, &concerned)).transpose()?;
    let touched: Vec<_> = parts
        .iter()
        .zip(&erased)
        .filter(|(_, (n, _))| *n > 0)
        .collect();
    let report = Report {
        site: args.site,
        student: args.student,
        dry_run: args.dry_run,
        began,
        ended: clock::since_epoch().as_secs_f64(),
        lines: erased.iter().map(|(lines, _)| lines).sum(),
        bytes: erased.iter().map(|(_, bytes)| bytes).sum(),
        parts: touched
            .iter()
            .map(|(part, (lines, _))| (part.name.to_string(), *lines))
            .collect(),
        state: store.is_some().then_some(removed),
        spool_lines: spool.map(|(spool, _)| spool),
        quarantine_lines: spool.map(|(_, quarantine)| quarantine),
        unparsed: exam_cold::parts(dir, Tree::Unparsed, &Select::default())?
            .iter()
            .map(|part| part.name.to_string())
            .collect(),
        derived: derived(dir, touched.iter().map(|(part, _)| *part))?,
        attempts: concerned.attempts,
    };
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Does `work` on every part, on all processors; results in the order of the parts.
fn on_all<T: Send>(
    parts: &[Part],
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
            done.push((index, work(part)?));
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

/// The attempts that lines about the student name.
fn attempts_of(part: &Part, concerned: &Concerned) -> Result<BTreeSet<i64>, exam_cold::Error> {
    let mut found = BTreeSet::new();
    each_line(part, |line| {
        let about = About::of(line);
        if concerned.has(&about) {
            found.extend(about.attempt);
        }
    })?;
    Ok(found)
}

/// Returns how many lines were erased, and of how many bytes.
fn erase(
    rewriting: &Rewriting,
    part: &Part,
    concerned: &Concerned,
    dry_run: bool,
) -> Result<(u64, u64), exam_cold::Error> {
    if !dry_run {
        let erased = rewriting.erase(part, &mut |line| concerned.has(&About::of(line)))?;
        return Ok(erased.map_or((0, 0), |erased| (erased.erased, erased.erased_bytes)));
    }
    let mut found = (0, 0);
    each_line(part, |line| {
        if concerned.has(&About::of(line)) {
            found.0 += 1;
            found.1 += line.len() as u64;
        }
    })?;
    Ok(found)
}

/// Lines about the student in the spool, and in its quarantine.
fn in_spool(dir: &Path, concerned: &Concerned) -> anyhow::Result<(u64, u64)> {
    let mut source = Source::default();
    source.add_spool(dir)?;
    let (mut spool, mut quarantine) = (0, 0);
    for piece in source.pieces()? {
        let count = match &piece {
            Piece::Quarantine(_) => &mut quarantine,
            _ => &mut spool,
        };
        piece.lines(&mut |line| {
            *count += u64::from(concerned.has(&About::of(line)));
            Ok(())
        })?;
    }
    Ok((spool, quarantine))
}

/// The Parquet files of the hours that were erased in, and results of queries of their days.
fn derived<'a>(dir: &Path, parts: impl Iterator<Item = &'a Part>) -> io::Result<Vec<PathBuf>> {
    let (mut hours, mut days) = (BTreeSet::new(), BTreeSet::new());
    for part in parts {
        if let Some((hour, _)) = part.name.rsplit_once('/') {
            hours.insert(dir.join("parquet").join(hour));
        }
        days.extend(part.name.split('/').find(|name| name.starts_with("dt=")));
    }
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = hours.into_iter().collect();
    if let Ok(queries) = fs::read_dir(dir.join("results")) {
        for query in queries {
            let query = query?.path();
            folders.extend(days.iter().map(|day| query.join(day)));
        }
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_students_however_it_writes_the_numbers_and_whatever_else_is_wrong() {
        let concerned = Concerned {
            site: "m é".into(),
            student: Some(30),
            attempts: [17].into(),
        };
        for line in [
            r#"{"site":"m é","student_id":30}"#,
            r#"{"site":"m \u00e9","student_id":"30","attempt":5}"#,
            r#"{"site":"m é","student_id":30.0}"#,
            r#"{"\u0073ite":"m é","attempt":17}"#,
            r#"{"v":1,"ts":"no time","site":"m é","attempt":17,"student_id":null}"#,
            r#"{"v":2,"type":"of tomorrow","site":"m é","attempt":"17"}"#,
        ] {
            assert!(concerned.has(&About::of(line.as_bytes())), "{line}");
        }
        for line in [
            r#"{"site":"other","student_id":30,"attempt":17}"#,
            r#"{"student_id":30,"attempt":17}"#,
            r#"{"site":"m é","student_id":3,"attempt":170}"#,
            r#"{"site":"m é","fields":{"student_id":30,"attempt":17}}"#,
            r#"{"site":"m é","by":30}"#,
            r#"{"erased":true}   "#,
            "",
        ] {
            assert!(!concerned.has(&About::of(line.as_bytes())), "{line}");
        }
    }
}
