//! Real processes: killed, forked, many at once.

use super::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn kill(pid: libc::pid_t) {
    // SAFETY: a child of ours that has not been waited for.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn writers_killed_at_random_lose_nothing_they_were_told_is_accepted() {
    const LIMIT: u64 = 512 * 1024;
    let dir = scratch_alone();
    let spool = open(dir.path(), LIMIT);
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    ours.set_nonblocking(true).expect("sets");
    let mut writers = BTreeMap::new();
    let mut next = 0u32;
    let start = |index: u32| {
        let theirs = theirs.as_raw_fd();
        in_child(|| {
            let spool = open(dir.path(), LIMIT);
            let mut writers = ["a", "b"].map(|s| spool.writer(s).expect("valid"));
            for n in 0u32.. {
                let number = [index.to_le_bytes(), n.to_le_bytes()].concat();
                let record = [number.as_slice(), &[b'x'; 300]].concat();
                if put(&mut writers[n as usize % 2], &record) {
                    // SAFETY: an open descriptor, 8 bytes; such a write to a socket is whole or not at all.
                    unsafe { libc::write(theirs, number.as_ptr().cast(), 8) };
                }
            }
            0
        })
    };
    let election = spool.try_elect().expect("elects").expect("alone");
    let mut seen = [const { std::collections::BTreeSet::<Vec<u8>>::new() }; 2];
    let mut told = Vec::new();
    let until = Instant::now() + Duration::from_millis(1500);
    let (mut fullest, mut passes) = (0, 0);
    let mut pass = |spool: &Spool, told: &mut Vec<u8>| {
        let mut buf = Vec::new();
        for segment in spool.segments().expect("listing") {
            segment.sync().expect("syncs");
            for cursor in [Cursor::Delivery, Cursor::State] {
                let outcome = segment
                    .read(segment.cursor(cursor), &mut buf, 64 * 1024)
                    .expect("reads");
                assert_eq!(outcome.damaged, 0);
                for record in &outcome.records {
                    let new =
                        seen[cursor as usize].insert(buf[record.payload.clone()][..8].to_vec());
                    assert!(new, "no record is read twice");
                }
                segment.advance(cursor, outcome.next).expect("advances");
            }
            segment.remove_if_done().expect("removes");
        }
        // WouldBlock once all is read.
        let _ = ours.read_to_end(told);
    };
    while Instant::now() < until {
        while writers.len() < 6 {
            writers.insert(next, start(next));
            next += 1;
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(1..15)));
        fullest = fullest.max(spool.usage().bytes);
        if passes % 3 == 0 {
            let victim = *writers
                .keys()
                .nth(fastrand::usize(..writers.len()))
                .expect("some live");
            let pid = writers.remove(&victim).expect("one of ours");
            kill(pid);
            wait(pid);
        }
        passes += 1;
        pass(&spool, &mut told);
    }
    for pid in writers.into_values() {
        kill(pid);
        wait(pid);
    }
    for _ in 0..50 {
        pass(&spool, &mut told);
    }
    drop(election);
    let accepted: Vec<&[u8]> = told.chunks_exact(8).collect();
    for number in &accepted {
        for seen in &seen {
            assert!(seen.contains(*number), "accepted, but not there");
        }
    }
    // Killed between put and telling: at most one each.
    assert!(seen[0].len() <= accepted.len() + next as usize);
    let totals = spool.totals().expect("totals");
    assert_eq!(totals.accepted, seen[0].len() as u64);
    assert_eq!(
        (totals.delivered, totals.folded),
        (totals.accepted, totals.accepted)
    );
    assert!(fullest <= LIMIT, "{fullest}");
    assert_eq!(
        (
            files(&spool, ".seg"),
            spool.recount().expect("counts").bytes
        ),
        (vec![], 0)
    );
    println!(
        "{} accepted by {next} processes, {} refused, {} torn bytes, fullest {fullest} of {LIMIT} bytes",
        totals.accepted, totals.refused, totals.torn_bytes
    );
    assert!(accepted.len() > 1000, "{}", accepted.len());
}

