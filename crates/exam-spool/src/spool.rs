//! The directory: who may use it, what lies in it, how much of its limit is taken.

use crate::error::{OpenError, SegmentError, WriteError};
use crate::header::{self, Cursor, Notes, SegmentId};
use crate::quota::{self, Quota};
use crate::segment::Segment;
use crate::totals::{self, Totals};
use crate::writer::Writer;
use crate::{process, sys};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Gid, Mode, OFlags, Uid};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The suffixes of the files in a spool.
pub(crate) const SEGMENT: &str = ".seg";
pub(crate) const UNFINISHED: &str = ".new";
pub(crate) const DAMAGED: &str = ".damaged";
pub(crate) const QUARANTINE: &str = ".quarantine";

/// How many units the limit is divided into, and what a unit may be. Writers
/// lease whole units, so a put asks the other processes only every few hundred
/// puts, and what idle writers hold without using stays small against the limit.
const UNITS: u64 = 256;
const UNIT: std::ops::RangeInclusive<u64> = 1024..=64 * 1024;
/// A single segment takes at most this part of the limit, so that deleting
/// delivered segments frees room in small steps.
const SEGMENTS: u64 = 8;
const LEAST_SEGMENT: u64 = 4096;
/// Ordinals have 32 bits.
const MOST_SEGMENT: u64 = 1 << 30;
const LEAST_LIMIT: u64 = 16 * 1024;
/// A full spool is asked again after this long, by each process.
const FULL_MICROS: u64 = 5_000;

/// What an administrator sets.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its parent must exist, on a local file system.
    pub dir: PathBuf,
    /// Undelivered or unfolded bytes the spool holds at most, over all processes; at least 16 KiB.
    pub max_bytes: u64,
    /// A segment is sealed when it would grow over this (or over an eighth of the limit).
    pub segment_bytes: u64,
}

/// How much of the limit is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes taken, leases of living writers included.
    pub bytes: u64,
    /// The limit.
    pub limit: u64,
}

/// What the spool had accepted at one moment, for waiting until it is past a cursor.
#[derive(Clone, Debug, Default)]
pub struct Targets(Vec<(SegmentId, u32)>);

/// One spool directory. Cheap to clone; usable from any thread, and in a forked child.
#[derive(Clone)]
pub struct Spool(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    dir: OwnedFd,
    /// Root works for the directory's owner and hands over what it creates.
    hand_to: Option<(Uid, Gid)>,
    pub unit: u64,
    /// Refusals not yet in the quota file.
    refused: AtomicU64,
    /// Until when (microseconds since 1970) nobody asks for a lease, because there was none.
    full_until: AtomicU64,
    /// A deletion was counted, but the file may still be there.
    pub removal_failed: AtomicBool,
}

