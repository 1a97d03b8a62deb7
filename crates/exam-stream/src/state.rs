//! `exam-stream state`: every attempt's state as JSON.
//!
//! One object, a line an attempt, sorted by key (`<site>/<attempt>`): two exports
//! of the same state are the same bytes, and `diff` tells two states apart.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use exam_record::{AttemptKey, AttemptView, Registers};

use crate::settings;

#[derive(clap::Args)]
pub struct Args {
    /// State store to read, as exam_stream.state_url names it
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: String,
    /// File to write; `-` is stdout
    #[arg(long, default_value = "-", value_name = "FILE")]
    json: PathBuf,
    /// Only the attempts of this site
    #[arg(long)]
    site: Option<String>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let store = settings::state(&args.state, 0)?;
    let mut state = BTreeMap::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(store.scan(&mut |key, registers| {
            if args.site.as_ref().is_none_or(|site| *site == key.site) {
                state.insert(key.to_text(), (key, registers));
            }
        }))
        .context("reading the state store")?;
    write(&args.json, state.into_values())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes attempts, sorted by [`AttemptKey::to_text`], to a file or (`-`) stdout.
pub fn write(
    path: &Path,
    state: impl Iterator<Item = (AttemptKey, Registers)>,
) -> anyhow::Result<()> {
    let out: Box<dyn Write> = if path == Path::new("-") {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(path).with_context(|| path.display().to_string())?)
    };
    write_to(BufWriter::new(out), state).with_context(|| format!("writing {}", path.display()))
}

fn write_to(
    mut out: impl Write,
    state: impl Iterator<Item = (AttemptKey, Registers)>,
) -> io::Result<()> {
    out.write_all(b"{")?;
    let state = state.filter(|(_, registers)| !registers.is_erased());
    for (index, (key, registers)) in state.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut out, &key.to_text())?;
        out.write_all(b":")?;
        serde_json::to_writer(&mut out, &AttemptView::new(&key, &registers))?;
    }
    out.write_all(b"\n}\n")?;
    out.flush()
}
