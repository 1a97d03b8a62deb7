//! Slices of event time: which events they need, when they are run, when once more.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::TimestampMillisecondType;

use super::output::{Checkpoint, Output, Progress, lines};
use super::reader::Read;
use super::signals;
use crate::buffer::{Buffer, PANE, sorted, times};
use crate::dialect::{Millis, Shape};
use crate::engine::{EngineError, Prepared};
use crate::events::{self, Projection, TIME};
use crate::json::{time, write_lines};
use crate::source::EventSource;

/// Results that wait for a commit, at most.
const PENDING: usize = 8 << 20;
/// An event later than this after the clock has a wrong time.
const AHEAD: Millis = 3_600_000;
/// Events that tell whose clock is wrong, at most; before there are any, this machine's is right.
const WITNESSES: u64 = 2_000;
const TRUST: u64 = 200;
/// Slices are run again when no late event has come for so long …
const SETTLED: Duration = Duration::from_secs(5);
/// … or after this.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time whose events are read again at once.
const RANGE: Millis = 3_600_000;

pub struct Settings {
    pub lateness: Millis,
    pub memory: usize,
    pub restate: bool,
}

/// A query that runs.
pub struct Running {
    name: String,
    signal: Option<String>,
    prepared: Box<dyn Prepared>,
    projection: Projection,
    shape: Shape,
    /// Of the last slice, or for good.
    error: Option<String>,
    ended: bool,
}

