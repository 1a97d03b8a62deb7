//! What several subcommands share: settings named like the extension's INI
//! entries (`exam_stream.spool_dir` is `--spool-dir` or `EXAM_STREAM_SPOOL_DIR`),
//! logging, signals.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use exam_delivery::Firehose;
use exam_delivery::{AwsEnv, ClientError};
use exam_spool::Spool;
use exam_state::StateStore;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Which spool.
#[derive(clap::Args)]
pub struct SpoolArgs {
    /// Directory of the spool
    #[arg(
        long,
        env = "EXAM_STREAM_SPOOL_DIR",
        default_value = "/var/lib/exam-stream/spool"
    )]
    pub spool_dir: PathBuf,
    /// Limit of the spool, as exam_stream.spool_max_bytes has it
    #[arg(long, env = "EXAM_STREAM_SPOOL_MAX_BYTES", default_value = "1G", value_parser = size)]
    pub spool_max_bytes: u64,
}

impl SpoolArgs {
    /// Opens the spool; one that is not there is an error, not made.
    pub fn open(&self) -> anyhow::Result<Spool> {
        let dir = &self.spool_dir;
        if !dir.is_dir() {
            bail!("there is no spool at {}: give --spool-dir", dir.display());
        }
        let config = exam_spool::Config {
            dir: dir.clone(),
            max_bytes: self.spool_max_bytes,
            segment_bytes: SEGMENT_BYTES,
        };
        Ok(Spool::open(config)?)
    }
}

/// Which delivery streams' server.
#[derive(clap::Args)]
pub struct FirehoseArgs {
    /// Server of the Firehose API, as http://127.0.0.1:4573; without one, AWS's own
    #[arg(long, env = "EXAM_STREAM_ENDPOINT")]
    pub endpoint: Option<String>,
    /// AWS region; without one, AWS_REGION
    #[arg(long, env = "EXAM_STREAM_REGION")]
    pub region: Option<String>,
}

impl FirehoseArgs {
    /// A client with the credentials of this process's environment.
    pub fn client(&self, env: AwsEnv) -> Result<Firehose, ClientError> {
        exam_delivery::firehose(self.endpoint.as_deref(), self.region.as_deref(), env)
    }
}

/// Segments that this program writes, as the extension's are.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Opens the state store a URL names, for work that can wait.
pub fn state(url: &str, ttl_days: u64) -> anyhow::Result<Arc<dyn StateStore>> {
    let ttl = Duration::from_secs(ttl_days * 86_400);
    let options = exam_state::Options {
        ttl: (!ttl.is_zero()).then_some(ttl),
        response_timeout: Duration::from_secs(30),
        aws: AwsEnv::snapshot(),
        ..Default::default()
    };
    exam_state::open(url, options).context("opening the state store")
}

/// A size as php.ini writes it: digits, then nothing or K, M, G.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift));
    size.ok_or_else(|| format!("{text} is no size like 1G, 64K or 4096"))
}

/// Log lines on stderr; `EXAM_STREAM_LOG` filters them, as in `debug` or `warn`.
pub fn log_to_stderr() {
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

/// Returns at the first SIGTERM or SIGINT.
pub async fn told_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_as_php_ini_writes_them() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64K", 65_536), ("1g", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in ["", "K", "1T", "-1", "1.5G", "99999999999999G", "64é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
