//! Spool to Firehose: fills calls, keeps several in flight, and turns what
//! they answer into offsets.
//!
//! Each delivery stream has its own pace: one that is held, throttled or
//! refused backs off alone and keeps nothing in memory meanwhile. While a
//! stream is in trouble it makes one call at a time, and the first that
//! succeeds sets it free.

use crate::pack::{Limits, Packer, Record, encoded};
use crate::put::{PutBatch, PutError, RecordError};
use crate::retry::{self, Backoff};
use crate::sender::Shared;
use crate::sender::examine::{self, Examined};
use crate::sender::poll::Poll;
use crate::sender::registry::{Entry, Key};
use crate::status::now;
use exam_spool::{Cursor, ReadState};
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes read at a time; what a call has no room for is read again by the next.
const READ: usize = 128 * 1024;
/// While records linger: how often to look whether they fill a call by now.
const LOOK: Duration = Duration::from_millis(20);
/// Without a client (no region, a bad endpoint) another is asked for this often.
const NO_CLIENT: Duration = Duration::from_secs(1);

type Batch = Vec<Record<Key>>;

enum Answer {
    Put(Result<Vec<Option<RecordError>>, PutError>),
    Examined(Examined),
}

struct Done {
    stream: Arc<str>,
    batch: Batch,
    bytes: usize,
    answer: Answer,
}

#[derive(Default)]
struct Stream {
    backoff: Backoff,
    /// Nothing is sent before this.
    pause: Option<Instant>,
    /// In trouble: one call at a time.
    probing: bool,
    /// Waits for its calls to come back, to read again what they carried.
    rewind: bool,
    examining: bool,
    calls: usize,
    /// Records that were not taken, to be sent with the next call.
    resend: Batch,
    /// Since when something waits to be sent.
    waiting: Option<Instant>,
}

impl Stream {
    fn may_send(&mut self, now: Instant) -> bool {
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
        }
        let alone = !self.probing || self.calls == 0;
        self.pause.is_none() && alone && !self.rewind && !self.examining
    }
}

pub(crate) struct Delivery<'a> {
    shared: &'a Shared,
    put: Arc<dyn PutBatch>,
    streams: HashMap<Arc<str>, Stream>,
    calls: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    in_flight: usize,
    limits: Limits,
    buf: Vec<u8>,
}

