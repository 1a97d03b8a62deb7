//! Against moto's DynamoDB, which checks conditions and sizes as the real one does.

#[path = "../../exam-aws/tests/support/moto.rs"]
mod moto;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exam_aws::{AwsEnv, Json};
use exam_record::AttemptKey;
use exam_state::{BlockingReader, DEFAULT_TTL, Options, StateError, StateStore, open};
use serde_json::{Value, json};
use support::{Effort, answer, attempt, batch, conformance_with};

/// A busy machine, and a server in Python.
const PATIENCE: Duration = Duration::from_secs(300);

fn env() -> AwsEnv {
    [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "sk")]
        .into_iter()
        .collect()
}

fn options() -> Options {
    Options {
        aws: env(),
        response_timeout: PATIENCE,
        ..Options::default()
    }
}

fn url(moto: &str, table: &str) -> String {
    format!("dynamodb://{table}?region=us-east-1&endpoint={moto}")
}

/// A table as the template makes it.
async fn table(moto: &str, name: &str) -> Arc<dyn StateStore> {
    let calls = Json::dynamodb(Some(moto), Some("us-east-1"), env()).unwrap();
    let key = |name, kind| json!({"AttributeName": name, "KeyType": kind});
    let string = |name| json!({"AttributeName": name, "AttributeType": "S"});
    let table = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [string("k"), string("f")],
        "KeySchema": [key("k", "HASH"), key("f", "RANGE")],
    });
    let _: Value = calls.call("CreateTable", &table, PATIENCE).await.unwrap();
    open(&url(moto, name), options()).unwrap()
}

#[tokio::test]
async fn dynamodb_is_a_state_store() {
    let Some(moto) = moto::url() else { return };
    // Enough for an attempt of several pages; this table takes some hundred writes a second.
    let effort = Effort {
        rounds: 20,
        slots: 2_000,
        turns: 10,
    };
    conformance_with(&*table(moto, "conformance").await, effort).await;
}

#[tokio::test]
async fn names_longer_than_a_key_are_kept_in_full() {
    let Some(moto) = moto::url() else { return };
    let store = table(moto, "long-names").await;
    let (site, page) = ("s/".repeat(512), "p/".repeat(512));
    let line = format!(
        r#"{{"v":1,"type":"alive","ts":1,"site":"{site}","attempt":1,"page":"{page}","counts":{{"a":1,"b":2}}}}"#
    );
    let batch = batch([&line]);
    for _ in 0..2 {
        store.fold(&batch).await.unwrap();
    }
    let (key, attempt) = batch.attempts().iter().next().unwrap();
    let stored = store.read(key).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&attempt.registers));
    let mut scanned = Vec::new();
    store
        .scan(&mut |key, registers| scanned.push((key, registers)))
        .await
        .unwrap();
    assert_eq!(scanned, [(key.clone(), attempt.registers.clone())]);
}

#[tokio::test]
async fn names_in_any_writing_and_a_time_to_live_are_as_they_should_be() {
    let Some(moto) = moto::url() else { return };
    let store = table(moto, "writings").await;
    let lines = ["школа/例", "école", "e\u{301}cole", "a\\u0000b", "🎓"].map(|site| {
        format!(
            r#"{{"v":1,"id":"{site}","type":"answer","ts":1,"site":"{site}","quiz":4,"attempt":1,"slot":1,"qa":2,"status":1,"page":"страница {site}","fields":{{"answer":"{site}"}},"counts":{{"{site}":1}}}}"#
        )
    });
    let folded = batch(&lines);
    assert_eq!(folded.attempts().len(), lines.len());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    store.fold(&folded).await.unwrap();
    for (key, attempt) in folded.attempts() {
        let stored = store.read(key).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&attempt.registers), "{key:?}");
        let board = store.board(&key.site, 4, 0, 10).await.unwrap();
        assert_eq!(board.rows.len(), 1, "{key:?}");
    }

    let calls = Json::dynamodb(Some(moto), Some("us-east-1"), env()).unwrap();
    let all = json!({"TableName": "writings"});
    let all: Value = calls.call("Scan", &all, PATIENCE).await.unwrap();
    let items = all["Items"].as_array().unwrap();
    assert!(items.len() > 20);
    let due = (now + DEFAULT_TTL).as_secs();
    for item in items {
        // The beginning of a board's log outlives its entries.
        if item["f"]["S"] == "c" {
            continue;
        }
        let ttl: u64 = item["ttl"]["N"].as_str().unwrap().parse().unwrap();
        assert!((due..due + PATIENCE.as_secs()).contains(&ttl), "{item}");
    }
    let forever = Options {
        ttl: None,
        ..options()
    };
    let store = open(&url(moto, "writings"), forever).unwrap();
    store.fold(&batch([&answer(77, 1, 1, "a")])).await.unwrap();
    let item = json!({"TableName": "writings", "Key": {
        "k": {"S": format!("a/{}", AttemptKey::new(attempt(77).site, 77).to_text())}, "f": {"S": "seen"}}});
    let item: Value = calls.call("GetItem", &item, PATIENCE).await.unwrap();
    assert!(item["Item"]["r"].is_object() && item["Item"].get("ttl").is_none());
}

