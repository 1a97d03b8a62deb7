//! The subcommands that work on a spool: `drain`, `status`, `rebuild`, `doctor`.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use exam_record::make::{self, Attempt, Stamp};
use exam_spool::{Config, Spool};
use serde_json::Value;
use support::{PROGRAM, Redis, Serve, exam_stream, lines, scratch};

fn spool(dir: &Path) -> Spool {
    let config = Config {
        dir: dir.to_owned(),
        max_bytes: 1 << 30,
        segment_bytes: 64 << 20,
    };
    Spool::open(config).expect("a spool")
}

/// Accepts `records` lines of 10 attempts for a delivery stream.
fn accept(spool: &Spool, stream: &str, records: i64) {
    let mut writer = spool.writer(stream).expect("a stream's name");
    for n in 0..records {
        let attempt = Attempt {
            site: "m".into(),
            quiz: 1,
            attempt: n % 10 + 1,
            usage: 1,
            student_id: 1,
        };
        let (id, at) = (format!("{stream}-{n}"), 1_760_000_000_000_000 + n as u64);
        let stamp = Stamp {
            id: &id,
            ts: at,
            at,
            page: "p",
            seq: n,
        };
        let line = make::answer(&attempt, &stamp, 1, 1, 1, &[("answer", &id)]);
        writer.append(&[line.as_bytes()]).expect("room");
    }
    writer.seal();
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    // No look for an instance's role, which only EC2 answers.
    command
        .args(arguments)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("it starts")
}

fn status(dir: &str) -> Value {
    serde_json::from_slice(&run(&["status", "--json", "--spool-dir", dir]).stdout).expect("JSON")
}

#[test]
fn drain_once_empties_the_spool_and_status_tells() {
    let Some(redis) = Redis::start() else { return };
    let (dir, data) = (scratch(), scratch());
    let serve = Serve::start(data.path(), &[]);
    let spool = spool(&dir.path().join("spool"));
    let path = spool.path().to_str().expect("UTF-8");
    accept(&spool, "exam", 3_000);
    let before = status(path);
    assert_eq!(
        (&before["accepted"], &before["delivered"]),
        (&3_000.into(), &0.into())
    );
    assert!(before["oldest_undelivered"].as_f64().is_some());

    let drain = [
        "drain",
        "--once",
        "--spool-dir",
        path,
        "--endpoint",
        &serve.url,
        "--state",
        &redis.url(),
    ];
    let drained = run(&drain);
    assert!(
        drained.status.success(),
        "{}",
        String::from_utf8_lossy(&drained.stderr)
    );
    assert_eq!(lines(data.path(), "cold").len(), 3_000);
    let after = status(path);
    for name in ["accepted", "delivered", "folded"] {
        assert_eq!(after[name], 3_000, "{name}");
    }
    assert!(after["oldest_undelivered"].is_null() && after["sender_pid"].is_null());
    let text = String::from_utf8(run(&["status", "--spool-dir", path]).stdout).expect("UTF-8");
    assert!(text.contains("delivered           3,000"), "{text}");
    // What was written through is what cold storage says.
    let data = data.path().to_str().expect("UTF-8");
    assert!(
        exam_stream(&["rebuild", data, "--check", &redis.url()])
            .status
            .success()
    );
}

