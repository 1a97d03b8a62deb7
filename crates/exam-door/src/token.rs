//! The page token: a grant signed with HMAC-SHA256, `<key id>.<grant>.<signature>`, the last two in
//! Base64 for URLs, the grant a JSON list. The plugin signs it when it shows a page.

use std::collections::BTreeMap;

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::Door;

/// Tokens longer than this are not looked at; one of 1,000 slots is about 20 kB.
const MAX_LENGTH: usize = 65_536;

/// What one page of one attempt may write, and as whom. Everything that ends up in a record's
/// envelope comes from here, never from the browser. The order of the members is the token's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Grant {
    /// The site's id in the stream.
    pub site: String,
    /// quiz_attempts.id.
    pub attempt: i64,
    /// The student.
    pub user: i64,
    /// quiz.id.
    pub quiz: i64,
    /// question_usages.id.
    pub usage: i64,
    /// The page this was made for: the part of a page instance that the server mints.
    pub page: String,
    /// Unix time from which nothing is taken any more.
    pub expires: i64,
    /// 1: this is a teacher's preview.
    pub preview: u8,
    /// Slot and question_attempts.id.
    pub slots: BTreeMap<i64, i64>,
    /// What is on besides answers, see [`crate::switch`]. A token from before an upgrade has none.
    #[serde(default)]
    pub switches: u32,
}

impl Grant {
    /// What a token grants at `now` (Unix seconds); `None`: it is forged, foreign, damaged or
    /// expired.
    pub fn verify(token: &str, door: &Door, now: f64) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (key, grant) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode_to_vec(signature).ok()?;
        let (_, secret) = door.keys.iter().find(|(id, _)| id == key)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(signed.as_bytes());
        mac.verify_slice(&signature).ok()?;

        // What follows was written by the plugin.
        let grant = URL_SAFE_NO_PAD.decode_to_vec(grant).ok()?;
        let mut grant: Self = serde_json::from_slice(&grant).ok()?;
        if grant.site != door.site || grant.expires as f64 <= now {
            return None;
        }
        grant.switches &= door.switches;
        Some(grant)
    }

    /// Whether one of the [switches](crate::switch) is on.
    pub fn has(&self, switch: u32) -> bool {
        self.switches & switch != 0
    }
}
