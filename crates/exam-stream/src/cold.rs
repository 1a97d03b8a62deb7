//! Cold storage: every acknowledged line, as files by event date.
//!
//! ```text
//! DIR/cold/<stream>/dt=YYYY-MM-DD/<part>.jsonl       one JSON value a line
//! DIR/unparsed/<stream>/dt=YYYY-MM-DD/<part>.jsonl   {"bytes":"<base64>"} a line: what was no JSON line
//! ```
//!
//! - `dt` is the UTC date of the record's own time; a line without one lies
//!   under the date of its arrival, as everything `unparsed` does.
//! - `<part>` is 16 digits: the microsecond, since 1970, in which the part was
//!   begun. Names never repeat in a directory; a part is only ever appended to,
//!   and only by the `serve` that began it. Order between parts means nothing.
//! - A part ends with a newline. What lies behind the last one was never
//!   acknowledged and is cut off when the next `serve` starts.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Date;

/// The tree a line is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    Cold,
    Unparsed,
}

/// Where lines of one kind go: a directory of parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub tree: Tree,
    pub stream: Arc<str>,
    pub date: Date,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = match self.tree {
            Tree::Cold => "cold",
            Tree::Unparsed => "unparsed",
        };
        let (year, month, day) = self.date;
        write!(f, "{tree}/{}/dt={year:04}-{month:02}-{day:02}", self.stream)
    }
}

/// A part of the cold tree: its path below `DIR/cold`, and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub len: u64,
}

/// All parts below `DIR/cold` (of all streams, or of one), sorted by name.
pub fn parts(dir: &Path, stream: Option<&str>) -> io::Result<Vec<Part>> {
    let root = dir.join("cold");
    let mut found = Vec::new();
    for stream_dir in entries(&root)? {
        if stream.is_some_and(|wanted| !stream_dir.ends_with(wanted)) {
            continue;
        }
        for day in entries(&stream_dir)? {
            for file in entries(&day)? {
                if file.extension().is_none_or(|e| e != "jsonl") {
                    continue;
                }
                let len = fs::metadata(&file)?.len();
                if let Some(name) = file.strip_prefix(&root).ok().and_then(Path::to_str) {
                    found.push(Part {
                        name: name.to_owned(),
                        len,
                    });
                }
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What a directory holds; nothing if there is none.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(list) => list.map(|entry| Ok(entry?.path())).collect(),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

/// Cuts off what follows the last newline of every part, in both trees: a
/// write that a crash interrupted. Returns how many parts were cut.
pub fn recover(dir: &Path) -> io::Result<u64> {
    let mut cut = 0;
    for tree in ["cold", "unparsed"] {
        for stream in entries(&dir.join(tree))? {
            for day in entries(&stream)? {
                for file in entries(&day)? {
                    cut += u64::from(cut_torn_line(&file)?);
                }
            }
        }
    }
    Ok(cut)
}

fn cut_torn_line(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let whole = whole_lines(&file, len)?;
    if whole == len {
        return Ok(false);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(true)
}

/// The length of `file`, `len` bytes long, up to and with its last newline.
fn whole_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = len;
    while end > 0 {
        // The last byte alone answers for nearly every file.
        let size = if end == len {
            1
        } else {
            end.min(block.len() as u64)
        };
        let block = &mut block[..size as usize];
        file.read_exact_at(block, end - size)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(end - size + at as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}

/// Makes a directory and, if it is new, its entry durable, parents included.
pub fn create_dir_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent() else {
        return Ok(());
    };
    create_dir_durably(parent)?;
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(parent),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_keeps_whole_lines_and_cuts_the_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("cold/s/dt=2026-01-01");
        fs::create_dir_all(&day).unwrap();
        let long = "x".repeat(10_000);
        for (name, text, kept) in [
            ("1.jsonl", "{}\n{}\n".to_owned(), 6),
            ("2.jsonl", "{}\n{\"torn".to_owned(), 3),
            ("3.jsonl", format!("{{}}\n{long}"), 3),
            ("4.jsonl", long.clone(), 0),
            ("5.jsonl", String::new(), 0),
        ] {
            fs::write(day.join(name), text).unwrap();
            recover(dir.path()).unwrap();
            assert_eq!(fs::metadata(day.join(name)).unwrap().len(), kept, "{name}");
        }
        assert_eq!(
            recover(dir.path()).unwrap(),
            0,
            "a second recovery finds nothing to cut"
        );
        assert_eq!(parts(dir.path(), Some("s")).unwrap().len(), 5);
        assert_eq!(parts(dir.path(), Some("other")).unwrap().len(), 0);
    }
}
