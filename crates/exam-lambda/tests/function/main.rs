//! The real binary, driven through Lambda's Runtime API: the answer is exact, and so is the state.

mod hostile;
#[path = "../../../exam-aws/tests/support/moto.rs"]
mod moto;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use exam_record::make::{self, Attempt, Stamp};
use exam_record::{AttemptKey, MAX_RECORD};
use serde_json::{Value, json};
use support::*;

/// In the answers of the tests; nothing that is written down for people may hold it.
const CANARY: &str = "canary-7f3a";

fn line(attempt: i64, slot: u32, seq: i64, text: &str) -> Vec<u8> {
    let attempt_of = Attempt {
        site: "moodle.example".into(),
        quiz: 4,
        attempt,
        usage: 170 + attempt,
        student_id: 3,
    };
    let stamp = Stamp {
        id: &format!("{attempt}-{slot}-{seq}"),
        ts: 1_763_800_000_000_000 + seq as u64,
        at: 1_763_800_000_000_000 + seq as u64,
        page: "p",
        seq,
    };
    make::answer(&attempt_of, &stamp, slot, 5, 1, &[("answer", text)]).into_bytes()
}

/// A Firehose record as the sender packs it: each line ended by a newline.
fn blob<L: AsRef<[u8]>>(lines: &[L]) -> Vec<u8> {
    let mut blob = Vec::new();
    for line in lines {
        blob.extend_from_slice(line.as_ref());
        blob.push(b'\n');
    }
    blob
}

/// `lines` answers of 50 attempts.
fn answers(lines: usize) -> Vec<Vec<u8>> {
    let text = format!("{CANARY} 3.14159");
    (0..lines)
        .map(|n| line(n as i64 % 50, n as u32 / 50 % 10 + 1, n as i64, &text))
        .collect()
}

/// The function with a store and queues of its own.
struct World {
    redis: Redis,
    redrive: TestQueue,
    dead: TestQueue,
    lambda: Lambda,
}

impl World {
    async fn new(moto: &str, name: &str) -> World {
        let redis = Redis::start();
        let redrive = TestQueue::create(moto, &format!("{name}-redrive")).await;
        let dead = TestQueue::create(moto, &format!("{name}-dead")).await;
        let lambda = Lambda::start(&[
            ("STATE_URL", &redis.url()),
            ("REDRIVE_QUEUE_URL", &redrive.url),
            ("DEAD_LETTER_QUEUE_URL", &dead.url),
        ])
        .await;
        World {
            redis,
            redrive,
            dead,
            lambda,
        }
    }
}

/// Every record `Ok`, in order, byte for byte but for the newline at its end.
fn assert_given_back(answer: &Value, blobs: &[Vec<u8>]) {
    let records: Vec<Value> = blobs
        .iter()
        .enumerate()
        .map(|(n, blob)| {
            let mut data = blob.clone();
            if data.last().is_some_and(|last| *last != b'\n') {
                data.push(b'\n');
            }
            let data = base64_simd::STANDARD.encode_to_string(data);
            json!({"recordId": record_id(n), "result": "Ok", "data": data})
        })
        .collect();
    assert_eq!(*answer, json!({"records": records}));
}

fn lines_of(blobs: &[Vec<u8>]) -> Vec<&[u8]> {
    let lines = blobs.iter().flat_map(|blob| blob.split(|b| *b == b'\n'));
    lines.filter(|line| !line.is_empty()).collect()
}

fn count(metrics: &Value, name: &str) -> u64 {
    metrics[name].as_f64().unwrap() as u64
}

