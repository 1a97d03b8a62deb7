//! What an append and the reading back cost:
//! `cargo run --release -p exam-spool --example bench [directory] [appends]`
//!
//! The directory should be on a disk file system. Prints nanoseconds per
//! append of one 200-byte record, hot, in one process, and how fast one thread
//! reads the frames back from the page cache.

use exam_spool::{Appended, Config, Cursor, ReadState, Spool};
use std::time::Instant;

const RECORD: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().unwrap_or_else(|| "/var/tmp".into());
    let appends: usize = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let dir = tempfile::tempdir_in(parent)?;
    let config = Config {
        dir: dir.path().join("spool"),
        max_bytes: 8 << 30,
        segment_bytes: 64 << 20,
    };
    let spool = Spool::open(config)?;

    let record = vec![b'x'; RECORD];
    let mut writer = spool.writer("exam")?;
    let mut nanos = Vec::with_capacity(appends);
    for _ in 0..appends {
        let start = Instant::now();
        let appended = writer.append(&[&record])?;
        nanos.push(start.elapsed().as_nanos() as u64);
        assert_eq!(appended, Appended::All);
    }
    writer.seal();
    let mean = nanos.iter().sum::<u64>() as f64 / appends as f64;
    nanos.sort_unstable();
    let at = |q: f64| nanos[((appends - 1) as f64 * q) as usize];
    println!(
        "append {RECORD} bytes, {appends} times, on {}: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} µs, mean {mean:.0} ns",
        dir.path().display(),
        at(0.5),
        at(0.99),
        at(0.999),
        nanos[appends - 1] / 1000,
    );

    let mut buf = Vec::new();
    for pass in ["first", "second"] {
        let (mut records, mut bytes) = (0, 0);
        let start = Instant::now();
        for segment in spool.segments()? {
            let mut at = segment.cursor(Cursor::Delivery);
            loop {
                let outcome = segment.read(at, &mut buf, 256 * 1024)?;
                records += outcome.records.len();
                bytes += outcome.next.offset - at.offset;
                at = outcome.next;
                if outcome.state != ReadState::More {
                    break;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(records, appends);
        println!(
            "read back, {pass} pass: {:.2} GB/s, {:.1} M frames/s",
            bytes as f64 / seconds / 1e9,
            records as f64 / seconds / 1e6
        );
    }
    let start = Instant::now();
    let dirty = spool
        .segments()?
        .iter()
        .map(|s| s.sync())
        .collect::<Result<Vec<_>, _>>()?;
    println!(
        "sync of {} segments: {:.0} ms",
        dirty.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
