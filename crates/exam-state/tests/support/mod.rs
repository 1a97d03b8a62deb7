//! A redis-server of one's own, and the suite every store must pass.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exam_record::make::{self, About, Attempt, Stamp};
use exam_record::{AttemptKey, AttemptView, Board, BoardRow, Registers, STEPS, Who};
use exam_state::{FoldBatch, Position, StateError, StateStore};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

pub struct Redis {
    child: Child,
    pub port: u16,
    pub dir: TempDir,
    pub args: Vec<String>,
    locale: String,
}

impl Redis {
    pub fn start(locale: &str, args: &[&str]) -> Redis {
        let port = free_port();
        let dir = TempDir::new().unwrap();
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let child = spawn(port, &dir, &args, locale);
        let redis = Redis {
            child,
            port,
            dir,
            args,
            locale: locale.to_owned(),
        };
        redis.wait();
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same server again, its memory gone.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.dir, &self.args, &self.locale);
        self.wait();
    }

    fn wait(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < patience, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn command(&self, args: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut command = redis::cmd(args[0]);
        command.arg(&args[1..]);
        command.query(&mut connection).unwrap()
    }

    /// Whether a replica has all that was written to it.
    pub fn is_replicated(&self) -> bool {
        type Role = (String, u64, Vec<(String, u16, u64)>);
        let (_, written, replicas): Role =
            redis::from_redis_value(self.command(&["ROLE"])).unwrap();
        replicas.iter().any(|(_, _, had)| *had >= written)
    }

    /// Whether its answer holds a text.
    pub fn says(&self, command: &[&str], text: &str) -> bool {
        format!("{:?}", self.command(command)).contains(text)
    }

    pub fn keys(&self) -> Vec<String> {
        redis::from_redis_value(self.command(&["KEYS", "*"])).unwrap()
    }
}

/// Names another server than redis-server.
pub const SERVER: &str = "EXAM_STATE_TEST_SERVER";

/// Free at this moment, which is all that can be known.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(port: u16, dir: &TempDir, args: &[String], locale: &str) -> Child {
    let server = std::env::var(SERVER).unwrap_or_else(|_| "redis-server".to_owned());
    Command::new(&server)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
        .arg("--dir")
        .arg(dir.path())
        .args(args)
        .env("LC_ALL", locale)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{server} must be installed (apt install redis-server): {e}"))
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn attempt(number: i64) -> Attempt {
    Attempt {
        site: "moodle.example/{a} b".into(),
        quiz: 4,
        attempt: number,
        usage: 170 + number,
        student_id: 3,
    }
}

pub fn answer(number: i64, at: u64, slot: u32, text: &str) -> String {
    let id = format!("{number}-{at}-{slot}");
    let stamp = Stamp {
        id: &id,
        ts: 1_763_800_000_000_000 + at,
        at: 1_763_800_000_000_000 + at,
        page: "p",
        seq: at as i64,
    };
    make::answer(&attempt(number), &stamp, slot, 5, 1, &[("answer", text)])
}

/// Records that collide in time, page, seq and id, whose texts sort otherwise by locale than by
/// bytes, and hold what a script could trip over.
pub fn record() -> impl Strategy<Value = String> {
    let few = 0..3u64;
    let text = prop::sample::select(vec![
        "a", "B", "b", "A", "é", "z", "-", "_a", "\0", "\0b", "ä", "ss", "ß", "1", "10", "9", "1e3",
    ]);
    (
        (0..11u8, 0..3i64, few.clone(), few.clone(), text.clone()),
        (text.clone(), 0..2i64, 1..4u32, text.clone()),
        prop::option::of(text),
    )
        .prop_map(
            |((kind, number, ts, at, id), (page, seq, slot, value), device)| {
                let attempt = attempt(number);
                let stamp = Stamp {
                    id,
                    // Far apart too: a comparison must not stop at the digits the times share.
                    ts: 1_763_800_000_000_000 + ts * 10_u64.pow(at as u32 * 5),
                    at: 1_763_800_000_000_000 + at * 0xABC_DEF0,
                    page,
                    seq: seq - 1,
                };
                let line = match kind {
                    0..4 => make::answer(
                        &attempt,
                        &stamp,
                        slot,
                        seq,
                        (ts > 0).into(),
                        &[(value, value), (":flagged", if at > 0 { "1" } else { "0" })],
                    ),
                    4 => make::saved(&attempt, &stamp, &[(slot, seq)]),
                    5 => make::started(&attempt, &stamp, &[(slot, seq)]),
                    6 => make::alive(&attempt, &stamp, &[(value, ts)]),
                    7 => make::plain(
                        &attempt,
                        &stamp,
                        ["finished", "reopened", "help"][ts as usize],
                    ),
                    8 => make::help(&attempt, &stamp, value, STEPS[slot as usize], 9, id, None),
                    _ => {
                        let about = About {
                            site: &attempt.site,
                            quiz: attempt.quiz,
                            attempt: (kind == 9).then_some(number),
                            slot: (slot > 1).then_some(slot),
                        };
                        let row = serde_json::json!({ "of": id }).to_string();
                        make::signal(&about, value, stamp.ts, stamp.at, seq, &row)
                    }
                };
                match device {
                    Some(device) => make::from_device(&line, device, "0123456789abcdef", ""),
                    None => line,
                }
            },
        )
}

