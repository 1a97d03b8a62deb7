//! Readers before, in and after everything that can be wrong with a segment.

use super::*;
use crate::header;
use crate::sys::fault::{self, Call, Fault};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

fn three(spool: &Spool) -> (Writer, Segment) {
    let mut writer = spool.writer("exam").expect("valid");
    assert_eq!(
        writer.append(&[b"first", b"second", b"third"]).expect("ok"),
        Appended::All
    );
    (writer, spool.segments().expect("listing").remove(0))
}

fn file(spool: &Spool, segment: &Segment) -> std::fs::File {
    let path = spool.path().join(segment.name().file(".seg"));
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("the segment's file")
}

fn start() -> Position {
    Position {
        offset: header::LEN,
        count: 0,
    }
}

#[test]
fn a_reader_at_every_byte_of_an_append_waits_while_the_writer_lives_and_finds_it_torn_after() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (writer, segment) = three(&spool);
    let raw = file(&spool, &segment);
    let len = segment.len().expect("len");
    let mut whole = vec![0; len as usize];
    raw.read_exact_at(&mut whole, 0).expect("reads");
    let ends: Vec<u64> = segment
        .read(start(), &mut Vec::new(), 4096)
        .expect("reads")
        .records
        .iter()
        .map(|r| r.after.offset)
        .collect();
    let mut writer = Some(writer);
    for alive in [true, false] {
        if !alive {
            writer.take().expect("once").die();
        }
        for cut in header::LEN..len {
            let complete = ends.iter().filter(|e| **e <= cut).count();
            let mut states = Vec::new();
            // The size grows with the bytes; or the size is there first, the bytes come later.
            for size_first in [false, true] {
                raw.set_len(cut).expect("cuts");
                if size_first {
                    raw.write_all_at(&vec![0xaa; (len - cut) as usize], cut)
                        .expect("grows");
                }
                let fresh = spool.segments().expect("listing").remove(0);
                let (records, outcome) = rest(&fresh, start());
                assert_eq!(records.len(), complete, "cut {cut}");
                assert_eq!(outcome.damaged, 0);
                states.push(outcome.state);
                raw.write_all_at(&whole[cut as usize..], cut)
                    .expect("restores");
            }
            let torn = cut - ends[..complete].last().copied().unwrap_or(header::LEN);
            let expected = if alive {
                ReadState::Wait
            } else {
                ReadState::Torn { bytes: torn }
            };
            assert_eq!(states[0], expected, "cut {cut}");
            assert!(alive || matches!(states[1], ReadState::Torn { .. }));
            assert!(!alive || states[1] == ReadState::Wait, "cut {cut}");
        }
    }
}

#[test]
fn every_flipped_byte_costs_at_most_its_record_and_the_file_is_kept() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (writer, segment) = three(&spool);
    let len = segment.len().expect("len");
    writer.seal();
    let raw = file(&spool, &segment);
    for at in header::LEN..len {
        let mut byte = [0];
        raw.read_exact_at(&mut byte, at).expect("reads");
        raw.write_all_at(&[byte[0] ^ 0x55], at).expect("damages");
        let (records, outcome) = rest(&segment, start());
        assert_eq!(records.len(), 2, "byte {at}");
        assert_eq!(
            (outcome.state, outcome.next.count),
            (ReadState::Sealed, 3),
            "byte {at}"
        );
        raw.write_all_at(&byte, at).expect("restores");
    }
    raw.write_all_at(b"?", header::LEN + 25).expect("damages");
    assert!(matches!(&drain(&spool)[..], [Removal::KeptDamaged(_)]));
    assert_eq!(files(&spool, ".damaged").len(), 1);
    let totals = spool.totals().expect("totals");
    assert_eq!((totals.accepted, totals.damaged_files), (3, 1));
    assert!(totals.damaged_bytes > 0);
}