impl Spool {
    /// Opens the spool, creating the directory if it is missing.
    ///
    /// # Errors
    /// [`OpenError`] in a sentence for the administrator: another user's directory,
    /// a directory others may enter, a symbolic link.
    pub fn open(config: Config) -> Result<Spool, OpenError> {
        let path = config.dir.clone();
        let io = |what| {
            let dir = path.clone();
            move |source: io::Error| OpenError::Io { dir, what, source }
        };
        if config.max_bytes < LEAST_LIMIT {
            return Err(OpenError::Limit {
                max_bytes: config.max_bytes,
                least: LEAST_LIMIT,
            });
        }
        let dir = open_dir(&path)?;
        let stat = fs::fstat(&dir).map_err(|e| io("examine it")(e.into()))?;
        let user = rustix::process::geteuid();
        if !user.is_root() && stat.st_uid != user.as_raw() {
            return Err(OpenError::Owner {
                dir: path,
                owner: stat.st_uid,
                user: user.as_raw(),
            });
        }
        let hand_to = (stat.st_uid != user.as_raw())
            .then(|| (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
        let mode = stat.st_mode & 0o7777;
        if mode & 0o077 != 0 {
            // Only an empty directory is surely meant for us (/tmp or a home is not).
            if mode & 0o1000 != 0 || !is_empty(&dir).map_err(io("list it"))? {
                // Nobody must be told to close a directory that is in use for something else.
                return Err(match sys::open(dir.as_fd(), quota::NAME) {
                    Ok(_) => OpenError::Mode { dir: path, mode },
                    Err(_) => OpenError::NoSpool { dir: path, mode },
                });
            }
            fs::fchmod(&dir, Mode::RWXU).map_err(|e| io("set mode 0700 on it")(e.into()))?;
        }
        let unit = (config.max_bytes / UNITS).clamp(*UNIT.start(), *UNIT.end());
        let inner = Inner {
            config,
            dir,
            hand_to,
            unit,
            refused: AtomicU64::new(0),
            full_until: AtomicU64::new(0),
            removal_failed: AtomicBool::new(false),
        };
        let spool = Spool(Arc::new(inner));
        // Counters there: somebody was here before. The directory is not synced
        // again then: the first put of a new process must not wait for a disk.
        let there = |name| sys::open(spool.dir(), name).is_ok();
        if !there(quota::NAME) || !there(totals::NAME) {
            spool.prepare().map_err(io("create its counters"))?;
        }
        Ok(spool)
    }

    /// Counters first, their blocks included, so that the disk may be full later.
    fn prepare(&self) -> io::Result<()> {
        self.ensure_file(quota::NAME)?;
        self.recount()?;
        self.ensure_file(totals::NAME)?;
        totals::prepare(self)?;
        sys::sync_dir(self.dir())
    }

    /// What it was opened with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.config.dir
    }

    /// A writer for one delivery stream. It makes its first file at the first append.
    ///
    /// # Errors
    /// [`WriteError::Stream`] for a name Firehose would never take.
    pub fn writer(&self, stream: &str) -> Result<Writer, WriteError> {
        Writer::new(self.clone(), stream, SEGMENT)
    }

    /// Opens all segments, the oldest first. Those that cannot be read are
    /// left out (and kept): [`Spool::segment_names`] with [`Spool::segment`] tells why.
    pub fn segments(&self) -> io::Result<Vec<Segment>> {
        Ok(self
            .segment_names()?
            .into_iter()
            .filter_map(|id| self.segment(id).ok().flatten())
            .collect())
    }

    /// The names of all segments, the oldest first: one directory read, nothing opened.
    pub fn segment_names(&self) -> io::Result<Vec<SegmentName>> {
        self.names(SEGMENT)
    }

    /// Opens one segment; `None` if it has been deleted meanwhile.
    pub fn segment(&self, name: SegmentName) -> Result<Option<Segment>, SegmentError> {
        Segment::open(self.clone(), name, SEGMENT)
    }

    /// How much of the limit is taken. One small file is read.
    pub fn usage(&self) -> Usage {
        let bytes = quota::read(self.dir()).map_or(0, |q| q.used);
        Usage {
            bytes,
            limit: self.0.config.max_bytes,
        }
    }

    /// Counts puts refused for a reason the writer does not know; its own it counts itself.
    ///
    /// Never waits: if another process has the counters at this moment, the
    /// next one to be counted takes these along.
    pub fn count_refused(&self, records: u64) {
        self.0.refused.fetch_add(records, Ordering::Relaxed);
        let _ = self.update_quota(Duration::ZERO, |_| ());
    }

    /// The spool's counters over all time and all processes.
    pub fn totals(&self) -> io::Result<Totals> {
        self.update_quota(quota::PATIENCE, |_| ())?;
        totals::read(self)
    }

    /// What is accepted now, for [`Spool::passed`].
    pub fn accepted_targets(&self) -> io::Result<Targets> {
        let mut targets = Vec::new();
        for segment in self.segments()? {
            targets.push((segment.id(), segment.count()?));
        }
        Ok(Targets(targets))
    }

    /// Whether `cursor` is past all of `targets`; forgets those it is past.
    pub fn passed(&self, targets: &mut Targets, cursor: Cursor) -> io::Result<bool> {
        let mut there = self.segment_names()?;
        there.retain(|name| targets.0.iter().any(|(id, _)| *id == name.id));
        let mut left = Vec::new();
        for name in there {
            if let Ok(Some(segment)) = self.segment(name.clone()) {
                let wanted = targets
                    .0
                    .iter()
                    .find(|(id, _)| *id == name.id)
                    .map_or(0, |(_, count)| *count);
                if segment.cursor(cursor).count < wanted {
                    left.push((name.id, wanted));
                }
            }
        }
        targets.0 = left;
        Ok(targets.0.is_empty())
    }

    /// Makes `name` exist in the directory, owned as everything in it; for small
    /// files of the sender's own. Opens it.
    pub fn ensure_file(&self, name: &str) -> io::Result<OwnedFd> {
        match sys::open(self.dir(), name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        // Under another name until it is the owner's, so that nobody finds it before.
        let unfinished = format!("{}{UNFINISHED}", SegmentId::new());
        drop(self.create(&unfinished)?);
        let linked = sys::link(self.dir(), &unfinished, name);
        sys::unlink(self.dir(), &unfinished)?;
        match linked {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => sys::open(self.dir(), name),
        }
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.0.dir.as_fd()
    }

    pub(crate) fn create(&self, name: &str) -> io::Result<OwnedFd> {
        let file = sys::create(self.dir(), name)?;
        if let Some((uid, gid)) = self.0.hand_to {
            fs::fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(file)
    }

    /// A new file with header, locked before it has the name under which others see it.
    pub(crate) fn create_segment(
        &self,
        stream: &str,
        suffix: &str,
    ) -> io::Result<(SegmentName, OwnedFd)> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..8 {
            let name = SegmentName {
                id: SegmentId::new(),
                stream: stream.into(),
            };
            let unfinished = format!("{}{UNFINISHED}", name.id);
            let file = self.create(&unfinished)?;
            let made = self.finish_segment(&name, suffix, &unfinished, &file);
            match made {
                Ok(()) => return Ok((name, file)),
                // A sweep took it for left behind, in the moment before the lock.
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotFound
                    ) =>
                {
                    last = e
                }
                Err(e) => {
                    let _ = sys::unlink(self.dir(), &unfinished);
                    return Err(e);
                }
            }
        }
        Err(last)
    }

    fn finish_segment(
        &self,
        name: &SegmentName,
        suffix: &str,
        unfinished: &str,
        file: &OwnedFd,
    ) -> io::Result<()> {
        fs::flock(file, FlockOperation::NonBlockingLockExclusive)?;
        sys::pwrite_all(
            file,
            &header::encode(name.id, &name.stream, [header::START; 2], Notes::default()),
            0,
        )?;
        sys::rename(self.dir(), unfinished, &name.file(suffix))
    }

    /// Puts bytes in the place of a file that nobody writes to any more.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = format!("{}{UNFINISHED}", SegmentId::new());
        let file = self.create(&unfinished)?;
        let write = || {
            fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            sys::pwrite_all(&file, bytes, 0)?;
            sys::sync_data(&file)?;
            sys::rename(self.dir(), &unfinished, name)?;
            sys::sync_dir(self.dir())
        };
        let written = write();
        if written.is_err() {
            let _ = sys::unlink(self.dir(), &unfinished);
        }
        written
    }

