//! The state store within a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use exam_aws::AwsEnv;
use exam_record::AttemptKey;
use exam_state::{FoldBatch, Options, StateError, StateStore};
use foldhash::fast::RandomState;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout_at};

/// For one answer of the store, and for a connection.
const ANSWER: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);
/// Ceiling of the first wait between two tries; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);

pub struct Store(Arc<dyn StateStore>);

impl Store {
    pub fn open(url: &str, days: u64, env: &AwsEnv) -> anyhow::Result<Store> {
        let options = Options {
            ttl: (days > 0).then(|| Duration::from_secs(days * 86_400)),
            connect_timeout: CONNECT,
            response_timeout: ANSWER,
            aws: env.clone(),
            ..Options::default()
        };
        exam_state::open(url, options)
            .map(Store)
            .context("STATE_URL")
    }

    /// Folds within `budget`: a connection that died while the function was frozen and a failover
    /// are over at the next try; a longer outage is the redrive queue's.
    pub async fn fold(&self, batch: &FoldBatch, budget: Duration) -> Result<(), StateError> {
        if batch.is_empty() {
            return Ok(());
        }
        let end = Instant::now() + budget;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match timeout_at(end, self.0.fold(batch)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => return Err(StateError::Timeout(budget)),
            };
            let pause = wait.mul_f64(fastrand::f64());
            wait *= 2;
            if !passes(&error) || Instant::now() + pause >= end {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}

/// Attempts that are folded together: enough to share a round trip, and few enough for the store to
/// begin with them while the next lines are read.
const ATTEMPTS: usize = 60;

/// One line in so many may be a further one of its attempt.
const ONCE: usize = 50;

/// Folds under way at once. Redis has connections for two, and each has many of its own to DynamoDB.
const UNDER_WAY: usize = 4;

/// The most attempts in one fold of what is left in the end: they share the store's connections.
const MOST: usize = 25;

/// Folds on their way to the store while the next lines are read.
pub struct Folds<'a> {
    store: &'a Store,
    end: Instant,
    began: Option<Instant>,
    /// The attempts of those that were begun before the end, and how many lines were theirs.
    seen: HashSet<AttemptKey, RandomState>,
    lines: usize,
    /// How many attempts the growing batch has when it is looked at again.
    due: usize,
    under_way: FuturesUnordered<BoxFuture<'a, Result<(), StateError>>>,
    outcome: Result<(), StateError>,
}

impl<'a> Folds<'a> {
    /// None yet; all of them are to be done within `budget` from now.
    pub fn new(store: &'a Store, budget: Duration) -> Folds<'a> {
        Folds {
            store,
            end: Instant::now() + budget,
            began: None,
            seen: HashSet::default(),
            lines: 0,
            due: ATTEMPTS,
            under_way: FuturesUnordered::new(),
            outcome: Ok(()),
        }
    }

    /// Begins to fold the attempts of a growing batch that are in none before, once there are enough,
    /// and as long as hardly any comes twice: to fold one once, in the end, is less work. Those that
    /// are begun here have no attempt in common, and do not cross each other.
    pub async fn begin(&mut self, batch: &mut FoldBatch) {
        if batch.attempts().len() < self.due {
            return;
        }
        let new = |key: &AttemptKey| !self.seen.contains(key);
        let count = batch.attempts().keys().filter(|key| new(key)).count();
        let (attempts, lines) = (self.seen.len() + count, self.lines + batch.records());
        if attempts * ONCE < lines * (ONCE - 1) {
            self.due = usize::MAX;
            return;
        }
        if count < ATTEMPTS {
            self.due += ATTEMPTS / 5;
            return;
        }
        let begun = batch.split_off(new);
        self.lines += begun.records();
        self.seen.extend(begun.attempts().keys().cloned());
        self.due = batch.attempts().len() + ATTEMPTS;
        self.start(begun).await;
    }

    /// Begins to fold what is left of it.
    pub async fn finish(&mut self, mut batch: FoldBatch) {
        while !batch.is_empty() {
            let mut room = MOST;
            let part = batch.split_off(|_| {
                let fits = room > 0;
                room -= usize::from(fits);
                fits
            });
            self.start(part).await;
        }
    }

    /// Begins to fold a batch. After an error nothing is begun: the whole event is folded again then.
    async fn start(&mut self, batch: FoldBatch) {
        while self.under_way.len() >= UNDER_WAY {
            match self.under_way.next().await {
                Some(outcome) => self.note(outcome),
                None => break,
            }
        }
        if self.outcome.is_err() {
            return;
        }
        let (store, now) = (self.store, Instant::now());
        let budget = self.end.saturating_duration_since(now);
        self.began.get_or_insert(now);
        let fold = async move { store.fold(&batch, budget).await };
        self.under_way.push(fold.boxed());
        self.go_on().await;
    }

    /// Lets them do what they can without being waited for, and then their connections, which have
    /// tasks of their own.
    pub async fn go_on(&mut self) {
        while let Some(Some(outcome)) = self.under_way.next().now_or_never() {
            self.note(outcome);
        }
        if !self.under_way.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for all. An error of one of them, and the time since the first was begun.
    pub async fn end(mut self) -> (Result<(), StateError>, Duration) {
        while let Some(outcome) = self.under_way.next().await {
            self.note(outcome);
        }
        let time = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        (self.outcome, time)
    }

    fn note(&mut self, outcome: Result<(), StateError>) {
        if self.outcome.is_ok() {
            self.outcome = outcome;
        }
    }
}

/// Whether the same call may succeed within seconds.
fn passes(error: &StateError) -> bool {
    matches!(
        error,
        StateError::Unreachable(_)
            | StateError::Timeout(_)
            | StateError::Loading(_)
            | StateError::ReadOnly(_)
    )
}