#[tokio::test]
async fn blobs_are_folded_and_given_back_and_only_what_is_no_record_is_a_dead_letter() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "blobs").await;
    let mut all = answers(1_002);
    let poison = format!("{{\"v\":1,\"type\":\"answer\",\"slot\":\"{CANARY}").into_bytes();
    let wrong = br#"{"v":1,"type":"answer","site":"s","attempt":1,"ts":"soon"}"#.to_vec();
    let mut with_poison = all.split_off(1_000);
    let tail = with_poison.pop().unwrap();
    with_poison.extend([
        poison.clone(),
        b"\xFF\xFE\x00 no UTF-8".to_vec(),
        b"  ".to_vec(),
        wrong.clone(),
        b"{\"none\":\"of ours\"}".to_vec(),
        br#"{"v":1,"type":"focus","ts":1}"#.to_vec(),
        br#"{"user":"spencer","status":"00001"}"#.to_vec(),
        tail,
    ]);
    let mut unended = blob(&with_poison);
    unended.pop();
    let blobs = vec![
        blob(&all[..500]),
        blob(&all[500..]),
        unended,
        Vec::new(),
        b"\n\n".to_vec(),
        b"\x00\x01\x02".to_vec(),
    ];
    let answer = world.lambda.answer(&firehose(&blobs)).await;
    assert_given_back(&answer, &blobs);
    let expected = folded(lines_of(&blobs));
    assert_eq!(expected.len(), 51);
    assert_eq!(world.redis.state().await, expected);

    let metrics = world.lambda.metrics();
    assert_eq!(count(&metrics, "Lines"), 1_009);
    assert_eq!(count(&metrics, "Folded"), 1_003);
    assert_eq!(count(&metrics, "DeadLetters"), 4);
    for none in ["StoreErrors", "Redriven", "DeadLettersUnsent", "Overflowed"] {
        assert_eq!(count(&metrics, none), 0, "{none}");
    }
    let described = &metrics["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(described["Namespace"], "ExamStream");
    assert_eq!(described["Dimensions"], json!([[]]));
    for metric in described["Metrics"].as_array().unwrap() {
        let name = metric["Name"].as_str().unwrap();
        assert!(metrics[name].is_number(), "{name}");
    }

    let dead = world.dead.take().await;
    let letters: Vec<Value> = dead
        .iter()
        .flat_map(|message| message.lines())
        .map(|letter| serde_json::from_str(letter).unwrap())
        .collect();
    let bytes: Vec<Vec<u8>> = letters
        .iter()
        .map(|letter| letter["bytes"].as_str().unwrap())
        .map(|bytes| base64_simd::STANDARD.decode_to_vec(bytes).unwrap())
        .collect();
    let expected = [
        poison,
        b"\xFF\xFE\x00 no UTF-8".to_vec(),
        wrong,
        b"\x00\x01\x02".to_vec(),
    ];
    assert_eq!(bytes, expected);
    assert_eq!(letters[0]["record"], record_id(2));
    assert_eq!(letters[0]["line"], 2);
    assert_eq!(letters[0]["stream"], ARN);
    assert!(letters[2]["why"].as_str().unwrap().contains("`ts`"));
    assert!(world.redrive.take().await.is_empty());
    assert!(!world.lambda.log().contains(CANARY));
}

#[tokio::test]
async fn events_that_come_twice_in_pieces_and_out_of_order_give_the_same_state() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "order").await;
    let all = answers(3_000);
    let expected = folded(all.iter().map(Vec::as_slice));
    let mut pieces: Vec<&[Vec<u8>]> = all.chunks(137).collect();
    pieces.reverse();
    pieces.extend(all.chunks(700));
    for piece in &pieces {
        let blobs: Vec<Vec<u8>> = piece.rchunks(60).map(blob).collect();
        let event = firehose(&blobs);
        for _ in 0..2 {
            assert_given_back(&world.lambda.answer(&event).await, &blobs);
        }
    }
    assert_eq!(world.redis.state().await, expected);
}

