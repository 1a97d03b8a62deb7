//! From a record to the registers it writes. The table is on the crate's first page.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::json::{members, string_bytes};
use crate::key::{AttemptKey, escape};
use crate::order::Order;
use crate::record::{Bare, Ids, Malformed, Parsed, Record, lifecycle_rank, parse, short_hash};

/// One write to one register. Whether the greatest or the least wins is the register's, see
/// [`Join::of`](crate::Join::of).
#[derive(Clone, Debug, PartialEq)]
pub struct Op<'a> {
    pub field: Cow<'a, [u8]>,
    pub order: Order,
    pub value: Cow<'a, [u8]>,
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

fn op<'a>(field: impl Into<Cow<'a, str>>, order: Order, value: impl Into<Cow<'a, [u8]>>) -> Op<'a> {
    let field = match field.into() {
        Cow::Borrowed(f) => Cow::Borrowed(f.as_bytes()),
        Cow::Owned(f) => Cow::Owned(f.into_bytes()),
    };
    Op {
        field,
        order,
        value: value.into(),
    }
}

fn fold_record(record: Record<'_>) -> Folded<'_> {
    let mut ops = Vec::with_capacity(4 + record.slots.len() + record.counts.len());
    let order = Order::new(
        record.at,
        record.page.as_bytes(),
        record.seq,
        record.id.as_bytes(),
    );
    match &*record.kind {
        "answer" => {
            // parse() gives an answer all three.
            if let (Some(slot), Some(qa), Some(fields)) = (record.slot, record.qa, record.fields) {
                if record.status == Some(1) {
                    let digest = fields_digest(fields);
                    ops.push(op(
                        format!("f/{slot}/{qa}"),
                        order.clone(),
                        digest.into_bytes(),
                    ));
                }
                ops.push(op(format!("a/{slot}/{qa}"), order, record.line));
            }
        }
        "saved" => {
            for (slot, qa) in &record.slots {
                ops.push(op(format!("s/{slot}/{qa}"), order.clone(), &b""[..]));
            }
        }
        "help" => {
            let mut field = String::from("h/");
            escape(&mut field, &record.id);
            ops.push(op(field, order, record.line));
        }
        kind => {
            if let Some(rank) = lifecycle_rank(kind) {
                let order = Order::new(record.ts, b"", rank, record.id.as_bytes());
                ops.push(op("l", order, kind.as_bytes().to_vec()));
            }
            if let Some(greatest) = record.slots.iter().map(|(slot, _)| *slot).max() {
                ops.push(op("z", Order::number(greatest.into()), &b""[..]));
            }
        }
    }
    for (counter, count) in &record.counts {
        let mut field = String::from("c/");
        escape(&mut field, &record.page);
        field.push('/');
        escape(&mut field, counter);
        ops.push(op(field, Order::number(*count), &b""[..]));
    }
    if let Some((known, value)) = ids_value(&record.ids) {
        // A record that knows more of them wins over a later one that knows less.
        let id = [record.ts.to_be_bytes().as_slice(), record.id.as_bytes()].concat();
        ops.push(op("i", Order::new(known, b"", 0, &id), value.into_bytes()));
    }
    ops.push(op("seen", Order::number(record.ts), &b""[..]));
    Folded {
        key: record.key,
        quiz: record.ids.quiz,
        ops,
    }
}

fn fold_bare(bare: Bare<'_>) -> Folded<'_> {
    let mut ops = vec![op(
        "w",
        Order::new(bare.ts, b"", 0, bare.id.as_bytes()),
        bare.line,
    )];
    if bare.ts > 0 {
        ops.push(op("seen", Order::number(bare.ts), &b""[..]));
    }
    Folded {
        key: bare.key,
        quiz: None,
        ops,
    }
}

/// The ids as the register `i` keeps them, and how many there are.
fn ids_value(ids: &Ids) -> Option<(u64, String)> {
    let mut value = String::from("{");
    let mut known = 0;
    let members = [
        ("quiz", ids.quiz),
        ("usage", ids.usage),
        ("student_id", ids.student_id),
        ("preview", ids.preview.then_some(1)),
    ];
    for (name, id) in members {
        if let Some(id) = id {
            let comma = if known == 0 { "" } else { "," };
            let _ = write!(value, r#"{comma}"{name}":{id}"#);
            known += 1;
        }
    }
    value.push('}');
    (known > 0).then_some((known, value))
}

/// A digest of what the student entered: the fields by name, without the question engine's
/// control fields, which change without the student.
pub(crate) fn fields_digest(fields: &[u8]) -> String {
    let mut entered: Vec<[Cow<'_, [u8]>; 2]> = Vec::new();
    // The line was checked as a whole; a text that is no object has no fields.
    let _ = members(fields, |name, value| {
        let name = string_bytes(name).unwrap_or(Cow::Borrowed(name));
        if !name.ends_with(b":sequencecheck") && !name.ends_with(b":flagged") {
            // Numbers and their texts are the same to PHP.
            entered.push([name, string_bytes(value).unwrap_or(Cow::Borrowed(value))]);
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
    short_hash(&hash.finalize())
}
