mod damage;
mod kill;
mod model;
mod processes;
mod users;

use crate::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) const SMALL: u64 = 256 * 1024;

/// Tests that fork take their turn alone: a child inherits the other tests'
/// descriptors, and their locks with them.
static TURNS: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held, not looked at")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

pub(crate) struct Scratch {
    dir: tempfile::TempDir,
    _turn: Turn,
}

impl Scratch {
    /// A directory, in memory where there is some.
    fn new(_turn: Turn) -> Self {
        let shm = Path::new("/dev/shm");
        let made = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        Self {
            dir: made.expect("a scratch directory"),
            _turn,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

pub(crate) fn scratch() -> Scratch {
    Scratch::new(Turn::Shared(
        TURNS.read().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// For tests that fork.
pub(crate) fn scratch_alone() -> Scratch {
    Scratch::new(Turn::Alone(
        TURNS.write().unwrap_or_else(PoisonError::into_inner),
    ))
}

pub(crate) fn open(parent: &Path, max_bytes: u64) -> Spool {
    let config = Config {
        dir: parent.join("spool"),
        max_bytes,
        segment_bytes: 16 * 1024,
    };
    Spool::open(config).expect("the spool opens")
}

pub(crate) fn put(writer: &mut Writer, record: &[u8]) -> bool {
    writer.append(&[record]).expect("no failure") == Appended::All
}

/// Everything readable behind a cursor, per stream in order, and what the reads ended with.
pub(crate) fn readable(spool: &Spool, cursor: Cursor) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut found = BTreeMap::<String, Vec<Vec<u8>>>::new();
    for segment in spool.segments().expect("listing") {
        let (records, _) = rest(&segment, segment.cursor(cursor));
        found
            .entry(segment.stream().into())
            .or_default()
            .extend(records);
    }
    found.retain(|_, records| !records.is_empty());
    found
}

/// All records of a segment from a position on, and the last outcome.
pub(crate) fn rest(segment: &Segment, mut at: Position) -> (Vec<Vec<u8>>, ReadOutcome) {
    let mut buf = Vec::new();
    let mut records = Vec::new();
    loop {
        let outcome = segment.read(at, &mut buf, 1000).expect("reads");
        records.extend(
            outcome
                .records
                .iter()
                .map(|r| buf[r.payload.clone()].to_vec()),
        );
        at = outcome.next;
        if outcome.state != ReadState::More {
            return (records, outcome);
        }
    }
}

/// Passes both cursors over everything and deletes what can be; says what became of each segment.
pub(crate) fn drain(spool: &Spool) -> Vec<Removal> {
    let mut removals = Vec::new();
    for segment in spool.segments().expect("listing") {
        for cursor in [Cursor::Delivery, Cursor::State] {
            let (_, outcome) = rest(&segment, segment.cursor(cursor));
            segment.advance(cursor, outcome.next).expect("advances");
        }
        removals.push(segment.remove_if_done().expect("removes"));
    }
    removals
}

/// The names in the directory with this ending.
pub(crate) fn files(spool: &Spool, ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(spool.path()).expect("listing");
    let names = names.map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"));
    names.filter(|n| n.ends_with(ending)).collect()
}

/// Runs `body` in a forked child, which ends without unwinding; `Ok` is its exit code.
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child uses only this thread's data, glibc keeps malloc usable
    // in it, and it ends in _exit.
    unsafe {
        match libc::fork() {
            0 => {
                let code =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
                libc::_exit(code);
            }
            pid => {
                assert!(pid > 0, "fork");
                pid
            }
        }
    }
}

/// The exit code, or the negative signal that ended it.
pub(crate) fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: a child of ours, a valid pointer.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -libc::WTERMSIG(status)
    }
}

#[test]
fn a_record_is_readable_by_both_cursors_and_gone_when_both_have_passed_it() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam-a").expect("valid");
    assert!(put(&mut writer, b"one"));
    assert_eq!(
        writer.append(&[b"two", b"three"]).expect("ok"),
        Appended::All
    );
    let segment = spool.segments().expect("listing").remove(0);
    assert_eq!(segment.stream(), "exam-a");
    assert_eq!(segment.count().expect("count"), 3);
    let (records, outcome) = rest(&segment, segment.cursor(Cursor::Delivery));
    assert_eq!(
        records,
        [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]
    );
    assert_eq!(outcome.state, ReadState::Wait);
    segment
        .advance(Cursor::Delivery, outcome.next)
        .expect("advances");
    writer.seal();
    assert_eq!(
        segment.remove_if_done().expect("asks"),
        Removal::NotYet,
        "state is behind"
    );
    let totals = spool.totals().expect("totals");
    assert_eq!(
        (totals.accepted, totals.delivered, totals.folded),
        (3, 3, 0)
    );
    assert_eq!(drain(&spool), [Removal::Deleted]);
    let totals = spool.totals().expect("totals");
    assert_eq!(
        (totals.accepted, totals.delivered, totals.folded),
        (3, 3, 3)
    );
    assert_eq!(spool.usage().bytes, 0);
}

#[test]
fn a_live_segment_is_not_deleted_however_far_the_cursors_are() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam").expect("valid");
    assert!(put(&mut writer, b"one"));
    assert_eq!(drain(&spool), [Removal::NotYet]);
    assert!(put(&mut writer, b"two"));
    writer.die();
    assert_eq!(
        readable(&spool, Cursor::Delivery)["exam"],
        [b"two".to_vec()]
    );
    assert_eq!(drain(&spool), [Removal::Deleted]);
}

