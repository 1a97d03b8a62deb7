//! `exam-analyse run`: the windows, whatever happens to events and process.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use support::{Event, Place, Random, START, answers, latest_status, minute_end, status_by_minute};

#[test]
fn windows_equal_a_group_by_in_order_and_shuffled() {
    let mut events = answers(50, 20_000, 2 * 3600, 1);
    // A sender repeats what it is not sure of.
    let again: Vec<Event> = events.iter().step_by(7).cloned().collect();
    let expected = status_by_minute(&events);

    let in_order = Place::new();
    in_order.shipped("student_status");
    in_order.write(&events);
    in_order.write_to("exam", "0000000000000002", &again);
    in_order.run_once(&[]);
    assert_eq!(latest_status(&in_order.results("student_status")), expected);
    let status = in_order.status();
    assert_eq!(status["events"], 20_000);
    assert_eq!(status["duplicates"], again.len());
    assert_eq!(status["late"], 0);

    // Each event up to half a minute later than it was, in two streams.
    let mut random = Random::new(2);
    let mut delayed: Vec<(f64, Event)> = events
        .drain(..)
        .map(|event| (event.ts + random.below(30_000) as f64 / 1e3, event))
        .collect();
    delayed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (a, b): (Vec<_>, Vec<_>) = delayed
        .into_iter()
        .map(|(_, event)| event)
        .partition(|event| event.attempt % 3 == 0);
    let shuffled = Place::new();
    shuffled.shipped("student_status");
    shuffled.write_to("exam", "1", &a);
    shuffled.write_to("other", "2", &b);
    shuffled.run_once(&[]);
    assert_eq!(shuffled.status()["late"], 0);
    // Not only equal: the same bytes.
    let file = "results/student_status/dt=2026-01-05/rows.jsonl";
    assert_eq!(
        fs::read_to_string(shuffled.path(file)).unwrap(),
        fs::read_to_string(in_order.path(file)).unwrap()
    );
}

#[test]
fn late_events_are_counted_kept_apart_and_their_windows_restated() {
    let events = answers(10, 3_000, 1800, 3);
    let is_late = |event: &Event| event.attempt == 7 && event.ts < START + 600.0;
    let (late, timely): (Vec<Event>, Vec<Event>) = events.iter().cloned().partition(is_late);
    for restate in [false, true] {
        let place = Place::new();
        place.shipped("student_status");
        let options: &[&str] = if restate { &[] } else { &["--no-restate"] };
        place.write(&timely);
        place.run_once(options);
        // A host that was cut off for a while sends what it has.
        place.write(&late);
        place.run_once(options);
        let rows = place.results("student_status");
        let status = place.status();
        assert_eq!(status["late"], late.len());
        assert_eq!(status["queries"]["student_status"]["late"], late.len());
        let apart = place.results("_late");
        assert_eq!(apart.len(), late.len());
        assert!(apart.iter().all(|line| line["record"]["attempt"] == 7));
        if restate {
            assert_eq!(latest_status(&rows), status_by_minute(&events));
            assert_eq!(status["queries"]["student_status"]["restated"], 10);
        } else {
            assert_eq!(latest_status(&rows), status_by_minute(&timely));
            assert!(rows.iter().all(|row| row["revision"] == 0));
        }
    }
}

#[test]
fn killed_at_random_no_window_is_written_twice_with_different_rows() {
    let place = Place::new();
    place.shipped("student_status");
    let events = answers(200, 60_000, 2 * 3600, 4);
    let mut random = Random::new(5);
    let mut kills = 0;
    for piece in events.chunks(4_000) {
        place.write(piece);
        let run = place.start(&["--lateness", "5s"]);
        std::thread::sleep(Duration::from_millis(20 + random.below(400)));
        run.kill();
        kills += 1;
    }
    place.run_once(&["--lateness", "5s"]);
    assert_eq!(
        latest_status(&place.results("student_status")),
        status_by_minute(&events)
    );
    // Of each window and revision one set of rows: no row twice.
    let mut seen: BTreeMap<(String, u64, i64), i64> = BTreeMap::new();
    for row in place.results("student_status") {
        let key = (
            row["window_end"].as_str().unwrap().to_owned(),
            row["revision"].as_u64().unwrap(),
            row["student_id"].as_i64().unwrap(),
        );
        assert_eq!(
            seen.insert(key, row["status_sum"].as_i64().unwrap()),
            None,
            "{row}"
        );
    }
    assert_eq!(place.status()["events"], 60_000);
    println!("killed {kills} times");
}

