//! What the comparison does on whole exams, made by chance.

mod made;

use exam_similarity::{Answer, MatrixBuilder, Options, Pace, compare};
use made::{Exam, name};

#[test]
fn an_honest_exams_null_is_standard_normal_and_says_so() {
    for (students, items) in [(60, 30), (300, 12), (300, 60)] {
        let matrix = Exam {
            students,
            items,
            ..Exam::default()
        }
        .make();
        let report = compare(&matrix, &Options::default()).unwrap();
        println!(
            "{students} x {items}: mean {:.3}, sd {:.3}",
            report.mean, report.sd
        );
        assert_eq!(report.comparisons, students * (students - 1) / 2);
        assert!(
            report.mean.abs() < 0.15,
            "{students} x {items}: {}",
            report.mean
        );
        assert!(
            (report.sd - 1.0).abs() < 0.06,
            "{students} x {items}: {}",
            report.sd
        );
    }
}

/// Listed by chance: a binomial count. Of 60 exams at 0.05, 8 or more happen in 1 of 100 runs of
/// other seeds.
#[test]
fn no_more_honest_exams_list_a_pair_than_the_stated_rate() {
    let listing = (0..60)
        .filter(|seed| {
            let exam = Exam {
                seed: *seed,
                students: 150,
                items: 40,
                ..Exam::default()
            };
            !compare(&exam.make(), &Options::default())
                .unwrap()
                .pairs
                .is_empty()
        })
        .count();
    println!("{listing} of 60 honest exams list a pair");
    assert!(listing < 8, "{listing} of 60");
}

#[test]
fn a_pair_that_shares_most_answers_is_first_and_its_evidence_is_counted() {
    let exam = Exam {
        copiers: 1,
        copied: 0.8,
        ..Exam::default()
    };
    let matrix = exam.make();
    let report = compare(&matrix, &Options::default()).unwrap();
    let pair = &report.pairs[0];
    assert_eq!(pair.students, (0, 1));
    assert!(pair.z > report.family_wise_z && pair.family < 0.05 && pair.q <= pair.family);
    assert!(pair.q_any_dependence > pair.q);
    assert_eq!(pair.items, 60);
    assert!(pair.same as f64 > pair.same_expected + 10.0);
    assert!(pair.same_wrong as f64 > pair.same_wrong_expected + 3.0);
    assert!(report.nearest[0] >= pair.z && report.nearest[1] >= pair.z);
}

/// A random question per student: the two of a pair have half of the items in common.
#[test]
fn students_are_compared_on_what_both_were_given() {
    let all = Exam {
        items: 80,
        copiers: 1,
        copied: 0.9,
        ..Exam::default()
    };
    let mut exam = MatrixBuilder::new();
    for (student, answers) in all.answers().into_iter().enumerate() {
        for (item, option) in answers.into_iter().enumerate() {
            // Both of a pair that sits together get the same half, to have something in common.
            if fastrand::Rng::with_seed((item * 1000 + student / 2) as u64).bool() {
                let option = format!("o{option}");
                let answer = Answer {
                    option: &option,
                    right: option == "o0",
                    at: None,
                };
                exam.answer(&name(student), &format!("q{item}"), answer)
                    .unwrap();
            }
        }
    }
    let report = compare(&exam.build(), &Options::default()).unwrap();
    println!("mean {:.3}, sd {:.3}", report.mean, report.sd);
    assert!(report.mean.abs() < 0.1 && (report.sd - 1.0).abs() < 0.06);
    assert_eq!(report.pairs[0].students, (0, 1));
    assert!(report.pairs[0].co_timed.is_none());
}

#[test]
fn the_same_exam_gives_the_same_figures_to_the_last_digit() {
    let matrix = Exam {
        students: 200,
        copiers: 3,
        copied: 0.7,
        ..Exam::default()
    }
    .make();
    let once = format!("{:?}", compare(&matrix, &Options::default()).unwrap());
    for _ in 0..3 {
        assert_eq!(
            format!("{:?}", compare(&matrix, &Options::default()).unwrap()),
            once
        );
    }
}

#[test]
fn too_few_students_and_degenerate_exams_are_told_apart() {
    let small = Exam {
        students: 19,
        ..Exam::default()
    }
    .make();
    let error = compare(&small, &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "19 students with answers: at least 20 are needed to know what is usual"
    );
    // Everybody right everywhere: nothing to compare, nothing found, nothing divided by zero.
    let mut exam = MatrixBuilder::new();
    for student in 0..30 {
        for item in ["a", "b"] {
            let answer = Answer {
                option: "x",
                right: true,
                at: None,
            };
            exam.answer(&name(student), item, answer).unwrap();
        }
    }
    exam.started("absent", None);
    let report = compare(&exam.build(), &Options::default()).unwrap();
    assert!(report.pairs.is_empty() && report.mean.is_finite() && report.sd.is_finite());
    assert_eq!(report.nearest[30], f64::NEG_INFINITY);
}

/// Everybody starts with the centre; the second of a pair either works alone or writes down each
/// wrong answer seconds after the first.
#[test]
fn pace_explains_meeting_and_copying_at_once_goes_beyond_it() {
    for pace in [made::Pace::Own, made::Pace::Announced] {
        let exam = Exam {
            centres: 12,
            pace,
            ..Exam::default()
        };
        let matrix = exam.make();
        let mut pace = Pace::of(&matrix, 10.0).unwrap();
        let (mut judged, mut rare) = (0, 0);
        for a in 0..exam.students {
            for b in (a + 1..exam.students).filter(|b| a / 2 % 12 == b / 2 % 12) {
                if let Some(found) = pace.co_timed(a, b) {
                    judged += 1;
                    rare += usize::from(found.p <= 0.05);
                }
            }
        }
        println!(
            "{:?}: {rare} of {judged} honest pairs at p <= 0.05",
            exam.pace
        );
        assert!(rare * 20 <= judged);
    }
    let live = Exam {
        centres: 12,
        copiers: 1,
        copied: 0.9,
        live: true,
        ..Exam::default()
    };
    let matrix = live.make();
    let found = Pace::of(&matrix, 10.0).unwrap().co_timed(0, 1).unwrap();
    println!("{found:?}");
    assert!(found.p < 0.01, "{found:?}");
}
