//! On a real licensing exam: `student`, whether the vendor `flagged` them, then `answer_i`,
//! `score_i` and `seconds_i` of every item. The file is no part of the project:
//! `EXAM_SIMILARITY_CSV` names it.

use std::{env, fs, time::Instant};

use exam_similarity::{Answer, Matrix, MatrixBuilder, Options, auc, compare};

/// The answers, who was flagged, and each student's whole time in seconds.
fn read(text: &str) -> (Matrix, Vec<bool>, Vec<f64>) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str, i: usize| names.iter().position(|n| *n == format!("{name}_{i}"));
    let items: Vec<[usize; 3]> = (1..)
        .map_while(|i| {
            Some([
                column("answer", i)?,
                column("score", i)?,
                column("seconds", i)?,
            ])
        })
        .collect();
    let mut exam = MatrixBuilder::new();
    let (mut flagged, mut seconds) = (Vec::new(), Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        exam.started(cells[0], None);
        flagged.push(cells[1] == "1");
        seconds.push(
            items
                .iter()
                .map(|of| cells[of[2]].parse().unwrap_or(0.0))
                .sum(),
        );
        for (item, of) in items
            .iter()
            .enumerate()
            .filter(|(_, of)| !cells[of[0]].is_empty())
        {
            let answer = Answer {
                option: cells[of[0]],
                right: cells[of[1]] == "1",
                at: None,
            };
            exam.answer(cells[0], &item.to_string(), answer).unwrap();
        }
    }
    (exam.build(), flagged, seconds)
}

#[test]
fn the_null_of_a_real_exam_is_standard_normal() {
    let Some(path) = env::var_os("EXAM_SIMILARITY_CSV") else {
        eprintln!("skipped: EXAM_SIMILARITY_CSV names no file");
        return;
    };
    let (matrix, flagged, seconds) = read(&fs::read_to_string(path).unwrap());
    let begun = Instant::now();
    let report = compare(&matrix, &Options::default()).unwrap();
    println!(
        "{} pairs of {} x {} in {:.2} s: mean {:.3}, sd {:.3}; {} listed; family-wise z {:.2}",
        report.comparisons,
        report.students,
        report.items,
        begun.elapsed().as_secs_f64(),
        report.mean,
        report.sd,
        report.pairs.len(),
        report.family_wise_z,
    );
    println!("The first ten, listed or not:");
    for pair in compare(
        &matrix,
        &Options {
            rate: 1.0,
            ..Options::default()
        },
    )
    .unwrap()
    .pairs
    .iter()
    .take(10)
    {
        let (a, b) = pair.students;
        println!(
            "  {} {} flagged {}+{}: z {:.2} p {:.1e} q {:.2}; same {} of {} ({:.1} expected), \
             same wrong {} ({:.1} expected)",
            matrix.students()[a],
            matrix.students()[b],
            u8::from(flagged[a]),
            u8::from(flagged[b]),
            pair.z,
            pair.p,
            pair.q,
            pair.same,
            pair.items,
            pair.same_expected,
            pair.same_wrong,
            pair.same_wrong_expected,
        );
    }
    let right: Vec<f64> = (0..matrix.students().len())
        .map(|s| matrix.right_of(s).0 as f64)
        .collect();
    let fast: Vec<f64> = seconds.iter().map(|seconds| -seconds).collect();
    let both: Vec<f64> = right
        .iter()
        .zip(&seconds)
        .map(|(right, s)| right / s)
        .collect();
    for (what, figures) in [
        ("greatest z", &report.nearest),
        ("speed", &fast),
        ("right per second", &both),
    ] {
        let found = auc(figures, &flagged).unwrap();
        let (low, high) = found.interval(0.95);
        println!(
            "AUC of {what}: {:.3} ({low:.3} to {high:.3}), {} flagged",
            found.area, found.flagged
        );
    }
    assert!(report.mean.abs() < 0.1, "mean {}", report.mean);
    assert!((report.sd - 1.0).abs() < 0.05, "sd {}", report.sd);
}
