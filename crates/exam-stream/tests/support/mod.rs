//! Real processes for the tests: `exam-stream serve` and `redis-server`, on free
//! ports, in directories of their own, ended with the value that stands for them.

// Each test program uses its part of this.
#![allow(dead_code)]

pub mod client;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use exam_cold::{Select, Tree};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_exam-stream");

/// A running `serve`.
pub struct Serve {
    pub process: Child,
    pub url: String,
}

impl Serve {
    /// Starts it on `dir` with the stream `exam` and more arguments.
    pub fn start(dir: &Path, arguments: &[&str]) -> Serve {
        let mut process = Command::new(PROGRAM)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--stream",
                "exam",
                "--dir",
            ])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut url = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("it prints its address");
        assert!(url.starts_with("http://"), "serve did not start: {url:?}");
        Serve {
            process,
            url: url.trim().to_owned(),
        }
    }

    pub async fn client(&self) -> client::Client {
        client::Client::connect(&self.url, None)
            .await
            .expect("it listens")
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// SIGTERM; returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A running `redis-server` without persistence: started again, it is empty.
pub struct Redis {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Redis {
    /// None, loudly, where there is none.
    pub fn start() -> Option<Redis> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            skipped("redis-server is not installed");
            return None;
        }
        let dir = scratch();
        let port = free_port();
        let process = Redis::process(port, dir.path());
        let redis = Redis { process, port, dir };
        redis.ready();
        Some(redis)
    }

    fn process(port: u16, dir: &Path) -> Child {
        Command::new("redis-server")
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
                &port.to_string(),
                "--dir",
            ])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts")
    }

    fn ready(&self) {
        until("redis-server answers", || {
            self.cli(&["ping"]).contains("PONG")
        });
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(arguments)
            .output();
        String::from_utf8_lossy(&output.expect("redis-cli runs").stdout).into_owned()
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    pub fn start_again(&mut self) {
        self.process = Redis::process(self.port, self.dir.path());
        self.ready();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says so where a test cannot be made; `EXAM_STREAM_TEST_ALL` makes that a failure.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("EXAM_STREAM_TEST_ALL").is_none(),
        "cannot be tested: {why}"
    );
    // Not by eprintln!, which the test harness hides where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// A directory of the test's own, below `TEST_TMP` where that is set.
pub fn scratch() -> TempDir {
    match std::env::var_os("TEST_TMP") {
        Some(parent) => TempDir::new_in(parent),
        None => TempDir::new(),
    }
    .expect("a scratch directory")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the program to its end.
pub fn exam_stream(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// All lines of a tree (`cold` or `unparsed`) of a serve's directory.
pub fn lines(dir: &Path, tree: &str) -> Vec<String> {
    let tree = match tree {
        "unparsed" => Tree::Unparsed,
        _ => Tree::Cold,
    };
    let mut all = Vec::new();
    for part in exam_cold::parts(dir, tree, &Select::default()).expect("readable directories") {
        let mut text = String::new();
        part.open_bytes(0)
            .expect("a part that can be opened")
            .read_to_string(&mut text)
            .expect("a readable part");
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "torn: {}",
            part.name
        );
        all.extend(text.lines().map(str::to_owned));
    }
    all
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.map(|e| e.expect("a readable directory").path());
    let mut found: Vec<PathBuf> = paths
        .flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] })
        .collect();
    found.sort();
    found
}
