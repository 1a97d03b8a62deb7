//! Results, late rows and the checkpoint: one commit after another.
//!
//! ```text
//! OUT/<query>/dt=YYYY-MM-DD/rows.jsonl   results, by the date of the window's end
//! OUT/_late/dt=YYYY-MM-DD/rows.jsonl     events that came too late for a window
//! OUT/_checkpoint                        how far every query is: a line of JSON, then the last
//!                                        commit's bytes, file by file
//! OUT/_status.json                       figures, for people and monitoring
//! OUT/_lock                              held by the one writer
//! OUT/_erasing                           held by who erases rows, or waits for the writer to let go
//! ```
//!
//! A commit is written into the checkpoint first, with the bytes it is about to append and where;
//! then it is appended. Whoever finds a checkpoint appends the same bytes at the same places once
//! more, which changes nothing where they are already. So whatever moment the process dies in, a
//! reader of the files never sees a window twice with different rows.
//!
//! A row that was erased is `{"erased":true}` and spaces: those behind it stay where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use exam_record::{About, Erasure, members};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::dialect::Millis;
use crate::events::Skipped;
use crate::json::time;

/// What a restart needs to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    pub watermark: Option<Millis>,
    pub latest: Option<Millis>,
    pub queries: BTreeMap<String, Progress>,
    /// How far each part has been counted.
    pub positions: BTreeMap<String, u64>,
    pub counts: Counts,
    /// The commit this is.
    appends: Vec<Append>,
    pub signals: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Slices up to here have been run; none yet if there is none.
    pub closed: Option<Millis>,
    /// The first slice comes after this; there is none before the first event if there is none.
    pub since: Option<Millis>,
    pub windows: u64,
    pub rows: u64,
    pub late: u64,
    pub restated: u64,
    pub failed: u64,
    /// Slices that late events belong to, to be run again.
    pub dirty: BTreeSet<Millis>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub events: u64,
    pub duplicates: u64,
    /// Events too late for a window of at least one query.
    pub late: u64,
    /// Events later than this machine's clock: set aside, for they would close every window.
    pub ahead: u64,
    #[serde(flatten)]
    pub skipped: Skipped,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Append {
    file: String,
    offset: u64,
    bytes: usize,
    /// Stands behind the checkpoint's line.
    #[serde(skip)]
    text: String,
}

impl Checkpoint {
    fn of(text: &str) -> Result<Self, String> {
        let (line, mut rest) = text.split_once('\n').unwrap_or((text, ""));
        let mut checkpoint: Checkpoint = serde_json::from_str(line).map_err(|e| e.to_string())?;
        for append in &mut checkpoint.appends {
            let split = rest.split_at_checked(append.bytes);
            let (text, after) = split.ok_or("the commit behind it is cut short")?;
            (append.text, rest) = (text.to_owned(), after);
        }
        Ok(checkpoint)
    }
}

const CHECKPOINT: &str = "_checkpoint";

pub struct Output {
    dir: PathBuf,
    /// Held while this lives: one writer a directory.
    _lock: File,
    /// See [`erase`].
    erasing: File,
    pending: BTreeMap<String, String>,
    pending_bytes: usize,
    signals: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("another exam-analyse writes to {0}: end it, or give another --out")]
    Locked(PathBuf),
    #[error("cannot write {path}: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("{path} is not a checkpoint ({reason}): with it away, everything is run again")]
    Checkpoint { path: PathBuf, reason: String },
}

impl Output {
    /// Takes the directory and finishes what a former process began.
    pub fn open(dir: &Path) -> Result<(Self, Checkpoint), OutputError> {
        let wrong = |error| OutputError::Write {
            path: dir.to_owned(),
            error,
        };
        fs::create_dir_all(dir).map_err(wrong)?;
        let erasing = File::create(dir.join("_erasing")).map_err(wrong)?;
        let lock = File::create(dir.join("_lock")).map_err(wrong)?;
        // Waits for an erasure to be done.
        locked(&erasing, FlockOperation::LockShared).map_err(wrong)?;
        let ours = locked(&lock, FlockOperation::NonBlockingLockExclusive).map_err(wrong)?;
        locked(&erasing, FlockOperation::Unlock).map_err(wrong)?;
        if !ours {
            return Err(OutputError::Locked(dir.to_owned()));
        }
        Output::resume(dir, lock, erasing)
    }

