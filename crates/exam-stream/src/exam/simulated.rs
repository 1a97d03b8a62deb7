//! A simulated exam of any number of students over one hour.
//!
//! What makes exams hard for a pipeline is in it: most students start within
//! the same minute and many answer in the last three; answers are revised,
//! cleared, redone; connections drop, and what was done meanwhile arrives
//! afterwards in a burst, in any order, the last record before the gap a
//! second time; some students go on with a second device beside the first;
//! some records are minutes late; some students never hand in, some are let
//! in again.
//!
//! A plan depends on the seed and the student's number alone.

use std::io::Write;

use fastrand::Rng;

use super::{Edit, Exam, Micros, Plan, Sent, TrueSlot, What, mix, qa};

pub const SLOTS: u32 = 10;
const SLOTS_A_PAGE: u32 = 5;

const SECOND: Micros = 1_000_000;
/// When the time is up.
const LENGTH: Micros = 3600 * SECOND;

pub struct Simulated {
    students: u32,
    seed: u64,
    records: u64,
    length: Micros,
}

/// A script at work in one browser.
struct Device {
    page: u16,
    quiz_page: u32,
    seq: u32,
    hidden: u32,
}

/// A student at work: the plan as far as it is written.
struct Desk {
    rng: Rng,
    plan: Plan,
    attempt: i64,
    server_seq: u32,
    /// Per slot: what it holds, what was answered first, whether it was redone.
    content: [u32; SLOTS as usize],
    first: [u32; SLOTS as usize],
    redone: u32,
    offline: (Micros, Micros),
}

impl Simulated {
    pub fn new(students: u32, seed: u64) -> Simulated {
        let mut exam = Simulated {
            students,
            seed,
            records: 0,
            length: 0,
        };
        for student in 0..students {
            let plan = exam.plan(student);
            exam.records += plan.sent.len() as u64;
            exam.length = exam
                .length
                .max(plan.sent.last().map_or(0, |last| last.sent));
        }
        exam
    }
}

impl Desk {
    fn chance(&mut self, of_one: f64) -> bool {
        self.rng.f64() < of_one
    }

    fn offline(&self, at: Micros) -> bool {
        (self.offline.0..self.offline.1).contains(&at)
    }

    /// Moodle itself writes: at once, never late, on a page instance of its own.
    fn server(&mut self, at: Micros, what: What) {
        self.server_seq += 1;
        let edit = Edit {
            at,
            page: 0,
            seq: self.server_seq,
            what,
        };
        self.plan.sent.push(Sent { sent: at, edit });
        if !matches!(what, What::Saved { .. }) {
            self.plan.truth.lifecycle = Some(what.kind());
        }
    }

    /// The browser writes; when it is sent depends on the line.
    fn browser(&mut self, device: &mut Device, at: Micros, what: What) -> Edit {
        device.seq += 1;
        let edit = Edit {
            at,
            page: device.page,
            seq: device.seq,
            what,
        };
        let mut sent = at + SECOND * 2 / 5;
        if self.offline(at) {
            // The whole outbox at once: order is not promised.
            sent = self.offline.1 + self.rng.u64(SECOND / 5..2 * SECOND);
        }
        if self.chance(0.03) {
            sent += self.rng.u64(5 * SECOND..120 * SECOND);
        }
        self.plan.sent.push(Sent { sent, edit });
        if self.chance(0.01) {
            // The answer to the first request was lost.
            self.plan.sent.push(Sent {
                sent: sent + 3 * SECOND,
                edit,
            });
        }
        edit
    }

    fn open(&mut self, at: Micros, quiz_page: u32) -> Device {
        self.plan.pages.push(at);
        Device {
            page: self.plan.pages.len() as u16 - 1,
            quiz_page,
            seq: 0,
            hidden: 0,
        }
    }

