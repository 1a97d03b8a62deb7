//! A service's operations as JSON over one signed POST, the protocols `awsJson1.0` and `1.1`.

use std::time::Duration;

use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::credentials::NoCredentials;
use crate::http::sign;
use crate::{Access, AccessError, AwsEnv};

/// A client of one service.
#[derive(Clone, Debug)]
pub struct Json {
    access: Access,
    service: &'static str,
    target: &'static str,
    content_type: &'static str,
}

/// Why a call brought no answer, or which error it brought. Holds nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    #[error("{service} refused ({code}, status {status}): {message}")]
    Refused {
        service: &'static str,
        status: u16,
        /// As in `ResourceNotFoundException`, without the namespace; empty if there was none.
        code: String,
        message: String,
    },
    #[error("{0}")]
    Unreachable(String),
    #[error("{service} did not answer within {limit:?}")]
    Timeout {
        service: &'static str,
        limit: Duration,
    },
    #[error("{service} answered what cannot be read: {why}")]
    Unreadable { service: &'static str, why: String },
}

impl CallError {
    /// Whether the service asks for fewer calls.
    pub fn is_throttling(&self) -> bool {
        matches!(self, CallError::Refused { code, status, .. }
            if *status == 429 || THROTTLING.contains(&code.as_str()))
    }

    /// Whether the same call may succeed within seconds.
    pub fn is_passing(&self) -> bool {
        match self {
            CallError::Unreachable(_) | CallError::Timeout { .. } => true,
            CallError::Refused { status, .. } => *status >= 500 || self.is_throttling(),
            CallError::NoCredentials(_) | CallError::Unreadable { .. } => false,
        }
    }

    /// Whether other credentials may mend it.
    pub fn is_of_credentials(&self) -> bool {
        match self {
            CallError::NoCredentials(_) => true,
            CallError::Refused { code, status, .. } => {
                matches!(status, 401 | 403) || CREDENTIALS.contains(&code.as_str())
            }
            _ => false,
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html> and
/// the common errors of every service.
const THROTTLING: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "LimitExceededException",
    "RequestThrottled",
];
const CREDENTIALS: [&str; 10] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "AccessDenied",
    "AccessDeniedException",
];

/// An error's name without what services put around it.
fn code_of(text: &str) -> &str {
    let text = text.rsplit('#').next().unwrap_or_default();
    text.split(':').next().unwrap_or_default()
}

impl Json {
    pub fn dynamodb(
        endpoint: Option<&str>,
        region: Option<&str>,
        env: AwsEnv,
    ) -> Result<Json, AccessError> {
        Ok(Json {
            access: Access::new("dynamodb", endpoint, region, env)?,
            service: "dynamodb",
            target: "DynamoDB_20120810",
            content_type: "application/x-amz-json-1.0",
        })
    }

    pub fn kinesis(
        endpoint: Option<&str>,
        region: Option<&str>,
        env: AwsEnv,
    ) -> Result<Json, AccessError> {
        Ok(Json {
            access: Access::new("kinesis", endpoint, region, env)?,
            service: "kinesis",
            target: "Kinesis_20131202",
            content_type: "application/x-amz-json-1.1",
        })
    }

    /// The SQS that a queue's URL names.
    pub fn sqs(queue_url: &str, region: Option<&str>, env: AwsEnv) -> Result<Json, AccessError> {
        let rest = queue_url.split_once("://").map(|(_, rest)| rest);
        let Some(path) = rest.and_then(|rest| rest.find('/').map(|at| rest.len() - at)) else {
            return Err(AccessError::Endpoint(queue_url.to_owned()));
        };
        let host = &queue_url[..queue_url.len() - path];
        let endpoint = env.get("AWS_ENDPOINT_URL_SQS").unwrap_or(host).to_owned();
        Ok(Json {
            access: Access::new("sqs", Some(&endpoint), region, env)?,
            service: "sqs",
            target: "AmazonSQS",
            content_type: "application/x-amz-json-1.0",
        })
    }

    pub fn region(&self) -> &str {
        &self.access.region
    }

    /// One call, all within `limit`: looking for credentials, connecting, TLS, the answer.
    pub async fn call<A: for<'de> Deserialize<'de>>(
        &self,
        operation: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<A, CallError> {
        let service = self.service;
        let unreadable = |why: serde_json::Error| CallError::Unreadable {
            service,
            why: why.to_string(),
        };
        let body = serde_json::to_vec(body).map_err(unreadable)?;
        let answered = tokio::time::timeout(limit, self.send(operation, body)).await;
        let (status, answer) = answered.map_err(|_| CallError::Timeout { service, limit })??;
        if status == 200 {
            // An operation that answers nothing answers `{}`, or nothing at all.
            let answer = if answer.is_empty() {
                b"{}"
            } else {
                &answer[..]
            };
            return serde_json::from_slice(answer).map_err(unreadable);
        }
        #[derive(Deserialize, Default)]
        struct Refusal {
            #[serde(default, rename = "__type")]
            code: String,
            #[serde(default, alias = "Message")]
            message: String,
        }
        let refusal: Refusal = serde_json::from_slice(&answer).unwrap_or_default();
        let error = CallError::Refused {
            service,
            status,
            code: code_of(&refusal.code).to_owned(),
            message: refusal.message,
        };
        if error.is_of_credentials() {
            self.access.keys.forget().await;
        }
        Err(error)
    }

    async fn send(&self, operation: &str, body: Vec<u8>) -> Result<(u16, Bytes), CallError> {
        let access = &self.access;
        let unusable = |e: &dyn std::fmt::Display| CallError::Unreachable(e.to_string());
        let mut request = Request::new(SdkBody::from(body));
        request
            .set_method("POST")
            .and_then(|()| request.set_uri(format!("{}/", access.url.trim_end_matches('/'))))
            .map_err(|e| unusable(&e))?;
        let headers = request.headers_mut();
        headers.insert("content-type", self.content_type);
        headers.insert(
            "user-agent",
            concat!("exam-stream/", env!("CARGO_PKG_VERSION")),
        );
        headers
            .try_insert("x-amz-target", format!("{}.{operation}", self.target))
            .map_err(|e| unusable(&e))?;
        let keys = access.keys.credentials().await?;
        sign(&mut request, &keys, &access.region, self.service)?;
        access
            .http
            .answer(request)
            .await
            .map_err(CallError::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_without_its_namespace() {
        for text in [
            "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "ConditionalCheckFailedException",
            "ConditionalCheckFailedException:http://internal.amazon.com/coral/",
        ] {
            assert_eq!(code_of(text), "ConditionalCheckFailedException");
        }
    }

    #[test]
    fn a_queue_is_called_where_its_url_says() {
        let url = |queue: &str| {
            Json::sqs(queue, Some("eu-west-1"), AwsEnv::default())
                .map(|json| json.access.url)
                .ok()
        };
        assert_eq!(
            url("https://sqs.eu-west-1.amazonaws.com/1/dead").as_deref(),
            Some("https://sqs.eu-west-1.amazonaws.com")
        );
        assert_eq!(
            url("http://127.0.0.1:5000/1/dead").as_deref(),
            Some("http://127.0.0.1:5000")
        );
        assert_eq!(url("dead"), None);
    }
}
