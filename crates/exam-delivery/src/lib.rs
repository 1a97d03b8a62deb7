//! The sender: reads the spool, packs lines, sends them to Firehose and writes
//! them through to the state store.
//!
//! One process per spool is elected to do it, on a thread of its own
//! ([`spawn`]). What it promises:
//!
//! - An accepted line is delivered at least once. Nothing is dropped: what
//!   cannot be sent is held, per delivery stream, and the status says why.
//! - Only what a stream refuses while it accepts other lines is quarantined,
//!   byte for byte.
//! - Delivery and the write-through have a cursor each and never wait for each
//!   other.
//! - Memory is bounded by [`SenderConfig::max_in_flight`], whatever the backlog:
//!   what is not under way stays in the spool.
//! - After [`spawn`], no environment variable is read.
//!
//! What it refuses: to order lines (Firehose does not), and to decide what a
//! line means (the fold does).

mod client;
mod figures;
mod flush;
mod histogram;
mod pack;
mod progress;
mod put;
mod retry;
mod sender;
mod status;

pub use client::{AwsEnv, ClientError, Firehose, check_endpoint, firehose};
pub use figures::Figures;
pub use flush::flush;
pub use histogram::Histogram;
pub use put::{PutBatch, PutError, RecordError};
pub use sender::{Client, SenderConfig, SenderHandle, Store, spawn};
pub use status::{Problem, StateStatus, Status, StreamStatus};
