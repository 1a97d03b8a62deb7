//! Closing, erasing, following: against a model, and interrupted at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::close::Step;
use crate::layout::gz;

/// In memory where that can be: what is synced here is synced often.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

fn place(hour: u32) -> Place {
    Place {
        tree: Tree::Cold,
        stream: Arc::from("exam"),
        hour: Hour(hour),
    }
}

fn all(dir: &Path) -> Vec<Part> {
    parts(dir, Tree::Cold, &Select::default()).unwrap()
}

/// Every line of a part, in order.
fn lines(part: &Part) -> Vec<String> {
    part.open(0).unwrap().lines().map(Result::unwrap).collect()
}

fn every_line(dir: &Path) -> Vec<String> {
    let mut every: Vec<String> = all(dir).iter().flat_map(lines).collect();
    every.sort();
    every
}

/// A plain part that nobody writes, of `count` lines of growing length.
fn ended(dir: &Path, count: usize) -> Part {
    let mut writer = Writer::new(dir, u64::MAX);
    let text: Vec<String> = (0..count)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "é".repeat(n % 700)))
        .collect();
    for some in text.chunks(100) {
        let some: Vec<&[u8]> = some.iter().map(String::as_bytes).collect();
        writer.append(&place(490_000), &some).unwrap();
        writer.sync(&place(490_000)).unwrap();
    }
    all(dir).pop().unwrap()
}

/// A reader that keeps a position for each part, as any follower does.
#[derive(Default)]
struct Follower {
    positions: BTreeMap<String, u64>,
    read: BTreeMap<String, BTreeMap<u64, String>>,
}

impl Follower {
    /// Reads what is new, at most so many pieces; false if something could not be read.
    fn poll(&mut self, dir: &Path, pieces: usize) -> bool {
        let mut left = pieces;
        let mut well = true;
        for part in all(dir) {
            let position = self.positions.entry(part.name.to_string()).or_default();
            let read = self.read.entry(part.name.to_string()).or_default();
            while left > 0 {
                let mut lines = Vec::new();
                if part.read(*position, &mut lines).is_err() {
                    well = false;
                    break;
                }
                if lines.is_empty() {
                    break;
                }
                left -= 1;
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    let text = String::from_utf8(line.to_vec()).unwrap();
                    read.insert(*position, text);
                    *position += line.len() as u64;
                }
            }
        }
        well
    }
}

fn numbered(line: &[u8], n: usize) -> bool {
    line.starts_with(format!("{{\"n\":{n},").as_bytes())
}

#[test]
fn a_closed_part_reads_the_same_from_every_offset() {
    let dir = scratch();
    let part = ended(dir.path(), 20_000);
    let text = fs::read(&part.path).unwrap();
    let replaced = Rewriting::lock(dir.path())
        .unwrap()
        .close(&part.path)
        .unwrap()
        .unwrap();
    assert_eq!(
        (replaced.len, replaced.before),
        (text.len() as u64, text.len() as u64)
    );
    assert!(replaced.after * 20 < replaced.before, "{replaced:?}");
    let closed = all(dir.path()).pop().unwrap();
    assert_eq!(
        (closed.name.clone(), closed.closed, closed.modified),
        (part.name.clone(), true, part.modified)
    );
    assert_eq!(
        (part.file(), part.path.exists()),
        (part.path.clone(), false)
    );
    assert_eq!(closed.length().unwrap(), text.len() as u64);
    assert!(closed.pieces().unwrap().len() > 2, "more than one member");
    let starts = memchr::memchr_iter(b'\n', &text).map(|n| n + 1);
    for from in [0]
        .into_iter()
        .chain(starts)
        .step_by(997)
        .chain([text.len()])
    {
        // Also by who listed it while it was plain.
        for part in [&part, &closed] {
            let mut rest = Vec::new();
            part.open(from as u64)
                .unwrap()
                .read_to_end(&mut rest)
                .unwrap();
            assert!(rest == text[from..], "from {from}");
            part.read(from as u64, &mut rest).unwrap();
            assert!(text[from..].starts_with(&rest));
            assert_eq!(rest.is_empty(), from == text.len());
        }
    }
    // Any gunzip reads it.
    let gunzip = Command::new("gzip")
        .arg("-dc")
        .arg(closed.file())
        .output()
        .unwrap();
    assert!(gunzip.stdout == text);
    // Each piece by itself, all together.
    let mut again = Vec::new();
    for from in closed.pieces().unwrap() {
        let mut piece = Vec::new();
        closed.read(from, &mut piece).unwrap();
        again.extend(piece);
    }
    assert!(again == text);
}

