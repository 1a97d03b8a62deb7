//! The state store within a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use exam_aws::AwsEnv;
use exam_state::{FoldBatch, Options, StateError, StateStore};
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

/// Folds on their way to the store while the next lines are read.
pub struct Folds<'a> {
    store: &'a Store,
    end: Instant,
    began: Option<Instant>,
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
            under_way: FuturesUnordered::new(),
            outcome: Ok(()),
        }
    }

    /// Sends a batch on its way, and those before it on, without waiting for any of them.
    pub async fn start(&mut self, batch: FoldBatch) {
        let (store, now) = (self.store, Instant::now());
        let budget = self.end.saturating_duration_since(now);
        self.began.get_or_insert(now);
        let fold = async move { store.fold(&batch, budget).await };
        self.under_way.push(fold.boxed());
        while let Some(Some(outcome)) = self.under_way.next().now_or_never() {
            self.note(outcome);
        }
        // What they have to say is sent by the connection's own task.
        tokio::task::yield_now().await;
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
