//! From a record to the registers it writes. The table is on the crate's first page.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::json::{members, string_bytes};
use crate::key::{AttemptKey, escape};
use crate::order::{Order, hex};
use crate::record::{Bare, ERASED, Ids, Malformed, Parsed, Record, lifecycle_rank, parse};
use crate::registers;

/// One write to one register. Whether the greatest or the least wins is the register's, see
/// [`Join::of`](crate::Join::of).
#[derive(Clone, Debug, PartialEq)]
pub struct Op<'a> {
    pub field: Cow<'a, [u8]>,
    /// An [`Order`] followed by the value.
    pub register: Vec<u8>,
}

/// A record, ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded<'a> {
    pub key: AttemptKey,
    pub quiz: Option<i64>,
    pub ops: Vec<Op<'a>>,
}

/// Folds one line; `None` for a line that changes no state.
pub fn fold(line: &[u8]) -> Result<Option<Folded<'_>>, Malformed> {
    Ok(match parse(line)? {
        Parsed::Record(record) => Some(fold_record(record)),
        Parsed::Bare(bare) => Some(fold_bare(bare)),
        Parsed::Other => None,
    })
}

fn op<'a>(field: impl Into<Cow<'a, str>>, register: Vec<u8>) -> Op<'a> {
    let field = match field.into() {
        Cow::Borrowed(f) => Cow::Borrowed(f.as_bytes()),
        Cow::Owned(f) => Cow::Owned(f.into_bytes()),
    };
    Op { field, register }
}

