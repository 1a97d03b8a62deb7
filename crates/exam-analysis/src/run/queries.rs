//! The folder of queries: picked up, replaced and removed while the program runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::dialect::Refusal;
use crate::reference::{Stamp, stamp};

/// What a look at the folder found.
pub enum Change {
    /// New, or with another text.
    Text {
        name: String,
        file: PathBuf,
        text: String,
    },
    /// Not readable as text, or not named as a query.
    Unusable {
        name: String,
        file: PathBuf,
        reason: String,
    },
    Removed {
        name: String,
    },
}

pub struct Folder {
    dir: PathBuf,
    files: BTreeMap<PathBuf, Stamp>,
}

impl Folder {
    pub fn new(dir: &Path) -> Self {
        Folder {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// All files are new at the next look.
    pub fn forget(&mut self) {
        self.files.values_mut().for_each(|stamp| stamp.0 = u64::MAX);
    }

    /// What changed since the last look.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut found = BTreeMap::new();
        let mut changes = Vec::new();
        let list = fs::read_dir(&self.dir)?;
        let mut files = list
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            if file.extension().is_none_or(|kind| kind != "sql") {
                continue;
            }
            let Ok(stamp) = stamp(&file) else {
                continue;
            };
            if self.files.get(&file) != Some(&stamp) {
                changes.push(change(&file));
            }
            found.insert(file, stamp);
        }
        for gone in self.files.keys().filter(|file| !found.contains_key(*file)) {
            changes.push(Change::Removed {
                name: name_of(gone),
            });
        }
        self.files = found;
        Ok(changes)
    }
}

fn name_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn change(file: &Path) -> Change {
    let (name, file) = (name_of(file), file.to_owned());
    // The name is a directory of results, and a register of the state.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.starts_with('_') || name.is_empty() || !name.chars().all(plain) {
        let reason = "a query's file is named with a to z, 0 to 9, - and _".into();
        return Change::Unusable { name, file, reason };
    }
    match fs::read_to_string(&file) {
        Ok(text) => {
            // Which editors on Windows put first.
            let text = text.trim_start_matches('\u{feff}').to_owned();
            Change::Text { name, file, text }
        }
        Err(error) => Change::Unusable {
            name,
            file,
            reason: error.to_string(),
        },
    }
}

/// What the comments at the head of a file say: `-- signal: gone`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Rows become signals of this name in the state store.
    pub signal: Option<String>,
}

impl Header {
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut header = Header::default();
        let comments = text.lines().enumerate().map_while(|(n, line)| {
            let line = line.trim();
            (line.is_empty() || line.starts_with("--")).then_some((n, line))
        });
        for (n, line) in comments {
            let Some(name) = line
                .trim_start_matches('-')
                .trim_start()
                .strip_prefix("signal:")
            else {
                continue;
            };
            let name = name.trim();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(Refusal {
                    line: n as u64 + 1,
                    column: 1,
                    reason: "a signal's name is one word: -- signal: gone".into(),
                });
            }
            header.signal = Some(name.to_owned());
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_noticed_when_they_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(dir.path());
        assert!(folder.changes().unwrap().is_empty());
        let file = dir.path().join("a.sql");
        fs::write(&file, "SELECT 1").unwrap();
        fs::write(dir.path().join("a.sql~"), "left alone").unwrap();
        fs::write(dir.path().join("B.sql"), "SELECT 2").unwrap();
        let changes = folder.changes().unwrap();
        assert!(matches!(&changes[..],
            [Change::Unusable { name: b, .. }, Change::Text { name: a, .. }] if b == "B" && a == "a"));
        assert!(folder.changes().unwrap().is_empty());
        fs::write(&file, "SELECT 1, 2").unwrap();
        assert!(
            matches!(&folder.changes().unwrap()[..], [Change::Text { text, .. }] if text.ends_with('2'))
        );
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(&folder.changes().unwrap()[..], [Change::Removed { name }] if name == "a")
        );
    }

    #[test]
    fn the_head_of_a_file_names_its_signal() {
        let header = |text| Header::read(text).map(|h| h.signal);
        assert_eq!(
            header("-- why\n\n-- signal: gone\nSELECT 1"),
            Ok(Some("gone".into()))
        );
        assert_eq!(header("SELECT 1\n-- signal: gone"), Ok(None));
        assert_eq!(header("--\n-- signal: two words").unwrap_err().line, 2);
    }
}
