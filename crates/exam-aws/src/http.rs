//! HTTP and TLS, shared by the clients and the look for credentials.

use crate::credentials::NoCredentials;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// For connection and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than any server's keep-alive we know, so that a call seldom meets a
/// connection the other side is just closing.
const IDLE: Duration = Duration::from_secs(15);

/// Where distributions keep the system's CA bundle.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The roots are given explicitly: loading native ones reads the environment.
pub(crate) fn roots(named: Option<&str>) -> Result<tls::TrustStore, String> {
    let mut paths = named.iter().copied().chain(
        BUNDLES
            .into_iter()
            .filter(|path| named.is_none() && Path::new(path).exists()),
    );
    let path = paths.next().ok_or(
        "no CA certificates on this system: install ca-certificates or name a bundle in AWS_CA_BUNDLE",
    )?;
    let pem = std::fs::read(path).map_err(|e| format!("CA bundle {path}: {e}"))?;
    if !pem.windows(10).any(|w| w == b"-----BEGIN") {
        return Err(format!("CA bundle {path} holds no PEM certificate"));
    }
    Ok(tls::TrustStore::empty().with_pem_certificate(pem))
}

/// Names to addresses without glibc, whose resolver reads the environment.
#[derive(Clone, Debug)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = crate::dns::resolve(name, 0)
                .await
                .map_err(ResolveDnsError::new)?;
            Ok(found.into_iter().map(|address| address.ip()).collect())
        })
    }
}

/// An error and what is behind it, each cause once: many say that of the one behind them as well.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// A connector with its pool of connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct Http(pub SharedHttpConnector);

impl Http {
    pub(crate) fn new(roots: tls::TrustStore) -> Result<Http, String> {
        let context = tls::TlsContext::builder()
            .with_trust_store(roots)
            .build()
            .map_err(|e| format!("TLS: {}", causes(&e)))?;
        let mut builder = Connector::builder();
        builder
            .set_connector_settings(Some(
                HttpConnectorSettings::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build(),
            ))
            .set_pool_idle_timeout(Some(Some(IDLE)));
        let connector = builder
            .sleep_impl(TokioSleep::new())
            .tls_provider(tls::Provider::rustls(
                tls::rustls_provider::CryptoMode::Ring,
            ))
            .tls_context(context)
            .build_with_resolver(Resolver);
        Ok(Http(SharedHttpConnector::new(connector)))
    }

    pub(crate) fn request(method: &str, url: &str, body: String) -> Result<Request, NoCredentials> {
        let mut request = Request::new(SdkBody::from(body));
        let made = request
            .set_method(method)
            .and_then(|()| request.set_uri(url));
        made.map_err(|e| NoCredentials(format!("{url}: {e}")))?;
        Ok(request)
    }

    /// Status and body.
    pub(crate) async fn answer(&self, request: Request) -> Result<(u16, Bytes), String> {
        let response = self.0.call(request).await.map_err(|e| causes(&e))?;
        let status = response.status().as_u16();
        let body = ByteStream::new(response.into_body()).collect().await;
        Ok((status, body.map_err(|e| causes(&e))?.into_bytes()))
    }

    /// Status and body as text, all within `limit`.
    pub(crate) async fn fetch(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<(u16, String), NoCredentials> {
        let url = request
            .uri()
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        match tokio::time::timeout(limit, self.answer(request)).await {
            Ok(Ok((status, body))) => Ok((status, String::from_utf8_lossy(&body).into_owned())),
            Ok(Err(why)) => Err(NoCredentials(format!("{url}: {why}"))),
            Err(_) => Err(NoCredentials(format!(
                "{url} did not answer within {limit:?}"
            ))),
        }
    }
}

/// Signs a request (SigV4, in its headers).
pub(crate) fn sign(
    request: &mut Request,
    keys: &Credentials,
    region: &str,
    service: &str,
) -> Result<(), NoCredentials> {
    let wrong = |e: &dyn std::fmt::Display| NoCredentials(format!("signing for {service}: {e}"));
    let identity = keys.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|e| wrong(&e))?;
    let signable = SignableRequest::new(
        request.method(),
        request.uri(),
        request.headers().iter(),
        SignableBody::Bytes(request.body().bytes().unwrap_or_default()),
    )
    .map_err(|e| wrong(&e))?;
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params.into())
        .map_err(|e| wrong(&e))?
        .into_parts();
    for header in instructions.into_parts().0 {
        request
            .headers_mut()
            .insert(header.name(), header.value().to_owned());
    }
    Ok(())
}
