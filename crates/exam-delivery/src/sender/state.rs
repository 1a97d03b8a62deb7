//! Spool to state store: the same fold as everywhere, ahead of Firehose's
//! buffers, and waiting for nothing that delivery waits for.
//!
//! Each segment has a fresh lane, the records that come in now, and gaps, what
//! an outage left behind. The fresh lane goes first, then the gaps of the
//! newest segment: after an outage a student who answers now is resumed with
//! that answer, not with one of an hour ago. The fold is commutative, so order
//! is a matter of freshness only; the cursor moves when the gaps are closed.

use crate::retry::Backoff;
use crate::sender::Shared;
use crate::sender::poll::Poll;
use crate::sender::registry::{Entry, Key};
use crate::status::now;
use exam_spool::{Cursor, Position, ReadState};
use exam_state::{FoldBatch, StateError, StateStore};
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One fold: enough lines to hide the round trip, few enough to be done within
/// milliseconds.
const LINES: usize = 4_000;
const BYTES: usize = 1024 * 1024;
const READ: usize = 128 * 1024;
/// While the store works on one fold the next is prepared.
const FOLDS: usize = 2;
/// A fresh lane further behind than this is a backlog.
const FRESH: u64 = 1024 * 1024;
/// After a fold that was not full the next begins no sooner than this, so that
/// what comes in meanwhile shares its round trip, system calls and script. The
/// first record after a rest waits for nothing.
const PACE: Duration = Duration::from_millis(50);
/// The store is our own server: ask it often while it is away.
const MOST: Duration = Duration::from_secs(2);

/// What of a segment is to be folded.
pub(crate) struct Lanes {
    fresh: Position,
    /// Behind `fresh`, ascending.
    gaps: Vec<(Position, Position)>,
}

impl Lanes {
    pub fn new(cursor: Position) -> Lanes {
        Lanes {
            fresh: cursor,
            gaps: Vec::new(),
        }
    }

    /// Up to `to` there is nothing to fold any more.
    pub fn skip(&mut self, to: Position) {
        self.fresh = self.fresh.max(to);
        self.gaps.retain_mut(|(start, end)| {
            *start = (*start).max(to);
            start.offset < end.offset
        });
    }

    fn gap(&mut self, start: Position, end: Position) {
        if start.offset >= end.offset {
            return;
        }
        let at = self.gaps.partition_point(|gap| gap.0.offset < start.offset);
        self.gaps.insert(at, (start, end));
        if self
            .gaps
            .get(at + 1)
            .is_some_and(|next| next.0.offset == end.offset)
        {
            self.gaps[at].1 = self.gaps.remove(at + 1).1;
        }
        if at > 0 && self.gaps[at - 1].1.offset == start.offset {
            self.gaps[at - 1].1 = self.gaps.remove(at).1;
        }
    }
}

struct Fold {
    batch: FoldBatch,
    spans: Vec<(Key, Position, Position)>,
    times: Vec<u64>,
    bytes: usize,
    malformed: u64,
}

impl Fold {
    fn full(&self) -> bool {
        self.times.len() >= LINES || self.bytes >= BYTES
    }
}