#[tokio::test]
async fn whoever_the_lines_are_of_and_however_they_are_mixed_the_state_is_that_of_all() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "mixed").await;
    let mut expected = State::new();
    // By turns of so many attempts: each line of another one, some of the same, nearly all.
    for (site, turns) in [2_000, 300, 120, 71, 70, 3].into_iter().enumerate() {
        let from = 10_000 * site as i64;
        let of = |n: i64| line(from + n * 7 % turns, 1 + (n % 4) as u32, n, CANARY);
        let lines: Vec<Vec<u8>> = (0..2_000).map(of).collect();
        expected.extend(folded(lines.iter().map(Vec::as_slice)));
        let blobs: Vec<Vec<u8>> = lines.chunks(9).map(blob).collect();
        assert_given_back(&world.lambda.answer(&firehose(&blobs)).await, &blobs);
        assert_eq!(count(&world.lambda.metrics(), "Folded"), 2_000);
    }
    assert_eq!(world.redis.state().await, expected);
}

#[tokio::test]
async fn a_store_that_is_away_costs_seconds_and_heals_from_the_redrive_queue() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "away").await;
    let before = answers(100);
    world.lambda.answer(&firehose(&[blob(&before)])).await;
    world.lambda.metrics();

    // Gone: the records go on to cold storage, the lines to the queue.
    world.redis.kill();
    let mut lines = answers(4_000);
    lines.push(b"no record".to_vec());
    lines.push(br#"{"nothing":"to fold"}"#.to_vec());
    let blobs: Vec<Vec<u8>> = lines.chunks(500).map(blob).collect();
    let began = Instant::now();
    let answer = world.lambda.answer(&firehose(&blobs)).await;
    let took = began.elapsed();
    assert_given_back(&answer, &blobs);
    assert!(took < Duration::from_secs(15), "{took:?}");
    let metrics = world.lambda.metrics();
    assert_eq!(count(&metrics, "StoreErrors"), 1);
    assert_eq!(count(&metrics, "Redriven"), 4_000);
    assert_eq!(count(&metrics, "Folded"), 0);
    let marks = world.redrive.take().await;
    let bytes: usize = marks.iter().map(String::len).sum();
    println!(
        "store gone: answered after {took:?}; {} bytes of lines in {} redrive messages of {bytes} bytes",
        blobs.iter().map(Vec::len).sum::<usize>(),
        marks.len(),
    );
    assert_eq!(world.dead.take().await.len(), 1);

    // Still gone: every message is to come again, and the function does not wait for each.
    let began = Instant::now();
    let mut with_stranger = marks.clone();
    with_stranger.push("somebody else's".into());
    let answer = world.lambda.answer(&sqs(&with_stranger)).await;
    assert!(began.elapsed() < Duration::from_secs(15));
    let failures = answer["batchItemFailures"].as_array().unwrap();
    assert_eq!(failures.len(), with_stranger.len());
    assert_eq!(count(&world.lambda.metrics(), "Redriven"), 4_000);

    // Back, and empty: what was marked is folded. Its messages may come twice.
    world.redis.start_again();
    for _ in 0..2 {
        let answer = world.lambda.answer(&sqs(&with_stranger)).await;
        let stranger = format!("059f36b4-87a3-44ab-83d2-{:012}", marks.len());
        assert_eq!(
            answer,
            json!({"batchItemFailures": [{"itemIdentifier": stranger}]})
        );
        assert_eq!(count(&world.lambda.metrics(), "Folded"), 4_000);
    }
    assert_eq!(
        world.redis.state().await,
        folded(lines.iter().map(Vec::as_slice))
    );

    // There, but silent.
    world.redis.cli(&["CLIENT", "PAUSE", "60000", "ALL"]);
    let slow = vec![blob(&[line(77, 1, 1, CANARY)])];
    let began = Instant::now();
    let answer = world.lambda.answer(&firehose(&slow)).await;
    let took = began.elapsed();
    println!("store silent: answered after {took:?}");
    assert_given_back(&answer, &slow);
    assert!(took < Duration::from_secs(15), "{took:?}");
    let marks = world.redrive.take().await;
    assert_eq!(marks.len(), 1);
    world.redis.kill();
    world.redis.start_again();
    world.lambda.answer(&sqs(&marks)).await;
    assert_eq!(
        world.redis.state().await,
        folded(lines_of(&slow)),
        "the connection that was silent is not the one used"
    );
    world.lambda.logs("redrive queue");
    let log = world.lambda.log();
    for secret in [CANARY, PASSWORD, "s3cret", "t0ken"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn without_store_and_queues_firehose_is_told_to_try_again() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let queue = format!("http://{nobody}/123456789012/queue");
    let mut lambda = Lambda::start(&[
        ("STATE_URL", &format!("redis://:{PASSWORD}@{nobody}")),
        ("REDRIVE_QUEUE_URL", &queue),
        ("DEAD_LETTER_QUEUE_URL", &queue),
    ])
    .await;
    let event = firehose(&[blob(&answers(3))]).to_string();
    let Outcome::Error(error) = lambda.invoke(event).await else {
        panic!("answered as if it were folded or marked");
    };
    let error = error.to_string();
    assert!(error.contains("error prefix"), "{error}");
    assert!(
        !error.contains(PASSWORD) && !error.contains(CANARY),
        "{error}"
    );

    // What needs neither needs no store: cold storage goes on.
    let blobs = vec![
        b"no record\n".to_vec(),
        b"{\"none\":\"of ours\"}\n".to_vec(),
    ];
    assert_given_back(&lambda.answer(&firehose(&blobs)).await, &blobs);
    lambda.logs("dead-letter queue");
}

#[tokio::test]
async fn the_answer_is_within_six_megabytes_whatever_comes() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "large").await;
    // The greatest event that Lambda lets in, in records of every size.
    let essay = "x".repeat(MAX_RECORD - 400);
    let mut blobs: Vec<Vec<u8>> = (0..17).map(|n| blob(&[line(n, 1, 1, &essay)])).collect();
    let mut rest = answers(1_000);
    let mut room = (6 << 20) - firehose(&blobs).to_string().len();
    while let Some(line) = rest.pop()
        && let Some(left) = room.checked_sub(line.len().div_ceil(3) * 4 + 150)
    {
        room = left;
        blobs.push(line);
    }
    let event = firehose(&blobs).to_string();
    println!("an event of {} bytes, {} records", event.len(), blobs.len());
    let Outcome::Answer(answer) = world.lambda.invoke(event).await else {
        panic!("no answer");
    };
    assert_given_back(&serde_json::from_slice(&answer).unwrap(), &blobs);
    assert_eq!(world.redis.state().await, folded(lines_of(&blobs)));
    world.lambda.metrics();

    // More than that, should Lambda ever let it in: all of it is folded, and what the answer has
    // no room for is Firehose's to keep.
    blobs.extend((20..30).map(|n| blob(&[line(n, 1, 1, &essay)])));
    let Outcome::Answer(answer) = world.lambda.invoke(firehose(&blobs).to_string()).await else {
        panic!("no answer");
    };
    assert!(answer.len() <= 6 << 20);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let (mut ok, mut failed) = (0, 0);
    for (n, record) in answer["records"].as_array().unwrap().iter().enumerate() {
        assert_eq!(record["recordId"], record_id(n));
        if record["result"] == "Ok" {
            ok += 1;
        } else {
            assert_eq!(record["result"], "ProcessingFailed");
            assert!(record.get("data").is_none());
            failed += 1;
        }
    }
    assert_eq!(ok + failed, blobs.len());
    assert!((8..=12).contains(&failed), "{failed}");
    assert_eq!(count(&world.lambda.metrics(), "Overflowed"), failed as u64);
    assert_eq!(world.redis.state().await, folded(lines_of(&blobs)));
    println!(
        "after 12 MB in two events: {} KiB resident at most",
        world.lambda.memory()
    );
}

