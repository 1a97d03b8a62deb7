//! `exam-stream replay`: plays an exam, a log or a simulated one, through PHP's
//! path or straight to an endpoint, and says what became of every record.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, bail};
use indicatif::{HumanCount, HumanDuration, ProgressBar};

use crate::exam::audit::{Audit, audit, hash};
use crate::exam::endpoint::Endpoint;
use crate::exam::log::Log;
use crate::exam::php::{Answers, Php, Sampler, Worker, percentiles};
use crate::exam::play::{Pace, Schedule, interrupted, progress, wait_until};
use crate::exam::simulated::Simulated;
use crate::exam::truth::compare;
use crate::exam::{Exam, What, Writer, now, seconds};

/// Replay an exam.
///
/// LOG has a row per event: milliseconds since the student's exam began, student,
/// question, score; separated by tabs, no header. A student's rows are that student's
/// sequence, the questions, in the order in which the student first met them, the slots.
/// Without LOG an exam of one hour is simulated.
#[derive(clap::Args)]
pub struct Args {
    /// The log of an exam
    log: Option<PathBuf>,
    /// Simulate an exam of this many students
    #[arg(long, default_value_t = 1609, conflicts_with = "log")]
    students: u32,
    /// Another number, another simulated exam
    #[arg(long, default_value_t = 1, conflicts_with = "log")]
    seed: u64,
    /// Times faster than the exam was; without this and --seconds as fast as possible
    #[arg(long)]
    speed: Option<f64>,
    /// Play it within this many seconds
    #[arg(long, conflicts_with = "speed")]
    seconds: Option<f64>,
    /// Delivery stream
    #[arg(long, default_value = "exam")]
    stream: String,
    /// Straight to this endpoint of the Firehose API, without PHP
    #[arg(long)]
    endpoint: Option<String>,
    /// The PHP that puts
    #[arg(long, default_value = "php", conflicts_with = "endpoint")]
    php: String,
    /// A setting for PHP, as `php -d` takes it (extension=…, exam_stream.spool_dir=…)
    #[arg(short = 'd', value_name = "SETTING", conflicts_with = "endpoint")]
    settings: Vec<String>,
    /// PHP processes that put
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Send a share of the same records to this endpoint with a blocking PutRecord, too
    #[arg(long, conflicts_with = "endpoint")]
    blocking: Option<String>,
    /// Look for every accepted record in this directory of cold storage
    #[arg(long)]
    cold: Option<PathBuf>,
    /// Compare this state store with the exam's truth
    #[arg(long)]
    state: Option<String>,
}

/// What became of the records.
#[derive(Default)]
struct Outcome {
    /// Hashes of accepted ids.
    accepted: Vec<u64>,
    sent_to_put: Vec<u32>,
    call: Vec<u32>,
    blocking: Vec<u32>,
    stats: Option<serde_json::Value>,
}

