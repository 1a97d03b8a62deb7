//! `exam_stream_admit()` and its like: PHP's arrays to `exam-door` and back.

use std::cell::OnceCell;
use std::ptr;

use exam_door::{Admitted, Call, Door, Grant, Headers, Limits, Origin, Refusal};
use exam_record::MAX_RECORD;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::ffi::zend_is_auto_global;
use ext_php_rs::types::{ArrayKey, ZendHashTable, ZendStr, Zval};
use ext_php_rs::zend::ProcessGlobals;

/// `$_SERVER` as PHP code has it.
pub struct Given<'a>(pub &'a ZendHashTable);

impl Headers for Given<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        bytes(self.0, name)
    }
}

/// `$_SERVER` of the request that is running. PHP fills it when it is first asked for, and most
/// requests do not ask.
#[derive(Default)]
pub struct Running(OnceCell<Option<*const ZendHashTable>>);

impl Headers for Running {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let table = self.0.get_or_init(|| {
            let mut name = ZendStr::new("_SERVER", false);
            // Here and not by `http_server_vars`, which looks at what it has borrowed before and
            // after, and so may not see that it was filled.
            // SAFETY: the name outlives the call; on PHP's thread, in a request.
            unsafe { zend_is_auto_global(name.as_mut_ptr()) };
            ProcessGlobals::get().http_server_vars().map(ptr::from_ref)
        });
        // SAFETY: PHP's own array, which stays to the end of the request; nothing changes it while
        // a function of ours runs.
        bytes(unsafe { (*table)?.as_ref()? }, name)
    }
}

/// What the site says of its doors; `Err`: what is missing in it.
pub fn settings(door: &ZendHashTable) -> std::result::Result<Door, String> {
    let missing = |what: &str, kind: &str| format!("must have {kind} in {what}");
    let keys = array(door, "keys").ok_or_else(|| missing("keys", "an array"))?;
    let limits = array(door, "limits").ok_or_else(|| missing("limits", "an array"))?;
    let client = array(door, "client").ok_or_else(|| missing("client", "an array"))?;
    let string = |table: &ZendHashTable, name: &str, what: &str| {
        text(table, name).ok_or_else(|| missing(what, "a string"))
    };
    let limit = |name: &str| {
        number(limits, name)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or_else(|| missing(&format!("limits, {name}"), "a number from 0 on"))
    };
    let key = |(id, secret): (ArrayKey<'_>, &Zval)| {
        let secret = secret.dereference().zend_str();
        let secret = secret.ok_or_else(|| missing(&format!("keys, {id}"), "a string"))?;
        Ok((id.to_string(), secret.as_bytes().to_vec()))
    };
    Ok(Door {
        site: string(door, "site", "site")?,
        keys: keys
            .iter()
            .map(key)
            .collect::<std::result::Result<_, String>>()?,
        limits: Limits {
            body: limit("maxbody")?,
            record: limit("maxrecord")?.min(MAX_RECORD),
            fields: limit("maxfields")?,
        },
        switches: number(door, "switches")
            .and_then(|bits| u32::try_from(bits).ok())
            .ok_or_else(|| missing("switches", "a number from 0 on"))?,
        origin: Origin {
            key: string(client, "key", "client, key")?.into_bytes(),
            skip: number(client, "skip").ok_or_else(|| missing("client, skip", "a number"))?,
            proxies: string(client, "proxies", "client, proxies")?,
        },
    })
}

/// When the file that says it was written, in Unix seconds.
pub fn written(door: &ZendHashTable) -> Option<i64> {
    number(door, "written")
}

/// `[status, {attempt, now, lines, help}]`.
pub fn admitted(status: Option<u16>, admitted: &Admitted, now: f64) -> Result<Zval> {
    let Admitted { grant, lines, help } = admitted;
    let mut list = ZendHashTable::with_capacity(u32::try_from(lines.len())?);
    for line in lines {
        list.push(&line[..])?;
    }
    let mut what = ZendHashTable::new();
    what.insert("attempt", grant.attempt)?;
    what.insert("now", now)?;
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
    reply(status, what.into_zval(false)?)
}

/// `[HTTP status, body]`.
pub fn refused(refusal: &Refusal) -> Result<Zval> {
    let mut body = ZendHashTable::new();
    body.insert("error", refusal.error())?;
    if let Refusal::Bad { index, message } = refusal {
        body.insert("index", index.map_or(Ok(-1), i64::try_from)?)?;
        body.insert("message", &message[..])?;
    }
    reply(Some(refusal.status()), body.into_zval(false)?)
}

/// `[200, body]`, or `[503, body]` where not all were accepted. The body is JSON.
pub fn accepted(saved: usize, of: usize, now: f64) -> Result<Zval> {
    let (status, body) = if saved == of {
        (200, format!(r#"{{"now":{now:.6},"saved":{saved}}}"#))
    } else {
        (503, format!(r#"{{"error":"full","saved":{saved}}}"#))
    };
    reply(Some(status), body.into_zval(false)?)
}

fn reply(status: Option<u16>, body: Zval) -> Result<Zval> {
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

fn text(table: &ZendHashTable, name: &str) -> Option<String> {
    String::from_utf8(bytes(table, name)?.to_vec()).ok()
}

fn number(table: &ZendHashTable, name: &str) -> Option<i64> {
    member(table, name)?.long()
}
