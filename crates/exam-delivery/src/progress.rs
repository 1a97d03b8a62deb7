//! One cursor's view of one segment: what is behind it, what is done ahead of
//! it, and where to read next.
//!
//! Calls complete in any order, a cursor moves only over what is contiguous.
//! What is done beyond the cursor is remembered as ranges. Because the bytes
//! themselves stay in the segment, a stalled stream can forget what it had in
//! memory ([`Progress::rewind`]) and read it again later: the ranges keep it
//! from sending a line twice.

use exam_spool::Position;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Progress {
    cursor: Position,
    /// Done ahead of the cursor: end by start offset, never adjacent.
    done: BTreeMap<u64, Position>,
    next: Position,
}

impl Progress {
    /// Starts from the cursor the segment's header holds.
    pub fn new(cursor: Position) -> Progress {
        Progress {
            cursor,
            done: BTreeMap::new(),
            next: cursor,
        }
    }

    /// Everything before is done.
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// Where to read on, and the offset to stop at because what follows is done.
    pub fn next(&mut self) -> (Position, Option<u64>) {
        while let Some((_, &end)) = self
            .done
            .range(..=self.next.offset)
            .next_back()
            .filter(|(_, end)| end.offset > self.next.offset)
        {
            self.next = end;
        }
        let bound = self.done.range(self.next.offset..).next();
        (self.next, bound.map(|(start, _)| *start))
    }

    /// Everything up to `end` has been read and is in somebody's hands.
    pub fn taken(&mut self, end: Position) {
        self.next = end;
    }

    /// Whoever had lines in hand dropped them: read again from the cursor.
    pub fn rewind(&mut self) {
        self.next = self.cursor;
    }

    /// The stretch from `start` to `end` is done; `true` if the cursor moved.
    pub fn complete(&mut self, start: Position, end: Position) -> bool {
        if end.offset <= self.cursor.offset {
            return false; // skipped meanwhile
        }
        if start.offset <= self.cursor.offset {
            self.cursor = end;
            while let Some(end) = self.done.remove(&self.cursor.offset) {
                self.cursor = end;
            }
            self.next = self.next.max(self.cursor);
            return true;
        }
        let before = self
            .done
            .range(..start.offset)
            .next_back()
            .filter(|(_, end)| end.offset == start.offset)
            .map(|(start, _)| *start);
        let end = self.done.remove(&end.offset).unwrap_or(end);
        self.done.insert(before.unwrap_or(start.offset), end);
        false
    }

    /// The cursor is moved to `to` whatever is done.
    pub fn skip(&mut self, to: Position) {
        self.done.retain(|start, _| *start >= to.offset);
        self.complete(self.cursor, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position {
            offset,
            count: offset as u32 / 10,
        }
    }

    #[test]
    fn the_cursor_moves_over_contiguous_stretches_in_whatever_order_they_complete() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let bounds: Vec<u64> = (0..rng.usize(2..40)).map(|i| i as u64 * 10).collect();
            let mut spans: Vec<_> = bounds.windows(2).map(|w| (w[0], w[1])).collect();
            rng.shuffle(&mut spans);
            let mut progress = Progress::new(at(0));
            let mut completed = Vec::new();
            for (start, end) in &spans {
                progress.complete(at(*start), at(*end));
                completed.push(*start);
                let solid = bounds.iter().find(|b| !completed.contains(b)).unwrap();
                assert_eq!(progress.cursor(), at(*solid));
            }
            assert!(progress.done.is_empty());
        }
    }

    #[test]
    fn after_a_rewind_only_the_gaps_are_read_again() {
        let mut progress = Progress::new(at(100));
        progress.taken(at(200));
        progress.complete(at(120), at(140));
        progress.complete(at(140), at(150));
        progress.rewind();
        assert_eq!(progress.next(), (at(100), Some(120)));
        progress.taken(at(120));
        assert_eq!(progress.next(), (at(150), None));
        progress.taken(at(200));
        assert!(progress.complete(at(100), at(120)));
        assert_eq!(progress.cursor(), at(150));
    }

    #[test]
    fn what_was_in_flight_when_the_cursor_skipped_does_not_move_it_back() {
        let mut progress = Progress::new(at(0));
        progress.complete(at(10), at(20));
        progress.complete(at(30), at(50));
        progress.skip(at(40));
        assert!(!progress.complete(at(0), at(10)));
        assert_eq!(progress.cursor(), at(40));
        progress.complete(at(40), at(60));
        assert_eq!(progress.cursor(), at(60));
    }
}
