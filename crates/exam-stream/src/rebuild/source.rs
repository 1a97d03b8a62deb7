//! Where `rebuild` reads: files in pieces, segments of a spool, its quarantine.
//!
//! Cold storage that a `serve` writes stands still meanwhile: lines are added, but no
//! part is closed, erased in or removed while this is read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use exam_spool::{Cursor, ReadState, SegmentName, Skipped, Spool};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

/// A file is read in pieces of this size, by any thread.
const PIECE: u64 = 8 << 20;
const READ: usize = 1 << 20;

/// Everything to read.
#[derive(Default)]
pub struct Source {
    pub bytes: u64,
    files: Vec<(PathBuf, u64)>,
    spool: Option<Spool>,
    segments: Vec<(SegmentName, u64)>,
    _still: Vec<File>,
}

/// What one thread reads at a time.
pub enum Piece {
    /// The lines that begin at or behind `from` and before `to`.
    Lines {
        path: PathBuf,
        from: u64,
        to: u64,
    },
    /// Gzip members: of a closed part one, of any other file all.
    Gzip {
        path: PathBuf,
        at: u64,
        bytes: u64,
    },
    Segment {
        spool: Spool,
        name: SegmentName,
        bytes: u64,
    },
    Quarantine(Spool),
}

impl Source {
    pub fn of_files(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut source = Source::default();
        for path in paths {
            // Of a serve's directory, the tree of lines: `unparsed` holds none.
            let cold = path.join("cold");
            let root = if cold.is_dir() { &cold } else { path };
            for dir in root.ancestors() {
                source._still.extend(exam_cold::hold_still(dir)?);
            }
            source
                .add(root)
                .with_context(|| format!("reading {}", root.display()))?;
        }
        Ok(source)
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let about = fs::metadata(path)?;
        if about.is_dir() {
            let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
            entries.retain(|e| !e.file_name().as_encoded_bytes().starts_with(b"."));
            return entries.iter().try_for_each(|e| self.add(&e.path()));
        }
        if path.extension().is_some_and(|e| e == "parquet") {
            bail!(
                "{} is Parquet: give the JSON lines it was made from",
                path.display()
            );
        }
        // What an interrupted closing left; its part is still there.
        if path.extension().is_some_and(|e| e == "tmp") {
            return Ok(());
        }
        self.bytes += about.len();
        self.files.push((path.to_owned(), about.len()));
        Ok(())
    }

    /// Adds a spool: what its cursors have not both passed, and its quarantine. Returns the
    /// marks of records that the sender delivered and did not fold.
    pub fn add_spool(&mut self, dir: &Path) -> anyhow::Result<Vec<Skipped>> {
        let spool = open_spool(dir)?;
        for name in spool.segment_names()? {
            if let Some(segment) = spool.segment(name.clone())? {
                let bytes = segment.len()?;
                self.bytes += bytes;
                self.segments.push((name, bytes));
            }
        }
        let skipped = spool.state_skipped()?;
        self.spool = Some(spool);
        Ok(skipped)
    }

    pub fn forget_skipped(&self, done: &[Skipped]) -> io::Result<()> {
        match &self.spool {
            Some(spool) if !done.is_empty() => spool.clear_state_skipped(done),
            _ => Ok(()),
        }
    }

    pub fn pieces(&self) -> anyhow::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for (path, bytes) in &self.files {
            let path = path.clone();
            if path.extension().is_some_and(|e| e == "gz") {
                let members = File::open(&path).and_then(|file| exam_cold::members(&file));
                let members = members.with_context(|| path.display().to_string())?;
                let ranges = match members {
                    Some(members) => members.iter().map(|m| (m.at, m.bytes)).collect(),
                    None => vec![(0, *bytes)],
                };
                pieces.extend(ranges.into_iter().map(|(at, bytes)| Piece::Gzip {
                    path: path.clone(),
                    at,
                    bytes,
                }));
                continue;
            }
            for from in (0..*bytes).step_by(PIECE as usize) {
                let to = (from + PIECE).min(*bytes);
                pieces.push(Piece::Lines {
                    path: path.clone(),
                    from,
                    to,
                });
            }
        }
        if let Some(spool) = &self.spool {
            for (name, bytes) in &self.segments {
                let (spool, name, bytes) = (spool.clone(), name.clone(), *bytes);
                pieces.push(Piece::Segment { spool, name, bytes });
            }
            pieces.push(Piece::Quarantine(spool.clone()));
        }
        Ok(pieces)
    }
}

/// Opens a spool that somebody else writes to.
pub fn open_spool(dir: &Path) -> anyhow::Result<Spool> {
    if !dir.is_dir() {
        bail!("there is no spool at {}: give --spool-dir", dir.display());
    }
    // The limits are for writers.
    let config = exam_spool::Config {
        dir: dir.to_owned(),
        max_bytes: u64::MAX,
        segment_bytes: u64::MAX,
    };
    Ok(Spool::open(config)?)
}

impl Piece {
    pub fn bytes(&self) -> u64 {
        match self {
            Piece::Lines { from, to, .. } => to - from,
            Piece::Gzip { bytes, .. } | Piece::Segment { bytes, .. } => *bytes,
            Piece::Quarantine(_) => 0,
        }
    }

