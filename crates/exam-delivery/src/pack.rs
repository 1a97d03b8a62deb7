//! Lines into Firehose records, records into one call.
//!
//! Firehose bills each of its records rounded up to 5 KB and counts calls, so
//! lines travel joined: each ends with `\n`, in any order Firehose likes.
//! A record remembers which stretches of which segments it carries, so that
//! its acknowledgement can be turned into offsets.

use bytes::Bytes;
use exam_spool::Position;

/// Records in one `PutRecordBatch`
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>).
pub const MAX_CALL_RECORDS: usize = 500;
/// Bytes in one call, same page. Whether it counts base64 is not said there;
/// Fluent Bit and Vector count it, so that they are right either way. So do we.
pub const MAX_CALL_BYTES: usize = 4 * 1024 * 1024;
/// Bytes in one record before base64, same page: 1,000 KiB.
pub const MAX_RECORD_BYTES: usize = 1_000 * 1024;
/// Lines in one record: above this Firehose's multi-record de-aggregation
/// switches itself off without saying so
/// (<https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning-multirecord-deaggergation.html>).
pub const MAX_RECORD_LINES: u32 = 500;
/// What a record costs in the request beside its base64: `{"Data":""},`.
const ENVELOPE: usize = 12;

/// What we let one record and one call grow to, within Firehose's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A record is closed at this size; a longer line still goes, alone.
    pub aggregate_bytes: usize,
    /// A call is closed at this size, counted as base64.
    pub call_bytes: usize,
}

/// A stretch of one segment: whole frames, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<K> {
    pub segment: K,
    pub start: Position,
    pub end: Position,
}

/// One Firehose record.
#[derive(Clone, Debug)]
pub struct Record<K> {
    /// The lines, each ended by `\n`.
    pub body: Bytes,
    pub spans: Vec<Span<K>>,
    /// When each line was accepted, µs since the epoch.
    pub times: Vec<u64>,
}

/// Bytes a record of this length takes in the request.
pub fn encoded(len: usize) -> usize {
    len.div_ceil(3) * 4 + ENVELOPE
}

/// Collects lines for one call.
#[derive(Debug)]
pub struct Packer<K> {
    limits: Limits,
    records: Vec<Record<K>>,
    bytes: usize,
    body: Vec<u8>,
    spans: Vec<Span<K>>,
    times: Vec<u64>,
}

impl<K: Copy + PartialEq> Packer<K> {
    pub fn new(limits: Limits) -> Packer<K> {
        Packer {
            limits: Limits {
                aggregate_bytes: limits.aggregate_bytes.clamp(1, MAX_RECORD_BYTES),
                call_bytes: limits.call_bytes.clamp(1, MAX_CALL_BYTES),
            },
            records: Vec::new(),
            bytes: 0,
            body: Vec::new(),
            spans: Vec::new(),
            times: Vec::new(),
        }
    }

    /// A packer that already carries records, to be filled up with new lines.
    pub fn resume(limits: Limits, records: Vec<Record<K>>) -> Packer<K> {
        let mut packer = Packer::new(limits);
        packer.bytes = records.iter().map(|r| encoded(r.body.len())).sum();
        packer.records = records;
        packer
    }

    /// Adds the line of the frame at `start..end`; `false` when this call has
    /// no room for it. A call always takes its first line.
    pub fn push(
        &mut self,
        segment: K,
        start: Position,
        end: Position,
        time: u64,
        line: &[u8],
    ) -> bool {
        let grown = self.body.len() + line.len() + 1;
        let closes = !self.body.is_empty()
            && (grown > self.limits.aggregate_bytes
                || self.times.len() >= MAX_RECORD_LINES as usize);
        let record = if closes { line.len() + 1 } else { grown };
        let before = self.bytes + if closes { encoded(self.body.len()) } else { 0 };
        let first = self.records.is_empty() && self.body.is_empty();
        let count = self.records.len() + usize::from(closes) + 1;
        if !first && (before + encoded(record) > self.limits.call_bytes || count > MAX_CALL_RECORDS)
        {
            return false;
        }
        if closes {
            self.close();
        }
        if self.body.capacity() == 0 {
            self.body
                .reserve_exact(self.limits.aggregate_bytes.max(line.len() + 1));
        }
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.times.push(time);
        match self.spans.last_mut() {
            Some(span) if span.segment == segment && span.end == start => {
                span.end = end;
            }
            _ => self.spans.push(Span {
                segment,
                start,
                end,
            }),
        }
        true
    }

