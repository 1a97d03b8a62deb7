//! Against a real redis-server.

mod support;
#[path = "support/valkey.rs"]
mod valkey;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exam_record::{AttemptKey, Registers, make};
use exam_state::{
    BOARD_ROWS, BlockingReader, DEFAULT_TTL, FoldBatch, Options, Position, StateError, StateStore,
    open,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::{Redis, answer, attempt, batch, conformance, record};

fn store(redis: &Redis) -> Arc<dyn StateStore> {
    open(&redis.url(), Options::default()).unwrap()
}

fn within(response_timeout: Duration) -> Options {
    Options {
        response_timeout,
        ..Options::default()
    }
}

fn key(number: i64) -> AttemptKey {
    AttemptKey::new(attempt(number).site, number)
}

#[test]
fn all_of_this_is_so_on_a_valkey() {
    // The one of PyPI has no TLS, which is the client's and the same.
    valkey::run_all_again(&["valkey", "tls"]);
}

#[tokio::test]
async fn redis_is_a_state_store_in_every_locale() {
    let installed = Command::new("locale").arg("-a").output().unwrap().stdout;
    let installed = String::from_utf8(installed).unwrap();
    let mut locales: Vec<&str> = installed
        .lines()
        .filter(|l| l.contains('_'))
        .take(3)
        .collect();
    locales.push("C");
    println!("locales tried: {locales:?}");
    for locale in locales {
        let redis = Redis::start(locale, &[]);
        conformance(&*store(&redis)).await;
    }
}

/// How often the server was asked for a command.
fn calls(redis: &Redis, command: &str) -> u64 {
    let said = redis.command(&["INFO", "commandstats"]);
    let said: String = redis::from_redis_value(said).unwrap();
    let head = format!("cmdstat_{command}:calls=");
    let line = said.lines().find_map(|line| line.strip_prefix(&head));
    line.map_or(0, |rest| {
        let digits = rest.split(',').next().unwrap();
        digits.parse().unwrap()
    })
}

async fn state(store: &dyn StateStore) -> BTreeMap<AttemptKey, Registers> {
    let mut state = BTreeMap::new();
    store
        .scan(&mut |key, registers| drop(state.insert(key, registers)))
        .await
        .unwrap();
    state
}

fn merge(state: &mut BTreeMap<AttemptKey, Registers>, batch: &FoldBatch) {
    for (key, attempt) in batch.attempts() {
        let known = state.entry(key.clone()).or_default();
        known.merge(attempt.registers.clone());
    }
}

#[tokio::test]
async fn many_registers_are_joined_like_few() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    let mut runner = TestRunner::deterministic();
    let mut expected = BTreeMap::new();
    for _ in 0..20 {
        let lines = prop::collection::vec(record(), 100..400);
        let lines = lines.new_tree(&mut runner).unwrap().current();
        for lines in [&lines[..], &lines[lines.len() / 2..]] {
            let batch = batch(lines);
            store.fold(&batch).await.unwrap();
            merge(&mut expected, &batch);
        }
        assert_eq!(state(&*store).await, expected);
    }
    assert!(calls(&redis, "exec") > 30);
    let ttl = DEFAULT_TTL.as_millis() as u64;
    for key in redis.keys() {
        // A part of 32 longer than it need be; this test takes no minute.
        let left = left(&redis, &key);
        assert!(
            (ttl + ttl / 32 - 60_000..=ttl + ttl / 32).contains(&left),
            "{key}: {left}"
        );
    }
}

/// Milliseconds that a key has to live.
fn left(redis: &Redis, key: &str) -> u64 {
    redis::from_redis_value(redis.command(&["PTTL", key])).unwrap()
}

/// Enough for a transaction: two lines of one attempt, and some of others.
fn many(at: u64) -> FoldBatch {
    let others = (2..40).map(|n| answer(n, at, 1, "b"));
    let lines: Vec<String> = [answer(1, at, 1, "a"), answer(1, at, 2, "a")]
        .into_iter()
        .chain(others)
        .collect();
    batch(&lines)
}

