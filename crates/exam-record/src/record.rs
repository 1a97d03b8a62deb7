//! Reading one line: envelope v1, the paper's bare records, or something that is not ours.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::json::{NotJson, members, string_bytes};
use crate::key::{AttemptKey, Who};

/// The greatest slot number. A status word has one digit for each slot up to the greatest one
/// known, so a number without bound would be a text without bound.
pub const MAX_SLOT: u32 = 9_999;

/// Bytes of a text that names something: `id`, `page`, `site`, `user`, `call`, `name`, a counter.
/// Such texts become keys of stores and parts of orders, which have limits of their own, however
/// long a record may be.
pub const MAX_NAME: usize = 1_024;

/// The type that ends all that is kept of an attempt.
pub(crate) const ERASED: &str = "erased";

/// Why a line is not folded. It names the field, never its content: that may be an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error(transparent)]
    NotJson(#[from] NotJson),
    #[error("field `{field}` of the record must be {expected}, but is {found}")]
    Field {
        field: &'static str,
        expected: &'static str,
        found: &'static str,
    },
}

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is the large one"
)]
pub enum Parsed<'a> {
    /// An envelope v1 that says which attempt it belongs to.
    Record(Record<'a>),
    /// A record as the paper prints it.
    Bare(Bare<'a>),
    /// JSON that is none of ours, or an event of an unknown type without an attempt: it passes
    /// through to cold storage and changes no state.
    Other,
}

/// An envelope v1. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// The line this is.
    pub line: &'a [u8],
    pub key: AttemptKey,
    pub kind: Cow<'a, str>,
    /// A hash of the line if it carries none.
    pub id: Cow<'a, str>,
    pub ts: u64,
    /// `ts` if the line has none.
    pub at: u64,
    pub sent: Option<u64>,
    pub page: Cow<'a, str>,
    pub seq: i64,
    pub ids: Ids,
    /// Which browser sent it, as far as it says so.
    pub origin: Option<Origin<'a>>,
    /// Of an `answer`; of a `help` or a `signal` that is about one question.
    pub slot: Option<u32>,
    pub qa: Option<i64>,
    pub status: Option<u8>,
    /// The JSON object of the fields, byte for byte.
    pub fields: Option<&'a [u8]>,
    /// Of an `answer`, what a site added: members that no answer has of itself, their names and
    /// values as they stand in the line.
    pub extra: Vec<(&'a [u8], &'a [u8])>,
    /// `ts` as it stands in the line.
    pub(crate) ts_json: &'a [u8],
    /// Slot and `qa`, of `started` and `saved`.
    pub slots: Vec<(u32, i64)>,
    pub counts: Vec<(Cow<'a, str>, u64)>,
    /// Of a `help`.
    pub help: Option<Help<'a>>,
    /// Of a `signal`.
    pub signal: Option<Signal<'a>>,
}

impl Record<'_> {
    /// Whether it tells that the student is there. What an invigilator does about a call for help
    /// and what an analysis finds says nothing of that.
    pub fn sign_of_life(&self) -> bool {
        self.kind != ERASED
            && self.signal.is_none()
            && self.help.as_ref().is_none_or(|help| help.step == STEPS[0])
    }
}

/// Where a browser's record came from; empty where it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// What the script drew at random and keeps in the browser.
    pub device: Cow<'a, str>,
    /// Keyed digests of the remote address and of the user agent, 16 hex digits each: enough to
    /// see a change, too little to tell the address.
    pub address: Cow<'a, str>,
    pub agent: Cow<'a, str>,
}

/// A step of a call for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help<'a> {
    /// The `id` of the record that asked.
    pub call: Cow<'a, str>,
    /// One of [`STEPS`].
    pub step: &'static str,
    /// The user who takes the step.
    pub by: Option<i64>,
    pub text: Option<Cow<'a, str>>,
}

/// The steps of a call for help; the first one is the student's.
pub const STEPS: [&str; 4] = ["asked", "taken", "answered", "closed"];

/// A row of an analysis about an attempt, or about a quiz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal<'a> {
    /// The query's.
    pub name: Cow<'a, str>,
    /// 0 for the first row of a window, then a number more each time it is stated anew.
    pub revision: i64,
    /// The JSON object of the query's columns, byte for byte.
    pub row: &'a [u8],
}