    /// A sealed segment, whole and synced before it has its name. It takes its
    /// part of the limit unasked: what it holds was accepted long ago.
    pub(crate) fn write_whole_segment(
        &self,
        id: SegmentId,
        stream: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let name = SegmentName {
            id,
            stream: stream.into(),
        };
        let unfinished = format!("{id}{UNFINISHED}");
        let file = self.create(&unfinished)?;
        let write = || {
            fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            sys::pwrite_all(&file, bytes, 0)?;
            sys::sync_data(&file)?;
            sys::rename(self.dir(), &unfinished, &name.file(SEGMENT))?;
            sys::sync_dir(self.dir())
        };
        let written = write();
        if written.is_err() {
            let _ = sys::unlink(self.dir(), &unfinished);
            return written;
        }
        let share = quota::share(bytes.len() as u64, true, 0, self.0.unit);
        self.update_quota(quota::PATIENCE, |quota| quota.used += share)
            .map(drop)
    }

    pub(crate) fn names(&self, suffix: &str) -> io::Result<Vec<SegmentName>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(self.dir())? {
            let entry = entry?;
            let file = entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|f| f.strip_suffix(suffix));
            names.extend(file.and_then(SegmentName::parse));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what dead processes left half made, and finishes a deletion a
    /// dead sender had begun.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for entry in fs::Dir::read_from(self.dir())? {
            let entry = entry?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .ok()
                .filter(|n| n.ends_with(UNFINISHED))
            else {
                continue;
            };
            let Ok(file) = sys::open(self.dir(), name) else {
                continue;
            };
            if fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
                sys::unlink(self.dir(), name)?;
            }
        }
        totals::finish_removal(self)
    }

    /// Counts the directory, so that the taken bytes are what is there: heals
    /// what processes that died in the midst of something left. Done when a
    /// sender is elected; the sender calls it every few seconds.
    pub fn recount(&self) -> io::Result<Usage> {
        const TRIES: usize = 3;
        let mut counted = 0;
        for _ in 0..TRIES {
            let before = quota::read(self.dir())?.used;
            counted = self.count_used()?;
            // Only a figure nobody moved while it was counted is right.
            let set = self.update_quota(quota::PATIENCE, |q| {
                let still = q.used == before;
                if still {
                    q.used = counted;
                }
                still
            })?;
            if set == Some(true) {
                break;
            }
        }
        Ok(Usage {
            bytes: counted,
            limit: self.0.config.max_bytes,
        })
    }

    fn count_used(&self) -> io::Result<u64> {
        let mut used = 0;
        for suffix in [SEGMENT, QUARANTINE] {
            for name in self.names(suffix)? {
                if let Ok(Some(segment)) = Segment::open(self.clone(), name, suffix) {
                    used += segment.share()?;
                }
            }
        }
        Ok(used)
    }

    /// Changes the quota file; refusals waiting to be counted go along.
    pub(crate) fn update_quota<R>(
        &self,
        patience: Duration,
        change: impl FnOnce(&mut Quota) -> R,
    ) -> io::Result<Option<R>> {
        let refused = self.0.refused.swap(0, Ordering::Relaxed);
        let done = quota::update(self.dir(), patience, |quota| {
            quota.refused += refused;
            change(quota)
        });
        if !matches!(done, Ok(Some(_))) {
            self.0.refused.fetch_add(refused, Ordering::Relaxed);
        }
        done
    }

    /// Leases bytes beyond the limit, for the sender, which must be able to put
    /// aside what keeps the spool from draining.
    pub(crate) fn lease_unlimited(&self, wanted: u64) -> io::Result<u64> {
        let wanted = wanted.next_multiple_of(self.0.unit);
        self.update_quota(quota::PATIENCE, |quota| quota.used += wanted)?;
        Ok(wanted)
    }

    /// Leases up to `wanted` bytes in whole units, for a writer at time `now`.
    pub(crate) fn lease(&self, wanted: u64, now: u64) -> io::Result<u64> {
        let until = self.0.full_until.load(Ordering::Relaxed);
        if now < until && until - now <= FULL_MICROS {
            return Ok(0);
        }
        let (limit, unit) = (self.0.config.max_bytes, self.0.unit);
        let granted = self.update_quota(quota::PATIENCE, |quota| {
            let room = limit.saturating_sub(quota.used) / unit * unit;
            let granted = wanted.next_multiple_of(unit).min(room);
            quota.used += granted;
            granted
        })?;
        // A stopped process holds the lock: go on without, the next recount sees the file.
        let granted = granted.unwrap_or(wanted.next_multiple_of(unit));
        if granted == 0 {
            self.0
                .full_until
                .store(now + FULL_MICROS, Ordering::Relaxed);
        }
        Ok(granted)
    }

    pub(crate) fn give_back(&self, bytes: u64) -> io::Result<()> {
        if bytes > 0 {
            self.update_quota(quota::PATIENCE, |quota| {
                quota.used = quota.used.saturating_sub(bytes)
            })?;
            self.0.full_until.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn segment_limit(&self) -> u64 {
        let config = &self.0.config;
        config
            .segment_bytes
            .min(config.max_bytes / SEGMENTS)
            .clamp(LEAST_SEGMENT, MOST_SEGMENT)
    }
}

/// A segment's id and delivery stream: its file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    pub id: SegmentId,
    pub stream: Box<str>,
}

