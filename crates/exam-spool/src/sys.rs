//! The system calls the spool changes the disk with, each in one place, so
//! that a test can make any of them fail, fall short, or be the last one the
//! process makes. Outside tests the hooks do not exist.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, FallocateFlags, Mode, OFlags};
use std::io;

#[cfg(test)]
pub(crate) mod fault;

macro_rules! hook {
    ($call:ident) => {
        #[cfg(test)]
        fault::before(fault::Call::$call)?;
    };
}

/// Files are private to the spool's user.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

pub(crate) fn create(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    hook!(Create);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(dir, name, flags, FILE_MODE)?)
}

pub(crate) fn open(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(dir, name, flags, Mode::empty())?)
}

/// One pwrite(2); may fall short.
pub(crate) fn pwrite(fd: impl AsFd, bytes: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(test)]
    let (bytes, last) = fault::before_write(bytes)?;
    let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(&fd, bytes, offset));
    #[cfg(test)]
    if last {
        fault::die();
    }
    Ok(written?)
}

/// Writes all of a small record in place; short is an error.
pub(crate) fn pwrite_all(fd: impl AsFd, bytes: &[u8], offset: u64) -> io::Result<()> {
    if pwrite(fd, bytes, offset)? == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Appends at least `max` bytes from `offset` to `buf`, fewer only at the end of the file.
pub(crate) fn pread_to(
    fd: impl AsFd,
    buf: &mut Vec<u8>,
    max: usize,
    offset: u64,
) -> io::Result<()> {
    let start = buf.len();
    buf.reserve(max.max(1));
    while buf.len() - start < max {
        let at = offset + (buf.len() - start) as u64;
        let got = rustix::io::retry_on_intr(|| {
            rustix::io::pread(&fd, rustix::buffer::spare_capacity(buf), at)
        })?;
        if got == 0 {
            break;
        }
    }
    Ok(())
}

pub(crate) fn truncate(fd: impl AsFd, len: u64) -> io::Result<()> {
    hook!(Truncate);
    Ok(fs::ftruncate(fd, len)?)
}

pub(crate) fn sync_data(fd: impl AsFd) -> io::Result<()> {
    hook!(Sync);
    Ok(fs::fdatasync(fd)?)
}

pub(crate) fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    hook!(SyncDir);
    Ok(fs::fsync(dir)?)
}

pub(crate) fn rename(dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
    hook!(Rename);
    Ok(fs::renameat(&dir, from, &dir, to)?)
}

/// Gives a file its final name unless another already has it.
pub(crate) fn link(dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
    hook!(Rename);
    Ok(fs::linkat(&dir, from, &dir, to, AtFlags::empty())?)
}

pub(crate) fn unlink(dir: impl AsFd, name: &str) -> io::Result<()> {
    hook!(Unlink);
    Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Gives the blocks of a consumed range back to the file system; the file keeps its length.
pub(crate) fn punch(fd: impl AsFd, from: u64, len: u64) -> io::Result<()> {
    hook!(Punch);
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fs::fallocate(fd, flags, from, len)?)
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_micros() as u64)
}