/// What an attempt belongs to, as far as a record says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub quiz: Option<i64>,
    pub usage: Option<i64>,
    pub student_id: Option<i64>,
    pub preview: bool,
}

/// A record as printed in the paper: Figure 2 (`user`, `status`) or Figure 5 (`student_id`,
/// `status`, a time).
#[derive(Clone, Debug, PartialEq)]
pub struct Bare<'a> {
    pub line: &'a [u8],
    pub key: AttemptKey,
    /// The status word as the record states it.
    pub word: Cow<'a, str>,
    /// Microseconds since 1970; 0 if the record has no time.
    pub ts: u64,
    /// The first 32 hex digits of the SHA-256 of the line.
    pub id: String,
}

/// The members of ours, as they stand in the line. Of a key given twice, the last one counts.
#[derive(Default)]
struct Raw<'a> {
    v: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    ts: Option<&'a [u8]>,
    sent: Option<&'a [u8]>,
    at: Option<&'a [u8]>,
    site: Option<&'a [u8]>,
    quiz: Option<&'a [u8]>,
    attempt: Option<&'a [u8]>,
    usage: Option<&'a [u8]>,
    student_id: Option<&'a [u8]>,
    preview: Option<&'a [u8]>,
    slot: Option<&'a [u8]>,
    qa: Option<&'a [u8]>,
    page: Option<&'a [u8]>,
    seq: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    fields: Option<&'a [u8]>,
    counts: Option<&'a [u8]>,
    device: Option<&'a [u8]>,
    address: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    slots: Option<&'a [u8]>,
    call: Option<&'a [u8]>,
    step: Option<&'a [u8]>,
    by: Option<&'a [u8]>,
    text: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    revision: Option<&'a [u8]>,
    row: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    /// Whatever is no member of every record or of an `answer`.
    others: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Raw<'a> {
    fn read(line: &'a [u8]) -> Result<Self, NotJson> {
        let mut raw = Raw::default();
        members(line, |key, value| {
            // JSON's null says that there is none.
            let stated = (value != b"null").then_some(value);
            if let Some(member) = raw.member(key) {
                *member = stated;
                return;
            }
            let name = match key.contains(&b'\\') {
                true => string_bytes(key).unwrap_or_default(),
                false => Cow::Borrowed(key),
            };
            // It might be one of ours all the same.
            if let Cow::Owned(name) = &name
                && let Some(member) = raw.member(name)
            {
                *member = stated;
                return;
            }
            if let Some(member) = raw.other_member(&name) {
                *member = stated;
            }
            raw.others.push((key, value));
        })?;
        Ok(raw)
    }

    /// Of every record, or of an `answer`.
    fn member(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            b"v" => &mut self.v,
            b"type" => &mut self.kind,
            b"id" => &mut self.id,
            b"ts" => &mut self.ts,
            b"sent" => &mut self.sent,
            b"at" => &mut self.at,
            b"site" => &mut self.site,
            b"quiz" => &mut self.quiz,
            b"attempt" => &mut self.attempt,
            b"usage" => &mut self.usage,
            b"student_id" => &mut self.student_id,
            b"preview" => &mut self.preview,
            b"slot" => &mut self.slot,
            b"qa" => &mut self.qa,
            b"page" => &mut self.page,
            b"seq" => &mut self.seq,
            b"status" => &mut self.status,
            b"fields" => &mut self.fields,
            b"counts" => &mut self.counts,
            b"device" => &mut self.device,
            b"address" => &mut self.address,
            b"agent" => &mut self.agent,
            _ => return None,
        })
    }

    /// Of records of other types, and of bare ones.
    fn other_member(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            b"slots" => &mut self.slots,
            b"call" => &mut self.call,
            b"step" => &mut self.step,
            b"by" => &mut self.by,
            b"text" => &mut self.text,
            b"name" => &mut self.name,
            b"revision" => &mut self.revision,
            b"row" => &mut self.row,
            b"user" => &mut self.user,
            key if is_time_key(key) => &mut self.time,
            _ => return None,
        })
    }
}

/// Reads a line. Never panics, whatever the line is.
pub fn parse(line: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let line = line.trim_ascii();
    let mut raw = Raw::read(line)?;
    match raw.v {
        Some(b"1") => envelope(line, &mut raw),
        Some(_) => Ok(Parsed::Other),
        None => bare(line, &raw),
    }
}

