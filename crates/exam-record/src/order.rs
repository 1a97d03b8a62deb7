//! Where a write stands among all writes to its register.

/// The place of a record, as bytes that compare (memcmp) as their parts do:
/// `at` in microseconds, `page`, `seq`, `id`.
///
/// ```text
/// 16 lowercase hex digits of at | page, ended | 16 hex digits of seq, sign bit flipped | id, ended
/// ```
/// A text is ended by `00 01`, and a NUL in it is written `00 FF`. So no order is the beginning
/// of another one, and a register, which is its order followed by its value, compares as the pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(pub(crate) Vec<u8>);

impl Order {
    pub fn new(at: u64, page: &[u8], seq: i64, id: &[u8]) -> Self {
        Order::with_room(0, at, page, seq, id)
    }

    /// [`Order::new`] with room for a value of `room` bytes behind it.
    pub(crate) fn with_room(room: usize, at: u64, page: &[u8], seq: i64, id: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(16 + page.len() + 2 + 16 + id.len() + 2 + room);
        bytes.extend_from_slice(&hex(at));
        push_text(&mut bytes, page);
        bytes.extend_from_slice(&hex(seq as u64 ^ 1 << 63));
        push_text(&mut bytes, id);
        Order(bytes)
    }

    /// An order that is one number only: a time, a count.
    pub fn number(n: u64) -> Self {
        Order::new(n, b"", 0, b"")
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A register: this order and its value.
    pub(crate) fn followed_by(self, value: &[u8]) -> Vec<u8> {
        let mut register = self.0;
        register.extend_from_slice(value);
        register
    }

    /// The first part: microseconds, or the number of [`Order::number`].
    pub fn at(&self) -> u64 {
        read_hex(&self.0).unwrap_or(0)
    }

    /// The first part of the order of a register as stored.
    pub fn number_of(register: &[u8]) -> Option<u64> {
        read_hex(register)
    }

    /// The third part of an order as stored.
    pub(crate) fn seq(order: &[u8]) -> Option<i64> {
        Some(cut(order)?.seq)
    }

    /// What an order was made of: `at`, `page`, `seq`, `id`.
    pub(crate) fn parts(order: &[u8]) -> Option<(u64, Vec<u8>, i64, Vec<u8>)> {
        let order = cut(order)?;
        // In no text of ours is a byte FF but behind a NUL.
        let text = |ended: &[u8]| {
            let text = ended[..ended.len() - 2].iter().copied();
            text.filter(|byte| *byte != 0xFF).collect()
        };
        Some((order.at, text(order.page), order.seq, text(order.id)))
    }

    /// Splits a register as stored into order and value; `None` if it does not begin with one.
    pub fn split(register: &[u8]) -> Option<(&[u8], &[u8])> {
        let value = cut(register)?.value;
        Some((&register[..register.len() - value.len()], value))
    }
}

/// A register as stored; page and id with their ends.
struct Cut<'a> {
    at: u64,
    page: &'a [u8],
    seq: i64,
    id: &'a [u8],
    value: &'a [u8],
}

fn cut(register: &[u8]) -> Option<Cut<'_>> {
    let at = read_hex(register)?;
    let (page, rest) = split_text(&register[16..])?;
    let seq = (read_hex(rest)? ^ 1 << 63) as i64;
    let (id, value) = split_text(&rest[16..])?;
    Some(Cut {
        at,
        page,
        seq,
        id,
        value,
    })
}

/// A number as 16 lowercase hex digits.
pub(crate) fn hex(n: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(n >> (60 - 4 * i) & 15) as usize])
}

pub(crate) fn read_hex(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.get(..16)?;
    digits.iter().try_fold(0, |n, &d| {
        let digit = match d {
            b'0'..=b'9' => d - b'0',
            b'a'..=b'f' => d - b'a' + 10,
            _ => return None,
        };
        Some(n << 4 | u64::from(digit))
    })
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(nul) = memchr::memchr(0, rest) {
        bytes.extend_from_slice(&rest[..nul]);
        bytes.extend_from_slice(&[0, 0xFF]);
        rest = &rest[nul + 1..];
    }
    bytes.extend_from_slice(rest);
    bytes.extend_from_slice(&[0, 1]);
}

/// An ended text, its end included, and what follows it.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += memchr::memchr(0, &bytes[at..])?;
        match bytes.get(at + 1)? {
            1 => return Some(bytes.split_at(at + 2)),
            0xFF => at += 2,
            _ => return None,
        }
    }
}
