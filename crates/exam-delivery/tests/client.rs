//! The real SDK client against small servers of our own: what it sends, what
//! it makes of each answer, TLS, and credentials from every source.

#[path = "common/server.rs"]
mod server;

use bytes::Bytes;
use exam_delivery::{AwsEnv, Firehose, PutBatch, PutError, firehose};
use server::{Request, refused, serve, taken};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

fn client(address: SocketAddr, vars: &[(&str, &str)]) -> Firehose {
    let env = vars.iter().copied().collect();
    firehose(Some(&format!("http://{address}")), Some("eu-west-1"), env).unwrap()
}

fn lines(n: usize) -> Vec<Bytes> {
    (0..n).map(|n| format!("{{\"n\":{n}}}\n").into()).collect()
}

/// The access key a request was signed with.
fn signer(request: &Request) -> String {
    let header = request.header("authorization").unwrap_or_default();
    let key = header.split("Credential=").nth(1).unwrap_or_default();
    key.split('/').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_batch_is_signed_and_its_answer_kept_in_order() {
    let seen = Arc::new(Mutex::new(None));
    let keep = seen.clone();
    let address = serve(false, move |request| {
        *keep.lock().unwrap() = Some(request);
        taken(3, 1)
    });
    let answer = client(address, &KEYS).put("exam", lines(3)).await.unwrap();
    let failed: Vec<bool> = answer.iter().map(Option::is_some).collect();
    assert_eq!(failed, [true, false, false]);
    assert_eq!(
        answer[0].as_ref().unwrap().code,
        "ServiceUnavailableException"
    );
    let request = seen.lock().unwrap().take().unwrap();
    assert_eq!(signer(&request), "AKIDTEST");
    assert_eq!(
        request.header("x-amz-target"),
        Some("Firehose_20150804.PutRecordBatch")
    );
    assert!(
        request
            .header("authorization")
            .unwrap()
            .contains("/eu-west-1/firehose/")
    );
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .contains("aws-sdk-rust")
    );
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["DeliveryStreamName"], "exam");
    assert_eq!(body["Records"][2]["Data"], "eyJuIjoyfQo="); // {"n":2}\n
}

#[tokio::test]
async fn each_failure_is_told_apart() {
    async fn ask(reply: server::Reply) -> PutError {
        let address = serve(false, move |_| reply.clone());
        client(address, &KEYS)
            .put("exam", lines(1))
            .await
            .unwrap_err()
    }
    use PutError::*;
    assert!(
        matches!(ask(refused("InvalidArgumentException")).await, Refused(w) if w.contains("scripted"))
    );
    assert!(
        matches!(ask(refused("ResourceNotFoundException")).await, Held(w) if w.contains("ResourceNotFound"))
    );
    assert!(matches!(
        ask(refused("InvalidKMSResourceException")).await,
        Held(_)
    ));
    assert!(matches!(
        ask(refused("AccessDeniedException")).await,
        Held(_)
    ));
    let busy = Some((503, r#"{"__type":"ServiceUnavailableException"}"#.into()));
    assert!(matches!(ask(busy).await, Throttled(_)));
    assert!(matches!(
        ask(Some((500, "oops".into()))).await,
        Unavailable(_)
    ));
    // An answer that is none acknowledges nothing.
    assert!(matches!(
        ask(Some((200, "<html>".into()))).await,
        Unavailable(_)
    ));
    let short = client(serve(false, |_| taken(1, 0)), &KEYS)
        .put("exam", lines(2))
        .await;
    assert!(short.unwrap()[1].is_some());
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_unavailable_within_the_timeouts() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let begun = Instant::now();
    let error = client(closed, &KEYS)
        .put("exam", lines(1))
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Unavailable(_)) && begun.elapsed() < Duration::from_secs(2));
    let error = client(serve(false, |_| None), &KEYS)
        .put("exam", lines(1))
        .await
        .unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, PutError::Unavailable(_)), "{error}");
    assert!(
        took > Duration::from_secs(9) && took < Duration::from_secs(13),
        "{took:?}"
    );
}

#[tokio::test]
async fn https_is_spoken_to_who_proves_itself_by_the_bundle_given() {
    let address = serve(true, |_| taken(1, 0));
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem");
    let with = |bundle| {
        let vars = KEYS.into_iter().chain([("AWS_CA_BUNDLE", bundle)]);
        let url = format!("https://localhost:{}", address.port());
        firehose(Some(&url), None, vars.collect())
    };
    let answer = with(bundle).unwrap().put("exam", lines(1)).await;
    assert_eq!(answer.unwrap(), [None]);
    // Its own certificate is no root for itself.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/other.pem");
    let error = with(other)
        .unwrap()
        .put("exam", lines(1))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PutError::Unavailable(w) if w.contains("UnknownIssuer")),
        "{error}"
    );
    assert!(
        with("/no/such.pem")
            .err()
            .unwrap()
            .to_string()
            .contains("/no/such.pem")
    );
}

