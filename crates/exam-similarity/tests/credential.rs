//! On a real licensing exam: students, whether the vendor flagged them, then `answer_i`,
//! `score_i`, `seconds_i` of every item. The file is no part of the project;
//! `EXAM_SIMILARITY_CSV` names it.

use std::{env, fs};

use exam_similarity::{Answer, Matrix, MatrixBuilder, Options, auc, compare};

fn read(text: &str) -> (Matrix, Vec<bool>, Vec<f64>) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: String| names.iter().position(|n| *n == name);
    let items: Vec<_> = (1..)
        .map_while(|i| {
            Some([
                column(format!("answer_{i}"))?,
                column(format!("score_{i}"))?,
                column(format!("seconds_{i}"))?,
            ])
        })
        .collect();
    let mut exam = MatrixBuilder::new();
    let (mut flagged, mut speed) = (Vec::new(), Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        exam.started(cells[0], None);
        flagged.push(cells[1] == "1");
        let mut seconds = 0.0;
        for (number, [answer, score, time]) in items.iter().enumerate() {
            seconds += cells[*time].parse::<f64>().unwrap_or(0.0);
            if !cells[*answer].is_empty() {
                let right = cells[*score] == "1";
                let answer = Answer {
                    option: cells[*answer],
                    right,
                    at: None,
                };
                exam.answer(cells[0], &format!("{}", number + 1), answer)
                    .unwrap();
            }
        }
        speed.push(-seconds);
    }
    (exam.build(), flagged, speed)
}

#[test]
fn the_null_of_a_real_exam_is_standard_normal() {
    let Some(path) = env::var_os("EXAM_SIMILARITY_CSV") else {
        eprintln!("skipped: EXAM_SIMILARITY_CSV names no file");
        return;
    };
    let (matrix, flagged, speed) = read(&fs::read_to_string(path).unwrap());
    {
        let begun = std::time::Instant::now();
        let report = compare(&matrix, &Options::default()).unwrap();
        println!(
            "{} students, {} items, {} pairs in {:.2} s; mean {:.3}, sd {:.3}; family-wise z {:.2}",
            report.students,
            report.items,
            report.comparisons,
            begun.elapsed().as_secs_f64(),
            report.mean,
            report.sd,
            report.family_wise_z,
        );
        for pair in &report.pairs {
            let (a, b) = pair.students;
            println!(
                "  {} {} flagged {} {}  z {:.2} p {:.1e} family {:.1e} q {:.1e} q_any {:.1e}  same {}/{} (exp {:.1})  same wrong {} (exp {:.1})",
                matrix.students()[a],
                matrix.students()[b],
                flagged[a],
                flagged[b],
                pair.z,
                pair.p,
                pair.family,
                pair.q,
                pair.q_any_dependence,
                pair.same,
                pair.items,
                pair.same_expected,
                pair.same_wrong,
                pair.same_wrong_expected,
            );
        }
        let found = auc(&report.nearest, &flagged).unwrap();
        println!(
            "  AUC of the greatest z: {:.3} {:.3?} ({} flagged)",
            found.area,
            found.interval(0.95),
            found.flagged
        );
        assert!(report.mean.abs() < 0.1, "mean {}", report.mean);
        assert!((report.sd - 1.0).abs() < 0.05, "sd {}", report.sd);
    }
    let found = auc(&speed, &flagged).unwrap();
    println!(
        "AUC of speed: {:.3} {:.3?}",
        found.area,
        found.interval(0.95)
    );
}