#[test]
fn damage_behind_which_a_live_writer_goes_on_does_not_hold_its_records() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (mut writer, segment) = three(&spool);
    file(&spool, &segment)
        .write_all_at(b"?", segment.len().expect("len") - 6)
        .expect("damages");
    let (records, outcome) = rest(&segment, start());
    assert_eq!(
        (records.len(), outcome.state),
        (2, ReadState::Wait),
        "may still be an append"
    );
    assert!(put(&mut writer, b"fourth"));
    assert_eq!(rest(&segment, outcome.next).0, [b"fourth".to_vec()]);
}

#[test]
fn a_record_that_contains_a_whole_segment_is_one_record() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (mut writer, segment) = three(&spool);
    let mut inner = vec![0; segment.len().expect("len") as usize];
    file(&spool, &segment)
        .read_exact_at(&mut inner, 0)
        .expect("reads");
    let mut other = spool.writer("other").expect("valid");
    assert!(put(&mut other, &inner));
    assert!(put(&mut writer, &inner));
    assert_eq!(readable(&spool, Cursor::State)["other"], [inner.clone()]);
    // Its frame damaged, the frames inside must not come to life in another segment.
    let other = spool.segments().expect("listing").remove(1);
    file(&spool, &other)
        .write_all_at(b"?", header::LEN + 24)
        .expect("damages");
    drop(writer);
    assert_eq!(rest(&other, start()).0, Vec::<Vec<u8>>::new());
}

#[test]
fn a_segment_of_another_version_is_refused_with_a_sentence_and_kept() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (writer, segment) = three(&spool);
    file(&spool, &segment)
        .write_all_at(&[9], 7)
        .expect("changes the version");
    drop(writer);
    let Err(error) = spool.segment(segment.name().clone()) else {
        panic!("refused")
    };
    assert!(
        error
            .to_string()
            .contains("format version 9, this program knows version 1: it is kept"),
        "{error}"
    );
    assert_eq!(drain(&spool), []);
    assert_eq!(files(&spool, ".seg").len(), 1);
}

#[test]
fn a_damaged_header_costs_no_record() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (writer, segment) = three(&spool);
    segment
        .advance(
            Cursor::State,
            Position {
                offset: header::LEN + 29,
                count: 1,
            },
        )
        .expect("advances");
    file(&spool, &segment)
        .write_all_at(&[0; header::LEN as usize], 0)
        .expect("wipes");
    drop(writer);
    assert_eq!(
        readable(&spool, Cursor::State)["exam"].len(),
        3,
        "delivered again"
    );
    assert!(matches!(&drain(&spool)[..], [Removal::KeptDamaged(_)]));
}

#[test]
fn a_torn_cursor_falls_back_to_the_one_before() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (_writer, segment) = three(&spool);
    let outcome = segment.read(start(), &mut Vec::new(), 4096).expect("reads");
    let raw = file(&spool, &segment);
    for (i, record) in outcome.records.iter().enumerate() {
        let before = segment.cursor(Cursor::Delivery);
        segment
            .advance(Cursor::Delivery, record.after)
            .expect("advances");
        let (at, slot) =
            header::encode_cursor(segment.id(), Cursor::Delivery, 2 + i as u32, record.after);
        for torn in 0..slot.len() {
            raw.write_all_at(&[!slot[torn]], at + torn as u64)
                .expect("tears");
            let again = spool.segments().expect("listing").remove(0);
            assert_eq!(again.cursor(Cursor::Delivery), before);
            assert_eq!(again.cursor(Cursor::State), start());
            raw.write_all_at(&slot, at).expect("restores");
        }
    }
}

