//! Exams that are played rather than sat: a log of a real one ([`log`]) or a
//! simulated one ([`simulated`]).
//!
//! An exam is a number of students, each with a [`Plan`]: what the browser
//! made, when it was sent, and what the state must be in the end. A plan is
//! computed anew whenever it is needed, so that half a million students cost
//! no more memory than one number each.
//!
//! The truth a plan carries is written down while the student acts, in the
//! order in which things happened. No line of the fold is used for it: it is
//! what the fold is compared with.

pub mod audit;
pub mod endpoint;
pub mod log;
pub mod php;
pub mod play;
pub mod simulated;
pub mod truth;

use std::collections::BTreeMap;
use std::io::Write;

/// Microseconds of exam time: since the exam began, at its own speed.
pub type Micros = u64;

/// Which exam, in every record of it.
pub const QUIZ: i64 = 1;

pub trait Exam: Sync {
    /// `site` of every record.
    fn site(&self) -> &str;
    fn students(&self) -> u32;
    /// The attempt of a student, counted from 0.
    fn attempt(&self, student: u32) -> i64;
    fn student_id(&self, student: u32) -> i64;
    fn plan(&self, student: u32) -> Plan;
    /// The members of the record that are this kind's own, each with a comma before it.
    fn details(&self, student: u32, what: &What, out: &mut Vec<u8>);
    /// The `fields` of an answer, as JSON.
    fn fields(&self, student: u32, what: &What, out: &mut Vec<u8>);
    /// Exam time from the first to the last record sent.
    fn length(&self) -> Micros;
    /// How many records are sent, resent ones included.
    fn records(&self) -> u64;
}

/// One student's exam.
#[derive(Default)]
pub struct Plan {
    /// When each page instance was minted.
    pub pages: Vec<Micros>,
    /// In the order of sending.
    pub sent: Vec<Sent>,
    pub truth: Truth,
}

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub sent: Micros,
    pub edit: Edit,
}

/// A record as its page made it.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    pub at: Micros,
    pub page: u16,
    pub seq: u32,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Started,
    Finished,
    Overdue,
    Reopened,
    /// An answer of a simulated exam: `content` 0 is a cleared one.
    Answer {
        slot: u32,
        redone: bool,
        content: u32,
        sequencecheck: u32,
    },
    /// A row of a log.
    Row {
        slot: u32,
        row: u32,
    },
    /// A form post that reached Moodle: bit n is slot n + 1.
    Saved {
        slots: u32,
        redone: u32,
    },
    Alive {
        hidden: u32,
    },
}

impl What {
    pub fn kind(&self) -> &'static str {
        match self {
            What::Started => "started",
            What::Finished => "finished",
            What::Overdue => "overdue",
            What::Reopened => "reopened",
            What::Answer { .. } | What::Row { .. } => "answer",
            What::Saved { .. } => "saved",
            What::Alive { .. } => "alive",
        }
    }
}

/// What the state of an attempt must be when everything has arrived.
#[derive(Default)]
pub struct Truth {
    pub slots: BTreeMap<u32, TrueSlot>,
    /// Number of slots of the quiz; 0: those answered.
    pub of: u32,
    pub lifecycle: Option<&'static str>,
    /// Sum over the page instances of their last count.
    pub hidden: u32,
    /// When the last record was received.
    pub last_seen: Micros,
}

pub struct TrueSlot {
    /// The last answer given.
    pub edit: Edit,
    pub qa: i64,
    pub answered: bool,
    /// It differs from what was answered first.
    pub changed: bool,
    /// A later form post reached Moodle.
    pub saved: bool,
}

/// Where exam time lies on the wall clock (microseconds since 1970).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub start: u64,
    pub speed: f64,
}

impl Clock {
    pub fn wall(&self, exam: Micros) -> u64 {
        self.start + (exam as f64 / self.speed) as u64
    }
}

/// Number of a question attempt: unique over the exam's attempts.
pub fn qa(attempt: i64, slot: u32, redone: bool) -> i64 {
    attempt * 1000 + i64::from(slot) + if redone { 500 } else { 0 }
}

/// Writes lines of one exam.
pub struct Writer<'a> {
    pub exam: &'a dyn Exam,
    pub clock: Clock,
}

impl Writer<'_> {
    /// The page instance, as the server mints it and the script completes it.
    pub fn page(&self, student: u32, plan: &Plan, page: u16) -> String {
        let minted = self.clock.wall(plan.pages[usize::from(page)]);
        let random = mix(u64::from(student), u64::from(page));
        format!("{minted:016x}-{:08x}.{:08x}", random as u32, random >> 32)
    }

    pub fn id(&self, student: u32, plan: &Plan, edit: &Edit) -> String {
        let page = self.page(student, plan, edit.page);
        format!("{}-{page}-{}", self.exam.attempt(student), edit.seq)
    }

    /// The record without its closing brace, `sent` and `ts`: those belong to
    /// who sends and who receives it.
    pub fn line(&self, student: u32, plan: &Plan, edit: &Edit, out: &mut Vec<u8>) {
        let page = self.page(student, plan, edit.page);
        let attempt = self.exam.attempt(student);
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            r#"{{"v":1,"id":"{attempt}-{page}-{seq}","type":"{kind}","site":"{site}","quiz":{QUIZ},"attempt":{attempt},"usage":{attempt},"student_id":{student_id},"page":"{page}","seq":{seq},"at":{at}"#,
            seq = edit.seq,
            kind = edit.what.kind(),
            site = self.exam.site(),
            student_id = self.exam.student_id(student),
            at = seconds(self.clock.wall(edit.at)),
        );
        self.exam.details(student, &edit.what, out);
    }
}

/// Seconds with six decimals, as the envelope has them.
pub fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Now, in microseconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// SplitMix64 over two numbers: the same plan for the same student, always.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
