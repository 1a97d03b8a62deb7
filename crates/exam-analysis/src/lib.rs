//! SQL over the stream of exam records: continuously, once, and over cold storage.
//!
//! | module | holds |
//! |---|---|
//! | [`dialect`] | what Flink's SQL and ours share, and what a query means on a stream |
//! | [`engine`] | what is needed of an SQL engine; [`datafusion_engine`] is the one there is |
//! | [`source`] | where events come from: cold storage, followed |
//! | [`cold_table`] | all of cold storage as a table |
//! | [`run`] | `exam-analyse run`: watermarks, windows, restatement, results |
//! | [`query`] | `exam-analyse query`: one SELECT over cold storage |
//! | [`compact`] | `exam-analyse compact`: lines to Parquet |
//! | [`erase`] | `exam-analyse erase`: what was made of lines that are erased |
//! | [`report`] | `exam-analyse report`: an exam as a page |
//! | [`similarity`] | `exam-analyse similarity`: answers that are alike |
//!
//! The table `events` is [`exam_events`]: every event passes it, so it is compiled apart.
//!
//! `docs/sql.md` is the page for those who write queries.

use std::time::Duration;

use exam_events::{buffer, table as events};

pub mod cold_table;
pub mod compact;
pub mod datafusion_engine;
pub mod dialect;
pub mod engine;
pub mod erase;
mod functions;
mod json;
mod key;
pub mod query;
mod reference;
pub mod report;
pub mod run;
pub mod similarity;
pub mod source;

/// A length of time as people write it: `90s`, `5m`, `1h`, `200ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text} is no time like 60s, 5m, 1h or 200ms")),
    };
    let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text} is no time like 60s, 5m, 1h or 200ms"))
}

/// A size: digits, then nothing or K, M, G.
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let size = digits
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift));
    size.ok_or_else(|| format!("{text} is no size like 1G, 64K or 4096"))
}