/// Runs a replacement that dies at its `nth` step; true if it came to its end.
fn dies_at(
    nth: usize,
    dir: &Path,
    part: &Part,
    concerned: &mut dyn FnMut(&[u8]) -> bool,
    seen: &mut BTreeSet<String>,
) -> bool {
    let rewriting = Rewriting::lock(dir).unwrap();
    let mut step = 0;
    let mut at = |now: Step| {
        seen.insert(format!("{now:?}"));
        step += 1;
        assert!(step <= nth, "dies here");
    };
    catch_unwind(AssertUnwindSafe(|| {
        rewriting.replace(&part.path, concerned, &mut at).unwrap();
    }))
    .is_ok()
}

#[test]
fn closing_that_dies_at_any_step_loses_no_line_and_is_done_the_next_time() {
    let mut seen = BTreeSet::new();
    for nth in 0.. {
        let dir = scratch();
        let part = ended(dir.path(), 15_000);
        let text = every_line(dir.path());
        let whole = dies_at(nth, dir.path(), &part, &mut |_| false, &mut seen);
        assert!(every_line(dir.path()) == text, "after dying at step {nth}");
        // As a writer that starts again does.
        assert_eq!(recover(dir.path()).unwrap(), 0);
        let rewriting = Rewriting::lock(dir.path()).unwrap();
        rewriting.sweep().unwrap();
        for part in rewriting.to_close(&Live::default()).unwrap() {
            rewriting.close(&part.path).unwrap();
        }
        assert!(
            every_line(dir.path()) == text,
            "closed after dying at step {nth}"
        );
        let left: Vec<_> = fs::read_dir(part.path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        if whole {
            break;
        }
    }
    assert_eq!(
        Vec::from_iter(&seen),
        ["Created", "Renamed", "Synced", "Written"]
    );
}

#[test]
fn an_erasure_that_dies_at_any_step_tears_nothing_and_is_done_the_next_time() {
    let erased = |line: &[u8]| numbered(line, 7) || numbered(line, 14_321);
    for close_first in [false, true] {
        for nth in 0.. {
            let dir = scratch();
            let part = ended(dir.path(), 15_000);
            let text = lines(&part);
            if close_first {
                Rewriting::lock(dir.path())
                    .unwrap()
                    .close(&part.path)
                    .unwrap();
            }
            let whole = dies_at(
                nth,
                dir.path(),
                &part,
                &mut { erased },
                &mut BTreeSet::new(),
            );
            for (now, was) in lines(&part).iter().zip(&text) {
                assert!(now == was || erased(was.as_bytes()));
                assert_eq!(now.len(), was.len());
            }
            let again = Rewriting::lock(dir.path())
                .unwrap()
                .erase(&part, &mut { erased });
            assert!(again.is_ok() && (!whole || again.unwrap().is_none()));
            let now = lines(&part);
            assert_eq!(now.len(), text.len());
            assert!(now[7].starts_with("{\"erased\":true} "));
            assert!(!now.iter().any(|line| erased(line.as_bytes())));
            if whole {
                break;
            }
        }
    }
}

#[test]
fn an_erasure_leaves_the_members_it_does_not_concern_as_they_are() {
    let dir = scratch();
    let part = ended(dir.path(), 20_000);
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    rewriting.close(&part.path).unwrap();
    let closed = all(dir.path()).pop().unwrap();
    let before = fs::read(closed.file()).unwrap();
    let count = closed.pieces().unwrap().len();
    let last = |line: &[u8]| numbered(line, 19_999);
    let done = rewriting.erase(&closed, &mut { last }).unwrap().unwrap();
    assert_eq!((done.erased, done.len), (1, closed.length().unwrap()));
    assert_eq!(closed.pieces().unwrap().len(), count);
    let after = fs::read(closed.file()).unwrap();
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(a, b)| a == b)
        .count();
    assert!(same * 2 > before.len(), "{same} of {} bytes", before.len());
    assert_eq!(rewriting.erase(&closed, &mut { last }).unwrap(), None);
    // Without a text to put in its place, still a JSON value.
    fs::write(dir.path().join("cold/exam/dt=2026-01-01.x"), "").unwrap();
    let short = dir.path().join("cold/exam/dt=2026-01-01");
    fs::create_dir(&short).unwrap();
    fs::write(short.join("1.jsonl"), "{\"a\":1}\n{\"b\":1}\n").unwrap();
    let part = all(dir.path()).pop().unwrap();
    rewriting
        .erase(&part, &mut |line| line == b"{\"a\":1}")
        .unwrap();
    assert_eq!(lines(&part), ["{}     ", "{\"b\":1}"]);
}