#[test]
fn a_full_spool_refuses_counts_and_takes_again_when_consumed() {
    for max_bytes in [64 * 1024, 1024 * 1024] {
        let dir = scratch();
        let spool = open(dir.path(), max_bytes);
        let mut writer = spool.writer("exam").expect("valid");
        let record = [b'x'; 200];
        let mut accepted = 0;
        while put(&mut writer, &record) {
            accepted += 1;
        }
        let on_disk: u64 = spool
            .segments()
            .expect("listing")
            .iter()
            .map(|s| s.len().expect("len"))
            .sum();
        assert!(on_disk <= max_bytes, "{on_disk} of {max_bytes}");
        assert!(on_disk > max_bytes * 8 / 10, "{on_disk} of {max_bytes}");
        assert!(!put(&mut writer, &record));
        assert_eq!(spool.totals().expect("totals").refused, 2);
        assert_eq!(readable(&spool, Cursor::State)["exam"].len(), accepted);
        // An idle writer of another stream must not keep the others out for ever.
        drain(&spool);
        assert!(put(&mut writer, &record), "room again");
        assert!(spool.usage().bytes < max_bytes / 10, "{:?}", spool.usage());
    }
}

#[test]
fn put_many_takes_as_many_as_fit_in_order() {
    let dir = scratch();
    let spool = open(dir.path(), 64 * 1024);
    let mut writer = spool.writer("exam").expect("valid");
    let records: Vec<Vec<u8>> = (0..1000)
        .map(|i| format!("{i:0100}").into_bytes())
        .collect();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let Appended::Some(n) = writer.append(&slices).expect("ok") else {
        panic!("cannot all fit")
    };
    assert!(n > 300, "{n}");
    assert_eq!(readable(&spool, Cursor::Delivery)["exam"], records[..n]);
    assert_eq!(spool.totals().expect("totals").refused, 1000 - n as u64);
}

#[test]
fn a_record_as_long_as_may_be_goes_through_a_segment_limit_below_it() {
    let dir = scratch();
    let spool = open(dir.path(), 16 * 1024 * 1024);
    let mut writer = spool.writer("exam").expect("valid");
    let record = vec![b'x'; MAX_RECORD];
    assert!(put(&mut writer, b"small"));
    assert!(put(&mut writer, &record));
    assert!(put(&mut writer, b"small"));
    assert!(matches!(
        writer.append(&[&[b'x'; MAX_RECORD + 1]]),
        Err(WriteError::TooLarge(_))
    ));
    assert!(matches!(writer.append(&[b""]), Err(WriteError::Empty)));
    assert_eq!(
        readable(&spool, Cursor::State)["exam"],
        [b"small".to_vec(), record, b"small".to_vec()]
    );
}

#[test]
fn a_spool_of_a_hundred_gigabytes_opens_and_small_ones_are_refused() {
    let dir = scratch();
    let spool = open(dir.path(), 100 << 30);
    assert!(put(&mut spool.writer("exam").expect("valid"), b"one"));
    let tiny = Config {
        max_bytes: 1000,
        ..spool.config().clone()
    };
    assert!(matches!(Spool::open(tiny), Err(OpenError::Limit { .. })));
}

