//! The page of a made exam, to look at: two rooms, a lost connection, a broken question, and two
//! students whose answers are alike.
//!
//! `cargo run --release -p exam-report --example made > exam.html`

use std::fmt::Write;

use exam_report::{Key, Records, page};
use fastrand::Rng;

const BEGIN: f64 = 1_763_805_600.0;
const QUESTIONS: u32 = 32;

fn main() {
    let mut rng = Rng::with_seed(5);
    let mut records = Records::of(4, None);
    let mut key = Key::default();
    for slot in 1..=QUESTIONS {
        key.add(&slot.to_string(), &(100 * slot).to_string());
    }
    let mut number = 0;
    let mut add = |kind: &str, student: i64, ts: f64, more: &str| {
        number += 1;
        let line = format!(
            r#"{{"v":1,"id":"{number}","type":"{kind}","ts":{ts:.3},"sent":{:.3},"site":"moodle.example","quiz":4,"attempt":{},"student_id":{student},"page":"p","seq":{number}{more}}}"#,
            ts - 0.04 - 0.2 * (number as f64 * 0.77).sin().powi(8),
            student + 1000,
        );
        records.add(line.as_bytes());
    };
    let mut source: Vec<u32> = Vec::new();
    for student in 1..=300i64 {
        let begin = BEGIN + if student % 3 == 0 { 300.0 } else { 0.0 } + 20.0 * rng.f64();
        let ability = if student == 7 {
            -0.7
        } else {
            rng.f64() + rng.f64() - 1.0
        };
        let orders: Vec<Vec<u32>> = (1..=QUESTIONS)
            .map(|slot| {
                let mut options: Vec<u32> = (0..4).map(|option| 100 * slot + option).collect();
                rng.shuffle(&mut options);
                options
            })
            .collect();
        let mut started = String::from(r#","slots":{"32":32},"order":{"#);
        for (slot, order) in (1..).zip(&orders) {
            let _ = write!(
                started,
                "{}\"{slot}\":{order:?}",
                if slot > 1 { "," } else { "" }
            );
        }
        add("started", student, begin, &(started + "}"));
        let lost = (student % 23 == 0).then(|| begin + 600.0 + 1200.0 * rng.f64());
        let mut clock = begin;
        let mut heard = begin;
        let mut chosen = Vec::new();
        for slot in 1..=QUESTIONS {
            let hard = f64::from(slot % 7) / 9.0;
            clock += 15.0 + 110.0 * rng.f64() * (0.6 + hard);
            if slot == 11 {
                clock += 90.0 * rng.f64();
            }
            let skipped = if slot == 11 {
                rng.f64() < 0.6
            } else {
                rng.f64() < 0.03
            };
            let mut option = 0;
            if rng.f64() > 0.8 - 0.5 * hard + 0.35 * ability || slot == 11 {
                option = 1 + [0, 0, 0, 1, 1, 2][rng.usize(..6)];
            }
            if student == 8 && rng.f64() < 0.95 {
                option = source[slot as usize - 1];
            }
            chosen.push(option);
            let away = lost.is_some_and(|from| (from..from + 240.0).contains(&clock));
            while heard + 15.0 < clock {
                heard += 15.0;
                if lost.is_none_or(|from| !(from..from + 240.0).contains(&heard)) {
                    add("alive", student, heard, "");
                }
            }
            if skipped || away {
                continue;
            }
            let position = orders[slot as usize - 1]
                .iter()
                .position(|o| *o == 100 * slot + option);
            let answer = format!(
                r#","slot":{slot},"qa":{slot},"status":1,"fields":{{"answer":"{}"}}"#,
                position.unwrap_or(0)
            );
            add("answer", student, clock, &answer);
            heard = clock;
        }
        if student == 7 {
            source = chosen;
        }
        add("submitted", student, clock + 30.0, "");
    }
    for (at, name, attempt, slot, row) in [
        (
            980.0,
            "question_skipped",
            0,
            11,
            r#"{"passed":171,"skipped":106,"skip_rate":0.6198830409,"skip_rate_of_others":0.0312}"#,
        ),
        (
            1260.0,
            "gone",
            1023,
            0,
            r#"{"silent_s":240,"last_seen":"10:19:02"}"#,
        ),
        (
            1500.0,
            "fast_and_correct",
            1120,
            17,
            r#"{"answered":14,"correct":13,"mean_correct":4.1034,"z":4.7182}"#,
        ),
    ] {
        let about = match (attempt, slot) {
            (0, slot) => format!(r#""slot":{slot},"#),
            (attempt, 0) => format!(r#""attempt":{attempt},"student_id":{},"#, attempt - 1000),
            (attempt, slot) => format!(
                r#""attempt":{attempt},"student_id":{},"slot":{slot},"#,
                attempt - 1000
            ),
        };
        let line = format!(
            r#"{{"v":1,"id":"s{at}","type":"signal","ts":{ts},"at":{ts},"site":"moodle.example","quiz":4,{about}"name":"{name}","revision":0,"row":{row}}}"#,
            ts = BEGIN + at
        );
        records.add(line.as_bytes());
    }
    println!(
        "{}",
        page(&records.exam("Mathematics, final examination", BEGIN + 7200.0, &key))
    );
}
