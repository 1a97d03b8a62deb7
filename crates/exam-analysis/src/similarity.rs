//! `exam-analyse similarity`: students whose answers are alike beyond what their scores explain.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use exam_similarity::{Answer, Matrix, MatrixBuilder, Options, Report, auc, compare};
use serde_json::json;

use crate::{key, report};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    Csv,
    Json,
}

/// Compare the answers of all pairs of students of an exam, and list those to review.
///
/// The answers come from a CSV file (`student`, then for each item i `answer_i` and `score_i`, 1
/// for a right answer; perhaps `flagged`, 1 for people known otherwise, and `centre`), or from cold
/// storage and an answer key. A pair is one to review, never a verdict: docs/signals.md.
#[derive(clap::Args)]
pub struct Args {
    /// CSV file with a row a student
    #[arg(required_unless_present = "quiz", conflicts_with = "quiz")]
    file: Option<PathBuf>,
    /// Number of a quiz in cold storage instead
    #[arg(long, requires = "cold", requires = "key")]
    quiz: Option<i64>,
    /// Directory of a `serve`
    #[arg(long, value_name = "DIR")]
    cold: Option<PathBuf>,
    /// Right answers: a CSV file with the columns slot (or question) and answer
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Which Moodle, if the storage holds several
    #[arg(long)]
    site: Option<String>,
    /// List pairs up to this false discovery rate
    #[arg(long, default_value_t = 0.05)]
    rate: f64,
    /// Show so many of the others, too: the least probable ones that are not listed
    #[arg(long, default_value_t = 0, value_name = "PAIRS")]
    more: usize,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !(args.rate > 0.0 && args.rate < 1.0) {
        bail!("--rate must lie between 0 and 1");
    }
    let (matrix, flagged) = match (&args.file, args.quiz, &args.cold, &args.key) {
        (Some(file), ..) => read(file).with_context(|| format!("in {}", file.display()))?,
        (None, Some(quiz), Some(cold), Some(key)) => {
            let right = key::read(key, quiz)?;
            let mut records = report::collect(cold, quiz, args.site)?;
            key::tell(&records.not_in_key(&right), Some(key));
            (records.matrix(&right)?, None)
        }
        _ => bail!("give a CSV file, or --quiz with --cold and --key"),
    };
    let options = Options {
        rate: args.rate,
        ..Options::default()
    };
    let report = compare(&matrix, &options)?;
    let listed = report.pairs.len();
    let mut shown = report.pairs.clone();
    if args.more > 0 {
        let all = Options {
            rate: 1.0,
            ..options
        };
        shown.extend(
            compare(&matrix, &all)?
                .pairs
                .into_iter()
                .skip(listed)
                .take(args.more),
        );
    }
    let mut out = io::stdout().lock();
    match args.format {
        Format::Text => text(&mut out, &matrix, &report, &shown, flagged.as_deref()),
        Format::Csv => table(&mut out, &matrix, &report, &shown),
        Format::Json => lines(&mut out, &matrix, &report, &shown),
    }?;
    Ok(ExitCode::SUCCESS)
}

type Pairs = [exam_similarity::Pair];

fn text(
    out: &mut impl Write,
    matrix: &Matrix,
    report: &Report,
    pairs: &Pairs,
    flagged: Option<&[bool]>,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "compared   {} pairs of {} students on {} items",
        report.comparisons, report.students, report.items
    )?;
    writeln!(
        out,
        "null       mean {:.3}, sd {:.3} over all pairs (0 and 1 if chance and score explain them)",
        report.mean, report.sd
    )?;
    if report.sd > 1.0 {
        writeln!(out, "           z and p are widened by {:.3}", report.sd)?;
    }
    writeln!(
        out,
        "review     {} pairs at a false discovery rate of {}; family-wise z {:.2}, {} pairs above it",
        report.pairs.len(),
        report.rate,
        report.family_wise_z,
        report
            .pairs
            .iter()
            .filter(|pair| pair.family <= report.rate)
            .count()
    )?;
    if let Some(flagged) = flagged
        && let Some(found) = auc(&report.nearest, flagged)
    {
        let (low, high) = found.interval(0.95);
        writeln!(
            out,
            "flagged    {} of {}; area under the curve of the greatest z {:.3} ({low:.3} to {high:.3})",
            found.flagged,
            found.flagged + found.others,
            found.area
        )?;
    }
    for (rank, pair) in pairs.iter().enumerate() {
        if rank == report.pairs.len() {
            writeln!(out, "not listed:")?;
        }
        let (a, b) = pair.students;
        let flag = |student: usize| match flagged.is_some_and(|flagged| flagged[student]) {
            true => " (flagged)",
            false => "",
        };
        write!(
            out,
            "{}{} and {}{}: z {:.2}, p {:.1e}, family-wise {:.1e}, q {:.1e}; same {} of {} \
             ({:.1} expected), same wrong {} ({:.1} expected)",
            matrix.students()[a],
            flag(a),
            matrix.students()[b],
            flag(b),
            pair.z,
            pair.p,
            pair.family,
            pair.q,
            pair.same,
            pair.items,
            pair.same_expected,
            pair.same_wrong,
            pair.same_wrong_expected
        )?;
        match pair.co_timed {
            None => writeln!(out)?,
            Some(of) => writeln!(
                out,
                "; {} of {} wrong ones at the same moment ({:.1} by pace, p {:.1e})",
                of.count, of.judged, of.expected, of.p
            )?,
        }
    }
    Ok(())
}

