//! What the registers of an attempt mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::fold::SUMMARY;
use crate::json::{members, string_bytes};
use crate::key::{AttemptKey, Who, unescape};
use crate::order::{Order, read_hex};
use crate::record::{MAX_SLOT, Parsed, Record, micros, object, parse};
use crate::registers::Registers;

/// Members of an `answer` that the view shows elsewhere or that say nothing about the answer (once
/// they were all stored), and names of its own.
const TAKEN: [&str; 25] = [
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
    "counts",
    "device",
    "address",
    "agent",
    "saved",
    "flagged",
    "changed",
];

/// An attempt as `exam_stream_state()` gives it. Times are seconds since 1970, UTC.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AttemptView {
    pub site: String,
    /// `None` for a bare record of Figure 2, which has a user only, and for what is known of a
    /// whole quiz.
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
    /// The browsers that were used, the first one first.
    pub devices: Vec<Device>,
    #[serde(flatten)]
    pub use_of_devices: UseOfDevices,
    pub help: Help,
    pub signals: Signals,
    /// Of each slot the answer of its greatest `qa`.
    pub slots: BTreeMap<u32, SlotView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lifecycle {
    #[serde(rename = "type")]
    pub kind: String,
    pub ts: f64,
}

/// A browser, as far as its records say, and when it was first and last heard of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Device {
    pub device: String,
    pub address: String,
    pub agent: String,
    pub first: f64,
    pub last: f64,
}

/// What the devices of an attempt tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UseOfDevices {
    /// One was still heard of when another one had begun.
    pub devices_at_once: bool,
    /// How many different ones there were.
    pub addresses: usize,
    pub agents: usize,
}

/// Calls for help, and of each the steps taken.
pub type Help = BTreeMap<String, BTreeMap<&'static str, HelpStep>>;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HelpStep {
    pub ts: f64,
    /// The user who took it.
    pub by: Option<i64>,
    pub slot: Option<u32>,
    pub text: Option<String>,
}

/// What analyses found, by `<name>` or `<name>/<slot>`: of each the newest row.
pub type Signals = BTreeMap<String, SignalView>;

#[derive(Clone, Debug, Serialize)]
pub struct SignalView {
    /// The end of the window.
    pub at: f64,
    pub revision: i64,
    /// The query's columns, byte for byte.
    pub row: Box<RawValue>,
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
    /// The student put a flag on the question.
    pub flagged: bool,
    /// It is answered, and not as it was answered first.
    pub changed: bool,
    /// The fields as they came, byte for byte.
    pub fields: Box<RawValue>,
    /// What a site added to its records, byte for byte.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Box<RawValue>>,
}

impl AttemptView {
    /// Of an attempt that was erased nothing is known: a view of nothing but its key. Whoever shows
    /// attempts asks [`Registers::is_erased`] first.
    pub fn new(key: &AttemptKey, registers: &Registers) -> Self {
        let reading = Reading::new(key, registers);
        let slots = reading
            .answers
            .iter()
            .filter_map(|(slot, answer)| Some((*slot, SlotView::new(*slot, answer, registers)?)));
        AttemptView {
            site: key.site.clone(),
            attempt: match key.who {
                Who::Attempt(attempt) => Some(attempt),
                Who::User(_) | Who::Quiz(_) => None,
            },
            user: match &key.who {
                Who::User(user) => Some(user.clone()),
                Who::Attempt(_) | Who::Quiz(_) => None,
            },
            slots: slots.collect(),
            quiz: reading.quiz,
            usage: reading.usage,
            student_id: reading.student_id,
            preview: reading.preview,
            word: reading.word,
            lifecycle: reading.lifecycle,
            last_seen: reading.last_seen,
            counts: reading.counts,
            use_of_devices: UseOfDevices::new(&reading.devices),
            devices: reading.devices,
            help: reading.help,
            signals: reading.signals,
        }
    }
}

