//! `exam-stream status`: what a spool holds and what became of it.
//!
//! Read from its files: no sender need live, and nothing is changed. The names
//! in `--json` are those of `exam_stream_stats()`.

use std::fmt::Write;
use std::process::ExitCode;

use exam_delivery::Figures;
use exam_spool::{Cursor, Spool};
use indicatif::{HumanBytes, HumanCount};
use serde_json::Value;

use crate::clock;
use crate::settings::SpoolArgs;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    spool: SpoolArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stats = stats(&args.spool.open()?)?;
    match args.json {
        true => println!("{stats:#}"),
        false => print!("{}", human(&stats)),
    }
    Ok(ExitCode::SUCCESS)
}

/// One sentence about a spool.
pub fn summary(spool: &Spool) -> anyhow::Result<String> {
    let stats = stats(spool)?;
    let sender = match &stats["sender_pid"] {
        Value::Null => "no sender lives".to_owned(),
        pid => format!("process {pid} sends"),
    };
    let trouble = match (stats["fold_hold"].as_str(), stats["last_error"].as_str()) {
        (Some(why), _) => format!("; folding waits: {why}"),
        (None, Some(what)) => format!("; last trouble: {what}"),
        (None, None) => String::new(),
    };
    Ok(format!(
        "{} accepted, {} delivered, {} folded; {sender}{trouble}",
        stats["accepted"], stats["delivered"], stats["folded"]
    ))
}

fn stats(spool: &Spool) -> anyhow::Result<Value> {
    let mut figures = Figures::read(spool)?;
    // The sender's last word may be an old one.
    let (mut undelivered, mut unfolded) = (None, None);
    for segment in spool.segments()? {
        undelivered = oldest(undelivered, segment.oldest(Cursor::Delivery)?);
        unfolded = oldest(unfolded, segment.oldest(Cursor::State)?);
    }
    figures.status.oldest_undelivered = undelivered;
    figures.status.oldest_unfolded = unfolded;
    Ok(figures.to_json())
}

fn oldest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn human(stats: &Value) -> String {
    let count = |name: &str| HumanCount(stats[name].as_u64().unwrap_or(0)).to_string();
    let bytes = |name: &str| HumanBytes(stats[name].as_u64().unwrap_or(0)).to_string();
    let seconds = |name: &str| match stats[name].as_f64() {
        Some(age) => format!("{age:.1} s"),
        None => "none".to_owned(),
    };
    let delays = |what: &str| {
        let of = |q: &str| stats[format!("{what}_{q}_ms")].as_f64();
        match (of("p50"), of("p99")) {
            (Some(p50), Some(p99)) => format!("p50 {p50:.1} ms, p99 {p99:.1} ms after put"),
            _ => "no delay measured yet".to_owned(),
        }
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<20}{value}");
    };
    line("accepted", count("accepted"));
    line(
        "delivered",
        format!("{}   ({})", count("delivered"), delays("delivered")),
    );
    line(
        "folded",
        format!("{}   ({})", count("folded"), delays("folded")),
    );
    line("oldest undelivered", seconds("oldest_undelivered"));
    line("oldest unfolded", seconds("oldest_unfolded"));
    line("retried", count("retried"));
    line("refused (full)", count("refused"));
    line("quarantined", count("quarantined"));
    line("fold skipped", count("fold_skipped"));
    line("fold malformed", count("fold_malformed"));
    line("damaged", bytes("damaged_bytes"));
    line("spool", format!("{} of {}", bytes("bytes"), bytes("limit")));
    line(
        "sender",
        match &stats["sender_pid"] {
            Value::Null => "none: the next put or `exam-stream drain` starts one".to_owned(),
            pid => format!("process {pid}"),
        },
    );
    line(
        "last error",
        stats["last_error"].as_str().unwrap_or("none").to_owned(),
    );
    if let Some(why) = stats["fold_hold"].as_str() {
        let since = stats["fold_hold_since"].as_f64().unwrap_or(0.0);
        let waits = (clock::since_epoch().as_secs_f64() - since).max(0.0);
        line("folding waits", format!("for {waits:.0} s: {why}"));
    }
    for (name, stream) in stats["streams"].as_object().into_iter().flatten() {
        let hold = stream["hold"]
            .as_str()
            .map(|why| format!("   HOLD: {why}"))
            .unwrap_or_default();
        line(
            &format!("stream {name}"),
            format!("{} delivered{hold}", stream["delivered"]),
        );
    }
    text
}