    /// The form of a page reaches Moodle.
    fn post(&mut self, at: Micros, device: &mut Device) {
        let slots = ((1 << SLOTS_A_PAGE) - 1) << (device.quiz_page * SLOTS_A_PAGE);
        let what = What::Saved {
            slots,
            redone: self.redone,
        };
        device.seq += 1;
        let edit = Edit {
            at,
            page: device.page,
            seq: device.seq,
            what,
        };
        self.plan.sent.push(Sent { sent: at, edit });
        for (slot, truth) in &mut self.plan.truth.slots {
            truth.saved |= slots & (1 << (slot - 1)) != 0;
        }
    }

    fn answer(&mut self, device: &mut Device, at: Micros, slot: u32) {
        let n = slot as usize - 1;
        let mut content = 1 + self.rng.u32(0..4);
        if self.content[n] != 0 && self.chance(0.05) {
            content = 0;
        } else if self.content[n] != 0 && self.redone & (1 << n) == 0 && self.chance(0.05) {
            self.redone |= 1 << n;
            self.first[n] = 0;
        }
        self.content[n] = content;
        if self.first[n] == 0 {
            self.first[n] = content;
        }
        let redone = self.redone & (1 << n) != 0;
        // Moodle counts the steps of a question: it grows with each form post.
        let sequencecheck = 1 + self.plan.pages.len() as u32 / 2;
        let what = What::Answer {
            slot,
            redone,
            content,
            sequencecheck,
        };
        let edit = self.browser(device, at, what);
        self.plan.truth.slots.insert(
            slot,
            TrueSlot {
                edit,
                qa: qa(self.attempt, slot, redone),
                answered: content != 0,
                changed: content != self.first[n],
                saved: false,
            },
        );
    }
}

impl Exam for Simulated {
    fn site(&self) -> &str {
        "simulated"
    }

    fn students(&self) -> u32 {
        self.students
    }

    fn attempt(&self, student: u32) -> i64 {
        1_000_000 + i64::from(student)
    }

    fn student_id(&self, student: u32) -> i64 {
        20_000 + i64::from(student)
    }

