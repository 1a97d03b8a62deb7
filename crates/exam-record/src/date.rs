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

/// What [`validate_json_line`](crate::validate_json_line) makes of a text, and the UTC date (year,
/// month, day) of its event time, in one reading.
pub fn dated_line(text: &[u8]) -> Result<(Cow<'_, [u8]>, Option<Date>), NotJson> {
    let mut time = Time::default();
    let line = one_line(text, |key, value| time.see(key, value))?;
    let days = time.ts.or(time.other).map(|micros| micros / 86_400_000_000);
    Ok((line, days.map(civil)))
}

/// Year, month, day.
pub type Date = (i32, u8, u8);

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

/// Days since 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in
/// March, so that the leap day is the last of its year.
fn civil(days: u64) -> Date {
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
