//! Whose records are to be erased, and which lines are theirs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::date::event_time;
use crate::json::{members, string_bytes};
use crate::record::ERASED;

/// Students and attempts, by site. As JSON it is what one program leaves to another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure(pub BTreeMap<String, Whose>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whose {
    pub students: BTreeSet<i64>,
    pub attempts: BTreeMap<i64, Known>,
}

/// What the lines of an attempt told of it: for rows that name a student and a time only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub student: Option<i64>,
    /// Microseconds since 1970 of the first and the last line.
    pub span: Option<(u64, u64)>,
}

/// What a line or a row says of whom it is about, of whatever form it is otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub site: Option<String>,
    pub quiz: Option<i64>,
    pub attempt: Option<i64>,
    pub student: Option<i64>,
    /// It is a record that asks for an erasure.
    pub erased: bool,
}

impl About {
    /// Of JSON that is no object nothing is known.
    pub fn of(line: &[u8]) -> Self {
        let mut about = About::default();
        let text = |value| Some(String::from_utf8_lossy(&string_bytes(value)?).into_owned());
        let _ = members(line, |key, value| {
            match &*string_bytes(key).unwrap_or_default() {
                b"site" => about.site = text(value),
                b"quiz" => about.quiz = integer(value),
                b"attempt" => about.attempt = integer(value),
                b"student_id" => about.student = integer(value),
                b"type" => about.erased = string_bytes(value).as_deref() == Some(ERASED.as_bytes()),
                _ => {}
            }
        });
        about
    }
}

