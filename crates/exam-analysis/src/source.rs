//! Where events come from: the lines of cold storage, followed as they are written.
//!
//! A part of cold storage holds lines of one hour (or day) of event time, in the order of their
//! arrival. What it promises: whole lines only; the part that is furthest behind in event time
//! comes next, so that reading yesterday's storage does not make half of it late; a position
//! (part, offset in the lines) stays valid when the part is compressed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;

use crate::dialect::Millis;

/// Lines handed out at once.
const CHUNK: u64 = 4 << 20;
/// How often all directories are looked through, and not only those of the latest two days.
const FULL_SCAN: Duration = Duration::from_secs(30);

/// Offsets by part.
pub type Positions = BTreeMap<Arc<str>, u64>;

/// Whole lines of a part.
pub struct Chunk {
    pub part: Arc<str>,
    pub offset: u64,
    pub text: Vec<u8>,
}

pub trait EventSource: Send {
    /// The next lines, `None` when all there is has been read.
    fn next(&mut self) -> io::Result<Option<Chunk>>;

    /// Tells what the chunk read last held: its latest event.
    fn read(&mut self, part: &str, latest: Option<Millis>);

    /// A time before which nothing is left to read; `None` when nothing is.
    fn behind(&self) -> Option<Millis>;

    /// Goes back so that all events from a time on are read again, and others from `positions` on.
    fn rewind(&mut self, from: Millis, positions: &Positions) -> io::Result<()>;

    /// When something was written last.
    fn written(&self) -> Option<SystemTime>;

    /// All lines whose parts may hold events of this time, without moving.
    fn between(&self, from: Millis, to: Millis, each: &mut dyn FnMut(&[u8])) -> io::Result<()>;
}

/// `DIR/cold/<stream>/dt=YYYY-MM-DD[/hour=HH]/<part>.jsonl[.gz]`.
pub struct ColdStorage {
    root: PathBuf,
    parts: BTreeMap<Arc<str>, Part>,
    scanned: Option<Instant>,
    written: Option<SystemTime>,
}

struct Part {
    /// The event time of its lines: from, to (exclusive).
    span: (Millis, Millis),
    /// Bytes of lines known to be there; of a compressed part, unknown until it has been read.
    len: Option<u64>,
    read: u64,
    latest: Option<Millis>,
    compressed: bool,
    /// A compressed part being read, at `read`.
    decoder: Option<MultiGzDecoder<File>>,
}

impl Part {
    fn unread(&self) -> bool {
        self.len.is_none_or(|len| len > self.read)
    }

    fn progress(&self) -> Millis {
        self.latest.unwrap_or(self.span.0).max(self.span.0)
    }
}

impl ColdStorage {
    /// `dir` is the directory of a `serve`; it need not be there yet.
    pub fn new(dir: &Path) -> Self {
        ColdStorage {
            root: dir.join("cold"),
            parts: BTreeMap::new(),
            scanned: None,
            written: None,
        }
    }

    /// Looks for new parts and new lines.
    fn scan(&mut self) -> io::Result<()> {
        let full = self.scanned.is_none_or(|at| at.elapsed() >= FULL_SCAN);
        let latest: Option<Millis> = self.parts.values().map(|part| part.span.1).max();
        let since = match (full, latest) {
            (false, Some(latest)) => latest - 2 * DAY,
            _ => Millis::MIN,
        };
        let mut found = Vec::new();
        for stream in entries(&self.root)? {
            for day in entries(&stream)? {
                let Some(span) = span_of(&day).filter(|span| span.1 > since) else {
                    continue;
                };
                for entry in entries(&day)? {
                    match hour_of(&entry) {
                        Some(hour) => {
                            let from = span.0 + hour * HOUR;
                            for file in entries(&entry)? {
                                found.push((file, (from, from + HOUR)));
                            }
                        }
                        None => found.push((entry, span)),
                    }
                }
            }
        }
        let mut compressed = Vec::new();
        for (file, span) in found {
            let Some(path) = file.strip_prefix(&self.root).ok().and_then(Path::to_str) else {
                continue;
            };
            let (name, gz) = match path.strip_suffix(".gz") {
                Some(name) => (name, true),
                None => (path, false),
            };
            if !name.ends_with(".jsonl") {
                continue;
            }
            let Ok(meta) = fs::metadata(&file) else {
                continue;
            };
            self.written = self.written.max(meta.modified().ok());
            if gz {
                compressed.push((Arc::<str>::from(name), span));
                continue;
            }
            let part = self
                .parts
                .entry(name.into())
                .or_insert_with(|| Part::new(span));
            part.compressed = false;
            part.len = Some(meta.len());
        }
        // Where both are there, the plain one counts.
        for (name, span) in compressed {
            let plain = self.root.join(&*name).exists();
            let part = self.parts.entry(name).or_insert_with(|| {
                let mut part = Part::new(span);
                part.len = None;
                part
            });
            if !plain && !part.compressed {
                part.compressed = true;
                // Nothing was added while it was closed, but perhaps before that.
                part.len = None;
            }
        }
        if full {
            self.scanned = Some(Instant::now());
            let root = &self.root;
            self.parts.retain(|name, _| {
                root.join(&**name).exists() || root.join(format!("{name}.gz")).exists()
            });
        }
        Ok(())
    }