    fn close(&mut self) {
        self.bytes += encoded(self.body.len());
        let mut body = std::mem::take(&mut self.body);
        // A lone late line must not keep a whole aggregate's memory.
        if body.len() * 2 < body.capacity() {
            body.shrink_to_fit();
        }
        self.records.push(Record {
            body: body.into(),
            spans: std::mem::take(&mut self.spans),
            times: std::mem::take(&mut self.times),
        });
    }

    /// The call's records; empty if nothing was pushed.
    pub fn finish(mut self) -> Vec<Record<K>> {
        if !self.body.is_empty() {
            self.close();
        }
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { offset, count: 0 }
    }

    const WIDE: Limits = Limits {
        aggregate_bytes: 64 * 1024,
        call_bytes: MAX_CALL_BYTES,
    };

    fn fill(limits: Limits, line: &[u8]) -> (Vec<Record<u8>>, u64) {
        let mut packer = Packer::new(limits);
        let mut lines = 0;
        while packer.push(0, at(lines), at(lines + 1), 7, line) {
            lines += 1;
        }
        (packer.finish(), lines)
    }

    #[test]
    fn a_full_call_is_within_every_limit_and_near_one_of_them() {
        for len in [1, 10, 127, 200, 4_000, 70_000, 256 * 1024] {
            let (records, lines) = fill(WIDE, &vec![b'x'; len]);
            let wire: usize = records.iter().map(|r| encoded(r.body.len())).sum();
            assert!(wire <= MAX_CALL_BYTES && records.len() <= MAX_CALL_RECORDS);
            assert!(
                records.len() == MAX_CALL_RECORDS
                    || wire + encoded(66_000.max(len)) > MAX_CALL_BYTES,
                "{len}: {} records, {wire} bytes",
                records.len()
            );
            let mut next = at(0);
            for record in &records {
                assert!(record.times.len() <= MAX_RECORD_LINES as usize);
                assert!(record.body.len() <= 64 * 1024 || record.times.len() == 1);
                assert_eq!(record.body.last(), Some(&b'\n'));
                assert_eq!(record.body.len(), record.times.len() * (len + 1));
                assert_eq!(record.spans.len(), 1);
                assert_eq!(record.spans[0].start, next);
                next = record.spans[0].end;
            }
            assert_eq!(next, at(lines));
        }
    }

    #[test]
    fn the_first_line_goes_even_if_it_alone_is_over_our_own_limit() {
        let small = Limits {
            aggregate_bytes: 100,
            call_bytes: 100,
        };
        let (records, lines) = fill(small, &[b'x'; 5_000]);
        assert_eq!((records.len(), lines), (1, 1));
    }

    #[test]
    fn lines_of_several_segments_share_a_record_and_keep_their_spans() {
        let mut packer = Packer::new(WIDE);
        for (segment, start) in [(1u8, 0), (1, 10), (2, 0), (1, 20), (1, 40)] {
            assert!(packer.push(segment, at(start), at(start + 10), 0, b"{}"));
        }
        let records = packer.finish();
        assert_eq!(&records[0].body[..], b"{}\n{}\n{}\n{}\n{}\n");
        let spans: Vec<_> = records[0]
            .spans
            .iter()
            .map(|s| (s.segment, s.start.offset, s.end.offset))
            .collect();
        assert_eq!(spans, [(1, 0, 20), (2, 0, 10), (1, 20, 30), (1, 40, 50)]);
    }

    #[test]
    fn resent_records_leave_room_only_for_what_still_fits() {
        let (records, _) = fill(WIDE, &[b'x'; 200]);
        let mut packer = Packer::resume(WIDE, records);
        assert!(!packer.push(0, at(0), at(1), 0, &[b'x'; 65_000]));
    }
}