#[test]
fn gzip_of_other_programs_is_read_from_every_offset_and_erased_in() {
    let dir = scratch();
    let part = ended(dir.path(), 12_000);
    let text = fs::read(&part.path).unwrap();
    assert!(
        Command::new("gzip")
            .arg(&part.path)
            .status()
            .unwrap()
            .success()
    );
    let part = all(dir.path()).pop().unwrap();
    assert!(part.closed);
    assert_eq!(part.length().unwrap(), text.len() as u64);
    let starts = memchr::memchr_iter(b'\n', &text).map(|n| n + 1);
    for from in [0].into_iter().chain(starts).step_by(1_999) {
        let mut rest = Vec::new();
        part.open(from as u64)
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
        assert!(rest == text[from..]);
        part.read(from as u64, &mut rest).unwrap();
        assert!(text[from..].starts_with(&rest) && rest.ends_with(b"\n"));
    }
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    let done = rewriting
        .erase(&part, &mut |line| numbered(line, 11_000))
        .unwrap()
        .unwrap();
    assert_eq!((done.erased, done.len), (1, text.len() as u64));
    assert!(
        part.pieces().unwrap().len() > 1,
        "it has members of ours now"
    );
}

#[test]
fn where_both_files_are_the_plain_one_counts() {
    let dir = scratch();
    let part = ended(dir.path(), 10);
    let text = fs::read(&part.path).unwrap();
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    rewriting.close(&part.path).unwrap();
    fs::write(&part.path, [&text[..], b"{\"more\":1}\n"].concat()).unwrap();
    let found = all(dir.path());
    assert_eq!((found.len(), found[0].closed), (1, false));
    assert_eq!(lines(&found[0]).len(), 11);
    rewriting.close(&part.path).unwrap();
    assert_eq!(lines(&all(dir.path())[0]).len(), 11);
}

#[test]
fn recovery_keeps_whole_lines_and_cuts_the_torn_one() {
    let dir = scratch();
    let day = dir.path().join("cold/s/dt=2026-01-01/hour=05");
    fs::create_dir_all(&day).unwrap();
    let long = "x".repeat(10_000);
    for (name, text, kept) in [
        ("1.jsonl", "{}\n{}\n".to_owned(), 6),
        ("2.jsonl", "{}\n{\"torn".to_owned(), 3),
        ("3.jsonl", format!("{{}}\n{long}"), 3),
        ("4.jsonl", long.clone(), 0),
        ("5.jsonl", String::new(), 0),
    ] {
        fs::write(day.join(name), &text).unwrap();
        let path = day.join(name);
        // Readers do not wait for it.
        let part = all(dir.path()).pop().unwrap();
        assert_eq!(part.path, path);
        assert_eq!(part.length().unwrap(), kept);
        let mut found = Vec::new();
        part.open(0).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found.len() as u64, kept);
        recover(dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), kept, "{name}");
    }
    assert_eq!(recover(dir.path()).unwrap(), 0, "nothing is left to cut");
    // Closed, a part of no lines is no part.
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    for part in rewriting.to_close(&Live::default()).unwrap() {
        rewriting.close(&part.path).unwrap();
    }
    assert_eq!(all(dir.path()).len(), 3);
}

