//! A bare Firehose client on one connection: what an SDK would not let through
//! can be sent with it. It signs with Amazon's own implementation.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub struct Client {
    connection: SendRequest<Full<Bytes>>,
    host: String,
    key: Option<Credentials>,
    /// The client's clock.
    pub now: fn() -> SystemTime,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// `url` is `http://host:port`; `key` an id and its secret.
    pub async fn connect(url: &str, key: Option<(&str, &str)>) -> std::io::Result<Client> {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(driver);
        let key = key.map(|(id, secret)| Credentials::new(id, secret, None, None, "test"));
        Ok(Client {
            connection,
            host,
            key,
            now: SystemTime::now,
        })
    }

    pub async fn call(&mut self, operation: &str, body: Bytes) -> hyper::Result<Answer> {
        let target = format!("Firehose_20150804.{operation}");
        let headers = [
            ("host", self.host.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &target),
        ];
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request
            .body(Full::new(body.clone()))
            .expect("a valid request");
        if let Some(key) = &self.key {
            let identity = key.clone().into();
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region("eu-west-1")
                .name("firehose")
                .time((self.now)())
                .settings(SigningSettings::default())
                .build()
                .expect("all is set")
                .into();
            let url = format!("http://{}/", self.host);
            let body = SignableBody::Bytes(&body);
            let signable = SignableRequest::new("POST", url, headers.into_iter(), body);
            let signed = sign(signable.expect("a valid request"), &params).expect("signable");
            signed.into_parts().0.apply_to_request_http1x(&mut request);
        }
        self.connection.ready().await?;
        let (head, body) = self.connection.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// The body of a PutRecordBatch of these records.
pub fn batch(stream: &str, records: &[impl AsRef<[u8]>]) -> Bytes {
    let mut body = format!(r#"{{"DeliveryStreamName":"{stream}","Records":["#).into_bytes();
    for (index, record) in records.iter().enumerate() {
        body.extend_from_slice(if index == 0 {
            b"{\"Data\":\""
        } else {
            b",{\"Data\":\""
        });
        base64_simd::STANDARD.encode_append(record, &mut body);
        body.extend_from_slice(b"\"}");
    }
    body.extend_from_slice(b"]}");
    body.into()
}