pub fn batch<'a>(lines: impl IntoIterator<Item = &'a String>) -> FoldBatch {
    let mut batch = FoldBatch::new();
    for line in lines {
        batch.push(line.as_bytes()).unwrap();
    }
    batch
}

/// How much of it is tried.
pub struct Effort {
    pub rounds: usize,
    pub slots: u32,
    pub turns: i64,
}

/// What a store must do, whichever it is. `store` is empty.
pub async fn conformance(store: &dyn StateStore) {
    let effort = Effort {
        rounds: 150,
        slots: 5_000,
        turns: 60,
    };
    conformance_with(store, effort).await;
}

pub async fn conformance_with(store: &dyn StateStore, effort: Effort) {
    reads_nothing_where_nothing_is(store).await;
    joins_like_registers_in_memory(store, effort.rounds).await;
    keeps_bytes_as_they_are(store, effort.slots).await;
    moves_a_position_only_from_where_it_is(store).await;
    tells_a_board_what_changed(store).await;
    gives_a_board_in_pages(store).await;
    keeps_boards_apart(store).await;
    loses_no_change_between_two_looks(store, effort.turns).await;
    forgets_an_attempt_and_no_other(store).await;
    keeps_nothing_of_an_erased_attempt(store, effort.turns).await;
}

async fn reads_nothing_where_nothing_is(store: &dyn StateStore) {
    assert_eq!(store.read(&AttemptKey::new("s", 1)).await.unwrap(), None);
    assert_eq!(store.position("none").await.unwrap(), None);
    store.fold(&FoldBatch::new()).await.unwrap();
    store.scan(&mut |key, _| panic!("{key:?}")).await.unwrap();
    let empty = store.board("s", 1, 0, 10).await.unwrap();
    assert_eq!(
        serde_json::to_value(&empty).unwrap(),
        serde_json::json!({
            "version": 0, "more": false, "reset": false, "signals": {}, "rows": {}, "erased": [],
        })
    );
    assert!(store.board("s", 1, 5, 10).await.unwrap().reset);
}

async fn joins_like_registers_in_memory(store: &dyn StateStore, rounds: usize) {
    let mut runner = TestRunner::deterministic();
    let mut expected: BTreeMap<AttemptKey, Registers> = BTreeMap::new();
    for round in 0..rounds {
        let lines = prop::collection::vec(record(), 1..30)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        // Twice, in different batches, for joining must not care.
        for lines in [&lines[..], &lines[lines.len() / 2..]] {
            let batch = batch(lines);
            store.fold(&batch).await.unwrap();
            for (key, attempt) in batch.attempts() {
                expected
                    .entry(key.clone())
                    .or_default()
                    .merge(attempt.registers.clone());
            }
        }
        for (key, registers) in &expected {
            let stored = store.read(key).await.unwrap();
            assert_eq!(stored.as_ref(), Some(registers), "round {round}, {key:?}");
        }
    }
    let board = store.board(&attempt(0).site, 4, 0, 100).await.unwrap();
    assert_eq!(shown(&board), shown(&board_of(&expected)));
    let mut scanned = BTreeMap::new();
    store
        .scan(&mut |key, registers| drop(scanned.insert(key, registers)))
        .await
        .unwrap();
    assert_eq!(scanned, expected);
}