#[test]
fn drain_once_says_what_holds_a_stream_and_sends_it_when_that_is_mended() {
    let (dir, data) = (scratch(), scratch());
    let serve = Serve::start(data.path(), &[]);
    let spool = spool(&dir.path().join("spool"));
    let path = spool.path().to_str().expect("UTF-8");
    accept(&spool, "exam", 10);
    accept(&spool, "exma", 10);
    let drain = |more: &[&str]| {
        run(&[
            &[
                "drain",
                "--once",
                "--timeout",
                "5",
                "--spool-dir",
                path,
                "--endpoint",
                &serve.url,
            ],
            more,
        ]
        .concat())
    };
    let held = drain(&[]);
    assert_eq!(held.status.code(), Some(1));
    let said = String::from_utf8_lossy(&held.stderr);
    assert!(said.contains("Firehose exma under account"), "{said}");
    assert_eq!(
        lines(data.path(), "cold").len(),
        10,
        "the stream beside it is delivered"
    );
    std::fs::write(data.path().join("streams/exma.json"), "{\"created\":0}").expect("writable");
    drop(serve);
    let serve = Serve::start(data.path(), &[]);
    let sent = run(&[
        "drain",
        "--once",
        "--spool-dir",
        path,
        "--endpoint",
        &serve.url,
    ]);
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    assert_eq!(lines(data.path(), "cold").len(), 20);
}

#[test]
fn rebuild_reads_what_is_still_in_the_spool_and_what_was_put_aside() {
    let dir = scratch();
    let spool = spool(&dir.path().join("spool"));
    accept(&spool, "exam", 5);
    let aside = br#"{"user":"bob","status":"s12","time":1760000000.5}"#;
    spool.quarantine("exam", &[aside], "refused").expect("room");
    let path = spool.path().to_str().expect("UTF-8");
    let rebuilt = exam_stream(&["rebuild", "--spool-dir", path, "--json", "-"]);
    assert!(
        rebuilt.status.success(),
        "{}",
        String::from_utf8_lossy(&rebuilt.stderr)
    );
    let state: Value = serde_json::from_slice(&rebuilt.stdout).expect("JSON");
    let keys: Vec<&String> = state.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["/@bob", "m/1", "m/2", "m/3", "m/4", "m/5"]);
    assert_eq!(state["m/3"]["word"], "s1");
}

#[test]
fn doctor_is_content_with_what_works_and_names_a_fix_for_what_does_not() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let (dir, data) = (scratch(), scratch());
    let serve = Serve::start(data.path(), &[]);
    let path = dir.path().join("spool");
    drop(spool(&path));
    let path = path.to_str().expect("UTF-8").to_owned();
    let url = redis.url();
    let doctor = |endpoint: &str, stream: &str| {
        let place = ["--spool-dir", &path, "--endpoint", endpoint];
        let output = run(&[&["doctor", "--stream", stream, "--state", &url], &place[..]].concat());
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = doctor(&serve.url, "exam");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("exam is there") && said.contains("clocks differ by 0 s"),
        "{said}"
    );

    let fails = |said: &str, area: &str| {
        said.lines()
            .any(|l| l.starts_with(&format!("FAIL  {area}")))
    };
    let (code, said) = doctor(&serve.url, "exma");
    assert!(
        code == Some(1) && fails(&said, "delivery") && !fails(&said, "endpoint"),
        "{said}"
    );
    let (_, said) = doctor("http://127.0.0.1:1", "exam");
    assert!(
        fails(&said, "endpoint") && fails(&said, "delivery") && !fails(&said, "state"),
        "{said}"
    );
    redis.cli(&["config", "set", "maxmemory", "100mb"]);
    redis.cli(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let (_, said) = doctor(&serve.url, "exam");
    assert!(
        fails(&said, "state") && said.contains("noeviction"),
        "{said}"
    );
    redis.cli(&["config", "set", "maxmemory-policy", "noeviction"]);
    let kept = dir
        .path()
        .join("spool/0000000000000001-00000001-00000001-exam.damaged");
    std::fs::write(&kept, "").unwrap();
    let (code, said) = doctor(&serve.url, "exam");
    assert!(
        code == Some(1) && fails(&said, "spool") && said.contains(kept.to_str().expect("UTF-8")),
        "{said}"
    );
    std::fs::remove_file(&kept).unwrap();
    redis.kill();
    let (_, said) = doctor(&serve.url, "exam");
    assert!(fails(&said, "state") && !fails(&said, "spool"), "{said}");
    assert_eq!(
        said.matches("FAIL").count(),
        said.matches("fix:").count(),
        "{said}"
    );
}
