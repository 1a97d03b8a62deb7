//! Closed parts: gzip whose members can be found without decompressing.
//!
//! ```text
//! part    member member …                        what any gunzip reads
//! member  1F 8B 08 04 · mtime 0 · xfl · os       gzip's header, with an extra field
//!         12 00 · 'E' 'S' · 08 00                its length; the subfield's name and length
//!         u32 bytes of this member               little-endian, header and trailer included
//!         u32 bytes of its lines, uncompressed
//!         deflate · crc32 · isize
//! ```
//!
//! A member holds whole lines, about [`MEMBER`] bytes of them. So a reader that comes back to an
//! offset decompresses one member, several threads share a part, and an erasure leaves the members
//! it does not concern as they are. Gzip made by other programs is read as one stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

/// Lines gathered into one member.
pub(crate) const MEMBER: usize = 4 << 20;
/// An exam's lines become a seventh; the default level takes three times as long to save a sixth of
/// that.
const LEVEL: Compression = Compression::new(2);
/// Header, extra field included.
const HEAD: usize = 24;

/// Where a member lies in the file, and its lines in the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Of the file.
    pub at: u64,
    pub bytes: u64,
    /// Uncompressed offset of its first line in the part.
    pub from: u64,
    pub len: u64,
}

/// Appends the member that holds `lines` to `out`, after it was read back.
pub(crate) fn encode(lines: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let mut extra = *b"ES\x08\0\0\0\0\0\0\0\0\0";
    extra[8..].copy_from_slice(&(lines.len() as u32).to_le_bytes());
    let mut member = GzBuilder::new().extra(extra).write(&mut *out, LEVEL);
    member.write_all(lines)?;
    member.finish()?;
    let bytes = (out.len() - start) as u32;
    out[start + 16..start + 20].copy_from_slice(&bytes.to_le_bytes());
    let mut back = Vec::with_capacity(lines.len());
    GzDecoder::new(&out[start..]).read_to_end(&mut back)?;
    if back != lines {
        return Err(io::Error::other("what was compressed does not read back"));
    }
    Ok(())
}

/// The members of a closed part; `None` if another program made the file.
pub fn members(file: &File) -> io::Result<Option<Vec<Member>>> {
    let end = file.metadata()?.len();
    let (mut at, mut from) = (0, 0);
    let mut found = Vec::new();
    let mut head = [0; HEAD];
    while at < end {
        if end - at < HEAD as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut head, at)?;
        if head[..4] != *b"\x1f\x8b\x08\x04" || head[10..16] != *b"\x0c\0ES\x08\0" {
            return Ok(None);
        }
        let number = |i: usize| {
            u64::from(u32::from_le_bytes([
                head[i],
                head[i + 1],
                head[i + 2],
                head[i + 3],
            ]))
        };
        let (bytes, len) = (number(16), number(20));
        if bytes <= HEAD as u64 || bytes > end - at {
            return Ok(None);
        }
        found.push(Member {
            at,
            bytes,
            from,
            len,
        });
        at += bytes;
        from += len;
    }
    Ok(Some(found))
}

/// The member's bytes as they lie in the file.
pub(crate) fn compressed(file: &File, member: Member, out: &mut Vec<u8>) -> io::Result<()> {
    out.resize(member.bytes as usize, 0);
    file.read_exact_at(out, member.at)
}

/// Puts the member's lines into `out`.
pub(crate) fn decode(file: &File, member: Member, out: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = Vec::new();
    compressed(file, member, &mut bytes)?;
    out.clear();
    // Its stated length, and one more byte to see that there are not more.
    let mut lines = GzDecoder::new(&bytes[..]).take(member.len + 1);
    lines.read_to_end(out)?;
    if out.len() as u64 != member.len {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a member is not as long as it says",
        ));
    }
    Ok(())
}
