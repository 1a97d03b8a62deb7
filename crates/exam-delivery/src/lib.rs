//! The sender: reads the spool, packs lines, sends them to Firehose and
//! writes them through to the state store.

pub mod client;
pub mod pack;
pub mod progress;
pub mod put;
pub mod retry;
