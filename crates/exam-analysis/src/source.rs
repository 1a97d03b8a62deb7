//! Where events come from: the lines of cold storage, followed as they are written.
//!
//! A part of cold storage holds lines of one hour (or day) of event time, in the order of their
//! arrival. What it promises: whole lines only; the part that is furthest behind in event time
//! comes next, so that reading yesterday's storage does not make half of it late; a position
//! (part, offset in the lines) stays valid when the part is compressed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exam_cold::calendar::{date, day};
use exam_cold::{Date, Error, Part, Select, Tree};

use crate::dialect::Millis;

/// How often all directories are looked through, and not only those of the latest two days; and
/// how long a part that could not be read is left alone.
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
    fn next(&mut self) -> Result<Option<Chunk>, Error>;

    /// Tells what the chunk read last held: its latest event.
    fn read(&mut self, part: &str, latest: Option<Millis>);

    /// A time before which nothing is left to read; `None` when nothing is.
    fn behind(&self) -> Option<Millis>;

    /// Goes back so that all events from a time on are read again, and others from `positions` on.
    fn rewind(&mut self, from: Millis, positions: &Positions) -> Result<(), Error>;

    /// When something was written last.
    fn written(&self) -> Option<SystemTime>;

    /// All lines whose parts may hold events of this time, without moving.
    fn between(&self, from: Millis, to: Millis, each: &mut dyn FnMut(&[u8])) -> Result<(), Error>;
}

/// The parts of a `serve`'s cold storage.
pub struct ColdStorage {
    dir: PathBuf,
    parts: BTreeMap<Arc<str>, Progress>,
    scanned: Option<Instant>,
    written: Option<SystemTime>,
}

struct Progress {
    part: Part,
    /// The event time of its lines: from, to (exclusive).
    span: (Millis, Millis),
    /// Bytes of lines known to be there.
    len: u64,
    read: u64,
    latest: Option<Millis>,
    failed: Option<Instant>,
}

impl Progress {
    /// A part that cannot be read, because it is damaged, must not keep the others waiting.
    fn unread(&self) -> bool {
        self.len > self.read && self.failed.is_none_or(|at| at.elapsed() >= FULL_SCAN)
    }

    fn reached(&self) -> Millis {
        self.latest.unwrap_or(self.span.0).max(self.span.0)
    }
}

impl ColdStorage {
    /// `dir` is the directory of a `serve`; it need not be there yet.
    pub fn new(dir: &Path) -> Self {
        ColdStorage {
            dir: dir.to_owned(),
            parts: BTreeMap::new(),
            scanned: None,
            written: None,
        }
    }

    /// Looks for new parts and new lines.
    fn scan(&mut self) -> Result<(), Error> {
        let full = self.scanned.is_none_or(|at| at.elapsed() >= FULL_SCAN);
        // A record of the year 2286 has a directory there: it is not where lines arrive.
        let tomorrow = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(Millis::MAX, |now| now.as_millis() as Millis + DAY);
        let latest = self.parts.values().map(|known| known.span.1);
        let latest = latest.filter(|latest| *latest <= tomorrow).max();
        let from = latest
            .filter(|_| !full)
            .map(|latest| date((latest - 2 * DAY).div_euclid(DAY)));
        let select = Select {
            from,
            ..Select::default()
        };
        let found = exam_cold::parts(&self.dir, Tree::Cold, &select)?;
        if full {
            let there: HashSet<&str> = found.iter().map(|part| &*part.name).collect();
            self.parts.retain(|name, _| there.contains(&**name));
            self.scanned = Some(Instant::now());
        }
        for part in found {
            let known = self.parts.get(&part.name);
            if let Some(known) = known
                && (known.part.bytes, known.part.closed) == (part.bytes, part.closed)
            {
                continue;
            }
            let file = fs::metadata(part.file()).and_then(|about| about.modified());
            self.written = self.written.max(file.ok());
            let len = match part.closed {
                false => part.bytes,
                // Reading it tells what is wrong, and which of its lines are sound.
                true => part.length().unwrap_or(u64::MAX),
            };
            let (read, latest) = known.map_or((0, None), |known| (known.read, known.latest));
            let progress = Progress {
                span: span(&part),
                len,
                read,
                latest,
                failed: None,
                part,
            };
            self.parts.insert(progress.part.name.clone(), progress);
        }
        Ok(())
    }

