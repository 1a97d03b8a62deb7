//! `exam-analyse query`: one SELECT over cold storage, lines and Parquet alike.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::WriterBuilder as CsvBuilder;
use datafusion::arrow::util::pretty::pretty_format_batches;
use futures_util::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::cold_table::ColdTable;
use crate::datafusion_engine::DataFusion;
use crate::dialect::Mode;
use crate::engine::Engine;
use crate::json::{TIME_FORMAT, write_lines};
use crate::size;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    Csv,
    /// An object a line
    Json,
    /// Needs --output
    Parquet,
}

/// Run one SELECT over cold storage.
///
/// The table `events` is all of it, without repetitions; the dialect is that of `run`.
#[derive(clap::Args)]
pub struct Args {
    /// The SELECT; `-` reads it from stdin
    sql: String,
    /// Directory of a `serve`
    #[arg(long, value_name = "DIR")]
    cold: PathBuf,
    /// Tables to join with: NAME.csv or NAME.parquet
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// File to write instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Memory for the query, besides what it reads
    #[arg(long, default_value = "1G", value_parser = size)]
    memory: usize,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.format == Format::Parquet && args.output.is_none() {
        bail!("Parquet is not for a terminal: give --output FILE");
    }
    let sql = match args.sql.as_str() {
        "-" => io::read_to_string(io::stdin()).context("reading the SELECT from stdin")?,
        sql => sql.to_owned(),
    };
    if !args.cold.is_dir() {
        bail!(
            "there is no directory {}: give --cold, the --dir of a serve",
            args.cold.display()
        );
    }
    let mut engine = DataFusion::new(args.memory)?;
    if let Some(dir) = &args.reference {
        for error in engine.load_references(dir)?.values() {
            eprintln!("exam-analyse: {error}");
        }
    }
    let session = engine.session()?;
    session.register_table("events", Arc::new(ColdTable::new(&args.cold)))?;
    let (plan, _) = engine
        .plan(&session, &sql, Mode::Once)
        .map_err(|refusal| anyhow!("{refusal}"))?;
    let out: Box<dyn Write + Send> = match &args.output {
        Some(path) => Box::new(File::create(path).with_context(|| path.display().to_string())?),
        None => Box::new(io::stdout()),
    };
    let written = engine.runtime().block_on(async {
        let mut rows = session
            .execute_logical_plan(plan)
            .await?
            .execute_stream()
            .await?;
        let mut sink = Sink::new(args.format, BufWriter::new(out), rows.schema())?;
        while let Some(batch) = rows.next().await {
            sink.write(batch?)?;
        }
        sink.finish()
    });
    match written {
        // Whoever reads has seen enough.
        Err(error) if broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let of = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(of)
}

type Out = BufWriter<Box<dyn Write + Send>>;

enum Sink {
    Table(Vec<RecordBatch>, Out),
    Csv(bool, Out),
    Json(Out),
    Parquet(Box<ArrowWriter<Out>>),
}

impl Sink {
    fn new(
        format: Format,
        out: Out,
        schema: datafusion::arrow::datatypes::SchemaRef,
    ) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Table => Sink::Table(vec![RecordBatch::new_empty(schema)], out),
            Format::Csv => {
                let mut sink = Sink::Csv(true, out);
                sink.write(RecordBatch::new_empty(schema))?;
                sink
            }
            Format::Json => Sink::Json(out),
            Format::Parquet => {
                let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
                let properties = WriterProperties::builder().set_compression(zstd).build();
                Sink::Parquet(Box::new(ArrowWriter::try_new(
                    out,
                    schema,
                    Some(properties),
                )?))
            }
        })
    }

    fn write(&mut self, batch: RecordBatch) -> anyhow::Result<()> {
        match self {
            Sink::Table(batches, _) => batches.push(batch),
            Sink::Csv(header, out) => {
                let builder = CsvBuilder::new().with_header(std::mem::take(header));
                let builder = builder.with_timestamp_format(TIME_FORMAT.into());
                builder.build(&mut *out).write(&batch)?;
            }
            Sink::Json(out) => write_lines(&batch, out)?,
            Sink::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Sink::Table(batches, mut out) => {
                writeln!(out, "{}", pretty_format_batches(&batches)?)?;
                out.flush()?;
            }
            Sink::Csv(_, mut out) | Sink::Json(mut out) => out.flush()?,
            Sink::Parquet(writer) => writer.into_inner()?.flush()?,
        }
        Ok(())
    }
}
