//! The write-through: independent of delivery, newest first after an outage,
//! and giving way when the spool runs full.

mod common;

use common::*;
use exam_delivery::{Figures, PutError, Store, flush};
use exam_record::{AttemptKey, Board, Registers};
use exam_state::{FoldBatch, StateError, StateStore};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A store in memory that can be away.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    away: bool,
    /// Refuses all it is asked, for ever.
    refuses: bool,
    attempts: HashMap<AttemptKey, Registers>,
    /// Attempts of each fold, in the order of the folds.
    folds: Vec<Vec<AttemptKey>>,
}

impl Memory {
    fn store(&self) -> Store {
        let memory = self.clone();
        Box::new(move || Ok(Arc::new(memory.clone())))
    }

    fn away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    fn attempts(&self) -> usize {
        self.0.lock().unwrap().attempts.len()
    }
}

#[async_trait::async_trait]
impl StateStore for Memory {
    async fn fold(&self, batch: &FoldBatch) -> Result<(), StateError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut kept = self.0.lock().unwrap();
        if kept.away {
            return Err(StateError::Unreachable("scripted".into()));
        }
        if kept.refuses {
            return Err(StateError::Refused("WRONGTYPE, scripted".into()));
        }
        kept.folds.push(batch.attempts().keys().cloned().collect());
        for (key, attempt) in batch.attempts() {
            let registers = kept.attempts.entry(key.clone()).or_default();
            registers.merge(attempt.registers.clone());
        }
        Ok(())
    }

    async fn read(&self, key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        Ok(self.0.lock().unwrap().attempts.get(key).cloned())
    }

    async fn board(&self, _: &str, _: i64, _: u64, _: usize) -> Result<Board, StateError> {
        unreachable!("the sender reads no board")
    }

    async fn remove(&self, key: &AttemptKey) -> Result<bool, StateError> {
        Ok(self.0.lock().unwrap().attempts.remove(key).is_some())
    }

    async fn scan(
        &self,
        _: &mut (dyn FnMut(AttemptKey, Registers) + Send),
    ) -> Result<(), StateError> {
        Ok(())
    }

    async fn position(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }
}

/// One answer of one attempt, padded to some 300 bytes.
fn answer(attempt: usize) -> String {
    let pad = "x".repeat(120);
    format!(
        r#"{{"v":1,"id":"a{attempt}","type":"answer","ts":1700000000.5,"sent":1700000000.4,"at":1700000000.3,"site":"s","quiz":1,"attempt":{attempt},"usage":1,"qa":1,"slot":1,"student_id":7,"page":"p","seq":{attempt},"status":1,"fields":{{"a":"{pad}"}}}}"#
    )
}

fn put_answers(writer: &mut exam_spool::Writer, attempts: std::ops::Range<usize>) {
    for attempt in attempts {
        writer.append(&[answer(attempt).as_bytes()]).unwrap();
    }
}

#[test]
fn the_fold_goes_on_while_firehose_is_away_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let memory = Memory::default();
    let fake = Fake::new(|_, call, r| match call {
        1..=3 => Err(PutError::Unavailable("scripted".into())),
        _ => take_all(r),
    });
    let sender = start_with(&spool, &fake, Some(memory.store()));
    let mut writer = spool.writer("exam").unwrap();
    put_answers(&mut writer, 1..101);
    let took = eventually("folded", 5, || memory.attempts() == 100);
    assert!(took < SECOND, "{took:?}");
    assert!(flush(&spool, 20 * SECOND).unwrap());

    memory.away(true);
    put_answers(&mut writer, 101..201);
    assert!(
        flush(&spool, 5 * SECOND).unwrap(),
        "delivery does not wait for the store"
    );
    eventually("the hold is told", 2, || {
        status(&spool).state.hold.is_some()
    });
    assert!(status(&spool).oldest_unfolded.is_some());
    memory.away(false);
    eventually("folded", 5, || memory.attempts() == 200);
    eventually("told", 2, || status(&spool).state.hold.is_none());
    writer.seal();
    eventually("deleted when both are done", 5, || {
        spool.segments().unwrap().is_empty()
    });
    let totals = spool.totals().unwrap();
    assert_eq!((totals.delivered, totals.folded), (200, 200));
    assert!(status(&spool).put_to_folded.quantile(0.5).is_some());
    sender.stop(SECOND);
}

