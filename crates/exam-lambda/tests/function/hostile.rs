//! What nobody should send, and stores and queues at their worst: the answer stays exact.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::*;

/// The lines of redrive messages.
fn marked(messages: &[String]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for message in messages {
        let message: Value = serde_json::from_str(message).unwrap();
        let gzip = message["gzip"].as_str().unwrap();
        let gzip = base64_simd::STANDARD.decode_to_vec(gzip).unwrap();
        let mut text = Vec::new();
        GzDecoder::new(&gzip[..]).read_to_end(&mut text).unwrap();
        lines.extend(text.split(|b| *b == b'\n').map(<[u8]>::to_vec));
        assert_eq!(lines.pop(), Some(Vec::new()));
    }
    lines
}

async fn dead_letters(world: &World) -> Vec<Value> {
    let messages = world.dead.take().await;
    let lines = messages.iter().flat_map(|message| message.lines());
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[tokio::test]
async fn members_that_are_not_ours_and_another_source_change_nothing() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "members").await;
    let blobs: Vec<Vec<u8>> = answers(20).chunks(7).map(blob).collect();
    let mut event = firehose(&blobs);
    event["sourceKinesisStreamArn"] = json!("arn:aws:kinesis:us-east-1:123456789012:stream/exam");
    event["Records"] = Value::Null;
    event["invocation"] = json!({"records": [1, null]});
    for (n, record) in event["records"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .enumerate()
    {
        record["kinesisRecordMetadata"] = json!({
            "sequenceNumber": format!("4954398{n}"), "subsequenceNumber": 0,
            "partitionKey": "x\u{0}\u{10FFFF}", "shardId": "shardId-000000000000",
            "approximateArrivalTimestamp": 1_763_800_000_000_u64,
        });
        record["metadata"] = json!({"partitionKeys": {"a": "b"}});
        record["result"] = json!("Dropped");
    }
    assert_given_back(&world.lambda.answer(&event).await, &blobs);
    assert_eq!(world.redis.state().await, folded(lines_of(&blobs)));
}

#[tokio::test]
async fn whatever_the_bytes_are_they_come_back_and_only_records_are_folded() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "bytes").await;
    let lines = answers(60);
    let mut windows = lines[..20].join(&b"\r\n"[..]);
    windows.extend_from_slice(b"\r\n\r\n \t\r\n");
    let unended = lines[20..40].join(&b'\n');
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&blob(&lines)).unwrap();
    let gzip = gzip.finish().unwrap();
    let dead = [
        lines[40].replace(b"\"v\":1", b"\"v\":1,\0"),
        lines[41].replace(b"3.14159", b"\xC3\x28"),
        [&lines[42][..], &lines[43][..]].concat(),
        b"\xEF\xBB\xBF{}".to_vec(),
        b"\0\0\0\0".to_vec(),
    ];
    let blobs = [windows, unended, gzip, blob(&dead)];
    let answer = world.lambda.answer(&firehose(&blobs)).await;
    assert_given_back(&answer, &blobs);

    // A carriage return ends a line as it does in other programs, and is no part of the record.
    let plain = lines[..40].iter().map(Vec::as_slice);
    assert_eq!(world.redis.state().await, folded(plain));
    let metrics = world.lambda.metrics();
    assert_eq!(count(&metrics, "Folded"), 40);
    let letters = dead_letters(&world).await;
    assert_eq!(letters.len() as u64, count(&metrics, "DeadLetters"));
    let of = |n: usize| letters.iter().filter(move |l| l["record"] == record_id(n));
    assert_eq!((of(0).count(), of(1).count()), (0, 0));
    assert!(of(2).count() >= 1);
    let bytes = |letter: &Value| {
        let bytes = letter["bytes"].as_str().unwrap();
        base64_simd::STANDARD.decode_to_vec(bytes).unwrap()
    };
    assert_eq!(of(3).map(bytes).collect::<Vec<_>>(), dead);
}

trait Replace {
    fn replace(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replace(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|w| w == from);
        let at = at.expect("it is there");
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[tokio::test]
async fn what_is_no_base64_is_given_back_as_it_came_and_told() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "base64").await;
    let strange = ["no base64!", "eyJ2Ijox", "YQ", "YQ==\n", "\"\\\u{1}é"];
    let records: Vec<Value> = strange
        .iter()
        .enumerate()
        .map(|(n, data)| json!({"recordId": format!("\"{n}"), "data": data}))
        .collect();
    let answer = world.lambda.answer(&json!({"records": records})).await;
    // The second is base64 of a line that is not ended.
    let back = ["no base64!", "eyJ2IjoxCg==", "YQ", "YQ==\n", "\"\\\u{1}é"];
    let expected: Vec<Value> = back
        .iter()
        .enumerate()
        .map(|(n, data)| json!({"recordId": format!("\"{n}"), "result": "Ok", "data": data}))
        .collect();
    assert_eq!(answer, json!({"records": expected}));
    assert_eq!(count(&world.lambda.metrics(), "DeadLetters"), 5);
    let letters = dead_letters(&world).await;
    assert_eq!(letters.len(), 5);
    assert_eq!(letters[0]["why"], "no base64");
}

