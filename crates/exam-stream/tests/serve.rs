//! `serve` as its clients meet it: a real process, real sockets, a real disk.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use exam_record::make::{self, Attempt, Stamp};
use hyper::StatusCode;
use serde_json::{Value, json};
use support::client::{Answer, Client, batch};
use support::{Redis, Serve, exam_stream, files, lines, scratch, skipped, until};

fn said(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("a JSON answer")
}

fn refused(answer: &Answer, code: &str) -> String {
    let body = said(answer);
    assert_eq!(body["__type"], code, "{body}");
    assert_eq!(answer.headers["x-amzn-errortype"], code);
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    body["message"].as_str().expect("a message").to_owned()
}

/// An answer of one of 20 attempts, the `n`th of all.
fn answer(n: u64) -> String {
    let attempt = Attempt {
        site: "m.example".into(),
        quiz: 7,
        attempt: (n % 20) as i64,
        usage: (n % 20) as i64,
        student_id: (n % 20) as i64,
    };
    let id = format!("id-{n}");
    let at = 1_760_000_000_000_000 + n * 1_000;
    let stamp = Stamp {
        id: &id,
        ts: at,
        at,
        page: "p",
        seq: n as i64,
    };
    make::answer(
        &attempt,
        &stamp,
        (n % 5) as u32 + 1,
        1,
        1,
        &[("answer", &n.to_string())],
    )
}

