//! How many records a millisecond does a `serve` take, and what does it cost?
//!
//! `load URL PID [SECONDS [CONNECTIONS [KEY_ID SECRET]]]`: 200-byte lines, 300 to
//! a Firehose record, as many records to a call as 4 MiB hold, several calls in
//! flight; signed if a key is given. PID is the server's: its CPU time and memory
//! are read from /proc. The bodies are made before the clock starts.

#[path = "../tests/support/client.rs"]
mod client;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Client, batch};
use exam_record::make::{self, Attempt, Stamp};

const LINES: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, pid, rest @ ..] = args.as_slice() else {
        eprintln!("usage: load URL PID [SECONDS [CONNECTIONS [KEY_ID SECRET]]]");
        std::process::exit(2);
    };
    let number = |i: usize, or: u64| rest.get(i).and_then(|n| n.parse().ok()).unwrap_or(or);
    let (seconds, connections) = (number(0, 5), number(1, 4));
    let key = rest
        .get(2)
        .zip(rest.get(3))
        .map(|(id, secret)| (id.as_str(), secret.as_str()));

    let line_len = lines(0, 1).len();
    let records = (4 << 20) / (LINES * line_len);
    let mut clients = Vec::new();
    for worker in 0..connections {
        let blobs: Vec<String> = (0..records as u64)
            .map(|r| lines((worker * records as u64 + r) * LINES as u64, LINES as u64))
            .collect();
        clients.push((Client::connect(url, key).await?, batch("exam", &blobs)));
    }
    println!(
        "{line_len}-byte lines, {LINES} a record, {records} records a call, {connections} calls in flight, {}",
        if key.is_some() {
            "signed"
        } else {
            "not signed"
        }
    );

    let (began, cpu) = (Instant::now(), cpu_seconds(pid));
    let end = began + Duration::from_secs(seconds);
    let calls = clients.into_iter().map(|(mut client, body)| async move {
        let mut delays = Vec::new();
        while Instant::now() < end {
            let sent = Instant::now();
            let answer = client
                .call("PutRecordBatch", body.clone())
                .await
                .expect("an answer");
            assert!(
                answer.status.is_success(),
                "{:?} {:?}",
                answer.headers,
                answer.body
            );
            delays.push(sent.elapsed());
        }
        delays
    });
    let mut delays = futures_util::future::join_all(calls).await.concat();
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(pid) - cpu);
    delays.sort_unstable();
    let lines = (delays.len() * records * LINES) as f64;
    let percentile = |p: usize| delays[(delays.len() - 1) * p / 100].as_secs_f64() * 1e3;
    println!(
        "{:.0} records/ms; server: {:.2} of a core, {:.2} CPU s a million records, {} MiB resident; \
         call p50 {:.1} ms, p99 {:.1} ms",
        lines / took / 1e3,
        cpu / took,
        cpu / lines * 1e6,
        resident_mib(pid),
        percentile(50),
        percentile(99),
    );
    Ok(())
}

/// Answers of as many students, some 200 bytes each.
fn lines(first: u64, count: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64;
    let line = |n: u64| {
        let attempt = Attempt {
            site: "m".into(),
            quiz: 7,
            attempt: 10_000 + n as i64,
            usage: 20_000 + n as i64,
            student_id: 30_000 + n as i64,
        };
        let id = format!("{n:06x}");
        let stamp = Stamp {
            id: &id,
            ts: now,
            at: now,
            page: "p1",
            seq: 1,
        };
        make::answer(&attempt, &stamp, 1, 40_000, 1, &[("answer", "2")]) + "\n"
    };
    (first..first + count).map(line).collect()
}

/// User and system time of a process, threads included.
fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<f64>)
        .sum();
    ticks / 100.0
}

fn resident_mib(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap_or("0");
    line.split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
