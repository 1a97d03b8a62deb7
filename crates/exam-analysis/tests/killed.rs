//! `exam-stream serve --analyse` under load, while it and its `exam-analyse` are killed with -9 at
//! random moments: what was acknowledged is stored, and no window is told twice.
//!
//! Needs the program `exam-stream` beside `exam-analyse`: `cargo build --release -p exam-stream`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use exam_cold::{Select, Tree};
use support::{Event, Place, Random, latest_status, status_by_minute};

/// Answers of a batch, and the event time that passes with it.
const BATCH: usize = 40;
const STEP: f64 = 4.0;
/// For how long it is killed; `EXAM_STREAM_KILL_SECONDS` says otherwise.
const SECONDS: u64 = 8;

struct Serve {
    process: Child,
    address: String,
}

impl Serve {
    fn start(program: &Path, place: &Place) -> Serve {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(place.path("log"))
            .unwrap();
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--stream", "exam"])
            .args(["--part-mib", "1", "--dir"])
            .arg(place.dir.path())
            .arg("--analyse")
            .arg(place.path("queries"))
            .arg("--analyse-program")
            .arg(env!("CARGO_BIN_EXE_exam-analyse"))
            .env_remove("EXAM_STREAM_LOG")
            .env_remove("EXAM_STREAM_STATE_URL")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().trim_start_matches("http://").to_owned();
        assert!(!address.is_empty(), "serve did not start");
        Serve { process, address }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Its children that are exam-analyse.
fn analyses(serve: u32) -> Vec<rustix::process::Pid> {
    let children = fs::read_to_string(format!("/proc/{serve}/task/{serve}/children"));
    // The thread that started it is its parent.
    let tasks = fs::read_dir(format!("/proc/{serve}/task"))
        .into_iter()
        .flatten();
    let of_tasks =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let mut all: Vec<i32> = (of_tasks.chain(children.ok()))
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
        .filter_map(rustix::process::Pid::from_raw)
        .collect()
}

/// True if it was acknowledged.
fn put(address: &str, events: &[Event]) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let lines: Vec<String> = events.iter().map(Event::line).collect();
    let data = base64_simd::STANDARD.encode_to_string(lines.join("\n"));
    let body = format!(r#"{{"DeliveryStreamName":"exam","Records":[{{"Data":"{data}"}}]}}"#);
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: Firehose_20150804.PutRecordBatch\r\n\
         Content-Type: application/x-amz-json-1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // Whole, or it was cut off.
    Ok(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("]}"))
}

fn batch(n: usize, random: &mut Random) -> Vec<Event> {
    let event = |i: usize, random: &mut Random| {
        let after = n as f64 * STEP + random.below((STEP * 1e6) as u64) as f64 / 1e6;
        let mut event = Event::new("answer", random.below(50) as i64 + 1, after);
        event.id = format!("e{n}-{i}");
        event.slot = random.below(9) as u32 + 1;
        event.status = u8::from(random.below(5) > 0);
        event
    };
    (0..BATCH).map(|i| event(i, random)).collect()
}

/// The ids in cold storage.
fn stored(place: &Place) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for part in exam_cold::parts(place.dir.path(), Tree::Cold, &Select::default()).unwrap() {
        for line in part.open(0).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            ids.insert(record["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

#[test]
fn whatever_is_killed_nothing_acknowledged_is_missing_and_no_window_is_told_twice() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_exam-analyse")).with_file_name("exam-stream");
    if !program.is_file() {
        println!(
            "SKIPPED: NOT TESTED with serve: there is no {}",
            program.display()
        );
        return;
    }
    let seconds = std::env::var("EXAM_STREAM_KILL_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let place = Place::new();
    place.shipped("student_status");
    let address = Mutex::new(String::new());
    let over = AtomicBool::new(false);
    let mut random = Random::new(21);
    let (mut kills, mut analyses_killed) = (0, 0);

    let (sent, acknowledged) = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut random = Random::new(22);
            let (mut sent, mut acknowledged) = (Vec::new(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let events = batch(acknowledged.len() / BATCH, &mut random);
                sent.extend(events.clone());
                // As a sender does: again, until it is acknowledged.
                while !over.load(Ordering::Relaxed) {
                    let to = address.lock().unwrap().clone();
                    if put(&to, &events).unwrap_or(false) {
                        acknowledged.extend(events.iter().map(|event| event.id.clone()));
                        break;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            }
            (sent, acknowledged)
        });
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut serve = Serve::start(&program, &place);
        *address.lock().unwrap() = serve.address.clone();
        while Instant::now() < until {
            thread::sleep(Duration::from_millis(50 + random.below(900)));
            let both = random.below(3);
            if both != 0 {
                for pid in analyses(serve.process.id()) {
                    let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    analyses_killed += u32::from(killed.is_ok());
                }
            }
            if both != 1 {
                serve.kill();
                kills += 1;
                serve = Serve::start(&program, &place);
                *address.lock().unwrap() = serve.address.clone();
            }
        }
        over.store(true, Ordering::Relaxed);
        let done = sender.join().unwrap();
        // Ended in order, it closes its parts.
        let pid = rustix::process::Pid::from_child(&serve.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(serve.process.wait().unwrap().success());
        done
    });

    let ids = stored(&place);
    let missing = acknowledged.iter().filter(|id| !ids.contains(*id)).count();
    assert_eq!(missing, 0, "of {} acknowledged", acknowledged.len());
    let live = place.results("student_status").len();
    // Those of a serve that was killed end by themselves.
    let lock = fs::File::open(place.path("results/_lock")).unwrap();
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    place.until("no analysis runs", || {
        rustix::fs::flock(&lock, exclusive).is_ok()
    });
    drop(lock);
    place.run_once(&[]);
    let rows = place.results("student_status");
    // Of each window and revision one row a student.
    let mut seen: BTreeMap<(String, u64, i64), i64> = BTreeMap::new();
    for row in &rows {
        let key = (
            row["window_end"].as_str().unwrap().to_owned(),
            row["revision"].as_u64().unwrap(),
            row["student_id"].as_i64().unwrap(),
        );
        let sum = row["status_sum"].as_i64().unwrap();
        assert_eq!(seen.insert(key, sum), None, "{row}");
    }
    let there: Vec<Event> = sent
        .into_iter()
        .filter(|event| ids.contains(&event.id))
        .collect();
    assert_eq!(latest_status(&rows), status_by_minute(&there));
    println!(
        "{kills} times serve and {analyses_killed} times exam-analyse killed in {seconds} s: {} \
         acknowledged, 0 missing, {} rows ({live} while it ran), each once",
        acknowledged.len(),
        rows.len()
    );
    assert!(kills > 0 && analyses_killed > 0);
}
