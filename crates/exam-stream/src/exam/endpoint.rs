//! Straight to an endpoint of the Firehose API: no PHP, no spool.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use exam_delivery::Firehose;
use exam_delivery::{AwsEnv, PutBatch, PutError, firehose};
use tokio::runtime::Runtime;

/// PutRecordBatch: records and bytes in a call.
const MAX_RECORDS: usize = 500;
const MAX_BYTES: usize = 4 << 20;

/// How often a call is tried; a replay has nobody to keep the records for.
const TRIES: u32 = 8;

pub struct Endpoint {
    client: Firehose,
    runtime: Runtime,
    stream: String,
    waiting: Vec<(u64, Bytes)>,
    bytes: usize,
    accepted: Vec<u64>,
}

impl Endpoint {
    pub fn open(url: &str, stream: &str) -> anyhow::Result<Endpoint> {
        Ok(Endpoint {
            client: firehose(Some(url), None, AwsEnv::snapshot())?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            stream: stream.to_owned(),
            waiting: vec![],
            bytes: 0,
            accepted: vec![],
        })
    }

    pub fn send(&mut self, id: u64, line: &[u8]) -> anyhow::Result<()> {
        self.waiting.push((id, Bytes::copy_from_slice(line)));
        self.bytes += line.len();
        if self.waiting.len() == MAX_RECORDS || self.bytes > MAX_BYTES / 2 {
            self.flush()?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> anyhow::Result<()> {
        for attempt in 0.. {
            if self.waiting.is_empty() {
                break;
            }
            if attempt == TRIES {
                bail!("{} records were refused {TRIES} times", self.waiting.len());
            }
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(50 << attempt));
            }
            let records = self.waiting.iter().map(|(_, line)| line.clone()).collect();
            match self
                .runtime
                .block_on(self.client.put(&self.stream, records))
            {
                Ok(answers) => {
                    let sent = std::mem::take(&mut self.waiting);
                    for (record, error) in sent.into_iter().zip(answers) {
                        match error {
                            None => self.accepted.push(record.0),
                            Some(_) => self.waiting.push(record),
                        }
                    }
                }
                Err(PutError::Throttled(_) | PutError::Unavailable(_)) if attempt + 1 < TRIES => {}
                Err(error) => return Err(error).context("PutRecordBatch"),
            }
        }
        self.bytes = 0;
        Ok(())
    }

    /// The ids of the records that were acknowledged.
    pub fn finish(mut self) -> anyhow::Result<Vec<u64>> {
        self.flush()?;
        Ok(self.accepted)
    }
}