#[tokio::test]
async fn strange_events_are_errors_and_an_empty_one_is_none() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "strange").await;
    let none: [&[u8]; 0] = [];
    assert_eq!(
        world.lambda.answer(&firehose(&none)).await,
        json!({"records": []})
    );
    assert_eq!(
        world.lambda.answer(&sqs(&[])).await,
        json!({"batchItemFailures": []})
    );
    for strange in ["{}", "[]", "\"text\"", r#"{"records":[{"recordId":1}]}"#] {
        let outcome = world.lambda.invoke(strange).await;
        assert!(
            matches!(outcome, Outcome::Error(_)),
            "{strange}: {outcome:?}"
        );
    }
    let unpacked = r#"{"records":[{"recordId":"1","data":"no base64!"}]}"#;
    let answer = world
        .lambda
        .answer(&serde_json::from_str(unpacked).unwrap())
        .await;
    assert_eq!(
        answer,
        json!({"records": [{"recordId": "1", "result": "Ok", "data": "no base64!"}]})
    );
    let blobs = vec![blob(&answers(3))];
    assert_given_back(&world.lambda.answer(&firehose(&blobs)).await, &blobs);
}

#[tokio::test]
async fn a_line_that_a_store_refuses_while_it_takes_others_is_a_dead_letter() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "refused").await;
    let lines: Vec<Vec<u8>> = (0..3).map(|n| line(n, 1, 1, CANARY)).collect();
    // The store is gone while they come, and when it is back one key is not a hash.
    world.redis.kill();
    world.lambda.answer(&firehose(&[blob(&lines)])).await;
    world.lambda.metrics();
    world.redis.start_again();
    let bad = AttemptKey::new("moodle.example", 1).to_text();
    world
        .redis
        .cli(&["SET", &format!("es:{{{bad}}}"), "a text"]);
    let marks = world.redrive.take().await;
    let answer = world.lambda.answer(&sqs(&marks)).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!(count(&world.lambda.metrics(), "DeadLetters"), 1);
    let dead = world.dead.take().await;
    let letter: Value = serde_json::from_str(&dead[0]).unwrap();
    let bytes = base64_simd::STANDARD.decode_to_vec(letter["bytes"].as_str().unwrap());
    assert_eq!(bytes.unwrap(), lines[1]);
    world.redis.cli(&["DEL", &format!("es:{{{bad}}}")]);
    let others = [&lines[0][..], &lines[2][..]];
    assert_eq!(world.redis.state().await, folded(others));
}

