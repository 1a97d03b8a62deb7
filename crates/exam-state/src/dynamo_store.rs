//! Amazon DynamoDB: an item for each register, so that an attempt may grow beyond the 400 KB of an
//! item and two registers never wait for each other.
//!
//! | `k` (partition key) | `f` (sort key) | | |
//! |---|---|---|---|
//! | `a/<site>/<attempt>` | the register's name | `r`: the register, binary | `ttl` |
//! | `b/<site>/!<quiz>` | `c`, `c<number>` | `m`: the attempts of a fold; `o`: the first number | `ttl` |
//! | `p/<name>` | `p` | `p`: how far a reader has folded, binary | |
//!
//! A register is written by a conditional UpdateItem: where none is stored, or a lesser one (in
//! `f/…` a greater one). DynamoDB compares binary attributes bytewise, unsigned, which is just how
//! registers compare; so the join is made by the table, whoever writes, and the condition's failure
//! says that what is stored is as great already. Reading an attempt is one strongly consistent
//! Query. A name longer than a key may be is stored under its hash, and in full beside it.
//!
//! Each register is forgotten on its own, its time to live after it was last *changed*: keep
//! attempts longer than a quiz stays open. An item holds 400 KB: a record of 256 KiB, and its names
//! of at most [`MAX_NAME`](exam_record::MAX_NAME) bytes in its order and its key.
//!
//! The register `erased` is an item like the others, and conditions do not see it. So each fold asks
//! for it once it has written, and empties what it wrote in vain.
//!
//! A quiz's board is a log of folds: after its registers are written, a fold appends which attempts
//! they are of, under the number after the newest, on the condition that nobody has taken it. So
//! numbers appear in their order, and whoever has read up to one misses nothing that comes later;
//! a row is fresh as soon as its fold is acknowledged. The price is that folds of one quiz take
//! turns, some hundred a second (they become larger meanwhile), and that the first look at a board
//! reads its whole log, and each row a whole attempt: beyond some thousands of students use Redis.
//!
//! Table: partition key `k` and sort key `f`, both strings; time to live `ttl`; on demand. The
//! policy needs `UpdateItem`, `GetItem`, `Query`; for whoever scans `Scan`, and to erase `DeleteItem`.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use exam_aws::{AccessError, CallError, Json};
use exam_record::{AttemptKey, AttemptView, Board, Join, Registers, Who};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::{Attempt, FoldBatch, Options, Position, StateError, StateStore};

/// Writes on their way at once, each on a connection of its own: DynamoDB speaks HTTP/1.1.
const CONCURRENCY: usize = 32;
/// Ceiling of the first wait after throttling; it doubles up to [`MOST_WAIT`]. Full jitter.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const MOST_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a partition key and of a sort key
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>).
const MAX_PARTITION_KEY: usize = 2_048;
const MAX_SORT_KEY: usize = 1_024;
/// The register beside which no other is kept.
const ERASED: &str = "erased";

/// Bits of a board's version that count the attempts of one fold; the others are the fold's number.
/// A board's first number is the time in hundredths of a second: so one that was lost and is filled
/// again gives out none that somebody has seen, and versions stay below 2^53, which is what
/// JavaScript can count to.
const ATTEMPT_BITS: u32 = 14;
const MAX_ATTEMPTS: usize = (1 << ATTEMPT_BITS) - 1;

pub(crate) struct DynamoStore {
    calls: Json,
    table: String,
    ttl: Option<Duration>,
    timeout: Duration,
}

/// A value of DynamoDB's: one member, named by its type.
#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

#[derive(Deserialize)]
struct Binary {
    #[serde(rename = "B")]
    base64: String,
}

impl Binary {
    fn bytes(&self) -> Result<Vec<u8>, StateError> {
        let bytes = base64_simd::STANDARD.decode_to_vec(&self.base64);
        bytes.map_err(|e| StateError::Refused(format!("an attribute is no base64: {e}")))
    }
}

fn text(text: &str) -> Value {
    json!({ "S": text })
}

fn binary(bytes: &[u8]) -> Value {
    json!({ "B": base64_simd::STANDARD.encode_to_string(bytes) })
}

