//! The event time of a line, read without parsing the rest of it.

use crate::json::members;
use crate::record::{is_time_key, micros};

/// The event time of a line in microseconds since 1970, UTC: `ts`, or the time of a bare record.
pub fn event_time(line: &[u8]) -> Option<u64> {
    let (mut ts, mut other) = (None, None);
    members(line, |key, value| {
        if key == b"ts" {
            ts = micros(value);
        } else if is_time_key(key) {
            other = micros(value);
        }
    })
    .ok()?;
    ts.or(other)
}

/// The UTC date (year, month, day) of a line's event time.
pub fn event_date(line: &[u8]) -> Option<(i32, u8, u8)> {
    let days = event_time(line)? / 86_400_000_000;
    Some(civil(days))
}

/// Days since 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in
/// March, so that the leap day is the last of its year.
fn civil(days: u64) -> (i32, u8, u8) {
    const ERA: u64 = 146_097; // days in 400 years
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let date = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year as i32, month as u8, date as u8)
}
