//! AWS Signature Version 4, the server's side: is this request signed with our key?
//!
//! The signature covers the body as it was received (its SHA-256 is computed
//! here, never taken from a header). Signatures in the query string are not
//! accepted: no client of Firehose uses them.

use std::fmt::Write;

use hyper::HeaderMap;
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::api::ApiError;
use crate::clock;

/// As far may a client's clock be off, either way.
const SKEW: u64 = 5 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The one key that may sign.
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// What the Authorization header states.
struct Claim<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl Key {
    /// Refuses a request that is not signed with this key, now (seconds since 1970).
    pub fn check(&self, request: &Parts, body: &[u8], now: u64) -> Result<(), ApiError> {
        let claim = claim(&request.headers)?;
        if claim.key_id != self.id {
            return Err(ApiError::client(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        let time = header(&request.headers, "x-amz-date")
            .ok_or_else(|| incomplete("Authorization header requires existence of 'X-Amz-Date'"))?;
        let seconds = clock::parse_compact(&time)
            .ok_or_else(|| incomplete(&format!("'{time}' is no date in 'X-Amz-Date'")))?;
        let signed = |name| claim.signed_headers.split(';').any(|h| h == name);
        if !time.starts_with(claim.date) || !signed("host") || !signed("x-amz-date") {
            return Err(incomplete(
                "Credential's date, 'host' and 'x-amz-date' must be signed",
            ));
        }
        let expected = hex::encode(self.signature(&claim, &time, request, body));
        if !equal_in_constant_time(expected.as_bytes(), claim.signature.as_bytes()) {
            return Err(ApiError::client(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. \
                 Consult the service documentation for details.",
            ));
        }
        // Last, as it tells our time: only who holds the key is told.
        if seconds + SKEW < now {
            let (now, limit) = (clock::compact(now), clock::compact(now - SKEW));
            return Err(ApiError::client(
                "InvalidSignatureException",
                format!("Signature expired: {time} is now earlier than {limit} ({now} - 5 min.)"),
            ));
        }
        if seconds > now + SKEW {
            let (now, limit) = (clock::compact(now), clock::compact(now + SKEW));
            return Err(ApiError::client(
                "InvalidSignatureException",
                format!(
                    "Signature not yet current: {time} is still later than {limit} ({now} + 5 min.)"
                ),
            ));
        }
        Ok(())
    }

    fn signature(&self, claim: &Claim<'_>, time: &str, request: &Parts, body: &[u8]) -> [u8; 32] {
        let canonical = canonical_request(request, claim.signed_headers, body);
        let scope = format!(
            "{}/{}/{}/aws4_request",
            claim.date, claim.region, claim.service
        );
        let hash = hex::encode(Sha256::digest(canonical));
        let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
        let mut key = hmac(
            format!("AWS4{}", self.secret).as_bytes(),
            claim.date.as_bytes(),
        );
        for part in [claim.region, claim.service, "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        hmac(&key, to_sign.as_bytes())
    }
}

fn incomplete(message: &str) -> ApiError {
    ApiError::client("IncompleteSignatureException", message)
}

fn claim(headers: &HeaderMap) -> Result<Claim<'_>, ApiError> {
    let Some(header) = headers.get("authorization") else {
        return Err(ApiError::client(
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ));
    };
    let parse = || {
        let fields = header.to_str().ok()?.strip_prefix(ALGORITHM)?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|f| f.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = field("Credential")?.split('/');
        let claim = Claim {
            key_id: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers: field("SignedHeaders")?,
            signature: field("Signature")?,
        };
        (scope.next() == Some("aws4_request") && scope.next().is_none()).then_some(claim)
    };
    parse().ok_or_else(|| {
        incomplete(&format!(
            "Authorization header must be '{ALGORITHM} Credential=KEY/DATE/REGION/SERVICE/aws4_request, \
             SignedHeaders=…, Signature=…'"
        ))
    })
}

fn canonical_request(request: &Parts, signed_headers: &str, body: &[u8]) -> String {
    let mut text = format!("{}\n{}\n", request.method, request.uri.path());
    let mut query: Vec<&str> = request
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|q| !q.is_empty())
        .collect();
    query.sort_unstable();
    let _ = writeln!(text, "{}", query.join("&"));
    for name in signed_headers.split(';') {
        let value = header(&request.headers, name).unwrap_or_default();
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(
        text,
        "\n{signed_headers}\n{}",
        hex::encode(Sha256::digest(body))
    );
    text
}

/// A header's values, trimmed, inner spaces collapsed, joined by commas.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let one = |value: &hyper::header::HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let values: Vec<String> = headers.get_all(name).iter().map(one).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|b| b ^ 0x36))
        .chain_update(message);
    let outer = Sha256::new().chain_update(block.map(|b| b ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of AWS's signing documentation (iam ListUsers, 2015-08-30).
    fn example() -> (Key, Parts) {
        let key = Key {
            id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        };
        let (parts, ()) = hyper::Request::get("/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, \
                 Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            )
            .body(())
            .unwrap()
            .into_parts();
        (key, parts)
    }

    const NOW: u64 = 1_440_938_160;

    #[test]
    fn the_documented_example_is_accepted_within_five_minutes() {
        let (key, parts) = example();
        for now in [NOW, NOW - SKEW, NOW + SKEW] {
            assert!(key.check(&parts, b"", now).is_ok());
        }
        for (now, says) in [
            (NOW + SKEW + 1, "expired"),
            (NOW - SKEW - 1, "not yet current"),
        ] {
            let error = key.check(&parts, b"", now).unwrap_err();
            assert!(error.message.contains(says), "{}", error.message);
        }
    }

    #[test]
    fn any_change_is_refused() {
        let (mut key, mut parts) = example();
        let code =
            |key: &Key, parts: &Parts, body: &[u8]| key.check(parts, body, NOW).unwrap_err().code;
        assert_eq!(code(&key, &parts, b"x"), "InvalidSignatureException");
        key.secret.push('x');
        assert_eq!(code(&key, &parts, b""), "InvalidSignatureException");
        key.id.push('x');
        assert_eq!(code(&key, &parts, b""), "UnrecognizedClientException");
        parts
            .headers
            .insert("authorization", "Bearer x".parse().unwrap());
        assert_eq!(code(&key, &parts, b""), "IncompleteSignatureException");
        parts.headers.remove("authorization");
        assert_eq!(
            code(&key, &parts, b""),
            "MissingAuthenticationTokenException"
        );
    }

    #[test]
    fn hmac_is_rfc_4231s() {
        let tag = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(
            tag,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let tag = hex::encode(hmac(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        ));
        assert_eq!(
            tag,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
