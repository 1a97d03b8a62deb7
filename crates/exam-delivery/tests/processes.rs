//! Two processes on one spool: the second takes over when the first is killed.
//! And one on a large backlog: its memory does not grow with it.

mod common;

use common::*;
use exam_delivery::flush;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const ROLE: &str = "EXAM_TEST_ROLE";
const DIR: &str = "EXAM_TEST_DIR";

fn child(test: &str, role: &str, dir: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(DIR, dir)
        .spawn()
        .unwrap()
}

/// In a child: its directory.
fn is_child(role: &str) -> Option<std::path::PathBuf> {
    (std::env::var(ROLE).ok()? == role).then(|| std::env::var_os(DIR).unwrap().into())
}

#[test]
fn a_killed_sender_is_succeeded_within_a_second_and_its_segments_are_sent() {
    if let Some(dir) = is_child("sender") {
        // Puts and is elected, but its Firehose is away.
        let spool = spool(&dir);
        let fake = Fake::new(|_, _, _| Err(exam_delivery::PutError::Unavailable("away".into())));
        let _sender = start(&spool, &fake);
        let mut writer = spool.writer("exam").unwrap();
        put(&mut writer, "dead", 0..1_000);
        std::fs::write(dir.join("ready"), "").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "a_killed_sender_is_succeeded_within_a_second_and_its_segments_are_sent";
    let mut first = child(test, "sender", dir.path());
    eventually("the first is ready", 10, || {
        dir.path().join("ready").exists()
    });
    let spool = spool(dir.path());
    eventually("it is elected", 5, || status(&spool).pid == first.id());
    let fake = Fake::new(|_, _, r| take_all(r));
    let sender = start(&spool, &fake);
    let mut writer = spool.writer("exam").unwrap();
    put(&mut writer, "alive", 0..1_000);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(
        (fake.taken("exam"), sender.elected()),
        (0, false),
        "one sender at a time"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let took = eventually("all is delivered", 5, || fake.taken("exam") == 2_000);
    println!("takeover, its records and ours delivered: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(flush(&spool, Duration::from_secs(1)).unwrap());
    assert!(sender.stop(Duration::from_secs(1)));
}

fn memory_kib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_is_bounded_whatever_the_backlog() {
    if let Some(dir) = is_child("backlog") {
        let spool = spool(&dir);
        let mut writer = spool.writer("exam").unwrap();
        let line = format!("{{\"id\":\"{}\"}}", "x".repeat(190));
        let lines = vec![line.as_bytes(); 1_000];
        for _ in 0..1_500 {
            writer.append(&lines).unwrap();
        }
        let begun = memory_kib("VmRSS");
        // Held for a while, then slow: calls pile up as far as they may.
        struct Slow(Instant);
        #[async_trait::async_trait]
        impl exam_delivery::PutBatch for Slow {
            async fn put(&self, _: &str, records: Vec<bytes::Bytes>) -> Answer {
                tokio::time::sleep(Duration::from_millis(5)).await;
                match self.0.elapsed() < Duration::from_secs(1) {
                    true => Err(exam_delivery::PutError::Held("scripted".into())),
                    false => Ok(vec![None; records.len()]),
                }
            }
        }
        let sender = exam_delivery::spawn(
            spool.clone(),
            Box::new(|| Ok(std::sync::Arc::new(Slow(Instant::now())))),
            None,
            quick(),
        )
        .unwrap();
        assert!(flush(&spool, Duration::from_secs(60)).unwrap());
        let grown = memory_kib("VmHWM") - begun;
        println!("1.5 million lines (330 MB) of backlog: memory grew by {grown} KiB");
        assert!(grown < 24 * 1024, "{grown} KiB");
        sender.stop(Duration::from_secs(1));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut process = child(
        "memory_is_bounded_whatever_the_backlog",
        "backlog",
        dir.path(),
    );
    assert!(process.wait().unwrap().success());
}