    fn pick(&self) -> Option<Arc<str>> {
        let unread = self.parts.iter().filter(|(_, part)| part.unread());
        unread
            .min_by_key(|(_, part)| part.progress())
            .map(|(name, _)| name.clone())
    }

    fn read_part(&mut self, name: &Arc<str>) -> io::Result<Option<Chunk>> {
        let Some(part) = self.parts.get_mut(name) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        if part.compressed {
            if part.decoder.is_none() {
                let file = File::open(self.root.join(format!("{name}.gz")))?;
                let mut decoder = MultiGzDecoder::new(file);
                io::copy(&mut (&mut decoder).take(part.read), &mut io::sink())?;
                part.decoder = Some(decoder);
            }
            if let Some(decoder) = &mut part.decoder {
                // To the end of the line the chunk ends in.
                decoder.take(CHUNK).read_to_end(&mut text)?;
                if text.len() as u64 == CHUNK {
                    let mut byte = [0];
                    while text.last() != Some(&b'\n') && decoder.read(&mut byte)? == 1 {
                        text.push(byte[0]);
                    }
                } else {
                    part.len = Some(part.read + text.len() as u64);
                    part.decoder = None;
                }
            }
        } else {
            let unread = part.len.unwrap_or(0).saturating_sub(part.read).min(CHUNK);
            text.resize(unread as usize, 0);
            File::open(self.root.join(&**name))?.read_exact_at(&mut text, part.read)?;
            // A line is 256 KiB at most, so only a line that is still being written has no end.
            let whole = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
            if whole == 0 {
                part.len = Some(part.read);
            }
            text.truncate(whole);
        }
        let offset = part.read;
        part.read += text.len() as u64;
        Ok((!text.is_empty()).then(|| Chunk {
            part: name.clone(),
            offset,
            text,
        }))
    }
}

impl Part {
    fn new(span: (Millis, Millis)) -> Self {
        Part {
            span,
            len: Some(0),
            read: 0,
            latest: None,
            compressed: false,
            decoder: None,
        }
    }
}

impl EventSource for ColdStorage {
    fn next(&mut self) -> io::Result<Option<Chunk>> {
        let mut scanned = false;
        loop {
            let Some(name) = self.pick() else {
                if scanned {
                    return Ok(None);
                }
                self.scan()?;
                scanned = true;
                continue;
            };
            match self.read_part(&name) {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => {}
                // Compressed or retired meanwhile: the next look tells.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !scanned => {
                    self.scanned = None;
                    self.scan()?;
                    scanned = true;
                }
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{name}: {error}")));
                }
            }
        }
    }

    fn read(&mut self, part: &str, latest: Option<Millis>) {
        if let Some(part) = self.parts.get_mut(part) {
            part.latest = part.latest.max(latest);
        }
    }

    fn behind(&self) -> Option<Millis> {
        let unread = self.parts.values().filter(|part| part.unread());
        unread.map(Part::progress).min()
    }

    fn rewind(&mut self, from: Millis, positions: &Positions) -> io::Result<()> {
        self.scanned = None;
        self.scan()?;
        for (name, part) in &mut self.parts {
            part.decoder = None;
            part.latest = None;
            part.read = match positions.get(name) {
                Some(read) if part.span.1 <= from => *read,
                _ => 0,
            };
            if part.compressed {
                part.len = None;
            }
        }
        Ok(())
    }

    fn written(&self) -> Option<SystemTime> {
        self.written
    }

    fn between(&self, from: Millis, to: Millis, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut other = ColdStorage {
            root: self.root.clone(),
            parts: BTreeMap::new(),
            scanned: None,
            written: None,
        };
        other.scan()?;
        other
            .parts
            .retain(|_, part| part.span.0 < to && part.span.1 > from);
        while let Some(name) = other.pick() {
            if let Some(chunk) = other.read_part(&name)? {
                each(&chunk.text);
            }
        }
        Ok(())
    }
}

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// What a directory holds, sorted; nothing if there is none.
pub fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let list = match fs::read_dir(dir) {
        Ok(list) => list,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e),
    };
    let mut found = list
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

