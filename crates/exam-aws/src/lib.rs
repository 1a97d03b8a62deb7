//! What every service of AWS needs of its client: a region, an address, credentials, connections,
//! a signature. [`Access`] is all of these for one service; [`Json`] calls a service by it.
//!
//! It promises to read no environment variable after [`AwsEnv::snapshot`], on whichever thread it
//! is used: `getenv` beside PHP's `putenv()` crashes, so region, endpoint, credentials, roots and
//! resolver are explicit. Keys are never made up for AWS itself. It refuses to retry: whether a
//! call is worth another one, and when, is its caller's to know.
//!
//! The few operations of DynamoDB, SQS and Kinesis that this project uses are JSON over one signed
//! POST, and their clients would be the largest crates of the whole build.

mod credentials;
pub mod dns;
mod env;
mod http;
mod json;

use std::sync::Arc;

use aws_credential_types::Credentials;

pub use credentials::{Chain, NoCredentials};
pub use env::AwsEnv;
pub use http::{CONNECT_TIMEOUT, Http, causes};
pub use json::{CallError, Json};

/// Why a service cannot be reached, before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(
        "endpoint {0} is not a URL like https://firehose.eu-west-1.amazonaws.com or http://127.0.0.1:4573"
    )]
    Endpoint(String),
    #[error("no region: set exam_stream.region or AWS_REGION")]
    NoRegion,
    #[error("{0}")]
    Tls(String),
}

/// Whether `url` is one to send to: `http://` or `https://`, a host, perhaps a port and a path.
/// What a client makes of a port that is none (another port) is not left to it.
pub fn check_endpoint(url: &str) -> Result<(), AccessError> {
    let usable = || {
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"))?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host_end = authority.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match authority[host_end..].find(':') {
            Some(colon) => authority.split_at(host_end + colon),
            None => (authority, ":1"),
        };
        let visible = url.bytes().all(|b| b.is_ascii_graphic());
        let port: u16 = port.strip_prefix(':')?.parse().ok()?;
        (visible && !host.is_empty() && !host.contains('@') && port != 0).then_some(())
    };
    usable().ok_or_else(|| AccessError::Endpoint(url.to_owned()))
}

/// The way to one service, or to a server that speaks its API.
#[derive(Clone, Debug)]
pub struct Access {
    pub url: String,
    pub region: String,
    pub http: Http,
    pub keys: Arc<Chain>,
}

impl Access {
    /// To `service` (as in `dynamodb`) at `endpoint` (default: `AWS_ENDPOINT_URL_<SERVICE>`,
    /// `AWS_ENDPOINT_URL`, the region's own) in `region` (default: `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`; a server of one's own needs none). Opens no connection; may be called
    /// on any thread.
    pub fn new(
        service: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        env: AwsEnv,
    ) -> Result<Access, AccessError> {
        let variable = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
        let endpoint = endpoint
            .filter(|e| !e.is_empty())
            .or_else(|| env.get(&variable))
            .or_else(|| env.get("AWS_ENDPOINT_URL"))
            .map(str::to_owned);
        if let Some(url) = &endpoint {
            check_endpoint(url)?;
        }
        // Keys for AWS itself are never made up.
        let own_server = endpoint.as_ref().is_some_and(|url| {
            let host = url.split('/').nth(2).unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            !host.ends_with(".amazonaws.com") && !host.ends_with(".amazonaws.com.cn")
        });
        let region = region
            .filter(|r| !r.is_empty())
            .or_else(|| env.get("AWS_REGION"))
            .or_else(|| env.get("AWS_DEFAULT_REGION"))
            .or(own_server.then_some("us-east-1"))
            .ok_or(AccessError::NoRegion)?
            .to_owned();
        let secure = endpoint
            .as_ref()
            .is_none_or(|url| url.starts_with("https://"));
        let roots = match http::roots(env.get("AWS_CA_BUNDLE")) {
            Ok(roots) => roots,
            // Only https needs them.
            Err(_) if !secure => aws_smithy_http_client::tls::TrustStore::empty(),
            Err(why) => return Err(AccessError::Tls(why)),
        };
        let http = Http::new(roots).map_err(AccessError::Tls)?;
        let url = endpoint.unwrap_or_else(|| {
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{service}.{region}.amazonaws.com{suffix}")
        });
        let otherwise =
            own_server.then(|| Credentials::new("anonymous", "anonymous", None, None, "Anonymous"));
        Ok(Access {
            url,
            keys: Arc::new(Chain::new(env, region.clone(), http.clone(), otherwise)),
            region,
            http,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_endpoint_or_no_region_is_a_sentence() {
        let try_it = |endpoint, region| {
            Access::new("firehose", endpoint, region, AwsEnv::default())
                .err()
                .map(|e| e.to_string())
        };
        assert!(
            try_it(Some("127.0.0.1:4573"), None)
                .unwrap()
                .contains("is not a URL")
        );
        assert!(try_it(None, None).unwrap().contains("AWS_REGION"));
        assert_eq!(try_it(Some("http://127.0.0.1:4573"), None), None);
    }

    #[test]
    fn an_endpoint_has_a_host_and_a_port_that_can_be() {
        for url in [
            "http://127.0.0.1:4573",
            "http://[::1]:4573/",
            "http://[::1]",
            "https://firehose.eu-west-1.amazonaws.com",
            "https://stream.example/path",
        ] {
            assert!(check_endpoint(url).is_ok(), "{url}");
        }
        for url in [
            "http://",
            "http:///path",
            "http://:80",
            "http://host:",
            "http://host:99999",
            "http://host:0",
            "http://host:port",
            "http://ho st",
            "http://host ",
            " http://host",
            "ftp://host",
            "host:80",
            "http://user:secret@host",
        ] {
            assert!(check_endpoint(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_service_is_found_by_its_own_variable_the_common_one_or_its_region() {
        let url = |vars: &[(&str, &str)]| {
            let env = vars.iter().copied().collect();
            Access::new("sqs", None, Some("cn-north-1"), env)
                .unwrap()
                .url
        };
        let own = ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1");
        let common = ("AWS_ENDPOINT_URL", "http://127.0.0.1:2");
        assert_eq!(url(&[own, common]), own.1);
        assert_eq!(url(&[common]), common.1);
        assert_eq!(url(&[]), "https://sqs.cn-north-1.amazonaws.com.cn");
    }
}