    fn furthest_behind(&mut self) -> Option<&mut Progress> {
        let unread = self.parts.values_mut().filter(|known| known.unread());
        unread.min_by_key(|known| known.reached())
    }

    /// Lines of the part furthest behind, of those that are known.
    fn next_known(&mut self) -> Result<Option<Chunk>, Error> {
        while let Some(known) = self.furthest_behind() {
            let mut text = Vec::new();
            if let Err(error) = known.part.read(known.read, &mut text) {
                known.failed = Some(Instant::now());
                return Err(error);
            }
            known.failed = None;
            if text.is_empty() {
                // Gone, or a line that is still being written: the next look tells.
                known.len = known.read;
                continue;
            }
            let offset = known.read;
            known.read += text.len() as u64;
            return Ok(Some(Chunk {
                part: known.part.name.clone(),
                offset,
                text,
            }));
        }
        Ok(None)
    }
}

impl EventSource for ColdStorage {
    fn next(&mut self) -> Result<Option<Chunk>, Error> {
        match self.next_known()? {
            Some(chunk) => Ok(Some(chunk)),
            None => {
                self.scan()?;
                self.next_known()
            }
        }
    }

    fn read(&mut self, part: &str, latest: Option<Millis>) {
        if let Some(known) = self.parts.get_mut(part) {
            known.latest = known.latest.max(latest);
        }
    }

    fn behind(&self) -> Option<Millis> {
        let unread = self.parts.values().filter(|known| known.unread());
        unread.map(Progress::reached).min()
    }

    fn rewind(&mut self, from: Millis, positions: &Positions) -> Result<(), Error> {
        self.scanned = None;
        self.scan()?;
        for (name, known) in &mut self.parts {
            known.latest = None;
            known.read = match positions.get(name) {
                Some(read) if known.span.1 <= from => *read,
                _ => 0,
            };
        }
        Ok(())
    }

    fn written(&self) -> Option<SystemTime> {
        self.written
    }

    fn between(&self, from: Millis, to: Millis, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut other = ColdStorage::new(&self.dir);
        other.scan()?;
        other
            .parts
            .retain(|_, known| known.span.0 < to && known.span.1 > from);
        while let Some(chunk) = other.next_known()? {
            each(&chunk.text);
        }
        Ok(())
    }
}

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// The event time of a part's lines.
pub fn span(part: &Part) -> (Millis, Millis) {
    span_of(part.date, part.hour)
}

/// From, to (exclusive), of an hour or a day.
pub fn span_of(date: Date, hour: Option<u8>) -> (Millis, Millis) {
    let from = day(date) * DAY;
    match hour {
        Some(hour) => (
            from + Millis::from(hour) * HOUR,
            from + (Millis::from(hour) + 1) * HOUR,
        ),
        None => (from, from + DAY),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// 2026-01-02, 00:00.
    const JAN_2: Millis = 20_455 * DAY;

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
    fn a_record_of_another_century_does_not_hide_where_lines_arrive() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "dt=2286-11-20/hour=17/1.jsonl", "{\"n\":0}\n");
        write(dir.path(), "dt=2026-01-02/hour=10/1.jsonl", "{\"n\":1}\n");
        let mut source = ColdStorage::new(dir.path());
        assert_eq!(rest(&mut source).len(), 2);
        write(dir.path(), "dt=2026-01-02/hour=11/1.jsonl", "{\"n\":2}\n");
        assert_eq!(rest(&mut source).len(), 1);
    }

    #[test]
    fn a_damaged_part_is_told_and_does_not_keep_the_others_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let hour = "dt=2026-01-02/hour=10";
        write(dir.path(), &format!("{hour}/1.jsonl.gz"), "no gzip at all");
        write(dir.path(), "dt=2026-01-02/hour=11/1.jsonl", "{\"n\":1}\n");
        let mut source = ColdStorage::new(dir.path());
        assert!(source.next().is_err());
        assert_eq!(rest(&mut source).len(), 1);
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
        let ten = JAN_2 + 10 * HOUR;
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
        let eleven = JAN_2 + 11 * HOUR;
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
}
