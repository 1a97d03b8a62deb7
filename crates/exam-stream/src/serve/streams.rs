//! The delivery streams of a `serve`: `DIR/streams/<name>.json`, one a file.
//!
//! A stream is made by `--stream` or CreateDeliveryStream and lives until
//! DeleteDeliveryStream; its cold storage outlives it, as objects in S3 would.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exam_cold::{create_dir_durably, sync_dir};
use serde::{Deserialize, Serialize};

use crate::clock;

#[derive(Clone)]
pub struct Stream {
    pub name: Arc<str>,
    pub about: About,
}

/// What the file of a stream says.
#[derive(Clone, Serialize, Deserialize)]
pub struct About {
    /// Seconds since 1970.
    pub created: f64,
}

pub struct Streams {
    dir: PathBuf,
    known: Mutex<BTreeMap<Arc<str>, About>>,
}

impl Streams {
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        use anyhow::Context;
        let dir = dir.join("streams");
        create_dir_durably(&dir).with_context(|| format!("making {}", dir.display()))?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str()?.strip_suffix(".json"));
            if let Some(name) = name.filter(|n| is_name(n)) {
                let about: About = serde_json::from_slice(&fs::read(&path)?)
                    .with_context(|| format!("{} tells of no stream: delete it", path.display()))?;
                known.insert(name.into(), about);
            }
        }
        Ok(Streams {
            dir,
            known: Mutex::new(known),
        })
    }

    pub fn get(&self, name: &str) -> Option<Stream> {
        let known = self.known();
        let (name, about) = known.get_key_value(name)?;
        Some(Stream {
            name: name.clone(),
            about: about.clone(),
        })
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        self.known().keys().cloned().collect()
    }

    /// False if there is one of that name.
    pub fn create(&self, name: &str) -> io::Result<bool> {
        let mut known = self.known();
        if known.contains_key(name) {
            return Ok(false);
        }
        let about = About {
            created: clock::since_epoch().as_secs_f64(),
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&serde_json::to_vec(&about)?)?;
        file.as_file().sync_all()?;
        file.persist(self.file(name)).map_err(|e| e.error)?;
        sync_dir(&self.dir)?;
        known.insert(name.into(), about);
        Ok(true)
    }

    /// False if there was none of that name.
    pub fn delete(&self, name: &str) -> io::Result<bool> {
        let mut known = self.known();
        if !known.contains_key(name) {
            return Ok(false);
        }
        fs::remove_file(self.file(name))?;
        sync_dir(&self.dir)?;
        known.remove(name);
        Ok(true)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, About>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Firehose's rule for names, less the two that are directories already.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
