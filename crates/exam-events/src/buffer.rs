//! The events that windows may still need, in memory.
//!
//! Rows lie in panes of a minute of event time. A pane that is asked for is sorted by `ts` and the
//! hash of `id`, so a window's rows are in one order, whatever order they came in. An `id` is kept
//! with its pane, and `IDS_KEPT` longer than its rows: what a sender repeats after a time-out is
//! recognised.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{TimestampMillisecondType, UInt64Type};
use arrow::error::ArrowError;

use crate::Millis;
use crate::table::Rows;

pub const PANE: Millis = 60_000;
const IDS_KEPT: Millis = 10 * 60_000;
/// Batches of a pane that are joined into one: a quiet stream gives batches of a row each.
const BATCHES: usize = 64;

#[derive(Default)]
pub struct Buffer {
    panes: BTreeMap<i64, Pane>,
    ids: BTreeMap<i64, Ids>,
    /// Bytes of rows.
    bytes: usize,
    rows: usize,
}

#[derive(Default)]
struct Pane {
    batches: Vec<RecordBatch>,
    sorted: bool,
    bytes: usize,
    rows: usize,
}

/// The key is a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

type Ids = HashSet<u128, BuildHasherDefault<Identity>>;

impl Buffer {
    /// True if an `id` at this time is new.
    pub fn note(&mut self, ts: Millis, id: u128) -> bool {
        self.ids.entry(ts.div_euclid(PANE)).or_default().insert(id)
    }

    /// Takes the rows at these places, ascending.
    pub fn add(&mut self, rows: &Rows, keep: &[u32]) -> Result<(), ArrowError> {
        let Some(&first) = keep.first() else {
            return Ok(());
        };
        let pane_of = |row: u32| rows.ts[row as usize].div_euclid(PANE);
        if keep.len() == rows.ts.len() && keep.iter().all(|row| pane_of(*row) == pane_of(first)) {
            return self.add_batch(pane_of(first), rows.batch.clone());
        }
        let mut panes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for &row in keep {
            panes.entry(pane_of(row)).or_default().push(row);
        }
        for (pane, rows_of_pane) in panes {
            let batch = take_record_batch(&rows.batch, &UInt32Array::from(rows_of_pane))?;
            self.add_batch(pane, batch)?;
        }
        Ok(())
    }

    fn add_batch(&mut self, pane: i64, batch: RecordBatch) -> Result<(), ArrowError> {
        let pane = self.panes.entry(pane).or_default();
        let before = pane.bytes;
        pane.rows += batch.num_rows();
        self.rows += batch.num_rows();
        pane.bytes += batch.get_array_memory_size();
        pane.batches.push(batch);
        pane.sorted = false;
        if pane.batches.len() >= BATCHES {
            pane.join()?;
        }
        self.bytes = self.bytes + pane.bytes - before;
        Ok(())
    }

    /// The rows from one time to another (exclusive), sorted.
    pub fn between(&mut self, from: Millis, to: Millis) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut found = Vec::new();
        let panes = from.div_euclid(PANE)..=(to - 1).div_euclid(PANE);
        for pane in self.panes.range_mut(panes).map(|(_, pane)| pane) {
            let before = pane.bytes;
            pane.sort()?;
            self.bytes = self.bytes + pane.bytes - before;
            let Some(batch) = pane.batches.first() else {
                continue;
            };
            let ts = times(batch);
            let (first, last) = (
                ts.partition_point(|t| *t < from),
                ts.partition_point(|t| *t < to),
            );
            if last > first {
                found.push(batch.slice(first, last - first));
            }
        }
        Ok(found)
    }

    /// The time of the first row at or after `from`, to the pane.
    pub fn first(&self, from: Millis) -> Option<Millis> {
        let pane = self.panes.range(from.div_euclid(PANE)..).next()?;
        Some((pane.0 * PANE).max(from))
    }

    /// The time of the earliest row.
    pub fn earliest(&self) -> Option<Millis> {
        let (_, pane) = self.panes.first_key_value()?;
        pane.batches
            .iter()
            .flat_map(|batch| times(batch).iter().copied())
            .min()
    }

    /// Forgets what is before a time.
    pub fn evict(&mut self, before: Millis) {
        let pane = before.div_euclid(PANE);
        let kept = self.panes.split_off(&pane);
        for gone in std::mem::replace(&mut self.panes, kept).values() {
            self.bytes -= gone.bytes;
            self.rows -= gone.rows;
        }
        self.ids = self
            .ids
            .split_off(&(before.saturating_sub(IDS_KEPT)).div_euclid(PANE));
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory of rows and ids.
    pub fn bytes(&self) -> usize {
        // A set of 16-byte keys: one byte of its own each, filled to 7/8 at most.
        self.bytes
            + self
                .ids
                .values()
                .map(|ids| ids.capacity() * 18)
                .sum::<usize>()
    }
}

