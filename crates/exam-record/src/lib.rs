//! The record, the fold and the status word of Exam Stream. Pure: no I/O, no clock.
//!
//! A *record* is one line of JSON: the envelope v1 of `docs/schema.md`, or one of the paper's
//! bare records. The *fold* turns a record into writes to *registers*, and a register is a join
//! semilattice: of two writes to it, one wins, whichever comes first. So the fold is idempotent
//! and commutative by construction, and nothing here has to be careful about it: any multiset of
//! the same records, in any order, in any batches, gives the same [`Registers`]. What they mean
//! (answers to restore, status word, counters, lifecycle) is computed when they are read, by
//! [`AttemptView`] and, for the board of a whole quiz, by [`BoardRow`].
//!
//! | register | join | order | value |
//! |---|---|---|---|
//! | `a/<slot>/<qa>` | max | `at`, `page`, `seq`, `id` | of the `answer` as JSON `ts`, `fields` and what a site added, byte for byte; its summary: `status`, flagged, digest of the fields |
//! | `f/<slot>/<qa>` | min | the same, of answers with `status` 1 | digest of the fields |
//! | `s/<slot>/<qa>` | max | the same, of `saved` records | |
//! | `l` | max | `ts`, rank of the type, `id` | the type |
//! | `z` | max | the greatest slot seen | |
//! | `c/<page>/<counter>` | max | the count | |
//! | `h/<call>/<step>` | max | `at`, `page`, `seq`, `id` | the `help` record |
//! | `q/<name>`, `q/<name>/<slot>` | max | `at`, `revision`, `id` | the row of a `signal` |
//! | `d/<device>/<address>/<agent>` | max | `ts` | |
//! | `e/<device>/<address>/<agent>` | min | `ts` | |
//! | `seen` | max | `ts` of a record with quiz, usage and student | the ids: these, and preview |
//! | `here` | max | `ts` of one that lacks any of them | |
//! | `i` | max | how many ids, `ts`, of a record that is none of `seen` | the ids it has |
//! | `w` | max | time, hash | a bare record |
//! | `erased` | | none | none |
//!
//! `erased` is the top of an attempt's lattice: it absorbs all other registers, whether they come
//! before it or after it, so that of an attempt that was erased nothing is kept but that.
//!
//! A step of a call for help that is not the student's, and a signal, are no signs of life: they
//! leave `seen`, `here` and the devices alone.
//!
//! What it promises: answers come back byte for byte; no input makes it panic; a field of ours of
//! the wrong type is an error that names the field. What it refuses: to filter. A late answer is
//! folded like any other; who may answer is decided at the door.

mod board;
mod date;
mod erasure;
mod fold;
mod json;
mod key;
pub mod make;
mod order;
mod record;
mod registers;
mod view;

pub use board::{Board, BoardRow};
pub use date::{event_time, timed_line};
pub use erasure::{About, Erasure, Known, Whose};
pub use fold::{Folded, Op, fold};
pub use json::{
    MAX_DEPTH, MAX_RECORD, NotJson, members, string_bytes, validate_json_line,
    without_lone_surrogates,
};
pub use key::{AttemptKey, Who};
pub use order::Order;
pub use record::{
    Bare, Help, Ids, MAX_NAME, MAX_SLOT, Malformed, Origin, Parsed, Record, STEPS, Signal, micros,
    parse,
};
pub use registers::{Join, Registers};
pub use view::{AttemptView, Device, HelpStep, Lifecycle, SignalView, SlotView, UseOfDevices};
