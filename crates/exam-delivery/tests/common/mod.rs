//! A spool in a temporary directory, a scripted Firehose, and waiting.
#![allow(dead_code)] // each test binary uses its own part

use bytes::Bytes;
use exam_delivery::{
    Client, PutBatch, PutError, RecordError, SenderConfig, SenderHandle, Status, Store, spawn,
};
use exam_spool::{Config, Spool, Writer};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub fn spool(dir: &Path) -> Spool {
    spool_of(dir, 1 << 30)
}

pub fn spool_of(dir: &Path, max_bytes: u64) -> Spool {
    Spool::open(Config {
        dir: dir.join("spool"),
        max_bytes,
        segment_bytes: 8 << 20,
    })
    .unwrap()
}

/// Puts lines `{"id":"<prefix><n>"}`.
pub fn put(writer: &mut Writer, prefix: &str, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let line = format!("{{\"id\":\"{prefix}{n}\"}}");
        assert_eq!(
            writer.append(&[line.as_bytes()]).unwrap(),
            exam_spool::Appended::All
        );
    }
}

pub type Answer = Result<Vec<Option<RecordError>>, PutError>;
/// What a fake does with the nth call (from 1) to a stream.
pub type Script = Box<dyn FnMut(&str, usize, &[Bytes]) -> Answer + Send>;

/// A Firehose that keeps what it took and does as the script says.
#[derive(Clone)]
pub struct Fake(Arc<Mutex<Inner>>);

struct Inner {
    script: Script,
    calls: HashMap<String, usize>,
    taken: HashMap<String, HashMap<String, usize>>,
}

pub fn take_all(records: &[Bytes]) -> Answer {
    Ok(vec![None; records.len()])
}

pub fn has(records: &[Bytes], id: &str) -> bool {
    records.iter().any(|r| ids(r).iter().any(|i| i == id))
}

fn ids(record: &[u8]) -> Vec<String> {
    std::str::from_utf8(record)
        .unwrap()
        .lines()
        .map(|l| {
            l.split("\"id\":\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

impl Fake {
    pub fn new(script: impl FnMut(&str, usize, &[Bytes]) -> Answer + Send + 'static) -> Fake {
        Fake(Arc::new(Mutex::new(Inner {
            script: Box::new(script),
            calls: HashMap::new(),
            taken: HashMap::new(),
        })))
    }

    pub fn client(&self) -> Client {
        let fake = self.clone();
        Box::new(move || Ok(Arc::new(fake.clone())))
    }

    pub fn calls(&self, stream: &str) -> usize {
        *self.0.lock().unwrap().calls.get(stream).unwrap_or(&0)
    }

    /// Distinct ids taken.
    pub fn taken(&self, stream: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .taken
            .get(stream)
            .map_or(0, HashMap::len)
    }

    /// Ids taken more than once.
    pub fn twice(&self, stream: &str) -> usize {
        let inner = self.0.lock().unwrap();
        inner
            .taken
            .get(stream)
            .map_or(0, |t| t.values().filter(|n| **n > 1).count())
    }
}

#[async_trait::async_trait]
impl PutBatch for Fake {
    async fn put(&self, stream: &str, records: Vec<Bytes>) -> Answer {
        tokio::task::yield_now().await;
        let mut inner = self.0.lock().unwrap();
        let call = inner.calls.entry(stream.to_owned()).or_default();
        *call += 1;
        let call = *call;
        let answer = (inner.script)(stream, call, &records);
        // A timeout may come after the write: the script says so by its words.
        let written_anyway = matches!(&answer, Err(PutError::Unavailable(w)) if w == "written");
        let taken = inner.taken.entry(stream.to_owned()).or_default();
        for (i, record) in records.iter().enumerate() {
            if written_anyway || answer.as_ref().is_ok_and(|a| a[i].is_none()) {
                for id in ids(record) {
                    *taken.entry(id).or_default() += 1;
                }
            }
        }
        answer
    }
}

pub fn quick() -> SenderConfig {
    SenderConfig {
        linger: Duration::from_millis(5),
        ..SenderConfig::default()
    }
}

pub fn start(spool: &Spool, fake: &Fake) -> SenderHandle {
    start_with(spool, fake, None)
}

pub fn start_with(spool: &Spool, fake: &Fake, store: Option<Store>) -> SenderHandle {
    spawn(spool.clone(), fake.client(), store, quick()).unwrap()
}

/// Waits until it is so, or fails.
pub fn eventually(what: &str, seconds: u64, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(
            start.elapsed() < Duration::from_secs(seconds),
            "not within {seconds} s: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

pub fn status(spool: &Spool) -> Status {
    Status::read(spool).unwrap().unwrap_or_default()
}

pub fn stream(spool: &Spool, name: &str) -> exam_delivery::StreamStatus {
    status(spool).streams.get(name).cloned().unwrap_or_default()
}

pub fn error(code: &str) -> Option<RecordError> {
    Some(RecordError {
        code: code.into(),
        message: "scripted".into(),
    })
}