#[tokio::test]
async fn the_analysis_is_given_every_line_but_signals_and_its_absence_changes_no_answer() {
    let Some(moto) = moto::url() else { return };
    let stream = TestStream::create(moto, "events").await;
    let redis = Redis::start();
    let redrive = TestQueue::create(moto, "events-redrive").await;
    let dead = TestQueue::create(moto, "events-dead").await;
    let store = redis.url();
    let settings = |stream: &'static str| {
        [
            ("STATE_URL", store.as_str()),
            ("REDRIVE_QUEUE_URL", &redrive.url),
            ("DEAD_LETTER_QUEUE_URL", &dead.url),
            ("EVENTS_STREAM", stream),
            ("AWS_ENDPOINT_URL_KINESIS", moto),
        ]
    };
    // Enough for several records; what folds and what does not, but no signal.
    let mut lines = answers(2_000);
    lines.push(br#"{"user":"spencer","status":"00001"}"#.to_vec());
    lines.push(
        br#"{"v":1,"type":"signal","ts":1,"site":"s","quiz":4,"name":"gone","row":{}}"#.to_vec(),
    );
    let blobs: Vec<Vec<u8>> = lines.chunks(300).map(blob).collect();
    let mut lambda = Lambda::start(&settings("events")).await;
    assert_given_back(&lambda.answer(&firehose(&blobs)).await, &blobs);
    assert_eq!(count(&lambda.metrics(), "EventsLeftOut"), 0);
    lines.pop();

    let records = stream.records().await;
    assert!(records.len() > 1 && records.len() < 10, "{}", records.len());
    assert!(
        records
            .iter()
            .all(|record| record.ends_with(b"\n") && record.len() <= 256 << 10)
    );
    let mut arrived = lines_of(&records);
    arrived.sort_unstable();
    lines.sort_unstable();
    assert_eq!(arrived, lines);

    let mut lambda = Lambda::start(&settings("nowhere")).await;
    assert_given_back(&lambda.answer(&firehose(&blobs)).await, &blobs);
    let metrics = lambda.metrics();
    assert_eq!(count(&metrics, "EventsLeftOut"), 2_001);
    assert_eq!(count(&metrics, "StoreErrors"), 0);
    assert!(!lambda.log().contains(CANARY));
}

