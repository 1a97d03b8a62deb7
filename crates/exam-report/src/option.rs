//! What was chosen, under a name that is the same for everybody who chose the same.
//!
//! The `fields` of an answer are what the browser posts. For a multiple choice question that is a
//! *position* (`answer` = 2, or `choice0` = 1 and `choice3` = 1), and Moodle shuffles options for
//! each attempt: position 2 is one option here and another one there. Two students who sit side by
//! side and choose the same option choose different positions.
//!
//! The record `started` may say what lies at each position, as Moodle keeps it for the attempt
//! (`_order` of the question's first step): the member `order`, an object from the slot to the list
//! of answer ids.
//!
//! `{"type":"started", …, "order":{"1":[3301,3299,3300,3302]}}`
//!
//! Then the name of an option is its id. Without it the position is taken as it is, which is right
//! for quizzes that do not shuffle, and only for those. Anything else that students write is
//! compared as text, without regard to capitals and spaces.

use exam_record::{members, string_bytes};

/// What the browser posted for one question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Given {
    /// Positions of options.
    Positions(Vec<usize>),
    Text(String),
}

/// Longer texts are nobody's option: of an essay no two are the same.
const LONGEST: usize = 500;

impl Given {
    /// None: nothing was chosen.
    pub fn read(fields: &[u8]) -> Option<Given> {
        let mut named: Vec<(String, String)> = Vec::new();
        let text = |raw: &[u8]| string_bytes(raw).map(|b| String::from_utf8_lossy(&b).into_owned());
        members(fields, |key, value| {
            let key = text(key).unwrap_or_default();
            // Of the question engine, not of the answer.
            if !key.starts_with([':', '-']) {
                let plain = || String::from_utf8_lossy(value).into_owned();
                named.push((key, text(value).unwrap_or_else(plain)));
            }
        })
        .ok()?;
        named.sort();
        if let [(key, value)] = &named[..]
            && key == "answer"
        {
            return match value.parse() {
                Ok(position) => Some(Given::Positions(vec![position])),
                Err(_) => text_given(value),
            };
        }
        let choice = |key: &str| key.strip_prefix("choice")?.parse::<usize>().ok();
        if !named.is_empty() && named.iter().all(|(key, _)| choice(key).is_some()) {
            let ticked = named
                .iter()
                .filter(|(_, value)| !matches!(&**value, "" | "0"));
            let mut positions: Vec<usize> = ticked.filter_map(|(key, _)| choice(key)).collect();
            positions.sort_unstable();
            return (!positions.is_empty()).then_some(Given::Positions(positions));
        }
        named.retain(|(_, value)| !value.trim().is_empty());
        let all: Vec<String> = named
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        text_given(&all.join(" "))
    }

    /// The name, given what lies at each position.
    pub fn option(&self, order: Option<&[String]>) -> String {
        match self {
            Given::Text(text) => text.clone(),
            Given::Positions(positions) => {
                let mut names: Vec<String> = positions
                    .iter()
                    .map(|at| match order.and_then(|order| order.get(*at)) {
                        Some(id) => id.clone(),
                        None => at.to_string(),
                    })
                    .collect();
                names.sort();
                names.join("+")
            }
        }
    }
}

fn text_given(text: &str) -> Option<Given> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let text = words.join(" ");
    (!text.is_empty() && text.len() <= LONGEST).then_some(Given::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(fields: &str, order: &[&str]) -> Option<String> {
        let order: Vec<String> = order.iter().map(|id| id.to_string()).collect();
        let order = (!order.is_empty()).then_some(&order[..]);
        Given::read(fields.as_bytes()).map(|given| given.option(order))
    }

    #[test]
    fn the_same_option_has_one_name_wherever_it_stood() {
        let here = option(
            r#"{"answer":"2",":sequencecheck":"1"}"#,
            &["31", "32", "33"],
        );
        let there = option(r#"{":sequencecheck":"4","answer":0}"#, &["33", "31", "32"]);
        assert_eq!(here.as_deref(), Some("33"));
        assert_eq!(here, there);
        let several = option(
            r#"{"choice0":"1","choice1":"0","choice2":"1"}"#,
            &["9", "8", "7"],
        );
        assert_eq!(several.as_deref(), Some("7+9"));
        assert_eq!(option(r#"{"answer":"2"}"#, &[]).as_deref(), Some("2"));
    }

    #[test]
    fn written_answers_are_compared_without_capitals_and_spaces() {
        let long = format!(r#"{{"answer":"{}"}}"#, "x".repeat(600));
        assert_eq!(
            option(r#"{"answer":"  New\u0020 York "}"#, &[]).as_deref(),
            Some("new york")
        );
        assert_eq!(
            option(r#"{"answer":"0.666"}"#, &["9"]).as_deref(),
            Some("0.666")
        );
        assert_eq!(
            option(r#"{"sub0":"3","sub1":"1"}"#, &["9"]).as_deref(),
            Some("sub0=3 sub1=1")
        );
        assert_eq!(option(&long, &[]), None);
    }

    #[test]
    fn nothing_chosen_is_no_option() {
        for fields in [
            r#"{"answer":""}"#,
            r#"{":flagged":"1"}"#,
            r#"{"choice0":"0"}"#,
            "{}",
            "7",
        ] {
            assert_eq!(option(fields, &[]), None, "{fields}");
        }
    }
}
