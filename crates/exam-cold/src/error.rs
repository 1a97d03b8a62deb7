//! What can go wrong with a file of cold storage, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error names the file, what failed and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}{}", path.display(), fix(source))]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} is damaged behind byte {offset} of its lines ({why}): put its copy from a backup in its \
         place, or move it out of cold storage and keep it; until then its lines are missing",
        path.display()
    )]
    Damaged {
        path: PathBuf,
        /// Uncompressed.
        offset: u64,
        why: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// The file is not there (any more): retention removed it, or closing, which keeps no part of no
    /// lines.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room on its disk",
        io::ErrorKind::PermissionDenied => {
            ": run this as the user of `exam-stream serve`, or as root"
        }
        io::ErrorKind::ReadOnlyFilesystem => ": mount its file system for writing",
        _ => "",
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::Damaged { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
