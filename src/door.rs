//! `exam_stream_admit()`: PHP's arrays to `exam-door` and back.

use exam_door::{Admitted, Call, Door, Grant, Headers, Limits, Origin, Refusal};
use exam_record::MAX_RECORD;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::types::{ZendHashTable, Zval};

/// `$_SERVER`.
pub struct Server<'a>(pub &'a ZendHashTable);

impl Headers for Server<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        bytes(self.0, name)
    }
}

/// What the site says of its doors; `Err`: what is missing in it.
pub fn settings(door: &ZendHashTable) -> std::result::Result<Door<'_>, String> {
    let missing = |what: &str, kind: &str| format!("must have {kind} in {what}");
    let limits = array(door, "limits").ok_or_else(|| missing("limits", "an array"))?;
    let client = array(door, "client").ok_or_else(|| missing("client", "an array"))?;
    let limit = |name: &str| {
        number(limits, name)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or_else(|| missing(&format!("limits, {name}"), "a number from 0 on"))
    };
    Ok(Door {
        site: text(door, "site").ok_or_else(|| missing("site", "a string"))?,
        limits: Limits {
            body: limit("maxbody")?,
            record: limit("maxrecord")?.min(MAX_RECORD),
            fields: limit("maxfields")?,
        },
        switches: number(door, "switches")
            .and_then(|bits| u32::try_from(bits).ok())
            .ok_or_else(|| missing("switches", "a number from 0 on"))?,
        origin: Origin {
            key: bytes(client, "key").ok_or_else(|| missing("client, key", "a string"))?,
            skip: number(client, "skip").ok_or_else(|| missing("client, skip", "a number"))?,
            proxies: text(client, "proxies")
                .ok_or_else(|| missing("client, proxies", "a string"))?,
        },
    })
}

/// The secret of a key id, of `keys` in the settings.
pub fn secret<'a>(door: &'a ZendHashTable, key: &str) -> Option<&'a [u8]> {
    bytes(array(door, "keys")?, key)
}

/// `[200, {attempt, lines, help}]`.
pub fn admitted(admitted: &Admitted) -> Result<Zval> {
    let Admitted { grant, lines, help } = admitted;
    let mut list = ZendHashTable::with_capacity(u32::try_from(lines.len())?);
    for line in lines {
        list.push(&line[..])?;
    }
    let mut what = ZendHashTable::new();
    what.insert("attempt", grant.attempt)?;
    what.insert("lines", list)?;
    if let Some(help) = help {
        let mut calls = ZendHashTable::new();
        for Call { index, id, call } in &help.calls {
            let mut step = ZendHashTable::new();
            step.insert("index", i64::try_from(*index)?)?;
            step.insert("id", &id[..])?;
            step.insert("call", call.as_deref())?;
            calls.push(step)?;
        }
        let mut desk = ZendHashTable::new();
        desk.insert("grant", granted(grant)?)?;
        desk.insert("calls", calls)?;
        desk.insert("known", help.known.as_deref())?;
        what.insert("help", desk)?;
    }
    reply(200, what)
}

/// `[HTTP status, body]`.
pub fn refused(refusal: &Refusal) -> Result<Zval> {
    let mut body = ZendHashTable::new();
    body.insert("error", refusal.error())?;
    if let Refusal::Bad { index, message } = refusal {
        body.insert("index", index.map_or(Ok(-1), i64::try_from)?)?;
        body.insert("message", &message[..])?;
    }
    reply(refusal.status(), body)
}

fn reply(status: u16, body: ZBox<ZendHashTable>) -> Result<Zval> {
    let mut reply = ZendHashTable::with_capacity(2);
    reply.push(status)?;
    reply.push(body)?;
    reply.into_zval(false)
}

/// A grant by its members' names.
fn granted(grant: &Grant) -> Result<ZBox<ZendHashTable>> {
    let mut slots = ZendHashTable::new();
    for (&slot, &qa) in &grant.slots {
        slots.insert_at_index(slot, qa)?;
    }
    let mut members = ZendHashTable::new();
    members.insert("site", &grant.site[..])?;
    members.insert("attempt", grant.attempt)?;
    members.insert("user", grant.user)?;
    members.insert("quiz", grant.quiz)?;
    members.insert("usage", grant.usage)?;
    members.insert("slots", slots)?;
    members.insert("page", &grant.page[..])?;
    members.insert("expires", grant.expires)?;
    members.insert("preview", grant.preview != 0)?;
    members.insert("switches", i64::from(grant.switches))?;
    Ok(members)
}

fn member<'a>(table: &'a ZendHashTable, name: &str) -> Option<&'a Zval> {
    Some(table.get(name)?.dereference())
}

fn array<'a>(table: &'a ZendHashTable, name: &str) -> Option<&'a ZendHashTable> {
    member(table, name)?.array()
}

fn bytes<'a>(table: &'a ZendHashTable, name: &str) -> Option<&'a [u8]> {
    Some(member(table, name)?.zend_str()?.as_bytes())
}

fn text<'a>(table: &'a ZendHashTable, name: &str) -> Option<&'a str> {
    std::str::from_utf8(bytes(table, name)?).ok()
}

fn number(table: &ZendHashTable, name: &str) -> Option<i64> {
    member(table, name)?.long()
}
