//! Replacing parts: closing (plain to gzip'd), erasure, removal.
//!
//! A part is replaced in steps that a kill -9 or a power cut may come between, at no loss:
//!
//! 1. `<part>.jsonl.gz.tmp` is written, member by member, each read back as it is made, and synced.
//!    Died here: the old file counts; the next attempt or [`sweep`](Rewriting::sweep) removes this.
//! 2. It is renamed to `<part>.jsonl.gz` and the directory synced. Died here: where both exist the
//!    plain one counts, and is closed again.
//! 3. The plain file is removed.
//!
//! An error (a full disk) leaves the old file and nothing else. Lines keep their uncompressed
//! offsets: closing changes no byte of them, and erasure puts as long a line, `{"erased":true}` and
//! spaces, in the place of each. So no position of any follower ever has to be translated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Error;
use crate::gzip;
use crate::layout::{Part, Select, Tree, gz, parts, places, sync_dir};
use crate::lock::{Rewriting, like};
use crate::read;

const ERASED: &[u8] = br#"{"erased":true}"#;

/// Where a replacement may be interrupted; tests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Created,
    Written,
    Synced,
    Renamed,
}

/// What a replacement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Of its lines, uncompressed.
    pub len: u64,
    /// On the disk, before and after.
    pub before: u64,
    pub after: u64,
    /// Lines erased, and their bytes.
    pub erased: u64,
    pub erased_bytes: u64,
}

impl Rewriting {
    /// Closes a plain part that nobody appends to any more. One of no lines is removed; one that
    /// is closed or gone already stays so (`None`).
    pub fn close(&self, path: &Path) -> Result<Option<Replaced>, Error> {
        match self.replace(path, &mut |_| false, &mut |_| {}) {
            Err(error) if error.is_gone() => Ok(None),
            replaced => replaced.map(Some),
        }
    }