#[test]
fn a_line_the_fold_can_make_nothing_of_is_passed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let memory = Memory::default();
    let fake = Fake::new(|_, _, r| Ok(vec![None; r.len()]));
    let mut writer = spool.writer("exam").unwrap();
    let bad = br#"{"v":1,"type":"answer","id":"x","ts":"never"} "#;
    // Delivery does not look inside; the fake's ids do, so give it one.
    writer.append(&[bad]).unwrap();
    put_answers(&mut writer, 1..11);
    let sender = start_with(&spool, &fake, Some(memory.store()));
    eventually("folded", 5, || memory.attempts() == 10);
    writer.seal();
    eventually("deleted", 5, || spool.segments().unwrap().is_empty());
    eventually("counted", 2, || status(&spool).state.malformed == 1);
    sender.stop(SECOND);
}

#[test]
fn after_an_outage_what_comes_in_is_folded_before_the_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let memory = Memory::default();
    memory.away(true);
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start_with(&spool, &fake, Some(memory.store()));
    let mut writer = spool.writer("exam").unwrap();
    put_answers(&mut writer, 1..60_001); // some 20 MB, in several segments
    assert!(flush(&spool, 20 * SECOND).unwrap());
    memory.away(false);
    eventually("it is back", 5, || memory.attempts() > 0);
    put_answers(&mut writer, 100_000..100_010);
    let fresh = |kept: &Kept| {
        let key = |n| AttemptKey {
            site: "s".into(),
            who: exam_record::Who::Attempt(n),
        };
        (100_000..100_010).all(|n| kept.attempts.contains_key(&key(n)))
    };
    let took = eventually("the new answers are folded", 5, || {
        fresh(&memory.0.lock().unwrap())
    });
    let left = 60_010 - memory.attempts();
    println!("new answers folded {took:?} after they were put, {left} of the backlog left");
    assert!(left > 10_000, "they did not wait for the backlog");
    eventually("the backlog is folded", 60, || memory.attempts() == 60_010);
    writer.seal();
    eventually("deleted", 5, || spool.segments().unwrap().is_empty());
    assert_eq!(spool.totals().unwrap().folded, 60_010);
    sender.stop(SECOND);
}

#[test]
fn a_store_that_refuses_for_ever_is_told_and_delivery_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let memory = Memory::default();
    memory.0.lock().unwrap().refuses = true;
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start_with(&spool, &fake, Some(memory.store()));
    let mut writer = spool.writer("exam").unwrap();
    put_answers(&mut writer, 1..101);
    assert!(flush(&spool, 20 * SECOND).unwrap());
    eventually("the hold is told", 5, || {
        status(&spool).state.hold.is_some()
    });
    std::thread::sleep(SECOND);
    let figures = Figures::read(&spool).unwrap().to_json();
    let why = figures["fold_hold"].as_str().unwrap();
    assert!(why.contains("state store refuses (WRONGTYPE"), "{why}");
    assert!(figures["oldest_unfolded"].as_f64().unwrap() >= 1.0);
    assert!(figures["fold_hold_since"].as_f64().unwrap() > 1.7e9);
    assert_eq!(
        (figures["delivered"].as_u64(), figures["folded"].as_u64()),
        (Some(100), Some(0))
    );
    sender.stop(SECOND);
}

#[test]
fn with_the_store_away_a_full_spool_leaves_the_fold_to_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool_of(dir.path(), 4 << 20);
    let memory = Memory::default();
    memory.away(true);
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start_with(&spool, &fake, Some(memory.store()));
    let mut writer = spool.writer("exam").unwrap();
    let mut accepted = 0;
    // Four times the limit goes through.
    for n in 0..50_000 {
        let line = answer(n);
        for _ in 0..2_000 {
            if writer.append(&[line.as_bytes()]).unwrap() == exam_spool::Appended::All {
                accepted += 1;
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(
            accepted,
            n + 1,
            "no room in 4 s: {:?}, {:?}",
            spool.usage(),
            status(&spool)
        );
    }
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!(fake.taken("exam"), 50_000);
    let skipped = spool.totals().unwrap().skipped;
    assert!(skipped > 20_000, "{skipped}");
    assert!(!spool.state_skipped().unwrap().is_empty());
    memory.away(false);
    let expected = |totals: exam_spool::Totals| totals.folded + totals.skipped == 50_000;
    eventually("the rest is folded", 10, || {
        expected(spool.totals().unwrap())
    });
    sender.stop(SECOND);
}
