//! The figures of `docs/signals.md` that rest on made exams: what thedoes where nobody
//! copies, what it finds where somebody does, and what it costs.
//!
//! `cargo run --release -p exam-similarity --example figures [EXAMS]`

#[path = "../tests/made/mod.rs"]
mod made;

use std::time::Instant;

use exam_similarity::{Options, Pace, compare};
use made::Exam;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exams: u64 = std::env::args().nth(1).map_or(Ok(40), |n| n.parse())?;
    let options = Options::default();

    println!(
        "Honest exams, shared pace: {exams} of each size. List: exams that list any pair at a rate of 0.05."
    );
    println!("students items mean      sd     sd (least, most)  list");
    for (students, items) in [
        (40, 20),
        (40, 60),
        (100, 40),
        (300, 10),
        (300, 60),
        (800, 40),
    ] {
        {
            let mut any = 0;
            let (mut mean, mut sd, mut range) = (0.0, 0.0, (f64::MAX, 0f64));
            for seed in 0..exams {
                let matrix = Exam {
                    seed,
                    students,
                    items,
                    ..Exam::default()
                }
                .make();
                let report = compare(&matrix, &options)?;
                any += u64::from(!report.pairs.is_empty());
                mean += report.mean / exams as f64;
                sd += report.sd / exams as f64;
                range = (range.0.min(report.sd), range.1.max(report.sd));
            }
            println!(
                "{students:8} {items:5} {mean:8.3} {sd:8.3}  {:6.3} {:6.3}  {any} of {exams}",
                range.0, range.1
            );
        }
    }

    println!(
        "\nPlanted copying: 10 pairs, the second takes over this share of the items. Found: pairs listed of those planted; false: listed of those not."
    );
    println!("students items copied  found   false");
    for (students, items) in [
        (100, 20),
        (100, 40),
        (300, 40),
        (800, 40),
        (300, 80),
        (800, 170),
    ] {
        for copied in [0.1, 0.2, 0.4, 0.6] {
            {
                let (mut found, mut wrong) = (0, 0);
                let rounds = exams.min(if items > 100 { 5 } else { 20 });
                for seed in 0..rounds {
                    let exam = Exam {
                        seed,
                        students,
                        items,
                        copiers: 10,
                        copied,
                        ..Exam::default()
                    };
                    let planted = exam.copying();
                    for pair in compare(&exam.make(), &options)?.pairs {
                        if planted.contains(&pair.students) {
                            found += 1
                        } else {
                            wrong += 1
                        }
                    }
                }
                let of = rounds as f64 * 10.0;
                println!(
                    "{students:8} {items:5} {copied:6} {:6.1}% {:5.1}% of the listed",
                    100.0 * f64::from(found) / of,
                    100.0 * f64::from(wrong) / f64::from((found + wrong).max(1)),
                );
            }
        }
    }

    println!(
        "\nIdentical wrong answers at one moment, honest pairs of one centre: how often p is at most 0.05, 0.01."
    );
    for pace in [made::Pace::Own, made::Pace::Announced] {
        let (mut judged, mut five, mut one) = (0, 0, 0);
        for seed in 0..exams.min(20) {
            let exam = Exam {
                seed,
                centres: 12,
                items: 60,
                pace,
                ..Exam::default()
            };
            let matrix = exam.make();
            let mut pace = Pace::of(&matrix, 10.0).ok_or("no times")?;
            for a in 0..exam.students {
                for b in (a + 1..exam.students).filter(|b| a / 2 % 12 == b / 2 % 12) {
                    if let Some(found) = pace.co_timed(a, b) {
                        judged += 1;
                        five += u32::from(found.p <= 0.05);
                        one += u32::from(found.p <= 0.01);
                    }
                }
            }
        }
        let share = |n: u32| 100.0 * f64::from(n) / f64::from(judged);
        println!(
            "{pace:?}: {judged} pairs, {:.2} %, {:.2} %",
            share(five),
            share(one)
        );
    }

    let matrix = Exam {
        students: 1636,
        items: 170,
        ..Exam::default()
    }
    .make();
    {
        let begun = Instant::now();
        let report = compare(&matrix, &options)?;
        println!(
            "\n{} pairs of 1636 x 170 in {:.2} s",
            report.comparisons,
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