/// Runs until the sender stops.
pub(crate) async fn run(shared: &Shared) {
    let Some(open) = &shared.store else { return };
    let store = loop {
        match open() {
            Ok(store) => break store,
            Err(error) => hold(shared, &error),
        }
        tokio::select! {
            () = tokio::time::sleep(MOST) => {}
            () = shared.stopping() => return,
        }
    };
    let mut backoff = Backoff::default();
    let mut pause: Option<Instant> = None;
    let mut probing = false;
    let mut paced: Option<Instant> = None;
    let mut folds: FuturesUnordered<LocalBoxFuture<'_, _>> = FuturesUnordered::new();
    let mut poll = Poll::new(&shared.control.wake);
    let mut buf = Vec::new();
    loop {
        let woken = poll.woken();
        if paced.is_none() {
            shared.refresh(poll.interval());
        }
        if pause.is_some_and(|until| until <= Instant::now()) {
            pause = None;
        }
        if paced.is_some_and(|until| until <= Instant::now()) || shared.linger().is_zero() {
            paced = None;
        }
        let mut found = paced.is_some();
        while pause.is_none() && paced.is_none() && folds.len() < if probing { 1 } else { FOLDS } {
            let Some(fold) = collect(shared, probing, &mut buf) else {
                break;
            };
            found = true;
            if !fold.full() {
                paced = Some(Instant::now() + PACE.min(shared.linger()));
            }
            folds.push(apply(store.clone(), fold).boxed_local());
        }
        if shared.stop_now(|| folds.is_empty() && !found) {
            return;
        }
        let wait = poll.next(found);
        let wait = pause.or(paced).map_or(wait, |until| {
            until.saturating_duration_since(Instant::now())
        });
        tokio::select! {
            biased;
            Some((fold, result)) = folds.next() => {
                poll.busy();
                match result {
                    Ok(()) => {
                        backoff.reset();
                        (probing, pause) = (false, None);
                        folded(shared, &fold);
                    }
                    Err(error) => {
                        probing = true;
                        if pause.is_none() {
                            pause = Some(Instant::now() + backoff.next(MOST));
                        }
                        hold(shared, &error);
                        let mut registry = shared.registry.borrow_mut();
                        for (key, start, end) in fold.spans {
                            if let Some(entry) = registry.entries.get_mut(&key) {
                                let start = start.max(entry.state.cursor());
                                entry.lanes.gap(start, end);
                            }
                        }
                    }
                }
            }
            () = woken, if pause.or(paced).is_none() => poll.busy(),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn apply(store: Arc<dyn StateStore>, fold: Fold) -> (Fold, Result<(), StateError>) {
    // Lines that change no state need no store.
    let result = match fold.batch.is_empty() {
        true => Ok(()),
        false => store.fold(&fold.batch).await,
    };
    (fold, result)
}

fn hold(shared: &Shared, error: &StateError) {
    let mut status = shared.status.borrow_mut();
    let problem = status.problem(&format!("state: {error}"));
    let told = &mut status.state;
    told.last_error = Some(problem.clone());
    match &mut told.hold {
        Some(hold) => hold.what = problem.what,
        none => {
            tracing::warn!(%error, "the write-through is held");
            *none = Some(problem);
        }
    }
}

fn folded(shared: &Shared, fold: &Fold) {
    let now = now();
    let mut status = shared.status.borrow_mut();
    status.state.hold = None;
    status.state.malformed += fold.malformed;
    for time in &fold.times {
        status.put_to_folded.add(now.saturating_sub(*time));
    }
    let mut registry = shared.registry.borrow_mut();
    for (key, start, end) in &fold.spans {
        if let Some(entry) = registry.entries.get_mut(key)
            && entry.state.complete(*start, *end)
            && let Err(error) = entry.advance(Cursor::State)
        {
            status.problem(&format!(
                "segment {}: moving its cursor: {error}",
                entry.file.id()
            ));
        }
    }
}

/// The next fold: fresh lanes, then gaps, the newest segment first.
fn collect(shared: &Shared, fresh_only: bool, buf: &mut Vec<u8>) -> Option<Fold> {
    let mut fold = Fold {
        batch: FoldBatch::new(),
        spans: Vec::new(),
        times: Vec::new(),
        bytes: 0,
        malformed: 0,
    };
    let mut registry = shared.registry.borrow_mut();
    let trouble = |entry: &Entry, error: io::Error| {
        shared.problem(&format!("segment {}: {error}", entry.file.id()));
    };
    for (key, entry) in registry.entries.iter_mut().rev() {
        let end = entry.end.map_or_else(|| entry.len(), |end| end.offset);
        if fold.full() || end <= entry.lanes.fresh.offset {
            continue;
        }
        if end - entry.lanes.fresh.offset > FRESH
            && let Err(error) = leave_behind(entry, buf)
        {
            trouble(entry, error);
            continue;
        }
        let from = entry.lanes.fresh;
        match read(*key, entry, from, None, &mut fold, buf) {
            Ok(to) => entry.lanes.fresh = to,
            Err(error) => trouble(entry, error),
        }
    }
    if !fresh_only || fold.spans.is_empty() {
        for (key, entry) in registry.entries.iter_mut().rev() {
            while !fold.full()
                && let Some((start, end)) = entry.lanes.gaps.pop()
            {
                match read(*key, entry, start, Some(end.offset), &mut fold, buf) {
                    // Nothing readable in it: whatever it was is no record.
                    Ok(to) if to == start => {
                        entry.state.complete(start, end);
                    }
                    Ok(to) => entry.lanes.gap(to, end),
                    Err(error) => {
                        entry.lanes.gap(start, end);
                        trouble(entry, error);
                        break;
                    }
                }
            }
        }
    }
    (!fold.spans.is_empty()).then_some(fold)
}

/// Turns what is unread into a gap, so that the fresh lane starts at the end.
fn leave_behind(entry: &mut Entry, buf: &mut Vec<u8>) -> io::Result<()> {
    let start = entry.lanes.fresh;
    let mut at = start;
    loop {
        let read = entry.file.read(at, buf, READ)?;
        at = read.next;
        if read.state != ReadState::More {
            break;
        }
    }
    entry.lanes.gap(start, at);
    entry.lanes.fresh = at;
    Ok(())
}

/// Adds lines from `from` on to the fold until it is full; answers where it got to.
fn read(
    key: Key,
    entry: &mut Entry,
    from: Position,
    bound: Option<u64>,
    fold: &mut Fold,
    buf: &mut Vec<u8>,
) -> io::Result<Position> {
    let mut at = from;
    loop {
        let read = entry.file.read(at, buf, READ)?;
        for record in &read.records {
            if fold.full() || bound.is_some_and(|bound| at.offset >= bound) {
                break;
            }
            let line = &buf[record.payload.clone()];
            fold.malformed += u64::from(fold.batch.push(line).is_err());
            fold.times.push(record.time);
            fold.bytes += line.len();
            at = record.after;
        }
        let all = read.records.last().is_none_or(|last| last.after == at);
        if all {
            at = read.next; // past a seal or damage as well
        }
        match read.state {
            ReadState::Torn { .. } => entry.end = Some(at),
            ReadState::Sealed if all => entry.end = Some(at),
            _ => {}
        }
        let enough = fold.full() || bound.is_some_and(|bound| at.offset >= bound);
        if enough || read.state != ReadState::More {
            break;
        }
    }
    if at != from {
        fold.spans.push((key, from, at));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stay_sorted_and_neighbours_become_one() {
        let at = |offset| Position { offset, count: 0 };
        let mut lanes = Lanes::new(at(0));
        for (start, end) in [(50, 60), (10, 20), (30, 40), (20, 30), (60, 70), (5, 5)] {
            lanes.gap(at(start), at(end));
        }
        assert_eq!(lanes.gaps, [(at(10), at(40)), (at(50), at(70))]);
        lanes.skip(at(35));
        assert_eq!(lanes.gaps, [(at(35), at(40)), (at(50), at(70))]);
        assert_eq!(lanes.fresh, at(35));
    }
}
