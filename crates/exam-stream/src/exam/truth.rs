//! Compares the state store with what a played exam must have left there.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use exam_record::{AttemptView, SlotView};
use exam_state::{BOARD_ROWS, StateError, StateStore};
use indicatif::HumanCount;

use super::{QUIZ, TrueSlot, Writer};

/// Which attempts of the exam have been compared, and what was wrong.
pub struct Check<'a> {
    writer: &'a Writer<'a>,
    students: HashMap<i64, u32>,
    seen: Vec<bool>,
    /// Records got their `ts` from the exam's clock, so `last_seen` is known.
    last_seen_known: bool,
    pub equal: u32,
    /// The first few differences, as sentences.
    pub differences: Vec<String>,
    pub different: u32,
}

impl<'a> Check<'a> {
    pub fn new(writer: &'a Writer<'a>, last_seen_known: bool) -> Check<'a> {
        let exam = writer.exam;
        Check {
            students: (0..exam.students()).map(|n| (exam.attempt(n), n)).collect(),
            seen: vec![false; exam.students() as usize],
            writer,
            last_seen_known,
            equal: 0,
            differences: vec![],
            different: 0,
        }
    }

    /// Takes one attempt of the store; those of other sites, and what is known of a whole quiz, are
    /// not ours to judge.
    pub fn attempt(&mut self, view: &AttemptView) {
        let attempt = view.attempt.is_some() || view.user.is_some();
        if view.site != self.writer.exam.site() || !attempt {
            return;
        }
        let student = view
            .attempt
            .and_then(|attempt| self.students.get(&attempt).copied());
        match student {
            None => self.differ(format!("attempt {:?} is in no record", view.attempt)),
            Some(student) => {
                self.seen[student as usize] = true;
                match self.difference(student, view) {
                    None => self.equal += 1,
                    Some(difference) => {
                        let attempt = self.writer.exam.attempt(student);
                        self.differ(format!("attempt {attempt}: {difference}"));
                    }
                }
            }
        }
    }

    /// All attempts have been taken.
    pub fn finish(&mut self) {
        for student in 0..self.writer.exam.students() {
            if !self.seen[student as usize] {
                let attempt = self.writer.exam.attempt(student);
                self.differ(format!("attempt {attempt} is not in the state store"));
            }
        }
    }

    fn differ(&mut self, sentence: String) {
        self.different += 1;
        if self.differences.len() < 10 {
            self.differences.push(sentence);
        }
    }

    fn difference(&self, student: u32, view: &AttemptView) -> Option<String> {
        let exam = self.writer.exam;
        let plan = exam.plan(student);
        let truth = &plan.truth;
        let slots = truth
            .of
            .max(truth.slots.keys().last().copied().unwrap_or(0));
        let digit = |slot| truth.slots.get(&slot).map_or('0', digit);
        let word: String = std::iter::once('s').chain((1..=slots).map(digit)).collect();
        if view.word != word {
            return Some(format!("status word {}, should be {word}", view.word));
        }
        if view.student_id != Some(exam.student_id(student)) {
            return Some(format!("student {:?}", view.student_id));
        }
        let lifecycle = view
            .lifecycle
            .as_ref()
            .map(|lifecycle| lifecycle.kind.as_str());
        if lifecycle != truth.lifecycle {
            return Some(format!(
                "it is {lifecycle:?}, should be {:?}",
                truth.lifecycle
            ));
        }
        let hidden = view.counts.get("hidden").copied().unwrap_or(0);
        if hidden != u64::from(truth.hidden) {
            return Some(format!("hidden {hidden} times, should be {}", truth.hidden));
        }
        let last_seen = self.writer.clock.wall(truth.last_seen) as f64 / 1e6;
        if self.last_seen_known && view.last_seen != Some(last_seen) {
            return Some(format!(
                "last seen {:?}, should be {last_seen}",
                view.last_seen
            ));
        }
        if view.slots.len() != truth.slots.len() {
            return Some(format!(
                "{} slots, should be {}",
                view.slots.len(),
                truth.slots.len()
            ));
        }
        truth.slots.iter().find_map(|(slot, truth)| {
            let difference = match view.slots.get(slot) {
                None => Some("is missing".to_owned()),
                Some(view) => self.slot_difference(student, &plan, truth, view),
            };
            difference.map(|difference| format!("slot {slot} {difference}"))
        })
    }

    fn slot_difference(
        &self,
        student: u32,
        plan: &super::Plan,
        truth: &TrueSlot,
        view: &SlotView,
    ) -> Option<String> {
        let id = self.writer.id(student, plan, &truth.edit);
        if view.id != id {
            return Some(format!("holds {}, should be {id}", view.id));
        }
        let mut fields = Vec::new();
        self.writer
            .exam
            .fields(student, &truth.edit.what, &mut fields);
        if view.fields.get().as_bytes() != fields {
            let fields = String::from_utf8_lossy(&fields);
            return Some(format!("has fields {}, should be {fields}", view.fields));
        }
        let at = self.writer.clock.wall(truth.edit.at) as f64 / 1e6;
        if view.at != at {
            return Some(format!("was answered at {}, should be {at}", view.at));
        }
        if (view.qa, view.status == 1, view.saved) != (truth.qa, truth.answered, truth.saved) {
            return Some(format!(
                "is (qa, answered, saved) {:?}, should be {:?}",
                (view.qa, view.status == 1, view.saved),
                (truth.qa, truth.answered, truth.saved)
            ));
        }
        None
    }
}

