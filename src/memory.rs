//! What a process remembers between requests, for seconds: the doors that its scripts have shown it.
//!
//! `exam_stream_try_door()` answers a request by them alone. A pool may run the scripts of several
//! sites: each file of PHP code has doors of its own, so what a file's code is answered by was
//! shown by the code in it. A forked child begins with none.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use exam_door::Door;

/// Doors at once. What does not fit is not remembered.
const DOORS: usize = 64;
/// The longest time.
pub const MOST: Duration = Duration::from_secs(60);

/// A door, and where what was said of it is to be seen again.
#[derive(Debug)]
pub struct Kept {
    /// The code that has shown it.
    file: Box<[u8]>,
    pub door: Door,
    /// Holds `door.php` and the marks of closed attempts.
    pub directory: PathBuf,
    /// When `door.php` was written, in Unix seconds: each version has a time of its own.
    pub written: i64,
    until: Instant,
}

impl AsRef<Door> for Kept {
    fn as_ref(&self) -> &Door {
        &self.door
    }
}

impl Kept {
    /// Whether the site still says what it said.
    pub fn is_current(&self) -> bool {
        let modified =
            std::fs::metadata(self.directory.join("door.php")).and_then(|m| m.modified());
        modified.is_ok_and(|at| {
            let seconds = at.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
            seconds.is_ok_and(|seconds| i64::try_from(seconds) == Ok(self.written))
        })
    }

    /// Whether an attempt takes nothing more; `None`: that cannot be told.
    pub fn is_closed(&self, attempt: i64) -> Option<bool> {
        let mark = format!("closed/{}/{attempt}", attempt % 256);
        match std::fs::symlink_metadata(self.directory.join(mark)) {
            Ok(_) => Some(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Memory {
    doors: Vec<Arc<Kept>>,
}

impl Memory {
    /// `false`: there is no room.
    pub fn keep(
        &mut self,
        file: &[u8],
        door: Door,
        (directory, written): (PathBuf, i64),
        until: Instant,
        now: Instant,
    ) -> bool {
        let same = |kept: &Kept| *kept.file == *file && kept.door.site == door.site;
        self.doors.retain(|kept| kept.until > now && !same(kept));
        if self.doors.len() >= DOORS {
            return false;
        }
        self.doors.push(Arc::new(Kept {
            file: file.into(),
            door,
            directory,
            written,
            until,
        }));
        true
    }

    /// What the code of a file has shown.
    pub fn doors(&self, file: &[u8], now: Instant) -> Vec<Arc<Kept>> {
        let known = |kept: &&Arc<Kept>| *kept.file == *file && kept.until > now;
        self.doors.iter().filter(known).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use exam_door::{Limits, Origin};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keep(memory: &mut Memory, file: &str, site: &str, until: Instant, now: Instant) -> bool {
        let door = Door {
            site: site.to_owned(),
            keys: Vec::new(),
            limits: Limits {
                body: 1,
                record: 1,
                fields: 1,
            },
            switches: 0,
            origin: Origin::default(),
        };
        memory.keep(file.as_bytes(), door, (PathBuf::new(), 0), until, now)
    }

    fn sites(memory: &Memory, file: &str, now: Instant) -> Vec<String> {
        let doors = memory.doors(file.as_bytes(), now);
        doors.iter().map(|kept| kept.door.site.clone()).collect()
    }

    #[test]
    fn a_door_is_kept_until_its_time_is_over() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(keep(&mut memory, "a", "1", now + SECOND, now));
        assert!(keep(&mut memory, "a", "2", now + SECOND * 3, now));
        assert!(keep(&mut memory, "b", "1", now + SECOND * 3, now));
        assert_eq!(sites(&memory, "a", now), ["1", "2"]);
        assert_eq!(sites(&memory, "a", now + SECOND), ["2"]);
        assert_eq!(sites(&memory, "c", now), [""; 0]);
    }

    #[test]
    fn a_site_has_one_door_in_each_file() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for seconds in 1..5 {
            assert!(keep(&mut memory, "a", "1", now + SECOND * seconds, now));
        }
        assert_eq!(sites(&memory, "a", now + SECOND * 3), ["1"]);
        assert_eq!(memory.doors.len(), 1);
    }

    #[test]
    fn a_full_memory_takes_nothing_new_until_something_is_over() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for i in 0..DOORS {
            let seconds = if i == 7 { 1 } else { 9 };
            assert!(keep(
                &mut memory,
                "a",
                &i.to_string(),
                now + SECOND * seconds,
                now
            ));
        }
        assert!(!keep(&mut memory, "a", "new", now + SECOND, now));
        assert!(keep(&mut memory, "a", "3", now + SECOND, now));
        let later = now + SECOND * 2;
        assert!(keep(&mut memory, "a", "new", later + SECOND, later));
        assert!(sites(&memory, "a", later).contains(&"9".to_owned()));
    }
}