#[test]
fn a_quiet_exam_closes_its_windows() {
    let place = Place::new();
    place.shipped("student_status");
    let events = answers(5, 100, 240, 6);
    place.write(&events);
    let run = place.start(&["--lateness", "1s", "--idle-timeout", "500ms"]);
    // Its last minute too, although nothing comes any more.
    let last = minute_end(events[99].ts);
    place.until("the last window", || {
        place
            .results("student_status")
            .iter()
            .any(|row| row["window_end"] == last.as_str())
    });
    run.end();
    assert_eq!(
        latest_status(&place.results("student_status")),
        status_by_minute(&events)
    );
}

#[test]
fn files_are_taken_up_replaced_and_removed_and_a_bad_one_is_refused() {
    let place = Place::new();
    place.shipped("student_status");
    let count = |what: &str| {
        format!(
            "SELECT {what} AS n, window_end\nFROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), \
             INTERVAL '1' MINUTE))\nGROUP BY window_start, window_end"
        )
    };
    let events = answers(20, 4_000, 3600, 7);
    let at = |minute: f64| events.partition_point(|event| event.ts < START + minute * 60.0);
    place.write(&events[..at(10.0)]);
    let run = place.start(&["--lateness", "0s"]);
    let closed = |name: &str| {
        place.status()["queries"][name]["closed"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let is_at = |name: &str, time: &str| closed(name).starts_with(&format!("2026-01-05T{time}"));
    place.until("ten minutes", || is_at("student_status", "09:09"));

    place.query("bad", "SELECT id\n  FROM events WHERE )");
    place.query("unknown", "SELECT ts, nothing FROM events");
    place.query("counts", &count("COUNT(*)"));
    place.until("the bad one is refused", || {
        let refused = &place.status()["refused"];
        refused["bad"]
            .as_str()
            .is_some_and(|reason| reason.contains("bad.sql:2:"))
            && refused["unknown"]
                .as_str()
                .is_some_and(|reason| reason.contains("unknown.sql:1:12"))
    });
    place.until("the new one is taken up", || !closed("counts").is_empty());
    place.write(&events[at(10.0)..at(20.0)]);
    place.until("twenty minutes", || {
        is_at("counts", "09:19") && is_at("student_status", "09:19")
    });

    place.query("counts", &count("0 - COUNT(*)"));
    std::thread::sleep(Duration::from_millis(2_500));
    place.write(&events[at(20.0)..at(30.0)]);
    place.until("thirty minutes", || is_at("counts", "09:29"));
    // A file that got worse runs on as it was.
    place.query("counts", "SELECT nonsense");
    place.until("refused", || {
        place.status()["refused"]["counts"].is_string()
    });
    fs::remove_file(place.path("queries/student_status.sql")).unwrap();
    place.until("removed", || {
        place.status()["queries"].get("student_status").is_none()
    });
    place.write(&events[at(30.0)..]);
    place.until("forty minutes", || is_at("counts", "09:59"));
    run.end();

    let ends: Vec<String> = place
        .results("counts")
        .iter()
        .map(|row| row["window_end"].as_str().unwrap()[11..16].to_owned())
        .collect();
    assert!(
        !ends.contains(&"09:08".into()),
        "it begins when it is taken up: {ends:?}"
    );
    for (minute, sign) in [("09:15", 1), ("09:25", -1), ("09:35", -1)] {
        let rows = place.results("counts");
        let row = rows
            .iter()
            .find(|row| row["window_end"].as_str().unwrap()[11..16] == *minute)
            .unwrap();
        let expected = events
            .iter()
            .filter(|event| minute_end(event.ts)[11..16] == *minute)
            .count();
        assert_eq!(row["n"], sign * expected as i64, "{minute}");
    }
    assert!(
        place
            .results("student_status")
            .iter()
            .all(|row| row["window_end"].as_str().unwrap() < "2026-01-05T09:31")
    );
}

#[test]
fn memory_has_a_limit_and_the_rows_are_the_same() {
    let place = Place::new();
    place.shipped("student_status");
    let events = answers(100, 40_000, 1800, 8);
    place.write(&events);
    place.run_once(&["--lateness", "1h", "--memory", "1M"]);
    let status = place.status();
    assert!(status["forced"].as_u64().unwrap() > 0, "{status}");
    assert!(
        status["buffered_bytes"].as_u64().unwrap() < 2 << 20,
        "{status}"
    );
    assert_eq!(
        latest_status(&place.results("student_status")),
        status_by_minute(&events)
    );
}

/// `ts` in milliseconds, as `events` has it.
fn millis(event: &Event) -> i64 {
    (event.ts * 1e6).round() as i64 / 1000
}

#[test]
fn hop_floor_joins_and_over_equal_what_is_counted_by_hand() {
    let place = Place::new();
    place.query(
        "hop",
        "SELECT attempt, COUNT(*) AS n, COUNT(*) FILTER (WHERE status = 0) AS zero, window_end \
         FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) \
         GROUP BY attempt, window_start, window_end HAVING COUNT(*) FILTER (WHERE status = 0) > 2",
    );
    place.query(
        "floor",
        "SELECT FLOOR(ts TO HOUR) AS hour_start, JSON_VALUE(fields, '$.answer') AS option_chosen, COUNT(*) AS n \
         FROM events GROUP BY FLOOR(ts TO HOUR), JSON_VALUE(fields, '$.answer')",
    );
    place.query(
        "pairs",
        "SELECT a.id AS first, b.id AS second, b.ts AS ts FROM events a JOIN events b \
         ON a.slot = b.slot AND a.attempt <> b.attempt AND a.id <> b.id \
         AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '2' SECOND",
    );
    place.query(
        "running",
        "SELECT id, ts, COUNT(*) OVER (PARTITION BY attempt ORDER BY ts \
         RANGE BETWEEN INTERVAL '90' SECOND PRECEDING AND CURRENT ROW) AS n FROM events",
    );
    let events = answers(8, 2_500, 2 * 3600, 9);
    place.write(&events);
    place.run_once(&[]);

    let mut hop: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for event in &events {
        let first = millis(event).div_euclid(60_000) + 1;
        for end in first..first + 5 {
            let counts = hop.entry((end * 60_000, event.attempt)).or_default();
            counts.0 += 1;
            counts.1 += i64::from(event.status == 0);
        }
    }
    hop.retain(|_, counts| counts.1 > 2);
    let rows = place.results("hop");
    assert_eq!(rows.len(), hop.len());
    let found: i64 = rows
        .iter()
        .map(|row| row["n"].as_i64().unwrap() * row["zero"].as_i64().unwrap())
        .sum();
    assert_eq!(found, hop.values().map(|(n, zero)| n * zero).sum::<i64>());

    let rows = place.results("floor");
    let total: i64 = rows.iter().map(|row| row["n"].as_i64().unwrap()).sum();
    assert_eq!((rows.len(), total), (8, 2_500), "two hours of four options");

    let mut pairs: Vec<(String, String)> = Vec::new();
    for a in &events {
        let near = |b: &&Event| (0..=2_000).contains(&(millis(b) - millis(a)));
        let other = |b: &&Event| b.slot == a.slot && b.attempt != a.attempt;
        pairs.extend(
            events
                .iter()
                .filter(near)
                .filter(other)
                .map(|b| (a.id.clone(), b.id.clone())),
        );
    }
    pairs.sort();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut found: Vec<_> = place
        .results("pairs")
        .iter()
        .map(|row| (text(&row["first"]), text(&row["second"])))
        .collect();
    found.sort();
    assert_eq!(found, pairs);

    let rows = place.results("running");
    assert_eq!(rows.len(), events.len());
    for row in rows {
        let event = events.iter().find(|event| event.id == row["id"]).unwrap();
        let near = |other: &&Event| {
            other.attempt == event.attempt
                && (0..=90_000).contains(&(millis(event) - millis(other)))
        };
        assert_eq!(row["n"], events.iter().filter(near).count(), "{row}");
    }
}

#[test]
fn a_reference_table_can_be_joined() {
    let place = Place::new();
    fs::create_dir(place.path("reference")).unwrap();
    fs::write(
        place.path("reference/roster.csv"),
        "student,room\n1,A1\n2,B2\n",
    )
    .unwrap();
    place.query(
        "rooms",
        "SELECT r.room, COUNT(*) AS n, e.window_end \
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' HOUR)) AS e \
         JOIN roster r ON r.student = e.student_id GROUP BY r.room, e.window_start, e.window_end",
    );
    let events = answers(3, 300, 3600, 10);
    place.write(&events);
    place.run_once(&["--reference", place.path("reference").to_str().unwrap()]);
    let rows = place.results("rooms");
    let of = |room: &str| rows.iter().find(|row| row["room"] == room).unwrap()["n"].clone();
    for (room, student) in [("A1", 1), ("B2", 2)] {
        assert_eq!(
            of(room),
            events
                .iter()
                .filter(|event| event.attempt == student)
                .count()
        );
    }
}
