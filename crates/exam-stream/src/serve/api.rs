//! The Firehose API: JSON 1.1 over HTTP, one operation a POST to `/`, named by
//! `X-Amz-Target`. Errors have AWS's shapes, codes and, where clients are known
//! to look at them, messages.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::lines::Sorter;
use super::metrics::{Metrics, Shows};
use super::sigv4::Key;
use super::streams::{Stream, Streams, is_name};
use super::writer::{Group, Work};
use crate::clock;

// The limits of PutRecordBatch: docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
const RECORD_BYTES: usize = 1000 << 10;

/// A full batch in base64, and room for one that is to be told its limit.
const BODY_BYTES: usize = 8 << 20;
/// Bodies held in memory at once, all connections together; more wait.
const BODIES_BYTES: usize = 48 << 20;
/// A body that takes longer is given up.
const BODY_TIME: Duration = Duration::from_secs(60);

const ACCOUNT: &str = "000000000000";
const TARGET: &str = "Firehose_20150804.";

pub type Answer = Response<Full<Bytes>>;

pub struct Api {
    pub streams: Streams,
    pub writer: mpsc::UnboundedSender<Work>,
    pub key: Option<Key>,
    pub metrics: Arc<Metrics>,
    pub shows: Shows,
    memory: Semaphore,
}

/// An error as AWS's JSON protocol tells it.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }

    fn server(code: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code,
            message: message.into(),
        }
    }

    /// AWS's words for input that breaks a constraint of the API's model.
    fn validation(value: &str, member: &str, constraint: &str) -> Self {
        ApiError::client(
            "ValidationException",
            format!(
                "1 validation error detected: Value {value} at '{member}' failed to satisfy \
                 constraint: Member must {constraint}"
            ),
        )
    }

    fn not_found(stream: &str) -> Self {
        ApiError::client(
            "ResourceNotFoundException",
            format!("Firehose {stream} under account {ACCOUNT} not found."),
        )
    }

    fn storage(error: &io::Error) -> Self {
        ApiError::server(
            "ServiceUnavailableException",
            format!("The service is unavailable. Back off and retry the operation. ({error})"),
        )
    }
}

/// A string of the request, borrowed from it unless it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string of which no more is asked than to be base64, as bytes: UTF-8 it is then anyway.
struct Base64<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Base64<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Base64<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Base64(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Base64(Cow::Owned(bytes.to_vec())))
            }
        }
        from.deserialize_bytes(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordBatch<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    record: Option<Record<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow)]
    data: Option<Base64<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AboutStream<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Text<'a>>,
    delivery_stream_type: Option<String>,
    kinesis_stream_source_configuration: Option<IgnoredAny>,
    #[serde(rename = "MSKSourceConfiguration")]
    msk_source_configuration: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListDeliveryStreams {
    limit: Option<i64>,
    delivery_stream_type: Option<String>,
    exclusive_start_delivery_stream_name: Option<String>,
}

