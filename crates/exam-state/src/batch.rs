//! Records folded in memory, so that only winners travel to the store.

use std::collections::HashMap;

use exam_record::{AttemptKey, Malformed, Registers, fold};
use foldhash::fast::RandomState;

/// The attempts of a batch.
pub type Attempts = HashMap<AttemptKey, Attempt, RandomState>;

/// What a set of records does to the attempts they belong to.
#[derive(Clone, Debug, Default)]
pub struct FoldBatch {
    attempts: Attempts,
    records: usize,
    /// Stored once everything in the batch is folded.
    pub position: Option<Position>,
}

/// One attempt's part of a batch.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub quiz: Option<i64>,
    pub registers: Registers,
    /// How many of the batch's records.
    records: usize,
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
        for op in folded.ops {
            attempt.registers.apply(op);
        }
        attempt.records += 1;
        self.records += 1;
        Ok(true)
    }

    /// Takes those attempts out that `which` says, as a batch of their own. The position stays.
    pub fn split_off(&mut self, mut which: impl FnMut(&AttemptKey) -> bool) -> FoldBatch {
        let mut attempts = Attempts::default();
        attempts.reserve(self.attempts.len());
        attempts.extend(self.attempts.extract_if(|key, _| which(key)));
        let records = attempts.values().map(|attempt| attempt.records).sum();
        self.records -= records;
        FoldBatch {
            attempts,
            records,
            position: None,
        }
    }

    /// How many records were folded into it.
    pub fn records(&self) -> usize {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.position.is_none()
    }

    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.attempts.clear();
        self.records = 0;
        self.position = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_off_and_what_stays_are_all_there_was() {
        let mut batch = FoldBatch::new();
        for n in 0..10 {
            let line = format!(r#"{{"student_id":{},"status":"0","time":{n}}}"#, n % 4);
            assert!(batch.push(line.as_bytes()).unwrap());
        }
        let all = batch.clone();
        let one = AttemptKey::new("", 1);
        let off = batch.split_off(|key| *key == one);
        assert_eq!((off.records(), batch.records()), (3, 7));
        assert_eq!((off.attempts().len(), batch.attempts().len()), (1, 3));
        for (key, attempt) in all.attempts() {
            let part = if *key == one { &off } else { &batch };
            assert_eq!(part.attempts()[key].registers, attempt.registers);
        }
    }
}
