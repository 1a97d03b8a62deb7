//! The log of a real exam: tab-separated rows without a header.
//!
//! | column | meaning |
//! |---|---|
//! | 1 | milliseconds since that student's exam began; negative where a clock was wrong |
//! | 2 | student, an integer |
//! | 3 | question |
//! | 4 | score of that question at that moment |
//!
//! A student's rows, in the order of the file, are that student's sequence:
//! one page instance, `seq` counting from 1. The student's distinct questions
//! are the attempt's slots, numbered as they first appear; the record keeps
//! the name as `question`. The score is the answer, byte for byte.
//!
//! A browser's monotonic clock never goes back: a time before the exam began
//! counts as its beginning, and a time before the student's previous row as
//! that row's.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};

use super::{Edit, Exam, Micros, Plan, Sent, TrueSlot, Truth, What, qa};

/// An exam that takes longer than this is a time since something else.
const LONGEST_MILLIS: i64 = 366 * 86_400_000;

pub struct Log {
    students: Vec<Student>,
    rows: Vec<Row>,
    questions: Vec<String>,
    length: Micros,
}

struct Student {
    number: i64,
    rows: Vec<u32>,
}

struct Row {
    at: Micros,
    question: u32,
    slot: u32,
    score: String,
}

impl Log {
    pub fn read(path: &Path) -> anyhow::Result<Log> {
        let text = std::fs::read(path)
            .with_context(|| format!("cannot read the log {}", path.display()))?;
        let parsed = match std::str::from_utf8(&text) {
            Ok(text) => Log::parse(text),
            Err(error) => {
                let line = memchr::memchr_iter(b'\n', &text[..error.valid_up_to()]).count() + 1;
                Err(anyhow!("line {line} is not UTF-8"))
            }
        };
        parsed.with_context(|| format!("in the log {}", path.display()))
    }

    pub fn parse(text: &str) -> anyhow::Result<Log> {
        let mut log = Log {
            students: vec![],
            rows: vec![],
            questions: vec![],
            length: 0,
        };
        let mut numbers: HashMap<i64, usize> = HashMap::new();
        let mut names: HashMap<&str, u32> = HashMap::new();
        let mut slots: HashMap<(usize, u32), u32> = HashMap::new();
        let mut slots_of: HashMap<usize, u32> = HashMap::new();
        // A byte order mark is what some spreadsheets begin a file with.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (n, line) in text.lines().enumerate() {
            let at = || {
                let shown: String = line.chars().take(80).collect();
                format!("line {}: {shown:?}", n + 1)
            };
            let columns: Vec<&str> = line.split('\t').collect();
            let [millis, student, question, score] = columns[..] else {
                bail!("{}: expected 4 columns separated by tabs", at());
            };
            let millis: i64 = millis
                .parse()
                .with_context(|| format!("{}: column 1 is not milliseconds", at()))?;
            ensure!(
                millis <= LONGEST_MILLIS,
                "{}: column 1 is more than a year: it must count from the student's beginning",
                at()
            );
            let number: i64 = student
                .parse()
                .with_context(|| format!("{}: column 2 is not a student's number", at()))?;
            ensure!(
                // The ids of questions are made from it.
                number.checked_mul(10_000).is_some(),
                "{}: column 2 is too large for a student's number",
                at()
            );
            score
                .parse::<f64>()
                .with_context(|| format!("{}: column 4 is not a score", at()))?;
            let student = *numbers.entry(number).or_insert_with(|| {
                log.students.push(Student {
                    number,
                    rows: vec![],
                });
                log.students.len() - 1
            });
            let question = *names.entry(question).or_insert_with(|| {
                log.questions.push(question.to_owned());
                log.questions.len() as u32 - 1
            });
            let slot = *slots.entry((student, question)).or_insert_with(|| {
                let count = slots_of.entry(student).or_default();
                *count += 1;
                *count
            });
            let rows = &mut log.students[student].rows;
            let before = rows.last().map_or(0, |row| log.rows[*row as usize].at);
            let at = before.max(millis.max(0) as u64 * 1000);
            rows.push(log.rows.len() as u32);
            log.rows.push(Row {
                at,
                question,
                slot,
                score: score.to_owned(),
            });
            log.length = log.length.max(at);
        }
        if log.rows.is_empty() {
            bail!("it has no rows");
        }
        Ok(log)
    }

    fn row(&self, what: &What) -> Option<&Row> {
        match what {
            What::Row { row, .. } => self.rows.get(*row as usize),
            _ => None,
        }
    }
}

