//! Cold storage as the table `events`: lines and Parquet, without repetitions.
//!
//! Parquet that `exam-analyse compact` made names the lines it holds, and lines that came later
//! are read beside it. A record sent twice lies in the same hour twice, because its time is part
//! of it; so an `id` is looked for within its hour (or day, where storage has no hours). A
//! condition on `ts` leaves out the hours it excludes.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
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
use exam_cold::calendar::parse_date;
use exam_cold::{Part, Select, Tree};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::dialect::Millis;
use crate::events::{self, Projection};
use crate::source::{span, span_of};

/// Where a Parquet file says which lines it holds: a JSON object of part and bytes.
pub const PARTS: &str = "exam_stream.parts";
/// The column of `id`.
const ID: usize = 1;

/// All that is stored of one hour (or day) of one delivery stream.
#[derive(Clone, Debug)]
pub struct Hour {
    /// `<stream>/dt=…[/hour=…]`.
    pub dir: String,
    pub span: (Millis, Millis),
    pub parquet: Option<PathBuf>,
    pub lines: Vec<Part>,
}

/// The name of an hour's Parquet.
pub const FILE: &str = "events.parquet";

/// What a directory stores, in the order of time.
pub fn hours(dir: &Path) -> Result<Vec<Hour>, exam_cold::Error> {
    let mut found = Hours::new();
    for part in exam_cold::parts(dir, Tree::Cold, &Select::default())? {
        entry(&mut found, &part.name, span(&part)).lines.push(part);
    }
    let root = dir.join("parquet");
    for stream in names(&root) {
        for day in names(&root.join(&stream)) {
            let Some(date) = day.strip_prefix("dt=").and_then(parse_date) else {
                continue;
            };
            let of_day = root.join(&stream).join(&day);
            let hours = names(&of_day).into_iter().filter_map(|name| {
                let hour = name.strip_prefix("hour=")?.parse().ok()?;
                Some((format!("/{name}"), Some(hour)))
            });
            for (below, hour) in hours.chain([(String::new(), None)]) {
                let name = format!("{stream}/{day}{below}/{FILE}");
                let file = root.join(&name);
                if file.exists() {
                    entry(&mut found, &name, span_of(date, hour)).parquet = Some(file);
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

type Hours = BTreeMap<((Millis, Millis), String), Hour>;

/// The hour in whose directory something lies.
fn entry<'a>(found: &'a mut Hours, name: &str, span: (Millis, Millis)) -> &'a mut Hour {
    let dir = name
        .rsplit_once('/')
        .map_or(name, |(dir, _)| dir)
        .to_owned();
    found.entry((span, dir.clone())).or_insert_with(|| Hour {
        dir,
        span,
        parquet: None,
        lines: Vec::new(),
    })
}

pub fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The names in a directory; none if there is none.
fn names(dir: &Path) -> Vec<String> {
    let list = std::fs::read_dir(dir).into_iter().flatten();
    list.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

impl Hour {
    /// The lines its Parquet holds: bytes by part.
    pub fn covered(&self) -> Result<BTreeMap<String, u64>, DataFusionError> {
        let Some(path) = &self.parquet else {
            return Ok(BTreeMap::new());
        };
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(external)?;
        let pairs = reader.metadata().file_metadata().key_value_metadata();
        let parts = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == PARTS));
        let parts = parts.and_then(|pair| pair.value.as_deref()).unwrap_or("{}");
        serde_json::from_str(parts).map_err(external)
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
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(external)?;
        let mask = ProjectionMask::roots(
            builder.parquet_schema(),
            projection.columns().iter().copied(),
        );
        for batch in builder
            .with_projection(mask)
            .with_batch_size(8192)
            .build()
            .map_err(external)?
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
        let mut text = Vec::new();
        for part in &self.lines {
            let read = parts.entry(part.name.to_string()).or_default();
            loop {
                part.read(*read, &mut text).map_err(external)?;
                if text.is_empty() {
                    break;
                }
                *read += text.len() as u64;
                for (_, rows) in events::read(&text, projection) {
                    each(rows)?;
                }
            }
        }
        Ok(parts)
    }

    /// True if there are lines that its Parquet does not hold.
    fn has_more(&self, covered: &BTreeMap<String, u64>) -> Result<bool> {
        for part in &self.lines {
            let covered = covered.get(&*part.name).copied().unwrap_or_default();
            if covered < part.length().map_err(external)? {
                return Ok(true);
            }
        }
        Ok(false)
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
            let mut hours = hours(&dir).map_err(external)?;
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
        if alone && !hour.has_more(&covered)? {
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
