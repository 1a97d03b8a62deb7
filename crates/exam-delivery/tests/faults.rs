//! The sender against a Firehose with scripted faults.

mod common;

use common::*;
use exam_delivery::{PutError, flush};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn everything_put_is_delivered_once_and_the_segments_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "a", 0..20_000);
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!((fake.taken("exam"), fake.twice("exam")), (20_000, 0));
    writer.seal();
    eventually("the segment is deleted", 5, || {
        spool.segments().unwrap().is_empty()
    });
    let totals = spool.totals().unwrap();
    assert_eq!((totals.accepted, totals.delivered), (20_000, 20_000));
    eventually("the status tells", 2, || {
        stream(&spool, "exam").delivered == 20_000
    });
    assert!(status(&spool).put_to_delivered.quantile(0.5).is_some());
    assert_eq!(status(&spool).pid, std::process::id());
    assert!(sender.stop(2 * SECOND));
    assert_eq!(status(&spool).pid, 0);
}

#[test]
fn of_a_call_half_taken_only_the_other_half_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, _, records| {
        let half = |i| {
            if i % 2 == 0 {
                None
            } else {
                error("ServiceUnavailableException")
            }
        };
        Ok((0..records.len()).map(half).collect())
    });
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "a", 0..20_000);
    let sender = start(&spool, &fake);
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!((fake.taken("exam"), fake.twice("exam")), (20_000, 0));
    eventually("the status tells", 2, || {
        let status = status(&spool);
        status.retried > 9_000 && stream(&spool, "exam").delivered == 20_000
    });
    sender.stop(SECOND);
}

#[test]
fn throttling_is_waited_out_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, call, r| match call {
        1..=4 => Err(PutError::Throttled("slow down".into())),
        _ => take_all(r),
    });
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "a", 0..100);
    let sender = start(&spool, &fake);
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!((fake.taken("exam"), fake.twice("exam")), (100, 0));
    eventually("told", 2, || {
        let stream = stream(&spool, "exam");
        stream.hold.is_none()
            && stream
                .last_error
                .as_ref()
                .unwrap()
                .what
                .contains("slow down")
    });
    sender.stop(SECOND);
}

#[test]
fn a_missing_stream_is_held_and_a_good_one_beside_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let created = Arc::new(AtomicBool::new(false));
    let there = created.clone();
    let fake = Fake::new(move |stream, _, r| {
        if stream == "misspelled" && !there.load(Ordering::SeqCst) {
            return Err(PutError::Held(
                "ResourceNotFoundException: misspelled".into(),
            ));
        }
        take_all(r)
    });
    let sender = start(&spool, &fake);
    let mut wrong = spool.writer("misspelled").unwrap();
    let mut good = spool.writer("exam").unwrap();
    put(&mut wrong, "w", 0..1_000);
    for round in 0..20 {
        put(&mut good, "g", round * 100..(round + 1) * 100);
        let took = eventually("the good one goes on", 2, || {
            fake.taken("exam") == (round + 1) * 100
        });
        assert!(took < SECOND, "{took:?}");
    }
    eventually("the hold is told", 2, || {
        status(&spool)
            .streams
            .get("misspelled")
            .and_then(|s| s.hold.clone())
            .is_some_and(|h| h.what.contains("ResourceNotFound") && h.at > 0)
    });
    assert!(status(&spool).oldest_undelivered.is_some());
    assert_eq!(fake.taken("misspelled"), 0);
    created.store(true, Ordering::SeqCst);
    assert!(flush(&spool, 30 * SECOND).unwrap());
    assert_eq!(
        (fake.taken("misspelled"), fake.twice("misspelled")),
        (1_000, 0)
    );
    assert_eq!(spool.totals().unwrap().quarantined, 0);
    sender.stop(SECOND);
}

#[test]
fn a_stream_that_refuses_everything_is_held_with_few_calls_and_nothing_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let direct = Arc::new(AtomicBool::new(false));
    let now_direct = direct.clone();
    let fake = Fake::new(move |_, _, r| match now_direct.load(Ordering::SeqCst) {
        false => Err(PutError::Refused("InvalidArgumentException".into())),
        true => take_all(r),
    });
    let mut writer = spool.writer("kinesis").unwrap();
    put(&mut writer, "k", 0..30_000);
    let sender = start(&spool, &fake);
    eventually("held", 5, || {
        let status = status(&spool);
        let hold = status.streams.get("kinesis").and_then(|s| s.hold.clone());
        hold.is_some_and(|h| h.what.contains("refuses every record"))
    });
    std::thread::sleep(2 * SECOND);
    let calls = fake.calls("kinesis");
    assert!(calls < 60, "{calls} calls in 2 s");
    assert_eq!(spool.totals().unwrap().quarantined, 0);
    direct.store(true, Ordering::SeqCst);
    assert!(flush(&spool, 40 * SECOND).unwrap());
    assert_eq!(fake.taken("kinesis"), 30_000);
    assert_eq!(spool.totals().unwrap().quarantined, 0);
    sender.stop(SECOND);
}

