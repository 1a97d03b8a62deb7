//! The durable spool between PHP's put and the sender.

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