/// The day of `dt=YYYY-MM-DD`.
pub fn span_of(dir: &Path) -> Option<(Millis, Millis)> {
    let date = dir.file_name()?.to_str()?.strip_prefix("dt=")?;
    let mut parts = date.splitn(3, '-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Days since 1970 of the Gregorian calendar, in years that begin in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_era = y.rem_euclid(400);
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let days = y.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year
        - 719_468;
    Some((days * DAY, (days + 1) * DAY))
}

/// The hour of `hour=HH`.
pub fn hour_of(dir: &Path) -> Option<i64> {
    let hour = dir
        .file_name()?
        .to_str()?
        .strip_prefix("hour=")?
        .parse()
        .ok()?;
    (0..24).contains(&hour).then_some(hour)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join("cold/exam").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn rest(source: &mut ColdStorage) -> Vec<(String, u64, String)> {
        let mut found = Vec::new();
        while let Some(chunk) = source.next().unwrap() {
            let text = String::from_utf8(chunk.text).unwrap();
            found.push((chunk.part.to_string(), chunk.offset, text));
        }
        found
    }

    #[test]
    fn whole_lines_are_read_as_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = ColdStorage::new(dir.path());
        assert!(source.next().unwrap().is_none());
        write(dir.path(), "dt=2026-01-02/hour=10/1.jsonl", "{}\n{\"half");
        let name = "exam/dt=2026-01-02/hour=10/1.jsonl".to_owned();
        assert_eq!(rest(&mut source), [(name.clone(), 0, "{}\n".to_owned())]);
        write(
            dir.path(),
            "dt=2026-01-02/hour=10/1.jsonl",
            "{}\n{\"half\":1}\n",
        );
        assert_eq!(rest(&mut source), [(name, 3, "{\"half\":1}\n".to_owned())]);
        assert_eq!(source.behind(), None);
    }

    #[test]
    fn a_position_outlives_the_compression_of_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = ColdStorage::new(dir.path());
        write(dir.path(), "dt=2026-01-02/1.jsonl", "{\"a\":1}\n");
        assert_eq!(rest(&mut source).len(), 1);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
        let day = dir.path().join("cold/exam/dt=2026-01-02");
        fs::write(day.join("1.jsonl.gz"), gz.finish().unwrap()).unwrap();
        fs::remove_file(day.join("1.jsonl")).unwrap();
        let name = "exam/dt=2026-01-02/1.jsonl".to_owned();
        assert_eq!(rest(&mut source), [(name, 8, "{\"a\":2}\n".to_owned())]);
        assert!(rest(&mut source).is_empty());
    }

    #[test]
    fn the_part_furthest_behind_is_read_first() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "dt=2026-01-02/hour=11/1.jsonl", "{\"n\":2}\n");
        write(dir.path(), "dt=2026-01-02/hour=10/9.jsonl", "{\"n\":1}\n");
        let mut source = ColdStorage::new(dir.path());
        let first = source.next().unwrap().unwrap();
        assert!(first.part.contains("hour=10"));
        let ten = span_of(Path::new("dt=2026-01-02")).unwrap().0 + 10 * HOUR;
        assert_eq!(source.behind(), Some(ten + HOUR));
        source.next().unwrap();
        assert_eq!(source.behind(), None);
    }

    #[test]
    fn going_back_reads_the_hours_needed_again() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "dt=2026-01-02/hour=10/1.jsonl", "{\"n\":1}\n");
        write(dir.path(), "dt=2026-01-02/hour=11/1.jsonl", "{\"n\":2}\n");
        let mut source = ColdStorage::new(dir.path());
        let positions: Positions = rest(&mut source)
            .into_iter()
            .map(|(part, offset, text)| (part.into(), offset + text.len() as u64))
            .collect();
        let eleven = span_of(Path::new("dt=2026-01-02")).unwrap().0 + 11 * HOUR;
        source.rewind(eleven + 5, &positions).unwrap();
        let again = rest(&mut source);
        assert_eq!(again.len(), 1);
        assert!(again[0].0.contains("hour=11"));
        let mut text = Vec::new();
        source
            .between(eleven - 1, eleven + 1, &mut |lines| {
                text.extend_from_slice(lines)
            })
            .unwrap();
        assert_eq!(text, b"{\"n\":1}\n{\"n\":2}\n");
    }

    #[test]
    fn a_date_is_a_day_of_milliseconds() {
        assert_eq!(span_of(Path::new("dt=1970-01-01")), Some((0, DAY)));
        assert_eq!(
            span_of(Path::new("dt=2024-02-29")).unwrap().0,
            1_709_164_800_000
        );
        assert_eq!(span_of(Path::new("dt=x")), None);
        assert_eq!(hour_of(Path::new("hour=24")), None);
    }
}
