//! Cold storage as the table `events`: lines and Parquet, without repetitions.
//!
//! Parquet that `exam-analyse compact` made names the lines it holds, and lines that came later
//! are read beside it. A record sent twice lies in the same hour twice, because its time is part
//! of it; so an `id` is looked for within its hour (or day, where storage has no hours). A
//! condition on `ts` leaves out the hours it excludes.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::dialect::Millis;
use crate::events::{self, Projection};
use crate::source::{entries, hour_of, span_of};

/// Lines parsed at once.
const CHUNK: usize = 4 << 20;
/// Where a Parquet file says which lines it holds: a JSON object of part and bytes.
pub const PARTS: &str = "exam_stream.parts";
/// The column of `id`.
const ID: usize = 1;

/// All that is stored of one hour (or day) of one delivery stream.
#[derive(Clone, Debug, Default)]
pub struct Hour {
    /// `<stream>/dt=…[/hour=…]`.
    pub dir: String,
    pub span: (Millis, Millis),
    pub parquet: Option<PathBuf>,
    /// Files of lines by the name of their part, which is that of the uncompressed file.
    pub lines: BTreeMap<String, PathBuf>,
}

/// What a directory stores, in the order of time.
pub fn hours(dir: &Path) -> io::Result<Vec<Hour>> {
    let mut found: BTreeMap<((Millis, Millis), String), Hour> = BTreeMap::new();
    for tree in ["cold", "parquet"] {
        let root = dir.join(tree);
        for stream in entries(&root)? {
            for day in entries(&stream)? {
                let Some(span) = span_of(&day) else { continue };
                for entry in entries(&day)? {
                    match hour_of(&entry) {
                        Some(hour) => {
                            let from = span.0 + hour * 3_600_000;
                            for file in entries(&entry)? {
                                note(&mut found, &root, &entry, (from, from + 3_600_000), file);
                            }
                        }
                        None => note(&mut found, &root, &day, span, entry),
                    }
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

fn note(
    found: &mut BTreeMap<((Millis, Millis), String), Hour>,
    root: &Path,
    dir: &Path,
    span: (Millis, Millis),
    file: PathBuf,
) {
    let relative = |path: &Path| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let (Some(dir), Some(name)) = (relative(dir), relative(&file)) else {
        return;
    };
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let is = |kind: &str| {
        Path::new(plain)
            .extension()
            .is_some_and(|found| found == kind)
    };
    if !is("jsonl") && !is("parquet") {
        return;
    }
    let hour = found.entry((span, dir.clone())).or_insert_with(|| Hour {
        dir,
        span,
        ..Hour::default()
    });
    if is("parquet") {
        hour.parquet = Some(file);
    } else if !name.ends_with(".gz") || !hour.lines.contains_key(plain) {
        // Where both are there, the plain one counts.
        hour.lines.insert(plain.to_owned(), file);
    }
}

impl Hour {
    /// The lines its Parquet holds: bytes by part.
    pub fn covered(&self) -> Result<BTreeMap<String, u64>, DataFusionError> {
        let Some(path) = &self.parquet else {
            return Ok(BTreeMap::new());
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let pairs = reader.metadata().file_metadata().key_value_metadata();
        let parts = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == PARTS));
        let parts = parts.and_then(|pair| pair.value.as_deref()).unwrap_or("{}");
        serde_json::from_str(parts).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    /// Reads the Parquet's rows with the columns of `projection`, [`events::KEY`] left out.
    pub fn read_parquet(
        &self,
        projection: &Projection,
        each: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let Some(path) = &self.parquet else {
            return Ok(());
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let mask = ProjectionMask::roots(
            builder.parquet_schema(),
            projection.columns().iter().copied(),
        );
        for batch in builder
            .with_projection(mask)
            .with_batch_size(8192)
            .build()?
        {
            each(batch?)?;
        }
        Ok(())
    }

    /// Reads the lines behind what is covered; returns how long each part is now.
    pub fn read_lines(
        &self,
        covered: &BTreeMap<String, u64>,
        projection: &Projection,
        each: &mut dyn FnMut(events::Rows) -> Result<()>,
    ) -> Result<BTreeMap<String, u64>> {
        let mut parts = covered.clone();
        for (part, path) in &self.lines {
            let read = parts.entry(part.clone()).or_default();
            let file = File::open(path)?;
            let mut lines: Box<dyn BufRead> =
                match path.extension().is_some_and(|kind| kind == "gz") {
                    true => Box::new(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(file))),
                    false => Box::new(BufReader::with_capacity(1 << 20, file)),
                };
            io::copy(&mut (&mut lines).take(*read), &mut io::sink())?;
            loop {
                let mut text = Vec::new();
                (&mut lines).take(CHUNK as u64).read_to_end(&mut text)?;
                if text.is_empty() {
                    break;
                }
                if text.last() != Some(&b'\n') {
                    lines.read_until(b'\n', &mut text)?;
                }
                // A line without end is still being written.
                text.truncate(memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1));
                *read += text.len() as u64;
                for (_, rows) in events::read(&text, projection) {
                    each(rows)?;
                }
            }
        }
        Ok(parts)
    }
}

/// The table.
#[derive(Debug)]
pub struct ColdTable {
    dir: PathBuf,
}

impl ColdTable {
    pub fn new(dir: &Path) -> Self {
        ColdTable {
            dir: dir.to_owned(),
        }
    }
}

#[async_trait]
impl TableProvider for ColdTable {
    fn schema(&self) -> SchemaRef {
        events::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match bound(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (mut from, mut to) = (Millis::MIN, Millis::MAX);
        for (operator, at) in filters.iter().filter_map(bound) {
            match operator {
                Operator::Gt | Operator::GtEq => from = from.max(at),
                Operator::Lt | Operator::LtEq => to = to.min(at),
                _ => (from, to) = (from.max(at), to.min(at)),
            }
        }
        let all: Vec<usize> = (0..events::schema().fields().len()).collect();
        let wanted = projection.unwrap_or(&all).clone();
        let schema = Arc::new(events::schema().project(&wanted)?);
        let scan = Scan {
            dir: self.dir.clone(),
            wanted,
            schema: schema.clone(),
            from,
            to,
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(scan)])?;
        table.scan(state, None, &[], limit).await
    }
}

/// `ts <op> constant`, either way round.
fn bound(filter: &Expr) -> Option<(Operator, Millis)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return None;
    };
    let (column, op, value) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let ScalarValue::TimestampMillisecond(Some(at), None) = value else {
        return None;
    };
    use Operator::{Eq, Gt, GtEq, Lt, LtEq};
    (column.name() == "ts" && matches!(op, Eq | Gt | GtEq | Lt | LtEq)).then_some((op, *at))
}

#[derive(Debug)]
struct Scan {
    dir: PathBuf,
    wanted: Vec<usize>,
    schema: SchemaRef,
    from: Millis,
    to: Millis,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(self.schema.clone(), 2);
        let send = stream.tx();
        let (dir, wanted, schema) = (self.dir.clone(), self.wanted.clone(), self.schema.clone());
        let (from, to) = (self.from, self.to);
        stream.spawn_blocking(move || {
            let mut hours = hours(&dir)?;
            hours.retain(|hour| hour.span.0 <= to && hour.span.1 > from);
            for group in groups(hours) {
                let sent = read_group(&group, &wanted, &mut |batch: RecordBatch| {
                    let columns = schema
                        .fields()
                        .iter()
                        .map(|field| batch.schema().index_of(field.name()));
                    let columns = columns.collect::<Result<Vec<_>, _>>()?;
                    // Nobody reads any more: the query has its rows.
                    send.blocking_send(Ok(batch.project(&columns)?))
                        .map_err(|_| done())
                });
                match sent {
                    Err(DataFusionError::Execution(reason)) if reason == DONE => return Ok(()),
                    other => other?,
                }
            }
            Ok(())
        });
        stream.build()
    }
}

const DONE: &str = "the reader is gone";

fn done() -> DataFusionError {
    DataFusionError::Execution(DONE.into())
}

/// Hours that may hold the same record: the same hour of several streams, or a day with the hours
/// in it.
fn groups(hours: Vec<Hour>) -> Vec<Vec<Hour>> {
    let mut groups: Vec<Vec<Hour>> = Vec::new();
    let mut end = Millis::MIN;
    for hour in hours {
        match groups.last_mut() {
            Some(group) if hour.span.0 < end => {
                end = end.max(hour.span.1);
                group.push(hour);
            }
            _ => {
                end = hour.span.1;
                groups.push(vec![hour]);
            }
        }
    }
    groups
}

fn read_group(
    group: &[Hour],
    wanted: &[usize],
    each: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut ids = HashSet::new();
    let alone = matches!(group, [hour] if hour.parquet.is_some());
    for hour in group {
        let covered = hour.covered()?;
        let more = hour.lines.iter().any(|(part, path)| {
            let len = path.metadata().map_or(0, |meta| meta.len());
            // How much a compressed part holds is in its file only.
            match path.extension().is_some_and(|kind| kind == "gz") {
                true => !covered.contains_key(part),
                false => covered.get(part).is_none_or(|covered| *covered < len),
            }
        });
        if alone && !more {
            // Compacted, it has no repetitions.
            return hour.read_parquet(&Projection::new(wanted.iter().copied()), each);
        }
        let projection = Projection::new(wanted.iter().copied().chain([ID]));
        hour.read_parquet(&projection, &mut |batch| {
            let id = batch
                .column(batch.schema().index_of("id")?)
                .as_string::<i32>()
                .clone();
            let new = |row: &u32| ids.insert(events::hash(id.value(*row as usize).as_bytes()));
            let keep: Vec<u32> = (0..batch.num_rows() as u32).filter(new).collect();
            each(take_record_batch(&batch, &UInt32Array::from(keep))?)
        })?;
        hour.read_lines(&covered, &projection, &mut |rows| {
            let new = |row: &u32| ids.insert(rows.ids[*row as usize]);
            let keep: Vec<u32> = (0..rows.ids.len() as u32).filter(new).collect();
            each(take_record_batch(&rows.batch, &UInt32Array::from(keep))?)
        })?;
    }
    Ok(())
}