#[test]
fn what_is_no_part_by_its_name_is_left_alone() {
    let dir = scratch();
    let root = dir.path().join("cold");
    let good = [
        "exam/dt=2026-01-01/1.jsonl",
        "exam/dt=2026-01-01/hour=00/1.jsonl",
        "exam/dt=2026-01-01/hour=23/part of mine.jsonl",
        "é\"'/dt=2026-01-01/hour=23/1.jsonl.gz",
    ];
    let bad = [
        "1.jsonl",
        "exam/1.jsonl",
        "exam/dt=2026-13-01/hour=00/1.jsonl",
        "exam/dt=../hour=00/1.jsonl",
        "exam/dt=2026-01-01/hour=24/1.jsonl",
        "exam/dt=2026-01-01/hour=1/1.jsonl",
        "exam/dt=2026-01-01/hour=00/.1.jsonl",
        "exam/dt=2026-01-01/hour=00/1.jsonl.gz.tmp",
        "exam/dt=2026-01-01/hour=00/1.json",
        "exam/dt=2026-01-01/hour=00/a\nb.jsonl",
        "exam/dt=2026-01-01/hour=00/dir.jsonl/x",
        ".exam/dt=2026-01-01/hour=00/1.jsonl",
    ];
    for name in good.iter().chain(&bad) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let not_utf8 = {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(
            b"exam/dt=2026-01-01/hour=00/\xff.jsonl",
        ))
    };
    fs::write(root.join(not_utf8), "").unwrap();
    let found: BTreeSet<String> = all(dir.path())
        .into_iter()
        .map(|part| format!("{}{}", part.name, if part.closed { ".gz" } else { "" }))
        .collect();
    assert_eq!(found, good.iter().map(|name| (*name).to_owned()).collect());
    let some = Select {
        stream: Some("exam"),
        from: Some((2026, 1, 2)),
        to: None,
    };
    assert_eq!(parts(dir.path(), Tree::Cold, &some).unwrap(), []);
}

#[test]
fn scattered_hours_share_descriptors_and_continue_their_parts() {
    let dir = scratch();
    let mut writer = Writer::new(dir.path(), u64::MAX);
    let open_files = || {
        let files = fs::read_dir("/proc/self/fd").unwrap();
        let paths = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        paths.filter(|path| path.starts_with(dir.path())).count()
    };
    for round in 0..3 {
        for hour in 0..200 {
            let line = format!("{{\"n\":\"{round}-{hour}\"}}\n");
            writer.append(&place(hour), &[line.as_bytes()]).unwrap();
            writer.sync(&place(hour)).unwrap();
        }
        assert!(open_files() <= OPEN_FILES);
    }
    let found = all(dir.path());
    assert_eq!(found.len(), 200);
    assert!(found.iter().all(|part| lines(part).len() == 3));
    assert_eq!(writer.live().len(), 200);
    // More than there may be: the one longest unused is ended, and its hour gets another.
    for hour in 0..300 {
        writer.append(&place(hour), &[b"{}\n"]).unwrap();
        writer.sync(&place(hour)).unwrap();
    }
    assert!(writer.live().len() <= 256, "{}", writer.live().len());
    writer.end_all();
    assert!(writer.live().is_empty() && open_files() == 0);
}

