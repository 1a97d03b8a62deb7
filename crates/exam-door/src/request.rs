//! From what a browser sent to the lines that go into the stream.

use std::fmt::{self, Write};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::origin::Headers;
use crate::{Door, Grant, Refusal, switch};

/// Bytes of a request. A site may set less.
pub const MAX_BODY: usize = 1 << 20;

/// Records in one request. An outbox that holds more sends the rest afterwards.
pub const MAX_RECORDS: usize = 500;

/// Characters of a text of a call for help.
pub const MAX_TEXT: usize = 10_000;

/// Totals in one sign of life.
const MAX_COUNTS: usize = 32;

/// The greatest counter of a page; it is an integer in every language the record passes through.
const MAX_SEQ: i64 = 1_000_000_000;

/// How far ahead of the server a page of the same attempt may have been minted by another web
/// server, in microseconds.
const CLOCK_SKEW: u64 = 5_000_000;

/// The totals that a sign of life brings, and the switch that each needs.
const COUNTS: [(&str, u32); 6] = [
    ("hidden", switch::HIDDEN),
    ("hidden_s", switch::HIDDEN),
    ("pasted", switch::CLIPBOARD),
    ("copied", switch::CLIPBOARD),
    ("offline", switch::CONNECTION),
    ("offline_s", switch::CONNECTION),
];

/// What one request, one record and one answer may have at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request.
    pub body: usize,
    /// Bytes of a record.
    pub record: usize,
    /// Fields of an answer.
    pub fields: usize,
}

/// What a request may write.
#[derive(Debug)]
pub struct Admitted {
    pub grant: Grant,
    /// One JSON line per record, in the order of the request.
    pub lines: Vec<String>,
    /// What is between the request and the help desk, if it is.
    pub help: Option<Help>,
}

/// What a request says to the help desk or asks of it.
#[derive(Debug, Default)]
pub struct Help {
    /// Which of the records are steps of calls.
    pub calls: Vec<Call>,
    /// The tag of the news that the page has; `None`: it asks for none.
    pub known: Option<String>,
}

/// A student's step: asked, or withdrawn where it names a call.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Of the record in the request.
    pub index: usize,
    /// Of the record.
    pub id: String,
    pub call: Option<String>,
}

#[derive(Deserialize)]
struct Request<'a> {
    token: Option<Value>,
    sent: Option<Value>,
    help: Option<Value>,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Record<'a> {
    r#type: Option<Value>,
    page: Option<Value>,
    seq: Option<Value>,
    at: Option<Value>,
    slot: Option<Value>,
    qa: Option<Value>,
    status: Option<Value>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow)]
    counts: Option<&'a RawValue>,
    device: Option<Value>,
    call: Option<Value>,
    text: Option<Value>,
}

/// What a request may write, received at `now` (Unix seconds), and which of the doors its token
/// opens.
///
/// `request` is `{"token": …, "sent": …, "help": …, "records": […]}`; `token` stands in for the one
/// in it where the caller knows who asks.
pub fn admit<'d, D: AsRef<Door>>(
    request: &[u8],
    token: Option<&str>,
    doors: impl IntoIterator<Item = &'d D>,
    headers: &impl Headers,
    now: f64,
) -> Result<(Admitted, &'d D), Refusal> {
    let bytes = request.len();
    if bytes > MAX_BODY {
        return Err(Refusal::TooLarge);
    }
    let request: Request<'_> = std::str::from_utf8(request)
        .ok()
        .and_then(|text| object(text).ok())
        .ok_or_else(|| Refusal::Bad {
            index: None,
            message: "The request is not a JSON object with records.".to_owned(),
        })?;
    let token = token.or(request.token.as_ref().and_then(Value::as_str));
    let token = token.ok_or(Refusal::Token)?;
    let (grant, opened) = doors
        .into_iter()
        .find_map(|door| Some((Grant::verify(token, door.as_ref(), now)?, door)))
        .ok_or(Refusal::Token)?;
    let door = opened.as_ref();
    if bytes > door.limits.body {
        return Err(Refusal::TooLarge);
    }
    if request.records.len() > MAX_RECORDS {
        return Err(Refusal::TooLarge);
    }

    let desk = grant.has(switch::HELPDESK);
    let known = request.help.filter(|_| desk).map(|tag| match tag {
        Value::String(tag) => tag,
        _ => String::new(),
    });
    let mut calls = Vec::new();
    let mut lines = Vec::with_capacity(request.records.len());
    let maker = Maker {
        grant: &grant,
        door,
        headers,
        now: microseconds(now),
        minted: minted(&grant.page),
        sent: time(request.sent.as_ref()),
    };
    for (index, record) in request.records.iter().enumerate() {
        let bad = |message| Refusal::Bad {
            index: Some(index),
            message,
        };
        let (line, call) = maker.line(record.get()).map_err(bad)?;
        if line.len() > door.limits.record {
            let most = door.limits.record;
            return Err(bad(format!("The record is larger than {most} bytes.")));
        }
        lines.push(line);
        calls.extend(call.map(|(id, call)| Call { index, id, call }));
    }
    let help = (known.is_some() || !calls.is_empty()).then_some(Help { calls, known });
    Ok((Admitted { grant, lines, help }, opened))
}