fn envelope<'a>(line: &'a [u8], raw: &mut Raw<'a>) -> Result<Parsed<'a>, Malformed> {
    let kind = text("type", raw.kind)?.ok_or(missing("type", TEXT))?;
    let signal = kind == "signal";
    let ours =
        signal || matches!(&*kind, "answer" | "saved" | ERASED) || lifecycle_rank(&kind).is_some();
    let site = name("site", raw.site)?;
    let attempt = integer("attempt", raw.attempt)?;
    let key = match (site, attempt) {
        (Some(site), Some(attempt)) => AttemptKey::new(site, attempt),
        _ if !ours => return Ok(Parsed::Other),
        (None, _) => return Err(missing("site", TEXT)),
        (Some(site), None) if signal => match integer("quiz", raw.quiz)? {
            Some(quiz) => AttemptKey::quiz(site, quiz),
            None => return Err(missing("quiz", INTEGER)),
        },
        (_, None) => return Err(missing("attempt", INTEGER)),
    };
    let ts = time("ts", raw.ts)?.ok_or(missing("ts", TIME))?;
    let mut record = Record {
        line,
        key,
        id: match name("id", raw.id)? {
            Some(id) => id,
            None => Cow::Owned(hash_id(line)),
        },
        ts,
        at: time("at", raw.at)?.unwrap_or(ts),
        sent: time("sent", raw.sent)?,
        page: name("page", raw.page)?.unwrap_or_default(),
        seq: integer("seq", raw.seq)?.unwrap_or(0),
        ids: Ids {
            quiz: integer("quiz", raw.quiz)?,
            usage: integer("usage", raw.usage)?,
            student_id: integer("student_id", raw.student_id)?,
            preview: match raw.preview {
                None | Some(b"false" | b"0") => false,
                Some(b"true" | b"1") => true,
                Some(other) => return Err(wrong("preview", "true or false", other)),
            },
        },
        origin: origin(raw)?,
        slot: None,
        qa: integer("qa", raw.qa)?,
        status: None,
        fields: None,
        extra: Vec::new(),
        ts_json: raw.ts.unwrap_or_default(),
        slots: Vec::new(),
        counts: Vec::new(),
        help: None,
        signal: None,
        kind,
    };
    match &*record.kind {
        "answer" => {
            record.slot = Some(slot(raw.slot)?.ok_or(missing("slot", SLOT))?);
            record.qa.ok_or(missing("qa", INTEGER))?;
            record.status = Some(match raw.status {
                Some(b"0" | br#""0""#) => 0,
                Some(b"1" | br#""1""#) => 1,
                other => return Err(wrong("status", "0 or 1", other.unwrap_or_default())),
            });
            record.fields = Some(object("fields", raw.fields)?);
            record.extra = std::mem::take(&mut raw.others);
        }
        "saved" | "started" => record.slots = slots(object("slots", raw.slots)?)?,
        "help" => {
            record.slot = slot(raw.slot)?;
            record.help = Some(help(raw, &record.id)?);
        }
        "signal" => {
            record.slot = slot(raw.slot)?;
            record.signal = Some(Signal {
                name: filled("name", raw.name)?,
                revision: integer("revision", raw.revision)?.unwrap_or(0),
                row: match raw.row {
                    Some(row) => object("row", Some(row))?,
                    None => return Err(missing("row", OBJECT)),
                },
            });
        }
        _ => {}
    }
    if let Some(counts) = raw.counts {
        record.counts = count_list(object("counts", Some(counts))?)?;
    }
    Ok(Parsed::Record(record))
}

/// A call is named by the record that asked, which need not name itself.
fn help<'a>(raw: &Raw<'a>, id: &Cow<'a, str>) -> Result<Help<'a>, Malformed> {
    let step = match text("step", raw.step)? {
        None => STEPS[0],
        Some(step) => STEPS.into_iter().find(|known| *known == step).ok_or(wrong(
            "step",
            "asked, taken, answered or closed",
            raw.step.unwrap_or_default(),
        ))?,
    };
    Ok(Help {
        call: match raw.call {
            None if step == STEPS[0] => id.clone(),
            call => filled("call", call)?,
        },
        step,
        by: integer("by", raw.by)?,
        text: text("text", raw.text)?,
    })
}

fn origin<'a>(raw: &Raw<'a>) -> Result<Option<Origin<'a>>, Malformed> {
    if raw.device.or(raw.address).or(raw.agent).is_none() {
        return Ok(None);
    }
    let device = text("device", raw.device)?.unwrap_or_default();
    if device.len() > MAX_DEVICE {
        return Err(wrong("device", DEVICE, raw.device.unwrap_or_default()));
    }
    Ok(Some(Origin {
        device,
        address: keyed_digest("address", raw.address)?,
        agent: keyed_digest("agent", raw.agent)?,
    }))
}