#[test]
fn a_forked_child_cannot_write_its_parents_segment_nor_end_it() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam").expect("valid");
    assert!(put(&mut writer, b"parent"));
    let child = in_child(|| {
        let refused = matches!(writer.append(&[b"child"]), Err(WriteError::Forked));
        drop(std::mem::replace(
            &mut writer,
            spool.writer("exam").expect("valid"),
        ));
        let own = put(&mut writer, b"child");
        i32::from(!refused) + 2 * i32::from(!own)
    });
    assert_eq!(wait(child), 0);
    let segments = spool.segments().expect("listing");
    assert_eq!(segments.len(), 2);
    assert!(
        segments[0].alive().expect("asks"),
        "the child's closing is not the parent's death"
    );
}

#[test]
fn a_child_that_lives_on_does_not_keep_its_dead_parents_segment() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    // Should the test fail before it lets the grandchild go.
    theirs
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("sets");
    let parent = in_child(|| {
        let mut writer = spool.writer("exam").expect("valid");
        put(&mut writer, b"one");
        in_child(|| {
            // Holds the inherited descriptor until the test says so. Closing would say
            // nothing: the grandchild has a copy of that end, too.
            let _ = (&theirs).read(&mut [0]);
            0
        });
        kill(std::process::id() as i32);
        0
    });
    drop(theirs);
    assert_eq!(wait(parent), -libc::SIGKILL);
    let segment = spool.segments().expect("listing").remove(0);
    assert!(!segment.alive().expect("asks"));
    assert_eq!(drain(&spool), [Removal::Deleted]);
    ours.set_nonblocking(true).expect("sets");
    assert!(
        ours.read(&mut [0]).is_err(),
        "the grandchild still holds the lock"
    );
    ours.write_all(&[0]).expect("lets the grandchild go");
}

#[test]
fn one_sender_at_a_time_and_another_as_soon_as_it_dies() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let sender = in_child(|| {
        let election = spool.try_elect().expect("elects");
        let _ = (&theirs).write_all(&[u8::from(election.is_some())]);
        std::thread::sleep(Duration::from_secs(60));
        0
    });
    let mut elected = [0];
    ours.read_exact(&mut elected).expect("the child says so");
    assert_eq!(elected, [1]);
    assert!(spool.try_elect().expect("asks").is_none());
    assert_eq!(spool.sender_pid().expect("asks"), Some(sender as u32));
    kill(sender);
    wait(sender);
    let election = spool.try_elect().expect("asks").expect("free again");
    // Another handle in this process, and a child of it, see it taken.
    assert!(open(dir.path(), SMALL).try_elect().expect("asks").is_none());
    let child = in_child(|| i32::from(spool.try_elect().expect("asks").is_some()));
    assert_eq!(wait(child), 0);
    assert_eq!(spool.sender_pid().expect("asks"), Some(std::process::id()));
    drop(election);
    assert!(spool.try_elect().expect("asks").is_some());
}

#[test]
fn a_stopped_process_holding_the_counters_stops_no_put() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let held = std::fs::File::open(spool.path().join("quota")).expect("opens");
    held.lock().expect("locks");
    let mut writer = spool.writer("exam").expect("valid");
    let started = Instant::now();
    assert!(put(&mut writer, b"one"));
    assert!(started.elapsed() < Duration::from_millis(500));
    drop(held);
    assert!(spool.recount().expect("counts").bytes > 0);
}

#[test]
fn a_file_size_limit_refuses_instead_of_killing() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let child = in_child(|| {
        let limit = libc::rlimit {
            rlim_cur: 8192,
            rlim_max: 8192,
        };
        // SAFETY: a valid struct; the child alone is limited.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
        let mut writer = spool.writer("exam").expect("valid");
        let small = (0..100).all(|_| put(&mut writer, &[b'x'; 500]));
        let large = put(&mut writer, &[b'x'; 10_000]);
        i32::from(!small) + 2 * i32::from(large)
    });
    assert_eq!(wait(child), 0);
    assert_eq!(readable(&spool, Cursor::State)["exam"].len(), 100);
}
