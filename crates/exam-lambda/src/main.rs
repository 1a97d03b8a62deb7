//! `bootstrap`: the Lambda function between Amazon Data Firehose and its S3 bucket, and the one
//! that heals the state store afterwards.
//!
//! As a **data transformation of Firehose** it folds the lines of each Firehose record into the
//! state store and gives every record back `Ok`, byte for byte (a newline is added where the last
//! one is missing, so that objects in S3 stay lines). Nothing that goes wrong with the store may
//! keep an answer out of cold storage:
//!
//! | what | happens |
//! |---|---|
//! | the store cannot be reached in time | the records are `Ok`; the lines go to the redrive queue, compressed |
//! | neither the store nor that queue takes them | the invocation fails: Firehose tries again, then puts the records below its error prefix, which `exam-stream rebuild` reads |
//! | a line that is no record | it goes to the dead-letter queue too; its Firehose record is `Ok` |
//! | an answer over 6 MB | the records that do not fit are `ProcessingFailed`: Firehose writes what it has of them below the error prefix. `Dropped` would lose them |
//!
//! With an **SQS event** of the redrive queue it folds those lines again, and answers which
//! messages are to come once more. The fold is idempotent: events and messages may come twice, late
//! and in any order.
//!
//! Settings are environment variables: `STATE_URL`, `REDRIVE_QUEUE_URL`, `DEAD_LETTER_QUEUE_URL`,
//! and optionally `STATE_DAYS` (30; 0: for ever), `METRICS_NAMESPACE` (`ExamStream`) and
//! `EVENTS_STREAM`, the Kinesis data stream of an analysis, see `events.rs`. Metrics are CloudWatch's embedded metric format on stdout, see `metrics.rs`. Neither they nor the log hold a line, an answer, or the
//! store's password. Each invocation uses at most two thirds of the time Lambda leaves it; give it
//! 30 seconds, and the redrive queue's messages a visibility timeout of 180.

mod event;
mod events;
mod lines;
mod metrics;
mod queue;
mod redrive;
mod store;
mod transform;

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use exam_aws::AwsEnv;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::{RawValue, to_raw_value};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::event::Event;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::Store;

/// An event is some ten thousand pieces of memory between two large ones; the system's allocator takes
/// a quarter of the function's time for them.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An attempt is forgotten so many days after its last record.
const DEFAULT_DAYS: u64 = exam_state::DEFAULT_TTL.as_secs() / 86_400;

/// What an invocation works with; made once per instance of the function.
struct Function {
    store: Store,
    redrive: Queue,
    dead: Queue,
    /// Of the analysis, where there is one.
    events: Option<Events>,
    metrics: Metrics,
}

impl Function {
    fn new(env: &AwsEnv) -> anyhow::Result<Function> {
        let setting = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.with_context(|| format!("the environment variable {name} must be set"))
        };
        let days = match setting("STATE_DAYS") {
            Ok(days) => days
                .parse()
                .with_context(|| format!("STATE_DAYS must be a number of days, not {days}"))?,
            Err(_) => DEFAULT_DAYS,
        };
        Ok(Function {
            store: Store::open(&setting("STATE_URL")?, days, env)?,
            redrive: Queue::open(&setting("REDRIVE_QUEUE_URL")?, env)
                .context("REDRIVE_QUEUE_URL")?,
            dead: Queue::open(&setting("DEAD_LETTER_QUEUE_URL")?, env)
                .context("DEAD_LETTER_QUEUE_URL")?,
            events: match setting("EVENTS_STREAM") {
                Ok(stream) => Some(Events::open(stream, env).context("EVENTS_STREAM")?),
                Err(_) => None,
            },
            metrics: Metrics {
                namespace: setting("METRICS_NAMESPACE").unwrap_or_else(|_| "ExamStream".into()),
            },
        })
    }

    /// From the JSON of an event to that of its answer.
    async fn invoke(&self, event: LambdaEvent<Box<RawValue>>) -> anyhow::Result<Box<RawValue>> {
        let left = event.context.deadline().duration_since(SystemTime::now());
        let left = left.unwrap_or(Duration::ZERO);
        let event = serde_json::from_str(event.payload.get()).context("the event")?;
        match event {
            Event {
                records: Some(records),
                delivery_stream_arn,
                ..
            } => self.transform(records, &delivery_stream_arn, left).await,
            Event {
                messages: Some(messages),
                ..
            } => Ok(to_raw_value(&self.redrive(messages, left).await)?),
            _ => Err(anyhow!(
                "this event is neither of Firehose nor of SQS: the function is for a delivery \
                 stream's data transformation, and for its redrive queue"
            )),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL");
    let level = level.ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(Level::INFO);
    // The runtime's own log may hold whole events at its lowest levels.
    let filter = Targets::new()
        .with_default(Level::WARN)
        .with_targets([("bootstrap", level), ("exam_state", level)]);
    let log = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .without_time(); // CloudWatch stamps each line
    tracing_subscriber::registry().with(log).with(filter).init();
    let function = Function::new(&AwsEnv::snapshot()).inspect_err(|error| {
        tracing::error!("{error:#}");
    })?;
    let function = &function;
    lambda_runtime::run(service_fn(async |event| {
        let answer = function.invoke(event).await;
        answer.map_err(|error| lambda_runtime::Error::from(format!("{error:#}")))
    }))
    .await
}