#[test]
fn one_poison_line_is_quarantined_and_all_others_are_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, _, r| match has(r, "p7777") {
        true => Err(PutError::Refused("InvalidArgumentException: no".into())),
        false => take_all(r),
    });
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "p", 0..10_000);
    let sender = start(&spool, &fake);
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!(fake.taken("exam"), 9_999);
    let mut found = Vec::new();
    spool.quarantined(|q| found.push(q)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record, b"{\"id\":\"p7777\"}");
    assert!(found[0].reason.contains("InvalidArgumentException"));
    let totals = spool.totals().unwrap();
    assert_eq!((totals.quarantined, totals.delivered), (1, 9_999));
    eventually("told", 2, || stream(&spool, "exam").quarantined == 1);
    sender.stop(SECOND);
}

#[test]
fn a_timeout_after_the_write_sends_again_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, call, r| match call {
        2 | 3 => Err(PutError::Unavailable("written".into())),
        _ => take_all(r),
    });
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    for round in 0..10 {
        put(&mut writer, "t", round * 100..(round + 1) * 100);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(flush(&spool, 20 * SECOND).unwrap());
    assert_eq!(fake.taken("exam"), 1_000);
    assert!(fake.twice("exam") > 0, "a duplicate is normal");
    sender.stop(SECOND);
}

#[test]
fn after_an_outage_all_goes_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let start_time = Instant::now();
    let fake = Fake::new(move |_, _, r| {
        if start_time.elapsed() < 5 * SECOND {
            return Err(PutError::Unavailable("connection refused".into()));
        }
        take_all(r)
    });
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "o", 0..200_000);
    std::thread::sleep((5 * SECOND).saturating_sub(start_time.elapsed()));
    let calls = fake.calls("exam");
    assert!(calls < 40, "{calls} calls during the outage");
    let back = Instant::now();
    assert!(flush(&spool, 20 * SECOND).unwrap());
    println!(
        "200,000 lines delivered {:?} after the outage, {calls} calls in it",
        back.elapsed()
    );
    assert!(back.elapsed() < 10 * SECOND, "{:?}", back.elapsed());
    assert_eq!((fake.taken("exam"), fake.twice("exam")), (200_000, 0));
    sender.stop(SECOND);
}

#[test]
fn segments_of_dead_owners_are_sent_too() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    for owner in 0..50 {
        let mut writer = spool.writer("exam").unwrap();
        put(&mut writer, &format!("d{owner}-"), 0..10);
        writer.seal();
    }
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start(&spool, &fake);
    assert!(flush(&spool, 10 * SECOND).unwrap());
    assert_eq!(fake.taken("exam"), 500);
    assert!(
        fake.calls("exam") < 10,
        "lines of many segments share calls"
    );
    sender.stop(SECOND);
}

#[test]
fn stopping_sends_what_is_accepted_and_is_bounded_when_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "s", 0..5_000);
    assert!(sender.stop(5 * SECOND));
    assert_eq!(fake.taken("exam"), 5_000);

    struct Hangs;
    #[async_trait::async_trait]
    impl exam_delivery::PutBatch for Hangs {
        async fn put(&self, _: &str, _: Vec<bytes::Bytes>) -> Answer {
            std::future::pending().await
        }
    }
    let sender = exam_delivery::spawn(
        spool.clone(),
        Box::new(|| Ok(Arc::new(Hangs))),
        None,
        quick(),
    )
    .unwrap();
    put(&mut writer, "h", 0..10);
    std::thread::sleep(SECOND);
    let begun = Instant::now();
    assert!(sender.stop(SECOND));
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
}

#[test]
fn a_panic_ends_a_term_and_the_next_one_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, call, r| {
        assert!(call != 1, "scripted panic");
        take_all(r)
    });
    // The panic poisons the fake's lock: give each term a fresh one.
    let second = Fake::new(|_, _, r| take_all(r));
    let terms = std::sync::atomic::AtomicUsize::new(0);
    let clients = [fake, second.clone()];
    let sender = exam_delivery::spawn(
        spool.clone(),
        Box::new(move || {
            let term = terms.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(clients[term.min(1)].clone()))
        }),
        None,
        quick(),
    )
    .unwrap();
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "x", 0..10);
    assert!(flush(&spool, 5 * SECOND).unwrap());
    assert_eq!(second.taken("exam"), 10);
    assert!(
        status(&spool)
            .last_error
            .unwrap()
            .what
            .contains("scripted panic")
    );
    sender.stop(SECOND);
}

#[test]
fn an_idle_sender_wakes_at_once_for_a_put_of_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    let mut worst = Duration::ZERO;
    for n in 0..5 {
        std::thread::sleep(Duration::from_millis(700)); // until it polls seldom
        put(&mut writer, "w", n..n + 1);
        sender.wake();
        let took = eventually("delivered", 2, || fake.taken("exam") == n + 1);
        worst = worst.max(took);
    }
    println!("put to delivered after idling, linger 5 ms: at worst {worst:?}");
    assert!(worst < Duration::from_millis(80), "{worst:?}");
    sender.stop(SECOND);
}
