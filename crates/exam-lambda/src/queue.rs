//! A queue of SQS, to send to.

use std::time::Duration;

use exam_aws::{AccessError, AwsEnv, CallError, Json};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Bytes in one message, 1 MiB
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>),
/// less room for what the service may count besides the body.
pub const MAX_MESSAGE: usize = (1 << 20) - 4_096;

/// For one call.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Ceiling of the first wait between two calls; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);

pub struct Queue {
    url: String,
    sqs: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'a> {
    queue_url: &'a str,
    message_body: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    #[serde(rename = "MessageId")]
    _id: String,
}

impl Queue {
    pub fn open(url: &str, env: &AwsEnv) -> Result<Queue, AccessError> {
        Ok(Queue {
            url: url.to_owned(),
            sqs: Json::sqs(url, None, env.clone())?,
        })
    }

    /// Sends all of `messages`, each tried again within `budget`.
    pub async fn send(&self, messages: &[String], budget: Duration) -> Result<(), CallError> {
        let end = Instant::now() + budget;
        try_join_all(messages.iter().map(|body| self.send_one(body, end))).await?;
        Ok(())
    }

    async fn send_one(&self, body: &str, end: Instant) -> Result<(), CallError> {
        let message = SendMessage {
            queue_url: &self.url,
            message_body: body,
        };
        let mut wait = FIRST_WAIT;
        loop {
            let limit = ATTEMPT.min(end.saturating_duration_since(Instant::now()));
            let error = match self.sqs.call("SendMessage", &message, limit).await {
                Ok(Sent { .. }) => return Ok(()),
                Err(error) => error,
            };
            let pause = wait.mul_f64(fastrand::f64());
            wait *= 2;
            if !error.is_passing() || Instant::now() + pause >= end {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}
