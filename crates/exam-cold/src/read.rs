//! Reading files of lines, plain or gzip'd, whichever they are at that moment.
//!
//! Everything here takes the path *without* `.gz` and offsets of the *uncompressed* bytes, so that
//! nobody has to know whether a part has been closed, not even between two calls.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::Error;
use crate::gzip::{self, MEMBER, Member};
use crate::layout::{Part, gz};

const READ: usize = 1 << 20;

/// A part that is gone since it was listed (it had no lines, or retention removed it) reads as one
/// of no lines.
impl Part {
    /// Its lines from an offset (0, or where a line begins) on. A line that is still being written
    /// is left out.
    pub fn open(&self, offset: u64) -> Result<impl BufRead + Send + use<>, Error> {
        self.opened(offset, true)
    }

    /// All its bytes from an offset on, whether or not the last line has its newline.
    pub fn open_bytes(&self, offset: u64) -> Result<impl BufRead + Send + use<>, Error> {
        self.opened(offset, false)
    }

    fn opened(&self, offset: u64, whole: bool) -> Result<Named, Error> {
        let gone = || Named::new(&self.path, Box::new(io::empty()));
        Ok(there(from(&self.path, offset, whole))?.unwrap_or_else(gone))
    }

    /// See [`read`].
    pub fn read(&self, from: u64, lines: &mut Vec<u8>) -> Result<(), Error> {
        there(read(&self.path, from, u64::MAX, lines)).map(Option::unwrap_or_default)
    }

    /// Where each piece of it begins that may be [`read`](Self::read) by itself.
    pub fn pieces(&self) -> Result<Vec<u64>, Error> {
        Ok(match there(Opened::new(&self.path))? {
            Some(Opened::Members(_, members)) => members.iter().map(|m| m.from).collect(),
            Some(_) => vec![0],
            None => Vec::new(),
        })
    }

    /// The length of its whole lines, uncompressed.
    pub fn length(&self) -> Result<u64, Error> {
        there(length(&self.path)).map(Option::unwrap_or_default)
    }
}

/// `None` if the file is gone.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Err(error) if error.is_gone() => Ok(None),
        found => found.map(Some),
    }
}

/// A file of lines, found.
enum Opened {
    Plain(File),
    Members(File, Vec<Member>),
    /// Gzip of another program.
    Stream(File),
}

