//! A process killed at each of its system calls, in the middle of each write.

use super::*;
use crate::sys::fault::{self, Fault};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const RECORDS: u32 = 60;

fn record(n: u32) -> Vec<u8> {
    format!("{n:04}{}", "x".repeat(n as usize * 37 % 900)).into_bytes()
}

/// What the process does: puts, passes cursors, syncs with a failure, skips,
/// quarantines, deletes. Tells what was accepted and what is about to be passed.
fn life(spool: &Spool, tell: &mut impl Write) -> std::io::Result<()> {
    let mut a = spool.writer("a").expect("valid");
    let mut b = spool.writer("b").expect("valid");
    for n in (0..RECORDS).step_by(3) {
        let records: Vec<Vec<u8>> = (n..n + 3).map(record).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let writer = if n % 2 == 0 { &mut a } else { &mut b };
        if !matches!(writer.append(&slices), Ok(Appended::All)) {
            continue;
        }
        for i in n..n + 3 {
            tell.write_all(&[b'A', i as u8])?;
        }
        if n % 12 != 9 {
            continue;
        }
        let _election = spool.try_elect()?;
        for (i, segment) in spool.segments()?.iter().enumerate() {
            if n == 33 && i == 0 {
                fault::each(fault::Call::Sync, Fault::Errno(libc::EIO));
                let _ = segment.sync();
                fault::end_each();
            }
            let _ = segment.sync();
            for (name, cursor) in [(b'D', Cursor::Delivery), (b'S', Cursor::State)] {
                let mut buf = Vec::new();
                let outcome = segment.read(segment.cursor(cursor), &mut buf, 1500 + 700 * i)?;
                for r in &outcome.records {
                    let number = std::str::from_utf8(&buf[r.payload.clone()][..4]).expect("digits");
                    tell.write_all(&[name, number.parse().expect("a number")])?;
                }
                segment.advance(cursor, outcome.next)?;
            }
            segment.remove_if_done()?;
        }
    }
    a.seal();
    Ok(())
}

#[test]
fn a_kill_at_any_system_call_loses_nothing_accepted() {
    let mut kills = 0;
    for part in [0, 500, 1000] {
        for n in 0.. {
            let dir = scratch_alone();
            let (mut ours, mut theirs) = UnixStream::pair().expect("a socket pair");
            let pid = in_child(|| {
                fault::at_call(n, Fault::Kill(part));
                let config = Config {
                    dir: dir.path().join("spool"),
                    max_bytes: 64 * 1024,
                    segment_bytes: 4096,
                };
                let Ok(spool) = Spool::open(config) else {
                    return 2;
                };
                i32::from(life(&spool, &mut theirs).is_err())
            });
            drop(theirs);
            let mut told = Vec::new();
            ours.read_to_end(&mut told).expect("reads");
            let code = wait(pid);
            let heard = |what: u8| -> BTreeSet<u32> {
                told.chunks(2)
                    .filter(|c| c[0] == what)
                    .map(|c| u32::from(c[1]))
                    .collect()
            };
            survive(dir.path(), heard(b'A'), [heard(b'D'), heard(b'S')], n);
            if code != -libc::SIGKILL {
                assert_eq!(code, 0);
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 300, "only {kills} kills");
}

/// What the next process finds.
fn survive(parent: &Path, accepted: BTreeSet<u32>, passed: [BTreeSet<u32>; 2], n: usize) {
    let config = Config {
        dir: parent.join("spool"),
        max_bytes: 64 * 1024,
        segment_bytes: 4096,
    };
    let spool = Spool::open(config).expect("opens after any death");
    let election = spool
        .try_elect()
        .expect("elects")
        .expect("the dead one is gone");
    assert_eq!(files(&spool, ".new"), Vec::<String>::new());
    for (cursor, passed) in [Cursor::Delivery, Cursor::State].into_iter().zip(passed) {
        let left = readable(&spool, cursor).into_values().flatten();
        let mut there: BTreeSet<u32> = passed;
        for bytes in left {
            let number = std::str::from_utf8(&bytes[..4])
                .expect("digits")
                .parse()
                .expect("a number");
            assert_eq!(bytes, record(number), "kill at call {n}");
            there.insert(number);
        }
        let lost: Vec<_> = accepted.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "{cursor:?}, kill at call {n}: lost {lost:?}"
        );
    }
    assert!(
        put(&mut spool.writer("a").expect("valid"), b"0099"),
        "kill at call {n}"
    );
    drain(&spool);
    let totals = spool.totals().expect("totals");
    assert_eq!(
        (totals.delivered, totals.folded),
        (totals.accepted, totals.accepted),
        "kill at call {n}"
    );
    // At least what was told; more only by one put, or by what was being moved.
    let most = accepted.len() as u64 + 1 + 3 + u64::from(RECORDS / 2);
    assert!(
        (accepted.len() as u64 + 1..=most).contains(&totals.accepted),
        "kill at call {n}: {totals:?}"
    );
    assert_eq!(totals.damaged_files, 0);
    assert_eq!(
        (
            files(&spool, ".seg"),
            spool.recount().expect("counts").bytes
        ),
        (vec![], 0),
        "kill at call {n}"
    );
    drop(election);
}
