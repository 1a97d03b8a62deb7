//! The shipped rules on made exams: whom they name, and whom they must not.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Event, Place};

/// Signs of life every 15 seconds from one second to another.
fn alive(attempt: i64, from: u32, to: u32) -> Vec<Event> {
    (from..to)
        .step_by(15)
        .map(|s| Event::new("alive", attempt, f64::from(s)))
        .collect()
}

fn one(kind: &'static str, attempt: i64, at: u32) -> Vec<Event> {
    vec![Event::new(kind, attempt, f64::from(at))]
}

/// The results of a rule over such an exam.
fn results(rule: &str, parts: Vec<Vec<Event>>) -> Vec<Value> {
    let place = Place::new();
    place.shipped(rule);
    let mut events: Vec<Event> = parts.into_iter().flatten().collect();
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    place.write(&events);
    place.run_once(&[]);
    place.results(rule)
}

fn attempts(rows: &[Value], until: &str) -> BTreeSet<i64> {
    let early = |row: &&Value| row["window_end"].as_str().unwrap()[11..16] <= *until;
    rows.iter()
        .filter(early)
        .map(|row| row["attempt"].as_i64().unwrap())
        .collect()
}

#[test]
fn gone_names_who_fell_silent_and_nobody_else() {
    let mut preview = one("answer", 6, 300);
    preview[0].more = r#","preview":true"#.into();
    let mut helper = one("help", 7, 500);
    helper[0].more = r#","call":"c","step":"answered","by":2"#.into();
    let rows = results(
        "gone",
        vec![
            // 1 works on; 2 falls silent after five minutes; 3 ends; 4 ends and is let in again.
            alive(1, 0, 900),
            alive(2, 0, 300),
            [alive(3, 0, 300), one("finished", 3, 301)].concat(),
            [
                alive(4, 0, 200),
                one("finished", 4, 201),
                one("reopened", 4, 250),
            ]
            .concat(),
            preview,
            // An invigilator's answer is no sign of the student's life.
            [alive(7, 0, 300), helper].concat(),
        ],
    );
    // While the first student works: the exam's end is nobody's silence.
    assert_eq!(attempts(&rows, "09:15"), BTreeSet::from([2, 4, 7]));
    let first = rows.iter().find(|row| row["attempt"] == 2).unwrap();
    assert_eq!(first["window_end"], "2026-01-05T09:06:00.000Z");
    assert_eq!(first["silent_s"], 75);
    assert_eq!(first["last_seen"], "2026-01-05T09:04:45.000Z");
    assert_eq!(
        (&first["site"], &first["quiz"]),
        (&"made".into(), &4.into())
    );
}

#[test]
fn gone_stops_when_the_student_is_back() {
    let rows = results(
        "gone",
        vec![alive(1, 0, 900), alive(2, 0, 300), alive(2, 600, 900)],
    );
    let ends: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row["attempt"] == 2)
        .map(|row| &row["window_end"].as_str().unwrap()[11..16])
        .collect();
    assert!(ends.contains("09:06") && ends.contains("09:10"), "{ends:?}");
    assert!(
        !ends.contains("09:11") && !ends.contains("09:12"),
        "{ends:?}"
    );
}

#[test]
fn stuck_names_who_is_there_and_answers_nothing() {
    let answers = |attempt, every: usize| -> Vec<Event> {
        (0..1500)
            .step_by(every)
            .map(|s| Event::new("answer", attempt, f64::from(s)))
            .collect()
    };
    let rows = results(
        "stuck",
        vec![
            // 1 answers every four minutes; 2 never after the start; 3 is gone; 4 asked for help.
            [alive(1, 0, 1500), answers(1, 240)].concat(),
            [one("started", 2, 0), alive(2, 5, 1500)].concat(),
            [one("started", 3, 0), alive(3, 5, 120)].concat(),
            [one("started", 4, 0), alive(4, 5, 1500), one("help", 4, 300)].concat(),
            [
                one("started", 5, 0),
                alive(5, 5, 500),
                one("finished", 5, 500),
                alive(5, 501, 1500),
            ]
            .concat(),
        ],
    );
    assert_eq!(attempts(&rows, "09:25"), BTreeSet::from([2]));
    assert_eq!(rows[0]["window_end"], "2026-01-05T09:10:00.000Z");
    assert_eq!(rows[0]["stuck_s"], 600);
}

#[test]
fn an_exam_in_which_all_goes_well_has_no_signals() {
    let student = |attempt: i64| -> Vec<Event> {
        let answers = (0..3000)
            .step_by(100)
            .map(|s| Event::new("answer", attempt, f64::from(s) + attempt as f64));
        let mut events: Vec<Event> = answers.collect();
        events.extend(one("started", attempt, 0));
        events.extend(alive(attempt, 5, 3000));
        events.extend(one("finished", attempt, 3001));
        events
    };
    for rule in ["gone", "stuck"] {
        let rows = results(rule, (1..=40).map(student).collect());
        assert!(rows.is_empty(), "{rule}: {}", rows[0]);
    }
}
