//! What several subcommands share: settings named like the extension's INI
//! entries (`exam_stream.spool_dir` is `--spool-dir` or `EXAM_STREAM_SPOOL_DIR`),
//! logging, signals.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Log lines on stderr; `EXAM_STREAM_LOG` filters them, as in `debug` or `warn`.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var("EXAM_STREAM_LOG")
        .from_env_lossy();
    // A second call would mean that a subcommand runs another: the first one's log stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .try_init();
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
