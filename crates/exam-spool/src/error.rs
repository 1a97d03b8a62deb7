//! One error type per operation; each names what failed, on what, and the fix.

use std::io;
use std::path::PathBuf;

/// Why a spool directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "spool {dir} belongs to user {owner}, this process is user {user}: one spool serves one user; \
         give this one a directory of its own (exam_stream.spool_dir) or run it as user {owner}"
    )]
    Owner { dir: PathBuf, owner: u32, user: u32 },
    #[error(
        "spool {dir} has mode {mode:04o}, others may enter it: it holds exam answers; run: chmod 0700 {dir}"
    )]
    Mode { dir: PathBuf, mode: u32 },
    #[error(
        "{dir} has mode {mode:04o} and is no spool, but holds other files: name a directory of its own, \
         such as {}", .dir.join("exam-stream-spool").display()
    )]
    NoSpool { dir: PathBuf, mode: u32 },
    #[error("spool {dir} is a symbolic link or no directory: name the directory itself")]
    NotADirectory { dir: PathBuf },
    #[error("spool limit of {max_bytes} bytes is too small for one record: set at least {least}")]
    Limit { max_bytes: u64, least: u64 },
    #[error("spool {dir}: cannot {what}: {source}")]
    Io {
        dir: PathBuf,
        what: &'static str,
        source: io::Error,
    },
}

/// Why a record was not written; nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(
        "delivery stream name {0:?} is not valid: Firehose takes 1 to 64 letters, digits, '_', '-' and '.'"
    )]
    Stream(String),
    #[error("record of {0} bytes is over the spool's {max} bytes", max = crate::MAX_RECORD)]
    TooLarge(usize),
    #[error("record is empty")]
    Empty,
    #[error("this writer belongs to the process that made it; a forked child makes its own")]
    Forked,
    #[error("spool {dir}: cannot {what}: {source}")]
    Io {
        dir: PathBuf,
        what: &'static str,
        source: io::Error,
    },
}

/// Why a segment could not be made safe against a power cut.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(
        "segment {name}: {what} failed: {source}; it is tried again on another file, check the disk"
    )]
    Io {
        name: String,
        what: &'static str,
        source: io::Error,
    },
}

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error(
        "segment {name} has format version {found}, this program knows version {known}: \
         it is kept; drain it with the program version that wrote it"
    )]
    Version { name: String, found: u8, known: u8 },
    #[error("segment {name}: {source}")]
    Io { name: String, source: io::Error },
}
