//! An exam played at sixty times its speed while `exam-analyse run` follows: once in order, once
//! shuffled within the lateness. Both must give the windows that a GROUP BY gives in the end.
//!
//! `EXAM_STREAM_EXAM_LOG` names a log as `exam-stream replay` reads it (milliseconds, student,
//! question, score, tabs between); without one, fifteen minutes of a made exam are played.
//! `EXAM_STREAM_KEEP` names a directory in which what was played and found is left.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use support::{Event, Place, Random, answers, latest_status, status_by_minute};

const SPEED: f64 = 60.0;
/// Seconds of event time.
const LATENESS: u64 = 60;

fn log(path: &Path) -> Vec<Event> {
    let mut seq: HashMap<i64, (u32, f64)> = HashMap::new();
    let mut events: Vec<Event> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let student = columns[1].parse().unwrap();
            // A browser's clock never goes back.
            let (n, before) = seq.entry(student).or_default();
            let at = (columns[0].parse::<f64>().unwrap() / 1e3).max(*before);
            (*n, *before) = (*n + 1, at);
            let mut event = Event::new("answer", student, at);
            event.id = format!("{student}-{n}");
            event.status = u8::from(columns[3].parse::<f64>().unwrap() > 0.5);
            event
        })
        .collect();
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    events
}

/// Writes events at the moment they are due, twice a second.
fn play(place: &Place, due: &[(f64, Event)]) {
    let began = Instant::now();
    let first = due[0].0;
    let mut at = 0;
    while at < due.len() {
        let now = first + began.elapsed().as_secs_f64() * SPEED;
        let until = due.partition_point(|(due, _)| *due <= now);
        let events: Vec<Event> = due[at..until]
            .iter()
            .map(|(_, event)| event.clone())
            .collect();
        place.write(&events);
        at = until;
        thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_replayed_exam_has_the_windows_of_a_group_by() {
    let events = match env::var_os("EXAM_STREAM_EXAM_LOG") {
        Some(path) => log(Path::new(&path)),
        None => answers(300, 30_000, 15 * 60, 11),
    };
    let mut random = Random::new(12);
    let in_order: Vec<(f64, Event)> = events
        .iter()
        .map(|event| (event.ts, event.clone()))
        .collect();
    // Half of the lateness is left to the half second in which everything is written at once.
    let mut delay = || random.below(LATENESS * 500) as f64 / 1e3;
    let mut shuffled: Vec<(f64, Event)> = events
        .iter()
        .map(|event| (event.ts + delay(), event.clone()))
        .collect();
    shuffled.sort_by(|a, b| a.0.total_cmp(&b.0));

    let run = |due: Vec<(f64, Event)>| {
        thread::spawn(move || {
            let place = Place::new();
            place.shipped("student_status");
            let lateness = format!("{LATENESS}s");
            let run = place.start(&["--lateness", &lateness, "--no-restate"]);
            play(&place, &due);
            place.until("everything is read", || {
                place.status()["events"] == due.len()
            });
            run.end();
            let live = place.results("student_status").len();
            // The last minutes, which nothing has closed yet.
            place.run_once(&["--lateness", &lateness, "--no-restate"]);
            (place, live)
        })
    };
    let runs = [run(in_order), run(shuffled)].map(|run| run.join().unwrap());
    let expected = status_by_minute(&events);
    for (name, (place, live)) in ["in order", "shuffled"].into_iter().zip(&runs) {
        let rows = place.results("student_status");
        let late = place.results("_late").len();
        println!(
            "{name}: {} events, {} rows ({live} while it was played), {late} late, resident {} MB",
            events.len(),
            rows.len(),
            place.status()["resident_bytes"].as_u64().unwrap() >> 20
        );
        assert_eq!(late, 0);
        assert!(*live > 0);
        assert_eq!(latest_status(&rows), expected, "{name}");
        if let Some(keep) = env::var_os("EXAM_STREAM_KEEP") {
            let to = Path::new(&keep).join(name.replace(' ', "-"));
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .arg(place.dir.path())
                .arg(to)
                .status();
            assert!(copied.unwrap().success());
        }
    }
    let file = "results/student_status";
    let bytes = |place: &Place| {
        let mut days: Vec<_> = fs::read_dir(place.path(file))
            .unwrap()
            .map(|day| day.unwrap().path())
            .collect();
        days.sort();
        days.iter()
            .map(|day| fs::read(day.join("rows.jsonl")).unwrap())
            .collect::<Vec<_>>()
    };
    assert!(bytes(&runs[0].0) == bytes(&runs[1].0), "the same bytes");
}