#[test]
fn a_name_is_not_given_twice_when_the_clock_is_set_back() {
    let dir = scratch();
    let part = ended(dir.path(), 1);
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    rewriting.close(&part.path).unwrap();
    // The next microseconds are taken already, closed and not.
    let begun = |part: &Part| {
        let name = part.path.file_stem().unwrap().to_str().unwrap();
        name.parse::<u64>().unwrap()
    };
    let taken = begun(&part) + 2_000_000;
    for n in 0..2_000_000_u64 {
        if n % 1_000 == 0 {
            let name = part.path.with_file_name(format!("{:016}.jsonl", taken + n));
            fs::write(if n % 2_000 == 0 { gz(&name) } else { name }, "").unwrap();
        }
    }
    let mut writer = Writer::new(dir.path(), u64::MAX);
    writer.set_last_begun(taken - 1);
    writer.append(&place(490_000), &[b"{}\n"]).unwrap();
    writer.sync(&place(490_000)).unwrap();
    let new = writer.live();
    let path = all(dir.path())
        .into_iter()
        .find(|p| new.contains(&p.path))
        .unwrap();
    assert_eq!(begun(&path), taken + 1);
}

#[test]
fn a_damaged_part_is_named_with_what_to_do_and_stops_no_other() {
    let dir = scratch();
    let part = ended(dir.path(), 20_000);
    Rewriting::lock(dir.path())
        .unwrap()
        .close(&part.path)
        .unwrap();
    let part = all(dir.path()).pop().unwrap();
    let mut bytes = fs::read(part.file()).unwrap();
    let at = bytes.len() * 2 / 3;
    bytes[at..at + 50].fill(0);
    fs::write(part.file(), bytes).unwrap();
    let later = dir.path().join("cold/exam/dt=2099-01-01/hour=00");
    fs::create_dir_all(&later).unwrap();
    fs::write(later.join("1.jsonl"), "{\"later\":1}\n").unwrap();

    let error = part
        .open(0)
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&*part.name) && said.contains("backup"),
        "{said}"
    );
    let mut follower = Follower::default();
    assert!(!follower.poll(dir.path(), usize::MAX), "an error");
    let read: usize = follower.read.values().map(|lines| lines.len()).sum();
    assert!(
        read > 5_000,
        "the members before, and the other part: {read}"
    );
    let later = &follower.read["exam/dt=2099-01-01/hour=00/1.jsonl"];
    assert_eq!(Vec::from_iter(later.values()), ["{\"later\":1}\n"]);
}

#[test]
fn a_full_disk_leaves_the_plain_part_and_nothing_else() {
    let dir = scratch();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).arg(&disk);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !run(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]) {
        // Not by eprintln!, which the test harness hides where a test passes.
        let why = "SKIPPED: a file system of 1 MiB: only root may mount one";
        assert!(std::env::var_os("EXAM_STREAM_TEST_ALL").is_none(), "{why}");
        let _ = writeln!(std::io::stderr(), "{why}");
        return;
    }
    let mut writer = Writer::new(&disk, u64::MAX);
    let mut random = fastrand::Rng::with_seed(1);
    let mut line = || {
        let text: String = (0..20_000).map(|_| random.alphanumeric()).collect();
        format!("\"{text}\"\n")
    };
    let mut acknowledged = Vec::new();
    let failed = loop {
        let line = line();
        let place = place(1);
        let mut put = || {
            writer
                .append(&place, &[line.as_bytes()])
                .and_then(|()| writer.sync(&place))
        };
        match put() {
            Ok(_) => acknowledged.push(line.trim_end().to_owned()),
            Err(error) => break error,
        }
    };
    assert_eq!(failed.kind(), std::io::ErrorKind::StorageFull);
    acknowledged.sort();
    assert!(every_line(&disk) == acknowledged);
    // It stays full, whoever tries again: no file is left of it.
    let files = || all(&disk).len();
    let before = files();
    for _ in 0..20 {
        let _ = writer.append(&place(1), &[line().as_bytes(), line().as_bytes()]);
    }
    assert!(files() <= before + 1, "{} files", files());
    writer.end_all();
    let rewriting = Rewriting::lock(&disk).unwrap();
    let part = rewriting.to_close(&Live::default()).unwrap().remove(0);
    let error = rewriting.close(&part.path).unwrap_err().to_string();
    assert!(
        error.contains("make room") && error.contains(".gz.tmp"),
        "{error}"
    );
    assert!(every_line(&disk) == acknowledged);
    assert!(run(&["mount", "-o", "remount,size=8m"]));
    for part in rewriting.to_close(&Live::default()).unwrap() {
        rewriting.close(&part.path).unwrap().unwrap();
    }
    assert!(every_line(&disk) == acknowledged && all(&disk).iter().all(|part| part.closed));
    drop((rewriting, writer));
    assert!(run(&["umount", "-l"]));
}