/// Runs until the sender stops.
pub(crate) async fn run(shared: &Shared) {
    let put = loop {
        match (shared.client)() {
            Ok(put) => break put,
            Err(error) => shared.problem(&error),
        }
        tokio::select! {
            () = tokio::time::sleep(NO_CLIENT) => {}
            () = shared.stopping() => return,
        }
    };
    let config = &shared.config;
    let mut delivery = Delivery {
        shared,
        put,
        streams: HashMap::new(),
        calls: FuturesUnordered::new(),
        in_flight: 0,
        limits: Limits {
            aggregate_bytes: config.aggregate_bytes,
            call_bytes: config.call_bytes,
        },
        buf: Vec::new(),
    };
    let mut poll = Poll::new(&shared.control.wake);
    loop {
        let woken = poll.woken();
        shared.refresh(poll.interval());
        let filled = delivery.fill();
        if shared.stop_now(|| delivery.settled()) {
            return;
        }
        let pace = poll.next(filled.found);
        let wait = if filled.lingers { LOOK } else { pace }.min(filled.wait);
        tokio::select! {
            biased;
            Some(done) = delivery.calls.next() => {
                delivery.done(done);
                while let Some(Some(done)) = delivery.calls.next().now_or_never() {
                    delivery.done(done);
                }
                poll.busy();
            }
            () = woken => poll.busy(),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Filled {
    /// Something was sent, or lingers to be.
    found: bool,
    /// Something lingers.
    lingers: bool,
    /// At the latest after this, something has to be done.
    wait: Duration,
}

impl Delivery<'_> {
    /// Nothing is under way, and nothing that could be sent is left.
    fn settled(&mut self) -> bool {
        let now = Instant::now();
        let mut registry = self.shared.registry.borrow_mut();
        self.calls.is_empty()
            && registry.entries.values_mut().all(|entry| {
                entry.unread() == 0
                    || self
                        .streams
                        .get_mut(&entry.stream)
                        .is_some_and(|s| s.probing || !s.may_send(now))
            })
    }

    /// Starts as many calls as there is reason and room for.
    fn fill(&mut self) -> Filled {
        let now = Instant::now();
        let mut filled = Filled {
            found: false,
            lingers: false,
            wait: Duration::MAX,
        };
        let mut unread: HashMap<Arc<str>, u64> = HashMap::new();
        for entry in self.shared.registry.borrow_mut().entries.values_mut() {
            let bytes = entry.unread();
            if bytes > 0 {
                *unread.entry(entry.stream.clone()).or_default() += bytes;
            }
        }
        for name in unread.keys() {
            if !self.streams.contains_key(name) {
                self.streams.insert(name.clone(), Stream::default());
            }
        }
        let names: Vec<Arc<str>> = self.streams.keys().cloned().collect();
        for name in names {
            let mut unread = unread.get(&name).copied().unwrap_or(0);
            while let Some(stream) = self.streams.get_mut(&name) {
                if unread == 0 && stream.resend.is_empty() {
                    stream.waiting = None;
                    break;
                }
                if !stream.may_send(now) {
                    if let Some(until) = stream.pause {
                        filled.wait = filled.wait.min(until - now);
                    }
                    break;
                }
                // A stream with nothing under way gets a call of its own even
                // where others, whose calls hang, fill the window.
                let window =
                    self.shared.config.max_in_flight * if stream.calls == 0 { 2 } else { 1 };
                if self.in_flight > 0 && self.in_flight + self.limits.call_bytes > window {
                    break;
                }
                // A full call goes at once, a smaller one when it has lingered.
                let full = unread as usize * 4 / 3 >= self.limits.call_bytes;
                let waited = now - *stream.waiting.get_or_insert(now);
                let linger = self.shared.linger();
                if !full && stream.resend.is_empty() && waited < linger {
                    (filled.found, filled.lingers) = (true, true);
                    filled.wait = filled.wait.min(linger - waited);
                    break;
                }
                let batch = self.pack(&name);
                let Some(stream) = self.streams.get_mut(&name) else {
                    break;
                };
                stream.waiting = None;
                if batch.is_empty() {
                    break;
                }
                let bytes: usize = batch.iter().map(|r| encoded(r.body.len())).sum();
                stream.calls += 1;
                self.in_flight += bytes;
                filled.found = true;
                self.call(name.clone(), batch, bytes);
                if !full {
                    break;
                }
                unread = unread.saturating_sub(bytes as u64);
            }
        }
        filled
    }

    /// One call's records: those to be sent again, then new lines.
    fn pack(&mut self, name: &Arc<str>) -> Batch {
        let resend = self
            .streams
            .get_mut(name)
            .map(|s| std::mem::take(&mut s.resend))
            .unwrap_or_default();
        let mut packer = Packer::resume(self.limits, resend);
        let mut registry = self.shared.registry.borrow_mut();
        for (key, entry) in &mut registry.entries {
            if entry.stream != *name || entry.unread() == 0 {
                continue;
            }
            match pack_segment(*key, entry, &mut packer, &mut self.buf) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self
                    .shared
                    .problem(&format!("segment {}: {error}", entry.file.id())),
            }
        }
        packer.finish()
    }

    fn call(&mut self, stream: Arc<str>, batch: Batch, bytes: usize) {
        let put = self.put.clone();
        let bodies = batch.iter().map(|r| r.body.clone()).collect();
        self.calls.push(
            async move {
                let answer = Answer::Put(put.put(&stream, bodies).await);
                Done {
                    stream,
                    batch,
                    bytes,
                    answer,
                }
            }
            .boxed_local(),
        );
    }

    fn done(&mut self, done: Done) {
        let Done {
            stream: name,
            batch,
            bytes,
            answer,
        } = done;
        if let Answer::Put(Err(PutError::Refused(why))) = &answer
            && let Some(stream) = self.streams.get_mut(&name)
            && !stream.examining
            && !stream.rewind
        {
            // Keeps its place in the window, and the stream to itself.
            stream.examining = true;
            let (put, why) = (self.put.clone(), why.clone());
            self.calls.push(
                async move {
                    let examined = examine::run(&*put, &name, &batch, &why).await;
                    Done {
                        stream: name,
                        batch,
                        bytes,
                        answer: Answer::Examined(examined),
                    }
                }
                .boxed_local(),
            );
            return;
        }
        self.in_flight -= bytes;
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.calls -= 1;
        }
        match answer {
            Answer::Put(Ok(entries)) => self.answered(&name, batch, &entries),
            Answer::Put(Err(error)) => self.failed(&name, error),
            Answer::Examined(examined) => self.examined(&name, batch, examined),
        }
        let mut registry = self.shared.registry.borrow_mut();
        if let Some(stream) = self.streams.get_mut(&name)
            && stream.rewind
            && stream.calls == 0
        {
            stream.rewind = false;
            stream.resend.clear();
            registry
                .entries
                .values_mut()
                .filter(|entry| entry.stream == name)
                .for_each(|entry| entry.delivery.rewind());
        }
    }

    /// The call was accepted: what was taken is delivered, the rest goes again.
    fn answered(&mut self, name: &Arc<str>, batch: Batch, entries: &[Option<RecordError>]) {
        let mut failed = Vec::new();
        let mut taken = Vec::new();
        let mut why = None;
        for (record, entry) in batch.into_iter().zip(entries) {
            match entry {
                None => taken.push(record),
                Some(error) => {
                    failed.push(record);
                    why.get_or_insert(error);
                }
            }
        }
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        let mut status = self.shared.status.borrow_mut();
        if let Some(error) = why {
            let lines: u64 = failed.iter().map(|r| r.times.len() as u64).sum();
            status.retried += lines;
            let problem = status.problem(&format!("{name}: {lines} lines not taken: {error}"));
            let told = status.stream(name);
            told.retried += lines;
            told.last_error = Some(problem.clone());
            if taken.is_empty() {
                stream.probing = true;
                told.hold.get_or_insert(problem);
            } else {
                // Some went: it is not an outage, the wait stays short.
                stream.backoff.reset();
            }
            stream.pause = Some(Instant::now() + stream.backoff.next(retry::MOST));
            if stream.probing {
                stream.rewind = true;
            } else {
                stream.resend.extend(failed);
            }
        } else {
            stream.backoff.reset();
            stream.pause = None;
        }
        if !taken.is_empty() {
            stream.probing = false;
            status.stream(name).hold = None;
        }
        drop(status);
        self.delivered(name, &taken);
    }

    /// The whole call failed: forget it, and read its lines again when it is time.
    fn failed(&mut self, name: &Arc<str>, error: PutError) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        stream.rewind = true;
        // Calls that were in flight together fail together: that is one failure.
        if stream.pause.is_none() {
            stream.pause = Some(Instant::now() + stream.backoff.next(retry::most(&error)));
        }
        stream.probing = true;
        let mut status = self.shared.status.borrow_mut();
        let problem = status.problem(&format!("{name}: {error}"));
        let told = status.stream(name);
        told.last_error = Some(problem.clone());
        match &mut told.hold {
            Some(hold) => hold.what = problem.what,
            none => {
                // Once per hold: it may last for hours, and is tried again each few seconds.
                tracing::warn!(stream = %name, %error, "delivery is held");
                *none = Some(problem);
            }
        }
    }

    fn examined(&mut self, name: &Arc<str>, batch: Batch, examined: Examined) {
        let Examined {
            decided,
            refused,
            error,
        } = examined;
        if let Some(stream) = self.streams.get_mut(name) {
            stream.examining = false;
            stream.rewind = true; // whatever was not decided is read again
        }
        if !refused.is_empty() {
            let lines: Vec<&[u8]> = refused.iter().map(|(line, _)| &line[..]).collect();
            let why = refused.first().map_or("", |(_, why)| why);
            tracing::error!(stream = %name, lines = lines.len(), why, "quarantined: the stream refuses these while it accepts others");
            if let Err(failure) = self.shared.spool.quarantine(name, &lines, why) {
                self.failed(
                    name,
                    PutError::Held(format!("cannot quarantine: {failure}")),
                );
                return;
            }
            let mut status = self.shared.status.borrow_mut();
            status.quarantined += lines.len() as u64;
            let problem =
                status.problem(&format!("{name}: {} lines quarantined: {why}", lines.len()));
            let told = status.stream(name);
            told.quarantined += lines.len() as u64;
            told.last_error = Some(problem);
        }
        let any = decided.iter().any(|d| *d);
        let done: Batch = batch
            .into_iter()
            .zip(decided)
            .filter_map(|(record, decided)| decided.then_some(record))
            .collect();
        self.delivered(name, &done);
        {
            let mut status = self.shared.status.borrow_mut();
            let told = status.stream(name);
            told.delivered = told.delivered.saturating_sub(refused.len() as u64);
        }
        match error {
            Some(error) => self.failed(name, error),
            None => {
                if let Some(stream) = self.streams.get_mut(name) {
                    stream.backoff.reset();
                    stream.probing &= !any;
                    stream.pause = None;
                }
                self.shared.status.borrow_mut().stream(name).hold = None;
            }
        }
    }

    /// Moves the cursors past what these records carried.
    fn delivered(&mut self, name: &Arc<str>, records: &[Record<Key>]) {
        if records.is_empty() {
            return;
        }
        let now = now();
        let mut status = self.shared.status.borrow_mut();
        let mut registry = self.shared.registry.borrow_mut();
        let mut moved = Vec::new();
        for record in records {
            for time in &record.times {
                status.put_to_delivered.add(now.saturating_sub(*time));
            }
            status.stream(name).delivered += record.times.len() as u64;
            for span in &record.spans {
                if let Some(entry) = registry.entries.get_mut(&span.segment)
                    && entry.delivery.complete(span.start, span.end)
                    && !moved.contains(&span.segment)
                {
                    moved.push(span.segment);
                }
            }
        }
        for key in moved {
            let Some(entry) = registry.entries.get_mut(&key) else {
                continue;
            };
            let mut advanced = entry.advance(Cursor::Delivery);
            if self.shared.store.is_none() {
                // Nobody folds: a delivered line is done with.
                entry.state.skip(entry.delivery.cursor());
                advanced = advanced.and_then(|()| entry.advance(Cursor::State));
            }
            if let Err(error) = advanced {
                status.problem(&format!(
                    "segment {}: moving its cursor: {error}",
                    entry.file.id()
                ));
            }
        }
    }
}

/// Packs what is unread; `false` when the call is full.
fn pack_segment(
    key: Key,
    entry: &mut Entry,
    packer: &mut Packer<Key>,
    buf: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        let (from, bound) = entry.delivery.next();
        let read = entry.file.read(from, buf, READ)?;
        let mut at = from;
        let mut stopped = false;
        for record in &read.records {
            if bound.is_some_and(|bound| at.offset >= bound) {
                stopped = true;
                break;
            }
            if !packer.push(
                key,
                at,
                record.after,
                record.time,
                &buf[record.payload.clone()],
            ) {
                entry.delivery.taken(at);
                return Ok(false);
            }
            at = record.after;
        }
        if stopped {
            entry.delivery.taken(at);
            continue;
        }
        entry.delivery.taken(read.next);
        if at != read.next {
            // A seal, or damage passed over: nothing to wait for.
            entry.delivery.complete(at, read.next);
        }
        match read.state {
            ReadState::More => {}
            ReadState::Wait => return Ok(true),
            ReadState::Sealed => {
                entry.end = Some(read.next);
                return Ok(true);
            }
            ReadState::Torn { .. } => {
                entry.end = Some(from);
                return Ok(true);
            }
        }
    }
}
