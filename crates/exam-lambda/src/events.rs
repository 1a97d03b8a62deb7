//! The Kinesis data stream from which the analysis reads: each line a record of its own, under its
//! attempt as the partition key, so that a student's records stay in one shard.
//!
//! What the stream does not take in time is counted and left out: the lines are in cold storage, and
//! no answer waits for a statistic. After a doubtful answer lines are sent again; whoever reads them
//! deduplicates by `id`.

use std::time::Duration;

use exam_aws::{AccessError, AwsEnv, Json};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Records in one call, of which each may have 1 MiB
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>).
const MAX_CALL_RECORDS: usize = 500;
/// Of the 5 MiB in one call, counted as base64 to be right either way.
const MAX_CALL_BYTES: usize = 4 << 20;
/// Characters of a partition key.
const MAX_KEY: usize = 256;
/// For one call.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Ceiling of the first wait between two calls; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);

pub struct Events {
    stream: String,
    kinesis: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    data: String,
    partition_key: String,
}

impl Event {
    /// `otherwise` is the key of a line of no attempt.
    pub fn new(line: &[u8], otherwise: &str) -> Event {
        let folded = exam_record::fold(line).ok().flatten();
        let key = folded.map_or_else(|| otherwise.to_owned(), |folded| folded.key.to_text());
        Event {
            data: base64_simd::STANDARD.encode_to_string(line),
            partition_key: key.chars().take(MAX_KEY).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    stream_name: &'a str,
    records: &'a [Event],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    records: Vec<PutOne>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutOne {
    error_code: Option<String>,
}

impl Events {
    pub fn open(stream: String, env: &AwsEnv) -> Result<Events, AccessError> {
        Ok(Events {
            stream,
            kinesis: Json::kinesis(None, None, env.clone())?,
        })
    }

    /// Sends all of `events`; how many were not taken within `budget`.
    pub async fn send(&self, events: Vec<Event>, budget: Duration) -> usize {
        let end = Instant::now() + budget;
        let mut calls: Vec<Vec<Event>> = Vec::new();
        let mut bytes = MAX_CALL_BYTES;
        for event in events {
            let size = event.data.len() + event.partition_key.len();
            match calls.last_mut() {
                Some(call) if call.len() < MAX_CALL_RECORDS && bytes + size <= MAX_CALL_BYTES => {
                    bytes += size;
                    call.push(event);
                }
                _ => {
                    bytes = size;
                    calls.push(vec![event]);
                }
            }
        }
        let calls = calls.into_iter().map(|call| self.send_call(call, end));
        join_all(calls).await.into_iter().sum()
    }

    /// Sends what one call takes, and again what of it was refused.
    async fn send_call(&self, mut events: Vec<Event>, end: Instant) -> usize {
        let mut wait = FIRST_WAIT;
        loop {
            let limit = ATTEMPT.min(end.saturating_duration_since(Instant::now()));
            let body = PutRecords {
                stream_name: &self.stream,
                records: &events,
            };
            let why = match self.kinesis.call::<Put>("PutRecords", &body, limit).await {
                Ok(put) => {
                    let code = put.records.iter().find_map(|one| one.error_code.clone());
                    let mut answers = put.records.into_iter();
                    // No word about a record is no acknowledgement of it.
                    events.retain(|_| answers.next().is_none_or(|one| one.error_code.is_some()));
                    code.unwrap_or_default()
                }
                Err(error) if !error.is_passing() => {
                    self.gave_up(events.len(), &error);
                    return events.len();
                }
                Err(error) => error.to_string(),
            };
            if events.is_empty() {
                return 0;
            }
            let pause = wait.mul_f64(fastrand::f64());
            wait *= 2;
            if Instant::now() + pause >= end {
                self.gave_up(events.len(), &why);
                return events.len();
            }
            sleep(pause).await;
        }
    }

    fn gave_up(&self, lines: usize, why: &dyn std::fmt::Display) {
        tracing::error!(
            lines,
            stream = self.stream,
            "the data stream does not take them: {why}"
        );
    }
}