    fn plan(&self, student: u32) -> Plan {
        let mut rng = Rng::with_seed(mix(self.seed, u64::from(student)));
        // The start rush: nine of ten within two minutes.
        let start = if rng.f64() < 0.9 {
            SECOND + (-(1.0 - rng.f64()).ln() * 40.0 * SECOND as f64) as Micros
        } else {
            rng.u64(2 * 60 * SECOND..15 * 60 * SECOND)
        };
        // The last-minute rush.
        let hurried = rng.f64() < 0.6;
        let end = if hurried {
            LENGTH
        } else {
            start + (LENGTH - start) / 10 * rng.u64(5..10)
        };
        let mut moments: Vec<Micros> = (0..SLOTS + rng.u32(0..=SLOTS / 2))
            .map(|_| {
                if hurried && rng.f64() < 0.35 {
                    rng.u64(LENGTH - 180 * SECOND..LENGTH - 5 * SECOND)
                } else {
                    rng.u64(start + 10 * SECOND..end - 5 * SECOND)
                }
            })
            .collect();
        moments.sort_unstable();
        let mut offline = (0, 0);
        if rng.f64() < 0.15 {
            let from = rng.u64(start + 5 * SECOND..end);
            offline = (from, from + rng.u64(60 * SECOND..600 * SECOND));
        }
        let second_device = if rng.f64() < 0.05 {
            rng.u64(start + 10 * SECOND..end)
        } else {
            Micros::MAX
        };

        let mut desk = Desk {
            rng,
            plan: Plan::default(),
            attempt: self.attempt(student),
            server_seq: 0,
            content: [0; SLOTS as usize],
            first: [0; SLOTS as usize],
            redone: 0,
            offline,
        };
        desk.plan.truth.of = SLOTS;
        desk.plan.pages.push(start); // page 0: Moodle's own records
        desk.server(start, What::Started);
        let mut devices = vec![desk.open(start + SECOND, 0)];
        let mut closed = vec![];
        let mut now = start;
        for (k, moment) in (0u32..).zip(moments) {
            now = moment.max(now + 4 * SECOND);
            let online = !desk.offline(now) && !desk.offline(now - 3 * SECOND);
            if now >= second_device && devices.len() == 1 && online {
                devices.push(desk.open(now - 2 * SECOND, 0));
            }
            let which = desk.rng.usize(..devices.len());
            let mut device = devices.swap_remove(which);
            let mut slot = if k < SLOTS {
                k + 1
            } else {
                desk.rng.u32(1..=SLOTS)
            };
            let quiz_page = (slot - 1) / SLOTS_A_PAGE;
            if quiz_page != device.quiz_page {
                if online {
                    desk.post(now - 2 * SECOND, &mut device);
                    closed.push(device);
                    device = desk.open(now - SECOND, quiz_page);
                } else {
                    // No other page can be had: work goes on on this one.
                    slot = device.quiz_page * SLOTS_A_PAGE + (slot - 1) % SLOTS_A_PAGE + 1;
                }
            }
            desk.answer(&mut device, now, slot);
            if desk.chance(0.2) {
                device.hidden += desk.rng.u32(0..3);
                let hidden = device.hidden;
                desk.browser(&mut device, now + SECOND / 2, What::Alive { hidden });
            }
            devices.push(device);
        }
        now = end.max(now + 5 * SECOND).max(offline.1 + 5 * SECOND);
        if desk.chance(0.85) {
            desk.post(now - SECOND, &mut devices[0]);
            desk.server(now, What::Finished);
            if desk.chance(0.02) {
                desk.server(now + 30 * SECOND, What::Reopened);
                let slot = devices[0].quiz_page * SLOTS_A_PAGE + 1;
                desk.answer(&mut devices[0], now + 40 * SECOND, slot);
                desk.server(now + 60 * SECOND, What::Finished);
            }
        } else {
            desk.server(now.max(LENGTH) + 10 * SECOND, What::Overdue);
        }
        closed.append(&mut devices);

        let mut plan = desk.plan;
        plan.truth.hidden = closed.iter().map(|device| device.hidden).sum();
        plan.sent.sort_by_key(|sent| sent.sent);
        // What was on its way when the line broke is sent again.
        if let Some(last) = plan
            .sent
            .iter()
            .rfind(|sent| sent.sent < offline.0)
            .copied()
        {
            let again = Sent {
                sent: offline.1 + SECOND / 10,
                ..last
            };
            let place = plan.sent.partition_point(|sent| sent.sent < again.sent);
            plan.sent.insert(place, again);
        }
        plan.truth.last_seen = plan.sent.last().map_or(0, |last| last.sent);
        plan
    }

