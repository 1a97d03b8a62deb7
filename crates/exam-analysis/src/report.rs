//! `exam-analyse report`: an exam as one HTML page, from cold storage.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use datafusion::arrow::array::{Array, AsArray};
use exam_cold::{Select, Tree};
use exam_report::{Key, Records};
use futures_util::StreamExt;
use memchr::memmem;
use serde_json::{Map, Value};

use crate::cold_table::ColdTable;
use crate::datafusion_engine::DataFusion;
use crate::dialect::Mode;
use crate::{key, size};

/// Make a report of an exam: one HTML page that needs nothing else.
///
/// Records over time, answers per second, progress of the cohort, time and error per question,
/// disconnects, what the rules found, and students whose answers are alike. The last two need
/// results of `run`, and an answer key. Memory: some 100 bytes a record of the quiz.
#[derive(clap::Args)]
pub struct Args {
    /// Number of the quiz, as its records have it
    quiz: i64,
    /// Directory of a `serve`
    #[arg(long, value_name = "DIR")]
    cold: PathBuf,
    /// Results of `run` [default: DIR/results]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Right answers: a CSV file with the columns slot (or question) and answer
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Which Moodle, if the storage holds several
    #[arg(long)]
    site: Option<String>,
    /// Heading of the page [default: Quiz and its number]
    #[arg(long)]
    title: Option<String>,
    /// File to write instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let key = match &args.key {
        Some(path) => key::read(path, args.quiz)?,
        None => Key::default(),
    };
    let mut records = collect(&args.cold, args.quiz, args.site)?;
    let results = args.results.unwrap_or_else(|| args.cold.join("results"));
    if results.is_dir() {
        found(&results, &mut records)?;
    }
    key::tell(&records.not_in_key(&key), args.key.as_deref());
    let title = args.title.unwrap_or_else(|| format!("Quiz {}", args.quiz));
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let html = exam_report::page(&records.exam(&title, now, &key));
    match &args.output {
        Some(path) => fs::write(path, html).with_context(|| path.display().to_string())?,
        None => io::stdout().write_all(html.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All records of a quiz.
pub fn collect(cold: &Path, quiz: i64, site: Option<String>) -> anyhow::Result<Records> {
    if !cold.is_dir() {
        bail!(
            "there is no directory {}: give --cold, the --dir of a serve",
            cold.display()
        );
    }
    let mut records = Records::of(quiz, site);
    let engine = DataFusion::new(size("1G").map_err(anyhow::Error::msg)?)?;
    let session = engine.session()?;
    session.register_table("events", Arc::new(ColdTable::new(cold)))?;
    let sql = format!("SELECT record FROM events WHERE quiz = {quiz}");
    let (plan, _) = engine
        .plan(&session, &sql, Mode::Once)
        .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    engine.runtime().block_on(async {
        let mut rows = session
            .execute_logical_plan(plan)
            .await?
            .execute_stream()
            .await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let lines = batch.column(0);
            let lines = lines
                .as_string_opt::<i32>()
                .with_context(|| format!("the column record is {}", lines.data_type()))?;
            lines
                .iter()
                .flatten()
                .for_each(|line| records.add(line.as_bytes()));
        }
        anyhow::Ok(())
    })?;
    // Rows that a rule sent through the stream are no events, but lie in cold storage all the same.
    let signal = memmem::Finder::new("\"signal\"");
    for part in exam_cold::parts(cold, Tree::Cold, &Select::default())? {
        let mut lines = part.open(0)?;
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if signal.find(&line).is_some() {
                records.add(&line);
            }
            line.clear();
        }
    }
    let sites: Vec<&str> = records.sites().collect();
    match sites[..] {
        [] => bail!("there is no record of quiz {quiz} in {}", cold.display()),
        [_] => Ok(records),
        _ => bail!(
            "quiz {quiz} is there of several sites: give --site, one of {}",
            sites.join(", ")
        ),
    }
}

/// The results of all rules: `<rule>/dt=YYYY-MM-DD/rows.jsonl`.
fn found(results: &Path, records: &mut Records) -> anyhow::Result<()> {
    for rule in directories(results)? {
        let name = rule
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('_') {
            continue;
        }
        for day in directories(&rule)? {
            let path = day.join("rows.jsonl");
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                // A commit that has made its directory so far.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            };
            for row in text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
            {
                let row: Map<String, Value> = row;
                let end = row
                    .get("window_end")
                    .and_then(Value::as_str)
                    .and_then(seconds);
                let revision = row.get("revision").and_then(Value::as_i64).unwrap_or(0);
                if let Some(end) = end {
                    records.add_row(&name, end, revision, &row);
                }
            }
        }
    }
    Ok(())
}

fn directories(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut found: Vec<PathBuf> = list
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

/// Seconds since 1970 of `2026-01-05T09:06:00.000Z`.
fn seconds(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day = exam_cold::calendar::day(exam_cold::calendar::parse_date(date)?);
    let mut clock = time.split(':').map(str::parse::<f64>);
    let (h, m, s) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    Some(day as f64 * 86_400.0 + h * 3600.0 + m * 60.0 + s)
}
