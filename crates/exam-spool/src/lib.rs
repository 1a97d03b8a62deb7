//! The durable spool between PHP's put and the sender.
//!
//! A directory of append-only segment files. PHP processes write records to
//! segments of their own; one elected sender reads all segments, sends the
//! records to Firehose and to the state store, and deletes what both have. The
//! spool keeps bytes: it does not know what a record means.
//!
//! # What holds at any moment
//!
//! - A segment has one writer: one process, one delivery stream. The writer
//!   holds `flock` on it from before it has its name until it closes it.
//! - An append is one `pwrite` of whole frames at an offset the writer knows.
//!   It is accepted when the call has returned all of them; from then on no
//!   death of any process loses it. After a power cut, what was appended since
//!   the sender's last sync may be missing.
//! - Of a refused record nothing remains: a short write is truncated back to
//!   the last whole frame, and where that fails too the segment is abandoned.
//! - Nothing is mapped into memory, and no write goes past `RLIMIT_FSIZE`: a
//!   full or failing disk is an error code, never a signal.
//! - Frames behind a frame prove it final, for the writer appends in order.
//! - A sealed segment never grows. Nor does one whose writer is dead.
//! - A segment is deleted only when it cannot grow and both cursors are at its
//!   end. One in which bytes were damaged is renamed `*.damaged` instead.
//! - A cursor only moves forward. What is behind both may be punched out of
//!   the file once the cursors are on the disk.
//! - A file that failed an `fdatasync` is never synced again: its records move
//!   to a new file.
//! - All files are created by, or handed to, the directory's owner; mode 0600
//!   in a directory of mode 0700; every descriptor is close-on-exec.
//! - No threads, no environment, no lock that a fork could leave locked on the
//!   way of a put.
//!
//! # On disk
//!
//! Little-endian. `crc(x; bytes)` is CRC-32C continued from the value `x`
//! (0 at a start). A segment's `salt` is `crc(0; created, pid, nonce)`, so that
//! a frame of another segment, inside a record or in a reused disk block, never
//! passes for one of this.
//!
//! ```text
//! <created, 16 hex>-<pid, 8 hex>-<nonce, 8 hex>-<stream>.seg     a segment
//!                                                .quarantine     the same, of records put aside
//!                                                .damaged        kept for people, read by nobody
//! <created>-<pid>-<nonce>.new                                    not yet one of these
//!
//! segment:
//!     0   magic      "ExamSpl"
//!     7   version    u8 = 1
//!     8   created    u64     µs since 1970      \
//!    16   pid        u32                         } as in the name
//!    20   nonce      u32     random             /
//!    24   namespace  u64     inode of /proc/self/ns/pid, or 0
//!    32   stream     u8 length, then up to 64 bytes
//!   104   crc        u32     crc(0; bytes 0..104)
//!   112   notes      condemned u8, 0 u8×3, moved u32, skipped u32, 0 u32,
//!                    damaged u64, damaged_until u64, u32 crc(salt; those 32 bytes)
//!   256   cursors    delivery even, delivery odd, state even, state odd; 32 bytes each:
//!                    offset u64, count u32, seq u32, u32 crc(salt; those 16 bytes)
//!   512   frame*, seal?
//!
//! frame:
//!     len        u32     of the record, 1 to 1 MiB
//!     crc        u32     crc(salt ^ len; ordinal, time, record)
//!     ordinal    u32     1 for the first of a segment, then one more each
//!     time       u64     of the put, µs since 1970
//!     record     len bytes; in a quarantine file: u16 length of the reason, reason, record
//!     len        u32     again: the last ordinal, hence the count, is found from the end
//!
//! seal:          a frame of len 0 whose ordinal is the last frame's
//!
//! quota, totals:  two slots of 128 bytes written in turn (generation % 2):
//!                 generation u64, payload, u32 crc(0; both). The newer whole one counts.
//!     quota       used u64, refused u64
//!     totals      accepted, delivered, folded, skipped, quarantined, torn bytes, damaged bytes,
//!                 damaged files: u64 each, of deleted segments; then the segment being deleted:
//!                 created, pid, nonce, u8 (0 none, 1 delete, 2 rename to .damaged)
//! state-skipped:  lines "time segment from-offset from-count to-offset to-count"
//! sender.lock:    empty; the sender holds fcntl(2)'s write lock on it
//! ```
//!
//! Why `pwrite` and not `O_APPEND`: with one writer the offset is known, so the
//! remains of a failed write are written over, never behind. Why a file is
//! created as `.new`, locked, given its header and then renamed: nobody can
//! find a segment that is not locked yet and take its writer for dead.
//!
//! # Reading and recovery
//!
//! There is no recovery step; every read decides anew.
//!
//! | at the cursor | writer lives | writer is dead |
//! |---|---|---|
//! | whole frames | records | records |
//! | the file ends, or a frame that the file ends in | [`ReadState::Wait`] | [`ReadState::Torn`] |
//! | no frame, but a whole one further on | damage is passed over, counted | the same |
//! | no frame, and none further on | [`ReadState::Wait`] | `Torn`, counted as damage |
//! | a seal | [`ReadState::Sealed`] | `Sealed` |
//!
//! After damage reading goes on at the next whole frame, since each frame
//! proves itself and an answer is worth more than the gap before it. *Dead* is
//! looked up before the bytes are read a second time, so nothing written
//! between is missed. The writer is dead if the lock is free, or if a forked
//! child holds the lock but the pid in the name is gone (told only within the
//! same pid namespace).
//!
//! A cursor slot that a power cut tore fails its checksum and the slot before
//! it counts: records are delivered twice, never skipped. A header that is
//! damaged costs no record, as the name has the stream and the salt; its file
//! is kept in the end.
//!
//! Deleting adds the segment's counts and its id to `totals`, then unlinks:
//! whoever finds that id there does not count the segment again and finishes
//! the deletion. `.new` files without a lock are removed. Both happen when a
//! sender is elected.
//!
//! # The limit
//!
//! `quota.used` is a pure function of the directory, so counting heals it
//! ([`Spool::recount`]): a sealed segment takes its length; an unsealed one its
//! length and a seal's, rounded up to units (a 256th of the limit, 1 to 64 KiB);
//! less, in whole units, what both cursors have passed. Writers lease units
//! under `flock` some hundreds of puts apart. When nothing is left they are
//! refused without asking again for 5 ms. Quarantine and moved records are let
//! over the limit, because they are how a full spool gets empty. Two limits of
//! precision: a recount that falls between a lease and its write forgets that
//! lease until the next recount, and a process stopped while it holds the lock
//! does not stop the others, who go on uncounted meanwhile.

mod cell;
mod election;
mod error;
mod frame;
mod header;
mod process;
mod quarantine;
mod quota;
mod segment;
mod spool;
mod sys;
#[cfg(test)]
mod tests;
mod totals;
mod writer;

pub use election::Election;
pub use error::{OpenError, SegmentError, SyncError, WriteError};
pub use frame::{MAX_RECORD, Position, Record};
pub use header::{Cursor, SegmentId};
pub use process::process_token;
pub use quarantine::{Quarantined, Skipped};
pub use segment::{ReadOutcome, ReadState, Removal, Segment};
pub use spool::{Config, SegmentName, Spool, Targets, Usage};
pub use totals::Totals;
pub use writer::{Appended, Writer};