impl Outcome {
    fn add(&mut self, answers: Answers) {
        self.accepted.extend(answers.accepted);
        self.sent_to_put.extend(answers.sent_to_put);
        self.call.extend(answers.call);
        // The figures are the spool's: those that count most are the latest.
        let accepted = |stats: &Option<serde_json::Value>| {
            stats.as_ref().and_then(|stats| stats["accepted"].as_u64())
        };
        if accepted(&answers.stats) >= accepted(&self.stats) {
            self.stats = answers.stats;
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let exam: Box<dyn Exam> = match &args.log {
        Some(log) => Box::new(Log::read(log)?),
        None => Box::new(Simulated::new(args.students, args.seed)),
    };
    let pace = match (args.speed, args.seconds) {
        (Some(speed), _) if speed > 0.0 => Pace::Speed(speed),
        (_, Some(seconds)) if seconds > 0.0 => {
            Pace::Speed((exam.length() as f64 / 1e6 / seconds).max(f64::MIN_POSITIVE))
        }
        (None, None) => Pace::AsFastAsPossible,
        _ => bail!("--speed and --seconds must be greater than 0"),
    };
    let stop = interrupted()?;
    let mut way = Way::open(&args)?;
    let clock = pace.clock(exam.as_ref());
    let writer = Writer {
        exam: exam.as_ref(),
        clock,
    };
    let bar = progress(exam.records());
    let began = Instant::now();
    let mut played = 0;
    let mut line = Vec::new();
    for (student, plan, sent) in Schedule::new(exam.as_ref()) {
        if let Pace::Speed(_) = pace {
            let due = clock.wall(sent.sent);
            if due > now() {
                way.flush()?;
                wait_until(due, &stop);
            }
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        line.clear();
        writer.line(student, &plan, &sent.edit, &mut line);
        let id = hash(writer.id(student, &plan, &sent.edit).as_bytes());
        way.send(student, id, &sent.edit.what, &mut line)?;
        played += 1;
        if played % 64 == 0 {
            bar.set_position(played);
        }
    }
    let playing = began.elapsed();
    bar.set_position(played);
    bar.set_message("sent; waiting until they are folded");
    let outcome = way.finish(&bar)?;
    bar.finish_and_clear();
    if stop.load(Ordering::Relaxed) {
        eprintln!(
            "exam-stream: interrupted after {} records",
            HumanCount(played)
        );
        return Ok(ExitCode::from(130));
    }

    println!(
        "played     {} records of {} students in {:.1} s ({} of exam)",
        HumanCount(played),
        HumanCount(exam.students().into()),
        playing.as_secs_f64(),
        HumanDuration(std::time::Duration::from_micros(exam.length())),
    );
    let accepted = outcome.accepted.len() as u64;
    let found = args
        .cold
        .as_deref()
        .map(|cold| audit(cold, outcome.accepted.clone()))
        .transpose()?;
    let mut good = report_counts(accepted, outcome.stats.as_ref(), found.as_ref());
    if let Some(url) = &args.state {
        // `ts` is stamped by who receives a record, so only they know when it was last seen.
        good &= compare(url, &writer, false)?;
    }
    report_delays(outcome);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Accepted, delivered, folded, lost: true if they agree.
fn report_counts(accepted: u64, stats: Option<&serde_json::Value>, audit: Option<&Audit>) -> bool {
    let count = |name: &str| stats.and_then(|stats| stats[name].as_u64());
    println!("accepted   {}", HumanCount(accepted));
    let mut good = true;
    for name in ["delivered", "folded"] {
        if let Some(count) = count(name) {
            println!("{name:<10} {}", HumanCount(count));
            good &= count == accepted;
        }
    }
    if let Some(audit) = audit {
        println!(
            "lost       {} of {} different records, looked for in {} lines of cold storage",
            HumanCount(audit.lost),
            HumanCount(audit.accepted),
            HumanCount(audit.lines)
        );
        good &= audit.lost == 0;
    }
    for (name, means) in [
        (
            "refused_puts",
            "puts that were repeated because the spool was full",
        ),
        ("quarantined", "records that the stream refuses"),
    ] {
        if let Some(count @ 1..) = count(name) {
            println!("           {} {means}", HumanCount(count));
        }
    }
    good
}

fn report_delays(mut outcome: Outcome) {
    let millis = |micros: f64| format!("{:.3} ms", micros / 1000.0);
    let row = |name: &str, delays: Option<(f64, f64)>, note: &str| {
        if let Some((median, late)) = delays {
            println!(
                "{name:<24} {:>12} {:>12}   {note}",
                millis(median),
                millis(late)
            );
        }
    };
    let measured = |values: &mut [u32], unit: f64| {
        percentiles(values).map(|(median, late)| (f64::from(median) * unit, f64::from(late) * unit))
    };
    if outcome.sent_to_put.is_empty() {
        return;
    }
    println!("\n{:<24} {:>12} {:>12}", "delay", "median", "99th pct");
    row(
        "sent → put",
        measured(&mut outcome.sent_to_put, 1.0),
        "the browser's wait for “saved”",
    );
    row(
        "  exam_stream_put() alone",
        measured(&mut outcome.call, 0.001),
        "",
    );
    for way in ["delivered", "folded"] {
        let delays = outcome.stats.as_ref().and_then(|stats| {
            let millis = |quantile| stats[format!("{way}_{quantile}_ms")].as_f64();
            Some((millis("p50")? * 1e3, millis("p99")? * 1e3))
        });
        row(&format!("put → {way}"), delays, "");
    }
    let calls = outcome.blocking.len();
    let note = format!("{calls} of the same records, each signed and waited for");
    row(
        "blocking PutRecord",
        measured(&mut outcome.blocking, 1.0),
        &note,
    );
}

/// The way the records take.
enum Way {
    Php {
        workers: Vec<Worker>,
        sampler: Option<Sampler>,
    },
    Endpoint(Box<Endpoint>),
}

impl Way {
    fn open(args: &Args) -> anyhow::Result<Way> {
        if let Some(endpoint) = &args.endpoint {
            return Ok(Way::Endpoint(Box::new(Endpoint::open(
                endpoint,
                &args.stream,
            )?)));
        }
        let php = Php {
            program: args.php.clone(),
            settings: args.settings.clone(),
        };
        let workers = (0..args.workers)
            .map(|_| php.start(&["put", &args.stream]))
            .collect::<anyhow::Result<_>>()?;
        let sampler = args.blocking.as_ref().map(|endpoint| {
            let php = Php {
                program: args.php.clone(),
                settings: vec![],
            };
            Sampler::new(&php, &["blocking", endpoint, &args.stream])
        });
        Ok(Way::Php {
            workers,
            sampler: sampler.transpose()?,
        })
    }

    /// Sends a record that lacks `sent`, `ts` and the closing brace.
    fn send(
        &mut self,
        student: u32,
        id: u64,
        what: &What,
        line: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let sent = now();
        line.extend_from_slice(br#","sent":"#);
        line.extend_from_slice(seconds(sent).as_bytes());
        match self {
            Way::Php { workers, sampler } => {
                line.push(b'\n');
                // It gets another `ts` there, which orders starts and ends but no answers.
                if let (Some(sampler), "answer") = (sampler, what.kind()) {
                    sampler.offer(sent, line);
                }
                let worker = student as usize % workers.len();
                workers[worker].send(id, sent, line)
            }
            Way::Endpoint(endpoint) => {
                line.extend_from_slice(br#","ts":"#);
                line.extend_from_slice(seconds(sent).as_bytes());
                line.extend_from_slice(b"}\n");
                endpoint.send(id, line)
            }
        }
    }

    /// Nothing is due now: what has been held back goes.
    fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Way::Php { .. } => Ok(()),
            Way::Endpoint(endpoint) => endpoint.flush(),
        }
    }

    fn finish(self, bar: &ProgressBar) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        match self {
            Way::Php {
                mut workers,
                sampler,
            } => {
                workers.iter_mut().for_each(Worker::close);
                for worker in workers {
                    outcome.add(worker.finish()?);
                    bar.tick();
                }
                if let Some(sampler) = sampler {
                    outcome.blocking = sampler.finish().context("the blocking calls")?.sent_to_put;
                }
            }
            Way::Endpoint(endpoint) => outcome.accepted = endpoint.finish()?,
        }
        Ok(outcome)
    }
}