    fn resume(dir: &Path, lock: File, erasing: File) -> Result<(Self, Checkpoint), OutputError> {
        let output = Output {
            dir: dir.to_owned(),
            _lock: lock,
            erasing,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            signals: Vec::new(),
        };
        let path = dir.join(CHECKPOINT);
        let checkpoint = match fs::read(&path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|error| error.to_string())
                .and_then(|text| Checkpoint::of(&text))
                .map_err(|reason| OutputError::Checkpoint { path, reason })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Checkpoint::default(),
            Err(error) => return Err(OutputError::Write { path, error }),
        };
        output.append(&checkpoint.appends)?;
        Ok((output, checkpoint))
    }

    /// Whether somebody waits to erase rows: this is to be dropped, and opened again.
    pub fn is_wanted(&self) -> Result<bool, OutputError> {
        let free = locked(&self.erasing, FlockOperation::NonBlockingLockShared)
            .and_then(|free| locked(&self.erasing, FlockOperation::Unlock).map(|_| free));
        free.map(|free| !free).map_err(|error| OutputError::Write {
            path: self.dir.join("_erasing"),
            error,
        })
    }

    /// Lines for a file of `DIR/<name>/dt=…`, to be committed.
    pub fn push(&mut self, name: &str, at: Millis, lines: &str) {
        let file = file_of(name, at);
        self.pending.entry(file).or_default().push_str(lines);
        self.pending_bytes += lines.len();
    }

    pub fn push_signal(&mut self, record: String) {
        self.pending_bytes += record.len();
        self.signals.push(record);
    }

    /// Bytes that wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending_bytes
    }

    /// Writes what waits, durably, together with the progress it stands for. Returns its signals.
    pub fn commit(&mut self, checkpoint: &mut Checkpoint) -> Result<Vec<String>, OutputError> {
        let mut appends = Vec::with_capacity(self.pending.len());
        for (file, text) in std::mem::take(&mut self.pending) {
            let offset = match fs::metadata(self.dir.join(&file)) {
                Ok(meta) => meta.len(),
                Err(_) => 0,
            };
            let bytes = text.len();
            appends.push(Append {
                file,
                offset,
                bytes,
                text,
            });
        }
        checkpoint.appends = appends;
        checkpoint.signals = std::mem::take(&mut self.signals);
        self.pending_bytes = 0;
        self.save(checkpoint)?;
        self.append(&checkpoint.appends)?;
        checkpoint.appends = Vec::new();
        Ok(std::mem::take(&mut checkpoint.signals))
    }

    fn save(&self, checkpoint: &Checkpoint) -> Result<(), OutputError> {
        let mut line = serde_json::to_vec(checkpoint).unwrap_or_default();
        line.push(b'\n');
        let texts = checkpoint.appends.iter().map(|a| a.text.as_bytes());
        let parts: Vec<&[u8]> = [&line[..]].into_iter().chain(texts).collect();
        self.replace(CHECKPOINT, &parts, true)
    }

    fn append(&self, appends: &[Append]) -> Result<(), OutputError> {
        for append in appends {
            let path = self.dir.join(&append.file);
            let write = || -> io::Result<()> {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                let mut open = OpenOptions::new();
                let file = open.write(true).create(true).truncate(false).open(&path)?;
                file.write_all_at(append.text.as_bytes(), append.offset)?;
                file.sync_data()
            };
            write().map_err(|error| OutputError::Write { path, error })?;
        }
        Ok(())
    }

    /// Figures, for people.
    pub fn status(&self, text: &[u8]) -> Result<(), OutputError> {
        self.replace("_status.json", &[text], false)
    }

    fn replace(&self, name: &str, parts: &[&[u8]], durably: bool) -> Result<(), OutputError> {
        let path = self.dir.join(name);
        let write = || -> io::Result<()> {
            let new = self.dir.join(format!("{name}.tmp"));
            let mut file = File::create(&new)?;
            for part in parts {
                file.write_all(part)?;
            }
            if durably {
                file.sync_all()?;
            }
            fs::rename(&new, &path)?;
            if durably {
                File::open(&self.dir)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|error| OutputError::Write {
            path: path.clone(),
            error,
        })
    }

    /// The latest revision of a slice as it was written, and its rows without the revision.
    pub fn written(&self, name: &str, end: Millis) -> Result<(u64, Vec<String>), OutputError> {
        let path = self.dir.join(file_of(name, end));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(OutputError::Write { path, error }),
        };
        let mark = format!("\"window_end\":\"{}\"", time(end));
        let (mut revision, mut rows) = (0, Vec::new());
        for line in text.lines().filter(|line| line.contains(&mark)) {
            let Some((row, number)) = line.rsplit_once(REVISION) else {
                continue;
            };
            let number = number.trim_end_matches('}').parse().unwrap_or(0);
            if number > revision {
                (revision, rows) = (number, Vec::new());
            }
            if number == revision && !row.ends_with(EMPTY) {
                rows.push(row.to_owned());
            }
        }
        Ok((revision, rows))
    }
}