    fn details(&self, student: u32, what: &What, out: &mut Vec<u8>) {
        let attempt = self.attempt(student);
        let listed = |slots: u32, redone: u32, out: &mut Vec<u8>| {
            let mut comma = "";
            for slot in (1..=SLOTS).filter(|slot| slots & (1 << (slot - 1)) != 0) {
                let qa = qa(attempt, slot, redone & (1 << (slot - 1)) != 0);
                let _ = write!(out, r#"{comma}"{slot}":{qa}"#);
                comma = ",";
            }
        };
        match what {
            What::Answer {
                slot,
                redone,
                content,
                ..
            } => {
                let status = u8::from(*content != 0);
                let qa = qa(attempt, *slot, *redone);
                let _ = write!(
                    out,
                    r#","slot":{slot},"qa":{qa},"status":{status},"fields":"#
                );
                self.fields(student, what, out);
            }
            What::Started => {
                out.extend_from_slice(br#","slots":{"#);
                listed(u32::MAX, 0, out);
                out.push(b'}');
            }
            What::Saved { slots, redone } => {
                out.extend_from_slice(br#","slots":{"#);
                listed(*slots, *redone, out);
                out.push(b'}');
            }
            What::Alive { hidden } => {
                let _ = write!(out, r#","counts":{{"hidden":{hidden}}}"#);
            }
            What::Finished | What::Overdue | What::Reopened | What::Row { .. } => {}
        }
    }

    /// One kind of question a slot: single choice, several choices, number,
    /// matching, essay.
    fn fields(&self, student: u32, what: &What, out: &mut Vec<u8>) {
        let What::Answer {
            slot,
            content,
            sequencecheck,
            ..
        } = *what
        else {
            return;
        };
        let _ = match slot % SLOTS_A_PAGE {
            1 => write!(out, r#"{{"answer":"{}""#, i64::from(content) - 1),
            2 => write!(
                out,
                r#"{{"choice0":"{}","choice1":"{}","choice2":"{}""#,
                content & 1,
                content >> 1 & 1,
                content >> 2 & 1
            ),
            3 if content == 0 => write!(out, r#"{{"answer":"""#),
            3 => write!(
                out,
                r#"{{"answer":"{}","unit":"m/s²""#,
                student * 10 + content
            ),
            4 => write!(out, r#"{{"sub0":"{content}","sub1":"{}""#, content * 2 % 5),
            _ if content == 0 => write!(out, r#"{{"answer":"","answerformat":"1""#),
            _ => write!(
                out,
                r#"{{"answer":"<p dir=\"ltr\">{content}. ∫₀¹ x² dx = ⅓ \\ proof by {student}\n</p>","answerformat":"1""#
            ),
        };
        let _ = write!(
            out,
            r#","-certainty":"1",":sequencecheck":"{sequencecheck}"}}"#
        );
    }

    fn length(&self) -> Micros {
        self.length
    }

    fn records(&self) -> u64 {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_student_never_does_two_things_at_once() {
        let exam = Simulated::new(500, 7);
        for student in 0..500 {
            let plan = exam.plan(student);
            let mut edits: Vec<Edit> = plan.sent.iter().map(|sent| sent.edit).collect();
            edits.sort_by_key(|edit| (edit.at, edit.page, edit.seq));
            edits.dedup_by_key(|edit| (edit.page, edit.seq));
            for pair in edits.windows(2) {
                assert!(pair[0].at < pair[1].at, "student {student}: {pair:?}");
            }
            assert!(plan.sent.iter().all(|sent| sent.sent >= sent.edit.at));
            assert!(plan.sent.is_sorted_by_key(|sent| sent.sent));
        }
    }

    #[test]
    fn the_exam_has_what_makes_exams_hard() {
        let exam = Simulated::new(2000, 7);
        let (mut resent, mut late, mut two, mut changed, mut cleared, mut rush) =
            (0, 0, 0, 0, 0, 0);
        for student in 0..2000 {
            let plan = exam.plan(student);
            let mut ids: Vec<_> = plan
                .sent
                .iter()
                .map(|sent| (sent.edit.page, sent.edit.seq))
                .collect();
            ids.sort_unstable();
            let sent = ids.len();
            ids.dedup();
            resent += sent - ids.len();
            late += plan
                .sent
                .windows(2)
                .filter(|w| w[1].edit.at < w[0].edit.at)
                .count();
            let mut by_time: Vec<Edit> = plan.sent.iter().map(|sent| sent.edit).collect();
            by_time.sort_by_key(|edit| edit.at);
            two += by_time
                .windows(2)
                .filter(|w| w[0].page != 0 && w[1].page != 0 && w[1].page < w[0].page)
                .count();
            changed += plan
                .truth
                .slots
                .values()
                .filter(|slot| slot.changed)
                .count();
            cleared += plan
                .truth
                .slots
                .values()
                .filter(|slot| !slot.answered)
                .count();
            rush += usize::from(plan.sent[0].sent < 120 * SECOND);
        }
        println!(
            "2000 students, {} records: {resent} resent, {late} out of order, {two} turns between \
             devices, {changed} slots changed, {cleared} cleared, {rush} started in two minutes",
            exam.records()
        );
        assert!(resent > 300 && late > 300 && two > 100 && changed > 1000 && cleared > 50);
        assert!(rush > 1500);
    }
}
