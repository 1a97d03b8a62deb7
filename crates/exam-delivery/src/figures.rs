//! What a spool holds, has done and has failed to do, in figures: those of
//! `exam_stream_stats()`, phpinfo() and `exam-stream status`.

use std::io;

use exam_spool::{Spool, Totals, Usage};
use serde_json::{Map, Value, json};

use crate::histogram::Histogram;
use crate::status::{Problem, Status, now};

/// Where the figures come from. A caller who knows better than the sender's
/// last word (what was refused without a spool, what is the oldest while no
/// sender lives) puts that in.
#[derive(Default)]
pub struct Figures {
    pub totals: Totals,
    pub usage: Usage,
    pub status: Status,
    pub sender_pid: Option<u32>,
}

impl Figures {
    /// Read from the spool's files: no sender need live, and nothing is changed.
    pub fn read(spool: &Spool) -> io::Result<Self> {
        Ok(Self {
            totals: spool.totals()?,
            usage: spool.usage(),
            status: Status::read(spool)?.unwrap_or_default(),
            sender_pid: spool.sender_pid()?,
        })
    }

    /// By name. Ages and times are seconds, delays milliseconds; null where
    /// there is nothing to tell.
    pub fn to_json(&self) -> Value {
        let (totals, status) = (&self.totals, &self.status);
        let streams: Map<String, Value> = status
            .streams
            .iter()
            .map(|(name, stream)| {
                let figures = json!({
                    "delivered": stream.delivered,
                    "retried": stream.retried,
                    "quarantined": stream.quarantined,
                    "hold": what(&stream.hold),
                    "hold_since": when(&stream.hold),
                    "last_error": what(&stream.last_error),
                    "last_error_time": when(&stream.last_error),
                });
                (name.clone(), figures)
            })
            .collect();
        json!({
            "accepted": totals.accepted,
            "delivered": totals.delivered,
            "folded": totals.folded,
            "retried": status.retried,
            "refused": totals.refused,
            "quarantined": totals.quarantined,
            "fold_skipped": totals.skipped,
            "fold_malformed": status.state.malformed,
            "damaged_bytes": totals.damaged_bytes + totals.torn_bytes,
            "bytes": self.usage.bytes,
            "limit": self.usage.limit,
            "oldest_undelivered": age(status.oldest_undelivered),
            "oldest_unfolded": age(status.oldest_unfolded),
            "delivered_p50_ms": quantile(&status.put_to_delivered, 0.5),
            "delivered_p99_ms": quantile(&status.put_to_delivered, 0.99),
            "folded_p50_ms": quantile(&status.put_to_folded, 0.5),
            "folded_p99_ms": quantile(&status.put_to_folded, 0.99),
            "sender_pid": self.sender_pid,
            "last_error": what(&status.last_error),
            "last_error_time": when(&status.last_error),
            "fold_hold": what(&status.state.hold),
            "fold_hold_since": when(&status.state.hold),
            "streams": streams,
        })
    }
}

fn what(problem: &Option<Problem>) -> Option<&str> {
    problem.as_ref().map(|p| p.what.as_str())
}

fn when(problem: &Option<Problem>) -> Option<f64> {
    problem.as_ref().map(|p| p.at as f64 / 1e6)
}

fn age(since: Option<u64>) -> Option<f64> {
    since.map(|at| now().saturating_sub(at) as f64 / 1e6)
}

fn quantile(delays: &Histogram, q: f64) -> Option<f64> {
    delays.quantile(q).map(|micros| micros as f64 / 1e3)
}
