//! A made exam in cold storage, the program run over it, and its results read back.

#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// 2026-01-05 09:00 UTC, in seconds.
pub const START: f64 = 1_767_603_600.0;

/// A small generator of numbers, the same ones for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 16) % n
    }
}

/// An event as a test thinks of it.
#[derive(Clone, Debug)]
pub struct Event {
    pub ts: f64,
    pub id: String,
    pub kind: &'static str,
    pub attempt: i64,
    pub slot: u32,
    pub status: u8,
    /// More members, as JSON: `,"name":value`.
    pub more: String,
}

impl Event {
    pub fn new(kind: &'static str, attempt: i64, after: f64) -> Self {
        let ts = START + after;
        Event {
            id: format!("{kind}-{attempt}-{after}"),
            ts,
            kind,
            attempt,
            slot: 1,
            status: 1,
            more: String::new(),
        }
    }

    pub fn line(&self) -> String {
        let (ts, more) = (format!("{:.6}", self.ts), &self.more);
        let answer = match self.kind {
            "answer" => format!(
                r#","slot":{},"qa":{},"status":{},"fields":{{"answer":"{}"}}"#,
                self.slot,
                self.slot,
                self.status,
                self.attempt % 4
            ),
            _ => String::new(),
        };
        format!(
            r#"{{"v":1,"id":"{}","type":"{}","ts":{ts},"at":{ts},"site":"made","quiz":4,"attempt":{},"usage":1,"student_id":{},"page":"p","seq":1{answer}{more}}}"#,
            self.id, self.kind, self.attempt, self.attempt
        )
    }
}

/// Answers of `students` over `seconds`, in the order of time; some at the very edge of a minute.
pub fn answers(students: u64, count: usize, seconds: u64, seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut events: Vec<Event> = (0..count)
        .map(|n| {
            let mut after = random.below(seconds * 1_000_000) as f64 / 1e6;
            if random.below(20) == 0 {
                after = (after / 60.0).floor() * 60.0;
            }
            let mut event = Event::new("answer", random.below(students) as i64 + 1, after);
            event.id = format!("e{n}");
            event.slot = random.below(20) as u32 + 1;
            event.status = u8::from(random.below(5) > 0);
            event
        })
        .collect();
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    events
}

/// A directory like that of a `serve`, queries, and results.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Place {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["queries", "cold/exam"] {
            fs::create_dir_all(place.path(name)).unwrap();
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Appends lines to the parts of their hours, as `serve` does.
    pub fn write(&self, events: &[Event]) {
        self.write_to("exam", "0000000000000001", events);
    }

    pub fn write_to(&self, stream: &str, part: &str, events: &[Event]) {
        let mut parts: BTreeMap<u64, String> = BTreeMap::new();
        for event in events {
            let text = parts.entry(event.ts as u64 / 3600).or_default();
            text.push_str(&event.line());
            text.push('\n');
        }
        for (hour, text) in parts {
            let hour = exam_cold::calendar::Hour(hour as u32);
            let dir = self.path(&format!("cold/{stream}/{hour}"));
            fs::create_dir_all(&dir).unwrap();
            let mut file = OpenOptions::new();
            let mut file = file
                .append(true)
                .create(true)
                .open(dir.join(format!("{part}.jsonl")))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }

    pub fn query(&self, name: &str, text: &str) {
        // As a careful operator does it: the file is there at once.
        fs::write(self.path("queries/new"), text).unwrap();
        fs::rename(
            self.path("queries/new"),
            self.path(&format!("queries/{name}.sql")),
        )
        .unwrap();
    }

    /// A query of those that are shipped.
    pub fn shipped(&self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../queries")
            .join(format!("{name}.sql"));
        self.query(name, &fs::read_to_string(file).unwrap());
    }

    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exam-analyse"));
        command.arg("run").arg("--cold").arg(self.dir.path());
        command
            .arg("--queries")
            .arg(self.path("queries"))
            .args(options);
        command
            .env_remove("EXAM_STREAM_STATE_URL")
            .env_remove("EXAM_STREAM_LOG");
        command.stdin(Stdio::null());
        command
    }

    /// Runs to the end of what there is; what it logged.
    pub fn run_once(&self, options: &[&str]) -> String {
        let output = self.command(options).arg("--once").output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        log
    }

    pub fn start(&self, options: &[&str]) -> Running {
        let mut command = self.command(options);
        let log = fs::File::create(self.path("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        Running(command.spawn().unwrap())
    }

    /// All lines of a query's results, in the order in which they were written.
    pub fn results(&self, name: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut days: Vec<PathBuf> = match fs::read_dir(self.path("results").join(name)) {
            Ok(list) => list.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        days.sort();
        for day in days {
            let text = fs::read_to_string(day.join("rows.jsonl")).unwrap();
            // What a writer is in the midst of has no end yet.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            rows.extend(
                whole
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()),
            );
        }
        rows
    }

    pub fn status(&self) -> Value {
        let text = fs::read(self.path("results/_status.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Waits until something holds, patiently: other work may have the processors.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            if began.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                panic!("{what}: not within a minute\n{log}\n{}", self.status());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn analyse(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exam-analyse"));
        let output = command
            .args(arguments)
            .arg("--cold")
            .arg(self.dir.path())
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        output
    }
}

/// A program that runs until this is dropped.
pub struct Running(pub Child);

impl Running {
    /// kill -9.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().code().is_some());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn date(days: u64) -> String {
    let (year, month, day) = exam_cold::calendar::date(days as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The end of a minute's window, as results have it.
pub fn minute_end(ts: f64) -> String {
    let end = (ts / 60.0).floor() as i64 * 60 + 60;
    let of_day = end.rem_euclid(86_400);
    format!(
        "{}T{:02}:{:02}:00.000Z",
        date(end as u64 / 86_400),
        of_day / 3600,
        of_day / 60 % 60
    )
}

/// Figure 3 by hand: the sum of `status` by minute and student.
pub fn status_by_minute(events: &[Event]) -> BTreeMap<(String, i64), i64> {
    let mut sums = BTreeMap::new();
    let mut ids = std::collections::HashSet::new();
    for event in events
        .iter()
        .filter(|event| event.kind == "answer" && ids.insert(event.id.clone()))
    {
        *sums
            .entry((minute_end(event.ts), event.attempt))
            .or_default() += i64::from(event.status);
    }
    sums
}

/// The same of results: of each window, the rows of its latest revision.
pub fn latest_status(rows: &[Value]) -> BTreeMap<(String, i64), i64> {
    let end = |row: &Value| row["window_end"].as_str().unwrap().to_owned();
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let revision = revisions.entry(end(row)).or_default();
        *revision = (*revision).max(row["revision"].as_u64().unwrap());
    }
    let latest = rows
        .iter()
        .filter(|row| row["revision"].as_u64() == revisions.get(&end(row)).copied());
    let mut sums = BTreeMap::new();
    for row in latest.filter(|row| row.get("empty").is_none()) {
        let key = (end(row), row["student_id"].as_i64().unwrap());
        let before = sums.insert(key, row["status_sum"].as_i64().unwrap());
        assert_eq!(before, None, "a row twice: {row}");
    }
    sums
}