fn bare<'a>(line: &'a [u8], raw: &Raw<'a>) -> Result<Parsed<'a>, Malformed> {
    let status = raw.status.filter(|s| s.starts_with(b"\""));
    let Ok(Some(word)) = text("status", status) else {
        return Ok(Parsed::Other);
    };
    let who = match (
        integer("student_id", raw.student_id),
        text("user", raw.user),
    ) {
        (Ok(Some(student)), _) => Who::Attempt(student),
        (_, Ok(Some(user))) => Who::User(short("user", user)?.into_owned()),
        _ => return Ok(Parsed::Other),
    };
    Ok(Parsed::Bare(Bare {
        line,
        key: AttemptKey {
            site: String::new(),
            who,
        },
        word,
        ts: raw.ts.or(raw.time).and_then(micros).unwrap_or(0),
        id: hash_id(line),
    }))
}

/// The types that open and close an attempt, in the order in which they count at one instant.
pub(crate) fn lifecycle_rank(kind: &str) -> Option<i64> {
    const KINDS: [&str; 6] = [
        "started",
        "reopened",
        "overdue",
        "submitted",
        "abandoned",
        "finished",
    ];
    KINDS
        .iter()
        .position(|k| *k == kind)
        .map(|rank| rank as i64)
}

/// The names a bare record may give its time, in any case: the paper uses more than one.
pub(crate) fn is_time_key(key: &[u8]) -> bool {
    // By length first: of an envelope's keys most are told apart by it.
    let name: &[u8] = match key.len() {
        2 => b"ts",
        4 => b"time",
        9 => b"timestamp",
        _ => return false,
    };
    key.eq_ignore_ascii_case(name)
}

fn hash_id(line: &[u8]) -> String {
    hex::encode(&Sha256::digest(line)[..16])
}

// ---- values ----

const TEXT: &str = "a string";
const NAME: &str = "a string of at most 1024 bytes";
const INTEGER: &str = "an integer";
const TIME: &str = "a time in seconds since 1970";
const SLOT: &str = "a slot number, 1 to 9999";
const OBJECT: &str = "an object";
const COUNTS: &str = "an object of running totals, their names of at most 1024 bytes";
const DEVICE: &str = "a string of at most 32 bytes";
const MAX_DEVICE: usize = 32;

fn missing(field: &'static str, expected: &'static str) -> Malformed {
    wrong(field, expected, b"")
}

fn wrong(field: &'static str, expected: &'static str, raw: &[u8]) -> Malformed {
    let found = match raw.first() {
        None => "missing",
        Some(b'"') => "another string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(_) => "another number",
    };
    Malformed::Field {
        field,
        expected,
        found,
    }
}

fn slot(raw: Option<&[u8]>) -> Result<Option<u32>, Malformed> {
    integer("slot", raw)?
        .map(|n| as_slot(n).ok_or(wrong("slot", SLOT, raw.unwrap_or_default())))
        .transpose()
}

/// A text that must be there.
fn filled<'a>(field: &'static str, raw: Option<&'a [u8]>) -> Result<Cow<'a, str>, Malformed> {
    let text = name(field, raw)?.filter(|text| !text.is_empty());
    text.ok_or(wrong(
        field,
        "a string that is not empty",
        raw.unwrap_or_default(),
    ))
}

/// 16 hex digits, or nothing. Anything longer might be the raw value that must not be kept.
fn keyed_digest<'a>(field: &'static str, raw: Option<&'a [u8]>) -> Result<Cow<'a, str>, Malformed> {
    let digest = text(field, raw)?.unwrap_or_default();
    let fits =
        digest.is_empty() || digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then_some(digest)
        .ok_or(wrong(field, "16 hex digits", raw.unwrap_or_default()))
}