impl Api {
    pub fn new(
        streams: Streams,
        writer: mpsc::UnboundedSender<Work>,
        key: Option<Key>,
        metrics: Arc<Metrics>,
        shows: Shows,
    ) -> Self {
        let memory = Semaphore::new(BODIES_BYTES);
        Api {
            streams,
            writer,
            key,
            metrics,
            shows,
            memory,
        }
    }

    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        let text = |status, text: String| {
            let mut answer = Response::new(Full::from(text));
            *answer.status_mut() = status;
            answer
        };
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/") => {}
            (&Method::GET, "/health") => {
                return text(StatusCode::OK, self.metrics.health(self.shows));
            }
            (&Method::GET, "/metrics") => {
                return text(StatusCode::OK, self.metrics.prometheus(self.shows));
            }
            _ => return text(StatusCode::NOT_FOUND, "POST / is the Firehose API\n".into()),
        }
        let id = request_id();
        self.metrics.calls.add(1);
        let (status, code, body) = match self.call(request, &id).await {
            Ok(body) => (StatusCode::OK, None, body),
            Err(error) => {
                let failed = error.status.is_server_error();
                let counter = if failed {
                    &self.metrics.calls_failed
                } else {
                    &self.metrics.calls_refused
                };
                counter.add(1);
                let body = json!({ "__type": error.code, "message": error.message });
                (error.status, Some(error.code), body.to_string())
            }
        };
        let mut answer = Response::builder()
            .status(status)
            .header("x-amzn-requestid", &id)
            .header("content-type", "application/x-amz-json-1.1");
        if let Some(code) = code {
            answer = answer.header("x-amzn-errortype", code);
        }
        answer
            .body(Full::from(body))
            .expect("every part is made here")
    }

    async fn call(&self, request: Request<Incoming>, id: &str) -> Result<String, ApiError> {
        let (head, body) = request.into_parts();
        let size = body.size_hint().upper().map_or(BODY_BYTES, |n| n as usize);
        if size > BODY_BYTES {
            return Err(too_large());
        }
        // Held until the answer: what is in flight is what memory holds.
        let _held = self
            .memory
            .acquire_many(size as u32)
            .await
            .expect("never closed");
        let body = tokio::time::timeout(BODY_TIME, read(body, size))
            .await
            .map_err(|_| ApiError {
                status: StatusCode::REQUEST_TIMEOUT,
                code: "RequestTimeoutException",
                message: format!("The body did not arrive within {} s", BODY_TIME.as_secs()),
            })??;
        if let Some(key) = &self.key {
            key.check(&head, &body, clock::since_epoch().as_secs())?;
        }
        match operation(&head) {
            "PutRecordBatch" => self.put_record_batch(&body, id).await,
            "PutRecord" => self.put_record(&body, id).await,
            "DescribeDeliveryStream" => self.describe(&body),
            "ListDeliveryStreams" => self.list(&body),
            "CreateDeliveryStream" => self.create(&body),
            "DeleteDeliveryStream" => self.delete(&body),
            other => Err(ApiError::client(
                "UnknownOperationException",
                format!("'{other}' is no operation of {TARGET}* that this server has"),
            )),
        }
    }

    async fn put_record_batch(&self, body: &[u8], id: &str) -> Result<String, ApiError> {
        let request: PutRecordBatch = parse(body)?;
        let stream = self.stream(&request.delivery_stream_name)?;
        let records = request.records.ok_or_else(|| null("records"))?;
        let count = records.len();
        if !(1..=BATCH_RECORDS).contains(&count) {
            let constraint = if count == 0 {
                "have length greater than or equal to 1".to_owned()
            } else {
                format!("have length less than or equal to {BATCH_RECORDS}")
            };
            return Err(ApiError::validation(
                &format!("'[{count} records]'"),
                "records",
                &constraint,
            ));
        }
        let blobs = decode(&records, |i| format!("records.{}.member.data", i + 1))?;
        self.store(&stream, &blobs).await?;
        let mut answer = String::with_capacity(64 + count * 64);
        answer.push_str(r#"{"FailedPutCount":0,"Encrypted":false,"RequestResponses":["#);
        for index in 0..count {
            let comma = if index == 0 { "" } else { "," };
            answer.push_str(&format!(r#"{comma}{{"RecordId":"{id}-{index:03}"}}"#));
        }
        answer.push_str("]}");
        Ok(answer)
    }

    async fn put_record(&self, body: &[u8], id: &str) -> Result<String, ApiError> {
        let request: PutRecord = parse(body)?;
        let stream = self.stream(&request.delivery_stream_name)?;
        let record = request.record.ok_or_else(|| null("record"))?;
        let blobs = decode(&[record], |_| "record.data".to_owned())?;
        self.store(&stream, &blobs).await?;
        Ok(format!(r#"{{"RecordId":"{id}-000","Encrypted":false}}"#))
    }

    /// Returns once every byte is durable.
    async fn store(&self, stream: &Stream, blobs: &Blobs) -> Result<(), ApiError> {
        let mut sorter = Sorter::new(stream.name.clone(), clock::this_hour(), blobs.bytes.len());
        for blob in blobs.iter() {
            sorter.add(blob);
        }
        let (lines, unparsed) = (sorter.lines, sorter.unparsed);
        let (done, written) = oneshot::channel();
        let group = Group {
            chunks: sorter.into_chunks(),
            done,
        };
        if self.writer.send(Work::Group(group)).is_err() {
            return Err(ApiError::server(
                "ServiceUnavailableException",
                "shutting down",
            ));
        }
        let written = written
            .await
            .unwrap_or_else(|_| Err(io::Error::other("writer ended")));
        written.map_err(|e| ApiError::storage(&e))?;
        self.metrics.records.add(blobs.ends.len() as u64);
        self.metrics.bytes.add(blobs.bytes.len() as u64);
        self.metrics.lines.add(lines);
        self.metrics.unparsed.add(unparsed);
        Ok(())
    }

    fn stream(&self, name: &Option<Text<'_>>) -> Result<Stream, ApiError> {
        let name = stream_name(name)?;
        self.streams
            .get(name)
            .ok_or_else(|| ApiError::not_found(name))
    }

    fn describe(&self, body: &[u8]) -> Result<String, ApiError> {
        let request: AboutStream = parse(body)?;
        let stream = self.stream(&request.delivery_stream_name)?;
        Ok(json!({ "DeliveryStreamDescription": {
            "DeliveryStreamName": &*stream.name,
            "DeliveryStreamARN": arn(&stream.name),
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": "DirectPut",
            "VersionId": "1",
            "CreateTimestamp": stream.about.created,
            "Destinations": [{ "DestinationId": "destinationId-000000000001" }],
            "HasMoreDestinations": false,
        } })
        .to_string())
    }

    fn list(&self, body: &[u8]) -> Result<String, ApiError> {
        let request: ListDeliveryStreams = parse(body)?;
        let limit = request.limit.unwrap_or(10);
        if !(1..=10_000).contains(&limit) {
            let constraint = "be between 1 and 10000";
            return Err(ApiError::validation(
                &format!("'{limit}'"),
                "limit",
                constraint,
            ));
        }
        let after = request
            .exclusive_start_delivery_stream_name
            .unwrap_or_default();
        let limit = limit as usize;
        // All are of one type; a client may ask for those of another.
        let names = match request.delivery_stream_type.as_deref() {
            None | Some("DirectPut") => self.streams.names(),
            Some(_) => Vec::new(),
        };
        let rest: Vec<&str> = names
            .iter()
            .map(|n| &**n)
            .filter(|n| *n > after.as_str())
            .collect();
        let more = rest.len() > limit;
        let names = &rest[..rest.len().min(limit)];
        Ok(json!({ "DeliveryStreamNames": names, "HasMoreDeliveryStreams": more }).to_string())
    }

    fn create(&self, body: &[u8]) -> Result<String, ApiError> {
        let request: AboutStream = parse(body)?;
        let name = stream_name(&request.delivery_stream_name)?;
        let direct = request
            .delivery_stream_type
            .as_deref()
            .is_none_or(|t| t == "DirectPut")
            && request.kinesis_stream_source_configuration.is_none()
            && request.msk_source_configuration.is_none();
        if !direct {
            return Err(ApiError::client(
                "InvalidArgumentException",
                "This server has only streams of DeliveryStreamType DirectPut",
            ));
        }
        match self.streams.create(name) {
            Ok(true) => Ok(json!({ "DeliveryStreamARN": arn(name) }).to_string()),
            Ok(false) => Err(ApiError::client(
                "ResourceInUseException",
                format!("Firehose {name} under account {ACCOUNT} already exists"),
            )),
            Err(e) => Err(ApiError::storage(&e)),
        }
    }

    fn delete(&self, body: &[u8]) -> Result<String, ApiError> {
        let request: AboutStream = parse(body)?;
        let name = stream_name(&request.delivery_stream_name)?;
        match self.streams.delete(name) {
            Ok(true) => Ok("{}".to_owned()),
            Ok(false) => Err(ApiError::not_found(name)),
            Err(e) => Err(ApiError::storage(&e)),
        }
    }
}

fn operation(head: &Parts) -> &str {
    let target = head
        .headers
        .get("x-amz-target")
        .and_then(|t| t.to_str().ok())
        .unwrap_or("");
    target.strip_prefix(TARGET).unwrap_or(target)
}

fn arn(stream: &str) -> String {
    format!("arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/{stream}")
}

/// A random UUID.
fn request_id() -> String {
    let (a, b) = (fastrand::u64(..), fastrand::u64(..));
    let (version, variant) = (a & 0xfff | 0x4000, b >> 48 & 0x3fff | 0x8000);
    format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        b & 0xffff_ffff_ffff
    )
}

fn too_large() -> ApiError {
    ApiError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "RequestEntityTooLargeException",
        message: format!("A body of more than {BODY_BYTES} bytes holds no valid call"),
    }
}

fn null(member: &str) -> ApiError {
    ApiError::validation("null", member, "not be null")
}

async fn read(mut body: Incoming, size: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::with_capacity(size);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            ApiError::client("SerializationException", format!("The body broke off: {e}"))
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > BODY_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|e| ApiError::client("SerializationException", e.to_string()))
}

fn stream_name<'a>(name: &'a Option<Text<'_>>) -> Result<&'a str, ApiError> {
    let member = "deliveryStreamName";
    let name = &*name.as_ref().ok_or_else(|| null(member))?.0;
    if !is_name(name) {
        let constraint = "satisfy regular expression pattern: [a-zA-Z0-9_.-]{1,64}";
        return Err(ApiError::validation(
            &format!("'{name}'"),
            member,
            constraint,
        ));
    }
    Ok(name)
}

/// The decoded data of a call's records, end to end.
struct Blobs {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Blobs {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[*start..*end])
    }
}

fn decode(records: &[Record<'_>], member: impl Fn(usize) -> String) -> Result<Blobs, ApiError> {
    let encoded: usize = records
        .iter()
        .flat_map(|r| &r.data)
        .map(|d| d.0.len())
        .sum();
    let mut bytes = Vec::with_capacity(encoded / 4 * 3 + 3);
    let mut ends = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let start = bytes.len();
        let data = record.data.as_ref().ok_or_else(|| null(&member(index)))?;
        base64_simd::STANDARD
            .decode_append(&data.0, &mut bytes)
            .map_err(|_| {
                ApiError::client(
                    "SerializationException",
                    format!("{} is no base64", member(index)),
                )
            })?;
        let len = bytes.len() - start;
        if len > RECORD_BYTES {
            let value = format!("'java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]'");
            let constraint = format!("have length less than or equal to {RECORD_BYTES}");
            return Err(ApiError::validation(&value, &member(index), &constraint));
        }
        ends.push(bytes.len());
    }
    if bytes.len() > BATCH_BYTES {
        return Err(ApiError::client(
            "InvalidArgumentException",
            "Records size exceeds 4 MB limit",
        ));
    }
    Ok(Blobs { bytes, ends })
}