async fn keeps_bytes_as_they_are(store: &dyn StateStore, slots: u32) {
    let essay = "é\\u0000\\ud800\\\"\\n".repeat(12_000);
    let line = format!(
        r#"{{"v":1,"id":"x","type":"answer","ts":1.5,"site":"big","attempt":1,"slot":1,"qa":2,"status":1,"fields":{{"b":1.50,"a":"{essay}","a":12345678901234567890}}}}"#
    );
    assert!(line.len() > 200_000);
    store.fold(&batch([&line])).await.unwrap();
    let stored = store
        .read(&AttemptKey::new("big", 1))
        .await
        .unwrap()
        .unwrap();
    let view = AttemptView::new(&AttemptKey::new("big", 1), &stored);
    assert!(line.contains(view.slots[&1].fields.get()));
    assert!(view.slots[&1].fields.get().len() > 200_000);

    // More registers than one call or one reply of a script holds.
    let many: Vec<String> = (1..=slots).map(|slot| answer(99, 7, slot, "x")).collect();
    let batch = batch(&many);
    store.fold(&batch).await.unwrap();
    let (key, attempt) = batch.attempts().iter().next().unwrap();
    assert_eq!(
        store.read(key).await.unwrap().as_ref(),
        Some(&attempt.registers)
    );
}

async fn moves_a_position_only_from_where_it_is(store: &dyn StateStore) {
    let moved = async |before: Option<&[u8]>, after: &[u8]| {
        let mut batch = batch([&answer(1, 1, 1, "x")]);
        batch.position = Some(Position {
            name: "serve".into(),
            before: before.map(<[u8]>::to_vec),
            after: after.to_vec(),
        });
        store.fold(&batch).await
    };
    moved(None, b"1\0\xff").await.unwrap();
    moved(Some(b"1\0\xff"), b"2").await.unwrap();
    // The same again: its first answer may have been lost on the way.
    moved(Some(b"1\0\xff"), b"2").await.unwrap();
    for before in [None, Some(&b"1"[..])] {
        let error = moved(before, b"3").await.unwrap_err();
        assert!(matches!(error, StateError::PositionMoved { .. }), "{error}");
    }
    assert_eq!(store.position("serve").await.unwrap(), Some(b"2".to_vec()));
}

/// The board that these registers make.
fn board_of(state: &BTreeMap<AttemptKey, Registers>) -> Board {
    let mut board = Board::default();
    for (key, registers) in state {
        match &key.who {
            Who::Quiz(_) => board.signals = AttemptView::new(key, registers).signals,
            _ => board
                .rows
                .extend(BoardRow::new(key, registers).map(|row| (row.attempt, row))),
        }
    }
    board
}

fn shown(board: &Board) -> (serde_json::Value, serde_json::Value) {
    let json = |part: Result<_, _>| part.unwrap();
    (
        json(serde_json::to_value(&board.signals)),
        json(serde_json::to_value(&board.rows)),
    )
}

