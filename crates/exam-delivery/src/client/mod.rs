//! The Firehose client: the only code here that knows AWS.
//!
//! It promises to read no environment variable once a first client has been
//! made in this process: region, endpoint, credentials, roots and resolver are
//! explicit (`exam-aws`), and the user agent is put where the SDK would
//! otherwise make one from the environment. (The SDK reads one variable for the
//! first of its clients, whether or not it uses what it read; so that one is
//! made on the thread that also writes the environment.) It tries each call
//! once; the SDK's own retry is off.

use crate::put::{PutBatch, PutError, RecordError};
use aws_runtime::user_agent::{ApiMetadata, AwsUserAgent};
use aws_sdk_firehose::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_firehose::config::{
    BehaviorVersion, ConfigBag, IdentityCache, Intercept, Region, RuntimeComponents,
    SharedCredentialsProvider, StalledStreamProtectionConfig, interceptors, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_firehose::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_smithy_runtime_api::client::http::http_client_fn;
use bytes::Bytes;
use exam_aws::{Access, CONNECT_TIMEOUT, Chain, NoCredentials, causes};
pub use exam_aws::{AccessError as ClientError, AwsEnv, check_endpoint};
use std::sync::Arc;
use std::time::Duration;

/// From the first byte sent to the last received. The SDK has no limit of its own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Amazon Data Firehose, or a server that speaks its API.
pub struct Firehose {
    client: aws_sdk_firehose::Client,
    chain: Arc<Chain>,
    url: String,
}

/// A client for `endpoint` (default: the region's own) in `region` (default:
/// `AWS_REGION`, `AWS_DEFAULT_REGION`; a server of one's own needs none).
/// Opens no connection; may be called on any thread.
pub fn firehose(
    endpoint: Option<&str>,
    region: Option<&str>,
    env: AwsEnv,
) -> Result<Firehose, ClientError> {
    let execution = env
        .get("AWS_EXECUTION_ENV")
        .map(|v| ("AWS_EXECUTION_ENV", v));
    let user_agent = AwsUserAgent::new_from_environment(
        aws_types::os_shim_internal::Env::from_slice(execution.as_slice()),
        ApiMetadata::new("firehose", env!("CARGO_PKG_VERSION")),
    );
    let access = Access::new("firehose", endpoint, region, env)?;
    let (chain, http) = (access.keys, access.http);
    let config = aws_sdk_firehose::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(access.region))
        .endpoint_resolver(Fixed(access.url.clone()))
        .credentials_provider(SharedCredentialsProvider::new(Shared(chain.clone())))
        .identity_cache(IdentityCache::no_cache()) // `Chain` keeps them, and can forget them
        .http_client(http_client_fn(move |_, _| http.0.clone()))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        .interceptor(NoEnvironment(user_agent));
    Ok(Firehose {
        client: aws_sdk_firehose::Client::from_conf(config.build()),
        chain,
        url: access.url,
    })
}

impl Firehose {
    /// The state of a delivery stream, as in `ACTIVE`: for whoever looks for a mistake.
    /// Sending needs neither this nor the permission for it.
    pub async fn describe(&self, stream: &str) -> Result<String, PutError> {
        let call = self
            .client
            .describe_delivery_stream()
            .delivery_stream_name(stream);
        let answer = call
            .send()
            .await
            .map_err(|error| classify(error, &self.url).0)?;
        let about = answer.delivery_stream_description();
        Ok(about.map_or("UNKNOWN".into(), |d| {
            d.delivery_stream_status().as_str().to_owned()
        }))
    }
}

#[derive(Debug)]
struct Shared(Arc<Chain>);

impl aws_credential_types::provider::ProvideCredentials for Shared {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.provide_credentials()
    }
}

/// Instead of the rules for partitions, which this client does not need.
#[derive(Debug)]
struct Fixed(String);

impl ResolveEndpoint for Fixed {
    fn resolve_endpoint<'a>(&'a self, _: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::ready(Ok(Endpoint::builder().url(self.0.clone()).build()))
    }
}

/// Not signed, so it may be taken away again after signing.
const TRACE_ID: &str = "x-amzn-trace-id";

/// Two of the SDK's own interceptors read the environment at every call unless
/// they find their work done: a user agent in the bag, a trace id in the request.
#[derive(Debug)]
struct NoEnvironment(AwsUserAgent);

