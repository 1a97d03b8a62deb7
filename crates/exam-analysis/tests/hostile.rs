//! What is wrong from outside: clocks, tables, folders.

mod support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use support::{Event, Place, answers, minute_end};

const COUNT: &str = "SELECT COUNT(*) AS n, window_end FROM TABLE(TUMBLE(TABLE events, \
                     DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end";

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64()
}

fn at(ts: f64, id: &str) -> Event {
    let mut event = Event::new("answer", 1, 0.0);
    (event.ts, event.id) = (ts, id.to_owned());
    event
}

#[test]
fn a_wrong_clock_closes_nobodys_windows() {
    let place = Place::new();
    place.query("minutes", COUNT);
    let began = now();
    let mut events: Vec<Event> = (0..60)
        .map(|n| at(began - 240.0 + f64::from(n) * 4.0, &format!("e{n}")))
        .collect();
    // A host whose clock is fast by half an hour, one in 1970, one in 2286.
    events.push(at(began + 1800.0, "fast"));
    events.push(at(0.0, "1970"));
    events.push(at(9_999_999_999.0, "2286"));
    place.write(&events);
    let run = place.start(&["--lateness", "30s", "--idle-timeout", "1h"]);
    place.until("all is read", || {
        let status = place.status();
        status["events"] == 62 && status["ahead"] == 1
    });
    // Those whose clocks are right are not late, and are seen at once.
    place.write(&[at(now(), "timely")]);
    place.until("it is read", || place.status()["events"] == 63);
    assert_eq!(place.status()["late"], 0, "{}", place.status());
    run.end();
    let this_minute = minute_end(now());
    let rows = place.results("minutes");
    assert!(rows.len() >= 3, "those of the past are closed");
    for row in &rows {
        assert!(row["window_end"].as_str().unwrap() < &*this_minute, "{row}");
    }
    place.run_once(&["--lateness", "30s"]);
    let rows = place.results("minutes");
    let counted: i64 = rows.iter().map(|row| row["n"].as_i64().unwrap()).sum();
    assert_eq!(counted, 63, "each in its own window");
    assert_eq!(rows[0]["window_end"], "1970-01-01T00:01:00.000Z");
}

#[test]
fn where_most_are_ahead_this_machines_clock_is_the_slow_one() {
    let place = Place::new();
    place.query("minutes", COUNT);
    let began = now();
    let mut events: Vec<Event> = (0..2_000)
        .map(|n| at(began + f64::from(n) * 1.5, &format!("e{n}")))
        .collect();
    let last = events.split_off(1_000);
    place.write(&events);
    let run = place.start(&["--lateness", "5s", "--idle-timeout", "1h"]);
    place.until("half is read", || place.status()["events"] == 1_000);
    place.write(&last);
    let expected = minute_end(began + 40.0 * 60.0);
    place.until("its windows are closed", || {
        let rows = place.results("minutes");
        rows.iter()
            .any(|row| row["window_end"] == expected.as_str())
    });
    run.end();
    assert_eq!(place.status()["ahead"], 0);
}

#[test]
fn tables_and_the_folder_come_and_go_while_it_runs() {
    let place = Place::new();
    let reference = place.path("reference");
    fs::create_dir(&reference).unwrap();
    place.shipped("student_status");
    place.query(
        "rooms",
        "SELECT r.room, COUNT(*) AS n, e.window_end \
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS e \
         JOIN roster r ON r.student = e.student_id GROUP BY r.room, e.window_start, e.window_end",
    );
    let events = answers(3, 1_200, 1800, 10);
    let third = |n: usize| &events[n * 400..(n + 1) * 400];
    place.write(third(0));
    let run = place.start(&[
        "--lateness",
        "0s",
        "--reference",
        reference.to_str().unwrap(),
    ]);
    let refused = |name: &str, why: &str| {
        let reason = place.status()["refused"][name].to_string();
        reason.contains(why)
    };
    place.until("its table is missing", || refused("rooms", "roster"));
    fs::write(reference.join("roster.csv"), "student,room\n1,A1\n").unwrap();
    place.until("it runs", || place.status()["queries"]["rooms"].is_object());
    assert!(!refused("rooms", "roster"));
    // A table that got worse stays as it was; so do queries whose folder is away.
    fs::write(reference.join("roster.csv"), "student,room\n1,A1,x\n").unwrap();
    place.until("the table is refused", || {
        refused("roster.csv", "roster.csv")
    });
    fs::rename(place.path("queries"), place.path("away")).unwrap();
    place.write(third(1));
    let closed = |time: &str| {
        let rows = place.results("rooms");
        rows.iter()
            .any(|row| row["window_end"].as_str().unwrap() > time)
    };
    place.until("a window of it", || closed("2026-01-05T09:15"));
    fs::rename(place.path("away"), place.path("queries")).unwrap();
    fs::write(reference.join("roster.csv"), "student,room\n1,B2\n").unwrap();
    place.until("the table is taken", || {
        !refused("roster.csv", "roster.csv")
    });
    place.write(third(2));
    place.until("a window of it", || closed("2026-01-05T09:28"));
    run.end();
    let rows = place.results("rooms");
    let room = |row: &serde_json::Value| row["room"].as_str().unwrap().to_owned();
    assert_eq!(
        (room(&rows[0]), room(rows.last().unwrap())),
        ("A1".into(), "B2".into())
    );
}