impl SlotView {
    fn new(slot: u32, answer: &Answer<'_>, registers: &Registers) -> Option<Self> {
        let (at, page, seq, id) = Order::parts(answer.order)?;
        let (mut ts, mut fields, mut extra) = (None, None, BTreeMap::new());
        let read = members(answer.value, |key, value| {
            let key = string_bytes(key).unwrap_or_default();
            match &key[..] {
                b"ts" => ts = micros(value),
                b"fields" => fields = object("fields", Some(value)).ok(),
                _ => {
                    if let (Ok(key), Some(value)) = (std::str::from_utf8(&key), raw_json(value))
                        && !TAKEN.contains(&key)
                    {
                        extra.insert(key.to_owned(), value);
                    }
                }
            }
        });
        read.ok()?;
        let text = |text: Vec<u8>| String::from_utf8_lossy(&text).into_owned();
        let saved = registers
            .get(format!("s/{slot}/{}", answer.qa).as_bytes())
            .is_some_and(|(saved, _)| saved >= answer.order);
        Some(SlotView {
            qa: answer.qa,
            status: u8::from(answer.digit != b'0'),
            at: seconds(at),
            ts: seconds(ts?),
            page: text(page),
            seq,
            id: text(id),
            saved,
            flagged: answer.flagged,
            changed: answer.digit == b'2',
            fields: raw_json(fields.unwrap_or(b"{}"))?,
            extra,
        })
    }
}

impl UseOfDevices {
    pub(crate) fn new(devices: &[Device]) -> Self {
        let different = |what: fn(&Device) -> &str| {
            let named = devices.iter().map(what).filter(|name| !name.is_empty());
            named.collect::<BTreeSet<_>>().len()
        };
        // From the first to the last record of each device, whatever its address.
        let mut spans: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for Device {
            device,
            first,
            last,
            ..
        } in devices.iter().filter(|d| !d.device.is_empty())
        {
            let span = spans.entry(device).or_insert((*first, *last));
            *span = (span.0.min(*first), span.1.max(*last));
        }
        let mut spans: Vec<_> = spans.into_values().collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        UseOfDevices {
            // Sorted by their beginnings, two overlap only if two neighbours do.
            devices_at_once: spans.windows(2).any(|pair| pair[1].0 <= pair[0].1),
            addresses: different(|d| &d.address),
            agents: different(|d| &d.agent),
        }
    }
}

/// The registers of an attempt, read once: what both views are made of.
#[derive(Default)]
pub(crate) struct Reading<'a> {
    pub quiz: Option<i64>,
    pub usage: Option<i64>,
    pub student_id: Option<i64>,
    pub preview: bool,
    pub word: String,
    /// A digit for each slot, as in the word.
    pub flags: String,
    pub lifecycle: Option<Lifecycle>,
    pub last_seen: Option<f64>,
    pub counts: BTreeMap<String, u64>,
    pub devices: Vec<Device>,
    pub help: Help,
    pub signals: Signals,
    /// Of each slot the answer of its greatest `qa`.
    pub answers: BTreeMap<u32, Answer<'a>>,
}

pub(crate) struct Answer<'a> {
    pub qa: i64,
    pub at: f64,
    /// The digit of the status word, as text.
    pub digit: u8,
    pub flagged: bool,
    order: &'a [u8],
    /// JSON: `ts`, `fields`, and what a site added.
    value: &'a [u8],
}

impl<'a> Reading<'a> {
    pub fn new(key: &AttemptKey, registers: &'a Registers) -> Self {
        let mut reading = Reading::default();
        let mut greatest_slot = 0;
        let mut bare = None;
        for (field, register) in registers.iter() {
            let Some((order, value)) = Order::split(register) else {
                continue;
            };
            let number = read_hex(order).unwrap_or(0);
            let field = String::from_utf8_lossy(field);
            match field.split_once('/') {
                Some(("a", which)) => reading.add_answer(which, order, value, registers),
                Some(("c", rest)) => {
                    if let Some((_, name)) = rest.split_once('/') {
                        let sum = reading.counts.entry(unescaped(name)).or_default();
                        *sum = sum.saturating_add(number);
                    }
                }
                Some(("d", which)) => reading.add_device(which, number, registers),
                Some(("h", _)) => reading.add_help(value),
                Some(("q", which)) => {
                    let (name, slot) = which.split_once('/').unwrap_or((which, ""));
                    let slash = if slot.is_empty() { "" } else { "/" };
                    if let Some(row) = raw_json(value) {
                        let signal = SignalView {
                            at: seconds(number),
                            revision: Order::seq(order).unwrap_or(0),
                            row,
                        };
                        let name = format!("{}{slash}{slot}", unescaped(name));
                        reading.signals.insert(name, signal);
                    }
                }
                Some(_) => {}
                None => match &*field {
                    "l" => {
                        reading.lifecycle = Some(Lifecycle {
                            kind: String::from_utf8_lossy(value).into_owned(),
                            ts: seconds(number),
                        });
                    }
                    "z" => greatest_slot = number.min(MAX_SLOT.into()) as u32,
                    // By name, so that `seen` comes last.
                    "here" => reading.last_seen = Some(seconds(number)),
                    "i" => reading.add_ids(value),
                    "seen" => {
                        let here = reading.last_seen.unwrap_or(0.0);
                        reading.last_seen = Some(seconds(number).max(here));
                        reading.add_ids(value);
                    }
                    "w" => {
                        if let Ok(Parsed::Bare(record)) = parse(value) {
                            bare = Some(record.word.into_owned());
                        }
                    }
                    _ => {}
                },
            }
        }
        match (&key.who, &bare) {
            (Who::Attempt(student), Some(_)) => drop(reading.student_id.get_or_insert(*student)),
            (Who::Quiz(quiz), _) => reading.quiz = Some(*quiz),
            _ => {}
        }
        reading.devices.sort_by(|a, b| a.first.total_cmp(&b.first));
        if let Some((slot, _)) = reading.answers.last_key_value() {
            greatest_slot = greatest_slot.max(*slot);
        }
        let answers = (1..=greatest_slot).map(|slot| reading.answers.get(&slot));
        let (digits, flags) = answers
            .map(|answer| answer.map_or(('0', '0'), |a| (char::from(a.digit), flag(a.flagged))))
            .unzip::<_, _, String, String>();
        reading.word = match bare {
            Some(word) if greatest_slot == 0 => word,
            _ => format!("s{digits}"),
        };
        reading.flags = flags;
        reading
    }

