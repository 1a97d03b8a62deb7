//! Records folded in memory, so that only winners travel to the store.

use std::collections::HashMap;

use exam_record::{AttemptKey, Malformed, Registers, fold};

/// What a set of records does to the attempts they belong to.
#[derive(Clone, Debug, Default)]
pub struct FoldBatch {
    attempts: HashMap<AttemptKey, Attempt>,
    records: usize,
    /// Stored once everything in the batch is folded.
    pub position: Option<Position>,
}

/// One attempt's part of a batch.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub quiz: Option<i64>,
    pub registers: Registers,
}

/// How far a reader of a log has folded it. It lives in the store it describes, so that a store
/// that lost its memory has lost the position too and is filled again from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub name: String,
    /// What the writer believes is stored. If something else is, nothing is stored and the fold
    /// fails with [`StateError::PositionMoved`](crate::StateError::PositionMoved).
    pub before: Option<Vec<u8>>,
    pub after: Vec<u8>,
}

impl FoldBatch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds a line into the batch; false for a line that changes no state. A malformed line
    /// leaves the batch as it was. Space around it, as the carriage return of a line's end, is no
    /// part of the record.
    pub fn push(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        let Some(folded) = fold(line.trim_ascii())? else {
            return Ok(false);
        };
        let attempt = self.attempts.entry(folded.key).or_default();
        attempt.quiz = folded.quiz.or(attempt.quiz);
        for op in &folded.ops {
            attempt.registers.apply(op);
        }
        self.records += 1;
        Ok(true)
    }

    /// How many records were folded into it.
    pub fn records(&self) -> usize {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.position.is_none()
    }

    pub fn attempts(&self) -> &HashMap<AttemptKey, Attempt> {
        &self.attempts
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.attempts.clear();
        self.records = 0;
        self.position = None;
    }
}
