//! Text into HTML.

use std::fmt::{self, Display, Write};

/// `text` as HTML shows it: wherever it stands, between tags or in a quoted attribute, it ends
/// nothing and begins nothing. What has no glyph (controls, a change of writing direction that
/// would reorder the rest of the line) is shown as U+FFFD.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Filter<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for c in text.chars() {
                    match c {
                        '&' => self.0.write_str("&amp;")?,
                        '<' => self.0.write_str("&lt;")?,
                        '>' => self.0.write_str("&gt;")?,
                        '"' => self.0.write_str("&quot;")?,
                        '\'' => self.0.write_str("&#39;")?,
                        '\n' | '\t' => self.0.write_char(' ')?,
                        c if c.is_control() => self.0.write_char('\u{FFFD}')?,
                        '\u{200E}'
                        | '\u{200F}'
                        | '\u{2028}'..='\u{202E}'
                        | '\u{2066}'..='\u{2069}'
                        | '\u{FEFF}' => self.0.write_char('\u{FFFD}')?,
                        c => self.0.write_char(c)?,
                    }
                }
                Ok(())
            }
        }
        write!(Filter(f), "{}", self.0)
    }
}

/// A number with thousands set apart by thin spaces.
pub struct Count(pub u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_char('\u{202F}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// A duration as people say it: `8 s`, `3 min 20 s`, `2 h 5 min`.
pub struct Seconds(pub f64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0.9995 {
            return write!(f, "{:.0} ms", self.0.max(0.0) * 1000.0);
        }
        if self.0 < 9.95 {
            return write!(f, "{:.1} s", self.0);
        }
        let whole = self.0.round() as u64;
        match (whole / 3600, whole / 60 % 60, whole % 60) {
            (0, 0, s) => write!(f, "{s} s"),
            (0, m, 0) => write!(f, "{m} min"),
            (0, m, s) => write!(f, "{m} min {s} s"),
            (h, 0, _) => write!(f, "{h} h"),
            (h, m, _) => write!(f, "{h} h {m} min"),
        }
    }
}

/// A probability: `0.042`, `2.9 × 10⁻⁶`.
pub struct Probability(pub f64);

impl Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 0.001 {
            return write!(f, "{:.3}", self.0);
        }
        if self.0 <= 0.0 {
            return f.write_str("0");
        }
        let text = format!("{:.1e}", self.0);
        let (mantissa, exponent) = text.split_once("e-").unwrap_or((&text, ""));
        write!(f, "{mantissa} × 10<sup>−{exponent}</sup>")
    }
}

/// Seconds since 1970 in UTC, as `<time>`: the date or the time of day, or both.
pub struct When {
    pub at: f64,
    pub date: bool,
    pub clock: Clock,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    None,
    Minutes,
    Seconds,
}

impl Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.at.max(0.0).round() as u64;
        let (year, month, day) = civil_date(whole / 86_400);
        let (h, m, s) = (whole / 3600 % 24, whole / 60 % 60, whole % 60);
        write!(
            f,
            "<time datetime=\"{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z\">"
        )?;
        if self.date {
            write!(f, "{year:04}-{month:02}-{day:02}")?;
        }
        if self.date && self.clock != Clock::None {
            f.write_char(' ')?;
        }
        match self.clock {
            Clock::None => {}
            Clock::Minutes => write!(f, "{h:02}:{m:02}")?,
            Clock::Seconds => write!(f, "{h:02}:{m:02}:{s:02}")?,
        }
        f.write_str("</time>")
    }
}

/// Year, month, day of a number of days since 1970-01-01, in years that begin in March so that the
/// leap day is the last of its year.
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_an_attribute_or_begins_a_tag() {
        let hostile = "</td><script>alert('x' + \"y\")</script>&amp;\u{0}\u{202E}\n";
        let shown = Escaped(hostile).to_string();
        assert_eq!(
            shown,
            "&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39; + &quot;y&quot;)&lt;/script&gt;&amp;amp;\
             \u{FFFD}\u{FFFD} "
        );
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(Count(1_234_567).to_string(), "1\u{202F}234\u{202F}567");
        let durations = [0.042, 8.24, 59.6, 200.0, 7500.0].map(|s| Seconds(s).to_string());
        assert_eq!(
            durations,
            ["42 ms", "8.2 s", "1 min", "3 min 20 s", "2 h 5 min"]
        );
        assert_eq!(Probability(2.93e-6).to_string(), "2.9 × 10<sup>−6</sup>");
        assert_eq!(Probability(0.0421).to_string(), "0.042");
        let when = When {
            at: 951_827_696.0,
            date: true,
            clock: Clock::Seconds,
        };
        assert_eq!(
            when.to_string(),
            "<time datetime=\"2000-02-29T12:34:56Z\">2000-02-29 12:34:56</time>"
        );
    }
}
