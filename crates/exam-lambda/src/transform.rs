//! Firehose's event: fold, and give back.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, anyhow};
use exam_state::FoldBatch;
use serde_json::value::{RawValue, to_raw_value};

use crate::Function;
use crate::event::{Answer, Outcome, Record, Transformed, text};
use crate::events::Lines;
use crate::lines::{DeadLetters, Redrive, folds, lines};
use crate::metrics::Counts;
use crate::store::Folds;

/// Bytes of an answer, 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>). Lambda's own refusal
/// names 6,291,556.
const MAX_ANSWER: usize = 6 << 20;
/// `{"records":[]}`.
const AROUND: usize = 16;
/// `{"recordId":,"result":"ProcessingFailed","data":},`.
const AROUND_RECORD: usize = 52;

/// Lines that are read before folds under way may go on.
const LINES: usize = 5;

/// At most this long for the store, and for the queues: an invocation that waits holds Firehose's
/// buffer, and is paid for.
const STORE: Duration = Duration::from_secs(3);
const QUEUES: Duration = Duration::from_secs(10);

impl Function {
    pub async fn transform(
        &self,
        mut records: Vec<Record<'_>>,
        stream: &str,
        left: Duration,
    ) -> anyhow::Result<Box<RawValue>> {
        let mut counts = Counts::default();
        let mut folds = Folds::new(&self.store, STORE.min(left / 3));
        let mut batch = FoldBatch::new();
        let mut dead = DeadLetters::default();
        let mut analysed = Lines::default();
        let mut bytes = Vec::new();
        for record in &mut records {
            // Firehose sends base64. Anything else is given back as it came, and told.
            if !decode(&record.data, &mut bytes) {
                let data = text(&record.data);
                counts.lines += 1;
                dead.add(
                    stream,
                    &text(record.record_id),
                    (1, data.as_bytes()),
                    &"no base64",
                );
                continue;
            }
            for (number, line) in lines(&bytes) {
                counts.lines += 1;
                match batch.push(line) {
                    Ok(true) => counts.folded += 1,
                    Ok(false) => {}
                    Err(why) => dead.add(stream, &text(record.record_id), (number, line), &why),
                }
                folds.begin(&mut batch).await;
                if counts.lines % LINES == 0 {
                    folds.go_on().await;
                }
                if self.events.is_some() {
                    analysed.push(line);
                }
            }
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
                let data = base64_simd::STANDARD.encode_to_string(&bytes);
                record.data = Cow::Owned(to_raw_value(&data)?);
            }
        }
        folds.finish(batch).await;
        let answered = to_raw_value(&answer(&records, &mut counts.overflowed))?;
        let outcome = tokio::join!(
            folds.end(),
            self.bury(
                dead,
                &mut counts.dead_letters,
                &mut counts.dead_letters_unsent,
                left
            ),
            async {
                match &self.events {
                    Some(events) => events.put(analysed, STORE.min(left / 3)).await,
                    None => 0,
                }
            },
        );
        let ((folded, time), (), left_out) = outcome;
        counts.fold = time;
        counts.events_left_out = left_out;
        let mut marked = Ok(());
        if let Err(error) = folded {
            tracing::warn!(
                lines = counts.folded,
                "the fold is left to the redrive queue: {error}"
            );
            counts.store_errors = 1;
            counts.redriven = std::mem::take(&mut counts.folded);
            marked = self.mark(&records, stream, &error.to_string(), left).await;
        }
        self.metrics.emit(&counts);
        marked.map(|()| answered)
    }

    /// Sends dead letters. A queue that takes none of them keeps nothing else from being done.
    async fn bury(&self, dead: DeadLetters, count: &mut usize, unsent: &mut usize, left: Duration) {
        *count = dead.count;
        let messages = dead.into_messages();
        if let Err(error) = self.dead.send(&messages, QUEUES.min(left / 3)).await {
            *unsent = *count;
            tracing::error!(
                lines = *count,
                "the dead-letter queue does not take them: {error}"
            );
        }
    }

    /// Sends what was not folded to the redrive queue.
    async fn mark(
        &self,
        records: &[Record<'_>],
        stream: &str,
        why: &str,
        left: Duration,
    ) -> anyhow::Result<()> {
        let mut all = Vec::new();
        let mut bytes = Vec::new();
        for record in records {
            if decode(&record.data, &mut bytes) {
                all.append(&mut bytes);
            }
        }
        let unfolded = lines(&all).map(|(_, line)| line);
        let unfolded = unfolded.filter(|line| folds(line).unwrap_or(false));
        let messages = Redrive::messages(stream, why, unfolded).context("packing a redrive")?;
        let sent = self.redrive.send(&messages, QUEUES.min(left / 3)).await;
        sent.map_err(|error| {
            tracing::error!(
                "nor does the redrive queue take it, so this invocation fails: {error}"
            );
            anyhow!(
                "neither the state store ({why}) nor the redrive queue ({error}) takes these \
                 records; what Firehose cannot have transformed it keeps below its error prefix"
            )
        })
    }
}

/// Into `bytes`; false if it is no string of base64.
fn decode(data: &RawValue, bytes: &mut Vec<u8>) -> bool {
    let mut decodes = |text: &str| {
        bytes.clear();
        let decoded = base64_simd::STANDARD.decode_append(text.as_bytes(), bytes);
        decoded.is_ok()
    };
    let json = data.get();
    let quoted = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    // JSON may escape what it need not.
    quoted.is_some_and(|text| decodes(text) || decodes(&self::text(data)))
}

/// The answer, within what Lambda lets through. A request has the same limit, and more around each
/// record than an answer, so that only a Lambda that changed would bring one that does not fit.
fn answer<'a>(records: &'a [Record<'_>], overflowed: &mut usize) -> Answer<'a> {
    let mut room = MAX_ANSWER - AROUND;
    let around = |record: &Record<'_>| AROUND_RECORD + record.record_id.get().len();
    for record in records {
        room = room.saturating_sub(around(record));
    }
    let transformed = records.iter().map(|record| {
        let length = record.data.get().len();
        let fits = length <= room;
        if fits {
            room -= length;
        } else {
            *overflowed += 1;
        }
        Transformed {
            record_id: record.record_id,
            result: if fits {
                Outcome::Ok
            } else {
                Outcome::ProcessingFailed
            },
            data: fits.then_some(Cow::Borrowed(&record.data)),
        }
    });
    Answer::Firehose {
        records: transformed.collect(),
    }
}