impl Pane {
    fn join(&mut self) -> Result<(), ArrowError> {
        if let [first, _, ..] = &self.batches[..] {
            let joined = concat_batches(&first.schema(), &self.batches)?;
            self.bytes = joined.get_array_memory_size();
            self.batches = vec![joined];
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<(), ArrowError> {
        if self.sorted {
            return Ok(());
        }
        self.join()?;
        if let Some(batch) = self.batches.first_mut() {
            *batch = sorted(batch)?;
            self.bytes = batch.get_array_memory_size();
        }
        self.sorted = true;
        Ok(())
    }
}

/// By `ts`, then by the hash of `id`.
pub fn sorted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys = batch
        .column(batch.num_columns() - 1)
        .as_primitive::<UInt64Type>()
        .values();
    let mut order: Vec<(Millis, u64, u32)> = (times(batch).iter().zip(keys).enumerate())
        .map(|(row, (ts, key))| (*ts, *key, row as u32))
        .collect();
    if order.is_sorted() {
        return Ok(batch.clone());
    }
    order.sort_unstable();
    let rows = order.into_iter().map(|(_, _, row)| row);
    take_record_batch(batch, &UInt32Array::from_iter_values(rows))
}

pub fn times(batch: &RecordBatch) -> &[Millis] {
    let column = batch.column_by_name("ts");
    column.map_or(&[], |ts| {
        ts.as_primitive::<TimestampMillisecondType>().values()
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::table::{Projection, read};

    fn rows(times: &[(i64, u32)]) -> Rows {
        let line = |(ts, id): &(i64, u32)| format!("{{\"v\":1,\"id\":{id},\"ts\":{ts}}}\n");
        let text: String = times.iter().map(line).collect();
        read(text.as_bytes(), &Projection::new([1])).remove(0).1
    }

    fn ids(batches: &[RecordBatch]) -> Vec<String> {
        let of = |batch: &RecordBatch| -> Vec<String> {
            let ids = batch.column(0).as_string::<i32>();
            (0..ids.len())
                .map(|row| ids.value(row).to_owned())
                .collect()
        };
        batches.iter().flat_map(of).collect()
    }

    #[test]
    fn rows_come_back_in_one_order_whatever_order_they_came_in() {
        let mut times: Vec<(i64, u32)> = (0..300).map(|n| (i64::from(n) / 3, n)).collect();
        let mut in_order = Buffer::default();
        in_order
            .add(&rows(&times), &(0..300).collect::<Vec<_>>())
            .unwrap();
        let mut backwards = Buffer::default();
        times.reverse();
        for piece in times.chunks(2) {
            backwards.add(&rows(piece), &[0, 1]).unwrap();
        }
        let expected = ids(&in_order.between(10_000, 70_000).unwrap());
        assert_eq!(expected.len(), 180);
        assert_eq!(ids(&backwards.between(10_000, 70_000).unwrap()), expected);
    }

    #[test]
    fn what_is_forgotten_is_not_counted_any_more() {
        let mut buffer = Buffer::default();
        let all = rows(&[(0, 1), (60, 2), (61, 3), (6_000, 4)]);
        buffer.add(&all, &[0, 1, 2, 3]).unwrap();
        assert_eq!((buffer.rows(), buffer.earliest()), (4, Some(0)));
        buffer.evict(119_000);
        assert_eq!((buffer.rows(), buffer.earliest()), (3, Some(60_000)));
        assert_eq!(buffer.first(130_000), Some(6_000_000));
        buffer.evict(i64::MAX);
        assert_eq!((buffer.rows(), buffer.bytes()), (0, 0));
    }

    #[test]
    fn an_id_is_known_for_ten_minutes_after_its_row() {
        let mut buffer = Buffer::default();
        assert!(buffer.note(0, 7));
        assert!(!buffer.note(0, 7));
        buffer.evict(9 * 60_000);
        assert!(!buffer.note(0, 7));
        buffer.evict(12 * 60_000);
        assert!(buffer.note(0, 7));
    }
}