#[test]
fn a_part_is_never_closed_while_it_is_begun_or_written() {
    let dir = scratch();
    let mut writer = Writer::new(dir.path(), 4_000);
    let live = writer.live();
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut closed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20_000 {
                let line = format!("{{\"n\":{n}}}\n");
                writer.append(&place(n % 3), &[line.as_bytes()]).unwrap();
                writer.sync(&place(n % 3)).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let rewriting = Rewriting::lock(dir.path()).unwrap();
            for part in rewriting.to_close(&live).unwrap() {
                closed += u64::from(rewriting.close(&part.path).unwrap().is_some());
            }
        }
    });
    assert!(closed > 20, "{closed}");
    assert_eq!(every_line(dir.path()).len(), 20_000);
}

/// Any order of appending, ending, closing, erasing, starting again and following: every line comes
/// once, as it was appended or erased, and all are there in the end.
#[test]
fn a_follower_gets_every_line_once_whatever_happens_to_the_parts() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = scratch();
        let mut writer = Writer::new(dir.path(), 20_000);
        let mut follower = Follower::default();
        let mut appended: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
        let mut erased = BTreeSet::new();
        let mut next = 0;
        for _ in 0..150 {
            match random.u8(0..9) {
                0..4 => {
                    let place = place(random.u32(0..4));
                    let text: Vec<String> = (0..random.usize(1..40))
                        .map(|_| {
                            next += 1;
                            format!(
                                "{{\"n\":{next},\"x\":\"{}\"}}\n",
                                "y".repeat(random.usize(0..200))
                            )
                        })
                        .collect();
                    let bytes: Vec<&[u8]> = text.iter().map(String::as_bytes).collect();
                    writer.append(&place, &bytes).unwrap();
                    let grown = writer.sync(&place).unwrap();
                    let mut at = grown.len - bytes.iter().map(|b| b.len() as u64).sum::<u64>();
                    for line in text {
                        let len = line.len() as u64;
                        let part = appended.entry(grown.part.to_string()).or_default();
                        part.insert(at, line);
                        at += len;
                    }
                }
                4 => writer.end_all(),
                5 => {
                    let rewriting = Rewriting::lock(dir.path()).unwrap();
                    for part in rewriting.to_close(&writer.live()).unwrap() {
                        rewriting.close(&part.path).unwrap();
                    }
                }
                6 => {
                    let n = random.usize(0..next + 1);
                    erased.insert(n);
                    let rewriting = Rewriting::lock(dir.path()).unwrap();
                    for part in all(dir.path()) {
                        if !writer.live().contains(&part.path) {
                            rewriting
                                .erase(&part, &mut |line| numbered(line, n))
                                .unwrap();
                        }
                    }
                }
                // Another start of the writer.
                7 => {
                    recover(dir.path()).unwrap();
                    let begun = writer.last_begun();
                    writer = Writer::new(dir.path(), 20_000);
                    writer.set_last_begun(begun);
                }
                _ => assert!(follower.poll(dir.path(), random.usize(0..4))),
            }
        }
        assert!(follower.poll(dir.path(), usize::MAX));
        assert!(appended.keys().eq(follower.read.keys()), "seed {seed}");
        for (part, lines) in &appended {
            let read = &follower.read[part];
            assert!(lines.keys().eq(read.keys()), "seed {seed}: {part}");
            for (line, got) in lines.values().zip(read.values()) {
                let may_be_erased = erased.iter().any(|n| numbered(line.as_bytes(), *n));
                assert!(
                    got == line
                        || (may_be_erased && got.starts_with('{') && got.len() == line.len()),
                    "seed {seed}: {got} for {line}"
                );
            }
        }
        assert!(next > 0);
    }
}

