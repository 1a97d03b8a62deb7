//! Who may do what to a directory at a time.
//!
//! | file | held by |
//! |---|---|
//! | `DIR/lock` | the one writer, `exam-stream serve`, as long as it runs |
//! | `DIR/rewrite.lock` | whoever replaces or removes parts: closing, erasure, retention. Shared by who must not see that happen |
//! | `DIR/release` | nobody: it exists while a program asks the writer to end its live parts, and is removed by the writer once it has |
//!
//! The locks are flock(2)'s: they end with their process, however it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Error;

const POLL: Duration = Duration::from_millis(20);

/// Makes the caller the writer of `dir` for as long as it keeps the file. `None` if another
/// process is.
pub fn own(dir: &Path) -> Result<Option<File>, Error> {
    let path = dir.join("lock");
    let file = lock_file(&path)?;
    Ok(flocked(&file, FlockOperation::NonBlockingLockExclusive, &path)?.then_some(file))
}

/// Nobody else replaces or removes parts of the directory while this value lives.
pub struct Rewriting {
    pub(crate) dir: PathBuf,
    _lock: File,
}

impl Rewriting {
    /// Waits for others to be done.
    pub fn lock(dir: &Path) -> Result<Self, Error> {
        let refused = || Error::io(dir)(io::Error::other("its lock was refused"));
        Rewriting::by(dir, FlockOperation::LockExclusive)?.ok_or_else(refused)
    }

    /// `None` if somebody else is at it.
    pub fn try_lock(dir: &Path) -> Result<Option<Self>, Error> {
        Rewriting::by(dir, FlockOperation::NonBlockingLockExclusive)
    }

    /// Returns once the writer, if there is one, has ended all parts that were live when this was
    /// called, and its fold has let go of what it had read from them. `waiting` is called while the
    /// writer takes its time.
    pub fn release(&self, mut waiting: impl FnMut(Duration)) -> Result<(), Error> {
        let path = self.dir.join("release");
        drop(lock_file(&path)?);
        let mut waited = Duration::ZERO;
        loop {
            if !path.try_exists().map_err(Error::io(&path))? {
                return Ok(());
            }
            if own(&self.dir)?.is_some() {
                // Nobody writes, and whoever starts to begins parts of its own.
                return match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(&path)(e)),
                    _ => Ok(()),
                };
            }
            thread::sleep(POLL);
            waited += POLL;
            waiting(waited);
        }
    }

    fn by(dir: &Path, operation: FlockOperation) -> Result<Option<Self>, Error> {
        let path = dir.join("rewrite.lock");
        let lock = lock_file(&path)?;
        let held = flocked(&lock, operation, &path)?;
        Ok(held.then(|| Rewriting {
            dir: dir.to_owned(),
            _lock: lock,
        }))
    }
}

/// Nothing is replaced or removed while this value lives; any number may hold one. `None` where no
/// part has ever been: a copy, somebody else's layout, a single file.
pub fn hold_still(dir: &Path) -> Result<Option<File>, Error> {
    let path = dir.join("rewrite.lock");
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(e) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind()) => {
            return Ok(None);
        }
        Err(e) => return Err(Error::io(&path)(e)),
    };
    flocked(&lock, FlockOperation::LockShared, &path)?;
    Ok(Some(lock))
}

/// The writer's side of [`Rewriting::release`]: is it asked to?
pub fn asked_to_release(dir: &Path) -> bool {
    dir.join("release").exists()
}

/// The writer's answer.
pub fn released(dir: &Path) -> Result<(), Error> {
    let path = dir.join("release");
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(&path)(e)),
        _ => Ok(()),
    }
}

fn lock_file(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let open = || {
        let file = options.open(path)?;
        let dir = path.parent().unwrap_or(path);
        like(&file, &fs::metadata(dir)?)?;
        Ok(file)
    };
    open().map_err(Error::io(path))
}

/// Gives a file to the owner of another one, so that what root makes here stays `serve`'s.
pub(crate) fn like(file: &File, other: &fs::Metadata) -> io::Result<()> {
    let about = file.metadata()?;
    if (about.uid(), about.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    match fchown(file, Some(other.uid()), Some(other.gid())) {
        // The group alone may differ, and only root may give a file away.
        Err(_) if about.uid() == other.uid() => Ok(()),
        result => result,
    }
}

fn flocked(file: &File, operation: FlockOperation, path: &Path) -> Result<bool, Error> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::io(path)(e.into())),
        }
    }
}
