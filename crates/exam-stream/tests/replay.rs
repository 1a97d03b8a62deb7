//! `exam-stream replay` of a log: the state it leaves equals a fold of the file
//! that shares no code with the program.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{Redis, Serve, exam_stream, scratch};

/// A log of a real one's shape: interleaved students, revised scores, wrong clocks.
fn made_log() -> String {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut log = String::new();
    for n in 0..8000_i64 {
        let wrong = rng.u32(0..100) == 0;
        let millis = n * 700 - if wrong { 16_000_000 } else { 0 };
        let category = rng.u32(14..21);
        let question = category * 3 % 26;
        let score = ["0", "1", "0.5", "0.666666667", "0.875"][rng.usize(0..5)];
        let student = rng.u32(10..130);
        let _ = writeln!(log, "{millis}\t{student}\tq{category}_{question}\t{score}");
    }
    log
}

/// Per student: the status word, and question, score and place in the student's sequence by slot.
fn fold_of_the_file(log: &str) -> BTreeMap<String, Value> {
    #[derive(Default)]
    struct Student<'a> {
        rows: u32,
        slots: Vec<(&'a str, &'a str, &'a str, u32)>,
    }
    let mut students: BTreeMap<&str, Student<'_>> = BTreeMap::new();
    for line in log.lines() {
        let mut columns = line.split('\t').skip(1);
        let [name, question, score] = [(); 3].map(|()| columns.next().expect("a column"));
        let student = students.entry(name).or_default();
        student.rows += 1;
        match student.slots.iter_mut().find(|slot| slot.0 == question) {
            Some(slot) => (slot.2, slot.3) = (score, student.rows),
            None => student.slots.push((question, score, score, student.rows)),
        }
    }
    let state = |student: &Student<'_>| {
        let digit = |slot: &(&str, &str, &str, u32)| if slot.1 == slot.2 { '1' } else { '2' };
        let word: String = std::iter::once('s')
            .chain(student.slots.iter().map(digit))
            .collect();
        let slots: Vec<Value> = student
            .slots
            .iter()
            .map(|(question, _, score, row)| json!([question, score, row]))
            .collect();
        json!([word, slots])
    };
    students
        .iter()
        .map(|(name, student)| (format!("replay/{name}"), state(student)))
        .collect()
}

/// The same figures out of what `exam-stream state` writes.
fn told(state: &Value) -> BTreeMap<String, Value> {
    let slots = |attempt: &Value| -> Vec<Value> {
        let slots = attempt["slots"].as_object().expect("slots");
        (1..=slots.len())
            .map(|slot| &slots[&slot.to_string()])
            .map(|slot| json!([slot["question"], slot["fields"]["answer"], slot["seq"]]))
            .collect()
    };
    let attempts = state.as_object().expect("an object");
    attempts
        .iter()
        .map(|(key, attempt)| (key.clone(), json!([attempt["word"], slots(attempt)])))
        .collect()
}

#[test]
fn a_replayed_log_leaves_the_state_that_an_independent_fold_of_the_file_gives() {
    let Some(redis) = Redis::start() else { return };
    let dir = scratch();
    let log = made_log();
    let file = dir.path().join("made.tsv");
    std::fs::write(&file, &log).expect("the log is written");
    for (database, pace) in [&["--speed", "2000"][..], &[]].into_iter().enumerate() {
        let store = format!("{}/{database}", redis.url());
        let data = dir.path().join(format!("server-{database}"));
        let serve = Serve::start(&data, &["--state", &store]);
        let (cold, json) = (data.join("cold"), data.join("state.json"));
        let [file, cold, json] = [&file, &cold, &json].map(|path| path.to_str().expect("UTF-8"));

        let way = [
            "replay",
            file,
            "--endpoint",
            &serve.url,
            "--cold",
            cold,
            "--state",
            &store,
        ];
        let replay = exam_stream(&[&way[..], pace].concat());
        let output = String::from_utf8_lossy(&replay.stdout);
        assert!(
            replay.status.success(),
            "{output}{}",
            String::from_utf8_lossy(&replay.stderr)
        );
        assert!(output.contains("accepted   8,000\n"), "{output}");
        assert!(output.contains("lost       0 of 8,000"), "{output}");

        exam_stream(&[
            "state", "--state", &store, "--site", "replay", "--json", json,
        ]);
        let state = std::fs::read(json).expect("the state is written");
        let state = serde_json::from_slice(&state).expect("it is JSON");
        assert_eq!(told(&state), fold_of_the_file(&log));
    }
}

#[test]
fn a_php_without_the_extension_is_told_to_get_it() {
    let dir = scratch();
    let (log, php) = (dir.path().join("log"), dir.path().join("php"));
    std::fs::write(&log, "1\t7\tq1\t0\n").expect("writes");
    // The system's INI files may load it.
    std::fs::write(&php, "#!/bin/sh\nexec php -n \"$@\"\n").expect("writes");
    std::fs::set_permissions(&php, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let paths = [&log, &php].map(|path| path.to_str().expect("text"));
    let replay = exam_stream(&["replay", paths[0], "--php", paths[1]]);
    let said = String::from_utf8_lossy(&replay.stderr);
    assert!(!replay.status.success());
    assert!(said.contains("no extension exam_stream"), "{said}");
}

#[test]
fn rebuild_names_the_lines_it_can_make_nothing_of() {
    let dir = scratch();
    let (lines, json) = (dir.path().join("a.jsonl"), dir.path().join("state"));
    std::fs::write(
        &lines,
        "\u{feff}{}\nnot json\n{\"v\":1,\"id\":\"x\",\"type\":\"answer\",\"at\":\"soon\"}\n",
    )
    .expect("writes");
    let paths = [&json, &lines].map(|path| path.to_str().expect("text"));
    let rebuild = exam_stream(&["rebuild", "--json", paths[0], paths[1]]);
    let said = String::from_utf8_lossy(&rebuild.stderr);
    assert!(rebuild.status.success(), "{said}");
    assert!(said.contains("3 malformed"), "{said}");
    assert!(
        said.contains("a.jsonl: ") && said.contains("\"not json\""),
        "{said}"
    );
}