impl Intercept for NoEnvironment {
    fn name(&self) -> &'static str {
        "NoEnvironment"
    }

    fn modify_before_serialization(
        &self,
        _: &mut interceptors::BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(self.0.clone());
        Ok(())
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut interceptors::BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(TRACE_ID, "none");
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut interceptors::BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().remove(TRACE_ID);
        Ok(())
    }
}

#[async_trait::async_trait]
impl PutBatch for Firehose {
    async fn put(
        &self,
        stream: &str,
        records: Vec<Bytes>,
    ) -> Result<Vec<Option<RecordError>>, PutError> {
        let sent = records.len();
        let records = records
            .into_iter()
            .map(|body| Record::builder().data(Blob::new(body)).build())
            .collect::<Result<_, _>>()
            .map_err(|e| PutError::Refused(e.to_string()))?;
        let answer = self
            .client
            .put_record_batch()
            .delivery_stream_name(stream)
            .set_records(Some(records))
            .send()
            .await;
        match answer {
            Ok(output) => {
                let mut entries: Vec<_> = output
                    .request_responses()
                    .iter()
                    .map(|entry| {
                        let code = entry.error_code()?;
                        Some(RecordError {
                            code: code.to_owned(),
                            message: entry.error_message().unwrap_or_default().to_owned(),
                        })
                    })
                    .collect();
                // No word about a record is no acknowledgement of it.
                entries.resize_with(sent, || {
                    Some(RecordError {
                        code: "NoAnswer".into(),
                        message: "the answer has no entry for this record".into(),
                    })
                });
                Ok(entries)
            }
            Err(error) => {
                let (error, credentials) = classify(error, &self.url);
                if credentials {
                    self.chain.forget().await;
                }
                Err(error)
            }
        }
    }
}

/// What kind of failure of `url` it was, and whether other credentials might mend it.
fn classify<E>(error: SdkError<E>, url: &str) -> (PutError, bool)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let status = service.raw().status().as_u16();
        let code = service.err().code().unwrap_or("no code");
        let message = service.err().message().unwrap_or_default();
        return by_code(code, status, format!("{code} ({status}): {message}"));
    }
    let text = format!("{url}: {}", causes(&error));
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(this) = source {
        if let Some(NoCredentials(why)) = this.downcast_ref() {
            return (PutError::Held(why.clone()), true);
        }
        source = this.source();
    }
    match &error {
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            by_code("", status, format!("status {status}: {text}"))
        }
        SdkError::ConstructionFailure(_) => (PutError::Held(text), false),
        _ => (PutError::Unavailable(text), false),
    }
}

/// Error codes of PutRecordBatch and of every AWS service
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html>).
fn by_code(code: &str, status: u16, text: String) -> (PutError, bool) {
    match code {
        "InvalidArgumentException"
        | "ValidationException"
        | "SerializationException"
        | "RequestEntityTooLarge" => (PutError::Refused(text), false),
        "ServiceUnavailableException"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "SlowDown" => (PutError::Throttled(text), false),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized" => (PutError::Held(text), true),
        _ => match status {
            413 => (PutError::Refused(text), false),
            429 => (PutError::Throttled(text), false),
            401 | 403 => (PutError::Held(text), true),
            400..=499 => (PutError::Held(text), false),
            _ => (PutError::Unavailable(text), false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_answer() {
        use PutError::*;
        let kind = |code: &str, status| by_code(code, status, String::new());
        assert_eq!(
            kind("InvalidArgumentException", 400),
            (Refused("".into()), false)
        );
        assert_eq!(
            kind("ServiceUnavailableException", 503),
            (Throttled("".into()), false)
        );
        assert_eq!(
            kind("ResourceNotFoundException", 400),
            (Held("".into()), false)
        );
        assert_eq!(
            kind("InvalidKMSResourceException", 400),
            (Held("".into()), false)
        );
        assert_eq!(
            kind("InvalidSourceException", 400),
            (Held("".into()), false)
        );
        assert_eq!(kind("ExpiredTokenException", 400), (Held("".into()), true));
        assert_eq!(kind("SomethingNew", 403), (Held("".into()), true));
        assert_eq!(
            kind("InternalFailure", 500),
            (Unavailable("".into()), false)
        );
        assert_eq!(kind("", 413), (Refused("".into()), false));
    }
}
