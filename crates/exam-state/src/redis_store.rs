//! Redis, Valkey, ElastiCache: one hash per attempt, `es:{<site>/<attempt>}`, whose fields are
//! the attempt's registers.
//!
//! The braces make the attempt the key's hash tag, and no command touches two attempts, so the same
//! commands are right on a cluster. A fold is one script call per attempt, all pipelined; of many
//! registers on one server it is a transaction, see `optimistic.rs`.
//!
//! Each quiz has a board besides, `es:board:{<site>/!<quiz>}`: a sorted set of its attempts by
//! version. Who folds only adds the attempts to the set of those that changed,
//! `es:changed:{<site>/!<quiz>}`, once their folds are done: after their acknowledgement, or by the
//! server itself, right after a transaction; and once more if that was crossed. Who looks at the
//! board gives them its newest versions, so whoever reads a version finds the change, and a change
//! costs next to nothing while nobody looks. An attempt that was erased stays on the board as long
//! as any other, so that open boards are told.
//!
//! The scripts are loaded with each new connection; a server that lost them since (`SCRIPT FLUSH`,
//! failover) says so for each call, whereupon they are loaded again and the pipeline repeated.
//!
//! A position is written after the last fold it stands for was acknowledged, on the same
//! connection: a server that restarted in between is never reached by it. On a cluster a position
//! has a node of its own; what another node loses with its memory, `rebuild` brings back.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use exam_record::{AttemptKey, AttemptView, Board, Registers, Who};
use redis::{
    ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value,
    from_redis_value,
};
use tokio::sync::Mutex;

use crate::connection::{Connection, Connector, Node, explain};
use crate::optimistic::{self, Fold, Keep};
use crate::{FoldBatch, Options, Position, StateError, StateStore};

const SOURCES: [&str; 5] = [
    include_str!("fold.lua"),
    include_str!("stamp.lua"),
    include_str!("row.lua"),
    include_str!("position.lua"),
    include_str!("keep.lua"),
];
static SCRIPTS: LazyLock<[Script; 5]> = LazyLock::new(|| SOURCES.map(Script::new));
const FOLD: usize = 0;
const STAMP: usize = 1;
const ROW: usize = 2;
const MOVE: usize = 3;
const KEEP: usize = 4;

/// A pipeline is sent when it holds this much: enough to hide the round trip, and little enough
/// for the server to answer well within the response timeout.
const PIPELINE_CALLS: usize = 1_000;
const PIPELINE_BYTES: usize = 1 << 20;

/// Lua unpacks at most some 8,000 values; an attempt with more registers takes several calls.
const REGISTERS_PER_CALL: usize = 1_000;

/// Attempts that a look at a board gives versions at most: so much it keeps the server from others.
const STAMPS: usize = 1_000;

/// Parts of a time to live: an attempt that goes on is kept once in each, and one part longer.
const PARTS: u64 = 32;

/// The member of a board that is no attempt, see stamp.lua.
const BEGINNING: &str = ".";

/// Keys asked for by one SCAN, which blocks the server that long.
const SCAN_COUNT: usize = 500;

pub(crate) struct RedisStore {
    connector: Connector,
    ttl_ms: u64,
    /// The connection that calls share.
    shared: Slot,
    /// Those for transactions. Two: the server works on one while the answer of the other is read.
    lanes: [Lane; 2],
}

/// A connection for transactions, and whose turn it is: what one watches would be another's.
#[derive(Default)]
struct Lane {
    turn: Mutex<()>,
    slot: Slot,
}

/// A connection, and a number to tell it from its successor.
type Slot = Mutex<(u64, Option<Connection>)>;

impl RedisStore {
    pub fn open(url: &str, options: &Options) -> Result<Self, StateError> {
        // Now, and not on the sender's thread: a child that PHP forks in the midst of it would wait
        // for ever.
        LazyLock::force(&SCRIPTS);
        Ok(RedisStore {
            connector: Connector::new(url, options)?,
            ttl_ms: options.ttl.map_or(0, |ttl| {
                let ms = ttl.as_millis().max(1) as u64;
                ms + ms / PARTS
            }),
            shared: Slot::default(),
            lanes: Default::default(),
        })
    }

