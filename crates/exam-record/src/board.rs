//! What the live board of a quiz shows of each attempt: never an answer's content.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::key::{AttemptKey, Who};
use crate::registers::Registers;
use crate::view::{Help, Lifecycle, Reading, Signals, UseOfDevices};

/// What changed on a quiz's board, as `exam_stream_board()` gives it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Board {
    /// Ask for what changed since this one.
    pub version: u64,
    /// There is more than one answer holds: ask again at once.
    pub more: bool,
    /// What was known before is to be forgotten: the store has lost its memory since.
    pub reset: bool,
    /// What is known of the whole quiz.
    pub signals: Signals,
    /// By attempt.
    pub rows: BTreeMap<i64, BoardRow>,
    /// Attempts that were erased: rows that are to be forgotten.
    pub erased: BTreeSet<i64>,
}

/// An attempt on the board. Times are seconds since 1970, UTC.
#[derive(Clone, Debug, Serialize)]
pub struct BoardRow {
    pub attempt: i64,
    #[serde(skip)]
    pub quiz: Option<i64>,
    pub student_id: Option<i64>,
    pub usage: Option<i64>,
    /// A teacher's: not to be counted with the students'.
    pub preview: bool,
    /// As in [`AttemptView`](crate::AttemptView).
    pub word: String,
    /// A digit for each slot, the first one's first: 1 where the student has put a flag.
    pub flags: String,
    /// How many slots are answered.
    pub answered: usize,
    /// The greatest slot known.
    pub slots: usize,
    pub lifecycle: Option<Lifecycle>,
    pub last_seen: Option<f64>,
    pub counts: BTreeMap<String, u64>,
    pub help: Help,
    pub signals: Signals,
    #[serde(flatten)]
    pub use_of_devices: UseOfDevices,
    /// When each slot was last answered.
    pub times: BTreeMap<u32, f64>,
}

impl Board {
    /// Adds what a store has of an attempt that changed. `first`: whoever asks knows no row yet, so
    /// none has to be forgotten.
    pub fn add(&mut self, key: &AttemptKey, registers: &Registers, quiz: i64, first: bool) {
        match BoardRow::new(key, registers) {
            // An attempt that names two quizzes is of one only.
            Some(row) if row.quiz.is_none_or(|named| named == quiz) => {
                self.rows.insert(row.attempt, row);
            }
            None if !first && registers.is_erased() => {
                if let Who::Attempt(attempt) = key.who {
                    self.erased.insert(attempt);
                }
            }
            _ => {}
        }
    }
}

impl BoardRow {
    /// `None` if it is no attempt of a quiz, or one that was erased.
    ///
    /// Of an answer only the beginning of its order and the summary at its end are looked at: a
    /// store may leave out what is between them, and the registers `f/`, `s/` and `w`, if it
    /// states a changed answer by a 2 in the summary.
    pub fn new(key: &AttemptKey, registers: &Registers) -> Option<Self> {
        let Who::Attempt(attempt) = key.who else {
            return None;
        };
        if registers.is_erased() {
            return None;
        }
        let reading = Reading::new(key, registers);
        let answers = reading.answers.iter();
        Some(BoardRow {
            attempt,
            quiz: reading.quiz,
            student_id: reading.student_id,
            usage: reading.usage,
            preview: reading.preview,
            answered: answers.clone().filter(|(_, a)| a.digit != b'0').count(),
            slots: reading.flags.len(),
            times: answers.map(|(slot, answer)| (*slot, answer.at)).collect(),
            word: reading.word,
            flags: reading.flags,
            lifecycle: reading.lifecycle,
            last_seen: reading.last_seen,
            counts: reading.counts,
            help: reading.help,
            signals: reading.signals,
            use_of_devices: UseOfDevices::new(&reading.devices),
        })
    }
}
