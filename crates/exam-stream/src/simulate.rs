//! `exam-stream simulate`: a whole exam on this machine, and its truth.
//!
//! Records go where a PHP process puts them, into a spool; `exam-stream drain`
//! sends it, signed, to `exam-stream serve`, and both fold into Redis. The
//! three are started for the exam and ended with it. In the end the state store
//! must hold, for every student, what that student did, and cold storage every
//! record.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use exam_spool::{Appended, Config, Spool, Writer as Segment};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use rustix::process::{Pid, Signal, kill_process};

use crate::exam::audit::{audit, hash};
use crate::exam::play::{Pace, Schedule, interrupted, progress, wait_until};
use crate::exam::simulated::Simulated;
use crate::exam::truth::compare;
use crate::exam::{Exam, Writer, now, seconds};

const STREAM: &str = "exam";
const KEY: &str = "simulate";
const SECRET: &str = "simulate-secret";
const REGION: &str = "us-east-1";

/// Records that are written together when they are due together.
const TOGETHER: usize = 128;
const SEGMENT_BYTES: u64 = 32 << 20;
/// More than any record of the exam takes in the spool. With room for all of them the sender is
/// never made to leave records to `rebuild`, however slow this machine folds.
const RECORD_ROOM: u64 = 1024;

/// Simulate an exam of one hour: start rush, steady answers, last-minute rush, lost
/// connections, second devices, late and repeated records.
///
/// Redis needs some 8 KiB a student, cold storage some 7 KiB.
#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    students: u32,
    /// Play the hour within this time; a machine that is too slow takes longer
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Another number, another exam
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Web server processes that put
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    processes: u32,
    /// Limit of the spool in MiB: puts wait for room beyond it [default: room for the whole exam]
    #[arg(long)]
    spool_mib: Option<u64>,
    /// Directory for spool, cold storage and Redis, kept afterwards [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A state store that is already there, and empty, instead of a Redis of its own
    #[arg(long)]
    state: Option<String>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.minutes.is_nan() || args.minutes <= 0.0 {
        bail!("--minutes must be greater than 0");
    }
    let stop = interrupted()?;
    let exam = Simulated::new(args.students, args.seed);
    println!(
        "exam       {} students, {} records, one hour in {} min",
        HumanCount(args.students.into()),
        HumanCount(exam.records()),
        args.minutes
    );
    // Removed when this function returns.
    let temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
    let dir = args.dir.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let config = Config {
        dir: dir.join("spool"),
        max_bytes: args
            .spool_mib
            .map_or((1 << 30) + exam.records() * RECORD_ROOM, |mib| mib << 20),
        segment_bytes: SEGMENT_BYTES,
    };
    let spool = Spool::open(config)?;
    let servers = Servers::start(&dir, args.state, spool.config().max_bytes)?;

    let speed = exam.length() as f64 / 1e6 / (args.minutes * 60.0);
    let clock = Pace::Speed(speed).clock(&exam);
    let writer = Writer { exam: &exam, clock };
    let bar = progress(exam.records());
    let began = Instant::now();
    let played = Played::play(&writer, &spool, args.processes, &bar, &stop)?;
    let playing = began.elapsed();
    let Some(played) = played else {
        bar.finish_and_clear();
        eprintln!("exam-stream: interrupted");
        return Ok(ExitCode::from(130));
    };
    wait_until_settled(&spool, &bar, &stop)?;
    bar.finish_and_clear();
    let settling = began.elapsed() - playing;

    let totals = spool.totals()?;
    println!(
        "played     in {:.1} s ({:.0} records/s); all delivered and folded {:.1} s later",
        playing.as_secs_f64(),
        exam.records() as f64 / playing.as_secs_f64(),
        settling.as_secs_f64()
    );
    println!("accepted   {}", HumanCount(totals.accepted));
    println!("delivered  {}", HumanCount(totals.delivered));
    println!("folded     {}", HumanCount(totals.folded));
    if played.refused > 0 {
        println!(
            "           {} puts waited for room in the spool",
            HumanCount(played.refused)
        );
    }
    let audit = audit(&dir.join("server/cold"), played.ids)?;
    println!(
        "lost       {} of {} different records, looked for in {} lines of cold storage",
        HumanCount(audit.lost),
        HumanCount(audit.accepted),
        HumanCount(audit.lines)
    );
    let equal = compare(&servers.state, &writer, true)?;
    if let Some(bytes) = peak_memory() {
        println!("memory     {} at most in this process", HumanBytes(bytes));
    }
    let counted = [totals.accepted, totals.delivered, totals.folded] == [exam.records(); 3];
    Ok(if equal && counted && audit.lost == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What was put.
struct Played {
    ids: Vec<u64>,
    refused: u64,
}

impl Played {
    /// `None` if the exam was broken off.
    fn play(
        writer: &Writer<'_>,
        spool: &Spool,
        processes: u32,
        bar: &ProgressBar,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Played>> {
        let mut played = Played {
            ids: Vec::with_capacity(writer.exam.records() as usize),
            refused: 0,
        };
        let mut segments = (0..processes)
            .map(|_| {
                Ok(Process {
                    segment: spool.writer(STREAM)?,
                    lines: vec![],
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for (student, plan, sent) in Schedule::new(writer.exam) {
            let due = writer.clock.wall(sent.sent);
            if due > now() {
                for process in &mut segments {
                    process.put(&mut played.refused, stop)?;
                }
                bar.set_position(played.ids.len() as u64);
                wait_until(due, stop);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let process = &mut segments[student as usize % processes as usize];
            let mut line = Vec::with_capacity(512);
            writer.line(student, &plan, &sent.edit, &mut line);
            // The exam's clock, so that the truth knows when each was last seen.
            let ts = seconds(due);
            for part in [r#","sent":"#, &ts, r#","ts":"#, &ts, "}"] {
                line.extend_from_slice(part.as_bytes());
            }
            played
                .ids
                .push(hash(writer.id(student, &plan, &sent.edit).as_bytes()));
            process.lines.push(line);
            if process.lines.len() == TOGETHER {
                process.put(&mut played.refused, stop)?;
                bar.set_position(played.ids.len() as u64);
            }
        }
        for mut process in segments {
            process.put(&mut played.refused, stop)?;
            process.segment.seal();
        }
        Ok(Some(played))
    }
}

/// A web server process: its segment, and what it is about to put.
struct Process {
    segment: Segment,
    lines: Vec<Vec<u8>>,
}

impl Process {
    /// Puts all it has; waits for room if there is none.
    fn put(&mut self, refused: &mut u64, stop: &AtomicBool) -> anyhow::Result<()> {
        while !self.lines.is_empty() && !stop.load(Ordering::Relaxed) {
            let lines: Vec<&[u8]> = self.lines.iter().map(Vec::as_slice).collect();
            match self.segment.append(&lines)? {
                Appended::All => self.lines.clear(),
                Appended::Some(count) => {
                    self.lines.drain(..count);
                    *refused += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        Ok(())
    }
}

/// Waits as long as something moves.
fn wait_until_settled(spool: &Spool, bar: &ProgressBar, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut before = (0, 0);
    let mut moved = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let totals = spool.totals()?;
        bar.set_message(format!(
            "{} delivered, {} folded",
            HumanCount(totals.delivered),
            HumanCount(totals.folded)
        ));
        let reached = (totals.delivered, totals.folded);
        if reached == (totals.accepted, totals.accepted) {
            return Ok(());
        }
        if reached != before {
            before = reached;
            moved = Instant::now();
        }
        if moved.elapsed() > Duration::from_secs(60) {
            bail!(
                "nothing has moved for a minute: {} accepted, {} delivered, {} folded",
                totals.accepted,
                totals.delivered,
                totals.folded
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("interrupted")
}

/// The servers of the exam; ended when dropped, the last started first.
struct Servers {
    running: Vec<Child>,
    state: String,
}

impl Servers {
    fn start(dir: &Path, state: Option<String>, spool_bytes: u64) -> anyhow::Result<Servers> {
        let mut servers = Servers {
            running: vec![],
            state: String::new(),
        };
        servers.state = match state {
            Some(url) => url,
            None => servers.start_redis(dir)?,
        };
        let program = std::env::current_exe().context("cannot find this program itself")?;
        let mut serve = Command::new(&program);
        serve
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--stream",
                STREAM,
                "--access-key",
                KEY,
            ])
            .args(["--state", &servers.state, "--dir"])
            .arg(dir.join("server"))
            .env("EXAM_STREAM_SECRET_KEY", SECRET)
            .stdout(Stdio::piped());
        servers.spawn(serve, &dir.join("serve.log"))?;
        let mut endpoint = String::new();
        if let Some(output) = servers
            .running
            .last_mut()
            .and_then(|serve| serve.stdout.take())
        {
            BufReader::new(output).read_line(&mut endpoint)?;
        }
        if endpoint.is_empty() {
            let mut log = String::new();
            std::fs::File::open(dir.join("serve.log"))?.read_to_string(&mut log)?;
            bail!("the local server did not start: {log}");
        }
        let mut drain = Command::new(&program);
        drain
            .args([
                "drain",
                "--endpoint",
                endpoint.trim(),
                "--state",
                &servers.state,
            ])
            .arg("--spool-dir")
            .arg(dir.join("spool"))
            .args(["--spool-max-bytes", &spool_bytes.to_string()])
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", REGION);
        servers.spawn(drain, &dir.join("drain.log"))?;
        Ok(servers)
    }

    fn start_redis(&mut self, dir: &Path) -> anyhow::Result<String> {
        let data = dir.join("redis");
        std::fs::create_dir_all(&data)?;
        // Free at this moment, which is all that can be known.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut redis = Command::new("redis-server");
        redis
            .stdout(Stdio::null())
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(data);
        self.spawn(redis, &dir.join("redis.log"))
            .context("cannot start redis-server: install it, or give --state")?;
        let address = format!("127.0.0.1:{port}");
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&address).is_err() {
            if Instant::now() > until {
                bail!(
                    "redis-server does not answer: see {}",
                    dir.join("redis.log").display()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(format!("redis://{address}/0"))
    }

    /// Apart from the terminal: Ctrl-C is for this process to handle.
    fn spawn(&mut self, mut command: Command, log: &Path) -> anyhow::Result<()> {
        let child = command
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(log)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {:?}", command.get_program()))?;
        self.running.push(child);
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().rev() {
            // Not waited for yet, so the number is still its own.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// The greatest resident size of this process, from /proc.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