impl SegmentName {
    pub(crate) fn file(&self, suffix: &str) -> String {
        format!("{}-{}{suffix}", self.id, self.stream)
    }

    fn parse(stem: &str) -> Option<Self> {
        const ID: usize = 16 + 1 + 8 + 1 + 8;
        let (id, stream) = (stem.get(..ID)?, stem.get(ID..)?.strip_prefix('-')?);
        Some(Self {
            id: id.parse().ok()?,
            stream: stream.into(),
        })
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, OpenError> {
    let io = |what| {
        move |e: rustix::io::Errno| OpenError::Io {
            dir: path.into(),
            what,
            source: e.into(),
        }
    };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || fs::open(path, flags, Mode::empty());
    let opened = match open() {
        Err(rustix::io::Errno::NOENT) => {
            match fs::mkdir(path, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(io("create it")(e)),
            }
            if let Some(Ok(parent)) = path
                .parent()
                .map(|p| fs::open(p, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
            {
                // Best effort: the parent may not be ours to sync.
                let _ = fs::fsync(parent);
            }
            open()
        }
        opened => opened,
    };
    match opened {
        Ok(dir) => Ok(dir),
        Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            Err(OpenError::NotADirectory { dir: path.into() })
        }
        Err(rustix::io::Errno::ACCESS) => Err(refused(path)),
        Err(e) => Err(io("open it")(e)),
    }
}

/// A directory of another user with mode 0700 cannot even be opened: say whose it is.
fn refused(path: &Path) -> OpenError {
    match fs::lstat(path) {
        Ok(stat) if stat.st_uid != rustix::process::geteuid().as_raw() => OpenError::Owner {
            dir: path.into(),
            owner: stat.st_uid,
            user: rustix::process::geteuid().as_raw(),
        },
        _ => OpenError::Io {
            dir: path.into(),
            what: "open it",
            source: io::ErrorKind::PermissionDenied.into(),
        },
    }
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    for entry in fs::Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether this process, or the parent it was forked from, made what carries `token`.
pub(crate) fn is_ours(token: u64) -> bool {
    process::process_token() == token
}
