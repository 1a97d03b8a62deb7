//! `exam-stream cold`: what a `serve` keeps, and how long.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use exam_cold::calendar::{date, parse_date};
use exam_cold::{Date, Part, Rewriting, Select, Tree};
use indicatif::{HumanBytes, HumanCount};

use crate::clock;

#[derive(clap::Args)]
pub struct Args {
    /// Directory of the `serve`
    #[arg(
        long,
        env = "EXAM_STREAM_DIR",
        default_value = "/var/lib/exam-stream/serve",
        global = true
    )]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print files, sizes and dates of each stream
    Status,
    /// Remove what arrived longer ago than it is to be kept, for cron or a systemd timer
    Prune {
        /// Days to keep a file of lines after its last one arrived, and Parquet and results after
        /// their date
        #[arg(long, env = "EXAM_STREAM_RETAIN_DAYS", value_name = "DAYS",
              value_parser = clap::value_parser!(u32).range(1..=100_000))]
        retain_days: u32,
        /// Only print what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    if !dir.join("cold").is_dir() {
        bail!("there is no cold storage in {}: give --dir", dir.display());
    }
    match args.command {
        Command::Status => status(dir)?,
        Command::Prune {
            retain_days,
            dry_run,
        } => prune(dir, retain_days, dry_run)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(dir: &Path) -> anyhow::Result<()> {
    let mut streams: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for tree in [Tree::Cold, Tree::Unparsed] {
        for part in exam_cold::parts(dir, tree, &Select::default())? {
            let name = format!("{}/{}", tree.name(), part.stream());
            streams.entry(name).or_default().push(part);
        }
    }
    for (name, parts) in streams {
        let closed = parts.iter().filter(|part| part.closed).count();
        let on_disk = parts.iter().map(|part| part.bytes).sum();
        let lines: u64 = parts
            .iter()
            .map(Part::length)
            .sum::<Result<u64, exam_cold::Error>>()?;
        let dates = [&parts[0], &parts[parts.len() - 1]].map(|part| written(part.date));
        println!(
            "{name}: {} files, {closed} of them closed, {} on disk of {} of lines, {} to {}",
            HumanCount(parts.len() as u64),
            HumanBytes(on_disk),
            HumanBytes(lines),
            dates[0],
            dates[1],
        );
    }
    Ok(())
}

fn written((year, month, day): Date) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

fn prune(dir: &Path, days: u32, dry_run: bool) -> anyhow::Result<()> {
    let kept = Duration::from_secs(u64::from(days) * 86_400);
    let rewriting = Rewriting::lock(dir)?;
    if !dry_run {
        // What is appended to is not old, unless a clock was wrong.
        rewriting.release(|_| {})?;
    }
    let (mut files, mut bytes) = (0, 0);
    let mut removed = |path: &Path, size: u64| {
        println!("{}", path.display());
        files += 1;
        bytes += size;
    };
    let now = SystemTime::now();
    for tree in [Tree::Cold, Tree::Unparsed] {
        for part in exam_cold::parts(dir, tree, &Select::default())? {
            if now
                .duration_since(part.modified)
                .is_ok_and(|age| age > kept)
            {
                if !dry_run {
                    rewriting.remove(&part)?;
                }
                removed(&part.file(), part.bytes);
            }
        }
    }
    // A day is over 24 hours after it began.
    let today = clock::since_epoch().as_secs() / 86_400;
    let first = date(today as i64 - i64::from(days));
    for tree in ["parquet", "results"] {
        for day in days_of(&dir.join(tree), first)? {
            let size = size_of(&day)?;
            if !dry_run {
                fs::remove_dir_all(&day)?;
            }
            removed(&day, size);
        }
    }
    let would = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    eprintln!(
        "{} files and days older than {days} days {would}: {}",
        HumanCount(files),
        HumanBytes(bytes)
    );
    Ok(())
}

/// Directories `<tree>/<stream or query>/dt=…` of dates before `first`.
fn days_of(tree: &Path, first: Date) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for of in list(tree)? {
        for day in list(&of)? {
            let name = day.file_name().and_then(|name| name.to_str());
            let date = name.and_then(|name| parse_date(name.strip_prefix("dt=")?));
            if date.is_some_and(|date| date < first) && day.is_dir() {
                found.push(day);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn size_of(path: &Path) -> io::Result<u64> {
    let below = match path.is_dir() {
        true => list(path)?,
        false => return Ok(fs::symlink_metadata(path)?.len()),
    };
    below.iter().map(|path| size_of(path)).sum()
}

/// What a directory holds; nothing if there is none.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}