    /// Runs a request on the shared connection. One that was open before and turns out to be dead
    /// (the server restarted, or closed it while idle) is replaced and the request repeated: all
    /// requests are idempotent.
    async fn request<T, F>(&self, run: impl Fn(Connection) -> F) -> Result<T, StateError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.request_on(&self.shared, run).await
    }

    async fn request_on<T, F>(
        &self,
        slot: &Slot,
        run: impl Fn(Connection) -> F,
    ) -> Result<T, StateError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        loop {
            let (number, connection, fresh) = self.connection(slot).await?;
            let failure = match run(connection).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            if let Failure::Redis(error) = &failure
                && (error.is_unrecoverable_error() || error.is_timeout())
            {
                let mut current = slot.lock().await;
                if current.0 == number {
                    current.1 = None;
                }
                if !fresh && !error.is_timeout() {
                    continue;
                }
            }
            return Err(failure.explain(self.connector.timeout));
        }
    }

    async fn connection(&self, slot: &Slot) -> Result<(u64, Connection, bool), StateError> {
        let mut current = slot.lock().await;
        if let (number, Some(connection)) = &*current {
            return Ok((*number, connection.clone(), false));
        }
        let connect = async {
            let mut connection = self.connector.connect().await?;
            load_scripts(&mut connection).await?;
            Ok(connection)
        };
        let connection = connect
            .await
            .map_err(|e| explain(&e, self.connector.timeout))?;
        *current = (current.0 + 1, Some(connection.clone()));
        Ok((current.0, connection, true))
    }
}

#[async_trait]
impl StateStore for RedisStore {
    async fn fold(&self, batch: &FoldBatch) -> Result<(), StateError> {
        let folds: Vec<Fold<'_>> = batch
            .attempts()
            .iter()
            .map(|(key, attempt)| (attempt_key(key), &attempt.registers))
            .collect();
        let folds = &folds;
        if !self.connector.is_cluster() && optimistic::worthwhile(folds) {
            let [one, other] = &self.lanes;
            let (_turn, slot) = tokio::select! {
                biased;
                turn = one.turn.lock() => (turn, &one.slot),
                turn = other.turn.lock() => (turn, &other.slot),
            };
            self.request_on(slot, |connection| {
                fold(connection, batch, folds, true, self.ttl_ms)
            })
            .await
        } else {
            self.request(|connection| fold(connection, batch, folds, false, self.ttl_ms))
                .await
        }
    }

    async fn read(&self, key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        self.request(|connection| read(connection, key)).await
    }

    async fn board(
        &self,
        site: &str,
        quiz: i64,
        since: u64,
        limit: usize,
    ) -> Result<Board, StateError> {
        self.request(|connection| board(connection, site, quiz, since, limit))
            .await
    }

    async fn remove(&self, key: &AttemptKey) -> Result<bool, StateError> {
        self.request(|connection| remove(connection, key)).await
    }

    async fn scan(
        &self,
        each: &mut (dyn FnMut(AttemptKey, Registers) + Send),
    ) -> Result<(), StateError> {
        let mut nodes = self.request(nodes).await?;
        loop {
            for node in nodes.clone() {
                let mut cursor = 0;
                loop {
                    let found;
                    (cursor, found) = self
                        .request(|connection| scan(connection, node.clone(), cursor))
                        .await?;
                    for (key, registers) in found {
                        each(key, registers);
                    }
                    if cursor == 0 {
                        break;
                    }
                }
            }
            // Slots that moved meanwhile may have been seen nowhere.
            let before = std::mem::replace(&mut nodes, self.request(self::nodes).await?);
            if before == nodes {
                return Ok(());
            }
        }
    }

    async fn position(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.request(|connection| position(connection, name)).await
    }
}

/// What each server behind a Redis URL says to `INFO memory`: for whoever looks after it.
pub async fn redis_memory(url: &str, options: Options) -> Result<Vec<String>, StateError> {
    let connector = Connector::new(url, &options)?;
    let ask = async {
        let mut connection = connector.connect().await?;
        let mut said = Vec::new();
        for node in connection.nodes().await? {
            let mut info = redis::cmd("INFO");
            info.arg("memory");
            said.push(from_redis_value(connection.send_to(&node, info).await?)?);
        }
        Ok(said)
    };
    ask.await.map_err(|e| explain(&e, connector.timeout))
}

/// What a request ended with: an error of the connection or server, or one of ours.
pub(crate) enum Failure {
    Redis(RedisError),
    State(StateError),
}

