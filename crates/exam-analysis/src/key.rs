//! An answer key: `answer_key.csv` with the columns `slot` (or `question`, where they are drawn at
//! random) and `answer`, a row for each right answer; `quiz` too, if it holds several.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use exam_report::Key;

pub fn read(path: &Path, quiz: i64) -> anyhow::Result<Key> {
    parse(path, quiz).with_context(|| format!("in the answer key {}", path.display()))
}

fn parse(path: &Path, quiz: i64) -> anyhow::Result<Key> {
    let mut rows = csv::Reader::from_path(path)?;
    let names = rows.headers()?.clone();
    let column = |name: &str| names.iter().position(|n| n.trim() == name);
    let (Some(question), Some(answer)) = (column("question").or(column("slot")), column("answer"))
    else {
        bail!("the first line must name the columns slot (or question) and answer");
    };
    let quizzes = column("quiz");
    let mut key = match column("question") {
        Some(_) => Key::by_question(),
        None => Key::default(),
    };
    for row in rows.records() {
        let row = row?;
        let of = |column: usize| row.get(column).unwrap_or_default().trim();
        if quizzes.is_none_or(|column| of(column) == quiz.to_string()) {
            key.add(of(question), of(answer));
        }
    }
    if key.is_empty() {
        bail!("there is no row for quiz {quiz}");
    }
    Ok(key)
}

/// Says which slots a key is silent about.
pub fn tell(slots: &BTreeSet<u32>, key: Option<&Path>) {
    if let (Some(key), false) = (key, slots.is_empty()) {
        let slots: Vec<String> = slots.iter().map(u32::to_string).collect();
        eprintln!(
            "exam-analyse: questions were drawn at random for the slots {}, and {} names questions \
             by slot: they are not judged or compared. Name them in a column `question`, by \
             question.id of Moodle",
            slots.join(", "),
            key.display()
        );
    }
}
