//! What surrounds the function on AWS, on loopback: Lambda's Runtime API, a store, queues.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use exam_aws::{AwsEnv, Json};
use exam_record::{AttemptKey, Registers};
use exam_state::{FoldBatch, Options};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The function; `EXAM_LAMBDA_BIN` names one of another architecture, or what runs it.
pub fn program() -> String {
    std::env::var("EXAM_LAMBDA_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bootstrap").to_owned())
}
pub const ARN: &str = "arn:aws:firehose:us-east-1:123456789012:deliverystream/exam";
/// The function's timeout, as it would be configured.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// What Lambda lets through in one answer.
const MAX_RESPONSE: usize = 6_291_556;

/// What came of an invocation.
#[derive(Debug)]
pub enum Outcome {
    Answer(Bytes),
    /// The error that the function reported.
    Error(Value),
}

/// The function's process, driven by a Runtime API as documented:
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
pub struct Lambda {
    process: Child,
    events: UnboundedSender<Bytes>,
    outcomes: UnboundedReceiver<Outcome>,
    /// From the start of the process to its first question for an event.
    pub init: Duration,
    api: Arc<Api>,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

struct Api {
    events: tokio::sync::Mutex<UnboundedReceiver<Bytes>>,
    outcomes: UnboundedSender<Outcome>,
    ready: Mutex<Option<tokio::sync::oneshot::Sender<Instant>>>,
    /// What an invocation is given.
    time: Mutex<Duration>,
}

impl Lambda {
    pub async fn start(vars: &[(&str, &str)]) -> Lambda {
        let (events, queue) = unbounded_channel();
        let (report, outcomes) = unbounded_channel();
        let (tell, ready) = tokio::sync::oneshot::channel();
        let api = Arc::new(Api {
            events: queue.into(),
            outcomes: report,
            ready: Some(tell).into(),
            time: TIMEOUT.into(),
        });
        let served = api.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let api = served.clone();
                let service = service_fn(move |request| answer(api.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        let began = Instant::now();
        let mut process = Command::new(program())
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "exam-fold")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKEXAM")
            .env("AWS_SECRET_ACCESS_KEY", "s3cret")
            .env("AWS_SESSION_TOKEN", "t0ken")
            .envs(vars.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = keep(process.stdout.take().unwrap());
        let err = keep(process.stderr.take().unwrap());
        let ready = tokio::time::timeout(Duration::from_secs(30), ready).await;
        let init = match ready {
            Ok(Ok(at)) => at.duration_since(began),
            _ => panic!("the function does not ask for an event: {:?}", err.lock()),
        };
        Lambda {
            process,
            events,
            outcomes,
            init,
            api,
            out,
            err,
        }
    }

    /// How long invocations from here on may take.
    pub fn give(&self, time: Duration) {
        *self.api.time.lock().unwrap() = time;
    }

    pub async fn invoke(&mut self, event: impl Into<Bytes>) -> Outcome {
        self.events.send(event.into()).unwrap();
        let outcome = tokio::time::timeout(TIMEOUT, self.outcomes.recv()).await;
        outcome
            .expect("within the function's timeout")
            .expect("the function runs")
    }

    /// An answer of JSON.
    pub async fn answer(&mut self, event: &Value) -> Value {
        match self.invoke(event.to_string()).await {
            Outcome::Answer(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Outcome::Error(error) => panic!("{error}"),
        }
    }

    /// The metrics of the last invocation; they are written before its answer.
    pub fn metrics(&self) -> Value {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(line) = self.out.lock().unwrap().pop() {
                return serde_json::from_str(&line).unwrap();
            }
            assert!(Instant::now() < patience, "no metrics");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything it wrote to stderr.
    pub fn log(&self) -> String {
        self.err.lock().unwrap().join("\n")
    }

    /// Waits until `text` stands in what it wrote to stderr.
    pub fn logs(&self, text: &str) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.log().contains(text) {
            assert!(Instant::now() < patience, "no {text} in {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn cpu(&self) -> Duration {
        cpu(&self.process)
    }

    /// The greatest resident memory so far, KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a process's first thread has computed: not of the clock, and so not of other programs.
fn cpu(process: &Child) -> Duration {
    let path = format!("/proc/{}/schedstat", process.id());
    let said = std::fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = said.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// The lines of a pipe, as they come.
fn keep(pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let lines = kept.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    kept
}

async fn answer(
    api: Arc<Api>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let path = path.strip_prefix("/2018-06-01/runtime").unwrap_or(&path);
    let method = request.method().clone();
    let body = request.into_body().collect().await?.to_bytes();
    let respond = |status: u16, body: &'static str| {
        let status = StatusCode::from_u16(status).unwrap();
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        Ok(response)
    };
    if method == Method::GET && path == "/invocation/next" {
        if let Some(tell) = api.ready.lock().unwrap().take() {
            let _ = tell.send(Instant::now());
        }
        let Some(event) = api.events.lock().await.recv().await else {
            return respond(500, "");
        };
        let time = *api.time.lock().unwrap();
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let response = Response::builder()
            .header("content-type", "application/json")
            .header(
                "lambda-runtime-aws-request-id",
                "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            )
            .header(
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            )
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:exam-fold",
            )
            .header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            )
            .body(Full::new(event));
        return Ok(response.unwrap());
    }
    let outcome = match path.rsplit('/').next() {
        Some("response") if body.len() > MAX_RESPONSE => {
            let _ = api
                .outcomes
                .send(Outcome::Error(json!("ResponseSizeTooLarge")));
            return respond(413, r#"{"errorType":"RequestEntityTooLarge"}"#);
        }
        Some("response") => Outcome::Answer(body),
        _ => Outcome::Error(serde_json::from_slice(&body).unwrap_or_default()),
    };
    let _ = api.outcomes.send(outcome);
    respond(202, r#"{"status":"OK"}"#)
}

/// An event of Firehose with these records, as Direct PUT brings it.
pub fn firehose(records: &[impl AsRef<[u8]>]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(n, data)| {
            json!({
                "recordId": record_id(n),
                "approximateArrivalTimestamp": 1_763_800_000_000_u64 + n as u64,
                "data": base64_simd::STANDARD.encode_to_string(data),
            })
        })
        .collect();
    json!({
        "invocationId": "2b4d1ad9-2f48-94bd-a088-767c317e994a",
        "deliveryStreamArn": ARN,
        "region": "us-east-1",
        "records": records,
    })
}

/// As long as Firehose's own.
pub fn record_id(n: usize) -> String {
    format!("4959{n:052}")
}

/// An event of the redrive queue with these messages.
pub fn sqs(bodies: &[String]) -> Value {
    let messages: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| {
            json!({
                "messageId": format!("059f36b4-87a3-44ab-83d2-{n:012}"),
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:redrive",
                "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({"Records": messages})
}

pub type State = BTreeMap<AttemptKey, Registers>;

/// What the fold makes of lines, in memory.
pub fn folded<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> State {
    let mut batch = FoldBatch::new();
    for line in lines {
        let _ = batch.push(line);
    }
    let attempts = batch.attempts().iter();
    attempts
        .map(|(key, attempt)| (key.clone(), attempt.registers.clone()))
        .collect()
}

pub struct Redis {
    process: Child,
    port: u16,
    dir: TempDir,
}

pub const PASSWORD: &str = "hunter2hunter2";

impl Redis {
    pub fn start() -> Redis {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dir = TempDir::new().unwrap();
        let process = Redis::process(port, &dir);
        let redis = Redis { process, port, dir };
        redis.wait();
        redis
    }

    fn process(port: u16, dir: &TempDir) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--requirepass",
                PASSWORD,
            ])
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed (apt install redis-server)")
    }

    fn wait(&self) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !self.cli(&["PING"]).contains("PONG") {
            assert!(Instant::now() < patience, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-a", PASSWORD])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cpu(&self) -> Duration {
        cpu(&self.process)
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The same server again, its memory gone.
    pub fn start_again(&mut self) {
        self.process = Redis::process(self.port, &self.dir);
        self.wait();
    }

    pub async fn state(&self) -> State {
        let store = exam_state::open(&self.url(), Options::default()).unwrap();
        let mut state = State::new();
        store
            .scan(&mut |key, registers| drop(state.insert(key, registers)))
            .await
            .unwrap();
        state
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A queue of moto's SQS.
pub struct TestQueue {
    pub url: String,
    sqs: Json,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl TestQueue {
    pub async fn create(moto: &str, name: &str) -> TestQueue {
        let env: AwsEnv = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "sk")]
            .into_iter()
            .collect();
        let sqs = Json::sqs(&format!("{moto}/"), Some("us-east-1"), env).unwrap();
        let made: Value = sqs
            .call("CreateQueue", &json!({"QueueName": name}), PATIENCE)
            .await
            .unwrap();
        let url = made["QueueUrl"].as_str().unwrap().to_owned();
        TestQueue { url, sqs }
    }

    /// Takes everything out of it.
    pub async fn take(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let asked = json!({"QueueUrl": self.url, "MaxNumberOfMessages": 10});
            let got: Value = self
                .sqs
                .call("ReceiveMessage", &asked, PATIENCE)
                .await
                .unwrap();
            let Some(messages) = got["Messages"].as_array().filter(|m| !m.is_empty()) else {
                return bodies;
            };
            for message in messages {
                bodies.push(message["Body"].as_str().unwrap().to_owned());
                let handle =
                    json!({"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]});
                let _: Value = self
                    .sqs
                    .call("DeleteMessage", &handle, PATIENCE)
                    .await
                    .unwrap();
            }
        }
    }
}

/// A data stream of moto's Kinesis.
pub struct TestStream {
    name: String,
    kinesis: Json,
}

impl TestStream {
    pub async fn create(moto: &str, name: &str) -> TestStream {
        let env: AwsEnv = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "sk")]
            .into_iter()
            .collect();
        let kinesis = Json::kinesis(Some(moto), Some("us-east-1"), env).unwrap();
        let stream = json!({"StreamName": name, "ShardCount": 4});
        let _: Value = kinesis
            .call("CreateStream", &stream, PATIENCE)
            .await
            .unwrap();
        let name = name.to_owned();
        TestStream { name, kinesis }
    }

    async fn call(&self, operation: &str, body: Value) -> Value {
        let answer = self.kinesis.call(operation, &body, PATIENCE).await;
        answer.unwrap()
    }

    /// What its records hold.
    pub async fn records(&self) -> Vec<Vec<u8>> {
        let shards = self
            .call("ListShards", json!({"StreamName": self.name}))
            .await;
        let mut records = Vec::new();
        for shard in shards["Shards"].as_array().unwrap() {
            let from = json!({"StreamName": self.name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
            let from = self.call("GetShardIterator", from).await;
            let got = self
                .call(
                    "GetRecords",
                    json!({"ShardIterator": from["ShardIterator"]}),
                )
                .await;
            for record in got["Records"].as_array().unwrap() {
                let data = record["Data"].as_str().unwrap();
                records.push(base64_simd::STANDARD.decode_to_vec(data).unwrap());
            }
        }
        records
    }
}
