//! Prints how fast the hot paths are: `cargo run --release -p exam-record --example speed`.
//! One thread; the least of five rounds, so that what else runs on the machine matters little.

use std::hint::black_box;
use std::time::Instant;

use exam_record::make::{self, Attempt, Stamp};
use exam_record::{Registers, fold, timed_line, validate_json_line};
use serde::de::IgnoredAny;

fn nanoseconds(what: &str, lines: &[String], mut work: impl FnMut(&[u8])) {
    let round = |work: &mut dyn FnMut(&[u8])| {
        let start = Instant::now();
        lines.iter().for_each(|line| work(line.as_bytes()));
        start.elapsed().as_nanos() as f64 / lines.len() as f64
    };
    let least = (0..5).map(|_| round(&mut work)).fold(f64::MAX, f64::min);
    println!("{what:<42} {least:>7.0} ns, {:>9.0} /s", 1e9 / least);
}

fn main() {
    let lines: Vec<String> = (0..100_000u64)
        .map(|i| {
            let attempt = Attempt {
                site: "moodle.example".into(),
                quiz: 4,
                attempt: (i % 2_000) as i64,
                usage: 170,
                student_id: (i % 2_000) as i64,
            };
            let (at, page) = (
                1_763_800_000_000_000 + i * 1_000,
                "00064424f1a2b3c4-9f8e7d6c.1a2b3c4d",
            );
            let id = format!("{i}-{page}");
            let stamp = Stamp {
                id: &id,
                ts: at + 12_345,
                at,
                page,
                seq: i as i64,
            };
            make::answer(
                &attempt,
                &stamp,
                (i % 20) as u32 + 1,
                7,
                1,
                &[("answer", "0.666"), (":sequencecheck", "1")],
            )
        })
        .collect();
    let short: Vec<String> = lines
        .iter()
        .map(|line| {
            let end = line.find(",\"page\"").unwrap_or(line.len());
            format!("{}}}", &line[..end])
        })
        .collect();
    for lines in [&short, &lines] {
        println!("records of {} bytes", lines[0].len());
        nanoseconds("serde_json, from_slice::<IgnoredAny>", lines, |line| {
            black_box(serde_json::from_slice::<IgnoredAny>(line).is_ok());
        });
        nanoseconds("validate_json_line", lines, |line| {
            black_box(validate_json_line(line).is_ok());
        });
        nanoseconds("timed_line", lines, |line| {
            let _ = black_box(timed_line(line));
        });
    }
    nanoseconds("parse", &lines, |line| {
        black_box(exam_record::parse(line).is_ok());
    });
    nanoseconds("fold", &lines, |line| {
        black_box(fold(line).is_ok());
    });
    let mut attempts = vec![Registers::default(); 2_000];
    let mut i = 0;
    nanoseconds("fold and apply to 2,000 attempts", &lines, |line| {
        if let Ok(Some(folded)) = fold(line) {
            folded
                .ops
                .into_iter()
                .for_each(|op| attempts[i % 2_000].apply(op));
        }
        i += 1;
    });
}