impl Opened {
    fn new(path: &Path) -> Result<Self, Error> {
        // A plain file goes only when its gzip'd one is there.
        match File::open(path) {
            Ok(file) => return Ok(Opened::Plain(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(path)(e)),
        }
        let path = gz(path);
        let file = File::open(&path).map_err(Error::io(&path))?;
        Ok(match gzip::members(&file).map_err(Error::io(&path))? {
            Some(members) => Opened::Members(file, members),
            None => Opened::Stream(file),
        })
    }
}

/// The bytes of a file from an offset on; only those of `whole` lines, or all.
fn from(path: &Path, offset: u64, whole: bool) -> Result<Named, Error> {
    let name = Error::io(path);
    let inner: Box<dyn BufRead + Send> = match Opened::new(path)? {
        Opened::Plain(mut file) => {
            let rest = || {
                let end = match whole {
                    true => whole_lines(&file, file.metadata()?.len())?,
                    false => u64::MAX,
                };
                file.seek(SeekFrom::Start(offset))?;
                Ok(file.take(end.saturating_sub(offset)))
            };
            Box::new(BufReader::with_capacity(READ, rest().map_err(name)?))
        }
        Opened::Members(mut file, members) => {
            let Some(member) = containing(&members, offset) else {
                return Ok(Named::new(path, Box::new(io::empty())));
            };
            file.seek(SeekFrom::Start(member.at)).map_err(name)?;
            return Named::new(path, Box::new(gunzip(file))).skip(offset - member.from);
        }
        Opened::Stream(file) => return Named::new(path, Box::new(gunzip(file))).skip(offset),
    };
    Ok(Named::new(path, inner))
}

/// Puts whole lines that begin at `from` into `lines`, some 4 MiB of them and none that ends behind
/// `limit`; nothing at the end of what there is. A line that is longer comes whole. After an error
/// they mean nothing.
pub fn read(path: &Path, from: u64, limit: u64, lines: &mut Vec<u8>) -> Result<(), Error> {
    lines.clear();
    match Opened::new(path)? {
        Opened::Plain(file) => {
            let len = file.metadata().map_err(Error::io(path))?.len();
            read_plain(&file, from, limit.min(len), lines).map_err(Error::io(path))
        }
        Opened::Members(file, members) => {
            let Some(member) = containing(&members, from) else {
                return Ok(());
            };
            gzip::decode(&file, member, lines).map_err(|e| damaged(path, member.from, &e))?;
            lines.drain(..(from - member.from) as usize);
            Ok(())
        }
        Opened::Stream(file) => {
            let mut rest = Named::new(path, Box::new(gunzip(file))).skip(from)?;
            let mut piece = (&mut rest).take(MEMBER as u64);
            piece
                .read_to_end(lines)
                .map_err(|e| damaged(path, from, &e))?;
            if lines.last().is_some_and(|last| *last != b'\n') {
                rest.read_until(b'\n', lines)
                    .map_err(|e| damaged(path, from, &e))?;
            }
            Ok(())
        }
    }
}

/// Puts the bytes of the member that begins at an offset into `out`, as they lie in the file. False
/// if there is none.
pub(crate) fn member_at(path: &Path, from: u64, out: &mut Vec<u8>) -> Result<bool, Error> {
    let Opened::Members(file, members) = Opened::new(path)? else {
        return Ok(false);
    };
    match containing(&members, from) {
        Some(member) if member.from == from => {
            gzip::compressed(&file, member, out).map_err(Error::io(path))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn read_plain(mut file: &File, from: u64, end: u64, lines: &mut Vec<u8>) -> io::Result<()> {
    let rest = end.saturating_sub(from);
    let mut size = MEMBER as u64;
    loop {
        let wanted = rest.min(size);
        lines.clear();
        lines.reserve(wanted as usize);
        file.seek(SeekFrom::Start(from))?;
        if (file.take(wanted).read_to_end(lines)? as u64) < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(last) = memchr::memrchr(b'\n', lines) {
            lines.truncate(last + 1);
            return Ok(());
        }
        if size >= rest {
            // Still being written.
            lines.clear();
            return Ok(());
        }
        size *= 2;
    }
}

/// The length of a file's whole lines, uncompressed.
fn length(path: &Path) -> Result<u64, Error> {
    match Opened::new(path)? {
        Opened::Plain(file) => {
            let whole = || whole_lines(&file, file.metadata()?.len());
            whole().map_err(Error::io(path))
        }
        Opened::Members(_, members) => Ok(members.last().map_or(0, |m| m.from + m.len)),
        Opened::Stream(file) => {
            io::copy(&mut gunzip(file), &mut io::sink()).map_err(|e| damaged(path, 0, &e))
        }
    }
}

fn containing(members: &[Member], offset: u64) -> Option<Member> {
    let index = members.partition_point(|member| member.from + member.len <= offset);
    members.get(index).copied()
}

fn gunzip(file: File) -> BufReader<MultiGzDecoder<BufReader<File>>> {
    let file = BufReader::with_capacity(READ / 8, file);
    BufReader::with_capacity(READ, MultiGzDecoder::new(file))
}

fn damaged(path: &Path, offset: u64, why: &io::Error) -> Error {
    let why = why.to_string();
    Error::Damaged {
        path: gz(path),
        offset,
        why,
    }
}

/// A reader whose errors name the file.
struct Named {
    path: PathBuf,
    at: u64,
    inner: Box<dyn BufRead + Send>,
}

impl Named {
    fn new(path: &Path, inner: Box<dyn BufRead + Send>) -> Self {
        Named {
            path: path.to_owned(),
            at: 0,
            inner,
        }
    }

    fn skip(mut self, bytes: u64) -> Result<Self, Error> {
        io::copy(&mut (&mut self.inner).take(bytes), &mut io::sink())
            .map_err(|e| damaged(&self.path, 0, &e))?;
        Ok(self)
    }
}

impl Read for Named {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Named {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let (path, at) = (&self.path, self.at);
        self.inner.fill_buf().map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => damaged(path, at, &e).into(),
            _ => Error::io(path)(e).into(),
        })
    }

    fn consume(&mut self, n: usize) {
        self.at += n as u64;
        self.inner.consume(n);
    }
}

/// The length of `file`, `len` bytes long, up to and with its last newline.
pub(crate) fn whole_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = len;
    while end > 0 {
        // The last byte alone answers for nearly every file.
        let size = if end == len {
            1
        } else {
            end.min(block.len() as u64)
        };
        let block = &mut block[..size as usize];
        file.read_exact_at(block, end - size)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(end - size + at as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}