#[tokio::test]
async fn ten_thousand_records_some_of_one_id_are_answered_one_by_one() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "many").await;
    let blobs: Vec<Vec<u8>> = answers(10_000).iter().map(|line| blob(&[line])).collect();
    let mut event = firehose(&blobs);
    for n in [1, 2, 9_999] {
        event["records"][n]["recordId"] = json!(record_id(0));
    }
    let answer = world.lambda.answer(&event).await;
    let records = answer["records"].as_array().unwrap();
    assert_eq!(records.len(), blobs.len());
    for (record, asked) in records.iter().zip(event["records"].as_array().unwrap()) {
        assert_eq!(record["recordId"], asked["recordId"]);
        assert_eq!(record["data"], asked["data"]);
        assert_eq!(record["result"], "Ok");
    }
    assert_eq!(world.redis.state().await, folded(lines_of(&blobs)));
}

#[tokio::test]
async fn six_megabytes_of_nothing_cost_little_memory_and_few_messages() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "nothing").await;
    let blobs: Vec<Vec<u8>> = (0..4).map(|_| b"x\n".repeat(540_000)).collect();
    let event = firehose(&blobs).to_string();
    assert!(
        (5_700_000..6 << 20).contains(&event.len()),
        "{}",
        event.len()
    );
    let began = Instant::now();
    let Outcome::Answer(answer) = world.lambda.invoke(event).await else {
        panic!("no answer");
    };
    let memory = world.lambda.memory();
    println!(
        "2,160,000 lines of a byte: {:?}, {memory} KiB resident at most",
        began.elapsed()
    );
    assert_given_back(&serde_json::from_slice(&answer).unwrap(), &blobs);
    assert_eq!(count(&world.lambda.metrics(), "DeadLetters"), 2_160_000);
    assert!(memory < 128 << 10, "{memory} KiB");
    let messages = world.dead.take().await;
    assert!(messages.len() < 12, "{}", messages.len());
    let last = messages
        .iter()
        .find(|m| m.contains("only_counted"))
        .unwrap();
    assert!(serde_json::from_str::<Value>(last).unwrap()["only_counted"].is_u64());
}

#[tokio::test]
async fn a_store_that_is_full_or_a_replica_is_healed_by_the_redrive_queue() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "refusing").await;
    let lines = answers(200);
    let (away, back): (&[&str], &[&str]) = (
        &["CONFIG", "SET", "maxmemory", "1"],
        &["CONFIG", "SET", "maxmemory", "0"],
    );
    let replica: (&[&str], &[&str]) = (
        &["REPLICAOF", "127.0.0.1", "1"],
        &["REPLICAOF", "NO", "ONE"],
    );
    for ((away, back), lines) in [(away, back), replica].into_iter().zip(lines.chunks(100)) {
        // The connection is there already.
        assert!(world.redis.cli(away).contains("OK"));
        let blobs = [blob(lines)];
        assert_given_back(&world.lambda.answer(&firehose(&blobs)).await, &blobs);
        let metrics = world.lambda.metrics();
        assert_eq!(count(&metrics, "Folded"), 0, "{away:?}");
        assert_eq!(count(&metrics, "Redriven"), 100, "{away:?}");
        let marks = world.redrive.take().await;
        assert_eq!(marked(&marks), lines);

        // As long as it lasts, what is marked comes again and nothing of it is dead.
        let answer = world.lambda.answer(&sqs(&marks)).await;
        assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1);
        world.lambda.metrics();
        assert!(world.redis.cli(back).contains("OK"));
        let answer = world.lambda.answer(&sqs(&marks)).await;
        assert_eq!(answer, json!({"batchItemFailures": []}));
        world.lambda.metrics();
    }
    assert!(world.dead.take().await.is_empty());
    assert_eq!(
        world.redis.state().await,
        folded(lines.iter().map(Vec::as_slice))
    );
}

/// A server that speaks Redis's protocol and answers every script with one error.
fn refusing(error: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || talk(stream.unwrap(), error));
        }
    });
    address
}

fn talk(mut stream: TcpStream, error: &str) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut number = |mark: char| -> Option<usize> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if mark == '$' {
            let mut text = vec![0; line.trim_end().strip_prefix('$')?.parse::<usize>().ok()? + 2];
            reader.read_exact(&mut text).ok()?;
            return Some(usize::from(text.starts_with(b"EVALSHA")));
        }
        line.trim_end().strip_prefix(mark)?.parse().ok()
    };
    loop {
        let words = number('*')?;
        let script = number('$')? == 1;
        for _ in 1..words {
            number('$')?;
        }
        let answer = if script { error } else { "+OK" };
        stream.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
    }
}

