//! `exam-stream`: the program beside the PHP extension.
//!
//! One module per subcommand; each has an `Args` for clap and a `run` that
//! returns the exit code. An error that reaches `main` is printed as one
//! sentence per cause on stderr and ends the program with 1; 2 is clap's code
//! for a command line it does not understand.

mod clock;
mod cold;
mod cost;
mod doctor;
mod drain;
mod erase;
mod exam;
mod rebuild;
mod replay;
mod serve;
mod settings;
mod simulate;
mod state;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exam answers, safe on the server and in the stream
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the Firehose API locally: cold storage in files, state folded into Redis
    Serve(serve::Args),
    /// Send a spool without PHP
    Drain(drain::Args),
    /// Print what a spool holds and what became of it
    Status(status::Args),
    /// Build the state from cold storage, spool and quarantine, or compare it with the store
    Rebuild(rebuild::Args),
    /// Look at cold storage, or remove what is older than it is to be kept
    Cold(cold::Args),
    /// Remove what is kept of one student, with a report
    Erase(erase::Args),
    /// Write every attempt's state as JSON
    State(state::Args),
    /// Check settings end to end, with a fix for each failure
    Doctor(doctor::Args),
    /// Replay an exam's log at real or given speed
    Replay(replay::Args),
    /// Simulate a whole exam and compare the state with its truth
    Simulate(simulate::Args),
    /// What an exam costs on AWS, by service
    Cost(cost::Args),
}

/// `exam-stream status | head -1` is no panic to tell of: who read the output has seen enough.
fn end_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.payload().downcast_ref::<String>();
        if !what.is_some_and(|what| what.contains("Broken pipe")) {
            usual(panic);
        }
    }));
}

fn main() -> ExitCode {
    end_quietly_with_the_reader();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Drain(args) => drain::run(args),
        Command::Status(args) => status::run(args),
        Command::Rebuild(args) => rebuild::run(args),
        Command::Cold(args) => cold::run(args),
        Command::Erase(args) => erase::run(args),
        Command::State(args) => state::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Cost(args) => cost::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("exam-stream: {error:#}");
        ExitCode::FAILURE
    })
}
