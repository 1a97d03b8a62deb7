//! PHP's path: worker processes of the PHP command line that call
//! `exam_stream_put()`, and one that makes the blocking call of the paper's
//! Figure 2 with a share of the same records.
//!
//! The workers get no signal of the terminal: on Ctrl-C they see the end of
//! their input, and what they have accepted is in the spool.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow, bail};

/// `php -r` takes code without the opening tag.
fn script() -> String {
    [include_str!("putrecord.php"), include_str!("worker.php")]
        .concat()
        .replace("<?php", "")
}

/// Microseconds between two records of a [`Sampler`].
const SAMPLE_EVERY: u64 = 20_000;

/// What became of the lines of one worker.
#[derive(Default)]
pub struct Answers {
    /// Hashes of the accepted records' ids.
    pub accepted: Vec<u64>,
    /// From the browser's sending until put returned, microseconds.
    pub sent_to_put: Vec<u32>,
    /// The call itself, nanoseconds.
    pub call: Vec<u32>,
    pub stats: Option<serde_json::Value>,
}

pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    pending: Sender<(u64, u64)>,
    answers: JoinHandle<anyhow::Result<Answers>>,
}

/// How PHP is called.
#[derive(Clone)]
pub struct Php {
    pub program: String,
    /// `-d` settings: the extension and its INI.
    pub settings: Vec<String>,
}

impl Php {
    pub fn start(&self, arguments: &[&str]) -> anyhow::Result<Worker> {
        let mut command = Command::new(&self.program);
        for setting in &self.settings {
            command.args(["-d", setting]);
        }
        let mut child = command
            .args(["-r", &script(), "--"])
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the worker has no output")?;
        let (pending, sent) = channel();
        let answers = std::thread::spawn(move || read(BufReader::new(output), &sent));
        Ok(Worker {
            child,
            input,
            pending,
            answers,
        })
    }
}

fn read(output: impl BufRead, sent: &Receiver<(u64, u64)>) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    for line in output.lines() {
        let line = line?;
        if let Some(stats) = line.strip_prefix("stats ") {
            answers.stats = Some(serde_json::from_str(stats)?);
            continue;
        }
        let read = line
            .split_once(' ')
            .and_then(|(done, took)| Some((done.parse::<f64>().ok()?, took.parse::<u32>().ok()?)));
        let Some((done, took)) = read else {
            bail!("PHP says: {line}")
        };
        let (id, sent) = sent.recv()?;
        answers.accepted.push(id);
        answers
            .sent_to_put
            .push(((done * 1e6) as u64).saturating_sub(sent) as u32);
        answers.call.push(took);
    }
    Ok(answers)
}

impl Worker {
    /// Hands over a record that lacks `ts` and the closing brace.
    pub fn send(&mut self, id: u64, sent: u64, line: &[u8]) -> anyhow::Result<()> {
        // The receiver ends with the worker's output; the write says it better.
        let _ = self.pending.send((id, sent));
        let input = self.input.as_mut().context("the worker has been ended")?;
        input
            .write_all(line)
            .context("the PHP process has ended: see its message above")
    }

    /// No more records.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Waits until the worker has done with its records.
    pub fn finish(mut self) -> anyhow::Result<Answers> {
        self.close();
        let answers = self
            .answers
            .join()
            .map_err(|_| anyhow!("the reader of PHP panicked"))??;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("a PHP process ended with {status}");
        }
        Ok(answers)
    }
}

/// A worker that is offered records and takes some: a measurement that is not
/// to slow down what it is compared with.
pub struct Sampler {
    offer: SyncSender<(u64, Vec<u8>)>,
    next: u64,
    thread: JoinHandle<anyhow::Result<Answers>>,
}

impl Sampler {
    pub fn new(php: &Php, arguments: &[&str]) -> anyhow::Result<Sampler> {
        let mut worker = php.start(arguments)?;
        let (offer, records) = sync_channel::<(u64, Vec<u8>)>(1);
        let thread = std::thread::spawn(move || {
            for (sent, line) in records {
                worker.send(0, sent, &line)?;
            }
            worker.finish()
        });
        Ok(Sampler {
            offer,
            next: 0,
            thread,
        })
    }

    pub fn offer(&mut self, sent: u64, line: &[u8]) {
        if sent >= self.next {
            self.next = sent + SAMPLE_EVERY;
            // Busy with another: this record is none of the sample.
            let _ = self.offer.try_send((sent, line.to_vec()));
        }
    }

    pub fn finish(self) -> anyhow::Result<Answers> {
        drop(self.offer);
        self.thread
            .join()
            .map_err(|_| anyhow!("the blocking worker panicked"))?
    }
}

/// Median and 99th percentile.
pub fn percentiles(values: &mut [u32]) -> Option<(u32, u32)> {
    values.sort_unstable();
    let at = |q: f64| values.get(((values.len() as f64 * q) as usize).min(values.len() - 1));
    if values.is_empty() {
        None
    } else {
        Some((*at(0.5)?, *at(0.99)?))
    }
}
