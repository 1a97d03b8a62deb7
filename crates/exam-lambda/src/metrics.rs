//! CloudWatch's embedded metric format: one line of JSON on stdout for each invocation
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//!
//! Without dimensions: the namespace is the deployment's own. Alarm on `StoreErrors`, `DeadLetters`,
//! `DeadLettersUnsent` and `Overflowed` above 0. Every metric costs by the month, so there are no
//! more than these.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

pub struct Metrics {
    pub namespace: String,
}

/// What one invocation did.
#[derive(Default)]
pub struct Counts {
    /// Lines that came.
    pub lines: usize,
    /// Lines that are in the store now, as far as they change state.
    pub folded: usize,
    /// Folds that the store did not take in time.
    pub store_errors: usize,
    /// Lines that were sent to the redrive queue, or left in it.
    pub redriven: usize,
    /// Lines that are no record.
    pub dead_letters: usize,
    /// Such lines that the dead-letter queue did not take; cold storage has them.
    pub dead_letters_unsent: usize,
    /// Records given back as `ProcessingFailed`, because the answer was full.
    pub overflowed: usize,
    /// Lines that the stream of the analysis did not take in time.
    pub events_left_out: usize,
    /// The time of the fold, whatever came of it.
    pub fold: Duration,
}

impl Metrics {
    pub fn emit(&self, counts: &Counts) {
        let figures = [
            ("Lines", "Count", counts.lines as f64),
            ("Folded", "Count", counts.folded as f64),
            ("StoreErrors", "Count", counts.store_errors as f64),
            ("Redriven", "Count", counts.redriven as f64),
            ("DeadLetters", "Count", counts.dead_letters as f64),
            (
                "DeadLettersUnsent",
                "Count",
                counts.dead_letters_unsent as f64,
            ),
            ("Overflowed", "Count", counts.overflowed as f64),
            ("EventsLeftOut", "Count", counts.events_left_out as f64),
            ("FoldTime", "Milliseconds", counts.fold.as_secs_f64() * 1e3),
        ];
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut line = json!({
            "_aws": {
                "Timestamp": now.unwrap_or_default().as_millis() as u64,
                "CloudWatchMetrics": [{
                    "Namespace": self.namespace,
                    "Dimensions": [[]],
                    "Metrics": figures.map(|(name, unit, _)| json!({"Name": name, "Unit": unit})),
                }],
            },
        });
        for (name, _, value) in figures {
            line[name] = json!(value);
        }
        // Nobody to tell if stdout is gone.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
