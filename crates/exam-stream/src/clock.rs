//! The time now, and times as HTTP and AWS write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use exam_cold::Hour;
use exam_cold::calendar::{date, day};

pub fn since_epoch() -> Duration {
    // A clock before 1970 is a clock that was never set: zero says that as well.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

pub fn this_hour() -> Hour {
    Hour::of_micros(since_epoch().as_micros() as u64)
}

/// `20261122T084039Z`, the form of `X-Amz-Date`.
pub fn compact(seconds: u64) -> String {
    let (year, month, day) = date((seconds / 86_400) as i64);
    let second = seconds % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Seconds since 1970 of a time written as by [`compact`].
pub fn parse_compact(text: &str) -> Option<u64> {
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    if text.len() != 16 || text.get(8..9)? != "T" || text.get(15..)? != "Z" {
        return None;
    }
    let (month, day_of_month) = (digits(4..6)? as u8, digits(6..8)? as u8);
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day_of_month) || hour > 23 {
        return None;
    }
    let days = day((digits(0..4)? as i32, month, day_of_month));
    u64::try_from(days * 86_400)
        .ok()?
        .checked_add(hour * 3_600 + minute * 60 + second)
}

/// Seconds since 1970 of an HTTP date, as `Sun, 22 Nov 2026 08:58:04 GMT`.
pub fn parse_http(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day_of_month: u8 = words.next()?.parse().ok()?;
    let month = MONTHS.find(words.next()?)? / 3 + 1;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let mut next = || clock.next()?.ok();
    let seconds = next()? * 3_600 + next()? * 60 + next()?;
    let days = day((year, month as u8, day_of_month));
    u64::try_from(days * 86_400).ok()?.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_time_reads_back_and_a_bad_one_does_not() {
        assert_eq!(compact(1_440_938_160), "20150830T123600Z");
        assert_eq!(parse_compact("20150830T123600Z"), Some(1_440_938_160));
        for bad in [
            "",
            "20150830T123600",
            "2015083aT123600Z",
            "20151330T123600Z",
            "20150830 123600Z",
        ] {
            assert_eq!(parse_compact(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_http_date_is_read() {
        assert_eq!(
            parse_http("Sun, 30 Aug 2015 12:36:00 GMT"),
            Some(1_440_938_160)
        );
        assert_eq!(parse_http("yesterday"), None);
    }
}
