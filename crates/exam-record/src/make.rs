//! Builds records: for `replay`, `simulate` and tests. PHP builds its own.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

/// The attempt that records are made for.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    pub site: String,
    pub quiz: i64,
    pub attempt: i64,
    pub usage: i64,
    pub student_id: i64,
}

/// When and where a record was made. Times are microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub id: &'a str,
    /// Receive time at the server.
    pub ts: u64,
    /// Time of the edit; also taken as the browser's send time.
    pub at: u64,
    pub page: &'a str,
    pub seq: i64,
}

/// A slot's answer. `fields` are names and values as the form has them.
pub fn answer(
    attempt: &Attempt,
    stamp: &Stamp<'_>,
    slot: u32,
    qa: i64,
    status: u8,
    fields: &[(&str, &str)],
) -> String {
    let mut line = envelope(attempt, stamp, "answer");
    let _ = write!(
        line,
        r#","slot":{slot},"qa":{qa},"status":{status},"fields":{{"#
    );
    for (i, (name, value)) in fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            line,
            "{comma}{}:{}",
            Value::from(*name),
            Value::from(*value)
        );
    }
    line.push_str("}}");
    line
}

/// A form post that reached Moodle, with the slots and their `qa` it held.
pub fn saved(attempt: &Attempt, stamp: &Stamp<'_>, slots: &[(u32, i64)]) -> String {
    with_slots(envelope(attempt, stamp, "saved"), slots)
}

/// The attempt's start, with all its slots.
pub fn started(attempt: &Attempt, stamp: &Stamp<'_>, slots: &[(u32, i64)]) -> String {
    with_slots(envelope(attempt, stamp, "started"), slots)
}

/// A record that says no more than its type: `finished`, `reopened`, `online`, `help` …
pub fn plain(attempt: &Attempt, stamp: &Stamp<'_>, kind: &str) -> String {
    let mut line = envelope(attempt, stamp, kind);
    line.push('}');
    line
}

/// A sign of life, with the page's running totals.
pub fn alive(attempt: &Attempt, stamp: &Stamp<'_>, counts: &[(&str, u64)]) -> String {
    let mut line = envelope(attempt, stamp, "alive");
    line.push_str(r#","counts":{"#);
    for (i, (name, count)) in counts.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(line, "{comma}{}:{count}", Value::from(*name));
    }
    line.push_str("}}");
    line
}

fn with_slots(mut line: String, slots: &[(u32, i64)]) -> String {
    line.push_str(r#","slots":{"#);
    for (i, (slot, qa)) in slots.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(line, r#"{comma}"{slot}":{qa}"#);
    }
    line.push_str("}}");
    line
}

/// The envelope, its last brace left open. Writing to a String cannot fail.
fn envelope(attempt: &Attempt, stamp: &Stamp<'_>, kind: &str) -> String {
    let mut line = String::with_capacity(384);
    let text = |s: &str| Value::from(s).to_string();
    let time = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let _ = write!(
        line,
        r#"{{"v":1,"id":{},"type":{},"ts":{},"sent":{},"at":{},"site":{},"quiz":{},"attempt":{},"usage":{},"student_id":{},"page":{},"seq":{}"#,
        text(stamp.id),
        text(kind),
        time(stamp.ts),
        time(stamp.at),
        time(stamp.at),
        text(&attempt.site),
        attempt.quiz,
        attempt.attempt,
        attempt.usage,
        attempt.student_id,
        text(stamp.page),
        stamp.seq,
    );
    line
}
