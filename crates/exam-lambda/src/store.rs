//! The state store within a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use exam_aws::AwsEnv;
use exam_state::{FoldBatch, Options, StateError, StateStore};
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
