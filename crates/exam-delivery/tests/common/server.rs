//! A bare HTTP/1.1 server: answers each request as a function says.
#![allow(dead_code)] // each test binary uses its own part

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub struct Request {
    /// Request line and headers, names in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|l| l.starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim())
    }
}

/// Status and body; `None` hangs until the connection is given up.
pub type Reply = Option<(u16, String)>;
pub type Answer = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// Serves on a thread of its own until the process ends.
pub fn serve(tls: bool, answer: impl Fn(Request) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Answer = Arc::new(answer);
    let acceptor = tls.then(|| {
        let file = |name| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let thread = std::thread::Builder::new().name("server".into());
    let serving = thread.spawn(move || {
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (answer, acceptor) = (answer.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => talk(socket, answer).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => talk(stream, answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        })
    });
    serving.unwrap();
    address
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) -> Option<()> {
    let mut buf: Vec<u8> = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buf).await.ok()? == 0 {
                return None;
            }
        };
        let text = std::str::from_utf8(&buf[..end]).ok()?;
        let head: String = text
            .lines()
            .map(|line| match line.split_once(": ") {
                Some((name, value)) => format!("{}: {value}\n", name.to_ascii_lowercase()),
                None => format!("{line}\n"),
            })
            .collect();
        let mut request = Request {
            head,
            body: Vec::new(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |l| l.parse().unwrap());
        buf.reserve((end + length).saturating_sub(buf.len()));
        while buf.len() < end + length {
            stream.read_buf(&mut buf).await.ok()?;
        }
        request.body = buf[end..end + length].to_vec();
        buf.drain(..end + length);
        match answer(request) {
            None => std::future::pending().await,
            Some((status, body)) => {
                let reply = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(reply.as_bytes()).await.ok()?;
            }
        }
    }
}

/// Firehose's answer to a call: an entry per record, `failed` of them (the first) not taken.
pub fn taken(records: usize, failed: usize) -> Reply {
    let entries: Vec<String> = (0..records)
        .map(|n| match n < failed {
            true => {
                r#"{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"slow down"}"#.into()
            }
            false => format!(r#"{{"RecordId":"id{n}"}}"#),
        })
        .collect();
    Some((
        200,
        format!(
            r#"{{"FailedPutCount":{failed},"Encrypted":false,"RequestResponses":[{}]}}"#,
            entries.join(",")
        ),
    ))
}

pub fn refused(code: &str) -> Reply {
    Some((
        400,
        format!(r#"{{"__type":"{code}","message":"scripted"}}"#),
    ))
}