/// A string, or a number as it is written: ids are often numbers. Escaped lone surrogates, which
/// no name of ours has, become U+FFFD.
fn text<'a>(field: &'static str, raw: Option<&'a [u8]>) -> Result<Option<Cow<'a, str>>, Malformed> {
    let Some(raw) = raw else { return Ok(None) };
    let bytes = match raw.first() {
        Some(b'"') => string_bytes(raw),
        Some(b'-' | b'0'..=b'9') => Some(Cow::Borrowed(raw)),
        _ => None,
    };
    match bytes {
        Some(bytes) => Ok(Some(utf8(bytes))),
        None => Err(wrong(field, TEXT, raw)),
    }
}

/// A text; what no Unicode text has becomes U+FFFD.
fn utf8(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        },
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// A text that names something.
fn name<'a>(field: &'static str, raw: Option<&'a [u8]>) -> Result<Option<Cow<'a, str>>, Malformed> {
    text(field, raw)?.map(|text| short(field, text)).transpose()
}

fn short<'a>(field: &'static str, name: Cow<'a, str>) -> Result<Cow<'a, str>, Malformed> {
    match name.len() <= MAX_NAME {
        true => Ok(name),
        false => Err(Malformed::Field {
            field,
            expected: NAME,
            found: "a longer one",
        }),
    }
}

/// An integer, also as a string (PHP's database layer gives ids as strings) or as `3.0`.
fn integer(field: &'static str, raw: Option<&[u8]>) -> Result<Option<i64>, Malformed> {
    let Some(raw) = raw else { return Ok(None) };
    let digits = match raw {
        [b'"', digits @ .., b'"'] => digits,
        digits => digits,
    };
    if let Some(number) = usual_integer(digits) {
        return Ok(Some(number));
    }
    let parsed = std::str::from_utf8(digits).ok().and_then(|digits| {
        digits.parse().ok().or_else(|| {
            let float: f64 = digits.parse().ok()?;
            let exact = float.fract() == 0.0 && float.abs() < (1u64 << 53) as f64;
            exact.then_some(float as i64)
        })
    });
    parsed.map(Some).ok_or(wrong(field, INTEGER, raw))
}

/// An integer as it usually is: some digits, and not so many that they may be too many.
fn usual_integer(digits: &[u8]) -> Option<i64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |n, digit| {
        let value = digit.is_ascii_digit().then(|| i64::from(digit - b'0'));
        Some(n * 10 + value?)
    })
}

fn time(field: &'static str, raw: Option<&[u8]>) -> Result<Option<u64>, Malformed> {
    let Some(raw) = raw else { return Ok(None) };
    micros(raw).map(Some).ok_or(wrong(field, TIME, raw))
}

/// Seconds since 1970 as a JSON number, to microseconds; until the end of the year 9999.
pub fn micros(raw: &[u8]) -> Option<u64> {
    if !raw.first().is_some_and(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(micros) = usual_micros(raw) {
        return Some(micros);
    }
    let seconds: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
    (seconds < 253_402_300_800.0).then(|| (seconds * 1e6).round() as u64)
}

/// Of a time as it usually is, up to ten digits, a point, up to six: what the nearest float gives,
/// too, which until the year 2106 is within a quarter of a microsecond.
fn usual_micros(raw: &[u8]) -> Option<u64> {
    if let [a, b, c, d, e, f, g, h, i, j, b'.', fraction @ ..] = raw
        && let [k, l, m, n, o, p] = fraction
        && let Some(high) = eight_digits([*a, *b, *c, *d, *e, *f, *g, *h])
        && let Some(low) = eight_digits([*i, *j, *k, *l, *m, *n, *o, *p])
    {
        let micros = high * 100_000_000 + low;
        return (micros < 1_000_000 << 32).then_some(micros);
    }
    let point = raw.iter().take(11).position(|b| *b == b'.')?;
    let (seconds, fraction) = (&raw[..point], &raw[point + 1..]);
    let places = u32::try_from(fraction.len()).ok()?;
    let digits = |digits: &[u8]| {
        digits.iter().try_fold(0, |n, digit| {
            let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'));
            Some(n * 10 + value?)
        })
    };
    let scale = 10u64.pow(6u32.checked_sub(places)?);
    let (seconds, fraction) = (digits(seconds)?, digits(fraction)?);
    (places > 0 && seconds < 1 << 32).then_some(seconds * 1_000_000 + fraction * scale)
}

/// The number that eight digits write, all of them at once.
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    let text = u64::from_le_bytes(digits);
    let high_halves = |x: u64| x & 0xF0F0_F0F0_F0F0_F0F0;
    // 6 more makes another high half of what comes behind 9.
    let all = high_halves(text) == 0x3030_3030_3030_3030
        && high_halves(text.wrapping_add(0x0606_0606_0606_0606)) == 0x3030_3030_3030_3030;
    // Pairs, then fours, then all: each step adds its neighbour to ten, a hundred, ten thousand times itself.
    let pairs = (text & 0x0F0F_0F0F_0F0F_0F0F).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul(100 << 16 | 1) >> 16;
    let number = (fours & 0x0000_FFFF_0000_FFFF).wrapping_mul(10_000 << 32 | 1) >> 32;
    all.then_some(number)
}

