//! The table `events`: records as rows of Arrow.
//!
//! | module | holds |
//! |---|---|
//! | `table` | its columns, and how lines become rows |
//! | `buffer` | rows that windows may still need, in memory |
//!
//! Apart from `exam-analysis`, whose only part this is that every event passes: here the compiler
//! optimises, there it is to be done soon.
#![cfg(feature = "arrow")]

pub mod buffer;
pub mod table;

/// Milliseconds since 1970, UTC.
pub type Millis = i64;