/// As the fold reads an integer: also as a text or as `3.0`.
fn integer(value: &[u8]) -> Option<i64> {
    let digits = match value {
        [b'"', digits @ .., b'"'] => digits,
        digits => digits,
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let float = || digits.parse::<f64>().ok().filter(|n| n.fract() == 0.0);
    digits.parse().ok().or_else(|| float().map(|n| n as i64))
}

impl Erasure {
    pub fn of(&mut self, site: &str) -> &mut Whose {
        self.0.entry(site.to_owned()).or_default()
    }

    /// Whether a record is about one of them. A record that asks for an erasure is nobody's: without
    /// it, what comes late would be kept.
    pub fn has(&self, about: &About) -> bool {
        let site = about.site.as_deref().unwrap_or_default();
        !about.erased
            && self.0.get(site).is_some_and(|whose| {
                about.student.is_some_and(|id| whose.students.contains(&id))
                    || about
                        .attempt
                        .is_some_and(|id| whose.attempts.contains_key(&id))
            })
    }

    pub fn has_line(&self, line: &[u8]) -> bool {
        self.has(&About::of(line))
    }

    /// Whether a row that was made of records is about one of them. One that names no site may be of
    /// any; one that names a student and no attempt is of an attempt of theirs if it is of its time,
    /// in microseconds, or of an unknown one.
    pub fn has_row(&self, about: &About, time: Option<(u64, u64)>) -> bool {
        let of = |whose: &Whose| {
            let meets = |known: &Known| match (known.span, time) {
                (Some((from, to)), Some((start, end))) => start <= to && from <= end,
                _ => true,
            };
            about.student.is_some_and(|id| whose.students.contains(&id))
                || match (about.attempt, about.student) {
                    (Some(attempt), _) => whose.attempts.contains_key(&attempt),
                    (None, Some(student)) => {
                        let mut theirs = whose.attempts.values();
                        theirs.any(|known| known.student == Some(student) && meets(known))
                    }
                    (None, None) => false,
                }
        };
        match &about.site {
            Some(site) => self.0.get(site).is_some_and(of),
            None => self.0.values().any(of),
        }
    }

    /// Learns of an attempt what a line about it says.
    pub fn learn(&mut self, about: &About, line: &[u8]) {
        let Some(attempt) = about.attempt else { return };
        let site = about.site.as_deref().unwrap_or_default();
        let mut known = Known {
            student: about.student,
            span: event_time(line).map(|at| (at, at)),
        };
        let attempts = &mut self.of(site).attempts;
        if let Some(before) = attempts.get(&attempt) {
            known = known.and(before);
        }
        attempts.insert(attempt, known);
    }

    pub fn merge(&mut self, other: Erasure) {
        for (site, whose) in other.0 {
            let ours = self.0.entry(site).or_default();
            ours.students.extend(whose.students);
            for (attempt, known) in whose.attempts {
                let known = match ours.attempts.get(&attempt) {
                    Some(before) => known.and(before),
                    None => known,
                };
                ours.attempts.insert(attempt, known);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        let none = |whose: &Whose| whose.students.is_empty() && whose.attempts.is_empty();
        self.0.values().all(none)
    }
}

impl Known {
    fn and(self, other: &Known) -> Known {
        Known {
            student: self.student.or(other.student),
            span: match (self.span, other.span) {
                (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
                (a, b) => a.or(b),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure() -> Erasure {
        let mut erasure = Erasure::default();
        erasure.of("m é").students.insert(30);
        erasure.of("m é").attempts.insert(17, Known::default());
        erasure
    }

    #[test]
    fn a_line_is_the_students_however_it_writes_the_numbers_and_whatever_else_is_wrong() {
        for line in [
            r#"{"site":"m é","student_id":30}"#,
            r#"{"site":"m \u00e9","student_id":"30","attempt":5}"#,
            r#"{"site":"m é","student_id":30.0}"#,
            r#"{"\u0073ite":"m é","attempt":17}"#,
            r#"{"v":1,"ts":"no time","site":"m é","attempt":17,"student_id":null}"#,
            r#"{"v":2,"type":"of tomorrow","site":"m é","attempt":"17"}"#,
        ] {
            assert!(erasure().has_line(line.as_bytes()), "{line}");
        }
        for line in [
            r#"{"site":"other","student_id":30,"attempt":17}"#,
            r#"{"student_id":30,"attempt":17}"#,
            r#"{"site":"m é","student_id":3,"attempt":170}"#,
            r#"{"site":"m é","fields":{"student_id":30,"attempt":17}}"#,
            r#"{"site":"m é","by":30}"#,
            r#"{"v":1,"type":"erased","ts":1,"site":"m é","attempt":17}"#,
            r#"{"erased":true}   "#,
            "",
        ] {
            assert!(!erasure().has_line(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_row_without_an_attempt_is_theirs_by_student_and_time() {
        let mut erasure = erasure();
        for line in [
            r#"{"site":"m é","attempt":17,"student_id":3,"ts":100.5}"#,
            r#"{"site":"m é","attempt":17,"ts":160}"#,
        ] {
            erasure.learn(&About::of(line.as_bytes()), line.as_bytes());
        }
        let known = erasure.0["m é"].attempts[&17];
        assert_eq!(
            (known.student, known.span),
            (Some(3), Some((100_500_000, 160_000_000)))
        );
        let row = |text: &str, from: u64, to: u64| {
            erasure.has_row(
                &About::of(text.as_bytes()),
                Some((from * 1_000_000, to * 1_000_000)),
            )
        };
        assert!(row(r#"{"student_id":3}"#, 60, 120));
        assert!(row(r#"{"student_id":3}"#, 160, 180));
        assert!(!row(r#"{"student_id":3}"#, 0, 60));
        assert!(!row(r#"{"student_id":3}"#, 180, 240));
        assert!(!row(r#"{"student_id":4}"#, 60, 120));
        assert!(row(r#"{"student_id":30}"#, 0, 60));
        assert!(row(r#"{"attempt":17}"#, 0, 60));
        assert!(!row(r#"{"attempt":18,"student_id":3}"#, 60, 120));
        assert!(!row(r#"{"site":"other","attempt":17}"#, 60, 120));
        assert!(!row(r#"{"n":17}"#, 60, 120));
        assert!(erasure.has_row(&About::of(br#"{"student_id":3}"#), None));

        let text = serde_json::to_string(&erasure).unwrap();
        let mut again: Erasure = serde_json::from_str(&text).unwrap();
        assert_eq!(again, erasure);
        again.merge(erasure.clone());
        assert_eq!(again, erasure);
    }
}