/// An item as it comes back.
#[derive(Deserialize)]
struct Item {
    k: Text,
    f: Text,
    /// In full, where `k` or `f` is a hash.
    kn: Option<Text>,
    #[serde(rename = "fn")]
    name: Option<Text>,
    r: Option<Binary>,
    p: Option<Binary>,
    m: Option<Text>,
    o: Option<Number>,
}

#[derive(Deserialize)]
struct Number {
    #[serde(rename = "N")]
    digits: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    last_evaluated_key: Option<Value>,
}

#[derive(Deserialize)]
struct Got {
    #[serde(rename = "Item")]
    item: Option<Item>,
}

/// An answer whose content says nothing.
#[derive(Deserialize)]
struct Done {}

impl DynamoStore {
    /// `dynamodb://table[?region=…&endpoint=…]`; region and endpoint default as they do for the AWS
    /// command line.
    pub fn open(url: &str, options: &Options) -> Result<Self, StateError> {
        let usage = || {
            StateError::Url(
                "it must be dynamodb://table, or dynamodb://table?region=eu-west-1&endpoint=http://127.0.0.1:8000"
                    .into(),
            )
        };
        let rest = url.strip_prefix("dynamodb://").ok_or_else(usage)?;
        let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
        let table = table.trim_end_matches('/');
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if table.is_empty() || !table.chars().all(allowed) {
            return Err(usage());
        }
        let (mut region, mut endpoint) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("region", value)) => region = Some(value),
                Some(("endpoint", value)) => endpoint = Some(value),
                _ => return Err(usage()),
            }
        }
        let calls = Json::dynamodb(endpoint, region, options.aws.clone());
        Ok(DynamoStore {
            calls: calls.map_err(|e: AccessError| StateError::Url(e.to_string()))?,
            table: table.to_owned(),
            ttl: options.ttl,
            timeout: options.response_timeout,
        })
    }

    /// A call, tried again while the table asks for fewer, within the timeout. `Ok(None)`: the
    /// condition did not hold.
    async fn call<A: for<'de> Deserialize<'de>>(
        &self,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<Option<A>, StateError> {
        let end = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let error = match self.calls.call(operation, body, left).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            if matches!(&error, CallError::Refused { code, .. } if code == "ConditionalCheckFailedException")
            {
                return Ok(None);
            }
            let pause = wait.mul_f64(fastrand::f64());
            wait = (wait * 2).min(MOST_WAIT);
            if !error.is_throttling() || Instant::now() + pause >= end {
                return Err(explain(error, self.timeout));
            }
            sleep(pause).await;
        }
    }

    /// The call that joins a register with the one stored.
    fn join(&self, key: &str, name: &[u8], register: &[u8], ttl: Option<&str>) -> Value {
        let name = String::from_utf8_lossy(name);
        let mut values = Map::from_iter([(":r".to_owned(), binary(register))]);
        let mut set = String::from("SET r = :r");
        let mut names = Map::new();
        if let Some(ttl) = ttl {
            set += ", #ttl = :ttl";
            names.insert("#ttl".into(), "ttl".into());
            values.insert(":ttl".into(), json!({ "N": ttl }));
        }
        let (k, f) = (short(key, MAX_PARTITION_KEY), short(&name, MAX_SORT_KEY));
        if k != key {
            set += ", kn = :kn";
            values.insert(":kn".into(), text(key));
        }
        if f != name {
            set += ", fn = :fn";
            values.insert(":fn".into(), text(&name));
        }
        let lost = match Join::of(name.as_bytes()) {
            Join::Max => "r < :r",
            Join::Min => "r > :r",
        };
        let mut body = json!({
            "TableName": self.table,
            "Key": { "k": text(&k), "f": text(&f) },
            "UpdateExpression": set,
            "ConditionExpression": format!("attribute_not_exists(r) OR {lost}"),
            "ExpressionAttributeValues": values,
        });
        if !names.is_empty() {
            body["ExpressionAttributeNames"] = names.into();
        }
        body
    }

    /// Empties what was written beside the register `erased`: this fold's own registers, if the
    /// attempt was erased before, or all others, if this fold erases it. It comes after the writes,
    /// and `erased` is written before anything is emptied, so of two folds that cross one sees the
    /// other.
    ///
    /// An item that is emptied keeps its key alone, and is due at once: so whoever may fold may
    /// erase, and needs no more permission.
    async fn absorb(
        &self,
        key: &AttemptKey,
        folded: &Attempt,
        now: Duration,
    ) -> Result<(), StateError> {
        let k = text(&short(&attempt_key(key), MAX_PARTITION_KEY));
        if !folded.registers.is_erased() {
            let erased = json!({
                "TableName": self.table,
                "Key": { "k": k, "f": text(ERASED) },
                "ProjectionExpression": "k, f",
                "ConsistentRead": true,
            });
            let erased: Option<Got> = self.call("GetItem", &erased).await?;
            if erased.is_none_or(|got| got.item.is_none()) {
                return Ok(());
            }
        }
        let query = json!({
            "TableName": self.table,
            "KeyConditionExpression": "k = :k",
            "FilterExpression": "attribute_exists(r)",
            "ExpressionAttributeValues": { ":k": k },
            "ProjectionExpression": "k, f",
            "ConsistentRead": true,
        });
        let mut others = Vec::new();
        self.pages("Query", query, |item| {
            others.push(item.f.text);
            Ok(())
        })
        .await?;
        others.retain(|f| f != ERASED);
        let empty = |f: String| {
            json!({
                "TableName": self.table,
                "Key": { "k": k, "f": text(&f) },
                "UpdateExpression": "SET #ttl = :now REMOVE r, kn, fn",
                "ConditionExpression": "attribute_exists(r)",
                "ExpressionAttributeNames": { "#ttl": "ttl" },
                "ExpressionAttributeValues": { ":now": { "N": now.as_secs().to_string() } },
            })
        };
        stream::iter(others.into_iter().map(empty))
            .map(async |empty| self.call::<Done>("UpdateItem", &empty).await.map(drop))
            .buffer_unordered(CONCURRENCY)
            .try_for_each(async |()| Ok(()))
            .await
    }

    /// Appends a fold of these attempts to a board's log.
    async fn stamp(
        &self,
        board: &str,
        attempts: &[i64],
        ttl: Option<&str>,
    ) -> Result<(), StateError> {
        let k = text(&short(board, MAX_PARTITION_KEY));
        let newest = json!({
            "TableName": self.table,
            "KeyConditionExpression": "k = :k AND f >= :c",
            "ExpressionAttributeValues": { ":k": k, ":c": text("c") },
            "ScanIndexForward": false,
            "Limit": 1,
            "ConsistentRead": true,
        });
        let end = Instant::now() + self.timeout;
        let members: Vec<String> = attempts.iter().map(i64::to_string).collect();
        loop {
            let found: Option<Page> = self.call("Query", &newest).await?;
            let entry = found.and_then(|page| page.items.into_iter().next());
            let entry = entry.as_ref().and_then(Entry::of);
            // The log's beginning, where there is none yet, has no attempts and no end.
            let (f, first) = match &entry {
                Some(entry) => (entry_key(entry.number + 1), entry.first),
                None => ("c".to_owned(), hundredths()),
            };
            let mut body = json!({
                "TableName": self.table,
                "Key": { "k": k, "f": text(&f) },
                "UpdateExpression": "SET o = :o",
                "ConditionExpression": "attribute_not_exists(k)",
                "ExpressionAttributeValues": { ":o": { "N": first.to_string() } },
            });
            if entry.is_some() {
                body["UpdateExpression"] = "SET o = :o, m = :m".into();
                body["ExpressionAttributeValues"][":m"] = text(&members.join(","));
                if let Some(ttl) = ttl {
                    body["UpdateExpression"] = "SET o = :o, m = :m, #ttl = :ttl".into();
                    body["ExpressionAttributeNames"] = json!({ "#ttl": "ttl" });
                    body["ExpressionAttributeValues"][":ttl"] = json!({ "N": ttl });
                }
            }
            let taken = self.call::<Done>("UpdateItem", &body).await?.is_none();
            if entry.is_some() && !taken {
                return Ok(());
            }
            // Somebody was faster, or the log has only now a beginning.
            if Instant::now() >= end {
                return Err(StateError::Throttled(
                    "others fold the same quiz without a pause".into(),
                ));
            }
            if taken {
                sleep(FIRST_WAIT.mul_f64(fastrand::f64())).await;
            }
        }
    }

    /// The attempts of a board whose last change is after `since`, by its version; and whether
    /// `since` is of a board that is gone.
    async fn changed(
        &self,
        board: &str,
        since: u64,
    ) -> Result<(BTreeMap<u64, i64>, bool), StateError> {
        let query = json!({
            "TableName": self.table,
            "KeyConditionExpression": "k = :k AND f >= :f",
            "ExpressionAttributeValues": {
                ":k": text(&short(board, MAX_PARTITION_KEY)),
                ":f": text(&entry_key(since >> ATTEMPT_BITS)),
            },
            "ConsistentRead": true,
        });
        let mut last: HashMap<i64, u64> = HashMap::new();
        let mut another = true;
        self.pages("Query", query, |item| {
            let Some(entry) = Entry::of(&item) else {
                return Ok(());
            };
            another &= since >> ATTEMPT_BITS < entry.first;
            let members = item.m.iter().flat_map(|m| m.text.split(','));
            for (n, attempt) in members.enumerate() {
                let version = (entry.number << ATTEMPT_BITS) + n as u64 + 1;
                if let (Ok(attempt), true) = (attempt.parse(), version > since) {
                    last.insert(attempt, version);
                }
            }
            Ok(())
        })
        .await?;
        let changed = last
            .into_iter()
            .map(|(attempt, version)| (version, attempt));
        Ok((changed.collect(), another && since > 0))
    }

    async fn move_position(&self, position: &Position) -> Result<(), StateError> {
        let mut values = Map::from_iter([(":after".to_owned(), binary(&position.after))]);
        let condition = match &position.before {
            Some(before) => {
                values.insert(":before".into(), binary(before));
                "p = :before OR p = :after"
            }
            None => "attribute_not_exists(p) OR p = :after",
        };
        let body = json!({
            "TableName": self.table,
            "Key": position_key(&position.name),
            "UpdateExpression": "SET p = :after",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        });
        let moved = self.call::<Done>("UpdateItem", &body).await?;
        moved.map(drop).ok_or_else(|| StateError::PositionMoved {
            name: position.name.clone(),
        })
    }

    /// Calls `each` with the items of all pages.
    async fn pages(
        &self,
        operation: &str,
        mut body: Value,
        mut each: impl FnMut(Item) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        loop {
            let page: Option<Page> = self.call(operation, &body).await?;
            let Some(page) = page else { return Ok(()) };
            page.items.into_iter().try_for_each(&mut each)?;
            match page.last_evaluated_key {
                Some(key) => body["ExclusiveStartKey"] = key,
                None => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl StateStore for DynamoStore {
    async fn fold(&self, batch: &FoldBatch) -> Result<(), StateError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let ttl = self.ttl.map(|ttl| (now + ttl).as_secs().to_string());
        let ttl = ttl.as_deref();
        let mut joins = Vec::new();
        for (key, attempt) in batch.attempts() {
            let (key, registers) = (attempt_key(key), attempt.registers.iter());
            joins.extend(registers.map(|(name, register)| self.join(&key, name, register, ttl)));
        }
        // A condition that fails: what is stored is as great already.
        stream::iter(joins)
            .map(async |join| self.call::<Done>("UpdateItem", &join).await.map(drop))
            .buffer_unordered(CONCURRENCY)
            .try_for_each(async |()| Ok(()))
            .await?;
        let attempts = batch.attempts().iter();
        let attempts = attempts.filter(|(key, _)| matches!(key.who, Who::Attempt(_)));
        let absorb = |(key, attempt)| self.absorb(key, attempt, now);
        stream::iter(attempts.map(absorb).collect::<Vec<_>>())
            .buffer_unordered(CONCURRENCY)
            .try_for_each(async |()| Ok(()))
            .await?;
        let mut boards: HashMap<String, Vec<i64>> = HashMap::new();
        for (key, attempt) in batch.attempts() {
            if let (Who::Attempt(number), Some(quiz)) = (&key.who, attempt.quiz) {
                let board = board_key(&key.site, quiz);
                boards.entry(board).or_default().push(*number);
            }
        }
        for (board, attempts) in &boards {
            for attempts in attempts.chunks(MAX_ATTEMPTS) {
                self.stamp(board, attempts, ttl).await?;
            }
        }
        match &batch.position {
            Some(position) => self.move_position(position).await,
            None => Ok(()),
        }
    }

    async fn read(&self, key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        let key = attempt_key(key);
        let query = json!({
            "TableName": self.table,
            "KeyConditionExpression": "k = :k",
            "ExpressionAttributeValues": { ":k": text(&short(&key, MAX_PARTITION_KEY)) },
            "ConsistentRead": true,
        });
        let mut registers = Registers::default();
        self.pages("Query", query, |item| item.add_to(&mut registers))
            .await?;
        Ok((!registers.is_empty()).then_some(registers))
    }

    async fn board(
        &self,
        site: &str,
        quiz: i64,
        since: u64,
        limit: usize,
    ) -> Result<Board, StateError> {
        let about = AttemptKey::quiz(site, quiz);
        let board = board_key(site, quiz);
        let (mut changed, reset) = self.changed(&board, since).await?;
        let since = if reset {
            (changed, _) = self.changed(&board, 0).await?;
            0
        } else {
            since
        };
        let more = changed.len() > limit;
        let changed: Vec<(u64, i64)> = changed.into_iter().take(limit).collect();
        let mut answer = Board {
            version: changed.last().map_or(since, |(version, _)| *version),
            more,
            reset,
            ..Board::default()
        };
        if let Some(registers) = self.read(&about).await? {
            answer.signals = AttemptView::new(&about, &registers).signals;
        }
        let rows = changed.into_iter().map(async |(_, attempt)| {
            let key = AttemptKey::new(site, attempt);
            let registers = self.read(&key).await?;
            // An attempt may have expired.
            Ok::<_, StateError>(registers.map(|registers| (key, registers)))
        });
        let mut rows = stream::iter(rows).buffer_unordered(CONCURRENCY);
        while let Some(row) = rows.next().await {
            if let Some((key, registers)) = row? {
                answer.add(&key, &registers, quiz, since == 0);
            }
        }
        drop(rows);
        Ok(answer)
    }

    async fn remove(&self, key: &AttemptKey) -> Result<bool, StateError> {
        let k = text(&short(&attempt_key(key), MAX_PARTITION_KEY));
        let query = json!({
            "TableName": self.table,
            "KeyConditionExpression": "k = :k",
            "ExpressionAttributeValues": { ":k": k },
            "ProjectionExpression": "k, f",
            "ConsistentRead": true,
        });
        let mut names = Vec::new();
        self.pages("Query", query, |item| {
            names.push(item.f.text);
            Ok(())
        })
        .await?;
        let known = !names.is_empty();
        let removals = names
            .into_iter()
            .map(|f| json!({ "TableName": self.table, "Key": { "k": k, "f": text(&f) } }));
        // The board's log goes on naming it until its entries expire: a row without registers is
        // none.
        stream::iter(removals)
            .map(async |removal| self.call::<Done>("DeleteItem", &removal).await.map(drop))
            .buffer_unordered(CONCURRENCY)
            .try_for_each(async |()| Ok(()))
            .await?;
        Ok(known)
    }

    async fn scan(
        &self,
        each: &mut (dyn FnMut(AttemptKey, Registers) + Send),
    ) -> Result<(), StateError> {
        let body = json!({ "TableName": self.table, "ConsistentRead": true });
        // Items that were emptied are no registers.
        let mut give = |key, registers: Registers| {
            if !registers.is_empty() {
                each(key, registers);
            }
        };
        // The items of a partition come one after the other.
        let mut current: Option<(AttemptKey, Registers)> = None;
        self.pages("Scan", body, |item| {
            let Some(key) = item.attempt() else {
                return Ok(());
            };
            if current.as_ref().is_none_or(|(known, _)| *known != key)
                && let Some((key, registers)) = current.replace((key, Registers::default()))
            {
                give(key, registers);
            }
            current
                .as_mut()
                .map_or(Ok(()), |(_, registers)| item.add_to(registers))
        })
        .await?;
        if let Some((key, registers)) = current {
            give(key, registers);
        }
        Ok(())
    }

    async fn position(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let body = json!({
            "TableName": self.table,
            "Key": position_key(name),
            "ConsistentRead": true,
        });
        let got: Option<Got> = self.call("GetItem", &body).await?;
        let stored = got.and_then(|got| got.item).and_then(|item| item.p);
        stored.map(|position| position.bytes()).transpose()
    }
}

impl Item {
    fn attempt(&self) -> Option<AttemptKey> {
        let key = self.kn.as_ref().unwrap_or(&self.k);
        AttemptKey::from_text(key.text.strip_prefix("a/")?)
    }

    /// Adds the register it is; what is none of ours is left out.
    fn add_to(self, registers: &mut Registers) -> Result<(), StateError> {
        if let Some(register) = self.r {
            let name = self.name.unwrap_or(self.f).text.into_bytes();
            registers.insert_stored(name, register.bytes()?);
        }
        Ok(())
    }
}

/// An entry of a board's log; its beginning is one without attempts.
struct Entry {
    number: u64,
    /// Where the log began.
    first: u64,
}

impl Entry {
    fn of(item: &Item) -> Option<Entry> {
        let first = item.o.as_ref()?.digits.parse().ok()?;
        let number = match item.f.text.strip_prefix('c')? {
            "" => first,
            digits => u64::from_str_radix(digits, 16).ok()?,
        };
        Some(Entry { number, first })
    }
}

/// Sorts as the numbers do; 0 before every one.
fn entry_key(number: u64) -> String {
    match number {
        0 => "c".to_owned(),
        number => format!("c{number:016x}"),
    }
}

fn hundredths() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    (now.unwrap_or_default().as_millis() / 10) as u64
}

fn board_key(site: &str, quiz: i64) -> String {
    format!("b/{}", AttemptKey::quiz(site, quiz).to_text())
}

fn attempt_key(key: &AttemptKey) -> String {
    format!("a/{}", key.to_text())
}

fn position_key(name: &str) -> Value {
    let key = format!("p/{name}");
    json!({ "k": text(&short(&key, MAX_PARTITION_KEY)), "f": text("p") })
}

/// A name as a key, or its hash where it is longer than a key may be. No name of ours begins
/// with `#`.
fn short(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let mut short = String::from("#");
    for byte in Sha256::digest(name.as_bytes()) {
        short += &format!("{byte:02x}");
    }
    short
}

fn explain(error: CallError, timeout: Duration) -> StateError {
    let text = error.to_string();
    match &error {
        CallError::Timeout { .. } => StateError::Timeout(timeout),
        CallError::Unreachable(_) => StateError::Unreachable(text),
        _ if error.is_of_credentials() => StateError::Auth(text),
        _ if error.is_throttling() => StateError::Throttled(text),
        CallError::Refused { status, .. } if *status >= 500 => StateError::Unreachable(text),
        CallError::Refused { code, .. } if code == "ResourceNotFoundException" => {
            StateError::Url(format!("there is no such table in this region ({text})"))
        }
        _ => StateError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_table_and_perhaps_where_it_is() {
        let open = |url: &str| DynamoStore::open(url, &Options::default());
        let store = open("dynamodb://exam-state?region=eu-west-1&endpoint=http://127.0.0.1:1");
        let store = store.ok().unwrap();
        assert_eq!(store.table, "exam-state");
        assert_eq!(store.calls.region(), "eu-west-1");
        for url in [
            "dynamodb://",
            "dynamodb://a/b",
            "dynamodb://t?password=hunter2",
            "dynamodb://t", // and no region
        ] {
            let error = open(url).err().unwrap();
            assert!(matches!(error, StateError::Url(_)), "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_name_longer_than_a_key_is_a_hash_of_its_own() {
        let long = "x".repeat(2_000);
        assert_eq!(short("a/1/2", MAX_SORT_KEY), "a/1/2");
        assert_eq!(short(&long, MAX_SORT_KEY).len(), 65);
        assert_ne!(short(&long, MAX_SORT_KEY), short(&long[1..], MAX_SORT_KEY));
    }
}