fn table(
    out: &mut impl Write,
    matrix: &Matrix,
    report: &Report,
    pairs: &Pairs,
) -> anyhow::Result<()> {
    let mut rows = csv::Writer::from_writer(out);
    rows.write_record([
        "student_a",
        "student_b",
        "review",
        "z",
        "p",
        "family",
        "q",
        "q_any_dependence",
        "items",
        "same",
        "same_expected",
        "same_wrong",
        "same_wrong_expected",
        "co_timed",
        "co_timed_expected",
        "co_timed_p",
    ])?;
    for (rank, pair) in pairs.iter().enumerate() {
        let (a, b) = pair.students;
        let times = pair.co_timed;
        let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        rows.write_record([
            matrix.students()[a].clone(),
            matrix.students()[b].clone(),
            u8::from(rank < report.pairs.len()).to_string(),
            pair.z.to_string(),
            pair.p.to_string(),
            pair.family.to_string(),
            pair.q.to_string(),
            pair.q_any_dependence.to_string(),
            pair.items.to_string(),
            pair.same.to_string(),
            pair.same_expected.to_string(),
            pair.same_wrong.to_string(),
            pair.same_wrong_expected.to_string(),
            times.map_or(String::new(), |of| of.count.to_string()),
            text(times.map(|of| of.expected)),
            text(times.map(|of| of.p)),
        ])?;
    }
    rows.flush()?;
    Ok(())
}

fn lines(
    out: &mut impl Write,
    matrix: &Matrix,
    report: &Report,
    pairs: &Pairs,
) -> anyhow::Result<()> {
    let pairs: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(rank, pair)| {
            let (a, b) = pair.students;
            json!({
                "students": [matrix.students()[a], matrix.students()[b]],
                "review": rank < report.pairs.len(),
                "z": pair.z, "p": pair.p, "family": pair.family,
                "q": pair.q, "q_any_dependence": pair.q_any_dependence,
                "items": pair.items,
                "same": pair.same, "same_expected": pair.same_expected,
                "same_wrong": pair.same_wrong, "same_wrong_expected": pair.same_wrong_expected,
                "co_timed": pair.co_timed.map(|of| json!({
                    "count": of.count, "judged": of.judged, "expected": of.expected, "p": of.p,
                })),
            })
        })
        .collect();
    let all = json!({
        "students": report.students, "items": report.items, "comparisons": report.comparisons,
        "mean": report.mean, "sd": report.sd, "rate": report.rate,
        "family_wise_z": report.family_wise_z, "pairs": pairs,
    });
    writeln!(out, "{all:#}")?;
    Ok(())
}

/// The answers, and who is flagged, if the file says so.
fn read(path: &Path) -> anyhow::Result<(Matrix, Option<Vec<bool>>)> {
    let mut rows = csv::Reader::from_path(path)?;
    let names = rows.headers()?.clone();
    let column = |name: &str| names.iter().position(|n| n == name);
    let student = column("student").context("there is no column student")?;
    let (flag, centre) = (column("flagged"), column("centre"));
    let items: Vec<(String, usize, usize)> = names
        .iter()
        .enumerate()
        .filter_map(|(answer, name)| {
            let item = name.strip_prefix("answer_")?;
            Some((item.to_owned(), answer, column(&format!("score_{item}"))?))
        })
        .collect();
    if items.is_empty() {
        bail!("there are no columns answer_1 and score_1");
    }
    let mut exam = MatrixBuilder::new();
    let mut flagged = Vec::new();
    for row in rows.records() {
        let row = row?;
        let cell = |column: usize| row.get(column).unwrap_or_default().trim();
        let who = cell(student);
        exam.started(who, None);
        if let Some(centre) = centre {
            exam.group(who, cell(centre));
        }
        flagged.push(flag.is_some_and(|flag| cell(flag) == "1"));
        for (item, answer, score) in &items {
            if cell(*answer).is_empty() {
                continue;
            }
            let line = row.position().map_or(0, csv::Position::line);
            let score: f64 = cell(*score)
                .parse()
                .with_context(|| format!("line {line}: score_{item} is no number"))?;
            let answer = Answer {
                option: cell(*answer),
                right: score >= 1.0,
                at: None,
            };
            exam.answer(who, item, answer)?;
        }
    }
    Ok((exam.build(), flag.map(|_| flagged)))
}