/// An object; PHP writes an empty one as `[]`.
pub(crate) fn object<'a>(
    field: &'static str,
    raw: Option<&'a [u8]>,
) -> Result<&'a [u8], Malformed> {
    match raw {
        None => Ok(b"{}"),
        Some(raw) if raw.starts_with(b"{") => Ok(raw),
        Some([b'[', inner @ .., b']']) if inner.trim_ascii().is_empty() => Ok(b"{}"),
        Some(raw) => Err(wrong(field, OBJECT, raw)),
    }
}

fn as_slot(n: i64) -> Option<u32> {
    u32::try_from(n).ok().filter(|n| (1..=MAX_SLOT).contains(n))
}

fn slots(object: &[u8]) -> Result<Vec<(u32, i64)>, Malformed> {
    let (mut slots, mut failed) = (Vec::new(), None);
    members(object, |key, qa| {
        let slot = integer("slots", Some(key)).ok().flatten().and_then(as_slot);
        match (slot, integer("slots", Some(qa))) {
            (Some(slot), Ok(Some(qa))) => slots.push((slot, qa)),
            _ => failed = Some(wrong("slots", "an object of slot: qa", object)),
        }
    })?;
    failed.map_or(Ok(slots), Err)
}

fn count_list(object: &[u8]) -> Result<Vec<(Cow<'_, str>, u64)>, Malformed> {
    let (mut counts, mut failed) = (Vec::new(), None);
    members(object, |key, count| {
        let count = integer("counts", Some(count)).ok().flatten();
        match (string_bytes(key), count.map(u64::try_from)) {
            (Some(name), Some(Ok(count))) if name.len() <= MAX_NAME => {
                counts.push((utf8(name), count));
            }
            _ => failed = Some(wrong("counts", COUNTS, object)),
        }
    })?;
    failed.map_or(Ok(counts), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_usual_times_are_those_of_the_nearest_float(time in "[0-9]{1,10}\\.[0-9]{1,6}") {
            if let Some(micros) = usual_micros(time.as_bytes()) {
                let seconds: f64 = time.parse().unwrap();
                prop_assert_eq!(micros, (seconds * 1e6).round() as u64);
            }
        }

        #[test]
        fn eight_digits_are_digits(number in 0u64..100_000_000, byte: u8, at in 0usize..8) {
            let mut text: [u8; 8] = format!("{number:08}").into_bytes().try_into().unwrap();
            prop_assert_eq!(eight_digits(text), Some(number));
            text[at] = byte;
            prop_assert_eq!(eight_digits(text).is_some(), byte.is_ascii_digit());
        }
    }

    #[test]
    fn other_times_are_for_the_float() {
        for time in [
            "1",
            "1e3",
            "1.",
            "1.2e3",
            "1.1234567",
            "4294967296.5",
            "4294967296.000000",
            "1700000000.12345e",
            "17000000e0.123456",
            "12345678901.5",
        ] {
            assert_eq!(usual_micros(time.as_bytes()), None, "{time}");
        }
        assert_eq!(
            usual_micros(b"1700000000.123456"),
            Some(1_700_000_000_123_456)
        );
        assert_eq!(usual_micros(b"4294967295.9"), Some(4_294_967_295_900_000));
    }
}