fn fold_record(record: Record<'_>) -> Folded<'_> {
    if record.kind == ERASED {
        // Absorbs whatever else there is: one order, or two of these would not be the same state.
        return Folded {
            key: record.key,
            quiz: record.ids.quiz,
            ops: vec![Op {
                field: Cow::Borrowed(registers::ERASED),
                register: Order::number(0).0,
            }],
        };
    }
    let mut ops = Vec::with_capacity(4 + record.slots.len() + record.counts.len());
    let order = |room| {
        let (page, id) = (record.page.as_bytes(), record.id.as_bytes());
        Order::with_room(room, record.at, page, record.seq, id)
    };
    match &*record.kind {
        "answer" => {
            // parse() gives an answer all three.
            if let (Some(slot), Some(qa), Some(fields)) = (record.slot, record.qa, record.fields) {
                let (digest, flagged) = entered(fields);
                let answered = record.status == Some(1);
                let mut register = order(record.ts_json.len() + fields.len() + ROOM).0;
                if answered {
                    let first = [&register[..], &digest].concat();
                    ops.push(op(of_slot('f', slot, qa), first));
                }
                push_answer(&mut register, &record, fields);
                register.extend([answered, flagged].map(|is| b'0' + u8::from(is)));
                register.extend_from_slice(&digest);
                ops.push(op(of_slot('a', slot, qa), register));
            }
        }
        "saved" => {
            for (slot, qa) in &record.slots {
                ops.push(op(of_slot('s', *slot, *qa), order(0).0));
            }
        }
        "help" => {
            if let Some(help) = &record.help {
                let mut field = String::from("h/");
                escape(&mut field, &help.call);
                field.push('/');
                field.push_str(help.step);
                let order = order(record.line.len());
                ops.push(op(field, order.followed_by(record.line)));
            }
        }
        "signal" => {
            if let Some(signal) = &record.signal {
                let mut field = String::from("q/");
                escape(&mut field, &signal.name);
                if let Some(slot) = record.slot {
                    let _ = write!(field, "/{slot}");
                }
                let order = Order::new(record.at, b"", signal.revision, record.id.as_bytes());
                ops.push(op(field, order.followed_by(signal.row)));
            }
        }
        kind => {
            if let Some(rank) = lifecycle_rank(kind) {
                let order = Order::new(record.ts, b"", rank, record.id.as_bytes());
                ops.push(op("l", order.followed_by(kind.as_bytes())));
            }
            if let Some(greatest) = record.slots.iter().map(|(slot, _)| *slot).max() {
                ops.push(op("z", Order::number(greatest.into()).0));
            }
        }
    }
    for (counter, count) in &record.counts {
        let mut field = String::from("c/");
        escape(&mut field, &record.page);
        field.push('/');
        escape(&mut field, counter);
        ops.push(op(field, Order::number(*count).0));
    }
    let alive = record.sign_of_life();
    if alive && let Some(origin) = &record.origin {
        let mut field = String::from("d/");
        escape(&mut field, &origin.device);
        let _ = write!(field, "/{}/{}", origin.address, origin.agent);
        let first = format!("e{}", &field[1..]);
        ops.push(op(field, Order::number(record.ts).0));
        ops.push(op(first, Order::number(record.ts).0));
    }
    match record.ids {
        Ids {
            quiz: Some(_),
            usage: Some(_),
            student_id: Some(_),
            ..
        } if alive => ops.push(op("seen", with_ids(record.ts, 0, &record.ids))),
        ids => {
            let known = known(&ids).count() as u64;
            if known > 0 {
                // A record that knows more of them wins over a later one that knows less.
                ops.push(op("i", with_ids(known, record.ts as i64, &ids)));
            }
            if alive {
                ops.push(op("here", Order::number(record.ts).0));
            }
        }
    }
    Folded {
        key: record.key,
        quiz: record.ids.quiz,
        ops,
    }
}

/// Around `ts` and `fields` in the register of an answer, its summary included.
const ROOM: usize = r#"{"ts":,"fields":}"#.len() + SUMMARY;

/// What of an answer its register's name, its order and its summary do not tell: `ts`, `fields`, and
/// what a site added.
fn push_answer(register: &mut Vec<u8>, record: &Record<'_>, fields: &[u8]) {
    let mut push = |parts: [&[u8]; 4]| parts.map(|part| register.extend_from_slice(part));
    push([br#"{"ts":"#, record.ts_json, br#","fields":"#, fields]);
    for (name, value) in &record.extra {
        push([br#",""#, name, br#"":"#, value]);
    }
    register.push(b'}');
}

/// The name of a slot's register.
fn of_slot(kind: char, slot: u32, qa: i64) -> String {
    let mut field = String::with_capacity(24);
    field.push(kind);
    field.push('/');
    field.push_str(itoa::Buffer::new().format(slot));
    field.push('/');
    field.push_str(itoa::Buffer::new().format(qa));
    field
}

fn fold_bare(bare: Bare<'_>) -> Folded<'_> {
    let order = Order::new(bare.ts, b"", 0, bare.id.as_bytes());
    let mut ops = vec![op("w", order.followed_by(bare.line))];
    if bare.ts > 0 {
        ops.push(op("here", Order::number(bare.ts).0));
    }
    Folded {
        key: bare.key,
        quiz: None,
        ops,
    }
}

/// The ids a record says.
fn known(ids: &Ids) -> impl Iterator<Item = (&'static str, i64)> {
    let members = [
        ("quiz", ids.quiz),
        ("usage", ids.usage),
        ("student_id", ids.student_id),
        ("preview", ids.preview.then_some(1)),
    ];
    let known = members.into_iter();
    known.filter_map(|(name, id)| id.map(|id| (name, id)))
}

/// A register of an order of two numbers, and the ids as JSON.
fn with_ids(number: u64, seq: i64, ids: &Ids) -> Vec<u8> {
    let mut register = Order::with_room(96, number, b"", seq, b"").0;
    let mut before: &[u8] = b"{\"";
    for (name, id) in known(ids) {
        register.extend_from_slice(before);
        register.extend_from_slice(name.as_bytes());
        register.extend_from_slice(b"\":");
        register.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        before = b",\"";
    }
    register.push(b'}');
    register
}

/// How long the summary behind an answer is: whether it is answered, whether it is flagged,
/// the digest of what was entered. It lets a store cut what a board shows out of an answer without
/// reading it, and begins nowhere in the answer, so that the two come apart again.
pub(crate) const SUMMARY: usize = 2 + DIGEST;

/// The length of a digest: 64 bits tell a slot's last answer from its first one.
const DIGEST: usize = 16;

/// A digest of what the student entered (the fields by name, without the question engine's control
/// fields, which change without the student), and whether the question is flagged.
fn entered(fields: &[u8]) -> ([u8; DIGEST], bool) {
    let mut entered: Vec<[Cow<'_, [u8]>; 2]> = Vec::new();
    let mut flagged = false;
    // The line was checked as a whole; a text that is no object has no fields.
    let _ = members(fields, |name, value| {
        let name = string_bytes(name).unwrap_or(Cow::Borrowed(name));
        // Numbers and their texts are the same to PHP.
        let value = string_bytes(value).unwrap_or(Cow::Borrowed(value));
        if name.ends_with(b":flagged") {
            flagged = !matches!(&value[..], b"" | b"0" | b"false" | b"null");
        } else if !name.ends_with(b":sequencecheck") {
            entered.push([name, value]);
        }
    });
    entered.sort_by(|a, b| a[0].cmp(&b[0])); // stable: of one name twice, the last is the last
    let mut hash = Sha256::new();
    for (i, [name, value]) in entered.iter().enumerate() {
        if entered.get(i + 1).is_none_or(|next| next[0] != *name) {
            for part in [name, value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
    }
    let first = hash.finalize().first_chunk().copied();
    (hex(u64::from_be_bytes(first.unwrap_or_default())), flagged)
}