#[tokio::test]
async fn expired_credentials_are_looked_up_again_and_good_ones_heal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    let write = |id: &str| {
        std::fs::write(
            &file,
            format!("[default]\naws_access_key_id={id}\naws_secret_access_key=s\n"),
        )
        .unwrap()
    };
    let address = serve(false, |request| match signer(&request).as_str() {
        "GOOD" => taken(1, 0),
        _ => refused("ExpiredTokenException"),
    });
    write("OLD");
    let firehose = client(
        address,
        &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())],
    );
    let error = firehose.put("exam", lines(1)).await.unwrap_err();
    assert!(matches!(error, PutError::Held(w) if w.contains("ExpiredToken")));
    write("GOOD");
    assert_eq!(firehose.put("exam", lines(1)).await.unwrap(), [None]);
}

#[tokio::test]
async fn credentials_come_from_every_source_in_the_default_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // One server plays STS, the container agent and instance metadata.
    let service = serve(false, move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let line = request.head.lines().next().unwrap().to_owned();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let json = |id: &str| {
            Some((
                200,
                format!(
                    r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
                ),
            ))
        };
        let sts = |id: &str| {
            Some((
                200,
                format!(
                    "<R><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>"
                ),
            ))
        };
        if line.starts_with("PUT /latest/api/token") {
            return Some((200, "imds-token".into()));
        }
        if line.contains("/security-credentials/") {
            assert_eq!(
                request.header("x-aws-ec2-metadata-token"),
                Some("imds-token")
            );
            return match line.contains("/role") {
                true => json("IMDS"),
                false => Some((200, "role".into())),
            };
        }
        if line.starts_with("GET /agent") {
            assert_eq!(request.header("authorization"), Some("agent-token"));
            return json("AGENT");
        }
        if body.contains("AssumeRoleWithWebIdentity") {
            assert!(
                body.contains("WebIdentityToken=jwt%2Ba")
                    && body.contains("RoleArn=arn%3Aaws%3Arole")
            );
            return sts("WEB");
        }
        assert!(
            body.contains("Action=AssumeRole&") && signer(&request) == "BASE",
            "{line} {body}"
        );
        sts("ASSUMED")
    });
    let signed = Arc::new(Mutex::new(String::new()));
    let keep = signed.clone();
    let address = serve(false, move |request| {
        *keep.lock().unwrap() = signer(&request);
        taken(1, 0)
    });
    let url = format!("http://{service}");
    let agent = format!("{url}/agent?x=1");
    let config = file(
        "config",
        "[profile assume]\nrole_arn = arn:aws:role\nsource_profile = base\n",
    );
    let keys = file(
        "credentials",
        "[base]\naws_access_key_id=BASE\naws_secret_access_key=s\n[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=s\n",
    );
    let (jwt, token) = (file("jwt", "jwt+a\n"), file("token", "agent-token\n"));

    // From the last source to the first: each wins over those before it.
    let mut vars: Vec<(&str, &str)> = vec![("AWS_ENDPOINT_URL_STS", &url)];
    let steps: [(&[(&str, &str)], &str); 6] = [
        (&[("AWS_EC2_METADATA_DISABLED", "true")], "anonymous"),
        (
            &[
                ("AWS_EC2_METADATA_DISABLED", "false"),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ],
            "IMDS",
        ),
        (
            &[
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
            ],
            "AGENT",
        ),
        (
            &[
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &jwt),
                ("AWS_ROLE_ARN", "arn:aws:role"),
            ],
            "WEB",
        ),
        (
            &[
                ("AWS_CONFIG_FILE", &config),
                ("AWS_SHARED_CREDENTIALS_FILE", &keys),
                ("AWS_PROFILE", "assume"),
            ],
            "ASSUMED",
        ),
        (&KEYS, "AKIDTEST"),
    ];
    for (more, id) in steps {
        vars.extend(more);
        let firehose = client(address, &vars);
        for _ in 0..2 {
            let before = asked.load(Ordering::SeqCst);
            firehose.put("exam", lines(1)).await.unwrap();
            assert_eq!(*signed.lock().unwrap(), id);
            if before == asked.load(Ordering::SeqCst) {
                break; // kept for the next call
            }
        }
    }
    vars.retain(|(name, _)| !name.starts_with("AWS_ACCESS"));
    vars.push(("AWS_PROFILE", "typo"));
    let error = client(address, &vars)
        .put("exam", lines(1))
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Held(w) if w.contains("typo")));
}

#[tokio::test]
async fn without_credentials_aws_itself_is_held_with_a_sentence() {
    let env: AwsEnv = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        (
            "AWS_CA_BUNDLE",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem"),
        ),
    ]
    .into_iter()
    .collect();
    let firehose = firehose(None, Some("eu-west-1"), env).unwrap();
    let error = firehose.put("exam", lines(1)).await.unwrap_err();
    assert!(
        matches!(&error, PutError::Held(w) if w.contains("clear_env")),
        "{error}"
    );
}
