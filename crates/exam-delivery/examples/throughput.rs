//! The way from the spool to a bare server on loopback, signed by the real
//! client: lines a millisecond, and CPU of the sender's thread and of the put.
//!
//! `cargo run --release -p exam-delivery --example throughput [lines] [directory]`

#[path = "../tests/common/server.rs"]
mod server;

use exam_delivery::{AwsEnv, PutBatch, SenderConfig, Status, firehose, flush, spawn};
use exam_spool::{Config, Spool};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let lines: usize = args
        .next()
        .map_or(3_000_000, |n| n.parse().expect("a number of lines"));
    let base = args.next().map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("exam-throughput-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("a directory to work in");

    let address = server::serve(false, |request| {
        let records = memchr_count(&request.body);
        server::taken(records, 0)
    });
    let spool = Spool::open(Config {
        dir: dir.join("spool"),
        max_bytes: 4 << 30,
        segment_bytes: 64 << 20,
    })
    .expect("a spool");
    let env: AwsEnv = [
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
    ]
    .into_iter()
    .collect();
    let sender = spawn(
        spool.clone(),
        Box::new(move || {
            firehose(Some(&format!("http://{address}")), None, env.clone())
                .map(|f| Arc::new(f) as Arc<dyn PutBatch>)
                .map_err(|e| e.to_string())
        }),
        None,
        SenderConfig::default(),
    )
    .expect("a sender");

    let line = format!(r#"{{"id":"{}"}}"#, "x".repeat(190));
    let mut writer = spool.writer("bench").expect("a writer");
    let begun = Instant::now();
    for n in 0..lines {
        writer.append(&[line.as_bytes()]).expect("a put");
        if n % 256 == 0 {
            sender.wake();
        }
    }
    let put = begun.elapsed();
    let delivered = flush(&spool, Duration::from_secs(120)).expect("flush");
    let all = begun.elapsed();
    let million = 1e6 / lines as f64;
    println!(
        "{lines} lines of {} bytes, delivered: {delivered}",
        line.len()
    );
    println!(
        "put alone took {put:.2?}; put to all delivered {all:.2?}: {:.0} lines/ms",
        lines as f64 / all.as_secs_f64() / 1e3
    );
    for (name, seconds) in threads() {
        println!(
            "CPU-seconds per million lines, thread {name}: {:.3}",
            seconds * million
        );
    }
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!(
        "{}",
        memory
            .lines()
            .find(|l| l.starts_with("VmHWM"))
            .unwrap_or_default()
    );
    std::thread::sleep(Duration::from_millis(300));
    if let Ok(Some(status)) = Status::read(&spool) {
        let p = |q| status.put_to_delivered.quantile(q).unwrap_or(0) / 1_000;
        println!("put to delivered: p50 {} ms, p99 {} ms", p(0.5), p(0.99));
    }
    sender.stop(Duration::from_secs(2));
    drop(writer);
    let _ = std::fs::remove_dir_all(&dir);
}

fn memchr_count(body: &[u8]) -> usize {
    // Base64 holds no '{'; the request's own is the first.
    body.iter().filter(|b| **b == b'{').count() - 1
}

/// User and system time of each thread of this process.
fn threads() -> Vec<(String, f64)> {
    const TICK: f64 = 100.0; // USER_HZ, the same on every Linux we know
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let ticks: f64 = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
            Some((name.to_owned(), ticks / TICK))
        })
        .collect()
}
