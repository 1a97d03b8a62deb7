//! Tables an operator adds: rosters, answer keys. `roster.csv` (with a header; types are found
//! from its content) or `roster.parquet` is the table `roster`. They are read when the program
//! starts and kept in memory.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::engine::EngineError;

/// Name, rows, columns.
pub type Table = (String, Vec<RecordBatch>, SchemaRef);

pub fn load(dir: &Path) -> Result<Vec<Table>, EngineError> {
    let wrong = |file: &Path, reason: String| EngineError::Reference {
        file: file.display().to_string(),
        reason,
    };
    let list = fs::read_dir(dir).map_err(|e| wrong(dir, e.to_string()))?;
    let mut files: Vec<_> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut tables: Vec<Table> = Vec::new();
    for file in files {
        let (Some(name), Some(kind)) = (
            file.file_stem().and_then(|name| name.to_str()),
            file.extension().and_then(|kind| kind.to_str()),
        ) else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        let read = match kind {
            "csv" => csv(&file),
            "parquet" => parquet(&file),
            _ => continue,
        };
        let (rows, schema) = read.map_err(|e| wrong(&file, e.to_string()))?;
        if name == "events" || tables.iter().any(|table| table.0 == name) {
            return Err(wrong(&file, format!("there is a table {name} already")));
        }
        tables.push((name, rows, schema));
    }
    Ok(tables)
}

fn csv(path: &Path) -> Result<(Vec<RecordBatch>, SchemaRef), ArrowError> {
    let mut file = File::open(path)?;
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(&mut file, None)?;
    file.seek(SeekFrom::Start(0))?;
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(schema.clone())
        .with_format(format)
        .build(file)?;
    Ok((reader.collect::<Result<_, _>>()?, schema))
}

fn parquet(path: &Path) -> Result<(Vec<RecordBatch>, SchemaRef), ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = reader.schema().clone();
    Ok((reader.build()?.collect::<Result<_, _>>()?, schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_file_is_a_table_of_its_name_and_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("Roster.csv"),
            "student_id,name\n3,Ann\n4,Bo\n",
        )
        .unwrap();
        fs::write(dir.path().join("readme.txt"), "no table").unwrap();
        let tables = load(dir.path()).unwrap();
        let [(name, rows, schema)] = &tables[..] else {
            panic!("one table")
        };
        assert_eq!((name.as_str(), rows[0].num_rows()), ("roster", 2));
        assert!(schema.field(0).data_type().is_integer());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key.csv"), "a,b\n1,2\n1,2,3\n").unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("key.csv"), "{error}");
        fs::remove_file(dir.path().join("key.csv")).unwrap();
        fs::write(dir.path().join("events.csv"), "a\n1\n").unwrap();
        assert!(
            load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("already")
        );
    }
}
