//! The redrive queue's event: fold what could not be folded when it came.

use std::time::{Duration, Instant};

use exam_state::{FoldBatch, StateError};

use crate::Function;
use crate::event::{Answer, Failure, Message};
use crate::lines::{DeadLetters, Redrive, lines};
use crate::metrics::Counts;

/// At most this long for a message: nobody waits for it.
const STORE: Duration = Duration::from_secs(10);
const QUEUES: Duration = Duration::from_secs(10);

impl Function {
    /// Folds message by message. The first that meets a store that is away ends it: what is left
    /// comes again when the queue's visibility timeout is over.
    pub async fn redrive(&self, messages: Vec<Message>, left: Duration) -> Answer<'static> {
        let end = Instant::now() + left * 2 / 3;
        let mut counts = Counts::default();
        let mut failures = Vec::new();
        let mut away = false;
        for message in messages {
            let done = match Redrive::read(&message.body) {
                Ok((redrive, unfolded)) => {
                    counts.lines += redrive.lines;
                    let began = Instant::now();
                    let folded = if away {
                        Err(())
                    } else {
                        let budget = STORE.min(end.saturating_duration_since(began));
                        self.fold_again(&redrive, &unfolded, budget, &mut counts)
                            .await
                    };
                    counts.fold += began.elapsed();
                    match folded {
                        Ok(()) => counts.folded += redrive.lines,
                        Err(()) => {
                            away = true;
                            counts.redriven += redrive.lines;
                        }
                    }
                    folded.is_ok()
                }
                // Not ours: the queue's own dead-letter queue takes it in the end.
                Err(error) => {
                    tracing::error!(message = message.message_id, "cannot be read: {error:#}");
                    false
                }
            };
            if !done {
                failures.push(Failure {
                    item_identifier: message.message_id,
                });
            }
        }
        self.metrics.emit(&counts);
        Answer::Sqs { failures }
    }

    async fn fold_again(
        &self,
        redrive: &Redrive,
        unfolded: &[u8],
        budget: Duration,
        counts: &mut Counts,
    ) -> Result<(), ()> {
        let end = Instant::now() + budget;
        let mut batch = FoldBatch::new();
        for (_, line) in lines(unfolded) {
            // It was folded into a batch before; what is none any more changes nothing.
            let _ = batch.push(line);
        }
        let error = match self.store.fold(&batch, budget).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        counts.store_errors += 1;
        tracing::warn!(lines = redrive.lines, "not folded yet: {error}");
        match error {
            StateError::Refused(_) => self.fold_singly(redrive, unfolded, end, counts).await,
            _ => Err(()),
        }
    }

    /// A store may refuse a whole message for one line that it cannot hold. Such a line is dead,
    /// but only where the store takes others: a store that refuses everything is out of order.
    async fn fold_singly(
        &self,
        redrive: &Redrive,
        unfolded: &[u8],
        end: Instant,
        counts: &mut Counts,
    ) -> Result<(), ()> {
        let mut dead = DeadLetters::default();
        let mut taken = false;
        for (number, line) in lines(unfolded) {
            let mut batch = FoldBatch::new();
            if !batch.push(line).unwrap_or(false) {
                continue;
            }
            let budget = end.saturating_duration_since(Instant::now());
            match self.store.fold(&batch, budget).await {
                Ok(()) => taken = true,
                Err(why @ StateError::Refused(_)) => {
                    dead.add(&redrive.stream, "redrive", (number, line), &why);
                }
                Err(_) => return Err(()),
            }
        }
        if !taken {
            return Err(());
        }
        counts.dead_letters += dead.count;
        let sent = self.dead.send(&dead.into_messages(), QUEUES).await;
        sent.map_err(|error| tracing::error!("the dead-letter queue: {error}"))
    }
}