fn digit(slot: &TrueSlot) -> char {
    match (slot.answered, slot.changed) {
        (false, _) => '0',
        (true, false) => '1',
        (true, true) => '2',
    }
}

/// The quiz's board says of each attempt the status word its state has.
async fn board_agrees(
    store: &dyn StateStore,
    site: &str,
    mut words: HashMap<i64, String>,
) -> Result<bool, StateError> {
    let (attempts, mut version, mut different) = (words.len(), 0, 0);
    loop {
        let board = store.board(site, QUIZ, version, BOARD_ROWS).await?;
        for (attempt, row) in board.rows {
            different += usize::from(words.remove(&attempt).as_ref() != Some(&row.word));
        }
        version = board.version;
        if !board.more {
            break;
        }
    }
    let equal = attempts - words.len() - different.min(attempts - words.len());
    println!(
        "board      {} of {} rows have the state's status word",
        HumanCount(equal as u64),
        HumanCount(attempts as u64)
    );
    Ok(words.is_empty() && different == 0)
}

/// Waits until the store has what the exam left, a minute at most, and says
/// whether it has.
pub fn compare(url: &str, writer: &Writer<'_>, last_seen_known: bool) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = exam_state::open(
        url,
        exam_state::Options {
            aws: exam_state::AwsEnv::snapshot(),
            ..Default::default()
        },
    )?;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let mut check = Check::new(writer, last_seen_known);
        let mut words = HashMap::new();
        runtime.block_on(store.scan(&mut |key, registers| {
            let view = AttemptView::new(&key, &registers);
            check.attempt(&view);
            if let (Some(attempt), true) = (view.attempt, view.site == writer.exam.site()) {
                words.insert(attempt, view.word);
            }
        }))?;
        check.finish();
        if check.different == 0 || Instant::now() > until {
            println!(
                "state      {} of {} attempts equal what the students did",
                HumanCount(check.equal.into()),
                HumanCount(writer.exam.students().into()),
            );
            for difference in &check.differences {
                println!("           {difference}");
            }
            let site = writer.exam.site();
            let board = runtime.block_on(board_agrees(&*store, site, words))?;
            return Ok(board && check.different == 0);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use exam_record::{AttemptKey, Registers, fold};

    use super::*;
    use crate::exam::log::Log;
    use crate::exam::simulated::Simulated;
    use crate::exam::{Clock, Exam, seconds};

    /// Folds what is sent, shuffled.
    fn folded(writer: &Writer<'_>, shuffle: u64) -> HashMap<AttemptKey, Registers> {
        let mut lines = vec![];
        for student in 0..writer.exam.students() {
            let plan = writer.exam.plan(student);
            for sent in &plan.sent {
                let mut line = vec![];
                writer.line(student, &plan, &sent.edit, &mut line);
                let ts = seconds(writer.clock.wall(sent.sent));
                line.extend_from_slice(format!(r#","sent":{ts},"ts":{ts}}}"#).as_bytes());
                lines.push(line);
            }
        }
        fastrand::Rng::with_seed(shuffle).shuffle(&mut lines);
        let mut state: HashMap<AttemptKey, Registers> = HashMap::new();
        for line in &lines {
            let folded = fold(line).unwrap().expect("each of these changes a state");
            let registers = state.entry(folded.key).or_default();
            folded.ops.into_iter().for_each(|op| registers.apply(op));
        }
        state
    }

    fn check(exam: &dyn Exam, speed: f64) {
        let clock = Clock {
            start: 1_790_000_000_000_000,
            speed,
        };
        let writer = Writer { exam, clock };
        for shuffle in 0..3 {
            let mut check = Check::new(&writer, true);
            let mut state = folded(&writer, shuffle);
            for (key, registers) in &state {
                check.attempt(&AttemptView::new(key, registers));
            }
            check.finish();
            assert_eq!(check.differences, [""; 0]);
            assert_eq!(check.equal, exam.students());

            // It does see what is missing.
            let gone = state.keys().next().unwrap().clone();
            state.remove(&gone);
            let mut check = Check::new(&writer, true);
            state.iter().for_each(|(key, registers)| {
                check.attempt(&AttemptView::new(key, registers));
            });
            check.finish();
            assert_eq!(check.different, 1);
        }
    }

    #[test]
    fn the_fold_of_a_simulated_exam_in_any_order_is_what_the_students_did() {
        check(&Simulated::new(1000, 3), 1.0);
        check(&Simulated::new(200, 4), 180.0);
    }

    #[test]
    fn the_fold_of_a_log_in_any_order_is_what_the_students_did() {
        let mut rng = fastrand::Rng::with_seed(5);
        let log: String = (0..20_000)
            .map(|n| {
                let (student, question) = (rng.u32(0..50), rng.u32(0..30));
                let millis = n * 40 - if rng.f64() < 0.01 { 10_000_000 } else { 0 };
                format!(
                    "{millis}\t{student}\tq{}_{question}\t0.{}\n",
                    question % 7,
                    rng.u32(0..9)
                )
            })
            .collect();
        let log = Log::parse(&log).unwrap();
        check(&log, 1.0);
        check(&log, 100_000.0);
    }
}