impl Running {
    pub fn new(name: String, signal: Option<String>, prepared: Box<dyn Prepared>) -> Self {
        Running {
            projection: Projection::new(prepared.columns().iter().copied()),
            shape: prepared.shape(),
            name,
            signal,
            prepared,
            error: None,
            ended: false,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The rows of a slice as JSON objects, each left open at its end.
    fn rows(&self, events: Vec<RecordBatch>, end: Millis) -> Result<Vec<String>, EngineError> {
        let results = self.prepared.run(events, end)?;
        // By it a restatement is found: it can only be what it says it is.
        if let Some(column) = results.column_by_name("window_end")
            && let Some(times) = column.as_primitive_opt::<TimestampMillisecondType>()
            && times.iter().any(|time| time != Some(end))
        {
            let reason = "its column window_end is not the end of the window: name it otherwise";
            return Err(EngineError::Query(reason.into()));
        }
        let wrong = |error: &dyn std::fmt::Display| EngineError::Query(error.to_string());
        let mut text = Vec::new();
        write_lines(&results, &mut text).map_err(|e| wrong(&e))?;
        let text = String::from_utf8(text).map_err(|e| wrong(&e))?;
        let named = results
            .schema()
            .column_with_name("window_end")
            .is_some_and(|(_, f)| *f.data_type() == TIME);
        let row = |line: &str| {
            let mut row = line.strip_suffix('}').unwrap_or(line).to_owned();
            if !named {
                let comma = if row == "{" { "" } else { "," };
                row.push_str(&format!("{comma}\"window_end\":\"{}\"", time(end)));
            }
            row
        };
        Ok(text.lines().map(row).collect())
    }
}

/// What time it is, which no event may say alone: one host whose clock is fast would close the
/// windows of all others. Unless most of what arrives is later than this machine's clock: then
/// that one is slow, or an exam is replayed faster than it was.
#[derive(Default)]
struct Clock {
    events: u64,
    ahead: u64,
}

impl Clock {
    /// Takes note of some events, and tells the time.
    fn now(&mut self, times: impl Iterator<Item = Millis>, latest: Option<Millis>) -> Millis {
        let machine = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let machine = machine.as_millis() as Millis;
        for ts in times {
            self.events += 1;
            self.ahead += u64::from(ts > machine);
        }
        if self.events > WITNESSES {
            (self.events, self.ahead) = (self.events / 2, self.ahead / 2);
        }
        match latest {
            Some(latest) if self.ahead * 2 > self.events + TRUST => machine.max(latest),
            _ => machine,
        }
    }
}

pub struct Windows {
    settings: Settings,
    clock: Clock,
    queries: BTreeMap<String, Running>,
    buffer: Buffer,
    /// Events before this are not kept any more.
    from: Millis,
    projection: Option<Projection>,
    /// Positions that were counted already when reading began.
    counted: BTreeMap<String, u64>,
    /// The first and the last of the late events that wait for restatement.
    late: Option<(Instant, Instant)>,
    forced: u64,
}

impl Windows {
    pub fn new(settings: Settings) -> Self {
        Windows {
            settings,
            clock: Clock::default(),
            queries: BTreeMap::new(),
            buffer: Buffer::default(),
            from: Millis::MIN,
            projection: None,
            counted: BTreeMap::new(),
            late: None,
            forced: 0,
        }
    }

    pub fn started(&self) -> bool {
        self.projection.is_some()
    }

    pub fn runs(&self, name: &str) -> bool {
        self.queries.contains_key(name)
    }

    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.queries.values()
    }

    /// Events and bytes held, and how often the limit forced the watermark.
    pub fn memory(&self) -> (usize, usize, u64) {
        (self.buffer.rows(), self.buffer.bytes(), self.forced)
    }

    /// Adds or replaces a query. One that is new to a stream that is under way begins with the
    /// first slice that ends after the watermark.
    pub fn put(&mut self, query: Running, checkpoint: &mut Checkpoint) {
        let step = query.shape.step();
        let align = |at: Millis| at.div_euclid(step) * step;
        let watermark = checkpoint.watermark;
        let progress = checkpoint
            .queries
            .entry(query.name.clone())
            .or_insert_with(|| Progress {
                closed: watermark.map(align),
                since: watermark.map(align),
                ..Progress::default()
            });
        // Replaced, it may have slices of another length.
        progress.closed = progress.closed.map(align);
        progress.dirty.retain(|end| end % step == 0);
        if !progress.dirty.is_empty() {
            self.late.get_or_insert((Instant::now(), Instant::now()));
        }
        self.queries.insert(query.name.clone(), query);
    }

    pub fn remove(&mut self, name: &str) -> bool {
        self.queries.remove(name).is_some()
    }

    /// Where reading must begin again, and with which columns; `None` if what is held will do.
    pub fn restart(
        &mut self,
        checkpoint: &Checkpoint,
        first: bool,
    ) -> Option<(Millis, Projection)> {
        let columns = self
            .queries
            .values()
            .flat_map(|q| q.projection.columns().iter().copied());
        let projection = Projection::new(columns);
        let from = self.horizon(checkpoint);
        let covered = self
            .projection
            .as_ref()
            .is_some_and(|held| held.covers(&projection));
        if covered && from >= self.from && !first {
            return None;
        }
        self.buffer.clear();
        self.from = from;
        self.counted = checkpoint.positions.clone();
        self.projection = Some(projection.clone());
        Some((from, projection))
    }

    /// What open slices need reaches back to here.
    fn horizon(&self, checkpoint: &Checkpoint) -> Millis {
        let open = |query: &Running| {
            let closed = closed(query, checkpoint)?;
            Some(query.shape.needs(closed + query.shape.step()).0)
        };
        let needs = self.queries.values().filter(|q| !q.ended).map(open);
        needs
            .map(|from| from.unwrap_or(Millis::MIN))
            .min()
            .or(checkpoint.watermark)
            .unwrap_or(Millis::MIN)
    }

    /// Takes what was read, counts it, and moves the watermark.
    pub fn add(
        &mut self,
        read: &Read,
        checkpoint: &mut Checkpoint,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let counted = self.counted.get(&*read.part).copied().unwrap_or(0);
        let times = read.pieces.iter().flat_map(|(_, rows)| &rows.ts).copied();
        let clock = self.clock.now(times, checkpoint.latest);
        let limit = clock + AHEAD;
        let open: Vec<(String, Shape, Millis)> = self
            .queries
            .values()
            .filter_map(|q| Some((q.name.clone(), q.shape, closed(q, checkpoint)?)))
            .collect();
        let latest_closed = open
            .iter()
            .map(|(_, _, closed)| *closed)
            .max()
            .unwrap_or(Millis::MIN);
        let mut latest = checkpoint.latest;
        for (base, rows) in &read.pieces {
            let mut keep = Vec::with_capacity(rows.ts.len());
            for (row, (&ts, &id)) in rows.ts.iter().zip(&rows.ids).enumerate() {
                let place = rows.lines[row];
                let new = read.offset + (*base as u64) + u64::from(place.0) >= counted;
                let line = || {
                    let start = base + place.0 as usize;
                    String::from_utf8_lossy(&read.text[start..start + place.1 as usize])
                };
                if ts > limit {
                    if new {
                        checkpoint.counts.ahead += 1;
                        output.push(
                            "_late",
                            ts,
                            &format!("{{\"ahead\":true,\"record\":{}}}\n", line()),
                        );
                    }
                    continue;
                }
                let first = self.buffer.note(ts, id);
                if new {
                    match first {
                        true => checkpoint.counts.events += 1,
                        false => checkpoint.counts.duplicates += 1,
                    }
                }
                if !first {
                    continue;
                }
                if ts >= self.from {
                    keep.push(row as u32);
                }
                latest = latest.max(Some(ts));
                if new && ts < latest_closed {
                    let mut names = Vec::new();
                    for (name, shape, closed) in &open {
                        let (first, last) = shape.ends(ts);
                        let Some(progress) = checkpoint.queries.get_mut(name) else {
                            continue;
                        };
                        if ts >= *closed || progress.since.is_some_and(|since| last <= since) {
                            continue;
                        }
                        names.push(name.as_str());
                        progress.late += 1;
                        if self.settings.restate {
                            let first =
                                first.max(progress.since.map_or(first, |s| s + shape.step()));
                            let ends = (first..=last.min(*closed)).step_by(shape.step() as usize);
                            progress.dirty.extend(ends);
                        }
                    }
                    if !names.is_empty() {
                        checkpoint.counts.late += 1;
                        let now = Instant::now();
                        self.late = Some((self.late.map_or(now, |late| late.0), now));
                        let names = serde_json::to_string(&names)?;
                        output.push(
                            "_late",
                            ts,
                            &format!("{{\"late_for\":{names},\"record\":{}}}\n", line()),
                        );
                    }
                }
            }
            self.buffer.add(rows, &keep)?;
            if read.offset + *base as u64 >= counted {
                checkpoint.counts.skipped += rows.skipped;
            }
        }
        let end = read.offset + read.text.len() as u64;
        let position = checkpoint
            .positions
            .entry(read.part.to_string())
            .or_default();
        *position = (*position).max(end);
        checkpoint.latest = latest;
        if let Some(latest) = latest {
            let reached = read.behind.map_or(latest, |behind| behind.min(latest));
            let clock = self.clock.now([].into_iter(), Some(latest));
            self.advance(reached.min(clock) - self.settings.lateness, checkpoint);
        }
        Ok(())
    }

    /// All there is has been read, and nothing was written for a while.
    pub fn idle(&mut self, silence: Option<Duration>, checkpoint: &mut Checkpoint) {
        if let Some(latest) = checkpoint.latest {
            let silence = silence.map_or(0, |silence| silence.as_millis() as Millis);
            let clock = self.clock.now([].into_iter(), Some(latest + silence));
            let reached = (latest + silence).min(clock);
            self.advance(reached - self.settings.lateness, checkpoint);
        }
    }

    fn advance(&mut self, to: Millis, checkpoint: &mut Checkpoint) {
        checkpoint.watermark = checkpoint.watermark.max(Some(to));
    }

    /// True while more is held than may be.
    pub fn full(&self) -> bool {
        self.buffer.bytes() > self.settings.memory
    }

    /// Moves the watermark ahead of time, so that less need be held; then ends the query that
    /// reaches back furthest. False if nothing helps.
    pub fn force(&mut self, checkpoint: &mut Checkpoint) -> bool {
        let earliest = self.buffer.earliest().unwrap_or(Millis::MAX - PANE);
        let next = checkpoint.watermark.map_or(earliest, |at| at.max(earliest)) + PANE;
        if checkpoint.latest.is_some_and(|latest| next <= latest) {
            self.forced += 1;
            self.advance(next, checkpoint);
            return true;
        }
        let reach = |query: &Running| {
            let (from, to) = query.shape.needs(0);
            to - from
        };
        let running = self.queries.values_mut().filter(|query| !query.ended);
        let Some(query) = running.max_by_key(|query| reach(query)) else {
            return false;
        };
        query.ended = true;
        let reason = "the events of one of its windows need more than --memory: it is ended";
        tracing::error!(query = query.name, "{reason}");
        query.error = Some(reason.into());
        true
    }

    /// Runs the slices that the watermark has passed; with `all`, every slice that has events.
    /// True if results wait: commit them and call again.
    pub fn close(
        &mut self,
        all: bool,
        checkpoint: &mut Checkpoint,
        output: &mut Output,
    ) -> anyhow::Result<bool> {
        let (Some(watermark), Some(latest)) = (checkpoint.watermark, checkpoint.latest) else {
            return Ok(false);
        };
        for query in self.queries.values_mut() {
            let Some(progress) = checkpoint.queries.get_mut(&query.name) else {
                continue;
            };
            let (shape, step) = (query.shape, query.shape.step());
            let limit = match (all, shape) {
                (true, _) => shape.ends(latest).1,
                (_, Shape::Rows { ahead, .. }) => (watermark - ahead).div_euclid(step) * step,
                (_, Shape::Windows { .. }) => watermark.div_euclid(step) * step,
            };
            let mut closed = match (progress.closed, self.buffer.earliest()) {
                (Some(closed), _) => closed,
                (None, Some(earliest)) => (shape.ends(earliest).0 - step).min(limit),
                (None, None) => continue,
            };
            while closed < limit && !query.ended {
                let end = closed + step;
                let (from, to) = shape.needs(end);
                match self.buffer.first(from) {
                    None => {
                        closed = limit;
                        break;
                    }
                    // Nothing for a while: on to the first slice that has events.
                    Some(first) if first >= to => {
                        closed = (shape.ends(first).0 - step).min(limit);
                        continue;
                    }
                    Some(_) => {}
                }
                let events = self.buffer.between(from, to)?;
                if !events.is_empty() {
                    match query.rows(events, end) {
                        Ok(rows) => emit(query, progress, output, &rows, end, 0),
                        Err(error) => failed(query, progress, end, &error),
                    }
                }
                closed = end;
                if output.pending() > PENDING {
                    break;
                }
            }
            progress.closed = Some(closed);
            if output.pending() > PENDING {
                return Ok(true);
            }
        }
        let horizon = self.horizon(checkpoint);
        if horizon > self.from {
            self.from = horizon;
            self.buffer.evict(horizon);
        }
        Ok(output.pending() > 0)
    }

    /// Runs slices again that late events belong to, once these have stopped coming. True if
    /// there are more: commit and call again.
    pub fn restate(
        &mut self,
        now: bool,
        history: &dyn EventSource,
        checkpoint: &mut Checkpoint,
        output: &mut Output,
    ) -> anyhow::Result<bool> {
        let Some((first, last)) = self.late else {
            return Ok(false);
        };
        if !now && last.elapsed() < SETTLED && first.elapsed() < PATIENCE {
            return Ok(false);
        }
        for query in self.queries.values_mut() {
            let Some(progress) = checkpoint.queries.get_mut(&query.name) else {
                continue;
            };
            let Some(&first) = progress.dirty.first() else {
                continue;
            };
            let shape = query.shape;
            let (from, to) = shape.needs(first);
            let to = to.max(from + RANGE);
            let ends: Vec<Millis> = progress
                .dirty
                .iter()
                .copied()
                .take_while(|end| shape.needs(*end).1 <= to)
                .collect();
            let to = shape.needs(ends.last().copied().unwrap_or(first)).1;
            let events = match read_again(history, &query.projection, from, to) {
                Err(error) if !now => {
                    tracing::warn!("late events wait: reading cold storage again: {error:#}");
                    self.late = Some((Instant::now(), Instant::now()));
                    return Ok(false);
                }
                read => read.context("reading cold storage again for late events")?,
            };
            let ts = times(&events);
            for end in ends {
                let (from, to) = shape.needs(end);
                let (start, stop) = (
                    ts.partition_point(|t| *t < from),
                    ts.partition_point(|t| *t < to),
                );
                let rows = match stop > start {
                    true => query.rows(vec![events.slice(start, stop - start)], end),
                    false => Ok(Vec::new()),
                };
                match rows {
                    Ok(rows) => {
                        let (revision, before) = output.written(&query.name, end)?;
                        if rows != before {
                            progress.restated += 1;
                            emit(query, progress, output, &rows, end, revision + 1);
                        }
                    }
                    Err(error) => failed(query, progress, end, &error),
                }
                progress.dirty.remove(&end);
            }
            return Ok(true);
        }
        self.late = None;
        Ok(false)
    }
}

fn closed(query: &Running, checkpoint: &Checkpoint) -> Option<Millis> {
    checkpoint.queries.get(&query.name)?.closed
}

fn emit(
    query: &mut Running,
    progress: &mut Progress,
    output: &mut Output,
    rows: &[String],
    end: Millis,
    revision: u64,
) {
    query.error = None;
    progress.windows += 1;
    progress.rows += rows.len() as u64;
    output.push(&query.name, end, &lines(rows, end, revision));
    if let Some(signal) = &query.signal {
        let records = rows
            .iter()
            .filter_map(|row| signals::record(signal, &format!("{row}}}"), end, revision));
        records.for_each(|record| output.push_signal(record));
    }
}

fn failed(query: &mut Running, progress: &mut Progress, end: Millis, error: &EngineError) {
    progress.failed += 1;
    let error = error.to_string();
    if query.error.as_ref() != Some(&error) {
        tracing::error!(query = query.name, window_end = time(end), "{error}");
    }
    query.error = Some(error);
}

/// The events of a time from cold storage, without repetitions, in order.
fn read_again(
    history: &dyn EventSource,
    projection: &Projection,
    from: Millis,
    to: Millis,
) -> anyhow::Result<RecordBatch> {
    let (mut ids, mut batches, mut wrong) = (HashSet::new(), Vec::new(), None);
    history.between(from, to, &mut |text| {
        for (_, rows) in events::read(text, projection) {
            let mut wanted = |row: &u32| {
                let row = *row as usize;
                (from..to).contains(&rows.ts[row]) && ids.insert(rows.ids[row])
            };
            let keep: Vec<u32> = (0..rows.ts.len() as u32)
                .filter(|row| wanted(row))
                .collect();
            match take_record_batch(&rows.batch, &UInt32Array::from(keep)) {
                Ok(batch) => batches.push(batch),
                Err(error) => wrong = Some(error),
            }
        }
    })?;
    if let Some(error) = wrong {
        return Err(error.into());
    }
    Ok(sorted(&concat_batches(projection.schema(), &batches)?)?)
}
