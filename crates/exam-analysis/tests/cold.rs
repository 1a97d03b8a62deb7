//! `exam-analyse query` and `compact`: all of cold storage, lines and Parquet.

mod support;

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use support::{Event, Place, START, answers, status_by_minute};

const FIGURE_3: &str = "SELECT student_id, SUM(status) AS status_sum, window_start, window_end \
    FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE status IS NOT NULL \
    GROUP BY student_id, window_start, window_end ORDER BY window_end, student_id";

fn json(place: &Place, sql: &str) -> Vec<Value> {
    let output = place.analyse(&["query", sql, "--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn check(place: &Place, events: &[Event]) {
    let rows = json(place, FIGURE_3);
    let key = |row: &Value| {
        (
            row["window_end"].as_str().unwrap().to_owned(),
            row["student_id"].as_i64().unwrap(),
        )
    };
    let found: Vec<_> = rows
        .iter()
        .map(|row| (key(row), row["status_sum"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        found,
        status_by_minute(events).into_iter().collect::<Vec<_>>()
    );
    let counted = json(
        place,
        "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids, COUNT(record) AS records FROM events",
    );
    assert_eq!(counted[0]["n"], events.len());
    assert_eq!(counted[0]["ids"], events.len());
    assert_eq!(counted[0]["records"], events.len());
}

#[test]
fn lines_parquet_and_both_give_the_same_rows() {
    let place = Place::new();
    let events = answers(30, 9_000, 3 * 3600, 1);
    place.write(&events[..6_000]);
    // Repeated, in another part and in another stream.
    place.write_to("exam", "2", &events[100..600]);
    place.write_to("other", "1", &events[5_000..6_000]);
    check(&place, &events[..6_000]);

    place.analyse(&["compact"]);
    let parquet = place.path("parquet/exam/dt=2026-01-05/hour=09/events.parquet");
    assert!(parquet.exists());
    check(&place, &events[..6_000]);
    let modified = || fs::metadata(&parquet).unwrap().modified().unwrap();
    let before = modified();
    place.analyse(&["compact"]);
    assert_eq!(modified(), before, "nothing was to be done");

    // What came since, beside the Parquet; then in it; then without the lines.
    place.write(&events[6_000..]);
    check(&place, &events);
    place.analyse(&["compact"]);
    check(&place, &events);
    fs::remove_dir_all(place.path("cold/exam")).unwrap();
    check(&place, &events);
}

/// What `exam-stream erase` leaves: attempt 3, whose lines were of this time, in seconds from the start.
fn leave_plan(place: &Place, from: f64, to: f64) {
    let micros = |after: f64| ((START + after) * 1e6) as u64;
    let plan = serde_json::json!({"made": {
        "students": [],
        "attempts": {"3": {"student": 3, "span": [micros(from), micros(to)]}},
    }});
    fs::write(place.path("erasure.json"), plan.to_string()).unwrap();
}

#[test]
fn what_was_erased_from_lines_is_erased_from_parquet_and_results() {
    let place = Place::new();
    place.shipped("student_status");
    place.query(
        "each",
        "SELECT site, attempt, slot, ts FROM events WHERE type = 'answer'",
    );
    let events = answers(10, 4_000, 2 * 3600, 5);
    // Of attempt 3 some come too late for their windows.
    let is_late = |event: &Event| event.attempt == 3 && event.ts < START + 600.0;
    let (late, timely): (Vec<Event>, Vec<Event>) = events.iter().cloned().partition(is_late);
    let theirs = |event: &&Event| event.attempt == 3;
    let count = events.iter().filter(theirs).count();
    place.write(&timely);
    place.run_once(&["--no-restate"]);
    place.write_to("exam", "0000000000000002", &late);
    place.run_once(&["--no-restate"]);
    assert_eq!(place.results("_late").len(), late.len());
    place.analyse(&["compact"]);
    let compacted = place.path("parquet/exam/dt=2026-01-05/hour=09/events.parquet");
    let rows = |name: &str| place.results(name);
    let before = (rows("student_status"), rows("each"));
    let of_3 = |row: &&Value| row["student_id"] == 3 || row["attempt"] == 3;
    assert!(before.0.iter().any(|row| of_3(&row)) && before.1.iter().any(|row| of_3(&row)));

    // Nothing was left to do.
    let idle = place.analyse(&["erase"]);
    assert!(idle.stdout.is_empty() && place.path("parquet").exists());
    // All but a student's rows of another time, which the lines do not tell to be of the attempt.
    let until = 5_400.0;
    leave_plan(&place, 0.0, until);
    let report = |options: &[&str]| {
        let output = place.analyse(&[&["erase"], options].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let dry = report(&["--dry-run"]);
    assert_eq!((rows("student_status"), rows("each")), before);
    let done = report(&[]);
    assert_eq!(
        (&done["parquet"], &done["results"]),
        (&dry["parquet"], &dry["results"])
    );
    let parquet: u64 = done["parquet"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(parquet, count as u64);
    assert!(!place.path("erasure.json").exists());

    let (status, each) = (rows("student_status"), rows("each"));
    assert_eq!((status.len(), each.len()), (before.0.len(), before.1.len()));
    assert!(!each.iter().any(|row| of_3(&row)));
    assert!(rows("_late").iter().all(|row| row["erased"] == true));
    for (was, is) in before.0.iter().zip(&status) {
        let ended = was["window_end"].as_str().unwrap() <= "2026-01-05T10:31:00.000Z";
        assert_eq!(
            is["erased"] == true,
            was["student_id"] == 3 && ended,
            "{was}"
        );
        assert!(is["erased"] == true || is == was);
    }
    // Lines are `exam-stream erase`'s; what Parquet has covered is not taken up again.
    fs::remove_dir_all(place.path("cold/exam")).unwrap();
    let left = json(
        &place,
        "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE attempt = 3) AS theirs FROM events",
    );
    assert_eq!(
        (&left[0]["n"], &left[0]["theirs"]),
        (&(4_000 - count).into(), &0.into())
    );
    assert!(compacted.exists() && !place.path("results/each.tmp").exists());
}

#[test]
fn rows_are_erased_while_run_goes_on_and_none_comes_back() {
    let place = Place::new();
    place.query(
        "each",
        "SELECT site, attempt, slot, ts FROM events WHERE type = 'answer'",
    );
    let events = answers(5, 400, 600, 6);
    place.write(&events);
    let running = place.start(&["--idle-timeout", "1h"]);
    place.until("rows are written", || place.results("each").len() > 100);
    // As exam-stream erase does: the lines first.
    for hour in fs::read_dir(place.path("cold/exam/dt=2026-01-05")).unwrap() {
        let path = hour.unwrap().path().join("0000000000000001.jsonl");
        let mut text = fs::read(&path).unwrap();
        exam_cold::erase_lines(&mut text, &mut |line| {
            String::from_utf8_lossy(line).contains("\"attempt\":3,")
        });
        fs::write(&path, text).unwrap();
    }
    leave_plan(&place, 0.0, 600.0);
    let before = place.results("each").len();
    place.analyse(&["erase"]);
    let of_3 = |rows: &[Value]| rows.iter().filter(|row| row["attempt"] == 3).count();
    assert_eq!(of_3(&place.results("each")), 0);
    // It goes on where it was; what it held of the attempt in memory is not written.
    let more: Vec<Event> = (0..50)
        .map(|n| Event::new("answer", 4, 700.0 + f64::from(n)))
        .collect();
    place.write(&more);
    place.until("it goes on", || place.results("each").len() > before);
    // Killed, it does not append the last commit's rows of before.
    drop(running);
    place.run_once(&[]);
    let rows = place.results("each");
    assert_eq!(of_3(&rows), 0);
    let others = events.iter().filter(|event| event.attempt != 3).count() + more.len();
    assert_eq!(
        rows.iter().filter(|row| row["attempt"].is_i64()).count(),
        others
    );
}

#[test]
fn a_compressed_part_is_the_part_it_was() {
    let place = Place::new();
    let events = answers(10, 2_000, 3600, 2);
    place.write(&events);
    place.analyse(&["compact"]);
    let part = place.path("cold/exam/dt=2026-01-05/hour=09/0000000000000001.jsonl");
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&fs::read(&part).unwrap()).unwrap();
    fs::write(part.with_extension("jsonl.gz"), gz.finish().unwrap()).unwrap();
    // Both are there for a moment.
    check(&place, &events);
    fs::remove_file(&part).unwrap();
    check(&place, &events);
    fs::remove_dir_all(place.path("parquet")).unwrap();
    check(&place, &events);
}

#[test]
fn hop_gives_each_row_all_its_windows() {
    let place = Place::new();
    let events = answers(5, 1_000, 3600, 3);
    place.write(&events);
    let rows = json(
        &place,
        "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), \
         INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) WHERE window_start <= ts AND ts < window_end",
    );
    assert_eq!(
        (&rows[0]["n"], &rows[0]["ids"]),
        (&5_000.into(), &1_000.into())
    );
}

#[test]
fn a_condition_on_time_keeps_its_hours() {
    let place = Place::new();
    let events = answers(5, 2_000, 4 * 3600, 4);
    place.write(&events);
    let rows = json(
        &place,
        "SELECT COUNT(*) AS n FROM events WHERE ts >= TIMESTAMP '2026-01-05 10:00:00' AND ts < TIMESTAMP '2026-01-05 10:30:00'",
    );
    let inside = |event: &&Event| (3600.0..5400.0).contains(&(event.ts - support::START));
    assert_eq!(rows[0]["n"], events.iter().filter(inside).count());
}

#[test]
fn results_come_in_four_forms() {
    let place = Place::new();
    place.write(&[Event::new("answer", 7, 1.5)]);
    let sql = "SELECT attempt, ts, CAST(NULL AS STRING) AS nothing FROM events";
    let text = |format: &str| {
        String::from_utf8(place.analyse(&["query", sql, "--format", format]).stdout).unwrap()
    };
    assert_eq!(
        text("csv"),
        "attempt,ts,nothing\n7,2026-01-05T09:00:01.500Z,\n"
    );
    assert_eq!(
        text("json"),
        "{\"attempt\":7,\"ts\":\"2026-01-05T09:00:01.500Z\",\"nothing\":null}\n"
    );
    assert!(text("table").contains("| 7       | 2026-01-05T09:00:01.500"));
    let file = place.path("reference.parquet");
    place.analyse(&[
        "query",
        sql,
        "--format",
        "parquet",
        "--output",
        file.to_str().unwrap(),
    ]);
    // Which can be read back as a reference table.
    let dir = place.path("tables");
    fs::create_dir(&dir).unwrap();
    fs::rename(&file, dir.join("before.parquet")).unwrap();
    let output = place.analyse(&[
        "query",
        "SELECT attempt FROM before",
        "--format",
        "csv",
        "--reference",
        dir.to_str().unwrap(),
    ]);
    assert_eq!(output.stdout, b"attempt\n7\n");
}
