//! Cold storage: every acknowledged line, as files by event date and hour.
//!
//! ```text
//! DIR/cold/<stream>/dt=YYYY-MM-DD/hour=HH/<part>.jsonl       live: one JSON value a line
//! DIR/cold/<stream>/dt=YYYY-MM-DD/hour=HH/<part>.jsonl.gz    closed: the same lines, gzip'd
//! DIR/unparsed/…                                             {"bytes":"<base64>"} a line: what was no JSON line
//! ```
//!
//! - `dt` and `hour` are the UTC hour of the record's own time; a line without one lies under the
//!   hour of its arrival, as everything `unparsed` does. Version 0.1.0 had no `hour=`: parts
//!   directly below `dt=` are read as well.
//! - `<part>` is 16 digits: the microsecond, since 1970, in which the part was begun. Names never
//!   repeat in a directory, closed or not. Order between parts means nothing.
//! - A part is appended to by the one [`Writer`], until it is ended; then it is closed
//!   ([`Rewriting`]). It is *named* by its path without `.gz`, and offsets count *uncompressed*
//!   bytes: a position (name, offset) outlives closing and erasure.
//! - Where a part is there twice, plain and gzip'd, the plain file counts. A plain part ends with a
//!   newline but for what is being written; what a crash left behind the last one was never
//!   acknowledged, and is cut off by [`recover`].
//! - An erased line is `{"erased":true}`, with spaces up to the length it had.
//!
//! What it promises: what [`Writer::sync`] made durable is found, byte for byte, by every reader at
//! any time and after any crash, until retention removes its part. What it refuses: to look into
//! lines, to deduplicate them, to follow a writer on another machine.

pub mod calendar;
mod close;
mod error;
mod gzip;
mod layout;
mod lock;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use calendar::{Date, Hour};
pub use close::{Replaced, erase_lines, replace_file};
pub use error::Error;
pub use gzip::{Member, members};
pub use layout::{Part, Place, Select, Tree, create_dir_durably, parts, sync_dir};
pub use lock::{Rewriting, asked_to_release, hold_still, own, released};
pub use read::read;
pub use write::{AGE, Grown, IDLE, Live, OPEN_FILES, Writer, recover};