#[tokio::test]
async fn a_put_is_acknowledged_as_aws_does() {
    let dir = scratch();
    let mut serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    let put = client
        .call(
            "PutRecordBatch",
            batch("exam", &["{\"a\":1}", "{\"a\":2}\n"]),
        )
        .await
        .unwrap();
    assert_eq!(put.status, StatusCode::OK);
    assert_eq!(put.headers["content-type"], "application/x-amz-json-1.1");
    let body = said(&put);
    assert_eq!(
        (&body["FailedPutCount"], &body["Encrypted"]),
        (&json!(0), &json!(false))
    );
    let ids: BTreeSet<&str> = body["RequestResponses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["RecordId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    let one = client
        .call(
            "PutRecord",
            r#"{"DeliveryStreamName":"exam","Record":{"Data":"e30="}}"#.into(),
        )
        .await
        .unwrap();
    assert!(said(&one)["RecordId"].is_string());
    assert_eq!(lines(dir.path(), "cold"), ["{\"a\":1}", "{\"a\":2}", "{}"]);
    assert_eq!(serve.terminate(), Some(0));
}

#[tokio::test]
async fn lines_go_to_their_event_dates_and_all_other_bytes_are_kept() {
    let dir = scratch();
    let serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    let ours = answer(0);
    let (year, figure_2) = (
        "{\"ts\":1.5}",
        "{\n \"user\": \"x\",\n \"status\": \"s1\"\n}",
    );
    let mixed = format!("{ours}\nnot json\n{year}\n\n\"x\n\u{fe}");
    let records: [&[u8]; 3] = [mixed.as_bytes(), figure_2.as_bytes(), b"\xff\xfe\x00\n\n"];
    let put = client
        .call("PutRecordBatch", batch("exam", &records))
        .await
        .unwrap();
    assert_eq!(put.status, StatusCode::OK);
    let cold = dir.path().join("cold/exam");
    let one = |date: &str| std::fs::read_to_string(&files(&cold.join(date))[0]).unwrap();
    assert_eq!(one("dt=2025-10-09"), format!("{ours}\n"));
    assert_eq!(one("dt=1970-01-01"), format!("{year}\n"));
    assert_eq!(
        files(&cold).len(),
        3,
        "the paper's record lies under today's date"
    );
    let kept: Vec<Vec<u8>> = lines(dir.path(), "unparsed")
        .iter()
        .map(|l| {
            serde_json::from_str::<Value>(l).unwrap()["bytes"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .map(|b| base64_simd::STANDARD.decode_to_vec(b).unwrap())
        .collect();
    assert_eq!(
        kept,
        [
            b"not json\n".to_vec(),
            "\"x\n\u{fe}".into(),
            b"\xff\xfe\x00\n\n".to_vec()
        ]
    );
}

#[tokio::test]
async fn limits_and_errors_have_aws_shapes() {
    let dir = scratch();
    let serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    let mut call = async |operation: &str, body: Bytes| client.call(operation, body).await.unwrap();

    let answer = call("PutRecordBatch", batch("exma", &["{}"])).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        refused(&answer, "ResourceNotFoundException"),
        "Firehose exma under account 000000000000 not found."
    );

    assert_eq!(
        call("PutRecordBatch", batch("exam", &vec!["{}"; 500]))
            .await
            .status,
        StatusCode::OK
    );
    refused(
        &call("PutRecordBatch", batch("exam", &vec!["{}"; 501])).await,
        "ValidationException",
    );
    refused(
        &call("PutRecordBatch", batch("exam", &[""; 0])).await,
        "ValidationException",
    );

    let blank = |len: usize| " ".repeat(len);
    assert_eq!(
        call("PutRecordBatch", batch("exam", &[blank(1_024_000)]))
            .await
            .status,
        StatusCode::OK
    );
    let message = refused(
        &call("PutRecordBatch", batch("exam", &[blank(1_024_001)])).await,
        "ValidationException",
    );
    assert!(
        message.contains("'records.1.member.data'") && message.contains("1024000"),
        "{message}"
    );

    let mut full = vec![blank(1_000_000); 4];
    full.push(blank((4 << 20) - 4_000_000));
    assert_eq!(
        call("PutRecordBatch", batch("exam", &full)).await.status,
        StatusCode::OK
    );
    full.push(" ".into());
    let message = refused(
        &call("PutRecordBatch", batch("exam", &full)).await,
        "InvalidArgumentException",
    );
    assert_eq!(message, "Records size exceeds 4 MB limit");

    // A client may still be writing when it is told: then it only sees the connection end.
    let long = Bytes::from(vec![b' '; (8 << 20) + 1]);
    if let Ok(answer) = serve.client().await.call("PutRecord", long).await {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    for body in [
        "",
        "{",
        "[]",
        r#"{"DeliveryStreamName":7}"#,
        r#"{"DeliveryStreamName":"exam","Record":{"Data":"e30"}}"#,
    ] {
        refused(
            &call("PutRecord", body.into()).await,
            "SerializationException",
        );
    }
    for body in [
        "{}",
        r#"{"DeliveryStreamName":"exam"}"#,
        r#"{"DeliveryStreamName":"../x","Record":{"Data":""}}"#,
    ] {
        refused(&call("PutRecord", body.into()).await, "ValidationException");
    }
    refused(
        &call("StartDeliveryStreamEncryption", "{}".into()).await,
        "UnknownOperationException",
    );
    assert!(lines(dir.path(), "unparsed").is_empty());
}

#[tokio::test]
async fn base64_with_escaped_slashes_is_read() {
    // PHP's json_encode writes them so.
    let dir = scratch();
    let serve = Serve::start(dir.path(), &[]);
    let data = base64_simd::STANDARD
        .encode_to_string("{\"a\":\"???>>>\"}")
        .replace('/', "\\/");
    assert!(data.contains("\\/"));
    let body = format!(r#"{{"Record":{{"Data":"{data}"}},"DeliveryStreamName":"exam"}}"#);
    let put = serve
        .client()
        .await
        .call("PutRecord", body.into())
        .await
        .unwrap();
    assert_eq!(put.status, StatusCode::OK, "{:?}", put.body);
    assert_eq!(lines(dir.path(), "cold"), ["{\"a\":\"???>>>\"}"]);
}

#[tokio::test]
async fn streams_are_made_listed_deleted_and_outlive_the_process() {
    let dir = scratch();
    let mut serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    let named = |name: &str| Bytes::from(json!({ "DeliveryStreamName": name }).to_string());
    for name in ["b", "c", "d"] {
        let made = client
            .call("CreateDeliveryStream", named(name))
            .await
            .unwrap();
        assert!(
            said(&made)["DeliveryStreamARN"]
                .as_str()
                .unwrap()
                .ends_with(&format!("/{name}"))
        );
    }
    refused(
        &client
            .call("CreateDeliveryStream", named("b"))
            .await
            .unwrap(),
        "ResourceInUseException",
    );
    client
        .call("DeleteDeliveryStream", named("c"))
        .await
        .unwrap();
    refused(
        &client
            .call("PutRecordBatch", batch("c", &["{}"]))
            .await
            .unwrap(),
        "ResourceNotFoundException",
    );
    serve.kill();
    let serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    let list = client
        .call("ListDeliveryStreams", r#"{"Limit":2}"#.into())
        .await
        .unwrap();
    assert_eq!(
        said(&list),
        json!({"DeliveryStreamNames": ["b", "d"], "HasMoreDeliveryStreams": true})
    );
    let rest = r#"{"Limit":2,"ExclusiveStartDeliveryStreamName":"d"}"#;
    let list = client
        .call("ListDeliveryStreams", rest.into())
        .await
        .unwrap();
    assert_eq!(
        said(&list),
        json!({"DeliveryStreamNames": ["exam"], "HasMoreDeliveryStreams": false})
    );
    let others = r#"{"DeliveryStreamType":"KinesisStreamAsSource"}"#;
    let list = client
        .call("ListDeliveryStreams", others.into())
        .await
        .unwrap();
    assert_eq!(
        said(&list),
        json!({"DeliveryStreamNames": [], "HasMoreDeliveryStreams": false})
    );
    for limit in [-1, 0, 10_001] {
        let body = json!({ "Limit": limit }).to_string();
        let list = client.call("ListDeliveryStreams", body.into()).await;
        refused(&list.unwrap(), "ValidationException");
    }
    let about = said(
        &client
            .call("DescribeDeliveryStream", named("b"))
            .await
            .unwrap(),
    );
    assert_eq!(
        about["DeliveryStreamDescription"]["DeliveryStreamStatus"],
        "ACTIVE"
    );
}

#[tokio::test]
async fn with_a_key_only_its_holder_may_call() {
    let dir = scratch();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let key = [
        "--access-key",
        "AKEXAM",
        "--secret-key-file",
        secret.to_str().unwrap(),
    ];
    let serve = Serve::start(&dir.path().join("data"), &key);
    let put = async |key, now: fn() -> SystemTime| {
        let mut client = Client::connect(&serve.url, key).await.unwrap();
        client.now = now;
        client
            .call("PutRecordBatch", batch("exam", &["{}"]))
            .await
            .unwrap()
    };
    let ours = Some(("AKEXAM", "s3cret"));
    assert_eq!(put(ours, SystemTime::now).await.status, StatusCode::OK);
    assert_eq!(
        put(ours, || SystemTime::now() - Duration::from_secs(240))
            .await
            .status,
        StatusCode::OK
    );
    let late = put(ours, || SystemTime::now() - Duration::from_secs(360)).await;
    assert!(refused(&late, "InvalidSignatureException").starts_with("Signature expired"));
    let early = put(ours, || SystemTime::now() + Duration::from_secs(360)).await;
    assert!(refused(&early, "InvalidSignatureException").starts_with("Signature not yet current"));
    refused(
        &put(Some(("AKEXAM", "wrong")), SystemTime::now).await,
        "InvalidSignatureException",
    );
    refused(
        &put(Some(("AKOTHER", "s3cret")), SystemTime::now).await,
        "UnrecognizedClientException",
    );
    refused(
        &put(None, SystemTime::now).await,
        "MissingAuthenticationTokenException",
    );
    assert_eq!(lines(&dir.path().join("data"), "cold").len(), 2);
}

#[tokio::test]
async fn kill_9_under_load_loses_nothing_acknowledged_and_the_state_is_exact() {
    let dir = scratch();
    let redis = Redis::start();
    let url = redis.as_ref().map_or_else(String::new, Redis::url);
    // Parts are ended, and closed, many times a second.
    let mut arguments = vec!["--part-mib", "1"];
    if redis.is_some() {
        arguments.extend(["--state", &url]);
    }
    let mut acknowledged = BTreeSet::new();
    let kills = 8;
    for kill in 0..kills {
        let mut serve = Serve::start(dir.path(), &arguments);
        let url = serve.url.clone();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let url = url.clone();
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    let Ok(mut client) = Client::connect(&url, None).await else {
                        return acknowledged;
                    };
                    for call in 0.. {
                        let first = ((kill * 4 + sender) * 10_000 + call) * 200;
                        let lines: Vec<String> = (first..first + 200).map(answer).collect();
                        match client
                            .call("PutRecordBatch", batch("exam", &[lines.join("\n")]))
                            .await
                        {
                            Ok(answer) if answer.status == StatusCode::OK => {
                                acknowledged.extend(lines)
                            }
                            _ => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(150..600))).await;
        serve.kill();
        for sender in senders {
            acknowledged.extend(sender.await.unwrap());
        }
    }
    // The last start cuts what the last kill tore, and closes what it left.
    let mut serve = Serve::start(dir.path(), &arguments);
    let stored: BTreeSet<String> = lines(dir.path(), "cold").into_iter().collect();
    let lost = acknowledged.difference(&stored).count();
    println!(
        "{} acknowledged, {} stored, {lost} lost in {kills} kills",
        acknowledged.len(),
        stored.len(),
    );
    assert!(acknowledged.len() > 1_000);
    assert_eq!(lost, 0);
    until("a part is closed", || {
        files(&dir.path().join("cold"))
            .iter()
            .any(|f| f.extension().is_some_and(|e| e == "gz"))
    });
    let after: BTreeSet<String> = lines(dir.path(), "cold").into_iter().collect();
    assert_eq!(after, stored);
    if redis.is_some() {
        let data = dir.path().to_str().unwrap();
        until("the state is what cold storage says", || {
            exam_stream(&["rebuild", data, "--check", &url])
                .status
                .success()
        });
    }
    assert_eq!(serve.terminate(), Some(0));
}

#[tokio::test]
async fn a_second_serve_on_the_same_directory_is_refused() {
    let dir = scratch();
    let _first = Serve::start(dir.path(), &[]);
    let second = exam_stream(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        dir.path().to_str().unwrap(),
    ]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another `exam-stream serve`"));
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_of_it_stays() {
    let dir = scratch();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(&disk)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "none"]) {
        return skipped("a file system of 2 MiB: only root may mount one");
    }
    let mut serve = Serve::start(&disk, &[]);
    let mut client = serve.client().await;
    let record = |n: usize| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(100_000));
    let mut acknowledged = 0;
    let full = loop {
        let put = client
            .call("PutRecordBatch", batch("exam", &[record(acknowledged)]))
            .await
            .unwrap();
        if put.status != StatusCode::OK {
            break put;
        }
        acknowledged += 1;
        assert!(acknowledged < 21, "2 MiB hold no more");
    };
    assert_eq!(full.status, StatusCode::INTERNAL_SERVER_ERROR);
    refused(&full, "ServiceUnavailableException");
    assert_eq!(lines(&disk, "cold").len(), acknowledged);
    // Less fits still, into the same part.
    let small = client
        .call("PutRecordBatch", batch("exam", &["{}"]))
        .await
        .unwrap();
    assert_eq!(small.status, StatusCode::OK);
    // Room again: the same process goes on.
    assert!(
        Command::new("mount")
            .args(["-o", "remount,size=4m"])
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    );
    let put = client
        .call("PutRecordBatch", batch("exam", &[record(0)]))
        .await
        .unwrap();
    assert_eq!(put.status, StatusCode::OK);
    assert_eq!(lines(&disk, "cold").len(), acknowledged + 2);
    serve.terminate();
    assert!(
        Command::new("umount")
            .arg("-l")
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn the_state_survives_everything_redis_does() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let dir = scratch();
    let (data, url) = (dir.path().to_str().unwrap().to_owned(), redis.url());
    let mut serve = Serve::start(dir.path(), &["--state", &url, "--part-mib", "1"]);
    let mut client = serve.client().await;
    // Out of order, a third of them twice.
    let mut order: Vec<u64> = (0..6_000).chain((0..6_000).step_by(3)).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    let (first, second) = order.split_at(order.len() / 2);
    let folded = |what: &str| {
        until(what, || {
            exam_stream(&["rebuild", &data, "--check", &url])
                .status
                .success()
        });
    };
    let mut put = async |numbers: &[u64]| {
        for some in numbers.chunks(100) {
            let text: Vec<String> = some.iter().map(|n| answer(*n)).collect();
            let put = client
                .call("PutRecordBatch", batch("exam", &[text.join("\n")]))
                .await
                .unwrap();
            assert_eq!(put.status, StatusCode::OK);
        }
    };
    put(first).await;
    folded("the first half is folded");
    redis.cli(&["flushall"]);
    folded("a flushed store is refilled with nothing arriving");
    redis.kill();
    put(second).await;
    redis.start_again();
    folded("what arrived while it was away, and what it forgot, is folded");
    redis.cli(&["config", "set", "maxmemory", "1"]);
    put(&[1, 2, 3]).await;
    redis.cli(&["config", "set", "maxmemory", "0"]);
    folded("a full store is waited for");

    let mut in_order = exam_record::Registers::default();
    for n in (0..6_000).filter(|n| n % 20 == 4) {
        for op in exam_record::fold(answer(n).as_bytes())
            .unwrap()
            .unwrap()
            .ops
        {
            in_order.apply(op);
        }
    }
    let key = exam_record::AttemptKey::new("m.example", 4);
    let expected = exam_record::AttemptView::new(&key, &in_order);
    let all = exam_stream(&["state", "--state", &url]).stdout;
    let all: Value = serde_json::from_slice(&all).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 20);
    assert_eq!(all["m.example/4"], serde_json::to_value(&expected).unwrap());

    // A serve that starts again goes on where the store says.
    serve.terminate();
    let serve = Serve::start(dir.path(), &["--state", &url]);
    serve
        .client()
        .await
        .call("PutRecordBatch", batch("exam", &[answer(6_001)]))
        .await
        .unwrap();
    folded("a new process folds on");
}

#[tokio::test]
async fn a_rebuilt_store_is_the_one_that_was_folded_live() {
    let (Some(live), Some(rebuilt)) = (Redis::start(), Redis::start()) else {
        return;
    };
    let dir = scratch();
    let data = dir.path().to_str().unwrap();
    let serve = Serve::start(dir.path(), &["--state", &live.url()]);
    let mut client = serve.client().await;
    let text: Vec<String> = (0..5_000).map(answer).collect();
    for some in text.chunks(250) {
        client
            .call("PutRecordBatch", batch("exam", &[some.join("\n")]))
            .await
            .unwrap();
    }
    until("all is folded", || {
        exam_stream(&["rebuild", data, "--check", &live.url()])
            .status
            .success()
    });
    let check = exam_stream(&["rebuild", data, "--check", &rebuilt.url()]);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("m.example/0: not in the store"));
    assert!(
        exam_stream(&["rebuild", data, "--into", &rebuilt.url()])
            .status
            .success()
    );
    let state = |redis: &Redis| exam_stream(&["state", "--state", &redis.url()]).stdout;
    assert_eq!(state(&live), state(&rebuilt));
    let without_store = exam_stream(&["rebuild", data, "--json", "-"]).stdout;
    assert_eq!(state(&live), without_store);
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    let dir = scratch();
    let serve = Serve::start(dir.path(), &[]);
    serve
        .client()
        .await
        .call("PutRecordBatch", batch("exam", &["{}\n{}"]))
        .await
        .unwrap();
    let get = |path: &str| {
        let output = Command::new("curl")
            .args(["-s", &format!("{}{path}", serve.url)])
            .output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    let Ok(health) = get("/health") else {
        return skipped("curl is not installed");
    };
    assert_eq!(health, "ok\n");
    let metrics = get("/metrics").unwrap();
    assert!(
        metrics.contains("\nexam_stream_lines_total 2\n"),
        "{metrics}"
    );
}

/// A stand-in for exam-analyse: notes that it began and with what, then does as `body` says.
fn analyse_program(dir: &Path, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = dir.join("analyse.sh");
    let text = format!(
        "#!/bin/sh\necho $$ \"$@\" $EXAM_STREAM_STATE_URL >>{}/began\n{body}\n",
        dir.display()
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn began(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("began")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn lives(line: &str) -> bool {
    let pid = line.split(' ').next().unwrap();
    // A zombie whose parent was killed is gone soon; it is dead already.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn page(serve: &Serve, path: &str) -> String {
    let url = serve.url.trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&url).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {url}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn analysis_is_started_again_when_it_dies_and_serve_goes_on() {
    let (dir, other) = (scratch(), scratch());
    let program = analyse_program(
        other.path(),
        "[ $(wc -l <$(dirname $0)/began) -ge 2 ] && exec cat",
    );
    let arguments = [
        "--analyse",
        "/queries",
        "--analyse-program",
        program.to_str().unwrap(),
    ];
    let mut serve = Serve::start(dir.path(), &arguments);
    until("it is started again", || began(other.path()).len() == 2);
    let line = began(other.path()).pop().unwrap();
    let expected = format!(
        "run --while-stdin --cold {} --queries /queries",
        dir.path().display()
    );
    assert!(line.ends_with(&expected), "{line}");
    let put = serve
        .client()
        .await
        .call("PutRecordBatch", batch("exam", &["{}"]))
        .await;
    assert_eq!(put.unwrap().status, StatusCode::OK);
    until("serve says that it runs", || {
        page(&serve, "/health").ends_with("ok\nanalysis: running\n")
    });
    let metrics = page(&serve, "/metrics");
    for line in [
        "exam_stream_analysis_up 1\n",
        "exam_stream_analysis_ends_total 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(serve.terminate(), Some(0));
    assert!(!lives(&line), "it ended with serve");
}

#[tokio::test]
async fn analysis_does_not_outlive_a_killed_serve() {
    let (dir, other) = (scratch(), scratch());
    let program = analyse_program(other.path(), "exec cat");
    let arguments = [
        "--analyse",
        "/queries",
        "--analyse-program",
        program.to_str().unwrap(),
    ];
    let mut serve = Serve::start(dir.path(), &arguments);
    until("it runs", || began(other.path()).len() == 1);
    serve.kill();
    until("it ends", || !lives(&began(other.path())[0]));
}

#[tokio::test]
async fn a_serve_whose_analysis_is_missing_serves() {
    let dir = scratch();
    let arguments = [
        "--analyse",
        "/queries",
        "--analyse-program",
        "/none/exam-analyse",
    ];
    let mut serve = Serve::start(dir.path(), &arguments);
    let put = serve
        .client()
        .await
        .call("PutRecordBatch", batch("exam", &["{}"]))
        .await;
    assert_eq!(put.unwrap().status, StatusCode::OK);
    let health = page(&serve, "/health");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.ends_with("analysis: down\n"),
        "{health}"
    );
    assert_eq!(serve.terminate(), Some(0));
}

/// The lines and the state of one student go, while `serve` runs and is written to; nobody else's
/// change, no position moves, and the state that is left is what a rebuild gives.
#[tokio::test(flavor = "multi_thread")]
async fn one_student_is_erased_while_serve_runs_and_nobody_else() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let (dir, url) = (scratch(), redis.url());
    let data = dir.path().to_str().unwrap();
    let serve = Serve::start(dir.path(), &["--part-mib", "1", "--state", &url]);
    let put = async |client: &mut Client, numbers: std::ops::Range<u64>| {
        for first in numbers.step_by(200) {
            let text: Vec<String> = (first..first + 200).map(answer).collect();
            let put = client
                .call("PutRecordBatch", batch("exam", &[text.join("\n")]))
                .await
                .unwrap();
            assert_eq!(put.status, StatusCode::OK);
        }
    };
    let mut client = serve.client().await;
    put(&mut client, 0..20_000).await;
    let folded = |what: &str| {
        until(what, || {
            let check = exam_stream(&["rebuild", data, "--check", &url]);
            check.status.success()
        });
    };
    folded("all is folded");
    let before = lines(dir.path(), "cold");
    let erase = |more: &[&str]| {
        let mut arguments = vec![
            "erase",
            "--dir",
            data,
            "--site",
            "m.example",
            "--state",
            &url,
        ];
        arguments.extend(more);
        let done = exam_stream(&arguments);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };

    let dry = erase(&["--student", "4", "--dry-run"]);
    assert_eq!(
        (&dry["lines"], &dry["dry_run"]),
        (&json!(1_000), &json!(true))
    );
    assert_eq!(lines(dir.path(), "cold"), before);
    // Others go on writing meanwhile; of the student, nothing more comes.
    let others = tokio::spawn(async move {
        for n in (20_000..24_000).filter(|n| n % 20 != 4) {
            let put = client
                .call("PutRecordBatch", batch("exam", &[answer(n)]))
                .await;
            assert_eq!(put.unwrap().status, StatusCode::OK);
        }
    });
    let report = tokio::task::block_in_place(|| erase(&["--student", "4"]));
    others.await.unwrap();
    assert_eq!(report["lines"], 1_000);
    let whose = &report["whose"]["m.example"];
    assert_eq!(whose["students"], json!([4]));
    assert_eq!(whose["attempts"]["4"]["student"], 4);
    assert_eq!(report["state"], json!(["m.example/4"]));
    let parts = report["parts"].as_object().unwrap();
    assert!(parts.len() > 1 && parts.values().map(|n| n.as_u64().unwrap()).sum::<u64>() == 1_000);

    let student = |line: &String| line.contains("\"student_id\":4,");
    let after = lines(dir.path(), "cold");
    assert!(!after.iter().any(student));
    let left = |lines: &[String]| -> BTreeSet<String> {
        let others = lines.iter().filter(|line| !student(line));
        others
            .filter(|line| !line.starts_with("{\"erased\":true}"))
            .cloned()
            .collect()
    };
    let written = (20_000..24_000).filter(|n| n % 20 != 4).map(answer);
    let expected: BTreeSet<String> = left(&before).into_iter().chain(written).collect();
    assert!(left(&after) == expected);
    folded("the state is that of the others");
    let state: Value =
        serde_json::from_slice(&exam_stream(&["state", "--state", &url]).stdout).unwrap();
    assert_eq!(state.as_object().unwrap().len(), 19);
    // The fold's positions are right still: it folds on, and a lost store is refilled.
    put(&mut serve.client().await, 30_000..30_200).await;
    redis.cli(&["flushall"]);
    folded("refilled from what is left, and what came since");

    // Again: nothing is left but what came since. By attempt, too.
    assert_eq!(erase(&["--student", "4"])["lines"], 10);
    assert_eq!(erase(&["--student", "4"])["lines"], 0);
    assert_eq!(erase(&["--attempt", "7"])["lines"], 1_210);
    folded("the state is that of the others");
}

/// An attempt that Moodle has deleted is forgotten as soon as its `erased` record is folded, and stays
/// so, whatever comes late or is told again; one command then takes its lines from wherever they are.
#[tokio::test(flavor = "multi_thread")]
async fn what_moodle_deletes_is_forgotten_at_once_and_erased_on_request() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let (dir, spool_dir, url) = (scratch(), scratch(), redis.url());
    let data = dir.path().to_str().unwrap();
    let serve = Serve::start(dir.path(), &["--part-mib", "1", "--state", &url]);
    let mut client = serve.client().await;
    let mut put = async |lines: Vec<String>| {
        let put = client
            .call("PutRecordBatch", batch("exam", &[lines.join("\n")]))
            .await
            .unwrap();
        assert_eq!(put.status, StatusCode::OK);
    };
    let known = || {
        let state = exam_stream(&["state", "--state", &url]).stdout;
        let state: Value = serde_json::from_slice(&state).unwrap();
        let keys = state.as_object().unwrap().keys();
        keys.cloned().collect::<BTreeSet<_>>()
    };
    let expected: BTreeSet<String> = (0..20)
        .filter(|n| *n != 4)
        .map(|n| format!("m.example/{n}"))
        .collect();
    let settled = |what: &str| {
        until(what, || {
            let check = exam_stream(&["rebuild", data, "--check", &url]);
            check.status.success() && known() == expected
        });
    };
    let erased = r#"{"v":1,"id":"4-erased","type":"erased","ts":1760000000,"site":"m.example","quiz":1,"attempt":4}"#;
    for first in (0..4_000).step_by(200) {
        put((first..first + 200).map(answer).collect()).await;
    }
    put(vec![erased.to_owned()]).await;
    settled("the attempt is forgotten");
    put(vec![answer(4_004), answer(4_005)]).await;
    settled("what comes late is not kept");
    redis.cli(&["flushall"]);
    settled("nor does a store that is filled again know it");

    // One command, without a list: from lines, from the quarantine; and what is left to others.
    let spool = exam_spool::Spool::open(exam_spool::Config {
        dir: spool_dir.path().to_owned(),
        max_bytes: 1 << 20,
        segment_bytes: 1 << 16,
    })
    .unwrap();
    let packed = [answer(4_024), answer(4_025)].join("\n");
    spool
        .quarantine("exam", &[packed.as_bytes()], "InvalidArgument")
        .unwrap();
    let mut waiting = spool.writer("exam").unwrap();
    waiting.append(&[answer(4_044).as_bytes()]).unwrap();
    std::fs::create_dir(dir.path().join("parquet")).unwrap();
    let erase = |more: &[&str]| {
        let mut arguments = vec!["erase", "--requested", "--dir", data, "--state", &url];
        arguments.extend(["--spool-dir", spool_dir.path().to_str().unwrap()]);
        arguments.extend(more);
        let done = exam_stream(&arguments);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let before = lines(dir.path(), "cold");
    let dry = erase(&["--dry-run"]);
    assert_eq!(
        (&dry["lines"], &dry["quarantine_lines"]),
        (&json!(201), &json!(1))
    );
    assert_eq!(lines(dir.path(), "cold"), before);
    assert!(!dir.path().join("erasure.json").exists());
    assert_eq!(erase(&["--site", "elsewhere"])["lines"], 0);

    let report = erase(&[]);
    assert_eq!(
        (&report["lines"], &report["quarantine_lines"]),
        (&json!(201), &json!(1))
    );
    assert_eq!(report["state"], json!([]));
    assert_eq!(report["not_reached"]["spool_lines"], 1);
    let plan = std::fs::read(dir.path().join("erasure.json")).unwrap();
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    assert_eq!(plan, report["whose"]);
    let known_of_it = &plan["m.example"]["attempts"]["4"];
    assert_eq!(known_of_it["student"], 4);
    assert!(known_of_it["span"][0].as_u64() < known_of_it["span"][1].as_u64());
    let after = lines(dir.path(), "cold");
    assert_eq!(after.len(), before.len());
    assert!(!after.iter().any(|line| line.contains("\"student_id\":4,")));
    assert!(after.contains(&erased.to_owned()));
    let mut aside = Vec::new();
    spool
        .quarantined(|record| aside.push(record.record))
        .unwrap();
    let aside = String::from_utf8(aside.concat()).unwrap();
    assert!(aside.starts_with("{\"erased\":true} ") && aside.ends_with(&answer(4_025)));
    settled("others are as they were");

    // Again: nothing is left. What came late goes the next time, and a store that was told by
    // somebody else is told so.
    let again = erase(&[]);
    assert_eq!(
        (&again["lines"], &again["quarantine_lines"]),
        (&json!(0), &json!(0))
    );
    put(vec![answer(4_064)]).await;
    settled("it is folded");
    redis.cli(&["del", "es:{m.example/4}"]);
    let seen = r"return redis.call('HSET', KEYS[1], 'seen', '0006495a1f4a0000\0\0018000000000000000\0\001')";
    redis.cli(&["eval", seen, "1", "es:{m.example/4}"]);
    let late = erase(&[]);
    assert_eq!(
        (&late["lines"], &late["state"]),
        (&json!(1), &json!(["m.example/4"]))
    );
    settled("and it is forgotten once more");
}

#[tokio::test]
async fn what_arrived_longer_ago_than_it_is_kept_is_removed_and_no_more() {
    let dir = scratch();
    let data = dir.path().to_str().unwrap();
    let day = |days_ago: u64| SystemTime::now() - Duration::from_secs(days_ago * 86_400 + 3_600);
    let old = dir
        .path()
        .join("cold/exam/dt=2025-10-09/hour=07/0000000000000001.jsonl");
    let kept = dir
        .path()
        .join("cold/exam/dt=2025-10-09/hour=09/0000000000000001.jsonl");
    let bytes = dir
        .path()
        .join("unparsed/exam/dt=2025-10-09/0000000000000001.jsonl");
    let parquet = dir
        .path()
        .join("parquet/exam/dt=2025-10-09/hour=07/events.parquet");
    for (path, days_ago) in [(&old, 31), (&kept, 29), (&bytes, 31), (&parquet, 0)] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{\"bytes\":\"\"}\n").unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(day(days_ago)).unwrap();
    }
    let serve = Serve::start(dir.path(), &[]);
    let mut client = serve.client().await;
    until("they are closed, and as old as before", || {
        let mut parts = [&old, &kept, &bytes].into_iter();
        parts.all(|part| part.with_extension("jsonl.gz").exists() && !part.exists())
    });
    // Old by its event time, new by its arrival.
    let put = client
        .call("PutRecordBatch", batch("exam", &[answer(0)]))
        .await;
    assert_eq!(put.unwrap().status, StatusCode::OK);
    let prune = |more: &[&str]| {
        let mut arguments = vec!["cold", "prune", "--dir", data, "--retain-days", "30"];
        arguments.extend(more);
        let done = exam_stream(&arguments);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().lines().count()
    };
    let count = |path: &std::path::Path| files(path.parent().unwrap()).len();
    assert_eq!(prune(&["--dry-run"]), 3);
    assert_eq!(
        (count(&old), count(&kept), count(&bytes), count(&parquet)),
        (1, 1, 1, 1)
    );
    assert_eq!(prune(&[]), 3);
    assert_eq!(
        (count(&old), count(&kept), count(&bytes), count(&parquet)),
        (0, 1, 0, 0)
    );
    assert!(!old.parent().unwrap().exists(), "an empty hour goes too");
    assert_eq!(prune(&[]), 0);
    assert_eq!(lines(dir.path(), "cold").len(), 2);
    let put = client
        .call("PutRecordBatch", batch("exam", &[answer(1)]))
        .await;
    assert_eq!(put.unwrap().status, StatusCode::OK);
    assert_eq!(lines(dir.path(), "cold").len(), 3);
    let status = exam_stream(&["cold", "status", "--dir", data]).stdout;
    let status = String::from_utf8(status).unwrap();
    assert!(
        status.starts_with("cold/exam: ") && status.contains("2025-10-09"),
        "{status}"
    );
}

/// What version 0.1.0 left, a directory a day, is read, folded and closed where it lies.
#[tokio::test]
async fn cold_storage_of_an_earlier_version_is_taken_over() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let (dir, url) = (scratch(), redis.url());
    let day = dir.path().join("cold/exam/dt=2025-10-09");
    std::fs::create_dir_all(&day).unwrap();
    let text: Vec<String> = (0..500).map(answer).collect();
    std::fs::write(
        day.join("1763800000000000.jsonl"),
        text.join("\n") + "\n{\"torn",
    )
    .unwrap();
    let serve = Serve::start(dir.path(), &["--state", &url]);
    let put = serve
        .client()
        .await
        .call("PutRecordBatch", batch("exam", &[answer(500)]))
        .await;
    assert_eq!(put.unwrap().status, StatusCode::OK);
    until("the old part is closed", || {
        day.join("1763800000000000.jsonl.gz").exists()
    });
    let mut all: Vec<String> = (0..=500).map(answer).collect();
    all.sort();
    let mut found = lines(dir.path(), "cold");
    found.sort();
    assert!(found == all);
    until("old and new are folded", || {
        exam_stream(&["rebuild", dir.path().to_str().unwrap(), "--check", &url])
            .status
            .success()
    });
}