#[test]
fn a_program_that_asks_gets_the_live_parts_from_a_writer_that_runs_or_ran() {
    let dir = scratch();
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    // Nobody writes.
    rewriting.release(|_| panic!("no need to wait")).unwrap();
    let owner = own(dir.path()).unwrap().unwrap();
    assert!(own(dir.path()).unwrap().is_none());
    let mut answered = false;
    rewriting
        .release(|waited| {
            assert!(asked_to_release(dir.path()) || answered);
            if waited.as_millis() >= 60 && !answered {
                released(dir.path()).unwrap();
                answered = true;
            }
        })
        .unwrap();
    assert!(answered);
    // The writer dies while it is asked.
    let mut owner = Some(owner);
    rewriting.release(|_| drop(owner.take())).unwrap();
    assert!(owner.is_none() && !asked_to_release(dir.path()));
    // Closing waits for an erasure; who only reads does too.
    assert!(Rewriting::try_lock(dir.path()).unwrap().is_none());
    drop(rewriting);
    let still = hold_still(dir.path()).unwrap().unwrap();
    assert!(Rewriting::try_lock(dir.path()).unwrap().is_none());
    drop(still);
    assert!(Rewriting::try_lock(dir.path()).unwrap().is_some());
}

#[test]
fn a_removed_part_takes_its_empty_directories_with_it() {
    let dir = scratch();
    let part = ended(dir.path(), 10);
    let other = dir.path().join("cold/other/dt=2026-01-01");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("1.jsonl"), "{}\n").unwrap();
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    rewriting.remove(&part).unwrap();
    rewriting.remove(&part).unwrap();
    assert!(!dir.path().join("cold/exam/dt=2025-11-24").exists());
    assert!(dir.path().join("cold/exam").exists());
    let left: Vec<_> = all(dir.path()).into_iter().map(|part| part.name).collect();
    assert_eq!(left, ["other/dt=2026-01-01/1.jsonl".into()]);
}

#[test]
fn a_part_that_is_gone_since_it_was_listed_has_no_lines() {
    let dir = scratch();
    let closed = ended(dir.path(), 10);
    let rewriting = Rewriting::lock(dir.path()).unwrap();
    rewriting.close(&closed.path).unwrap();
    // A writer that died before it wrote leaves this.
    let empty = closed.path.with_file_name("9999999999999999.jsonl");
    fs::write(&empty, "").unwrap();
    let listed = all(dir.path());
    assert_eq!(listed.len(), 2);
    // Closing removes a part of no lines; retention any.
    rewriting.close(&empty).unwrap();
    rewriting.remove(&closed).unwrap();
    for part in listed {
        assert!(!part.file().exists());
        assert_eq!(part.length().unwrap(), 0);
        assert!(part.pieces().unwrap().is_empty());
        let mut text = b"from before".to_vec();
        part.read(0, &mut text).unwrap();
        part.open(7).unwrap().read_to_end(&mut text).unwrap();
        part.open_bytes(7).unwrap().read_to_end(&mut text).unwrap();
        assert!(text.is_empty());
        assert_eq!(rewriting.erase(&part, &mut |_| true).unwrap(), None);
    }
}

#[test]
fn a_single_file_needs_no_holding_still() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("part.jsonl");
    fs::write(&file, "{}\n").unwrap();
    assert!(crate::hold_still(&file).unwrap().is_none());
}
