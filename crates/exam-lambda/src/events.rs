//! The stream of the analysis: lines go on to a Kinesis data stream.
//!
//! A record of it is whole lines, each ended by a newline, as many as fit in [`PACKED`]: Kinesis
//! bills by the kilobyte begun. Its partition key is drawn at random, so that all shards are
//! equally busy; whoever reads orders events by their time, and knows duplicates by their `id`.
//! Signals are left out: the analysis made them, and would be given its own results.
//!
//! The analysis is a help, cold storage is the truth. What Kinesis does not take in time is counted
//! and left out, and neither the fold nor Firehose hears of it.

use std::time::Duration;

use exam_aws::{AccessError, AwsEnv, CallError, Json};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Lines in one record, unless one line alone is longer. A record may hold 1 MiB, a call 500 of
/// them and 5 MiB, which is more than an invocation brings
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>).
const PACKED: usize = 256 << 10;
/// For one call.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Ceiling of the first wait between two calls; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// A quote inside a text is escaped, so this stands for the member only.
const SIGNAL: &[u8] = br#""type":"signal""#;

pub struct Events {
    stream: String,
    kinesis: Json,
}

/// What is to be put.
#[derive(Default)]
pub struct Lines {
    /// How many lines, and what a record holds.
    records: Vec<(usize, Vec<u8>)>,
}

impl Lines {
    pub fn push(&mut self, line: &[u8]) {
        if memmem::find(line, SIGNAL).is_some() {
            return;
        }
        if !matches!(self.records.last(), Some((_, last)) if last.len() + line.len() < PACKED) {
            self.records.push(Default::default());
        }
        let (count, record) = self.records.last_mut().expect("just made");
        *count += 1;
        record.extend_from_slice(line);
        record.push(b'\n');
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    stream_name: &'a str,
    records: &'a [Record],
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    data: String,
    partition_key: String,
    #[serde(skip)]
    lines: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    records: Vec<Put>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    error_code: Option<String>,
}

impl Events {
    pub fn open(stream: String, env: &AwsEnv) -> Result<Events, AccessError> {
        Ok(Events {
            stream,
            kinesis: Json::kinesis(None, None, env.clone())?,
        })
    }

    /// Puts the lines, each record tried again within `budget`. Says how many lines were left out.
    pub async fn put(&self, lines: Lines, budget: Duration) -> usize {
        let end = Instant::now() + budget;
        let record = |(lines, data): (usize, Vec<u8>)| Record {
            data: base64_simd::STANDARD.encode_to_string(data),
            partition_key: format!("{:016x}", fastrand::u64(..)),
            lines,
        };
        let mut waiting: Vec<Record> = lines.records.into_iter().map(record).collect();
        let mut wait = FIRST_WAIT;
        while !waiting.is_empty() {
            let why = match self.put_once(&mut waiting, end).await {
                Ok(None) => return 0,
                Ok(Some(code)) => code,
                Err(error) if error.is_passing() => error.to_string(),
                Err(error) => return self.left_out(&waiting, &error.to_string()),
            };
            let pause = wait.mul_f64(fastrand::f64());
            wait *= 2;
            if Instant::now() + pause >= end {
                return self.left_out(&waiting, &why);
            }
            sleep(pause).await;
        }
        0
    }

    /// One call. What was taken is not waiting any more; the code of one that was not.
    async fn put_once(
        &self,
        waiting: &mut Vec<Record>,
        end: Instant,
    ) -> Result<Option<String>, CallError> {
        let call = PutRecords {
            stream_name: &self.stream,
            records: waiting,
        };
        let limit = ATTEMPT.min(end.saturating_duration_since(Instant::now()));
        let answer: Answer = self.kinesis.call("PutRecords", &call, limit).await?;
        // One for each record, in their order.
        let mut puts = answer.records.into_iter();
        let mut why = None;
        waiting.retain(|_| match puts.next().map(|put| put.error_code) {
            Some(None) => false,
            Some(Some(code)) => {
                why = Some(code);
                true
            }
            None => true,
        });
        if why.is_none() && !waiting.is_empty() {
            why = Some("an answer for fewer records than were put".to_owned());
        }
        Ok(why)
    }

    fn left_out(&self, waiting: &[Record], why: &str) -> usize {
        let lines = waiting.iter().map(|record| record.lines).sum();
        tracing::warn!(lines, "not given to the analysis: {why}");
        lines
    }
}