    /// Erases the lines of a part that `concerned` says so of, closing it if it was not; `None` if
    /// there are none, and nothing was changed. The part must not be live.
    pub fn erase(
        &self,
        part: &Part,
        concerned: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Option<Replaced>, Error> {
        let mut lines = Vec::new();
        let mut from = 0;
        loop {
            part.read(from, &mut lines)?;
            if lines.is_empty() {
                return Ok(None);
            }
            if each_line(&lines).any(|line| concerned(&lines[line])) {
                return self.replace(&part.path, concerned, &mut |_| {}).map(Some);
            }
            from += lines.len() as u64;
        }
    }

    /// Removes a part, then its directories if they are empty.
    pub fn remove(&self, part: &Part) -> Result<(), Error> {
        for path in [&part.path, &gz(&part.path)] {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(path)(e)),
                _ => {}
            }
        }
        // Of the hour and the day; not empty is the usual answer.
        for dir in part
            .path
            .ancestors()
            .skip(1)
            .take(part.name.split('/').count() - 2)
        {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Removes what interrupted replacements left.
    pub fn sweep(&self) -> Result<(), Error> {
        for tree in [Tree::Cold, Tree::Unparsed] {
            for place in places(&self.dir, tree, &Select::default())? {
                let list = match fs::read_dir(&place.path) {
                    Ok(list) => list,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(Error::io(&place.path)(e)),
                };
                for entry in list {
                    let path = entry.map_err(Error::io(&place.path))?.path();
                    if path
                        .as_os_str()
                        .as_encoded_bytes()
                        .ends_with(b".jsonl.gz.tmp")
                    {
                        fs::remove_file(&path).map_err(Error::io(&path))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The plain parts of both trees that `live` does not hold, the oldest first.
    pub fn to_close(&self, live: &crate::Live) -> Result<Vec<Part>, Error> {
        let mut found = parts(&self.dir, Tree::Cold, &Select::default())?;
        found.extend(parts(&self.dir, Tree::Unparsed, &Select::default())?);
        found.retain(|part| !part.closed && !live.contains(&part.path));
        Ok(found)
    }

    pub(crate) fn replace(
        &self,
        path: &Path,
        concerned: &mut dyn FnMut(&[u8]) -> bool,
        at: &mut dyn FnMut(Step),
    ) -> Result<Replaced, Error> {
        let closed = gz(path);
        let mut tmp = closed.clone().into_os_string();
        tmp.push(".tmp");
        let tmp = Path::new(&tmp);
        let done = self.write_tmp(path, tmp, concerned, at).and_then(|done| {
            if done.len == 0 {
                fs::remove_file(tmp).map_err(Error::io(tmp))?;
            } else {
                fs::rename(tmp, &closed).map_err(Error::io(&closed))?;
                if let Some(dir) = path.parent() {
                    sync_dir(dir).map_err(Error::io(dir))?;
                }
                at(Step::Renamed);
            }
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(e)),
                _ => Ok(done),
            }
        });
        if done.is_err() {
            let _ = fs::remove_file(tmp);
        }
        done
    }

    fn write_tmp(
        &self,
        path: &Path,
        tmp: &Path,
        concerned: &mut dyn FnMut(&[u8]) -> bool,
        at: &mut dyn FnMut(Step),
    ) -> Result<Replaced, Error> {
        let old = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::metadata(gz(path)),
            about => about,
        };
        let old = old.map_err(Error::io(path))?;
        let mut options = OpenOptions::new();
        options.write(true).read(true).create(true).truncate(true);
        let file = options.mode(0o600).open(tmp).map_err(Error::io(tmp))?;
        like(&file, &old).map_err(Error::io(tmp))?;
        at(Step::Created);
        let mut done = Replaced {
            before: old.len(),
            ..Default::default()
        };
        let (mut lines, mut member) = (Vec::new(), Vec::new());
        loop {
            read::read(path, done.len, u64::MAX, &mut lines)?;
            if lines.is_empty() {
                break;
            }
            let erased = erase_lines(&mut lines, concerned);
            member.clear();
            if erased.0 > 0 || !read::member_at(path, done.len, &mut member)? {
                gzip::encode(&lines, &mut member).map_err(Error::io(tmp))?;
            }
            (&file).write_all(&member).map_err(Error::io(tmp))?;
            done.len += lines.len() as u64;
            done.after += member.len() as u64;
            done.erased += erased.0;
            done.erased_bytes += erased.1;
            at(Step::Written);
        }
        let modified = old.modified().and_then(|at| file.set_modified(at));
        modified.map_err(Error::io(tmp))?;
        file.sync_all().map_err(Error::io(tmp))?;
        at(Step::Synced);
        check(&file, &done).map_err(Error::io(tmp))?;
        Ok(done)
    }
}

/// Puts a file of these bytes, durable and the directory's owner's, in the place of what `path` names.
/// Killed at any moment, either is there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = Path::new(&tmp);
    let dir = path.parent().unwrap_or(path);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = options.mode(0o600).open(tmp)?;
        like(&file, &fs::metadata(dir)?)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(tmp, path)?;
        sync_dir(dir)
    };
    write().map_err(Error::io(path))
}

/// The members that readers will find hold all of the lines.
fn check(file: &File, done: &Replaced) -> io::Result<()> {
    let members = gzip::members(file)?.unwrap_or_default();
    if members.last().map_or(0, |last| last.from + last.len) == done.len {
        return Ok(());
    }
    Err(io::Error::other("what was written does not read back"))
}

fn each_line(lines: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    // Gzip of another program may end without a newline.
    memchr::memchr_iter(b'\n', lines)
        .chain([lines.len()])
        .map(move |end| {
            let line = start..end;
            start = end + 1;
            line
        })
}

/// Puts a line that says so, as long with spaces, in the place of each that is concerned. Returns how
/// many, and of how many bytes.
pub fn erase_lines(lines: &mut [u8], concerned: &mut dyn FnMut(&[u8]) -> bool) -> (u64, u64) {
    let found: Vec<_> = each_line(lines)
        .filter(|line| concerned(&lines[line.clone()]))
        .collect();
    let mut bytes = 0;
    for line in &found {
        bytes += line.len() as u64;
        let line = &mut lines[line.clone()];
        line.fill(b' ');
        // Still one JSON value, however short it was.
        let said = if line.len() < ERASED.len() {
            &b"{}"[..]
        } else {
            ERASED
        };
        if let Some(head) = line.get_mut(..said.len()) {
            head.copy_from_slice(said);
        }
    }
    (found.len() as u64, bytes)
}
