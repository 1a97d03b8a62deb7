//! Amazon's own clients against `serve`: boto3 and the AWS command line, from PyPI.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Serve, lines, scratch, skipped};

const TALK: &str = r#"
import json, sys
import boto3
from botocore.config import Config
c = boto3.client("firehose", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 0}))
c.create_delivery_stream(DeliveryStreamName="boto", DeliveryStreamType="DirectPut")
assert c.list_delivery_streams()["DeliveryStreamNames"] == ["boto", "exam"]
about = c.describe_delivery_stream(DeliveryStreamName="boto")["DeliveryStreamDescription"]
assert about["DeliveryStreamStatus"] == "ACTIVE" and about["CreateTimestamp"].year > 2020, about
assert c.put_record(DeliveryStreamName="boto", Record={"Data": b'{"boto":1}'})["RecordId"]
many = c.put_record_batch(DeliveryStreamName="boto", Records=[{"Data": b'{"boto":%d}\n' % n} for n in range(2, 502)])
assert many["FailedPutCount"] == 0 and len(many["RequestResponses"]) == 500
try:
    c.put_record(DeliveryStreamName="nowhere", Record={"Data": b"{}"})
except c.exceptions.ResourceNotFoundException as e:
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400
else:
    raise SystemExit("a missing stream was not told")
try:
    c.put_record_batch(DeliveryStreamName="boto", Records=[{"Data": b" " * 1000000}] * 5)
except c.exceptions.InvalidArgumentException as e:
    assert "4 MB" in str(e)
else:
    raise SystemExit("the size limit was not told")
"#;

/// A virtual environment with Amazon's clients, made once and kept beside the build.
fn clients() -> Option<PathBuf> {
    let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("aws-clients");
    let installed = || venv.join("bin/aws").exists() && venv.join("bin/python").exists();
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !installed() {
        let (path, pip) = (venv.to_str()?, venv.join("bin/pip"));
        let made = run("python3", &["-m", "venv", "--clear", path])
            && run(pip.to_str()?, &["install", "-q", "boto3", "awscli"]);
        if !made || !installed() {
            skipped("boto3 and awscli cannot be installed from PyPI (is python3-venv there?)");
            return None;
        }
    }
    Some(venv.join("bin"))
}

fn client(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", "AKEXAM")
        .env("AWS_SECRET_ACCESS_KEY", "s3cret")
        .env("AWS_SESSION_TOKEN", "a token, which nobody checks")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

#[test]
fn boto3_and_the_aws_command_line_talk_to_serve() {
    let Some(bin) = clients() else { return };
    let dir = scratch();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let data = dir.path().join("data");
    let key = [
        "--access-key",
        "AKEXAM",
        "--secret-key-file",
        secret.to_str().unwrap(),
    ];
    let serve = Serve::start(&data, &key);

    let boto = client(bin.join("python"))
        .args(["-c", TALK, &serve.url])
        .output()
        .unwrap();
    assert!(
        boto.status.success(),
        "{}",
        String::from_utf8_lossy(&boto.stderr)
    );

    let aws = |arguments: &[&str]| {
        let mut command = client(bin.join("aws"));
        command
            .args(["--endpoint-url", &serve.url, "firehose"])
            .args(arguments)
            .output()
            .unwrap()
    };
    // Version 1, PyPI's, takes the bytes themselves.
    let record = ["--record", r#"{"Data":"{\"cli\":1}"}"#];
    let put = aws(&[
        &["put-record", "--delivery-stream-name", "exam"],
        &record[..],
    ]
    .concat());
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
    let missing = aws(&[
        &["put-record", "--delivery-stream-name", "nowhere"],
        &record[..],
    ]
    .concat());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("ResourceNotFoundException"));

    let lines = lines(&data, "cold");
    assert_eq!(lines.len(), 502);
    assert!(lines.iter().any(|l| l.contains("cli")), "{lines:?}");
}
