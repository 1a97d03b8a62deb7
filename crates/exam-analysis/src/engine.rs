//! What the rest of the program needs of an SQL engine.
//!
//! Rows travel as Arrow record batches, which every engine in question speaks. An engine is given
//! the rows of one slice of event time and runs a prepared query over them; watermarks, lateness,
//! revisions and files are none of its business. Same rows in the same order, same result.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use crate::dialect::{Millis, Refusal, Shape};

pub trait Engine: Send + Sync {
    /// Reads `FILE.csv` and `FILE.parquet` of a directory as tables of those names, in place of
    /// those that were read before. Returns which files are no tables, and why: a table that was
    /// read before stays as it was then.
    fn load_references(&mut self, dir: &Path)
    -> Result<BTreeMap<String, EngineError>, EngineError>;

    /// Parses, checks and plans a query that is to run continuously.
    fn prepare(&self, text: &str) -> Result<Box<dyn Prepared>, Refusal>;
}

/// A query that is ready to run over one slice after another.
pub trait Prepared: Send {
    fn shape(&self) -> Shape;

    /// The columns of `events` it reads, as indices into [`crate::events::schema`].
    fn columns(&self) -> &[usize];

    /// The columns of its results.
    fn schema(&self) -> SchemaRef;

    /// Its results for the slice that ends at `end`, of the events that [`Shape::needs`] names:
    /// at least `columns`, in the order of `ts` and `id`.
    fn run(&self, rows: Vec<RecordBatch>, end: Millis) -> Result<RecordBatch, EngineError>;
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the query failed: {0}")]
    Query(String),
    #[error("the query needs more than --memory allows: {0}")]
    Memory(String),
    #[error("the reference table {file} cannot be read: {reason}")]
    Reference { file: String, reason: String },
}
