//! `exam-stream drain`: sends a spool without PHP, with the extension's own sender.
//!
//! As a service it waits to be elected: beside a web server whose
//! `exam_stream.sender` is `auto` it takes over when the last PHP process is
//! gone; where that is `off`, it is the sender. With `--once` it ends when the
//! spool is empty, whoever sent it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use exam_delivery::{AwsEnv, PutBatch, SenderConfig, SenderHandle, Status};
use exam_spool::{Cursor, Spool};
use indicatif::{HumanCount, ProgressBar};

use crate::settings::{self, FirehoseArgs, SpoolArgs};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    spool: SpoolArgs,
    #[command(flatten)]
    firehose: FirehoseArgs,
    /// State store to write through to, as exam_stream.state_url names it
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: Option<String>,
    /// How long a record waits for company before it is sent
    #[arg(long, env = "EXAM_STREAM_LINGER_MS", default_value_t = 50)]
    linger_ms: u64,
    /// A Firehose record is closed at this size
    #[arg(long, env = "EXAM_STREAM_AGGREGATE_BYTES", default_value = "64K", value_parser = settings::size)]
    aggregate_bytes: u64,
    /// How often what was put is made safe against a power cut; 0: never
    #[arg(long, env = "EXAM_STREAM_SYNC_MS", default_value_t = 500)]
    sync_ms: u64,
    /// How long it goes on sending when it is told to end
    #[arg(long, env = "EXAM_STREAM_SHUTDOWN_MS", default_value_t = 1500)]
    shutdown_ms: u64,
    /// End when all is delivered (and folded, with --state): 0; not in time: 1
    #[arg(long)]
    once: bool,
    /// Seconds that --once waits
    #[arg(long, default_value_t = 60, requires = "once")]
    timeout: u64,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    settings::log_to_stderr();
    let spool = args.spool.open()?;
    let sender = start(&args, &spool)?;
    let shutdown = Duration::from_millis(args.shutdown_ms);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if !args.once {
        runtime.block_on(settings::told_to_end())?;
        sender.stop(shutdown);
        return Ok(ExitCode::SUCCESS);
    }
    let end = Instant::now() + Duration::from_secs(args.timeout);
    let emptied = runtime.block_on(async {
        tokio::select! {
            emptied = empty(&spool, args.state.is_some(), end) => emptied,
            told = settings::told_to_end() => told.map(|()| false).map_err(Into::into),
        }
    });
    // What is left then is left for the next one.
    sender.stop(if matches!(emptied, Ok(true)) {
        shutdown
    } else {
        Duration::ZERO
    });
    if emptied? {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("exam-stream: the spool is not empty yet; nothing in it is lost");
    if let Some(problem) = Status::read(&spool)?.and_then(|s| s.last_error) {
        eprintln!("exam-stream: the sender's last trouble: {}", problem.what);
    }
    Ok(ExitCode::FAILURE)
}

fn start(args: &Args, spool: &Spool) -> anyhow::Result<SenderHandle> {
    let env = AwsEnv::snapshot();
    // Made once here as well, so that a setting that can never work is told at once.
    let client = Arc::new(args.firehose.client(env.clone())?);
    let store: Option<exam_delivery::Store> = match args.state.clone() {
        Some(url) => {
            let options = exam_state::Options {
                aws: env,
                ..Default::default()
            };
            let open = move || exam_state::open(&url, options.clone());
            open().context("--state")?;
            Some(Box::new(open))
        }
        None => None,
    };
    let config = SenderConfig {
        linger: Duration::from_millis(args.linger_ms),
        aggregate_bytes: args.aggregate_bytes as usize,
        sync: (args.sync_ms > 0).then(|| Duration::from_millis(args.sync_ms)),
        ..SenderConfig::default()
    };
    let client = Box::new(move || Ok(client.clone() as Arc<dyn PutBatch>));
    exam_delivery::spawn(spool.clone(), client, store, config).context("starting the sender")
}

/// True once both cursors are past everything accepted, false at `end`.
async fn empty(spool: &Spool, folds: bool, end: Instant) -> anyhow::Result<bool> {
    let progress = ProgressBar::new_spinner();
    loop {
        let accepted = spool.accepted_targets()?;
        let passed = |cursor| spool.passed(&mut accepted.clone(), cursor);
        if passed(Cursor::Delivery)? && (!folds || passed(Cursor::State)?) {
            progress.finish_and_clear();
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        let totals = spool.totals()?;
        let left = totals
            .accepted
            .saturating_sub(totals.delivered + totals.quarantined);
        progress.set_message(format!("{} records to deliver", HumanCount(left)));
        progress.tick();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
