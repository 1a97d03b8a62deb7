//! The lines of a Firehose record, and their shapes in the queues.

use std::io::{Read, Write};

use anyhow::{Context, bail};
use exam_record::Malformed;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::queue::MAX_MESSAGE;

/// Lines in one redrive message, uncompressed: even what cannot be compressed is, as base64 and
/// with the message around it, below [`MAX_MESSAGE`].
const REDRIVE_BYTES: usize = 700 << 10;
/// What a redrive message may hold: one of ours holds [`REDRIVE_BYTES`] at most.
const MOST_REDRIVEN: u64 = 16 << 20;
/// A dead line is cut here; cold storage has all of it.
const MOST_DEAD: usize = 512 << 10;
/// Messages of dead letters that a call sends, after which lines are only counted: a blob of
/// nothing but newlines between single bytes is millions of them.
const MOST_DEAD_MESSAGES: usize = 8;

/// The lines of a record with their numbers from 1, without their newlines; blank ones left out.
pub fn lines(record: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', record).chain([record.len()]);
    let lines = ends.map(move |end| &record[std::mem::replace(&mut from, end + 1)..end]);
    lines
        .enumerate()
        .filter_map(|(n, line)| (!line.trim_ascii().is_empty()).then_some((n + 1, line)))
}

/// A redrive message: lines that still have to be folded.
#[derive(Serialize, Deserialize)]
pub struct Redrive {
    pub v: u32,
    pub stream: String,
    /// Why they were not folded.
    pub why: String,
    pub lines: usize,
    /// The lines, gzip, base64.
    pub gzip: String,
}

impl Redrive {
    /// Redrive messages that hold all of `lines`.
    pub fn messages<'a>(
        stream: &str,
        why: &str,
        all: impl Iterator<Item = &'a [u8]>,
    ) -> anyhow::Result<Vec<String>> {
        let mut messages = Vec::new();
        let mut waiting = Vec::new();
        let mut count = 0;
        let mut close = |waiting: &mut Vec<u8>, count: &mut usize| -> anyhow::Result<()> {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(waiting)?;
            let message = Redrive {
                v: 1,
                stream: stream.to_owned(),
                why: why.to_owned(),
                lines: std::mem::take(count),
                gzip: base64_simd::STANDARD.encode_to_string(gzip.finish()?),
            };
            waiting.clear();
            messages.push(serde_json::to_string(&message)?);
            Ok(())
        };
        for line in all {
            if count > 0 && waiting.len() + line.len() >= REDRIVE_BYTES {
                close(&mut waiting, &mut count)?;
            }
            waiting.extend_from_slice(line);
            waiting.push(b'\n');
            count += 1;
        }
        if count > 0 {
            close(&mut waiting, &mut count)?;
        }
        Ok(messages)
    }

    /// The message and its lines, each ended by a newline.
    pub fn read(body: &str) -> anyhow::Result<(Redrive, Vec<u8>)> {
        let message: Redrive = serde_json::from_str(body).context("no redrive message")?;
        if message.v != 1 {
            bail!("a redrive message of version {}", message.v);
        }
        let gzip = base64_simd::STANDARD.decode_to_vec(&message.gzip)?;
        let mut lines = Vec::new();
        GzDecoder::new(&gzip[..])
            .take(MOST_REDRIVEN)
            .read_to_end(&mut lines)?;
        Ok((message, lines))
    }
}

/// Dead letters: lines that are no record, many to a message, one JSON object a line.
#[derive(Default)]
pub struct DeadLetters {
    full: Vec<String>,
    filling: String,
    /// All of them, those that were only counted included.
    pub count: usize,
    only_counted: usize,
}

#[derive(Serialize)]
struct DeadLetter<'a> {
    /// As `exam-stream serve` keeps what it cannot read.
    bytes: String,
    /// All of the line's, where only the first of them are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    why: String,
    stream: &'a str,
    record: &'a str,
    line: usize,
}

