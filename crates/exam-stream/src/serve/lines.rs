//! From a Firehose record's bytes to lines of cold storage.
//!
//! A record holds any number of lines. Each that is one JSON value becomes a
//! line under the hour of its event time. A record that is one JSON value over several lines
//! becomes one line. Whatever else was acknowledged is kept byte for byte under
//! `unparsed`, a run of such lines as one piece.

use std::sync::Arc;

use exam_cold::{Hour, Place, Tree};

/// Sorts lines of one request by the place they go to.
pub struct Sorter {
    stream: Arc<str>,
    arrival: Hour,
    bytes: usize,
    chunks: Vec<(Place, Vec<u8>)>,
    pub lines: u64,
    pub unparsed: u64,
}

impl Sorter {
    /// `bytes`: of the request's records together, nearly always all of one place.
    pub fn new(stream: Arc<str>, arrival: Hour, bytes: usize) -> Self {
        Sorter {
            stream,
            arrival,
            bytes,
            chunks: Vec::new(),
            lines: 0,
            unparsed: 0,
        }
    }

    pub fn into_chunks(self) -> Vec<(Place, Vec<u8>)> {
        self.chunks
    }

    pub fn add(&mut self, record: &[u8]) {
        let mut start = 0;
        let mut bad: Option<usize> = None;
        while start < record.len() {
            let end = memchr::memchr(b'\n', &record[start..]).map_or(record.len(), |n| start + n);
            let line = &record[start..end];
            match exam_record::timed_line(line) {
                Ok((line, time)) => {
                    self.keep_unparsed(&record[bad.take().unwrap_or(start)..start]);
                    self.keep(&line, time);
                }
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) if bad.is_none() => match exam_record::timed_line(&record[start..]) {
                    Ok((whole, time)) => return self.keep(&whole, time),
                    Err(_) => bad = Some(start),
                },
                Err(_) => {}
            }
            start = end + 1;
        }
        self.keep_unparsed(&record[bad.unwrap_or(record.len())..]);
    }

    fn keep(&mut self, line: &[u8], time: Option<u64>) {
        let hour = time.map_or(self.arrival, Hour::of_micros);
        let chunk = self.chunk(Tree::Cold, hour);
        chunk.extend_from_slice(line);
        chunk.push(b'\n');
        self.lines += 1;
    }

    fn keep_unparsed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let chunk = self.chunk(Tree::Unparsed, self.arrival);
        chunk.extend_from_slice(br#"{"bytes":""#);
        base64_simd::STANDARD.encode_append(bytes, chunk);
        chunk.extend_from_slice(b"\"}\n");
        self.unparsed += 1;
    }

    /// Few places a request, nearly always one: looked for from the latest.
    fn chunk(&mut self, tree: Tree, hour: Hour) -> &mut Vec<u8> {
        let found = self
            .chunks
            .iter()
            .rposition(|(p, _)| p.hour == hour && p.tree == tree);
        let index = found.unwrap_or_else(|| {
            let place = Place {
                tree,
                stream: self.stream.clone(),
                hour,
            };
            let room = std::mem::take(&mut self.bytes);
            self.chunks.push((place, Vec::with_capacity(room)));
            self.chunks.len() - 1
        });
        &mut self.chunks[index].1
    }
}
