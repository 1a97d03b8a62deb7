//! What the spool of this process holds, has done and has failed to do:
//! `exam_stream_stats()` and the section of phpinfo().

use std::time::{SystemTime, UNIX_EPOCH};

use exam_delivery::{Histogram, Problem, Status};
use exam_spool::{Spool, Totals, Usage};
use ext_php_rs::zend::ModuleEntry;
use ext_php_rs::{info_table_end, info_table_header, info_table_row, info_table_start};
use serde_json::{Map, Value, json};

use crate::process;

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn display_ini_entries(module: *mut ModuleEntry);
}

/// The figures as JSON. Ages and times are seconds, delays milliseconds; null
/// where there is nothing to tell.
pub fn stats() -> Value {
    let (trouble, refused_without_spool) = process::trouble();
    let mut trouble = trouble.map(|(what, at)| (what, seconds(at)));
    let spool = match process::spool() {
        Ok(spool) => spool,
        Err(why) => {
            trouble = Some((why, seconds(SystemTime::now())));
            None
        }
    };
    let told = match &spool {
        Some(spool) => Figures::read(spool),
        None => Ok(Figures::default()),
    };
    let figures = told.unwrap_or_else(|error| {
        trouble = Some((
            format!("the spool cannot be read: {error}"),
            seconds(SystemTime::now()),
        ));
        Figures::default()
    });
    let Figures {
        totals,
        usage,
        status,
        sender_pid,
    } = figures;
    let last_error = newest(status.last_error.as_ref().map(told_at), trouble);
    let streams: Map<String, Value> = status
        .streams
        .iter()
        .map(|(name, stream)| {
            let figures = json!({
                "delivered": stream.delivered,
                "retried": stream.retried,
                "quarantined": stream.quarantined,
                "hold": what(stream.hold.as_ref()),
                "hold_since": when(stream.hold.as_ref()),
                "last_error": what(stream.last_error.as_ref()),
                "last_error_time": when(stream.last_error.as_ref()),
            });
            (name.clone(), figures)
        })
        .collect();
    json!({
        "accepted": totals.accepted,
        "delivered": totals.delivered,
        "folded": totals.folded,
        "retried": status.retried,
        "refused": totals.refused + refused_without_spool,
        "quarantined": totals.quarantined,
        "fold_skipped": totals.skipped,
        "fold_malformed": status.state.malformed,
        "damaged_bytes": totals.damaged_bytes + totals.torn_bytes,
        "bytes": usage.bytes,
        "limit": usage.limit,
        "oldest_undelivered": age(status.oldest_undelivered),
        "oldest_unfolded": age(status.oldest_unfolded),
        "delivered_p50_ms": quantile(&status.put_to_delivered, 0.5),
        "delivered_p99_ms": quantile(&status.put_to_delivered, 0.99),
        "folded_p50_ms": quantile(&status.put_to_folded, 0.5),
        "folded_p99_ms": quantile(&status.put_to_folded, 0.99),
        "sender_pid": sender_pid,
        "last_error": last_error.as_ref().map(|(what, _)| what),
        "last_error_time": last_error.as_ref().map(|(_, at)| at),
        "fold_hold": what(status.state.hold.as_ref()),
        "fold_hold_since": when(status.state.hold.as_ref()),
        "streams": streams,
    })
}

/// The section of phpinfo(). Called by PHP.
pub extern "C" fn phpinfo(module: *mut ModuleEntry) {
    // ext-php-rs catches panics in functions, not here.
    let _ = std::panic::catch_unwind(|| {
        info_table_start!();
        info_table_header!("exam_stream", "enabled");
        info_table_row!("version", env!("CARGO_PKG_VERSION"));
        rows("", &stats());
        info_table_end!();
    });
    // SAFETY: PHP passes our module entry.
    unsafe { display_ini_entries(module) };
}

fn rows(prefix: &str, figures: &Value) {
    for (name, value) in figures.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", name.replace('_', " "));
        let shown = match value {
            Value::Object(_) => {
                rows(&format!("{name}: "), value);
                continue;
            }
            Value::Null => "none".to_owned(),
            Value::String(text) => text.replace('\0', "\\0"),
            other => other.to_string(),
        };
        info_table_row!(name, shown);
    }
}

#[derive(Default)]
struct Figures {
    totals: Totals,
    usage: Usage,
    status: Status,
    sender_pid: Option<u32>,
}

impl Figures {
    fn read(spool: &Spool) -> std::io::Result<Self> {
        Ok(Self {
            totals: spool.totals()?,
            usage: spool.usage(),
            status: Status::read(spool)?.unwrap_or_default(),
            sender_pid: spool.sender_pid()?,
        })
    }
}

fn told_at(problem: &Problem) -> (String, f64) {
    (problem.what.clone(), problem.at as f64 / 1e6)
}

fn newest(one: Option<(String, f64)>, other: Option<(String, f64)>) -> Option<(String, f64)> {
    one.into_iter()
        .chain(other)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn what(problem: Option<&Problem>) -> Option<&str> {
    problem.map(|p| p.what.as_str())
}

fn when(problem: Option<&Problem>) -> Option<f64> {
    problem.map(|p| p.at as f64 / 1e6)
}

fn age(since: Option<u64>) -> Option<f64> {
    since.map(|at| (seconds(SystemTime::now()) - at as f64 / 1e6).max(0.0))
}

fn quantile(delays: &Histogram, q: f64) -> Option<f64> {
    delays.quantile(q).map(|micros| micros as f64 / 1e3)
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
