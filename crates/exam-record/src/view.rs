//! What the registers of an attempt mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::fold::fields_digest;
use crate::json::{members, string_bytes};
use crate::key::{AttemptKey, Who, unescape};
use crate::order::{Order, read_hex};
use crate::record::{MAX_SLOT, Parsed, Record, parse};
use crate::registers::Registers;

/// Members of an `answer` that the view shows elsewhere or that say nothing about the answer.
const ENVELOPE: [&str; 18] = [
    "v",
    "id",
    "type",
    "ts",
    "sent",
    "at",
    "site",
    "quiz",
    "attempt",
    "usage",
    "student_id",
    "preview",
    "page",
    "seq",
    "slot",
    "qa",
    "status",
    "fields",
];

/// An attempt as `exam_stream_state()` gives it. Times are seconds since 1970, UTC.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AttemptView {
    pub site: String,
    /// `None` for a bare record of Figure 2, which has a user only.
    pub attempt: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub quiz: Option<i64>,
    pub usage: Option<i64>,
    pub student_id: Option<i64>,
    pub preview: bool,
    /// `s` and a digit for each slot: 0 not answered, 1 answered, 2 answered and different from
    /// what was answered first. Of an attempt known by bare records only: what they state.
    pub word: String,
    pub lifecycle: Option<Lifecycle>,
    pub last_seen: Option<f64>,
    /// Running totals, summed over the page instances.
    pub counts: BTreeMap<String, u64>,
    pub help: Vec<Help>,
    /// Of each slot the answer of its greatest `qa`.
    pub slots: BTreeMap<u32, SlotView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lifecycle {
    #[serde(rename = "type")]
    pub kind: String,
    pub ts: f64,
}

/// One call for help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Help {
    pub id: String,
    pub ts: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct SlotView {
    pub qa: i64,
    pub status: u8,
    pub at: f64,
    pub ts: f64,
    pub page: String,
    pub seq: i64,
    pub id: String,
    /// A form post that holds this answer, or a later one, reached Moodle: nothing to restore.
    pub saved: bool,
    /// The fields as they came, byte for byte.
    pub fields: Box<RawValue>,
    /// What a site added to its records, byte for byte.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Box<RawValue>>,
    /// The digit of the status word.
    #[serde(skip)]
    pub digit: u8,
}

/// Microseconds as seconds.
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl AttemptView {
    pub fn new(key: &AttemptKey, registers: &Registers) -> Self {
        let mut view = AttemptView {
            site: key.site.clone(),
            ..Default::default()
        };
        match &key.who {
            Who::Attempt(attempt) => view.attempt = Some(*attempt),
            Who::User(user) => view.user = Some(user.clone()),
        }
        let mut greatest_slot = 0;
        let mut bare = None;
        for (field, register) in registers.iter() {
            let Some((order, value)) = Order::split(register) else {
                continue;
            };
            let number = read_hex(order).unwrap_or(0);
            let field = String::from_utf8_lossy(field);
            match field.split_once('/') {
                Some(("a", which)) => view.add_answer(which, order, value, registers),
                Some(("c", rest)) => {
                    if let Some((_, name)) = rest.split_once('/') {
                        let name = unescape(name).unwrap_or_else(|| name.to_owned());
                        let sum = view.counts.entry(name).or_default();
                        *sum = sum.saturating_add(number);
                    }
                }
                Some(("h", _)) => {
                    if let Some(record) = envelope(value) {
                        view.help.push(Help {
                            id: record.id.into_owned(),
                            ts: seconds(record.ts),
                        });
                    }
                }
                Some(_) => {}
                None => match &*field {
                    "l" => {
                        view.lifecycle = Some(Lifecycle {
                            kind: String::from_utf8_lossy(value).into_owned(),
                            ts: seconds(number),
                        });
                    }
                    "z" => greatest_slot = number.min(MAX_SLOT.into()) as u32,
                    "seen" => view.last_seen = Some(seconds(number)),
                    "i" => view.add_ids(value),
                    "w" => {
                        if let Ok(Parsed::Bare(record)) = parse(value) {
                            bare = Some(record.word.into_owned());
                        }
                    }
                    _ => {}
                },
            }
        }
        if let (Some(_), Who::Attempt(student)) = (&bare, &key.who) {
            view.student_id.get_or_insert(*student);
        }
        let greatest_slot = view
            .slots
            .keys()
            .last()
            .map_or(greatest_slot, |s| greatest_slot.max(*s));
        view.word = match bare {
            Some(word) if greatest_slot == 0 => word,
            _ => {
                let digit = |slot| view.slots.get(&slot).map_or(0, |s: &SlotView| s.digit);
                std::iter::once('s')
                    .chain((1..=greatest_slot).map(|slot| char::from(b'0' + digit(slot))))
                    .collect()
            }
        };
        view.help
            .sort_by(|a, b| a.ts.total_cmp(&b.ts).then_with(|| a.id.cmp(&b.id)));
        view
    }

    fn add_answer(&mut self, which: &str, order: &[u8], value: &[u8], registers: &Registers) {
        let Some(record) = envelope(value) else {
            return;
        };
        let (Some(slot), Some(qa), Some(status)) = (record.slot, record.qa, record.status) else {
            return;
        };
        if self.slots.get(&slot).is_some_and(|known| known.qa > qa) {
            return;
        }
        let raw = record.fields.unwrap_or(b"{}");
        let Some(fields) = raw_json(raw) else { return };
        let saved = registers
            .get(format!("s/{which}").as_bytes())
            .is_some_and(|(saved, _)| saved >= order);
        let digit = match (status, registers.get(format!("f/{which}").as_bytes())) {
            (0, _) => 0,
            (_, Some((_, first))) if first != fields_digest(raw).as_bytes() => 2,
            _ => 1,
        };
        let slot_view = SlotView {
            qa,
            status,
            at: seconds(record.at),
            ts: seconds(record.ts),
            page: record.page.into_owned(),
            seq: record.seq,
            id: record.id.into_owned(),
            saved,
            fields,
            extra: extra(value),
            digit,
        };
        self.slots.insert(slot, slot_view);
    }

    fn add_ids(&mut self, value: &[u8]) {
        // A value of ours; of another one we take what we can.
        let ids: BTreeMap<Cow<'_, str>, i64> = serde_json::from_slice(value).unwrap_or_default();
        self.quiz = ids.get("quiz").copied();
        self.usage = ids.get("usage").copied();
        self.student_id = ids.get("student_id").copied();
        self.preview = ids.contains_key("preview");
    }
}

fn envelope(line: &[u8]) -> Option<Record<'_>> {
    match parse(line) {
        Ok(Parsed::Record(record)) => Some(record),
        _ => None,
    }
}

/// The members of a record that are none of the envelope's.
fn extra(line: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    let mut extra = BTreeMap::new();
    let read = members(line, |key, value| {
        let key = string_bytes(key).unwrap_or_default();
        if let (Ok(key), Some(value)) = (std::str::from_utf8(&key), raw_json(value))
            && !ENVELOPE.contains(&key)
        {
            extra.insert(key.to_owned(), value);
        }
    });
    // It was parsed before, so it is JSON.
    debug_assert!(read.is_ok());
    extra
}

fn raw_json(raw: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(raw).ok()?.to_owned()).ok()
}