impl DeadLetters {
    pub fn add(&mut self, stream: &str, record: &str, line: (usize, &[u8]), why: &impl ToString) {
        self.count += 1;
        if self.full.len() >= MOST_DEAD_MESSAGES {
            self.only_counted += 1;
            return;
        }
        let (number, bytes) = line;
        let letter = serde_json::to_string(&DeadLetter {
            bytes: base64_simd::STANDARD.encode_to_string(&bytes[..bytes.len().min(MOST_DEAD)]),
            length: (bytes.len() > MOST_DEAD).then_some(bytes.len()),
            why: why.to_string(),
            stream,
            record,
            line: number,
        });
        // Texts and numbers: there is nothing in it that could not be written.
        let letter = letter.unwrap_or_default();
        if !self.filling.is_empty() && self.filling.len() + 1 + letter.len() > MAX_MESSAGE {
            self.full.push(std::mem::take(&mut self.filling));
        }
        if !self.filling.is_empty() {
            self.filling.push('\n');
        }
        self.filling += &letter;
    }

    pub fn into_messages(mut self) -> Vec<String> {
        if !self.filling.is_empty() {
            self.full.push(self.filling);
        }
        if self.only_counted > 0 {
            let why = "as many lines more are no records; cold storage has them";
            let letter = serde_json::json!({ "only_counted": self.only_counted, "why": why });
            self.full.push(letter.to_string());
        }
        self.full
    }
}

/// Whether a line writes to the state, as [`exam_state::FoldBatch::push`] says.
pub fn folds(line: &[u8]) -> Result<bool, Malformed> {
    Ok(exam_record::fold(line)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON that gzip cannot make smaller.
    fn noise(bytes: usize) -> String {
        std::iter::repeat_with(fastrand::alphanumeric)
            .take(bytes)
            .collect()
    }

    #[test]
    fn every_message_is_within_what_a_queue_takes_and_none_loses_a_line() {
        let lines: Vec<String> = (0..40).map(|n| noise(n * 6_600)).collect();
        let all = lines.iter().map(|line| line.as_bytes());
        let messages = Redrive::messages("arn:exam", "because", all).unwrap();
        assert!(messages.len() > 4);
        let mut back = Vec::new();
        for message in &messages {
            assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
            let (message, lines) = Redrive::read(message).unwrap();
            let lines = String::from_utf8(lines).unwrap();
            assert_eq!(lines.lines().count(), message.lines);
            back.extend(lines.lines().map(str::to_owned));
        }
        assert_eq!(back, lines);
        assert!(
            Redrive::messages("", "", [].into_iter())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn bytes_that_compress_to_nothing_smaller_still_fit() {
        let random: Vec<u8> = (0..REDRIVE_BYTES - 1).map(|_| fastrand::u8(..)).collect();
        let messages = Redrive::messages("s", "w", [&random[..]].into_iter()).unwrap();
        assert!(messages[0].len() <= MAX_MESSAGE);
    }

    #[test]
    fn dead_letters_share_messages_and_a_huge_one_is_cut() {
        let mut dead = DeadLetters::default();
        for n in 1..=3_000 {
            dead.add("s", "r", (n, &[0xFF; 500]), &"no record");
        }
        dead.add("s", "r", (3_001, &vec![b'x'; 1_000 << 10]), &"too long");
        assert_eq!(dead.count, 3_001);
        let messages = dead.into_messages();
        assert!(messages.len() < 6);
        assert!(messages.iter().all(|m| m.len() <= MAX_MESSAGE));
        let last = messages.last().unwrap().lines().last().unwrap();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&last["line"], &last["length"]),
            (&3_001.into(), &(1_000 << 10).into())
        );
    }

    #[test]
    fn millions_of_dead_lines_are_some_messages_and_a_number() {
        let mut dead = DeadLetters::default();
        for n in 1..=1_000_000 {
            dead.add("s", "r", (n, b"x"), &"no record");
        }
        assert_eq!(dead.count, 1_000_000);
        let messages = dead.into_messages();
        assert!(messages.len() <= MOST_DEAD_MESSAGES + 2);
        assert!(messages.iter().all(|m| m.len() <= MAX_MESSAGE));
        let (number, letters) = messages.split_last().unwrap();
        let told: usize = letters.iter().map(|message| message.lines().count()).sum();
        let number: serde_json::Value = serde_json::from_str(number).unwrap();
        assert_eq!(number["only_counted"], 1_000_000 - told);
    }

    #[test]
    fn a_message_of_somebody_else_is_refused() {
        for body in [
            "",
            "{}",
            r#"{"v":2,"stream":"","why":"","lines":0,"gzip":""}"#,
            r#"{"v":1,"stream":"","why":"","lines":0,"gzip":"AAAA"}"#,
        ] {
            assert!(Redrive::read(body).is_err(), "{body}");
        }
    }
}
