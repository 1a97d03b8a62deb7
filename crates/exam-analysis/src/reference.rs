//! Tables an operator adds: rosters, answer keys. `roster.csv` (with a header; types are found
//! from its content) or `roster.parquet` is the table `roster`. They are kept in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::engine::EngineError;

/// What a file looked like: length, time of change, and which file it is, because one that is moved
/// into place may be as long and as old.
pub type Stamp = (u64, i64, i64, u64);

pub fn stamp(file: &Path) -> io::Result<Stamp> {
    let about = fs::metadata(file)?;
    Ok((about.len(), about.ctime(), about.ctime_nsec(), about.ino()))
}

pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// What the files of a directory look like; none if it cannot be read.
pub fn stamps(dir: &Path) -> Stamps {
    let list = fs::read_dir(dir).into_iter().flatten();
    let files = list.filter_map(|entry| Some(entry.ok()?.path()));
    let tables = files.filter(|file| table_of(file).is_some());
    tables
        .map(|file| (file.clone(), stamp(&file).ok()))
        .collect()
}

/// The table that a file is, and its extension.
fn table_of(file: &Path) -> Option<(String, &str)> {
    let name = file.file_stem()?.to_str()?.to_ascii_lowercase();
    let kind = file.extension()?.to_str()?;
    matches!(kind, "csv" | "parquet").then_some((name, kind))
}

pub type Rows = (Vec<RecordBatch>, SchemaRef);

/// A file, the table that it is, and what it holds.
pub type Found = (String, String, Result<Rows, EngineError>);

pub fn load(dir: &Path) -> Result<Vec<Found>, EngineError> {
    let wrong = |file: &Path, reason: String| EngineError::Reference {
        file: file.display().to_string(),
        reason,
    };
    let list = fs::read_dir(dir).map_err(|e| wrong(dir, e.to_string()))?;
    let mut files: Vec<_> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut names = BTreeSet::from(["events".to_owned()]);
    let mut tables = Vec::new();
    for file in files {
        let Some((name, kind)) = table_of(&file) else {
            continue;
        };
        let read = match (names.insert(name.clone()), kind) {
            (false, _) => Err(wrong(&file, format!("there is a table {name} already"))),
            (_, "csv") => csv(&file).map_err(|e| wrong(&file, e.to_string())),
            _ => parquet(&file).map_err(|e| wrong(&file, e.to_string())),
        };
        let file = file.file_name().unwrap_or_default();
        tables.push((file.to_string_lossy().into_owned(), name, read));
    }
    Ok(tables)
}

/// What separates columns: spreadsheets of half of Europe write semicolons.
fn delimiter(header: &str) -> u8 {
    let header = header.lines().next().unwrap_or_default();
    match [',', ';', '\t']
        .into_iter()
        .find(|mark| header.contains(*mark))
    {
        Some(mark) => mark as u8,
        None => b',',
    }
}

fn csv(path: &Path) -> Result<Rows, ArrowError> {
    let text = fs::read_to_string(path)?;
    let text = text.trim_start_matches('\u{feff}');
    // A row may end early, as those of spreadsheets do: what it lacks is NULL.
    let format = Format::default()
        .with_header(true)
        .with_truncated_rows(true)
        .with_delimiter(delimiter(text));
    let (schema, _) = format.infer_schema(text.as_bytes(), None)?;
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(schema.clone())
        .with_format(format)
        .build(text.as_bytes())?;
    Ok((reader.collect::<Result<_, _>>()?, schema))
}

fn parquet(path: &Path) -> Result<Rows, ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = reader.schema().clone();
    Ok((reader.build()?.collect::<Result<_, _>>()?, schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Rows, EngineError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Roster.csv"), text).unwrap();
        fs::write(dir.path().join("readme.txt"), "no table").unwrap();
        let mut tables = load(dir.path()).unwrap();
        let (file, name, read) = tables.pop().unwrap();
        assert_eq!((&*file, &*name, tables.len()), ("Roster.csv", "roster", 0));
        read
    }

    #[test]
    fn a_csv_file_is_a_table_of_its_name_and_others_are_left_alone() {
        for text in [
            "student_id,name\n3,Ann\n4,\"Bo, jr.\"\n",
            // Of a spreadsheet.
            "\u{feff}student_id;name\r\n3;Ann\r\n4;Bo\r\n",
            "student_id,name\n3,Ann\n4\n",
        ] {
            let (rows, schema) = table(text).unwrap();
            assert_eq!(rows[0].num_rows(), 2, "{text}");
            assert_eq!(schema.field(0).name(), "student_id");
            assert_eq!(schema.field(1).name(), "name");
            assert!(schema.field(0).data_type().is_integer());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = table("a,b\n1,2\n1,2,3\n").unwrap_err().to_string();
        assert!(error.contains("Roster.csv"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        for file in ["events.csv", "key.csv", "KEY.csv"] {
            fs::write(dir.path().join(file), "a\n1\n").unwrap();
        }
        let tables = load(dir.path()).unwrap();
        let refused: Vec<&str> = tables
            .iter()
            .filter(|(_, _, read)| {
                read.as_ref()
                    .is_err_and(|e| e.to_string().contains("already"))
            })
            .map(|(file, _, _)| &**file)
            .collect();
        assert_eq!(refused, ["events.csv", "key.csv"]);
    }
}
