//! Calendar arithmetic in UTC: days since 1970 to dates and back, and hours.

use std::fmt;

/// Year, month, day (UTC).
pub type Date = (i32, u8, u8);

/// The date of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
pub fn date(days: i64) -> Date {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u8, day as u8)
}

/// The day, counted from 1970-01-01, of a date.
pub fn day((year, month, day): Date) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date a text like `2026-11-22` names, if there is such a day.
pub fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let whole = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        whole.then(|| part.parse::<i32>().ok())?
    };
    let parsed = (number(4)?, number(2)? as u8, number(2)? as u8);
    (parts.next().is_none() && date(day(parsed)) == parsed).then_some(parsed)
}

/// An hour, counted from 1970-01-01T00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Hour {
    /// The hour of a time in microseconds since 1970. Times of records end with the year 9999,
    /// whose last hour is far below the greatest number here.
    pub fn of_micros(micros: u64) -> Hour {
        Hour((micros / 3_600_000_000).min(u32::MAX.into()) as u32)
    }

    pub fn date(self) -> Date {
        date((self.0 / 24).into())
    }

    /// 0 to 23.
    pub fn of_day(self) -> u8 {
        (self.0 % 24) as u8
    }
}

/// As the directories of cold storage are named: `dt=2026-11-22/hour=09`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let hour = self.of_day();
        write!(f, "dt={year:04}-{month:02}-{day:02}/hour={hour:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_inverse_over_leap_years_and_before_1970() {
        for days in -200_000..200_000 {
            assert_eq!(day(date(days)), days);
        }
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
    }

    #[test]
    fn an_hour_is_named_by_its_date_in_utc() {
        let named = |seconds: u64| Hour::of_micros(seconds * 1_000_000).to_string();
        assert_eq!(named(0), "dt=1970-01-01/hour=00");
        assert_eq!(named(951_782_399), "dt=2000-02-28/hour=23");
        assert_eq!(named(951_782_400), "dt=2000-02-29/hour=00");
        assert_eq!(named(4_107_542_400), "dt=2100-03-01/hour=00");
        assert_eq!(named(253_402_300_799), "dt=9999-12-31/hour=23");
    }

    #[test]
    fn only_days_that_exist_are_dates() {
        assert_eq!(parse_date("2024-02-29"), Some((2024, 2, 29)));
        for bad in [
            "",
            "2023-02-29",
            "2024-2-29",
            "2024-02-29-",
            "24-02-29",
            "2024-13-01",
            "+024-01-01",
            "2024-01-00",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