#[tokio::test]
async fn whatever_a_store_answers_the_lines_are_marked() {
    let Some(moto) = moto::url() else { return };
    let lines = answers(10);
    let blobs = [blob(&lines)];
    for error in [
        "-LOADING Redis is loading the dataset in memory",
        "-MOVED 3999 127.0.0.1:6381",
        "-CLUSTERDOWN The cluster is down",
        "-NOPERM this user has no permissions to run the 'evalsha' command",
        "-ERR unknown command `EVALSHA`",
        "-BUSY Redis is busy running a script",
        "-MISCONF Redis is configured to save RDB snapshots",
        "$-1",
    ] {
        let name = format!(
            "says-{}",
            error.split(' ').next().unwrap().replace(['-', '$'], "")
        );
        let redrive = TestQueue::create(moto, &name).await;
        let store = format!("redis://{}", refusing(error));
        let mut lambda = Lambda::start(&[
            ("STATE_URL", &store),
            ("REDRIVE_QUEUE_URL", &redrive.url),
            ("DEAD_LETTER_QUEUE_URL", &redrive.url),
        ])
        .await;
        let answer = lambda.answer(&firehose(&blobs)).await;
        assert_given_back(&answer, &blobs);
        if error.starts_with('-') {
            assert_eq!(count(&lambda.metrics(), "Redriven"), 10, "{error}");
            let marks = redrive.take().await;
            assert_eq!(marked(&marks), lines, "{error}");
            let again = lambda.answer(&sqs(&marks)).await;
            assert_eq!(again["batchItemFailures"].as_array().unwrap().len(), 1);
            assert!(redrive.take().await.is_empty(), "{error}");
        }
    }
}

/// Hands on to `to`; of the first connections, each ends, or falls silent, after so many bytes.
fn cutting(to: u16, after: u64, connections: usize, silent: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = AtomicUsize::new(0);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut here, mut there) = (
                stream.unwrap(),
                TcpStream::connect(("127.0.0.1", to)).unwrap(),
            );
            let cut = accepted.fetch_add(1, Ordering::SeqCst) < connections;
            let limit = if cut { after } else { u64::MAX };
            let (mut answers, mut back) = (there.try_clone().unwrap(), here.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut Read::by_ref(&mut here).take(limit), &mut there);
                if cut && silent {
                    std::thread::sleep(Duration::from_secs(60));
                }
                let _ = here.shutdown(std::net::Shutdown::Both);
                let _ = there.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_that_dies_in_the_midst_of_a_fold_is_replaced_and_the_fold_whole() {
    let Some(moto) = moto::url() else { return };
    let lines = answers(1_000);
    let blobs: Vec<Vec<u8>> = lines.chunks(100).map(blob).collect();
    // After the scripts are loaded, within the fold.
    for (name, silent) in [("ends", false), ("silent", true)] {
        let world = World::new(moto, &format!("cut-{name}")).await;
        let proxy = cutting(world.redis.port(), 60_000, 1, silent);
        let store = format!("redis://:{PASSWORD}@{proxy}");
        let mut lambda = Lambda::start(&[
            ("STATE_URL", &store),
            ("REDRIVE_QUEUE_URL", &world.redrive.url),
            ("DEAD_LETTER_QUEUE_URL", &world.dead.url),
        ])
        .await;
        let began = Instant::now();
        assert_given_back(&lambda.answer(&firehose(&blobs)).await, &blobs);
        println!(
            "{name} within the fold: answered after {:?}",
            began.elapsed()
        );
        let metrics = lambda.metrics();
        let marks = world.redrive.take().await;
        // On a busy machine the second try may be too late; then it is marked, and folded again.
        assert_eq!(count(&metrics, "StoreErrors"), marks.len() as u64);
        if !marks.is_empty() {
            lambda.answer(&sqs(&marks)).await;
        }
        let expected = folded(lines.iter().map(Vec::as_slice));
        assert_eq!(world.redis.state().await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_deadline_that_is_near_is_kept_and_nothing_is_said_to_be_done_that_is_not() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "deadline").await;
    let lines = answers(50);
    let blobs = [blob(&lines)];
    world.lambda.answer(&firehose(&blobs)).await;
    world.lambda.metrics();
    world.redis.cli(&["CLIENT", "PAUSE", "60000", "ALL"]);
    let time = Duration::from_secs(6);
    world.lambda.give(time);
    let began = Instant::now();
    assert_given_back(&world.lambda.answer(&firehose(&blobs)).await, &blobs);
    assert!(began.elapsed() < time, "{:?}", began.elapsed());
    assert_eq!(marked(&world.redrive.take().await), lines);
    world.lambda.metrics();

    // Over already: neither folded nor marked, so that Firehose has to try again.
    world.lambda.give(Duration::ZERO);
    let began = Instant::now();
    let outcome = world.lambda.invoke(firehose(&blobs).to_string()).await;
    assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}