#[test]
fn stream_names_firehose_would_refuse_are_refused() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    for bad in ["", "a b", "a/b", "ü", &"x".repeat(65)] {
        assert!(
            matches!(spool.writer(bad), Err(WriteError::Stream(_))),
            "{bad}"
        );
    }
    let mut writer = spool.writer(&"x-._9".repeat(12)).expect("valid");
    assert!(put(&mut writer, b"one"));
    assert_eq!(
        spool.segments().expect("listing")[0].stream(),
        "x-._9".repeat(12)
    );
}

#[test]
fn quarantine_returns_every_byte_even_from_a_full_spool() {
    let dir = scratch();
    let spool = open(dir.path(), 64 * 1024);
    let mut writer = spool.writer("exam").expect("valid");
    while put(&mut writer, &[b'x'; 500]) {}
    let odd: &[u8] = b"\x00\xff{\n}";
    spool
        .quarantine("exam", &[odd, b"{}"], "InvalidArgument: ünknown")
        .expect("always room for what is put aside");
    let mut found = Vec::new();
    spool.quarantined(|q| found.push(q)).expect("reads");
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].record.as_slice(), &*found[0].stream),
        (odd, "exam")
    );
    assert_eq!(found[0].reason, "InvalidArgument: ünknown");
    assert_eq!(spool.totals().expect("totals").quarantined, 2);
}

#[test]
fn what_is_edited_in_the_quarantine_keeps_its_place_its_time_and_its_neighbours() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let aside = |records: &[&[u8]]| spool.quarantine("exam", records, "why").expect("room");
    aside(&[b"{\"a\":1}\n{\"b\":2}", b"{\"c\":3}"]);
    aside(&[b"{\"c\":4}"]);
    let all = || {
        let mut found = Vec::new();
        spool.quarantined(|q| found.push(q)).expect("reads");
        found
    };
    let mut expected = all();
    let files = || {
        let files = std::fs::read_dir(dir.path()).expect("listing");
        let mut names: Vec<_> = files.map(|f| f.expect("entry").file_name()).collect();
        names.sort();
        names
    };
    let (before, used) = (files(), spool.recount().expect("counts").bytes);
    let mut edit = |record: &mut [u8]| {
        let found = record.windows(3).position(|three| three == b"\"b\"");
        if let Some(at) = found {
            record[at..at + 5].fill(b' ');
        }
        found.is_some()
    };
    assert_eq!(spool.edit_quarantined(&mut edit).expect("edits"), 1);
    expected[0].record = b"{\"a\":1}\n{     }".to_vec();
    assert_eq!(all(), expected);
    assert_eq!(files(), before);
    assert_eq!(spool.recount().expect("counts").bytes, used);
    assert_eq!(spool.totals().expect("totals").quarantined, 3);
    assert_eq!(spool.edit_quarantined(&mut edit).expect("nothing left"), 0);
}

#[test]
fn a_skipped_state_is_marked_and_counted_until_it_is_rebuilt() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam").expect("valid");
    for record in [b"1", b"2", b"3"] {
        assert!(put(&mut writer, record));
    }
    let segment = spool.segments().expect("listing").remove(0);
    let outcome = segment
        .read(segment.cursor(Cursor::State), &mut Vec::new(), 4096)
        .expect("reads");
    segment.skip_state(outcome.records[1].after).expect("skips");
    let marks = spool.state_skipped().expect("marks");
    assert_eq!(
        (marks.len(), marks[0].segment, marks[0].to.count),
        (1, segment.id(), 2)
    );
    drain(&spool);
    let totals = spool.totals().expect("totals");
    assert_eq!((totals.folded, totals.skipped), (1, 2));
    spool.clear_state_skipped(&marks).expect("clears");
    assert_eq!(spool.state_skipped().expect("marks"), []);
}

#[test]
fn targets_are_passed_when_the_cursor_is() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam").expect("valid");
    assert!(put(&mut writer, b"before"));
    let mut targets = spool.accepted_targets().expect("targets");
    let segment = spool.segments().expect("listing").remove(0);
    let before = segment
        .read(segment.cursor(Cursor::Delivery), &mut Vec::new(), 4096)
        .expect("reads");
    assert!(put(&mut writer, b"after"));
    assert!(!spool.passed(&mut targets, Cursor::Delivery).expect("asks"));
    segment
        .advance(Cursor::Delivery, before.next)
        .expect("advances");
    assert!(spool.passed(&mut targets, Cursor::Delivery).expect("asks"));
}
