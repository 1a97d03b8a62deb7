//! `exam-analyse compact`: lines of cold storage to Parquet.
//!
//! `DIR/parquet/<stream>/dt=…[/hour=…]/events.parquet` holds the columns of `events`, without
//! repetitions, and names the lines it was made of: what is not named yet is added the next time.
//! The new file takes the place of the old one at once. Lines are left where they are: retention
//! decides about them, and what Parquet holds it keeps when they are gone.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::DataFusionError;
use exam_record::{About, Erasure};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rustix::fs::{FlockOperation, flock};

use crate::buffer::sorted;
use crate::cold_table::{FILE, Hour, PARTS, external, hours};
use crate::dialect::Millis;
use crate::duration;
use crate::events::{self, Projection};

/// Rows of a row group, sorted by time.
const ROW_GROUP: usize = 256 << 10;

/// Turn the lines of cold storage into Parquet, by hour, without repetitions.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of a `serve`
    #[arg(long, value_name = "DIR")]
    cold: PathBuf,
    /// Only hours that ended this long ago
    #[arg(long, default_value = "15m", value_parser = duration)]
    after: Duration,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let before = (clock.saturating_sub(args.after)).as_millis() as Millis;
    if !args.cold.is_dir() {
        bail!(
            "there is no directory {}: give --cold, the --dir of a serve",
            args.cold.display()
        );
    }
    let _lock = lock(&args.cold)?;
    let (mut files, mut rows, mut left) = (0, 0, 0);
    for hour in hours(&args.cold).context("looking through cold storage")? {
        if hour.span.1 > before {
            left += 1;
            continue;
        }
        let written =
            compact(&args.cold, &hour).with_context(|| format!("compacting {}", hour.dir))?;
        if let Some(written) = written {
            println!("{}: {written} events", hour.dir);
            (files, rows) = (files + 1, rows + written);
        }
    }
    println!("{files} files of {rows} events written; {left} hours are too young");
    Ok(ExitCode::SUCCESS)
}

/// Nobody else writes Parquet while this is held.
pub fn lock(dir: &Path) -> anyhow::Result<File> {
    let dir = dir.join("parquet");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(".lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

fn writer(file: File) -> anyhow::Result<ArrowWriter<File>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    Ok(ArrowWriter::try_new(
        file,
        events::schema(),
        Some(properties),
    )?)
}

/// Ends a file that holds these parts' lines, and puts it in the place of `target`'s.
fn finish(
    mut writer: ArrowWriter<File>,
    parts: &BTreeMap<String, u64>,
    new: &Path,
    target: &Path,
) -> anyhow::Result<()> {
    writer.append_key_value_metadata(KeyValue::new(PARTS.into(), serde_json::to_string(parts)?));
    let file = writer.into_inner()?;
    file.sync_all()?;
    fs::rename(new, target.join(FILE))?;
    File::open(target)?.sync_all()?;
    Ok(())
}

/// Writes an hour's Parquet again without the rows about them; returns how many these are. The file
/// goes on to name the lines it was made of, so that none is taken up again.
pub fn erase(dir: &Path, hour: &Hour, whose: &Erasure, dry_run: bool) -> anyhow::Result<u64> {
    let schema = events::schema();
    let columns = ["site", "attempt", "student_id"].map(|name| schema.index_of(name));
    let [site, attempt, student] = columns;
    let mut theirs = 0;
    let columns = Projection::new([site?, attempt?, student?]);
    hour.read_parquet(&columns, &mut |batch| {
        theirs += others(&batch, whose)?.false_count() as u64;
        Ok(())
    })?;
    if theirs == 0 || dry_run {
        return Ok(theirs);
    }
    let target = dir.join("parquet").join(&hour.dir);
    let new = target.join(format!("{FILE}.tmp"));
    let file = File::create(&new)?;
    if let Some(old) = &hour.parquet {
        let about = fs::metadata(old)?;
        fs::set_permissions(&new, about.permissions())?;
        // Root works for the owner of what is there; whoever else runs this is the owner.
        let _ = std::os::unix::fs::fchown(&file, Some(about.uid()), Some(about.gid()));
    }
    let mut writer = writer(file)?;
    hour.read_parquet(&Projection::all(), &mut |batch| {
        let kept = filter_record_batch(&batch, &others(&batch, whose)?)?;
        writer.write(&kept).map_err(external)
    })?;
    finish(writer, &hour.covered()?, &new, &target)?;
    Ok(theirs)
}

/// Which rows are about nobody of them.
fn others(batch: &RecordBatch, whose: &Erasure) -> Result<BooleanArray, DataFusionError> {
    let column =
        |name| Ok::<_, DataFusionError>(batch.column(batch.schema().index_of(name)?).clone());
    let (site, attempt, student) = (column("site")?, column("attempt")?, column("student_id")?);
    let site = site.as_string::<i32>();
    let (attempt, student) = (
        attempt.as_primitive::<Int64Type>(),
        student.as_primitive::<Int64Type>(),
    );
    let rows = site.iter().zip(attempt.iter().zip(student));
    let others = rows.map(|(site, (attempt, student))| {
        Some(!whose.has(&About {
            site: site.map(str::to_owned),
            attempt,
            student,
            ..About::default()
        }))
    });
    Ok(others.collect())
}

/// Writes an hour's Parquet, unless it holds all there is; returns how many rows it has.
pub fn compact(dir: &Path, hour: &Hour) -> anyhow::Result<Option<u64>> {
    let covered = hour.covered()?;
    let projection = Projection::all();
    let target = dir.join("parquet").join(&hour.dir);
    fs::create_dir_all(&target)?;
    let new = target.join(format!("{FILE}.tmp"));
    let mut writer = writer(File::create(&new)?)?;
    let mut ids = HashSet::new();
    let mut rows = 0;
    hour.read_parquet(&projection, &mut |batch| {
        let id = batch
            .column(batch.schema().index_of("id")?)
            .as_string::<i32>();
        ids.extend(id.iter().flatten().map(|id| events::hash(id.as_bytes())));
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(external)
    })?;
    let before = rows;
    let (mut waiting, mut count): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
    let mut write = |waiting: &mut Vec<RecordBatch>| -> Result<(), DataFusionError> {
        let batch = sorted(&concat_batches(projection.schema(), waiting.iter())?)?;
        waiting.clear();
        let columns: Vec<usize> = (0..batch.num_columns() - 1).collect();
        writer.write(&batch.project(&columns)?).map_err(external)
    };
    let parts = hour.read_lines(&covered, &projection, &mut |read| {
        let first = |row: &u32| ids.insert(read.ids[*row as usize]);
        let keep: Vec<u32> = (0..read.ids.len() as u32).filter(first).collect();
        (count, rows) = (count + keep.len(), rows + keep.len() as u64);
        waiting.push(take_record_batch(&read.batch, &UInt32Array::from(keep))?);
        if count >= ROW_GROUP {
            count = 0;
            write(&mut waiting)?;
        }
        Ok(())
    })?;
    if parts == covered {
        drop(writer);
        fs::remove_file(&new)?;
        return Ok(None);
    }
    write(&mut waiting)?;
    debug_assert!(rows >= before);
    finish(writer, &parts, &new, &target)?;
    Ok(Some(rows))
}