impl Exam for Log {
    fn site(&self) -> &str {
        "replay"
    }

    fn students(&self) -> u32 {
        self.students.len() as u32
    }

    fn attempt(&self, student: u32) -> i64 {
        self.students[student as usize].number
    }

    fn student_id(&self, student: u32) -> i64 {
        self.attempt(student)
    }

    fn plan(&self, student: u32) -> Plan {
        let attempt = self.attempt(student);
        let mut plan = Plan {
            pages: vec![0],
            ..Plan::default()
        };
        let mut first: BTreeMap<u32, &str> = BTreeMap::new();
        let mut truth = Truth::default();
        for (n, index) in self.students[student as usize].rows.iter().enumerate() {
            let row = &self.rows[*index as usize];
            let edit = Edit {
                at: row.at,
                page: 0,
                seq: n as u32 + 1,
                what: What::Row {
                    slot: row.slot,
                    row: *index,
                },
            };
            plan.sent.push(Sent { sent: row.at, edit });
            let first = *first.entry(row.slot).or_insert(&row.score);
            truth.slots.insert(
                row.slot,
                TrueSlot {
                    edit,
                    qa: qa(attempt, row.slot, false),
                    answered: true,
                    changed: first != row.score,
                    saved: false,
                },
            );
            truth.last_seen = row.at;
        }
        plan.truth = truth;
        plan
    }

    fn details(&self, student: u32, what: &What, out: &mut Vec<u8>) {
        if let Some(row) = self.row(what) {
            let question = &self.questions[row.question as usize];
            let qa = qa(self.attempt(student), row.slot, false);
            let _ = write!(
                out,
                r#","slot":{},"qa":{qa},"status":1,"question":{},"fields":"#,
                row.slot,
                serde_json::Value::from(question.as_str()),
            );
            self.fields(student, what, out);
        }
    }

    fn fields(&self, _student: u32, what: &What, out: &mut Vec<u8>) {
        if let Some(row) = self.row(what) {
            let score = serde_json::Value::from(row.score.as_str());
            let _ = write!(out, r#"{{"answer":{score},":sequencecheck":"1"}}"#);
        }
    }

    fn length(&self) -> Micros {
        self.length
    }

    fn records(&self) -> u64 {
        self.rows.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_never_turns_a_student_back() {
        let log = Log::parse("-5\t7\tq1_1\t0\n2000\t7\tq1_1\t1\n1000\t7\tq2_4\t0.5\n").unwrap();
        let plan = log.plan(0);
        let at: Vec<_> = plan.sent.iter().map(|sent| sent.edit.at).collect();
        assert_eq!(at, [0, 2_000_000, 2_000_000]);
        assert_eq!(plan.truth.slots[&1].edit.seq, 2);
        assert!(plan.truth.slots[&1].changed);
        assert!(!plan.truth.slots[&2].changed);
    }

    #[test]
    fn slots_are_counted_for_each_student() {
        let log = Log::parse("1\t7\tq1\t0\n1\t8\tq2\t0\n2\t8\tq1\t1\n").unwrap();
        assert_eq!(log.students(), 2);
        assert_eq!(
            log.plan(0).truth.slots.keys().copied().collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(
            log.plan(1).truth.slots.keys().copied().collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let error = |text: &str| format!("{:#}", Log::parse(text).err().unwrap());
        assert!(error("1\t7\tq1\t0\n1\t8\tq2\n").contains("line 2"));
        assert!(error("1\tseven\tq1\t0\n").contains("student's number"));
        assert!(error("").contains("no rows"));
        assert!(error("1\t7\tq1\t0\n\n1\t7\tq1\t0\n").contains("line 2"));
        assert!(error(&format!("{}\t7\tq1\t0\n", i64::MAX)).contains("line 1"));
        assert!(error(&format!("1\t{}\tq1\t0\n", i64::MAX)).contains("too large"));
        assert!(error(&format!("1\t7\t{}", "q".repeat(1_000_000))).len() < 300);
    }

    #[test]
    fn a_spreadsheets_file_is_read_and_another_encoding_is_named_by_its_line() {
        let log = Log::parse("\u{feff}1\t7\tq1\t0.5\r\n2\t7\tq1\t1\r\n").unwrap();
        assert_eq!((log.records(), &*log.rows[1].score), (2, "1"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"1\t7\tq1\t0\n1\t7\tq\xe9\t0\n").unwrap();
        let error = format!("{:#}", Log::read(file.path()).err().unwrap());
        assert!(error.contains("line 2 is not UTF-8"), "{error}");
    }
}