#[test]
fn a_mistake_is_told_by_file_line_column_and_reason_and_the_others_run() {
    let place = Place::new();
    let (events, hour) = (
        "FROM events",
        "FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' HOUR)) \
         GROUP BY window_start, window_end",
    );
    let pair = "SELECT b.ts FROM events AS a JOIN events AS b ON a.attempt = b.attempt";
    let mistakes = [
        (
            "table",
            "SELECT ts\n  FROM evnts".to_owned(),
            "2:8",
            "'evnts' not found",
        ),
        (
            "column",
            format!("SELECT ts, -- student\n  student\n{events}"),
            "2:3",
            "student_id",
        ),
        (
            "function",
            format!("SELECT ts,\n  FROBNICATE(id) AS x\n{events}"),
            "2:3",
            "frobnicate",
        ),
        (
            "types",
            format!("SELECT ts,\n   ts + 'x' AS y\n{events}"),
            "2:4",
            "coerce",
        ),
        (
            "compared",
            format!("SELECT ts {events}\nWHERE student_id = ts"),
            "",
            "Timestamp",
        ),
        (
            "summed",
            format!("SELECT SUM(site) AS s\n{hour}"),
            "1:8",
            "does not take values",
        ),
        (
            "open",
            format!("SELECT ts {events}\nWHERE (status = 1"),
            "2:",
            "end of the file",
        ),
        (
            "two",
            format!("SELECT ts {events};\nSELECT ts {events}"),
            "2:1",
            "second statement",
        ),
        (
            "nothing",
            "-- nothing\n/* at all */".to_owned(),
            "1:1",
            "no statement",
        ),
        (
            "uneven",
            hour.replace("TUMBLE", "HOP")
                .replace("'1' HOUR", "'2' HOUR, INTERVAL '3' HOUR")
                .replacen("FROM", "SELECT COUNT(*) AS n\nFROM", 1),
            "2:12",
            "multiple of its slide",
        ),
        (
            "endless",
            format!("SELECT ts,\n COUNT(*) OVER (ORDER BY ts) AS n {events}"),
            "2:2",
            "OVER",
        ),
        ("meeting", pair.to_owned(), "1:18", "within a stated time"),
        (
            "onesided",
            format!("{pair} AND b.ts > a.ts - INTERVAL '5' SECOND"),
            "1:18",
            "stated time",
        ),
        (
            "within",
            format!("SELECT ts {events}\nWHERE slot IN (SELECT slot {events})"),
            "1:16",
            "stated",
        ),
        (
            "same",
            format!("SELECT slot, qa AS slot, ts {events}"),
            "",
            "slot",
        ),
        (
            "revision",
            format!("SELECT ts, seq AS revision {events}"),
            "1:19",
            "revision",
        ),
        (
            "other",
            "SELECT student FROM (VALUES (1)) AS t(student)".to_owned(),
            "1:1",
            "events",
        ),
    ];
    for (name, text, ..) in &mistakes {
        place.query(name, text);
    }
    fs::write(
        place.path("queries/Upper.sql"),
        format!("SELECT ts {events}"),
    )
    .unwrap();
    // A mark that Windows' editors put first, other ends of lines, and a join as it should be.
    let bounds = "AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND";
    fs::write(
        place.path("queries/good.sql"),
        format!("\u{feff}{pair}\r\n{bounds};\r\n"),
    )
    .unwrap();
    place.write(&answers(5, 100, 600, 3));
    let output = place.command(&["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "there are refused files");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!place.results("good").is_empty(), "{log}");
    let refused = &place.status()["refused"];
    assert_eq!(
        refused.as_object().unwrap().len(),
        mistakes.len() + 1,
        "{refused:#}"
    );
    for (name, text, at, reason) in &mistakes {
        let told = refused[name].as_str().unwrap_or_default();
        let place = format!("queries/{name}.sql:{at}");
        assert!(
            told.contains(&place) && told.contains(reason),
            "{text}\n{told}"
        );
    }
}
