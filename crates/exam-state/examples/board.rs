//! Prints how long a look at a board takes, in a quiz of very many attempts:
//! `cargo run --release -p exam-state --example board redis://127.0.0.1:6379 500000`.
//! The store should be empty; it takes some 600 bytes an attempt.

use std::time::{Duration, Instant};

use exam_record::make::{self, Attempt, Stamp};
use exam_state::{BlockingReader, FoldBatch, Options, StateError, StateStore, open};
use tokio::runtime::{Builder, Runtime};

const SITE: &str = "speed";
const QUIZ: i64 = 4;
const SLOTS: u32 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: board <state URL> <attempts>";
    let url = std::env::args().nth(1).ok_or(usage)?;
    let attempts: i64 = std::env::args().nth(2).ok_or(usage)?.parse()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let store = open(&url, Options::default())?;
    let mut reader = BlockingReader::new(
        &url,
        Options {
            response_timeout: Duration::from_secs(60),
            ..Options::default()
        },
    )?;

    let start = Instant::now();
    for first in (1..=attempts).step_by(5_000) {
        let some = first..=attempts.min(first + 4_999);
        fold(&runtime, &*store, some, 0)?;
    }
    println!("{attempts} attempts folded in {:.1?}", start.elapsed());
    let start = Instant::now();
    let (mut version, mut looks) = (0, 0);
    loop {
        let board = reader.board(SITE, QUIZ, version)?;
        (version, looks) = (board.version, looks + 1);
        if !board.more {
            break;
        }
    }
    println!(
        "all of their rows in {looks} looks, {:.1?}",
        start.elapsed()
    );

    fold(&runtime, &*store, 1..=2_000, SLOTS)?;
    let last = look(&mut reader, "2,000 rows of 20 questions", version)?;
    fold(&runtime, &*store, 1..=300, 1)?;
    let last = look(&mut reader, "300 of them, changed since", last)?;
    look(&mut reader, "nothing changed", last)?;
    Ok(())
}

/// Folds a sign of life, or as many answers, of each attempt.
fn fold(
    runtime: &Runtime,
    store: &dyn StateStore,
    attempts: std::ops::RangeInclusive<i64>,
    answers: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let page = "00064424f1a2b3c4-9f8e7d6c.1a2b3c4d";
    let mut batch = FoldBatch::new();
    for number in attempts {
        let attempt = Attempt {
            site: SITE.into(),
            quiz: QUIZ,
            attempt: number,
            usage: number,
            student_id: number,
        };
        for slot in 0..=answers {
            let id = format!("{number}-{page}-{slot}");
            let at = 1_763_800_000_000_000 + u64::from(slot) * 1_000_000;
            let stamp = Stamp {
                id: &id,
                ts: at + 12_345,
                at,
                page,
                seq: slot.into(),
            };
            let line = match slot {
                0 => make::alive(&attempt, &stamp, &[("hidden", 1)]),
                slot => {
                    let fields = [("answer", "0.666"), (":sequencecheck", "1")];
                    make::answer(&attempt, &stamp, slot, 7, 1, &fields)
                }
            };
            batch.push(line.as_bytes())?;
        }
    }
    Ok(runtime.block_on(store.fold(&batch))?)
}

/// Looks twenty times, and prints the median; gives the board's version.
fn look(reader: &mut BlockingReader, what: &str, since: u64) -> Result<u64, StateError> {
    let mut took = Vec::new();
    let mut version = 0;
    let mut rows = 0;
    for _ in 0..20 {
        let start = Instant::now();
        let board = reader.board(SITE, QUIZ, since)?;
        took.push(start.elapsed());
        (version, rows) = (board.version, board.rows.len());
    }
    took.sort();
    println!(
        "{what}: {rows} rows in {:.1?} (median), {:.1?} (least)",
        took[10], took[0]
    );
    Ok(version)
}
