//! Names to addresses without the C library.
//!
//! glibc's resolver reads `RES_OPTIONS`, `LOCALDOMAIN` and more from the
//! environment whenever a thread first uses it, so this thread must not call
//! it. A Firehose endpoint needs little of it: `/etc/hosts`, then the
//! nameservers and search list of `/etc/resolv.conf`, A and AAAA. Other
//! sources of `nsswitch.conf` are not asked.

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// One question to one server (`timeout:` of resolv.conf defaults to 5 s;
/// a connect attempt as a whole has 3 s here).
const ONE_QUERY: Duration = Duration::from_millis(1_200);
const ATTEMPTS: usize = 2;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub hosts: String,
    pub conf: String,
    pub port: u16,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver {
            hosts: "/etc/hosts".into(),
            conf: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.resolve(name).await.map_err(ResolveDnsError::new) })
    }
}

impl Resolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let hosts = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let known: Vec<IpAddr> = hosts
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let address = words.next()?.parse().ok()?;
                words
                    .any(|w| w.eq_ignore_ascii_case(&name))
                    .then_some(address)
            })
            .collect();
        if !known.is_empty() {
            return Ok(known);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let conf = Conf::read(&self.conf);
        let mut last = io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no nameserver knows {name}; is it in DNS or {}?",
                self.hosts
            ),
        );
        for candidate in conf.candidates(&name) {
            for server in std::iter::repeat_n(&conf.servers, ATTEMPTS).flatten() {
                let server = SocketAddr::new(*server, self.port);
                let (v4, v6) = tokio::join!(
                    ask(server, &candidate, TYPE_A),
                    ask(server, &candidate, TYPE_AAAA)
                );
                match (v4, v6) {
                    (Err(error), Err(_)) => last = error,
                    (v4, v6) => {
                        let found: Vec<_> = v4.into_iter().chain(v6).flatten().collect();
                        if !found.is_empty() {
                            return Ok(found);
                        }
                        break; // answered: no such name; try the next candidate
                    }
                }
            }
        }
        Err(last)
    }
}

struct Conf {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl Conf {
    fn read(path: &str) -> Conf {
        let mut conf = Conf {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        };
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(
                    words
                        .next()
                        .and_then(|w| w.split('%').next()?.parse::<IpAddr>().ok()),
                ),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    if let Some(n) = words.find_map(|w| w.strip_prefix("ndots:")?.parse().ok()) {
                        conf.ndots = n;
                    }
                }
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(Ipv4Addr::LOCALHOST.into()); // as resolv.conf(5) says
        }
        conf
    }

    /// The names to try, in resolv.conf(5)'s order.
    fn candidates(&self, name: &str) -> Vec<String> {
        let mut names: Vec<_> = self.search.iter().map(|s| format!("{name}.{s}")).collect();
        let enough_dots = name.matches('.').count() >= self.ndots;
        names.insert(if enough_dots { 0 } else { names.len() }, name.to_owned());
        names
    }
}

/// One question; an answer that knows no address is an empty list.
async fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let id = fastrand::u16(..);
    let query = encode(id, name, kind)?;
    let answer = tokio::time::timeout(ONE_QUERY, async {
        let local: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(server).await?;
        socket.send(&query).await?;
        let mut answer = vec![0; 4096];
        loop {
            let len = socket.recv(&mut answer).await?;
            if len >= 12 && answer[..2] == query[..2] {
                answer.truncate(len);
                break;
            }
        }
        if answer[2] & 0x02 != 0 {
            // Truncated: the same question over TCP, with a length in front.
            let mut stream = TcpStream::connect(server).await?;
            stream.write_u16(query.len() as u16).await?;
            stream.write_all(&query).await?;
            let len = stream.read_u16().await?;
            answer = vec![0; len.into()];
            stream.read_exact(&mut answer).await?;
        }
        Ok::<_, io::Error>(answer)
    })
    .await
    .map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nameserver {server} is silent"),
        )
    })??;
    decode(&answer, kind)
        .ok_or_else(|| io::Error::other(format!("nameserver {server} could not answer for {name}")))
}

fn encode(id: u16, name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut query = Vec::with_capacity(name.len() + 18);
    query.extend(id.to_be_bytes());
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // recursion desired, one question
    for label in name.split('.') {
        match u8::try_from(label.len()) {
            Ok(len @ 1..=63) => query.push(len),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{name} is no host name"),
                ));
            }
        }
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    Ok(query)
}

/// The addresses of an answer; `None` if it is malformed or a server failure.
fn decode(answer: &[u8], kind: u16) -> Option<Vec<IpAddr>> {
    let short = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    // A name ends at a zero label or at a pointer to an earlier one.
    let after_name = |mut at: usize| loop {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            n if n >= 0xc0 => return Some(at + 2),
            n => at += 1 + usize::from(n),
        }
    };
    match answer.get(3)? & 0x0f {
        0 => {}
        3 => return Some(Vec::new()), // no such name
        _ => return None,
    }
    let mut at = 12;
    for _ in 0..short(4)? {
        at = after_name(at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..short(6)? {
        at = after_name(at)?;
        let (this, len) = (short(at)?, usize::from(short(at + 8)?));
        let data = answer.get(at + 10..at + 10 + len)?;
        if this == kind {
            found.push(match kind {
                TYPE_A => IpAddr::from(<[u8; 4]>::try_from(data).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(data).ok()?),
            });
        }
        at += 10 + len;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers `host.site.test` with a CNAME and 192.0.2.7, nothing else.
    async fn nameserver() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buf = [0; 512];
            loop {
                let (len, peer) = socket.recv_from(&mut buf).await.unwrap();
                let query = &buf[..len];
                let known = query[12..].starts_with(b"\x04host\x04site\x04test\0");
                let mut answer = query.to_vec();
                answer[2] = 0x81;
                answer[3] = if known { 0x80 } else { 0x83 };
                if known && query[len - 3] == TYPE_A as u8 {
                    answer[7] = 2;
                    answer.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x11");
                    answer.extend(b"\x01a\xc0\x11\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07");
                }
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn names_come_from_hosts_the_search_list_and_the_nameserver() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let resolver = Resolver {
            hosts: file("hosts", "10.1.2.3 a.test b.test # c.test\n::9 b.test\n"),
            conf: file(
                "resolv.conf",
                "nameserver 127.0.0.1\nsearch x.test site.test\n",
            ),
            port: nameserver().await,
        };
        let text = |ips: Vec<IpAddr>| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(
            text(resolver.resolve("B.test").await.unwrap()),
            ["10.1.2.3", "::9"]
        );
        assert_eq!(text(resolver.resolve("host").await.unwrap()), ["192.0.2.7"]);
        assert_eq!(
            text(resolver.resolve("host.site.test.").await.unwrap()),
            ["192.0.2.7"]
        );
        assert_eq!(
            text(resolver.resolve("localhost").await.unwrap()),
            ["127.0.0.1", "::1"]
        );
        let error = resolver.resolve("c.test").await.unwrap_err();
        assert!(error.to_string().contains("c.test"), "{error}");
    }

    #[test]
    fn a_malformed_answer_is_an_error_not_a_panic() {
        for len in 0..64 {
            for seed in 0..200 {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
                if len > 7 {
                    bytes[3] = 0;
                }
                let _ = decode(&bytes, TYPE_A);
            }
        }
        assert_eq!(decode(&[0; 3], TYPE_A), None);
    }
}
