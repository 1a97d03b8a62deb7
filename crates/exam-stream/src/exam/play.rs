//! Plays an exam: every record of every student in the order of sending, each
//! at its time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Clock, Exam, Micros, Plan, Sent, now};

/// How fast.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Times faster than the exam was.
    Speed(f64),
    /// The exam is over and its records are sent without a pause.
    AsFastAsPossible,
}

impl Pace {
    /// The clock of an exam that begins now, or of one that has just ended.
    pub fn clock(self, exam: &dyn Exam) -> Clock {
        match self {
            Pace::Speed(speed) => Clock {
                start: now(),
                speed,
            },
            Pace::AsFastAsPossible => Clock {
                start: now() - exam.length(),
                speed: 1.0,
            },
        }
    }
}

/// All records of an exam in the order of sending. Holds a number per student,
/// not the records.
pub struct Schedule<'a> {
    exam: &'a dyn Exam,
    next: BinaryHeap<Reverse<(Micros, u32, u32)>>,
}

impl<'a> Schedule<'a> {
    pub fn new(exam: &'a dyn Exam) -> Schedule<'a> {
        let first = |student| {
            let plan = exam.plan(student);
            plan.sent
                .first()
                .map(|sent| Reverse((sent.sent, student, 0)))
        };
        Schedule {
            exam,
            next: (0..exam.students()).filter_map(first).collect(),
        }
    }
}

impl Iterator for Schedule<'_> {
    type Item = (u32, Plan, Sent);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, student, k)) = self.next.pop()?;
        let plan = self.exam.plan(student);
        let sent = plan.sent[k as usize];
        if let Some(next) = plan.sent.get(k as usize + 1) {
            self.next.push(Reverse((next.sent, student, k + 1)));
        }
        Some((student, plan, sent))
    }
}

/// Sleeps until a moment on the wall clock. Sleeps are cut short by `stop`.
pub fn wait_until(wall: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let left = wall.saturating_sub(now());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_micros(left.min(100_000)));
    }
}

/// A line of progress where a person is watching; silent in a pipe.
pub fn progress(records: u64) -> ProgressBar {
    let bar = ProgressBar::new(records);
    if let Ok(style) = ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {human_pos} of {human_len} records {msg}",
    ) {
        bar.set_style(style);
    }
    bar
}

/// True once Ctrl-C or SIGTERM has come.
pub fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    std::thread::spawn(move || {
        // Without a handler the signal ends the program, which is as well.
        let _ = runtime.block_on(crate::settings::told_to_end());
        flag.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}
