//! The event time of a line, read without parsing the rest of it.

use std::borrow::Cow;

use crate::json::{NotJson, members, one_line};
use crate::record::{is_time_key, micros};

/// The event time of a line in microseconds since 1970, UTC: `ts`, or the time of a bare record.
pub fn event_time(line: &[u8]) -> Option<u64> {
    let mut time = Time::default();
    members(line, |key, value| time.see(key, value)).ok()?;
    time.ts.or(time.other)
}

/// What [`validate_json_line`](crate::validate_json_line) makes of a text, and its event time, in
/// one reading.
pub fn timed_line(text: &[u8]) -> Result<(Cow<'_, [u8]>, Option<u64>), NotJson> {
    let mut time = Time::default();
    let line = one_line(text, |key, value| time.see(key, value))?;
    Ok((line, time.ts.or(time.other)))
}

#[derive(Default)]
struct Time {
    ts: Option<u64>,
    other: Option<u64>,
}

impl Time {
    fn see(&mut self, key: &[u8], value: &[u8]) {
        if key == b"ts" {
            self.ts = micros(value);
        } else if is_time_key(key) {
            self.other = micros(value);
        }
    }
}