#[tokio::test]
async fn a_missing_setting_ends_it_with_a_sentence() {
    let output = std::process::Command::new(program())
        .env_clear()
        .env("STATE_URL", "redis://127.0.0.1:1")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("REDRIVE_QUEUE_URL must be set"), "{error}");
}

#[tokio::test]
async fn figures() {
    let Some(moto) = moto::url() else { return };
    let mut world = World::new(moto, "figures").await;
    let init = world.lambda.init;
    let idle = world.lambda.memory();
    let size = std::fs::metadata(program()).unwrap().len();
    println!("binary: {:.1} MB unstripped", size as f64 / 1e6);
    println!("cold start: {init:?} from exec to the first question for an event, {idle} KiB");
    const ROUNDS: i64 = 50;
    // Attempts, and whether they come by turns or are drawn: of 370 some 275, which is how many 500
    // events in a row of a real exam belong to at most.
    let attempts = [(500, false), (370, true), (50, false), (1, false)];
    let kinds = attempts.into_iter().flat_map(|of| [(of, 1), (of, 500)]);
    for (kind, ((attempts, drawn), per_blob)) in (0..).zip(kinds) {
        let mut times: Vec<f64> = Vec::new();
        let mut folds: Vec<f64> = Vec::new();
        let before = (world.lambda.cpu(), world.redis.cpu());
        for round in 0..ROUNDS {
            // Nothing that is known already: each line is a winner.
            let lines: Vec<Vec<u8>> = (0..500)
                .map(|n| {
                    let at = (kind * ROUNDS + round) * 500 + n;
                    let (attempt, slot) = match drawn {
                        true => (fastrand::i64(0..attempts), n % 10 + 1),
                        false => (n % attempts, n / attempts % 10 + 1),
                    };
                    line(attempt, slot as u32, at, "3.14159")
                })
                .collect();
            let event = firehose(&lines.chunks(per_blob).map(blob).collect::<Vec<_>>());
            let event = event.to_string();
            let began = Instant::now();
            let outcome = world.lambda.invoke(event).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert!(matches!(outcome, Outcome::Answer(_)));
            folds.push(world.lambda.metrics()["FoldTime"].as_f64().unwrap());
        }
        let cpu = |before: Duration, after: Duration| {
            (after - before).as_secs_f64() * 1e3 / ROUNDS as f64
        };
        let function = cpu(before.0, world.lambda.cpu());
        let store = cpu(before.1, world.redis.cpu());
        times.sort_unstable_by(f64::total_cmp);
        folds.sort_unstable_by(f64::total_cmp);
        let of = |values: &[f64], part: f64| values[(values.len() as f64 * part) as usize];
        println!(
            "500 lines of {attempts} attempts{} in {} records: {:.2} ms median, {:.2} p95, {:.2} least \
             of {ROUNDS}, the fold {:.2} of the median; CPU {function:.2} ms here, {store:.2} in Redis",
            if drawn { ", drawn," } else { "" },
            500 / per_blob,
            of(&times, 0.5),
            of(&times, 0.95),
            times[0],
            of(&folds, 0.5),
        );
        // On a machine that does nothing else: 5 ms.
        assert!(of(&times, 0.5) < 1_000.0);
    }
    println!(
        "memory after 200,000 lines: {} KiB resident at most",
        world.lambda.memory()
    );
}