impl Failure {
    pub fn explain(self, timeout: Duration) -> StateError {
        match self {
            Failure::Redis(error) => explain(&error, timeout),
            Failure::State(error) => error,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Failure::Redis(error)
    }
}

async fn fold(
    mut connection: Connection,
    batch: &FoldBatch,
    mut folds: &[Fold<'_>],
    in_transactions: bool,
    ttl_ms: u64,
) -> Result<(), Failure> {
    let ttl = ttl_ms.to_string();
    let changed = changed(batch, ttl_ms);
    if in_transactions {
        let keep = Keep {
            script: SCRIPTS[KEEP].get_hash(),
            ttl_ms: &ttl,
            part: match ttl_ms {
                0 => u64::MAX,
                ttl_ms => ttl_ms * 1_000 / PARTS,
            },
        };
        let mut chunks = Vec::new();
        while !folds.is_empty() {
            let chunk;
            (chunk, folds) = folds.split_at(of_one_transaction(folds));
            chunks.push(chunk);
        }
        let refused = optimistic::fold(&mut connection, &chunks, keep, &changed).await?;
        for chunk in &refused {
            fold_by_script(&mut connection, chunk, &ttl).await?;
        }
        if !refused.is_empty() {
            connection.send(&changed).await?;
        }
    } else {
        fold_by_script(&mut connection, folds, &ttl).await?;
        connection.send(&changed).await?;
    }
    match &batch.position {
        Some(position) => move_position(&mut connection, position).await,
        None => Ok(()),
    }
}

/// The commands that tell the boards of the attempts of a batch, to be sent once these are folded.
fn changed(batch: &FoldBatch, ttl_ms: u64) -> Pipeline {
    let mut boards: HashMap<(&str, i64), Vec<i64>> = HashMap::new();
    for (key, attempt) in batch.attempts() {
        if let (Who::Attempt(number), Some(quiz)) = (&key.who, attempt.quiz) {
            boards.entry((&key.site, quiz)).or_default().push(*number);
        }
    }
    let mut changed = Pipeline::new();
    for ((site, quiz), attempts) in boards {
        let key = changed_key(site, quiz);
        changed.cmd("SADD").arg(&key).arg(attempts);
        if ttl_ms > 0 {
            changed.cmd("PEXPIRE").arg(&key).arg(ttl_ms);
        }
    }
    changed
}

/// How many of the folds are one transaction.
fn of_one_transaction(folds: &[Fold<'_>]) -> usize {
    let mut bytes = 0;
    let fit = folds.iter().take(optimistic::MOST).take_while(|fold| {
        let before = bytes;
        bytes += fold.1.bytes();
        before < PIPELINE_BYTES
    });
    fit.count()
}

async fn fold_by_script(
    connection: &mut Connection,
    folds: &[Fold<'_>],
    ttl: &str,
) -> Result<(), Failure> {
    let mut calls = Calls::default();
    for (key, registers) in folds {
        let mut registers = registers.iter().peekable();
        while registers.peek().is_some() {
            let call = calls.script(FOLD, &[key]).arg(ttl);
            let mut bytes = 0;
            for (field, register) in registers.by_ref().take(REGISTERS_PER_CALL) {
                bytes += field.len() + register.len();
                call.arg(field).arg(register);
            }
            calls.bytes += bytes;
            if calls.full() {
                calls.send(connection).await?;
            }
        }
    }
    calls.send(connection).await?;
    Ok(())
}

async fn move_position(connection: &mut Connection, position: &Position) -> Result<(), Failure> {
    let mut calls = Calls::default();
    calls
        .script(MOVE, &[&position_key(&position.name)])
        .arg(i32::from(position.before.is_some()))
        .arg(position.before.as_deref().unwrap_or_default())
        .arg(&position.after[..]);
    match calls.send(connection).await?[..] {
        [Value::Int(1)] => Ok(()),
        _ => Err(Failure::State(StateError::PositionMoved {
            name: position.name.clone(),
        })),
    }
}

/// Script calls on their way.
#[derive(Default)]
struct Calls {
    pipeline: Pipeline,
    count: usize,
    bytes: usize,
}

impl Calls {
    /// A call of a script on keys of one slot; its further arguments are for the caller to add.
    fn script(&mut self, script: usize, keys: &[&str]) -> &mut Pipeline {
        self.count += 1;
        let call = self.pipeline.cmd("EVALSHA").arg(SCRIPTS[script].get_hash());
        call.arg(keys.len()).arg(keys)
    }

    fn full(&self) -> bool {
        self.count >= PIPELINE_CALLS || self.bytes >= PIPELINE_BYTES
    }

    /// Sends what has gathered, and gives the answers if every call succeeded.
    async fn send(&mut self, connection: &mut Connection) -> RedisResult<Vec<Value>> {
        let pipeline = std::mem::take(self).pipeline;
        match connection.send(&pipeline).await {
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                load_scripts(connection).await?;
                connection.send(&pipeline).await
            }
            outcome => outcome,
        }
    }
}

async fn load_scripts(connection: &mut Connection) -> RedisResult<()> {
    let mut load = redis::pipe();
    for source in SOURCES {
        load.cmd("SCRIPT").arg("LOAD").arg(source);
    }
    connection.send(&load).await.map(drop)
}

async fn position(mut connection: Connection, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let mut get = redis::pipe();
    get.cmd("GET").arg(position_key(name));
    Ok(only(connection.send(&get).await?)?)
}

pub(crate) async fn read(
    mut connection: Connection,
    key: &AttemptKey,
) -> Result<Option<Registers>, Failure> {
    let mut get = redis::pipe();
    get.cmd("HGETALL").arg(attempt_key(key));
    Ok(registers(only(connection.send(&get).await?)?))
}

async fn remove(mut connection: Connection, key: &AttemptKey) -> Result<bool, Failure> {
    // The board first: an attempt that is still there tells, the next time, which one.
    let known = read(connection.clone(), key).await?;
    let quiz = known.and_then(|known| AttemptView::new(key, &known).quiz);
    if let (Who::Attempt(number), Some(quiz)) = (&key.who, quiz) {
        let mut row = redis::pipe();
        let changed = changed_key(&key.site, quiz);
        row.cmd("SREM").arg(changed).arg(number);
        row.cmd("ZREM").arg(board_key(&key.site, quiz)).arg(number);
        connection.send(&row).await?;
    }
    let mut remove = redis::pipe();
    remove.cmd("UNLINK").arg(attempt_key(key));
    Ok(only(connection.send(&remove).await?)?)
}

pub(crate) async fn board(
    mut connection: Connection,
    site: &str,
    quiz: i64,
    since: u64,
    limit: usize,
) -> Result<Board, Failure> {
    let (key, about) = (board_key(site, quiz), AttemptKey::quiz(site, quiz));
    let (mut since, mut reset) = (since, false);
    let stamped = stamp(&mut connection, &key, &changed_key(site, quiz)).await?;
    let (changed, quiz_registers) = loop {
        let mut ask = redis::pipe();
        ask.cmd("ZREVRANGE")
            .arg(&key)
            .arg(0)
            .arg(0)
            .arg("WITHSCORES");
        ask.cmd("ZRANGEBYSCORE")
            .arg(&key)
            .arg(format!("({since}"))
            .arg("+inf");
        // One more tells that there is more; and one may be the mark of the beginning.
        ask.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit + 2);
        ask.cmd("HGETALL").arg(attempt_key(&about));
        type Versions = Vec<(String, f64)>;
        let (newest, mut changed, quiz_registers): (Versions, Versions, _) =
            from_redis_value(Value::Array(connection.send(&ask).await?))
                .map_err(RedisError::from)?;
        let lost = newest
            .first()
            .is_none_or(|(_, version)| (*version as u64) < since);
        let another = changed
            .first()
            .is_some_and(|(member, _)| member == BEGINNING);
        if since > 0 && (lost || another) {
            (since, reset) = (0, true);
            continue;
        }
        if another {
            changed.remove(0);
        }
        break (changed, registers(quiz_registers));
    };
    let more = changed.len() > limit;
    let changed = &changed[..changed.len().min(limit)];
    let mut board = Board {
        version: changed.last().map_or(since, |(_, version)| *version as u64),
        more: more || stamped == STAMPS,
        reset,
        ..Board::default()
    };
    if let Some(registers) = quiz_registers {
        board.signals = AttemptView::new(&about, &registers).signals;
    }
    let keys = changed.iter().filter_map(|(member, version)| {
        let key = AttemptKey::new(site, member.parse().ok()?);
        Some((key, *version as u64))
    });
    let keys: Vec<(AttemptKey, u64)> = keys.collect();
    let mut expired = redis::pipe();
    for keys in keys.chunks(PIPELINE_CALLS) {
        let mut calls = Calls::default();
        for (attempt, _) in keys {
            calls.script(ROW, &[&attempt_key(attempt)]);
        }
        for ((attempt, version), answer) in keys.iter().zip(calls.send(&mut connection).await?) {
            match registers(from_redis_value(answer).map_err(RedisError::from)?) {
                Some(registers) => board.add(attempt, &registers, quiz, since == 0),
                // By its version: whoever folds it now gives it another one.
                None => {
                    let forget = expired.cmd("ZREMRANGEBYSCORE").arg(&key);
                    forget.arg(version).arg(version);
                }
            }
        }
    }
    read_only(connection.send(&expired).await)?;
    Ok(board)
}

/// Gives attempts that changed the newest versions of a board, and says how many.
async fn stamp(connection: &mut Connection, board: &str, changed: &str) -> RedisResult<usize> {
    let mut calls = Calls::default();
    calls.script(STAMP, &[board, changed]).arg(STAMPS);
    let stamped = read_only(calls.send(connection).await)?;
    stamped.map_or(Ok(0), only)
}

/// What a server answers that may take no writes, being a replica, or full: then a board is as it
/// was.
fn read_only<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer.map(Some) {
        Err(error)
            if matches!(
                explain(&error, Duration::ZERO),
                StateError::ReadOnly(_) | StateError::Full(_)
            ) =>
        {
            Ok(None)
        }
        answer => answer,
    }
}

async fn nodes(mut connection: Connection) -> Result<Vec<Node>, Failure> {
    Ok(connection.nodes().await?)
}

async fn scan(
    mut connection: Connection,
    node: Node,
    cursor: u64,
) -> Result<(u64, Vec<(AttemptKey, Registers)>), Failure> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg("es:{*}");
    scan.arg("COUNT").arg(SCAN_COUNT);
    let answer = connection.send_to(&node, scan).await?;
    let (cursor, names): (u64, Vec<Vec<u8>>) =
        from_redis_value(answer).map_err(RedisError::from)?;
    let keys: Vec<AttemptKey> = names
        .iter()
        .filter_map(|name| {
            let text = name.strip_prefix(b"es:{")?.strip_suffix(b"}")?;
            AttemptKey::from_text(std::str::from_utf8(text).ok()?)
        })
        .collect();
    if keys.is_empty() {
        return Ok((cursor, Vec::new()));
    }
    let mut get = redis::pipe();
    for key in &keys {
        get.cmd("HGETALL").arg(attempt_key(key));
    }
    let answers = connection.send(&get).await?;
    let mut found = Vec::with_capacity(keys.len());
    for (key, answer) in keys.into_iter().zip(answers) {
        // An attempt may have expired since SCAN named it.
        if let Some(registers) = registers(from_redis_value(answer).map_err(RedisError::from)?) {
            found.push((key, registers));
        }
    }
    Ok((cursor, found))
}

/// The answer to a pipeline of one command.
fn only<T: FromRedisValue>(answers: Vec<Value>) -> RedisResult<T> {
    let answer = answers.into_iter().next().unwrap_or(Value::Nil);
    Ok(from_redis_value(answer)?)
}

/// A hash as registers; what is none of ours is left out.
fn registers(hash: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Registers> {
    let mut registers = Registers::default();
    for (field, register) in hash {
        registers.insert_stored(field, register);
    }
    (!registers.is_empty()).then_some(registers)
}

fn attempt_key(key: &AttemptKey) -> String {
    let mut name = String::with_capacity(key.site.len() + 32);
    name.push_str("es:{");
    key.write_text(&mut name);
    name.push('}');
    name
}

fn board_key(site: &str, quiz: i64) -> String {
    format!("es:board:{{{}}}", AttemptKey::quiz(site, quiz).to_text())
}

/// In the slot of its board.
fn changed_key(site: &str, quiz: i64) -> String {
    format!("es:changed:{{{}}}", AttemptKey::quiz(site, quiz).to_text())
}

fn position_key(name: &str) -> String {
    format!("es:position:{name}")
}
