//! What Lambda hands in and what is answered, as Amazon documents them:
//! <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
//!
//! A record's members stay the JSON they came as: what is not changed goes back without being read
//! and written again, and is byte for byte what Firehose sent.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// An event of either source.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// Firehose's.
    #[serde(borrow)]
    pub records: Option<Vec<Record<'a>>>,
    #[serde(default)]
    pub delivery_stream_arn: String,
    /// SQS's.
    #[serde(rename = "Records")]
    pub messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<'a> {
    #[serde(borrow)]
    pub record_id: &'a RawValue,
    /// A string of base64.
    #[serde(borrow, deserialize_with = "as_it_came")]
    pub data: Cow<'a, RawValue>,
}

fn as_it_came<'de, D: Deserializer<'de>>(json: D) -> Result<Cow<'de, RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Cow::Borrowed)
}

/// The text of a member that is a string; of another one its JSON.
pub fn text(member: &RawValue) -> String {
    serde_json::from_str(member.get()).unwrap_or_else(|_| member.get().to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub message_id: String,
    pub body: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer<'a> {
    Firehose {
        records: Vec<Transformed<'a>>,
    },
    Sqs {
        #[serde(rename = "batchItemFailures")]
        failures: Vec<Failure>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transformed<'a> {
    pub record_id: &'a RawValue,
    pub result: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Cow<'a, RawValue>>,
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
