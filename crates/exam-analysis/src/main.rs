//! `exam-analyse`: SQL over the stream of exam records.
//!
//! An error that reaches `main` is printed as one sentence per cause on stderr and ends the
//! program with 1; 2 is clap's code for a command line it does not understand.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};
use exam_analysis::{compact, erase, query, report, run, similarity};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// SQL over the stream of exam records
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Query(query::Args),
    Compact(compact::Args),
    Erase(erase::Args),
    Report(report::Args),
    Similarity(similarity::Args),
}

/// Plans are trees that are walked recursively, by code that is compiled for a short build.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let work = move || match cli.command {
        Command::Run(args) => run::run(args),
        Command::Query(args) => query::run(args),
        Command::Compact(args) => compact::run(args),
        Command::Erase(args) => erase::run(args),
        Command::Report(args) => report::run(args),
        Command::Similarity(args) => similarity::run(args),
    };
    let done = thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .map(|thread| thread.join());
    match done {
        Ok(Ok(Ok(code))) => code,
        Ok(Ok(Err(error))) => {
            eprintln!("exam-analyse: {error:#}");
            ExitCode::FAILURE
        }
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            eprintln!("exam-analyse: cannot start a thread: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines on stderr; `EXAM_STREAM_LOG` filters them, as in `debug` or `warn`.
fn log_to_stderr() {
    let asked = std::env::var("EXAM_STREAM_LOG").unwrap_or_default();
    let filter = match asked.parse::<Targets>() {
        Ok(filter) => filter,
        Err(error) => {
            if !asked.is_empty() {
                eprintln!(
                    "EXAM_STREAM_LOG={asked} is no filter like debug or warn,hyper=info ({error}): info is taken"
                );
            }
            Targets::new().with_default(tracing::Level::INFO)
        }
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(log).with(filter).init();
}