#[tokio::test]
async fn an_attempt_that_goes_on_is_kept_once_in_a_part_of_its_time() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    let name = format!("es:{{{}}}", key(1).to_text());
    const DAY: u64 = 86_400_000_000;
    let folded = async |at: u64| {
        redis.command(&["PEXPIRE", &name, "100000"]);
        store.fold(&many(at)).await.unwrap();
        left(&redis, &name) > 100_000
    };
    assert!(folded(DAY).await, "a new one is kept");
    assert!(!folded(DAY + 1).await, "it goes on");
    assert!(folded(DAY + 1).await, "it is folded again");
    assert!(folded(DAY).await, "something comes late");
    assert!(folded(2 * DAY).await, "it goes on in another part");
    assert!(!folded(2 * DAY + 60_000_000).await, "it goes on");
    redis.command(&["DEL", &name]);
    assert!(folded(2 * DAY + 70_000_000).await, "the store has lost it");
    assert!(calls(&redis, "exec") > 6 && calls(&redis, "unwatch") == 0);

    // For ever: then only what was erased is looked for.
    redis.command(&["PERSIST", &name]);
    let options = Options {
        ttl: None,
        ..Options::default()
    };
    let store = open(&redis.url(), options).unwrap();
    store.fold(&many(3 * DAY)).await.unwrap();
    assert!(redis.says(&["PTTL", &name], "int(-1)"));
}

#[tokio::test]
async fn a_transaction_leaves_nothing_of_an_erased_attempt() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    let erased = batch([&make::erased(&attempt(1), 1_763_800_000_000_000)]);
    let tombstone = &erased.attempts()[&key(1)].registers;
    for at in 1..4 {
        store.fold(&erased).await.unwrap();
        store.fold(&many(at)).await.unwrap();
        assert_eq!(store.read(&key(1)).await.unwrap().as_ref(), Some(tombstone));
        assert_eq!(state(&*store).await.len(), 39);
    }
    assert_eq!(calls(&redis, "exec"), 3);
    assert!(left(&redis, &format!("es:{{{}}}", key(1).to_text())) > 1_000_000);
}

