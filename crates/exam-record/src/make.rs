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

/// A record that says no more than its type: `finished`, `reopened`, `online` …
pub fn plain(attempt: &Attempt, stamp: &Stamp<'_>, kind: &str) -> String {
    let mut line = envelope(attempt, stamp, kind);
    line.push('}');
    line
}

/// The attempt is to be forgotten. Its id is the same whenever it is asked for.
pub fn erased(attempt: &Attempt, ts: u64) -> String {
    format!(
        r#"{{"v":1,"id":"{}-erased","type":"erased","ts":{},"site":{},"quiz":{},"attempt":{}}}"#,
        attempt.attempt,
        time(ts),
        Value::from(&attempt.site[..]),
        attempt.quiz,
        attempt.attempt,
    )
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

/// A step of a call for help: `by` takes it; `call` is the id of the record that asked.
pub fn help(
    attempt: &Attempt,
    stamp: &Stamp<'_>,
    call: &str,
    step: &str,
    by: i64,
    text: &str,
    slot: Option<u32>,
) -> String {
    let mut line = envelope(attempt, stamp, "help");
    let _ = write!(
        line,
        r#","call":{},"step":{},"by":{by},"text":{}"#,
        Value::from(call),
        Value::from(step),
        Value::from(text)
    );
    with_slot(line, slot)
}

/// What a signal is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub site: &'a str,
    pub quiz: i64,
    /// `None`: the whole quiz.
    pub attempt: Option<i64>,
    pub slot: Option<u32>,
}

/// A row (a JSON object) of the query `name` for the window that ended at `at`; `revision` counts
/// how often it has been stated anew. Its id follows from all of these.
pub fn signal(about: &About<'_>, name: &str, ts: u64, at: u64, revision: i64, row: &str) -> String {
    let About { site, quiz, .. } = about;
    let attempt = about.attempt.map(|n| n.to_string()).unwrap_or_default();
    let slot = about.slot.map(|n| n.to_string()).unwrap_or_default();
    let id = format!("{name}-{quiz}-{attempt}-{slot}-{at}-{revision}");
    let mut line = format!(
        r#"{{"v":1,"id":{},"type":"signal","ts":{},"at":{},"site":{},"quiz":{quiz},"name":{},"revision":{revision},"row":{row}"#,
        Value::from(id),
        time(ts),
        time(at),
        Value::from(*site),
        Value::from(name),
    );
    if let Some(attempt) = about.attempt {
        let _ = write!(line, r#","attempt":{attempt}"#);
    }
    with_slot(line, about.slot)
}

/// A record with the browser it came from; `address` and `agent` are 16 hex digits.
pub fn from_device(line: &str, device: &str, address: &str, agent: &str) -> String {
    let open = line.strip_suffix('}').unwrap_or(line);
    format!(
        r#"{open},"device":{},"address":"{address}","agent":"{agent}"}}"#,
        Value::from(device)
    )
}

fn with_slot(mut line: String, slot: Option<u32>) -> String {
    if let Some(slot) = slot {
        let _ = write!(line, r#","slot":{slot}"#);
    }
    line.push('}');
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

fn time(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The envelope, its last brace left open. Writing to a String cannot fail.
fn envelope(attempt: &Attempt, stamp: &Stamp<'_>, kind: &str) -> String {
    let mut line = String::with_capacity(384);
    let text = |s: &str| Value::from(s).to_string();
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