/// What an erasure found in a directory of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Erases the rows about them from a directory of results, late events included.
///
/// Whoever writes there ends its part first, and begins again from what it has committed once this is
/// done: so nothing that it held in memory comes back. A file is replaced whole; killed at any
/// moment, this has torn nothing and may be run again.
pub fn erase(dir: &Path, whose: &Erasure, dry_run: bool) -> anyhow::Result<Erased> {
    let erasing = File::create(dir.join("_erasing"))?;
    locked(&erasing, FlockOperation::LockExclusive)?;
    let lock = File::create(dir.join("_lock"))?;
    locked(&lock, FlockOperation::LockExclusive)?;
    let path = dir.join(CHECKPOINT);
    if !dry_run && path.exists() {
        // The last commit holds rows too. It is finished, then forgotten but for others' signals.
        let (output, mut checkpoint) =
            Output::resume(dir, lock.try_clone()?, erasing.try_clone()?)?;
        checkpoint.appends = Vec::new();
        let others = |signal: &String| !whose.has_line(signal.as_bytes());
        checkpoint.signals.retain(others);
        output.save(&checkpoint)?;
    }
    let mut done = Erased::default();
    for query in fs::read_dir(dir)? {
        let query = query?.path();
        let days = query.is_dir().then(|| fs::read_dir(&query)).transpose()?;
        for day in days.into_iter().flatten() {
            let path = day?.path().join("rows.jsonl");
            if path.is_file() {
                erase_file(&path, whose, dry_run, &mut done)
                    .with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(done)
}

fn erase_file(
    path: &Path,
    whose: &Erasure,
    dry_run: bool,
    done: &mut Erased,
) -> anyhow::Result<()> {
    let mut theirs = |line: &[u8]| is_theirs(line, whose);
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut any) = (Vec::new(), false);
    while !any && reader.read_until(b'\n', &mut line)? > 0 {
        any = theirs(line.trim_ascii_end());
        line.clear();
    }
    if !any {
        return Ok(());
    }
    let tmp = path.with_extension("jsonl.tmp");
    let mut out: Box<dyn Write> = match dry_run {
        true => Box::new(io::sink()),
        false => Box::new(BufWriter::new(File::create(&tmp)?)),
    };
    let mut reader = BufReader::new(File::open(path)?);
    while reader.read_until(b'\n', &mut line)? > 0 {
        let (rows, bytes) = exam_cold::erase_lines(&mut line, &mut theirs);
        (done.rows, done.bytes) = (done.rows + rows, done.bytes + bytes);
        out.write_all(&line)?;
        line.clear();
    }
    out.flush()?;
    drop(out);
    done.files += 1;
    if !dry_run {
        let about = fs::metadata(path)?;
        let new = File::open(&tmp)?;
        fs::set_permissions(&tmp, about.permissions())?;
        // Root works for the owner of what is there; whoever else runs this is the owner.
        let _ = std::os::unix::fs::fchown(&new, Some(about.uid()), Some(about.gid()));
        new.sync_all()?;
        fs::rename(&tmp, path)?;
        if let Some(dir) = path.parent() {
            exam_cold::sync_dir(dir)?;
        }
    }
    Ok(())
}

/// Whether a row is about them: a result, or an event that came too late.
fn is_theirs(line: &[u8], whose: &Erasure) -> bool {
    let (mut record, mut start, mut end) = (None, None, None);
    let read = members(line, |key, value| match key {
        b"\"record\"" | b"record" if value.starts_with(b"{") => record = Some(value),
        b"\"window_start\"" | b"window_start" => start = micros(value),
        b"\"window_end\"" | b"window_end" => end = micros(value),
        _ => {}
    });
    if read.is_err() {
        return false;
    }
    if record.is_some_and(|record| whose.has_line(record)) {
        return true;
    }
    // A row of a query row by row has the end of its slice.
    let span = end.map(|end| (start.unwrap_or(end.saturating_sub(SLICE)), end));
    whose.has_row(&About::of(line), span)
}

/// Microseconds of the slices in which queries row by row are run.
const SLICE: u64 = 10_000_000;

fn micros(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches('"');
    let nanos = string_to_timestamp_nanos(text).ok()?;
    u64::try_from(nanos / 1_000).ok()
}

/// False if somebody else holds it.
fn locked(file: &File, operation: FlockOperation) -> io::Result<bool> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

const REVISION: &str = ",\"revision\":";
const EMPTY: &str = ",\"empty\":true";

/// The lines of a slice: each row with its revision. Restated, a slice without rows says so.
pub fn lines(rows: &[String], end: Millis, revision: u64) -> String {
    let rest = format!("{REVISION}{revision}}}\n");
    let length = |row: &String| row.len() + rest.len();
    let mut text = String::with_capacity(rows.iter().map(length).sum());
    for row in rows {
        text.push_str(row);
        text.push_str(&rest);
    }
    if rows.is_empty() && revision > 0 {
        let end = time(end);
        text.push_str(&format!(
            "{{\"window_end\":\"{end}\"{EMPTY}{REVISION}{revision}}}\n"
        ));
    }
    text
}

fn file_of(name: &str, at: Millis) -> String {
    format!("{name}/dt={}/rows.jsonl", &time(at)[..10])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_was_cut_short_is_finished_with_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let rows = ["{\"a\":1,\"window_end\":\"1970-01-01T00:01:00.000Z\"".to_owned()];
        let file = dir.path().join("q/dt=1970-01-01/rows.jsonl");
        let (mut output, mut checkpoint) = Output::open(dir.path()).unwrap();
        for revision in 0..2 {
            output.push("q", 60_000, &lines(&rows, 60_000, revision));
            output.commit(&mut checkpoint).unwrap();
        }
        let whole = fs::read_to_string(&file).unwrap();
        assert_eq!(whole.lines().count(), 2);
        drop(output);
        // Dead after any byte of the append.
        for len in whole.find('\n').unwrap() + 1..=whole.len() {
            fs::write(&file, &whole[..len]).unwrap();
            drop(Output::open(dir.path()).unwrap());
            assert_eq!(fs::read_to_string(&file).unwrap(), whole);
        }
    }

    #[test]
    fn a_slice_is_found_with_its_latest_revision() {
        let dir = tempfile::tempdir().unwrap();
        let (mut output, mut checkpoint) = Output::open(dir.path()).unwrap();
        let row = |n: u32, end| format!("{{\"n\":{n},\"window_end\":\"{}\"", time(end));
        for (rows, end, revision) in [
            (vec![row(1, 60_000), row(2, 60_000)], 60_000, 0),
            (vec![row(9, 120_000)], 120_000, 0),
            (vec![row(3, 60_000)], 60_000, 1),
            (vec![], 60_000, 2),
        ] {
            output.push("q", end, &lines(&rows, end, revision));
            output.commit(&mut checkpoint).unwrap();
            assert_eq!(output.written("q", end).unwrap(), (revision, rows));
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CHECKPOINT);
        let (mut output, mut checkpoint) = Output::open(dir.path()).unwrap();
        output.push("q", 60_000, "{}\n");
        output.commit(&mut checkpoint).unwrap();
        drop(output);
        let whole = fs::read(&path).unwrap();
        let cut = whole[..whole.len() - 1].to_vec();
        for wrong in [b"{".to_vec(), b"\xff".to_vec(), cut] {
            fs::write(&path, wrong).unwrap();
            let opened = Output::open(dir.path());
            assert!(matches!(opened, Err(OutputError::Checkpoint { .. })));
        }
        fs::write(&path, whole).unwrap();
        assert!(Output::open(dir.path()).is_ok());
    }

    #[test]
    fn a_directory_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = Output::open(dir.path()).unwrap();
        assert!(matches!(
            Output::open(dir.path()),
            Err(OutputError::Locked(_))
        ));
        drop(first);
        assert!(Output::open(dir.path()).is_ok());
    }
}
