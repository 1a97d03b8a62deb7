//! Which attempt, or which quiz, a record belongs to.

use std::fmt::Write;

/// Site and attempt: two sites may share a store. A bare record has no site (`""`); its attempt
/// is the `student_id` of Figure 5 or the `user` of Figure 2. What is known of a whole quiz has a
/// key, hence registers, of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    pub site: String,
    pub who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    Attempt(i64),
    User(String),
    Quiz(i64),
}

impl AttemptKey {
    pub fn new(site: impl Into<String>, attempt: i64) -> Self {
        AttemptKey {
            site: site.into(),
            who: Who::Attempt(attempt),
        }
    }

    pub fn quiz(site: impl Into<String>, quiz: i64) -> Self {
        AttemptKey {
            site: site.into(),
            who: Who::Quiz(quiz),
        }
    }

    /// `<site>/<attempt>`, `<site>/@<user>` or `<site>/!<quiz>`. In the names `% / { }`, space and
    /// controls are percent-encoded, so that the text is one word, reversible, and fit for a
    /// cluster's key tag.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.site.len() + 24);
        self.write_text(&mut text);
        text
    }

    /// Appends [`to_text`](Self::to_text).
    pub fn write_text(&self, text: &mut String) {
        escape(text, &self.site);
        match &self.who {
            Who::Attempt(number) => {
                text.push('/');
                text.push_str(itoa::Buffer::new().format(*number));
            }
            Who::Quiz(number) => {
                text.push_str("/!");
                text.push_str(itoa::Buffer::new().format(*number));
            }
            Who::User(user) => {
                text.push_str("/@");
                escape(text, user);
            }
        }
    }

    /// The key whose [`to_text`](Self::to_text) is `text`; `None` if there is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let (site, who) = text.split_once('/')?;
        let key = AttemptKey {
            site: unescape(site)?,
            who: match who.split_at_checked(1)? {
                ("@", user) => Who::User(unescape(user)?),
                ("!", quiz) => Who::Quiz(quiz.parse().ok()?),
                _ => Who::Attempt(who.parse().ok()?),
            },
        };
        (key.to_text() == text).then_some(key)
    }
}

fn escaped(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'%' | b'/' | b'{' | b'}' | 0x7F)
}

pub(crate) fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(escaped) {
        out.push_str(&rest[..at]);
        // Writing to a String cannot fail.
        let _ = write!(out, "%{:02X}", rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('%');
    out.push_str(parts.next()?);
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        out.push(code.is_ascii().then_some(code as char)?);
        out.push_str(&part[2..]);
    }
    Some(out)
}
