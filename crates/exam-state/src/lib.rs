//! The live state of all attempts, outside of this process: what `exam_stream_state()` reads.
//!
//! A store keeps the registers of `exam-record` and joins what it is given with what it has, on
//! its own side and atomically per attempt. Any number of writers may therefore fold the same
//! records, twice and out of order: sender, local server and Lambda do. What it promises: one
//! round trip to read an attempt; a call is bounded in time, and its error says what to do;
//! [`Position`] is never ahead of the folds it stands for. What it refuses: to wait and retry;
//! its callers own back-off and know what is urgent.

mod batch;
mod connection;
mod dns;
mod dynamo_store;
mod optimistic;
mod reader;
mod redis_store;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use exam_aws::AwsEnv;
use exam_record::{AttemptKey, Board, Registers};

pub use batch::{Attempt, Attempts, FoldBatch, Position};
pub use reader::BlockingReader;
pub use redis_store::redis_memory;

/// A place that keeps the folded state.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Joins a batch with what is stored. Idempotent: after an error, call it again.
    async fn fold(&self, batch: &FoldBatch) -> Result<(), StateError>;

    /// The registers of an attempt, in one round trip; `None` if there are none. Of an attempt that
    /// was erased there is [one](Registers::is_erased).
    async fn read(&self, key: &AttemptKey) -> Result<Option<Registers>, StateError>;

    /// What changed on the board of a quiz since `since`, a version from an answer before (0:
    /// everything), at most `limit` rows. What changed first comes first, as far as somebody looked
    /// in between.
    ///
    /// An attempt is on the board once a record that names the quiz is folded, and comes again after
    /// every fold of one, even if that changed nothing: a fold that was repeated after an error
    /// leaves no row behind that nobody is told of. No answer's content is read. One that
    /// was erased is named once, unless everything was asked for.
    async fn board(
        &self,
        site: &str,
        quiz: i64,
        since: u64,
        limit: usize,
    ) -> Result<Board, StateError>;

    /// Forgets an attempt, on its quiz's board too, whether it was erased or not. False if it was
    /// not known. A record of it that is folded afterwards makes it known again; nothing does once
    /// an `erased` record of it is folded.
    async fn remove(&self, key: &AttemptKey) -> Result<bool, StateError>;

    /// Calls `each` with every attempt stored, at least once. What is folded meanwhile may or may
    /// not be seen.
    async fn scan(
        &self,
        each: &mut (dyn FnMut(AttemptKey, Registers) + Send),
    ) -> Result<(), StateError>;

    /// The position last stored under `name`, see [`Position`].
    async fn position(&self, name: &str) -> Result<Option<Vec<u8>>, StateError>;
}

/// The most rows [`BlockingReader::board`] gives at once.
pub const BOARD_ROWS: usize = 5_000;

/// How long an attempt is kept to which nothing happens: past any exam and the questions that
/// follow it. Cold storage keeps the records, and `rebuild` brings them back.
pub const DEFAULT_TTL: Duration = Duration::from_secs(30 * 86_400);

/// How a store is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// An attempt is forgotten this long after its last fold, or a little later; `None`: never.
    pub ttl: Option<Duration>,
    pub connect_timeout: Duration,
    /// For one answer, a pipeline of folds included.
    pub response_timeout: Duration,
    /// Region and credentials, for a store of AWS.
    pub aws: AwsEnv,
    /// PEM of the certificate authorities to trust instead of Mozilla's, for `rediss://`.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ttl: Some(DEFAULT_TTL),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            aws: AwsEnv::default(),
            ca_pem: None,
        }
    }
}

/// Opens the store a URL names: `redis://[user:password@]host[:port][/db]`, `rediss://…` with TLS;
/// a cluster by some of its nodes, `redis-cluster://[user:password@]host[:port],host[:port]`, and
/// `rediss-cluster://…`; or `dynamodb://table[?region=…&endpoint=…]` with the credentials of
/// [`Options::aws`]. Connects when it is first used, so this succeeds while the store is down.
pub fn open(url: &str, options: Options) -> Result<Arc<dyn StateStore>, StateError> {
    if url.starts_with("dynamodb:") {
        return Ok(Arc::new(dynamo_store::DynamoStore::open(url, &options)?));
    }
    Ok(Arc::new(redis_store::RedisStore::open(url, &options)?))
}

/// Why the store could not do it. The state is as before, or the batch is folded in part; calling
/// again is always right once the reason is gone.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state URL is not usable: {0}")]
    Url(String),
    #[error("the state store cannot be reached: {0}")]
    Unreachable(String),
    #[error("the state store did not answer within {0:?}")]
    Timeout(Duration),
    #[error(
        "the state store refuses the credentials ({0}): check user and password in the URL, or for \
         DynamoDB the AWS credentials and their policy"
    )]
    Auth(String),
    #[error("the state store asks for fewer calls ({0}): raise the table's limits, if it lasts")]
    Throttled(String),
    #[error("the state store is full ({0}): raise maxmemory, and keep maxmemory-policy noeviction")]
    Full(String),
    #[error("the state store is a read-only replica ({0}): give the primary's address")]
    ReadOnly(String),
    #[error("the state store is loading its data ({0}): it will answer when it is done")]
    Loading(String),
    #[error(
        "the position `{name}` is not what this writer left: the store lost its memory, or a \
         second writer folds under that name; read the position and go on from there"
    )]
    PositionMoved { name: String },
    #[error(
        "the state store refuses ({0}): give Exam Stream a Redis or Valkey of its own, and a user \
         that may run scripts"
    )]
    Refused(String),
}
