//! Prints how fast answers are folded into a store that runs and may be filled:
//! `cargo run --release -p exam-state --example folding redis://127.0.0.1:6379`.

use std::time::{Duration, Instant};

use exam_record::AttemptKey;
use exam_record::make::{self, Attempt, Stamp};
use exam_state::{BlockingReader, FoldBatch, Options, StateStore, open};

const EVENTS: u64 = 200_000;
const BATCH: u64 = 5_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .ok_or("usage: folding <state URL>")?;
    let options = Options {
        ttl: Some(Duration::from_secs(600)),
        ..Options::default()
    };
    let store = open(&url, options)?;
    for per_attempt in [1, 10] {
        run(&*store, per_attempt).await?;
    }

    let mut took = tokio::task::spawn_blocking(move || {
        let mut reader = BlockingReader::new(
            &url,
            Options {
                response_timeout: Duration::from_millis(150),
                ..Options::default()
            },
        )?;
        let key = AttemptKey::new("speed", 1);
        (0..5_000)
            .map(|_| {
                let start = Instant::now();
                reader.read(&key)?;
                Ok(start.elapsed())
            })
            .collect::<Result<Vec<_>, exam_state::StateError>>()
    })
    .await??;
    took.sort();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("BlockingReader: one attempt in {median:?} (median), {p99:?} (99th percentile)");
    Ok(())
}

async fn run(store: &dyn StateStore, per_attempt: u64) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<String> = (0..EVENTS)
        .map(|i| {
            let attempt = Attempt {
                site: "speed".into(),
                quiz: 4,
                attempt: (i / per_attempt % (BATCH / per_attempt)) as i64,
                usage: 170,
                student_id: 3,
            };
            let (at, page) = (
                1_763_800_000_000_000 + i * 1_000,
                "00064424f1a2b3c4-9f8e7d6c.1a2b3c4d",
            );
            let id = format!("{i}-{page}");
            let stamp = Stamp {
                id: &id,
                ts: at + 12_345,
                at,
                page,
                seq: i as i64,
            };
            let slot = (i % 10) as u32 + 1;
            make::answer(
                &attempt,
                &stamp,
                slot,
                7,
                1,
                &[("answer", "0.666"), (":sequencecheck", "1")],
            )
        })
        .collect();
    let (mut folding, mut sending) = (Duration::ZERO, Duration::ZERO);
    for lines in lines.chunks(BATCH as usize) {
        let start = Instant::now();
        let mut batch = FoldBatch::new();
        for line in lines {
            batch.push(line.as_bytes())?;
        }
        let folded = Instant::now();
        store.fold(&batch).await?;
        folding += folded - start;
        sending += folded.elapsed();
    }
    let rate = |took: Duration| EVENTS as f64 / took.as_secs_f64();
    println!(
        "{EVENTS} answers of {} bytes, {BATCH} a batch, {per_attempt} to an attempt: {:.0}/s in all ({:.0}/s folded in memory, {:.0}/s into the store)",
        lines[0].len(),
        rate(folding + sending),
        rate(folding),
        rate(sending)
    );
    Ok(())
}
