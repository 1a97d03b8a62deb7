//! Against a real cluster: three primaries on loopback, each with a replica where one is to fail.

mod support;
#[path = "support/valkey.rs"]
mod valkey;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use exam_record::{AttemptKey, Registers};
use exam_state::{BlockingReader, Options, StateError, StateStore, open};
use redis::{Value, from_redis_value};
use support::{Redis, answer, attempt, batch, conformance, free_port};

struct Cluster {
    /// Three primaries, then their replicas in the same order, if there are any.
    nodes: Vec<Redis>,
}

impl Cluster {
    fn start(replicas: bool) -> Cluster {
        let nodes: Vec<Redis> = (0..if replicas { 6 } else { 3 })
            .map(|_| {
                let bus = free_port().to_string();
                let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                // Long enough for a busy machine, short enough for a test.
                let timing = [
                    "--cluster-node-timeout",
                    "3000",
                    "--repl-ping-replica-period",
                    "1",
                ];
                Redis::start("C", &[&args[..], &timing[..]].concat())
            })
            .collect();
        let cluster = Cluster { nodes };
        for (n, node) in cluster.nodes.iter().take(3).enumerate() {
            let first = [0, 5_461, 10_923, 16_384];
            let (from, to) = (first[n].to_string(), (first[n + 1] - 1).to_string());
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for node in &cluster.nodes[1..] {
            let (port, bus) = (node.port.to_string(), node.args[3].clone());
            cluster.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
        cluster.wait("to meet", |node| node.says(&["CLUSTER", "INFO"], &known));
        if replicas {
            for n in 0..3 {
                let id: String =
                    from_redis_value(cluster.nodes[n].command(&["CLUSTER", "MYID"])).unwrap();
                cluster.wait("to be known", |node| node.says(&["CLUSTER", "NODES"], &id));
                cluster.nodes[n + 3].command(&["CLUSTER", "REPLICATE", &id]);
            }
            cluster.wait("to replicate", |node| {
                node.says(&["INFO", "replication"], "master_link_status:up")
                    || node.says(&["INFO", "replication"], "state=online")
            });
        }
        cluster.wait("to be ready", |node| {
            node.says(&["CLUSTER", "INFO"], "cluster_state:ok")
        });
        cluster
    }

    fn wait(&self, what: &str, done: impl Fn(&Redis) -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !self.nodes.iter().all(&done) {
            assert!(
                Instant::now() < patience,
                "the cluster does not come {what}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Names two of the nodes: the others are found.
    fn url(&self) -> String {
        let hosts: Vec<_> = [0, 1]
            .map(|n| format!("127.0.0.1:{}", self.nodes[n].port))
            .into();
        format!("redis-cluster://{}", hosts.join(","))
    }
}

fn within(response_timeout: Duration) -> Options {
    Options {
        response_timeout,
        ..Options::default()
    }
}

/// Calls again as long as the cluster has no primary for some slots.
async fn fold_in_the_end(store: &dyn StateStore, lines: &[String]) -> u32 {
    let (batch, patience) = (batch(lines), Instant::now() + Duration::from_secs(90));
    let mut failed = 0;
    while let Err(error) = store.fold(&batch).await {
        let temporary = matches!(
            error,
            StateError::Unreachable(_)
                | StateError::Timeout(_)
                | StateError::ReadOnly(_)
                | StateError::Loading(_)
        );
        assert!(temporary && Instant::now() < patience, "{error:?}");
        failed += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    failed
}

#[tokio::test]
async fn a_cluster_is_a_state_store_and_its_slots_may_move() {
    let cluster = Cluster::start(false);
    let store = open(&cluster.url(), Options::default()).unwrap();
    conformance(&*store).await;
    let used = |node: &Redis| from_redis_value::<u64>(node.command(&["DBSIZE"])).unwrap();
    assert!(
        cluster.nodes.iter().all(|node| used(node) > 20),
        "one node has it all"
    );

    cluster.nodes[1].command(&["SCRIPT", "FLUSH"]);
    let lines: Vec<_> = (1..200).map(|n| answer(n, 2, 1, "b")).collect();
    store.fold(&batch(&lines)).await.unwrap();

    // A slot on its way: what is not here any more is asked for there (ASK), and once it has
    // moved, there only (MOVED).
    let key = AttemptKey::new(attempt(1).site, 777_777);
    let name = format!("es:{{{}}}", key.to_text());
    let slot =
        from_redis_value::<u16>(cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", &name])).unwrap();
    let from = [5_461, 10_923, 16_384]
        .iter()
        .position(|end| slot < *end)
        .unwrap();
    let (slot, to) = (slot.to_string(), (from + 1) % 3);
    let id = |n: usize| {
        from_redis_value::<String>(cluster.nodes[n].command(&["CLUSTER", "MYID"])).unwrap()
    };
    let set = |n: usize, how: &str, of: usize| {
        cluster.nodes[n].command(&["CLUSTER", "SETSLOT", &slot, how, &id(of)])
    };
    set(to, "IMPORTING", from);
    set(from, "MIGRATING", to);
    store
        .fold(&batch([&answer(777_777, 1, 1, "a")]))
        .await
        .unwrap();
    assert!(store.read(&key).await.unwrap().is_some());
    let Value::Int(there) = cluster.nodes[to].command(&["CLUSTER", "COUNTKEYSINSLOT", &slot])
    else {
        panic!("no number")
    };
    assert_eq!(there, 1);
    set(to, "NODE", to);
    set(from, "NODE", to);
    assert!(store.read(&key).await.unwrap().is_some());
    let mut reader = BlockingReader::new(&cluster.url(), within(Duration::from_secs(5))).unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let found = reader.read(&key).unwrap();
        (
            found.is_some(),
            reader.board(&key.site, 4, 0).unwrap().rows.len(),
        )
    });
    let (found, rows) = read.await.unwrap();
    assert!(found && rows > 150, "{rows} rows");
}

#[tokio::test]
async fn a_failover_in_the_middle_of_folding_loses_nothing() {
    let mut cluster = Cluster::start(true);
    let store = open(&cluster.url(), within(Duration::from_secs(2))).unwrap();
    let mut expected: BTreeMap<AttemptKey, Registers> = BTreeMap::new();
    let mut failed = 0;
    for round in 0..200_u64 {
        if round == 80 {
            // A primary answers before its replica has it: what is lost so is for `rebuild`.
            while !cluster.nodes[0].is_replicated() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            cluster.nodes[0].kill();
        }
        let lines: Vec<_> = (0..40)
            .map(|n| {
                answer(
                    (round as i64 * 17 + n) % 300,
                    round + 1,
                    n as u32 % 5 + 1,
                    "x",
                )
            })
            .collect();
        failed += fold_in_the_end(&*store, &lines).await;
        for (key, attempt) in batch(&lines).attempts() {
            let registers = expected.entry(key.clone()).or_default();
            registers.merge(attempt.registers.clone());
        }
    }
    println!("{failed} folds failed and were repeated");
    assert!(failed > 0, "the primary was not missed");
    assert!(
        cluster.nodes[3].says(&["ROLE"], "master"),
        "the replica has not taken over"
    );

    let mut found = BTreeMap::new();
    store
        .scan(&mut |key, registers| drop(found.insert(key, registers)))
        .await
        .unwrap();
    assert_eq!(found, expected);
    let board = store.board(&attempt(1).site, 4, 0, 1_000).await.unwrap();
    assert_eq!(board.rows.len(), expected.len());

    // The URL's first node is the one that is gone; its second one is enough.
    let (url, read) = (cluster.url(), expected.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = BlockingReader::new(&url, within(Duration::from_secs(5))).unwrap();
        for (key, registers) in &read {
            assert_eq!(reader.read(key).unwrap().as_ref(), Some(registers));
        }
    });
    reading.await.unwrap();
}

#[test]
fn a_reader_of_a_cluster_that_is_gone_says_so_in_time() {
    for host in ["127.0.0.1:1,127.0.0.1:2", "no-such-host.invalid:6379"] {
        let url = format!("redis-cluster://{host}");
        let mut reader = BlockingReader::new(&url, within(Duration::from_millis(150))).unwrap();
        let start = Instant::now();
        let error = reader.read(&AttemptKey::new("s", 1)).unwrap_err();
        let gone = matches!(error, StateError::Unreachable(_) | StateError::Timeout(_));
        assert!(gone, "{host}: {error:?}");
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn the_url_of_a_cluster_names_nodes_and_tells_no_secret() {
    for url in [
        "redis-cluster://a:7000,b:7001",
        "redis-cluster://:hunter2@a,b:7001/0",
        "rediss-cluster://user:hunter2@example.serverless.euw1.cache.amazonaws.com:6379",
    ] {
        assert!(open(url, Options::default()).is_ok(), "{url}");
    }
    for url in [
        "redis-cluster://",
        "redis-cluster://:hunter2@a:port",
        "redis-cluster://:hunter2@a/1",
        "redis-cluster://:hunter2@a,",
    ] {
        let Err(error) = open(url, Options::default()) else {
            panic!("{url} was taken")
        };
        assert!(matches!(error, StateError::Url(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn all_of_this_is_so_on_a_valkey() {
    valkey::run_all_again(&["valkey"]);
}