#[tokio::test]
async fn one_attempt_that_is_folded_again_and_again_stays_as_small_as_it_is() {
    let Some(moto) = moto::url() else { return };
    let store = table(moto, "hot").await;
    let lines: Vec<String> = (0..10_000)
        .map(|n| answer(1, n, 1 + n as u32 % 5, &n.to_string()))
        .collect();
    // What a batch supersedes itself is not sent; so 10,000 records are 40 folds of it.
    for lines in lines.chunks(250) {
        store.fold(&batch(lines)).await.unwrap();
    }
    let expected = batch(&lines);
    let (key, attempt) = expected.attempts().iter().next().unwrap();
    let stored = store.read(key).await.unwrap().unwrap();
    assert_eq!(stored, attempt.registers);
    assert!(stored.bytes() < 10_000);
    let board = store.board(&key.site, 4, 0, 10).await.unwrap();
    assert_eq!(board.rows.len(), 1);
}

#[tokio::test]
async fn writers_at_the_same_time_leave_what_one_of_them_alone_would() {
    let Some(moto) = moto::url() else { return };
    let store = table(moto, "writers").await;
    let lines: Vec<String> = (0..120)
        .map(|n| answer(1, n * 7 % 120, 1 + n as u32 % 3, &n.to_string()))
        .collect();
    let writers = lines.chunks(10).map(|chunk| {
        let (store, batch) = (store.clone(), batch(chunk));
        tokio::spawn(async move { store.fold(&batch).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let expected = batch(&lines);
    let (key, attempt) = expected.attempts().iter().next().unwrap();
    let stored = store.read(key).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&attempt.registers));
}

#[tokio::test]
async fn what_is_wrong_is_told_apart() {
    let Some(moto) = moto::url() else { return };
    let missing = open(&url(moto, "no-such-table"), options()).unwrap();
    let error = missing.read(&AttemptKey::new("s", 1)).await.unwrap_err();
    assert!(matches!(error, StateError::Url(_)), "{error:?}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let gone = open(&url(&nobody, "t"), options()).unwrap();
    let error = gone
        .fold(&batch([&answer(1, 1, 1, "a")]))
        .await
        .unwrap_err();
    assert!(matches!(error, StateError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn throttled_calls_are_made_again_within_the_timeout() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    // A table that throttles every call but each fifth, or all of them.
    let serve = |good: usize| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, calls) = (stream.unwrap(), calls.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    loop {
                        let (mut line, mut length) = (String::new(), 0);
                        while reader.read_line(&mut line).unwrap_or(0) > 2 {
                            if let Some(n) =
                                line.to_ascii_lowercase().strip_prefix("content-length:")
                            {
                                length = n.trim().parse().unwrap();
                            }
                            line.clear();
                        }
                        let mut body = vec![0; length];
                        if length == 0 || reader.read_exact(&mut body).is_err() {
                            return;
                        }
                        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                        let (status, body) = if call % good == 0 {
                            ("200 OK", "{}")
                        } else {
                            (
                                "400 Bad Request",
                                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#,
                            )
                        };
                        let head = format!(
                            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.write_all(head.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    };
    // Of no quiz: this table has no memory for a board.
    let line = answer(1, 1, 1, "a").replace(r#""quiz":4,"#, "");
    let store = open(&url(&serve(5), "t"), options()).unwrap();
    store.fold(&batch([&line])).await.unwrap();

    let quick = Options {
        response_timeout: Duration::from_millis(400),
        ..options()
    };
    let store = open(&url(&serve(usize::MAX), "t"), quick).unwrap();
    let began = Instant::now();
    let error = store.fold(&batch([&line])).await.unwrap_err();
    assert!(
        matches!(error, StateError::Throttled(_) | StateError::Timeout(_)),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_reader_reads_an_attempt_within_its_deadline() {
    let Some(moto) = moto::url() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(table(moto, "reader"));
    let key = AttemptKey::new(attempt(1).site, 1);
    let mut reader = BlockingReader::new(&url(moto, "reader"), options()).unwrap();
    assert_eq!(reader.read(&key).unwrap(), None);
    let batch = batch([&answer(1, 1, 1, "a")]);
    runtime.block_on(store.fold(&batch)).unwrap();
    assert_eq!(
        reader.read(&key).unwrap().as_ref(),
        Some(&batch.attempts()[&key].registers)
    );

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", silent.local_addr().unwrap());
    let quick = Options {
        response_timeout: Duration::from_millis(150),
        ..options()
    };
    let mut reader = BlockingReader::new(&url(&nobody, "t"), quick).unwrap();
    let began = Instant::now();
    let error = reader.read(&key).unwrap_err();
    assert!(matches!(error, StateError::Timeout(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}