/// An answer in a quiz of its own, whose attempts are numbered from `quiz * 1000` on.
fn of_quiz(quiz: i64, number: i64, at: u64, text: &str) -> String {
    answer(quiz * 1000 + number, at, 1, text).replace(r#""quiz":4,"#, &format!(r#""quiz":{quiz},"#))
}

fn numbers(board: &Board) -> Vec<i64> {
    board.rows.keys().map(|attempt| attempt % 1000).collect()
}

async fn tells_a_board_what_changed(store: &dyn StateStore) {
    let site = &attempt(1).site;
    let since = async |version| store.board(site, 51, version, 100).await.unwrap();
    let lines: Vec<_> = (1..=3).map(|n| of_quiz(51, n, 1, "secret")).collect();
    store.fold(&batch(&lines)).await.unwrap();
    let all = since(0).await;
    assert_eq!(
        (numbers(&all), all.more, all.reset),
        (vec![1, 2, 3], false, false)
    );
    assert!(all.version > 0);
    assert!(!serde_json::to_string(&all).unwrap().contains("secret"));

    let nothing = since(all.version).await;
    assert_eq!(
        (numbers(&nothing), nothing.version, nothing.reset),
        (vec![], all.version, false)
    );

    store
        .fold(&batch([&of_quiz(51, 2, 9, "secret indeed")]))
        .await
        .unwrap();
    let changed = since(all.version).await;
    assert_eq!((numbers(&changed), changed.reset), (vec![2], false));
    assert_eq!(changed.rows[&51_002].word, "s2");
    assert!(changed.version > all.version);

    // The same again: perhaps whoever folded it first died before the board was told.
    store
        .fold(&batch([&of_quiz(51, 1, 1, "secret")]))
        .await
        .unwrap();
    assert_eq!(numbers(&since(changed.version).await), [1]);
    assert_eq!(numbers(&since(all.version).await), [1, 2]);

    // A version of a store that has lost its memory since.
    let reset = since(changed.version + 3_600_000_000).await;
    assert_eq!((numbers(&reset), reset.reset), (vec![1, 2, 3], true));
    assert!(!since(reset.version).await.reset);
}

async fn gives_a_board_in_pages(store: &dyn StateStore) {
    let site = &attempt(1).site;
    let lines: Vec<_> = (1..=25).map(|n| of_quiz(52, n, 1, "x")).collect();
    store.fold(&batch(&lines)).await.unwrap();
    let (mut version, mut found, mut sizes) = (0, Vec::new(), Vec::new());
    loop {
        let page = store.board(site, 52, version, 10).await.unwrap();
        assert!(page.version > version && !page.reset);
        version = page.version;
        sizes.push(page.rows.len());
        found.extend(numbers(&page));
        if !page.more {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!((sizes, found), (vec![10, 10, 5], (1..=25).collect()));
}

async fn keeps_boards_apart(store: &dyn StateStore) {
    let site = &attempt(1).site;
    let elsewhere = |line: String| line.replace("moodle.example", "elsewhere");
    let lines = [
        of_quiz(53, 1, 1, "x"),
        of_quiz(54, 2, 1, "x"),
        elsewhere(of_quiz(53, 3, 1, "x")),
        elsewhere(make::signal(
            &About {
                site,
                quiz: 53,
                attempt: None,
                slot: None,
            },
            "s",
            1,
            1,
            0,
            "{}",
        )),
        r#"{"user":"spencer","status":"00001"}"#.to_owned(),
        r#"{"status":"s1120","student_id":3,"timestamp":1.6312066665E9}"#.to_owned(),
    ];
    store.fold(&batch(&lines)).await.unwrap();
    let board = store.board(site, 53, 0, 10).await.unwrap();
    assert_eq!(numbers(&board), [1]);
    assert!(board.signals.is_empty());

    // An attempt that claims to be of two quizzes is on the board of one.
    let both = [53, 54]
        .map(|quiz| of_quiz(53, 7, 1, "x").replace(r#""quiz":53,"#, &format!(r#""quiz":{quiz},"#)));
    store.fold(&batch(&both)).await.unwrap();
    let mut shown = 0;
    for quiz in [53, 54] {
        let board = store.board(site, quiz, 0, 10).await.unwrap();
        shown += usize::from(board.rows.contains_key(&53_007));
    }
    assert_eq!(shown, 1);
}

/// Whoever looks again and again while others fold has seen the last state in the end.
async fn loses_no_change_between_two_looks(store: &dyn StateStore, turns: i64) {
    let site = &attempt(1).site;
    let folding = AtomicBool::new(true);
    let write = async |writer: i64| {
        for round in 0..turns {
            let texts = ["a", "b", "c"];
            let lines: Vec<_> = (0..8)
                .map(|n| {
                    let at = (round * 3 + writer) as u64;
                    of_quiz(
                        55,
                        (round * 7 + n * writer) % 40,
                        at,
                        texts[(round % 3) as usize],
                    )
                })
                .collect();
            store.fold(&batch(&lines)).await.unwrap();
        }
    };
    let look = async {
        let (mut version, mut board) = (0, Board::default());
        loop {
            let last = !folding.load(Ordering::SeqCst);
            let change = store.board(site, 55, version, 16).await.unwrap();
            assert!(change.version >= version && !change.reset);
            version = change.version;
            board.rows.extend(change.rows);
            if last && !change.more {
                return board;
            }
        }
    };
    let fold = async {
        tokio::join!(write(1), write(2), write(3));
        folding.store(false, Ordering::SeqCst);
    };
    let (board, ()) = tokio::join!(look, fold);
    let mut state = BTreeMap::new();
    for number in 0..40 {
        let key = AttemptKey::new(&site[..], 55_000 + number);
        if let Some(registers) = store.read(&key).await.unwrap() {
            state.insert(key, registers);
        }
    }
    assert!(state.len() > 20);
    assert_eq!(shown(&board), shown(&board_of(&state)));
}

fn erased_of_quiz(quiz: i64, number: i64) -> String {
    let erased = make::erased(&attempt(quiz * 1000 + number), 1_763_800_000_000_000);
    erased.replace(r#""quiz":4,"#, &format!(r#""quiz":{quiz},"#))
}

async fn keeps_nothing_of_an_erased_attempt(store: &dyn StateStore, turns: i64) {
    let site = &attempt(1).site;
    let key = |number: i64| AttemptKey::new(&site[..], 57_000 + number);
    let board = async |since| store.board(site, 57, since, 100).await.unwrap();
    let lines: Vec<_> = (1..=3).map(|n| of_quiz(57, n, 1, "secret")).collect();
    store.fold(&batch(&lines)).await.unwrap();
    let before = board(0).await;
    let erasure = batch([&erased_of_quiz(57, 2)]);
    let tombstone = &erasure.attempts()[&key(2)].registers;
    store.fold(&erasure).await.unwrap();
    assert_eq!(store.read(&key(2)).await.unwrap().as_ref(), Some(tombstone));
    assert!(tombstone.is_erased());

    // An open board is told to forget the row; whoever looks for the first time never sees it.
    let change = board(before.version).await;
    assert_eq!((numbers(&change), change.erased), (vec![], [57_002].into()));
    let first = board(0).await;
    assert_eq!((numbers(&first), first.erased), (vec![1, 3], [].into()));
    assert!(board(first.version).await.erased.is_empty());

    // What comes late, and what cold storage tells once more, changes nothing.
    store.fold(&batch(&lines)).await.unwrap();
    store.fold(&erasure).await.unwrap();
    assert_eq!(store.read(&key(2)).await.unwrap().as_ref(), Some(tombstone));
    // One of which nothing was known before takes nothing either.
    store.fold(&batch([&erased_of_quiz(57, 9)])).await.unwrap();
    store.fold(&batch([&of_quiz(57, 9, 1, "x")])).await.unwrap();
    assert!(store.read(&key(9)).await.unwrap().unwrap().is_erased());

    // Erased while others fold it, in whatever order they come to it.
    let answers = async |writer: u64| {
        for round in 0..turns {
            let lines: Vec<_> = (20..24)
                .map(|n| {
                    answer(
                        57_000 + n,
                        round as u64 * 3 + writer,
                        round as u32 % 5 + 1,
                        "x",
                    )
                })
                .collect();
            store.fold(&batch(&lines)).await.unwrap();
        }
    };
    let erase = async {
        for n in 20..24 {
            store.fold(&batch([&erased_of_quiz(57, n)])).await.unwrap();
        }
    };
    tokio::join!(answers(1), answers(2), erase);
    for n in 20..24 {
        assert_eq!(store.read(&key(n)).await.unwrap().as_ref(), Some(tombstone));
    }
    let mut found = Vec::new();
    store
        .scan(&mut |key, registers| {
            if let Who::Attempt(number @ 57_000..58_000) = key.who {
                found.push((number % 1000, registers.is_erased()))
            }
        })
        .await
        .unwrap();
    found.sort_unstable();
    found.dedup();
    let erased = [2, 9, 20, 21, 22, 23];
    let expected = [1, 2, 3, 9, 20, 21, 22, 23].map(|n| (n, erased.contains(&n)));
    assert_eq!(found, expected);
}

async fn forgets_an_attempt_and_no_other(store: &dyn StateStore) {
    let site = &attempt(1).site;
    let lines = [of_quiz(56, 1, 1, "x"), of_quiz(56, 2, 1, "y")];
    store.fold(&batch(&lines)).await.unwrap();
    let key = |number: i64| AttemptKey::new(&site[..], 56_000 + number);
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(!store.remove(&key(1)).await.unwrap());
    assert!(!store.remove(&key(3)).await.unwrap());
    assert_eq!(store.read(&key(1)).await.unwrap(), None);
    assert!(store.read(&key(2)).await.unwrap().is_some());
    let board = store.board(site, 56, 0, 10).await.unwrap();
    assert_eq!(numbers(&board), [2]);
    // Nothing keeps it away once it is folded again.
    store.fold(&batch(&lines[..1])).await.unwrap();
    let board = store.board(site, 56, 0, 10).await.unwrap();
    assert_eq!(numbers(&board), [1, 2]);
}