#[tokio::test]
async fn writers_that_cross_each_other_leave_what_one_alone_would() {
    let redis = Redis::start("C", &[]);
    const FOLDS: u64 = 40;
    let mut expected = BTreeMap::new();
    let mut writers = Vec::new();
    for writer in 0..4 {
        let batches: Vec<FoldBatch> = (0..FOLDS)
            .map(|round| {
                let lines = (0..60).map(|n| {
                    let at = (round * 31 + n * 7 + writer * 13) % 97;
                    answer(n as i64, at, 1 + (at % 3) as u32, &writer.to_string())
                });
                batch(&lines.collect::<Vec<_>>())
            })
            .collect();
        for batch in &batches {
            merge(&mut expected, batch);
        }
        // Each with connections of its own, as a sender and a function have them.
        let store = store(&redis);
        writers.push(tokio::spawn(async move {
            for batch in batches {
                store.fold(&batch).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(state(&*store(&redis)).await, expected);
    // By a script a transaction keeps its attempts, unless it was crossed. All other scripts followed
    // such a one.
    let crossed = calls(&redis, "evalsha") - 4 * FOLDS;
    println!("{} of {} folds were crossed", crossed / 60, 4 * FOLDS);
    assert!(crossed >= 60, "{crossed}");
    assert_eq!(calls(&redis, "exec"), 4 * FOLDS);
}

#[tokio::test]
async fn one_attempt_that_cannot_be_folded_keeps_no_other_from_it() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    let broken = format!("es:{{{}}}", key(7).to_text());
    redis.command(&["SET", &broken, "a text"]);
    let lines: Vec<_> = (0..100).map(|n| answer(n, 1, 1, "a")).collect();
    let error = store.fold(&batch(&lines)).await.unwrap_err();
    assert!(matches!(error, StateError::Refused(_)), "{error:?}");
    redis.command(&["DEL", &broken]);
    let mut expected = BTreeMap::new();
    merge(&mut expected, &batch(&lines));
    expected.remove(&key(7));
    assert_eq!(state(&*store).await, expected);
}

#[tokio::test]
async fn a_user_who_may_run_scripts_but_no_transactions_folds_by_them() {
    let redis = Redis::start("C", &[]);
    let rights = "ACL SETUSER exam on >secret ~es:* -@all +@read +@write +@scripting +@connection";
    let words: Vec<&str> = rights.split(' ').chain(["+time"]).collect();
    redis.command(&words);
    let url = redis.url().replace("redis://", "redis://exam:secret@");
    let store = open(&url, Options::default()).unwrap();
    let lines: Vec<_> = (0..100).map(|n| answer(n, 1, 1, "a")).collect();
    for _ in 0..2 {
        store.fold(&batch(&lines)).await.unwrap();
    }
    let mut expected = BTreeMap::new();
    merge(&mut expected, &batch(&lines));
    assert_eq!(state(&*store).await, expected);
    let board = store.board(&attempt(1).site, 4, 0, 1_000).await.unwrap();
    assert_eq!(board.rows.len(), 100);
}

#[tokio::test]
async fn scripts_the_server_lost_are_loaded_again() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    store.fold(&batch([&answer(1, 1, 1, "a")])).await.unwrap();
    redis.command(&["SCRIPT", "FLUSH"]);
    let lines: Vec<_> = (2..2_500).map(|n| answer(n, 1, 1, "a")).collect();
    store.fold(&batch(&lines)).await.unwrap();
    assert!(store.read(&key(2_499)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_restarted_is_found_again_and_its_loss_is_noticed() {
    let mut redis = Redis::start("C", &[]);
    let store = store(&redis);
    let at = |before: Option<&str>, after: &str| {
        let mut batch = batch([&answer(1, 1, 1, "a")]);
        batch.position = Some(Position {
            name: "log".into(),
            before: before.map(|b| b.as_bytes().to_vec()),
            after: after.as_bytes().to_vec(),
        });
        batch
    };
    store.fold(&at(None, "1")).await.unwrap();
    redis.kill();
    let error = store.fold(&at(Some("1"), "2")).await.unwrap_err();
    assert!(matches!(error, StateError::Unreachable(_)), "{error:?}");
    redis.restart();
    let error = store.fold(&at(Some("1"), "2")).await.unwrap_err();
    assert!(
        matches!(error, StateError::PositionMoved { .. }),
        "{error:?}"
    );
    assert_eq!(store.position("log").await.unwrap(), None);
    store.fold(&at(None, "1")).await.unwrap();

    // Killed and restarted between two calls: the dead connection is replaced unseen.
    redis.kill();
    redis.restart();
    assert_eq!(store.read(&key(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_board_that_was_lost_comes_back_with_what_is_folded_again() {
    let redis = Redis::start("C", &[]);
    let store = store(&redis);
    let site = attempt(1).site;
    let lines = [answer(1, 1, 1, "a"), answer(2, 1, 1, "a")];
    store.fold(&batch(&lines)).await.unwrap();
    let before = store.board(&site, 4, 0, 10).await.unwrap();
    assert_eq!(before.rows.len(), 2);
    redis.command(&["FLUSHALL"]);
    store.fold(&batch(&lines[..1])).await.unwrap();
    // Its versions are greater already, and yet it is known that attempt 2 is none of its.
    let after = store.board(&site, 4, before.version, 10).await.unwrap();
    assert!(after.reset && after.version > before.version);
    assert_eq!(after.rows.keys().collect::<Vec<_>>(), [&1]);
    let after = store.board(&site, 4, after.version, 10).await.unwrap();
    assert!(!after.reset && after.rows.is_empty());
}

#[tokio::test]
async fn an_attempt_is_forgotten_after_its_time_to_live() {
    let redis = Redis::start("C", &[]);
    let options = Options {
        ttl: Some(Duration::from_secs(2)),
        ..Options::default()
    };
    let store = open(&redis.url(), options).unwrap();
    let batch = batch([&answer(1, 1, 1, "a")]);
    for _ in 0..3 {
        store.fold(&batch).await.unwrap(); // each fold refreshes it, even one that changes nothing
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(store.read(&key(1)).await.unwrap().is_some());
    let look = async || store.board(&attempt(1).site, 4, 0, 10).await.unwrap();
    assert_eq!(look().await.rows.len(), 1);
    store.fold(&batch).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    assert_eq!(store.read(&key(1)).await.unwrap(), None);
    assert!(redis.keys().is_empty(), "{:?}", redis.keys());

    // A board that is used for longer than its attempts are kept forgets those.
    for n in 2..8 {
        let batch = support::batch([&answer(n, 1, 1, "a")]);
        store.fold(&batch).await.unwrap();
        look().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    look().await;
    let board = format!(
        "es:board:{{{}}}",
        AttemptKey::quiz(attempt(1).site, 4).to_text()
    );
    let redis::Value::Int(kept) = redis.command(&["ZCARD", &board]) else {
        panic!("no number")
    };
    // Those of the last two seconds and a 32nd, and the mark of the board itself.
    assert!((1..=5).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_full_store_says_so() {
    let redis = Redis::start(
        "C",
        &["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"],
    );
    let store = store(&redis);
    let text = "x".repeat(100_000);
    let (mut outcome, mut taken) = (Ok(()), 0);
    for n in 0..100 {
        outcome = store.fold(&batch([&answer(n, 1, 1, &text)])).await;
        if outcome.is_err() {
            break;
        }
        taken += 1;
    }
    let error = outcome.unwrap_err();
    assert!(matches!(error, StateError::Full(_)), "{error:?}");
    assert!(error.to_string().contains("raise maxmemory"));
    // What it took is on the board.
    let board = store.board(&attempt(1).site, 4, 0, 100).await.unwrap();
    assert!(taken > 0);
    assert_eq!(board.rows.len(), taken);
}

#[tokio::test]
async fn a_replica_says_that_it_is_one() {
    let primary = Redis::start("C", &[]);
    let replica = Redis::start(
        "C",
        &["--replicaof", "127.0.0.1", &primary.port.to_string()],
    );
    let copy = store(&replica);
    let batch = batch([&answer(1, 1, 1, "a")]);
    let error = copy.fold(&batch).await.unwrap_err();
    assert!(matches!(error, StateError::ReadOnly(_)), "{error:?}");

    // It shows the board as whoever looked at the primary left it.
    let (primary, site) = (store(&primary), attempt(1).site);
    primary.fold(&batch).await.unwrap();
    primary.board(&site, 4, 0, 10).await.unwrap();
    primary.fold(&batch).await.unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while copy.board(&site, 4, 0, 10).await.unwrap().rows.is_empty() {
        assert!(Instant::now() < patience, "it has no row");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn credentials_are_used_and_their_refusal_tells_no_secret() {
    let redis = Redis::start("C", &["--requirepass", "pass%word"]);
    let url = |login: &str| format!("redis://{login}127.0.0.1:{}", redis.port);
    let good = open(&url(":pass%25word@"), Options::default()).unwrap();
    good.fold(&batch([&answer(1, 1, 1, "a")])).await.unwrap();
    for login in ["", ":hunter2@", "nobody:hunter2@"] {
        let store = open(&url(login), Options::default()).unwrap();
        let error = store.read(&key(1)).await.unwrap_err();
        assert!(matches!(error, StateError::Auth(_)), "{login} {error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    for url in [
        "",
        "http://x",
        "redis://",
        "redis://:hunter2@127.0.0.1:port",
    ] {
        let Err(error) = open(url, Options::default()) else {
            panic!("{url} was taken")
        };
        assert!(matches!(error, StateError::Url(_)));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

/// A listener whose connections nobody answers.
fn silent() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn a_silent_server_costs_the_timeout_and_no_more() {
    let listener = silent();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let options = Options {
        connect_timeout: Duration::from_millis(200),
        response_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let store = open(&url, options).unwrap();
    let start = Instant::now();
    let error = store
        .fold(&batch([&answer(1, 1, 1, "a")]))
        .await
        .unwrap_err();
    assert!(matches!(error, StateError::Timeout(_)), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_reader_reads_within_its_deadline_and_recovers() {
    let timeout = Duration::from_millis(400);
    let late = Duration::from_secs(2); // a busy machine
    let mut redis = Redis::start("C", &[]);
    let mut reader = BlockingReader::new(&redis.url(), within(timeout)).unwrap();
    assert_eq!(reader.read(&key(1)).unwrap(), None);
    let fold = |redis: &Redis| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = store(redis);
        runtime
            .block_on(store.fold(&batch([&answer(1, 1, 1, "a")])))
            .unwrap();
    };
    fold(&redis);
    assert!(reader.read(&key(1)).unwrap().is_some());

    redis.kill();
    let start = Instant::now();
    let error = reader.read(&key(1)).unwrap_err();
    assert!(matches!(error, StateError::Unreachable(_)), "{error:?}");
    assert!(start.elapsed() < late);
    redis.restart();
    assert_eq!(reader.read(&key(1)).unwrap(), None);
    fold(&redis);

    // A server that hangs, then goes on: its late answer must not be taken for the next one.
    redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]);
    let start = Instant::now();
    let error = reader.read(&key(2)).unwrap_err();
    assert!(matches!(error, StateError::Timeout(_)), "{error:?}");
    assert!(start.elapsed() < late, "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_secs(3));
    assert!(reader.read(&key(1)).unwrap().is_some());

    // Silence from the start, and a name that no one resolves.
    let listener = silent();
    for host in [
        listener.local_addr().unwrap().to_string(),
        "no-such-host.invalid:6379".into(),
    ] {
        let mut reader = BlockingReader::new(&format!("redis://{host}"), within(timeout)).unwrap();
        let start = Instant::now();
        assert!(reader.read(&key(1)).is_err());
        assert!(start.elapsed() < late, "{host}: {:?}", start.elapsed());
    }
}

#[test]
fn a_reader_gives_a_board_as_far_as_its_time_goes() {
    let redis = Redis::start("C", &[]);
    let lines: Vec<_> = (1..=6_000).map(|n| answer(n, 1, 1, "a")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(store(&redis).fold(&batch(&lines)))
        .unwrap();
    let site = attempt(1).site;
    // All the time there is: two answers, 5,000 rows and the rest.
    let mut reader = BlockingReader::new(&redis.url(), within(Duration::from_secs(60))).unwrap();
    let first = reader.board(&site, 4, 0).unwrap();
    assert_eq!((first.rows.len(), first.more), (BOARD_ROWS, true));
    let rest = reader.board(&site, 4, first.version).unwrap();
    assert_eq!((rest.rows.len(), rest.more), (1_000, false));
    // Hardly any: fewer rows an answer, and all of them in the end.
    let mut reader = BlockingReader::new(&redis.url(), within(Duration::from_millis(400))).unwrap();
    let (mut version, mut rows, mut answers) = (0, 0, 0);
    loop {
        match reader.board(&site, 4, version) {
            Ok(board) => {
                (version, rows, answers) = (board.version, rows + board.rows.len(), answers + 1);
                if !board.more {
                    break;
                }
            }
            Err(error) => assert!(matches!(error, StateError::Timeout(_)), "{error}"),
        }
    }
    println!("6,000 rows within 400 ms an answer took {answers} answers");
    assert_eq!(rows, 6_000);
}

#[tokio::test]
async fn tls_trusts_the_given_authority_only() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let port = silent().local_addr().unwrap().port().to_string();
    let redis = Redis::start(
        "C",
        &[
            "--tls-port",
            &port,
            "--tls-auth-clients",
            "no",
            "--tls-cert-file",
            &path("cert.pem"),
            "--tls-key-file",
            &path("key.pem"),
            "--tls-ca-cert-file",
            &path("cert.pem"),
        ],
    );
    let url = format!("rediss://localhost:{port}");
    let ca_pem = Some(std::fs::read(path("cert.pem")).unwrap());
    let options = Options {
        ca_pem: ca_pem.clone(),
        ..Options::default()
    };
    let store = open(&url, options).unwrap();
    store.fold(&batch([&answer(1, 1, 1, "a")])).await.unwrap();
    let read = tokio::task::spawn_blocking({
        let url = url.clone();
        move || {
            let mut reader = BlockingReader::new(
                &url,
                Options {
                    ca_pem,
                    ..within(Duration::from_secs(2))
                },
            )
            .unwrap();
            reader.read(&key(1)).unwrap()
        }
    });
    assert!(read.await.unwrap().is_some());

    let stranger = open(&url, Options::default()).unwrap();
    let error = stranger.read(&key(1)).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    drop(redis);
}