/// What all lines of a request have in common. Times are microseconds since 1970, UTC.
struct Maker<'a, H> {
    grant: &'a Grant,
    door: &'a Door,
    headers: &'a H,
    now: u64,
    minted: u64,
    sent: Option<u64>,
}

/// Why a record is refused, for the developer's console.
type Refused = String;

/// The id of a step's record, and the call it names.
type Step = (String, Option<String>);

impl<H: Headers> Maker<'_, H> {
    /// The line of a record.
    fn line(&self, record: &str) -> Result<(String, Option<Step>), Refused> {
        let record: Record<'_> =
            object(record).map_err(|e| format!("A record is a JSON object: {e}."))?;
        let kind = record.r#type.as_ref().and_then(Value::as_str);
        let kind = kind.filter(|kind| ["answer", "alive", "help"].contains(kind));
        let kind = kind.ok_or("A browser does not send this type.")?;
        let (mut line, id) = self.envelope(&record, kind)?;
        let step = match kind {
            "answer" => {
                self.answer(&mut line, &record)?;
                None
            }
            "alive" => {
                self.sign(&mut line, &record)?;
                None
            }
            _ => {
                let call = self.step(&mut line, &record, &id)?;
                Some((id, call))
            }
        };
        line.push('}');
        Ok((line, step))
    }

    /// What every record says, and its id: the same whenever it is sent again.
    fn envelope(&self, record: &Record<'_>, kind: &str) -> Result<(String, String), Refused> {
        let page = record.page.as_ref().and_then(Value::as_str);
        let page = page.filter(|page| is_instance(page));
        let page = page.ok_or("This is not the name of a page instance.")?;
        // The outbox may hold records of an earlier page of the attempt, never of one that is
        // still to be minted.
        let minted = minted(page);
        if minted > self.minted.saturating_add(CLOCK_SKEW) {
            return Err("The page is younger than its token.".to_owned());
        }
        let seq = record.seq.as_ref().and_then(Value::as_i64);
        let seq = seq
            .filter(|seq| (0..=MAX_SEQ).contains(seq))
            .ok_or_else(|| format!("The counter is not a whole number from 0 to {MAX_SEQ}."))?;
        let at = time(record.at.as_ref())
            .ok_or("The time of the edit is not a number of seconds.")?
            .max(minted)
            .min(self.now);

        let Grant {
            site,
            attempt,
            user,
            quiz,
            usage,
            ..
        } = self.grant;
        let id = format!("{attempt}-{page}-{seq}");
        // Most answers fit, so that the line is written in one place.
        let mut line = String::with_capacity(512);
        line.push_str(r#"{"ts":"#);
        push_time(&mut line, self.now);
        line.push_str(r#","at":"#);
        push_time(&mut line, at);
        if let Some(sent) = self.sent {
            line.push_str(r#","sent":"#);
            push_time(&mut line, sent);
        }
        line.push_str(r#","v":1"#);
        member(&mut line, "id", &id);
        member(&mut line, "type", kind);
        line.push_str(r#","site":"#);
        push_string(&mut line, site);
        number(&mut line, "quiz", *quiz);
        number(&mut line, "attempt", *attempt);
        number(&mut line, "usage", *usage);
        number(&mut line, "student_id", *user);
        member(&mut line, "page", page);
        number(&mut line, "seq", seq);
        if self.grant.preview != 0 {
            line.push_str(r#","preview":true"#);
        }
        Ok((line, id))
    }

    /// What an answer says.
    fn answer(&self, line: &mut String, record: &Record<'_>) -> Result<(), Refused> {
        let qa = record.qa.as_ref().and_then(Value::as_i64);
        let slot = record.slot.as_ref().and_then(Value::as_i64);
        let slot = slot.filter(|slot| qa.is_some() && self.grant.slots.get(slot) == qa.as_ref());
        let (Some(slot), Some(qa)) = (slot, qa) else {
            return Err("The slot or its question is not one of this page.".to_owned());
        };
        let status = record.status.as_ref().and_then(Value::as_i64);
        let status = status.filter(|status| [0, 1].contains(status));
        let status = status.ok_or("The status is 0 or 1.")?;

        // Names come without the prefix of usage and slot, so no name can reach outside of them.
        let most = self.door.limits.fields;
        let fields = record
            .fields
            .and_then(members)
            .filter(|fields| (1..=most).contains(&fields.len()))
            .ok_or_else(|| format!("An answer has from 1 to {most} fields."))?;
        number(line, "slot", slot);
        number(line, "qa", qa);
        number(line, "status", status);
        line.push_str(r#","fields":{"#);
        for (i, (name, value)) in fields.iter().enumerate() {
            let Value::String(value) = value else {
                return Err("The value of a field is a string.".to_owned());
            };
            if !is_field(name) {
                return Err("A field is not one of this slot.".to_owned());
            }
            line.push_str(if i == 0 { "\"" } else { ",\"" });
            line.push_str(name);
            line.push_str("\":");
            push_string(line, value);
        }
        line.push('}');
        Ok(())
    }

    /// What a sign of life says, of that what is switched on.
    fn sign(&self, line: &mut String, record: &Record<'_>) -> Result<(), Refused> {
        let counts = record
            .counts
            .map_or_else(|| Some(Vec::new()), members)
            .filter(|counts| counts.len() <= MAX_COUNTS)
            .ok_or_else(|| format!("A sign of life has at most {MAX_COUNTS} totals."))?;
        line.push_str(r#","counts":{"#);
        let mut comma = "";
        for (name, count) in &counts {
            let count = count.as_i64().filter(|&count| count >= 0 && is_total(name));
            let count = count.ok_or("A total has a short name and is a whole number.")?;
            let on = |&(total, switch): &(&str, u32)| total == name && self.grant.has(switch);
            if COUNTS.iter().any(on) {
                let _ = write!(line, r#"{comma}"{name}":{count}"#);
                comma = ",";
            }
        }
        line.push('}');
        if let Some(device) = record
            .device
            .as_ref()
            .filter(|_| self.grant.has(switch::DEVICE))
        {
            let hex = |device: &&str| (1..=32).contains(&device.len()) && is_hex(device);
            let device = device.as_str().filter(hex);
            let device = device.ok_or("A device has a hexadecimal number.")?;
            member(line, "device", device);
        }
        if self.grant.has(switch::ADDRESS) {
            let marks = self.door.origin.marks(self.grant.attempt, self.headers);
            if let Some(address) = marks.address {
                member(line, "address", &address);
            }
            member(line, "agent", &marks.agent);
        }
        Ok(())
    }

    /// What the student's step of a call for help says: asked, or withdrawn if it names a call.
    fn step(
        &self,
        line: &mut String,
        record: &Record<'_>,
        id: &str,
    ) -> Result<Option<String>, Refused> {
        if !self.grant.has(switch::HELPDESK) {
            return Err("There is no help desk.".to_owned());
        }
        if let Some(call) = &record.call {
            let call = call.as_str().filter(|call| self.is_id(call));
            let call = call.ok_or("The call is not one of this attempt.")?;
            member(line, "call", call);
            member(line, "step", "closed");
            number(line, "by", self.grant.user);
            return Ok(Some(call.to_owned()));
        }
        let text = match &record.text {
            None => Some(""),
            Some(text) => text
                .as_str()
                .filter(|text| text.chars().count() <= MAX_TEXT),
        };
        let text = text.ok_or_else(|| format!("A text has at most {MAX_TEXT} characters."))?;
        member(line, "call", id);
        member(line, "step", "asked");
        number(line, "by", self.grant.user);
        if let Some(slot) = &record.slot {
            let slot = slot
                .as_i64()
                .filter(|slot| self.grant.slots.contains_key(slot));
            number(
                line,
                "slot",
                slot.ok_or("The slot is not one of this page.")?,
            );
        }
        line.push_str(r#","text":"#);
        push_string(line, text);
        Ok(None)
    }

    /// Whether this may be the id of a record that a browser sent of this attempt.
    fn is_id(&self, id: &str) -> bool {
        let of_attempt = |rest: &str| {
            let (page, seq) = rest.rsplit_once('-')?;
            let digits = (1..=10).contains(&seq.len()) && seq.bytes().all(|b| b.is_ascii_digit());
            Some(digits && is_instance(page))
        };
        id.strip_prefix(&format!("{}-", self.grant.attempt))
            .and_then(of_attempt)
            .unwrap_or(false)
    }
}

/// Reads a JSON object, and nothing but an object: serde takes a list for a struct, too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
    } else {
        Err(serde::de::Error::custom("it does not begin with {"))
    }
}

/// The members of an object in their order; `None`: it is no object, or names one twice.
fn members(json: &RawValue) -> Option<Vec<(String, Value)>> {
    struct Members(Vec<(String, Value)>);

    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;

            impl<'de> Visitor<'de> for Collect {
                type Value = Members;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }

            deserializer.deserialize_map(Collect)
        }
    }

    let Members(members) = serde_json::from_str(json.get()).ok()?;
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &name[..]).collect();
    names.sort_unstable();
    names
        .windows(2)
        .all(|pair| pair[0] != pair[1])
        .then_some(())?;
    Some(members)
}

/// A number of seconds that a time may be, in microseconds.
fn time(value: Option<&Value>) -> Option<u64> {
    let seconds = value?.as_f64()?;
    (0.0..1e11)
        .contains(&seconds)
        .then(|| microseconds(seconds))
}

/// The nearest whole microsecond.
fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6 + 0.5) as u64
}

/// When a page was minted, from its name or that of its instance.
fn minted(page: &str) -> u64 {
    let digits = page.get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

/// Whether this is the name of a page instance: `<minted µs, 16 hex digits>-<8 random>.<8 of the
/// running script>`.
fn is_instance(page: &str) -> bool {
    let part = |from: usize, to: usize| page.get(from..to).is_some_and(is_hex);
    page.len() == 34
        && part(0, 16)
        && page.as_bytes()[16] == b'-'
        && part(17, 25)
        && page.as_bytes()[25] == b'.'
        && part(26, 34)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this may be a field of one slot: a name without the prefix `q<usage>:`, of characters
/// that need no escape in JSON.
fn is_field(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    let digits =
        |name: &str| name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let prefixed = name
        .strip_prefix('q')
        .is_some_and(|rest| match digits(rest) {
            0 => false,
            n => rest[n..].starts_with(':'),
        });
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && !prefixed
}

/// Whether this may be the name of a total.
fn is_total(name: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(plain)
}

/// A member whose value needs no escape.
fn member(line: &mut String, name: &str, value: &str) {
    let _ = write!(line, r#","{name}":"{value}""#);
}

fn number(line: &mut String, name: &str, value: i64) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
    line.push_str(itoa::Buffer::new().format(value));
}

/// A string in quotes, escaped.
fn push_string(line: &mut String, value: &str) {
    let _ = write!(line, "{}", Value::from(value));
}

/// A time as JSON has it: seconds with six digits behind the point.
fn push_time(line: &mut String, microseconds: u64) {
    let _ = write!(
        line,
        "{}.{:06}",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    );
}
