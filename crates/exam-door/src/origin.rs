//! Where a request comes from, as marks that tell only whether it is the same as before in the same
//! attempt.
//!
//! A mark is a keyed hash: nobody can read an address or a browser from it, and the same address
//! has another mark in another attempt, so marks compare no two students.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a mark, which is written in hexadecimal digits.
const MARK: usize = 8;

/// How a request's address is read, and the key of its marks.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Stays: marks of one attempt are compared over hours.
    pub key: Vec<u8>,
    /// Headers that are not believed: bits of Moodle's `$CFG->getremoteaddrconf`.
    pub skip: i64,
    /// The site's proxies, single ones and with a prefix: Moodle's `$CFG->reverseproxyignore`.
    pub proxies: String,
}

/// A request's variables by their names in PHP's `$_SERVER`.
pub trait Headers {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// Of no address where there is none.
pub(crate) struct Marks {
    pub address: Option<String>,
    pub agent: String,
}

impl Origin {
    /// The marks of a request in an attempt.
    pub(crate) fn marks(&self, attempt: i64, headers: &impl Headers) -> Marks {
        let network = self.address(headers).map(network);
        let agent = headers.get("HTTP_USER_AGENT").unwrap_or_default();
        Marks {
            address: network.map(|of| self.mark(&[format!("{attempt} address {of}").as_bytes()])),
            agent: self.mark(&[format!("{attempt} agent ").as_bytes(), agent]),
        }
    }

    /// A keyed hash.
    fn mark(&self, of: &[&[u8]]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        for part in of {
            mac.update(part);
        }
        hex::encode(&mac.finalize().into_bytes()[..MARK])
    }

    /// The address of the browser, from where the site says that it is to be read.
    fn address(&self, headers: &impl Headers) -> Option<IpAddr> {
        for (bit, name) in [(1, "HTTP_CLIENT_IP"), (2, "HTTP_X_FORWARDED_FOR")] {
            let value = headers.get(name).filter(|value| !value.is_empty());
            if let Some(value) = value.filter(|_| self.skip & bit == 0) {
                // Whatever stands before the last one may have been sent by the browser itself.
                return std::str::from_utf8(value)
                    .ok()?
                    .rsplit(',')
                    .map(|address| without_port(address.trim()).parse::<IpAddr>().ok())
                    .find(|address| !address.is_some_and(|address| self.is_proxy(address)))?;
            }
        }
        let remote = headers.get("REMOTE_ADDR")?;
        std::str::from_utf8(remote).ok()?.parse().ok()
    }

    /// Whether an address is one of the site's proxies.
    fn is_proxy(&self, address: IpAddr) -> bool {
        let address = octets(address);
        self.proxies.split(',').map(str::trim).any(|proxy| {
            let (network, prefix) = proxy
                .split_once('/')
                .map_or((proxy, None), |(network, bits)| (network, Some(bits)));
            let Ok(network) = network.parse::<IpAddr>().map(octets) else {
                return false;
            };
            let whole = 8 * network.len();
            let Ok(bits) = prefix.map_or(Ok(whole), str::parse) else {
                return false;
            };
            let (bytes, rest) = (bits / 8, bits % 8);
            network.len() == address.len()
                && bits <= whole
                && network[..bytes] == address[..bytes]
                && (rest == 0 || (network[bytes] ^ address[bytes]) >> (8 - rest) == 0)
        })
    }
}

/// An address without port and brackets.
fn without_port(address: &str) -> &str {
    if let Some((address, _)) = address
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return address;
    }
    match address.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => address,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What of an address stays the same while nothing changes: of IPv6 the network, because browsers
/// change the rest of it by themselves, for privacy.
fn network(address: IpAddr) -> String {
    let octets = octets(address.to_canonical());
    hex::encode(&octets[..octets.len().min(8)])
}
