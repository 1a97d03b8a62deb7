//! One cursor's view of one segment: what is behind it, what is done ahead of
//! it, and where to read next.
//!
//! Calls complete in any order, a cursor moves only over what is contiguous.
//! What is done beyond the cursor is remembered as ranges. Because the bytes
//! themselves stay in the segment, a stalled stream can forget what it had in
//! memory ([`Progress::rewind`]) and read it again later: the ranges keep it
//! from sending a line twice.

use std::collections::BTreeMap;

/// Offsets are bytes in the segment file; counts are lines from its start.
#[derive(Debug)]
pub struct Progress {
    cursor: u64,
    count: u64,
    done: BTreeMap<u64, (u64, u64)>,
    next: u64,
}

impl Progress {
    /// Starts from the cursor the segment's header holds.
    pub fn new(offset: u64, count: u64) -> Progress {
        Progress {
            cursor: offset,
            count,
            done: BTreeMap::new(),
            next: offset,
        }
    }

    /// The cursor: everything before is done.
    pub fn cursor(&self) -> (u64, u64) {
        (self.cursor, self.count)
    }

    /// The offset to read from, after skipping what is already done, and the
    /// offset to stop at, where the next done range begins.
    pub fn next(&mut self) -> (u64, Option<u64>) {
        while let Some((_, &(end, _))) = self
            .done
            .range(..=self.next)
            .next_back()
            .filter(|(_, (end, _))| *end > self.next)
        {
            self.next = end;
        }
        (self.next, self.done.range(self.next..).next().map(|r| *r.0))
    }

    /// Everything up to `end` has been read and is in somebody's hands.
    pub fn taken(&mut self, end: u64) {
        self.next = end;
    }

    /// Whoever had lines in hand dropped them: read again from the cursor.
    pub fn rewind(&mut self) {
        self.next = self.cursor;
    }

    /// A stretch of `lines` frames is done; `true` if that moved the cursor.
    pub fn complete(&mut self, start: u64, end: u64, lines: u64) -> bool {
        if start == self.cursor {
            self.cursor = end;
            self.count += lines;
            while let Some((end, lines)) = self.done.remove(&self.cursor) {
                self.cursor = end;
                self.count += lines;
            }
            self.next = self.next.max(self.cursor);
            return true;
        }
        let (mut start, mut end, mut lines) = (start, end, lines);
        if let Some((&before, &(_, more))) = self
            .done
            .range(..start)
            .next_back()
            .filter(|(_, (end, _))| *end == start)
        {
            start = before;
            lines += more;
        }
        if let Some((far, more)) = self.done.remove(&end) {
            end = far;
            lines += more;
        }
        self.done.insert(start, (end, lines));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_over_contiguous_stretches_in_whatever_order_they_complete() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let bounds: Vec<u64> = (0..rng.usize(2..40)).map(|i| i as u64 * 10).collect();
            let last = *bounds.last().unwrap();
            let mut spans: Vec<_> = bounds.windows(2).map(|w| (w[0], w[1])).collect();
            rng.shuffle(&mut spans);
            let mut progress = Progress::new(0, 0);
            let mut completed = Vec::new();
            for (start, end) in spans {
                progress.complete(start, end, 1);
                completed.push(start);
                let solid = bounds
                    .iter()
                    .find(|b| **b == last || !completed.contains(b))
                    .unwrap();
                assert_eq!(progress.cursor(), (*solid, solid / 10));
            }
            assert!(progress.done.is_empty());
        }
    }

    #[test]
    fn after_a_rewind_only_the_gaps_are_read_again() {
        let mut progress = Progress::new(100, 5);
        progress.taken(200);
        progress.complete(120, 140, 2);
        progress.complete(140, 150, 1);
        progress.rewind();
        assert_eq!(progress.next(), (100, Some(120)));
        progress.taken(120);
        assert_eq!(progress.next(), (150, None));
        progress.taken(200);
        assert!(progress.complete(100, 120, 1));
        assert_eq!(progress.cursor(), (150, 9));
    }
}