#[test]
fn what_a_failed_sync_covered_is_written_elsewhere_and_never_synced_there_again() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (mut writer, segment) = three(&spool);
    let first = segment
        .read(start(), &mut Vec::new(), 4096)
        .expect("reads")
        .records[0]
        .after;
    segment.advance(Cursor::Delivery, first).expect("advances");
    fault::at_call(0, Fault::Errno(libc::EIO));
    assert!(segment.sync().expect("moved"));
    fault::clear();
    let segments = spool.segments().expect("listing");
    assert_eq!(segments.len(), 2);
    assert_eq!(
        rest(&segments[1], segments[1].cursor(Cursor::Delivery)).0,
        [b"second".to_vec(), b"third".to_vec()]
    );
    assert_eq!(
        rest(&segments[1], segments[1].cursor(Cursor::State))
            .0
            .len(),
        3
    );
    assert_eq!(
        rest(&segments[0], segments[0].cursor(Cursor::State)).0,
        Vec::<Vec<u8>>::new()
    );
    let totals = spool.totals().expect("totals");
    assert_eq!(
        (totals.accepted, totals.delivered, totals.folded),
        (3, 1, 0)
    );

    // Another sender, the writer still alive: its next records move too, with no sync of the old file.
    assert!(put(&mut writer, b"fourth"));
    let again = spool.segments().expect("listing").remove(0);
    fault::each(Call::Truncate, Fault::Errno(libc::EIO));
    assert!(again.sync().expect("moved"));
    assert!(!again.sync().expect("nothing left to move"));
    assert_eq!(readable(&spool, Cursor::Delivery)["exam"].len(), 3);
    // At its next lease the writer goes to a new file.
    while spool.segments().expect("listing").len() < 4 {
        assert!(put(&mut writer, &[b'x'; 300]));
    }
    fault::clear();
    drop(writer);
    let before = spool.totals().expect("totals").accepted;
    drain(&spool);
    let totals = spool.totals().expect("totals");
    assert_eq!(
        (totals.accepted, totals.delivered, totals.folded),
        (before, before, before)
    );
    assert_eq!(spool.recount().expect("counts").bytes, 0);
}

#[test]
fn syncing_asks_the_disk_only_for_what_is_new() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (mut writer, segment) = three(&spool);
    assert!(segment.sync().expect("syncs"));
    assert!(!segment.sync().expect("nothing new"));
    assert!(put(&mut writer, b"fourth"));
    assert!(segment.sync().expect("syncs"));
}

#[test]
fn a_disk_that_fails_or_fills_refuses_puts_and_leaves_nothing_of_them() {
    for (fault, failing) in [
        (Fault::Errno(libc::ENOSPC), false),
        (Fault::Errno(libc::EDQUOT), false),
        (Fault::Errno(libc::EIO), true),
        (Fault::Short(500), false),
    ] {
        let dir = scratch();
        let spool = open(dir.path(), SMALL);
        let (mut writer, segment) = three(&spool);
        let len = segment.len().expect("len");
        fault::at_call(0, fault);
        let refused = writer.append(&[b"refused, or half of it is"]);
        fault::clear();
        assert_eq!(refused.is_err(), failing, "{refused:?}");
        assert!(failing || refused.is_ok_and(|a| a == Appended::Some(0)));
        assert_eq!(segment.len().expect("len"), len);
        assert_eq!(spool.totals().expect("totals").refused, 1);
        std::thread::sleep(std::time::Duration::from_millis(6));
        assert!(put(&mut writer, b"fourth"));
        assert_eq!(readable(&spool, Cursor::State)["exam"].len(), 4);
    }
}

#[test]
fn a_deletion_that_fails_is_counted_once_when_it_is_tried_again() {
    let dir = scratch();
    let spool = open(dir.path(), SMALL);
    let (writer, segment) = three(&spool);
    drop(writer);
    for cursor in [Cursor::Delivery, Cursor::State] {
        segment
            .advance(cursor, rest(&segment, start()).1.next)
            .expect("advances");
    }
    fault::each(Call::Unlink, Fault::Errno(libc::EIO));
    assert!(segment.remove_if_done().is_err());
    assert_eq!(spool.totals().expect("totals").accepted, 3);
    assert!(segment.remove_if_done().is_err());
    fault::clear();
    assert_eq!(segment.remove_if_done().expect("removes"), Removal::Deleted);
    assert_eq!(spool.totals().expect("totals").accepted, 3);
    assert_eq!(spool.usage().bytes, 0);
}