    /// Calls `each` with every line that is not empty.
    pub fn lines(&self, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Piece::Lines { path, from, to } => {
                let mut file = BufReader::with_capacity(READ, File::open(path)?);
                let mut at = *from;
                if at > 0 {
                    // The line that this piece begins within is the previous piece's.
                    file.seek(SeekFrom::Start(at - 1))?;
                    at += file.skip_until(b'\n')? as u64 - 1;
                }
                whole_lines(file, to.saturating_sub(at), each)
            }
            Piece::Gzip { path, at, bytes } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(*at))?;
                let lines = MultiGzDecoder::new(BufReader::new(file.take(*bytes)));
                whole_lines(BufReader::with_capacity(READ, lines), u64::MAX, each)
            }
            Piece::Segment { spool, name, .. } => segment_lines(spool, name.clone(), each),
            Piece::Quarantine(spool) => {
                let mut result = Ok(());
                spool.quarantined(|aside| {
                    if result.is_ok() {
                        result = record_lines(&aside.record, each);
                    }
                })?;
                result
            }
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Lines { path, .. } | Piece::Gzip { path, .. } => path.display().fmt(f),
            Piece::Segment { name, .. } => write!(f, "segment {}", name.id),
            Piece::Quarantine(_) => write!(f, "the quarantine"),
        }
    }
}

/// The lines that begin within the first `within` bytes.
fn whole_lines(
    mut file: impl BufRead,
    within: u64,
    each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut at = 0;
    while at < within {
        line.clear();
        let n = file.read_until(b'\n', &mut line)?;
        if n == 0 {
            break;
        }
        at += n as u64;
        failed_record(&line, each)?;
    }
    Ok(())
}

/// A line of Firehose's error prefix holds the record it could not process.
fn failed_record(
    line: &[u8],
    each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failed {
        raw_data: String,
    }
    // Its first member tells it from a record of ours at the price of a look.
    if line.starts_with(b"{\"attemptsMade\"")
        && let Ok(failed) = serde_json::from_slice::<Failed>(line)
        && let Ok(record) = base64_simd::STANDARD.decode_to_vec(failed.raw_data)
    {
        return record_lines(&record, each);
    }
    record_lines(line, each)
}

fn record_lines(
    record: &[u8],
    each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let lines = record.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).try_for_each(each)
}

fn segment_lines(
    spool: &Spool,
    name: SegmentName,
    each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(segment) = spool.segment(name)? else {
        return Ok(());
    };
    let mut at = segment
        .cursor(Cursor::Delivery)
        .min(segment.cursor(Cursor::State));
    let mut buf = Vec::new();
    loop {
        let read = segment.read(at, &mut buf, READ)?;
        for record in &read.records {
            record_lines(&buf[record.payload.clone()], each)?;
        }
        at = read.next;
        if read.state != ReadState::More {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines_of(source: &Source) -> Vec<String> {
        let mut all = Vec::new();
        for piece in source.pieces().unwrap() {
            piece
                .lines(&mut |line| {
                    all.push(String::from_utf8(line.to_vec())?);
                    Ok(())
                })
                .unwrap();
        }
        all.sort();
        all
    }

    #[test]
    fn each_line_is_read_once_wherever_pieces_meet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let text: Vec<String> = (0..1_000).map(|n| format!("{n:>0$}", n % 37 + 4)).collect();
        let text: Vec<String> = text.iter().map(|t| t.replace(' ', "x")).collect();
        fs::write(&path, text.join("\n")).unwrap();
        let len = fs::metadata(&path).unwrap().len();
        for size in [1, 2, 7, 40, 1_000, len as usize] {
            let mut all = Vec::new();
            for from in (0..len).step_by(size) {
                let to = (from + size as u64).min(len);
                let piece = Piece::Lines {
                    path: path.clone(),
                    from,
                    to,
                };
                piece
                    .lines(&mut |line| {
                        all.push(String::from_utf8(line.to_vec())?);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(all, text, "pieces of {size} bytes");
        }
    }

    #[test]
    fn gzip_and_the_error_prefix_are_read_and_unparsed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("cold/exam/dt=2026-01-01");
        fs::create_dir_all(&day).unwrap();
        fs::create_dir_all(dir.path().join("unparsed")).unwrap();
        fs::write(
            dir.path().join("unparsed/x.jsonl"),
            "{\"bytes\":\"YQ==\"}\n",
        )
        .unwrap();
        let gz = File::create(day.join("a.gz")).unwrap();
        let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
        gz.write_all(b"{\"zipped\":1}\n{\"zipped\":2}\n").unwrap();
        gz.finish().unwrap();
        let raw = base64_simd::STANDARD.encode_to_string(b"{\"failed\":1}\n{\"failed\":2}\n");
        let failed = format!("{{\"attemptsMade\":4,\"errorCode\":\"x\",\"rawData\":\"{raw}\"}}\n");
        fs::write(day.join("failed"), failed).unwrap();
        let source = Source::of_files(&[dir.path().to_owned()]).unwrap();
        let expected = ["failed\":1", "failed\":2", "zipped\":1", "zipped\":2"];
        assert_eq!(lines_of(&source), expected.map(|e| format!("{{\"{e}}}")));
    }
}
