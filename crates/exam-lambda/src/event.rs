//! What Lambda hands in and what is answered, as Amazon documents them:
//! <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
//!
//! `data` stays the text it came as: what is not changed goes back without being encoded again,
//! and is byte for byte what Firehose sent.

use serde::{Deserialize, Serialize};

/// An event of either source.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Firehose's.
    pub records: Option<Vec<Record>>,
    #[serde(default)]
    pub delivery_stream_arn: String,
    /// SQS's.
    #[serde(rename = "Records")]
    pub messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub record_id: String,
    /// In base64.
    pub data: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub message_id: String,
    pub body: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Firehose {
        records: Vec<Transformed>,
    },
    Sqs {
        #[serde(rename = "batchItemFailures")]
        failures: Vec<Failure>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transformed {
    pub record_id: String,
    pub result: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    Ok,
    /// Firehose writes the record as it was put below the error prefix, as `rawData`.
    ProcessingFailed,
}

/// A message that is to come again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub item_identifier: String,
}
