//! `exam-analyse query` and `compact`: all of cold storage, lines and Parquet.

mod support;

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use support::{Event, Place, answers, status_by_minute};

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
