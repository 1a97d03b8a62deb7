//! `exam-analyse report` and `similarity`, as an operator runs them.

mod support;

use std::fs;
use std::process::{Command, Output};

use support::{Event, Place, Random};

fn analyse(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exam-analyse"));
    command
        .args(arguments)
        .env_remove("EXAM_STREAM_LOG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sixty students and forty questions; the second one wrote down what the first one did.
fn place() -> Place {
    let place = Place::new();
    let mut random = Random::new(11);
    let mut events = Vec::new();
    let mut first: Vec<u64> = Vec::new();
    for student in 1..=60i64 {
        let mut row = Vec::new();
        let strong = random.below(50);
        events.push(Event::new("started", student, 1.0));
        for slot in 1..=40u32 {
            let known = random.below(100) < 25 + strong + u64::from(slot % 5) * 5;
            let mut given = if known { 0 } else { 1 + random.below(3) };
            if student == 2 && random.below(20) > 0 {
                given = first[slot as usize - 1];
            }
            row.push(given);
            let mut event = Event::new("answer", student, f64::from(slot) * 60.0);
            event.id = format!("{student}-{slot}");
            event.slot = slot;
            event.ts += random.below(40) as f64;
            // Shuffled for each attempt: option k of this student stands at k + student.
            let position = (given + student as u64) % 4;
            event.more = format!(r#","fields":{{"answer":"{position}"}}"#);
            events.push(event);
        }
        let order: Vec<i64> = (0..4).map(|at| (at - student).rem_euclid(4)).collect();
        let orders: Vec<String> = (1..=40)
            .map(|slot| format!(r#""{slot}":{order:?}"#))
            .collect();
        let started = events
            .iter_mut()
            .rev()
            .find(|event| event.kind == "started")
            .unwrap();
        started.more = format!(r#","slots":{{"40":40}},"order":{{{}}}"#, orders.join(","));
        if student == 1 {
            first = row;
        }
    }
    place.write(&events);
    let key: String = (1..=40).map(|slot| format!("4,{slot},0\n")).collect();
    fs::write(place.path("key.csv"), format!("quiz,slot,answer\n{key}")).unwrap();
    place
}

#[test]
fn the_report_of_a_quiz_has_its_records_its_signals_and_the_pair_to_review() {
    let place = place();
    let day = place.path("results/gone/dt=2026-01-05");
    fs::create_dir_all(&day).unwrap();
    let row = |minute: u32, revision: u32, silent: u32| {
        format!(
            r#"{{"site":"made","quiz":4,"attempt":7,"silent_s":{silent},"window_end":"2026-01-05T09:{minute:02}:00.000Z","revision":{revision}}}"#
        )
    };
    let rows = [row(6, 0, 61), row(7, 0, 121), row(7, 1, 133)].join("\n");
    fs::write(day.join("rows.jsonl"), rows + "\n").unwrap();
    let (dir, key) = (place.dir.path().to_str().unwrap(), place.path("key.csv"));
    let (file, key) = (place.path("report.html"), key.to_str().unwrap());
    let title = "Mathematics <final>";
    let output = analyse(&[
        "report",
        "4",
        "--cold",
        dir,
        "--key",
        key,
        "--title",
        title,
        "--output",
        file.to_str().unwrap(),
    ]);
    stdout(&output);
    let html = fs::read_to_string(file).unwrap();
    assert!(html.contains("<h1>Mathematics &lt;final&gt;</h1>"));
    assert!(html.contains("made · quiz 4"));
    assert!(html.contains("2 times") && html.contains("<dd>133</dd>") && !html.contains("121"));
    assert!(html.contains("One pair is to be reviewed."), "{html}");
    assert!(html.contains("1 and 2</th>"));
}

#[test]
fn options_are_compared_by_what_they_are_not_by_where_they_stood() {
    let place = place();
    let (dir, key) = (place.dir.path().to_str().unwrap(), place.path("key.csv"));
    let with = [
        "similarity",
        "--quiz",
        "4",
        "--cold",
        dir,
        "--key",
        key.to_str().unwrap(),
    ];
    let text = stdout(&analyse(&with));
    assert!(text.contains("\n1 and 2: z "), "{text}");
    let csv = stdout(&analyse(
        &[&with[..], &["--format", "csv", "--more", "3"]].concat(),
    ));
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(csv.lines().nth(1).unwrap().starts_with("1,2,1,"), "{csv}");
    assert!(
        csv.lines().nth(2).unwrap().split(',').nth(2) == Some("0"),
        "{csv}"
    );
    let json = stdout(&analyse(&[&with[..], &["--format", "json"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["pairs"][0]["students"], serde_json::json!(["1", "2"]));
}

#[test]
fn a_file_of_answers_is_compared_and_its_mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("exam.csv");
    let mut random = Random::new(5);
    let mut text = String::from("student,flagged,answer_1,score_1,answer_2,score_2\n");
    for student in 0..30 {
        let given = [random.below(3), random.below(3)];
        text += &format!("s{student},{}", u8::from(student < 3));
        for option in given {
            text += &format!(",{option},{}", u8::from(option == 0));
        }
        text += "\n";
    }
    fs::write(&file, &text).unwrap();
    let told = stdout(&analyse(&["similarity", file.to_str().unwrap()]));
    assert!(
        told.starts_with("compared   435 pairs of 30 students on 2 items\n"),
        "{told}"
    );
    assert!(
        told.contains("flagged    3 of 30; area under the curve"),
        "{told}"
    );
    for (wrong, reason) in [
        (
            format!("{text}s30,0,0,x,1,0\n"),
            "line 32: score_1 is no number",
        ),
        (
            text.replacen("student", "name", 1),
            "there is no column student",
        ),
        (
            format!("{text}s30,0,0,0,1,0\n"),
            "item 1: option 0 is right for one student",
        ),
    ] {
        fs::write(&file, wrong).unwrap();
        let output = analyse(&["similarity", file.to_str().unwrap()]);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains(reason), "{log}");
        assert!(log.contains("exam.csv"), "{log}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let place = place();
    let dir = place.dir.path().to_str().unwrap();
    for (arguments, reason) in [
        (
            vec!["report", "5", "--cold", dir],
            "there is no record of quiz 5",
        ),
        (
            vec!["report", "4", "--cold", "/nowhere"],
            "there is no directory /nowhere",
        ),
        (vec!["similarity", "--quiz", "4", "--cold", dir], "--key"),
        (vec!["similarity"], "FILE"),
    ] {
        let output = analyse(&arguments);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && log.contains(reason),
            "{arguments:?}: {log}"
        );
    }
}