    fn add_answer(&mut self, which: &str, order: &'a [u8], value: &'a [u8], registers: &Registers) {
        let Some((slot, qa)) = which.split_once('/') else {
            return;
        };
        let (Ok(slot), Ok(qa)) = (slot.parse(), qa.parse()) else {
            return;
        };
        let Some((value, [status, flagged, digest @ ..])) = split_summary(value) else {
            return;
        };
        if !(1..=MAX_SLOT).contains(&slot) || self.answers.get(&slot).is_some_and(|a| a.qa > qa) {
            return;
        }
        let digit = match registers.get(format!("f/{which}").as_bytes()) {
            Some((_, first)) if *status == b'1' && first != digest => b'2',
            _ => *status,
        };
        let answer = Answer {
            qa,
            at: seconds(read_hex(order).unwrap_or(0)),
            digit,
            flagged: *flagged == b'1',
            order,
            value,
        };
        self.answers.insert(slot, answer);
    }

    fn add_device(&mut self, which: &str, last: u64, registers: &Registers) {
        let mut names = which.split('/');
        if let (Some(device), Some(address), Some(agent)) =
            (names.next(), names.next(), names.next())
        {
            let first = registers.get(format!("e/{which}").as_bytes());
            let first = first.and_then(|(order, _)| read_hex(order)).unwrap_or(last);
            self.devices.push(Device {
                device: unescaped(device),
                address: address.to_owned(),
                agent: agent.to_owned(),
                first: seconds(first),
                last: seconds(last),
            });
        }
    }

    fn add_help(&mut self, line: &[u8]) {
        if let Some(record) = envelope(line)
            && let Some(help) = record.help
        {
            let step = HelpStep {
                ts: seconds(record.ts),
                by: help.by,
                slot: record.slot,
                text: help.text.map(Cow::into_owned),
            };
            let call = self.help.entry(help.call.into_owned()).or_default();
            call.insert(help.step, step);
        }
    }

    fn add_ids(&mut self, value: &[u8]) {
        // A value of ours; of another one we take what we can.
        let ids: BTreeMap<Cow<'_, str>, i64> = serde_json::from_slice(value).unwrap_or_default();
        let add = |known: &mut Option<i64>, name| *known = ids.get(name).copied().or(*known);
        add(&mut self.quiz, "quiz");
        add(&mut self.usage, "usage");
        add(&mut self.student_id, "student_id");
        self.preview |= ids.contains_key("preview");
    }
}

/// An answer, and the summary behind it.
fn split_summary(value: &[u8]) -> Option<(&[u8], &[u8; SUMMARY])> {
    let (answer, summary) = value.split_last_chunk::<SUMMARY>()?;
    let valid = matches!(summary, [b'0'..=b'2', b'0' | b'1', ..]);
    valid.then_some((answer, summary))
}

fn flag(is: bool) -> char {
    if is { '1' } else { '0' }
}

/// Microseconds as seconds.
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn unescaped(name: &str) -> String {
    unescape(name).unwrap_or_else(|| name.to_owned())
}

fn envelope(line: &[u8]) -> Option<Record<'_>> {
    match parse(line) {
        Ok(Parsed::Record(record)) => Some(record),
        _ => None,
    }
}

fn raw_json(raw: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(raw).ok()?.to_owned()).ok()
}
