//! What a sender does beside sending: the status, syncing, deleting what is
//! done, and making room when the state store has been away too long.

use crate::sender::Shared;
use crate::status::{Status, StatusFile};
use exam_spool::{Cursor, Segment};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
const STATUS: Duration = Duration::from_millis(200);
const RECOUNT: Duration = Duration::from_secs(5);
/// Over this part of the limit the state cursor gives way (to delivery, which
/// never does) until usage is under it.
const NEARLY_FULL: f64 = 0.9;

/// Runs until it is dropped.
pub(crate) async fn run(shared: &Shared, mut file: Option<StatusFile>) {
    let mut told = Instant::now();
    let mut counted = Instant::now();
    let mut synced = Instant::now();
    let mut last = Status::default();
    let mut syncing: Option<tokio::task::JoinHandle<Vec<String>>> = None;
    loop {
        if let Err(error) = shared
            .registry
            .borrow_mut()
            .remove_done(shared.store.is_some())
        {
            shared.problem(&format!("deleting a segment: {error}"));
        }
        make_room(shared);
        if told.elapsed() >= STATUS {
            told = Instant::now();
            write(shared, &mut file, &mut last);
        }
        if syncing.as_ref().is_some_and(|task| task.is_finished())
            && let Some(Ok(errors)) = match syncing.take() {
                Some(task) => Some(task.await),
                None => None,
            }
        {
            errors.iter().for_each(|error| shared.problem(error));
        }
        if counted.elapsed() >= RECOUNT {
            counted = Instant::now();
            let spool = shared.spool.clone();
            tokio::task::spawn_blocking(move || spool.recount());
        }
        if let Some(every) = shared.config.sync
            && synced.elapsed() >= every
            && syncing.is_none()
        {
            synced = Instant::now();
            let files: Vec<Arc<Segment>> = shared
                .registry
                .borrow()
                .entries
                .values()
                .map(|entry| entry.file.clone())
                .collect();
            // On a thread of its own: a disk may take its time, sending may not.
            syncing = Some(tokio::task::spawn_blocking(move || {
                files
                    .iter()
                    .filter_map(|file| file.sync().err())
                    .map(|error| error.to_string())
                    .collect()
            }));
        }
        tokio::time::sleep(shared.config.sync.unwrap_or(TICK).min(TICK)).await;
    }
}

/// Nearly full, and only because records wait to be folded: skip those of the
/// oldest segments, which `rebuild` brings back.
fn make_room(shared: &Shared) {
    let usage = shared.spool.usage();
    let limit = (usage.limit as f64 * NEARLY_FULL) as u64;
    if shared.store.is_none() || usage.bytes <= limit {
        return;
    }
    let mut room = 0;
    for entry in shared.registry.borrow_mut().entries.values_mut() {
        if usage.bytes - room <= limit {
            break;
        }
        let (from, to) = (entry.state.cursor(), entry.delivery.cursor());
        if to.offset <= from.offset {
            continue;
        }
        if let Err(error) = entry.file.skip_state(to) {
            shared.problem(&format!(
                "segment {}: skipping the fold: {error}",
                entry.file.id()
            ));
            return;
        }
        let lines = to.count - from.count;
        tracing::error!(segment = %entry.file.id(), lines, "spool nearly full: left for rebuild to fold");
        shared.problem(&format!(
            "spool nearly full: {lines} lines are not folded; run exam-stream rebuild"
        ));
        entry.state.skip(to);
        entry.lanes.skip(to);
        room = (room + to.offset - from.offset).min(usage.bytes);
    }
}

pub(crate) fn write(shared: &Shared, file: &mut Option<StatusFile>, last: &mut Status) {
    let mut status = shared.status.borrow_mut();
    let oldest = |cursor: Cursor| {
        let registry = shared.registry.borrow();
        let behind = registry.entries.values().filter(|entry| {
            let at = match cursor {
                Cursor::Delivery => entry.delivery.cursor(),
                Cursor::State => entry.state.cursor(),
            };
            entry.end.map_or_else(|| entry.len(), |end| end.offset) > at.offset
        });
        behind
            .filter_map(|e| e.file.oldest(cursor).ok().flatten())
            .min()
    };
    status.oldest_undelivered = oldest(Cursor::Delivery);
    status.oldest_unfolded = shared.store.as_ref().and_then(|_| oldest(Cursor::State));
    status.written = last.written;
    const AT_LEAST: u64 = 1_000_000;
    if *status == *last && crate::status::now().saturating_sub(last.written) < AT_LEAST {
        return;
    }
    let written = match file {
        Some(file) => file.write(&mut status),
        None => StatusFile::open(&shared.spool).and_then(|mut opened| {
            opened.write(&mut status)?;
            *file = Some(opened);
            Ok(())
        }),
    };
    match written {
        Ok(()) => last.clone_from(&status),
        Err(error) => tracing::warn!(%error, "the status cannot be written"),
    }
}
