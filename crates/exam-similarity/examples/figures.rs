//! The figures of `docs/signals.md` that rest on made exams: what the index does where nobody
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

    println!("{exams} honest exams of each size, 8 centres that start together:");
    println!("students items    mean      sd  (of all exams)  exams that list a pair at 0.05");
    for (students, items) in [(40, 20), (100, 40), (300, 10), (300, 60), (800, 40)] {
        let (mut listing, mut mean, mut sd, mut range) = (0, 0.0, 0.0, (f64::MAX, 0f64));
        for seed in 0..exams {
            let report = compare(
                &Exam {
                    seed,
                    students,
                    items,
                    ..Exam::default()
                }
                .make(),
                &options,
            )?;
            listing += u64::from(!report.pairs.is_empty());
            mean += report.mean / exams as f64;
            sd += report.sd / exams as f64;
            range = (range.0.min(report.sd), range.1.max(report.sd));
        }
        println!(
            "{students:8} {items:5} {mean:7.3} {sd:7.3}  {:.3} to {:.3}  {listing} ({:.1} %)",
            range.0,
            range.1,
            100.0 * listing as f64 / exams as f64
        );
    }

    println!("\n10 pairs copy this share of the items: how many of them are listed, and how many");
    println!("of the listed pairs are others:");
    println!("students items copied  listed  others");
    for (students, items, rounds) in [
        (100, 20, 40),
        (100, 40, 40),
        (300, 40, 40),
        (300, 80, 20),
        (800, 40, 20),
        (800, 170, 10),
    ] {
        for copied in [0.1, 0.2, 0.4, 0.6, 0.8] {
            let (mut found, mut others) = (0, 0);
            for seed in 0..rounds {
                let exam = Exam {
                    seed,
                    students,
                    items,
                    copiers: 10,
                    copied,
                    ..Exam::default()
                };
                for pair in compare(&exam.make(), &options)?.pairs {
                    let (a, b) = pair.students;
                    let planted = a % 2 == 0 && b == a + 1 && b < 20;
                    if planted { found += 1 } else { others += 1 }
                }
            }
            println!(
                "{students:8} {items:5} {:5.0} % {:6.1} % {:5.1} %",
                100.0 * copied,
                f64::from(found) / rounds as f64 * 10.0,
                100.0 * f64::from(others) / f64::from((found + others).max(1)),
            );
        }
    }

    println!("\nIdentical wrong answers at one moment, honest pairs of one centre:");
    for pace in [made::Pace::Own, made::Pace::Announced] {
        let (mut pairs, mut five, mut one) = (0, 0, 0);
        for seed in 0..exams.min(20) {
            let exam = Exam {
                seed,
                centres: 12,
                pace,
                ..Exam::default()
            };
            let matrix = exam.make();
            let mut pace = Pace::of(&matrix, options.within).ok_or("no times")?;
            for a in 0..exam.students {
                for b in (a + 1..exam.students).filter(|b| a / 2 % 12 == b / 2 % 12) {
                    if let Some(found) = pace.co_timed(a, b) {
                        pairs += 1;
                        five += u32::from(found.p <= 0.05);
                        one += u32::from(found.p <= 0.01);
                    }
                }
            }
        }
        let share = |n: u32| 100.0 * f64::from(n) / f64::from(pairs);
        println!(
            "{pace:?} pace: {pairs} pairs, {:.2} % at p <= 0.05, {:.2} % at 0.01",
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
    let begun = Instant::now();
    let report = compare(&matrix, &options)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\n{} pairs of 1636 x 170 in {seconds:.2} s",
        report.comparisons
    );
    Ok(())
}
