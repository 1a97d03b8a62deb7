//! Names of cold storage: trees, places, parts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::Error;
use crate::calendar::{Date, Hour, parse_date};

/// The tree a line is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// JSON values.
    Cold,
    /// What was acknowledged and is no JSON line.
    Unparsed,
}

impl Tree {
    pub fn name(self) -> &'static str {
        match self {
            Tree::Cold => "cold",
            Tree::Unparsed => "unparsed",
        }
    }
}

/// Where lines of one kind go: a directory of parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub tree: Tree,
    pub stream: Arc<str>,
    pub hour: Hour,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tree.name(), self.stream, self.hour)
    }
}

/// A part as it was listed. It may have been closed or removed since; its readers see to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `<stream>/dt=…/hour=…/<begun>.jsonl`: its path below the tree, closed or not. Followers
    /// keep their positions under it.
    pub name: Arc<str>,
    /// `DIR/<tree>/<name>`; a closed part lies at this path and `.gz`.
    pub path: PathBuf,
    pub date: Date,
    /// None in the layout of version 0.1.0, which had a directory a day.
    pub hour: Option<u8>,
    pub closed: bool,
    /// On the disk.
    pub bytes: u64,
    /// When its last line arrived: closing and erasure leave it.
    pub modified: SystemTime,
}

impl Part {
    pub fn stream(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The file it lay in when it was listed.
    pub fn file(&self) -> PathBuf {
        if self.closed {
            gz(&self.path)
        } else {
            self.path.clone()
        }
    }

    pub(crate) fn order(&self) -> (Date, Option<u8>, Option<&OsStr>, &str) {
        (self.date, self.hour, self.path.file_name(), &self.name)
    }
}

/// Which parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Select<'a> {
    /// All streams, or this one.
    pub stream: Option<&'a str>,
    /// Event dates, UTC, both included.
    pub from: Option<Date>,
    pub to: Option<Date>,
}

impl Select<'_> {
    pub(crate) fn has_stream(&self, stream: &str) -> bool {
        self.stream.is_none_or(|wanted| wanted == stream)
    }

    pub(crate) fn has_date(&self, date: Date) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }
}

/// The parts of a tree of `dir`, by event time, then by the time they were begun. What is no part
/// by its name is left alone.
pub fn parts(dir: &Path, tree: Tree, select: &Select<'_>) -> Result<Vec<Part>, Error> {
    let mut found = Vec::new();
    for place in places(dir, tree, select)? {
        place.parts(&mut found)?;
    }
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(found)
}

/// A directory that may hold parts.
pub(crate) struct PlaceDir {
    pub path: PathBuf,
    /// Below the tree.
    pub name: String,
    pub date: Date,
    pub hour: Option<u8>,
}

pub(crate) fn places(dir: &Path, tree: Tree, select: &Select<'_>) -> Result<Vec<PlaceDir>, Error> {
    let root = dir.join(tree.name());
    let mut found = Vec::new();
    for stream in entries(&root)? {
        if stream.starts_with('.') || !select.has_stream(&stream) {
            continue;
        }
        for day in entries(&root.join(&stream))? {
            let Some(date) = day.strip_prefix("dt=").and_then(parse_date) else {
                continue;
            };
            if !select.has_date(date) {
                continue;
            }
            let name = format!("{stream}/{day}");
            let path = root.join(&name);
            for hour in entries(&path)? {
                if let Some(of_day) = parse_hour(&hour) {
                    found.push(PlaceDir {
                        path: path.join(&hour),
                        name: format!("{name}/{hour}"),
                        date,
                        hour: Some(of_day),
                    });
                }
            }
            let hour = None;
            found.push(PlaceDir {
                path,
                name,
                date,
                hour,
            });
        }
    }
    Ok(found)
}

impl PlaceDir {
    pub fn parts(&self, found: &mut Vec<Part>) -> Result<(), Error> {
        // A part that is closed while the directory is read might be seen under neither name.
        let mut before = self.modified()?;
        let listed = loop {
            let listed = self.list()?;
            let after = self.modified()?;
            if std::mem::replace(&mut before, after) == after {
                break listed;
            }
        };
        found.extend(listed.into_iter().map(|(logical, (closed, about))| Part {
            name: format!("{}/{logical}", self.name).into(),
            path: self.path.join(logical),
            date: self.date,
            hour: self.hour,
            closed,
            bytes: about.len(),
            // Every Unix has it.
            modified: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        }));
        Ok(())
    }

    /// When something was added or removed last; `None` if the directory is gone.
    pub fn modified(&self) -> Result<Option<SystemTime>, Error> {
        match fs::metadata(&self.path).and_then(|about| about.modified()) {
            Ok(modified) => Ok(Some(modified)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&self.path)(e)),
        }
    }

    fn list(&self) -> Result<BTreeMap<String, (bool, fs::Metadata)>, Error> {
        let mut listed = BTreeMap::new();
        for file in entries(&self.path)? {
            let logical = file.strip_suffix(".gz").unwrap_or(&file);
            if logical.starts_with('.')
                || !logical.ends_with(".jsonl")
                || listed.contains_key(logical)
            {
                continue;
            }
            // Of a part that is there twice the plain file counts: its closing was interrupted. And
            // a plain file may have been closed since its name was read.
            let plain = self.path.join(logical);
            for (closed, path) in [(false, &plain), (true, &gz(&plain))] {
                match fs::metadata(path) {
                    Ok(about) if about.is_file() => {
                        listed.insert(logical.to_owned(), (closed, about));
                        break;
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io(path)(e)),
                }
            }
        }
        Ok(listed)
    }
}

fn parse_hour(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("hour=")?;
    let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|hour| two && *hour < 24)
}

/// The names in a directory; none if there is no such directory. A name that is no text of one
/// line is no name of ours.
fn entries(dir: &Path) -> Result<Vec<String>, Error> {
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
        Err(e) => return Err(Error::io(dir)(e)),
    };
    let mut names = Vec::new();
    for entry in list {
        let name = entry.map_err(Error::io(dir))?.file_name();
        if let Ok(name) = name.into_string()
            && !name.contains(char::is_control)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Where a closed part lies.
pub(crate) fn gz(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
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
