//! `exam-analyse erase`: what was made of lines that `exam-stream erase` has erased.
//!
//! That program leaves in `DIR/erasure.json` whose they are; this one takes their rows out of the
//! Parquet of `compact` and the results of `run`, late events included, while both may run. The
//! file goes once all is done: killed at any moment, run it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use exam_cold::Rewriting;
use exam_record::Erasure;
use serde::Serialize;

use crate::cold_table::hours;
use crate::compact;
use crate::run::output::{self, Erased};

/// What `exam-stream erase` leaves.
const PLAN: &str = "erasure.json";

/// Erase from Parquet and results what `exam-stream erase` has erased from lines.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of a `serve`
    #[arg(long, value_name = "DIR")]
    cold: PathBuf,
    /// A directory of results besides `results` of --cold (repeatable)
    #[arg(long, value_name = "DIR")]
    out: Vec<PathBuf>,
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
    /// By site: how many students and attempts.
    students: BTreeMap<String, usize>,
    attempts: BTreeMap<String, usize>,
    dry_run: bool,
    /// Rows erased in each hour's Parquet.
    parquet: BTreeMap<String, u64>,
    /// Files, rows and bytes erased in each directory of results.
    results: BTreeMap<PathBuf, Erased>,
    not_reached: &'static str,
}

const NOT_REACHED: &str = "rows that name neither student_id nor attempt under these names; reports and \
    answers of `exam-analyse report`, `query` and `similarity` that somebody keeps; reference tables; \
    copies of any of these";

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut out: Box<dyn Write> = match args.json.to_str() {
        Some("-") => Box::new(io::stdout().lock()),
        _ => Box::new(File::create(&args.json).with_context(|| args.json.display().to_string())?),
    };
    let path = args.cold.join(PLAN);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!(
                "nothing is to be erased: `exam-stream erase` has left no {}",
                path.display()
            );
            return Ok(ExitCode::SUCCESS);
        }
        read => read.with_context(|| path.display().to_string())?,
    };
    let whose: Erasure =
        serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    let mut parquet = BTreeMap::new();
    if args.cold.join("parquet").is_dir() {
        let _lock = compact::lock(&args.cold)?;
        for hour in hours(&args.cold).context("looking through cold storage")? {
            if hour.parquet.is_some() {
                let rows = compact::erase(&args.cold, &hour, &whose, args.dry_run)
                    .with_context(|| format!("erasing in the Parquet of {}", hour.dir))?;
                if rows > 0 {
                    parquet.insert(hour.dir, rows);
                }
            }
        }
    }
    let dirs: BTreeSet<PathBuf> = args
        .out
        .into_iter()
        .chain([args.cold.join("results")])
        .collect();
    let mut results = BTreeMap::new();
    for dir in dirs.into_iter().filter(|dir| dir.is_dir()) {
        let erased = output::erase(&dir, &whose, args.dry_run)
            .with_context(|| format!("erasing in {}", dir.display()))?;
        results.insert(dir, erased);
    }
    if !args.dry_run {
        forget(&args.cold, &path, &text)?;
    }
    let count = |of: fn(&exam_record::Whose) -> usize| {
        let sites = whose.0.iter();
        sites
            .map(|(site, whose)| (site.clone(), of(whose)))
            .collect()
    };
    let report = Report {
        students: count(|whose| whose.students.len()),
        attempts: count(|whose| whose.attempts.len()),
        dry_run: args.dry_run,
        parquet,
        results,
        not_reached: NOT_REACHED,
    };
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Removes the file, unless more was left in it meanwhile: then it is for the next time.
fn forget(dir: &Path, path: &Path, text: &[u8]) -> anyhow::Result<()> {
    // Who adds to it holds this, too.
    let _alone = Rewriting::lock(dir)?;
    if fs::read(path)? == text {
        fs::remove_file(path)?;
    } else {
        eprintln!("more was erased from the lines meanwhile: run this again");
    }
    Ok(())
}
