//! The state of one attempt, in memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::fold::Op;
use crate::order::Order;

/// The register that absorbs all others of its attempt.
pub(crate) const ERASED: &[u8] = b"erased";

/// Which of two writes to a register stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    Max,
    Min,
}

impl Join {
    /// A register's name says how it joins: `e/…` and `f/…` keep the least, all others the
    /// greatest.
    pub fn of(field: &[u8]) -> Join {
        match field {
            [b'e' | b'f', b'/', ..] => Join::Min,
            _ => Join::Max,
        }
    }

    /// Whether a write that compares to the register's content like this replaces it.
    fn takes(self, new_to_old: Ordering) -> bool {
        match self {
            Join::Max => new_to_old == Ordering::Greater,
            Join::Min => new_to_old == Ordering::Less,
        }
    }
}

/// The registers of one attempt, by name; each is an [`Order`] followed by a value, and stores
/// keep just these bytes. Two writes compare by memcmp, so equal orders fall to the value and the
/// join stays commutative even for records that share an id.
///
/// The register `erased` is above all of them: where it is, it is the only one.
///
/// It is the reference the stores are tested against, and the pre-fold of a batch, so that only
/// winners travel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers(BTreeMap<Vec<u8>, Vec<u8>>);

impl Registers {
    pub fn apply(&mut self, op: Op<'_>) {
        self.join(op.field, op.register);
    }

    pub fn merge(&mut self, other: Registers) {
        for (field, register) in other.0 {
            self.join(Cow::Owned(field), register);
        }
    }

    /// Joins a register as a store keeps it; false, and nothing changed, if it is not one.
    pub fn insert_stored(&mut self, field: Vec<u8>, register: Vec<u8>) -> bool {
        let valid = Order::split(&register).is_some();
        if valid {
            self.join(Cow::Owned(field), register);
        }
        valid
    }

    fn join(&mut self, field: Cow<'_, [u8]>, register: Vec<u8>) {
        if self.absorbs(&field) {
            return;
        }
        match self.0.get_mut(&field[..]) {
            Some(old) => {
                if Join::of(&field).takes(register.cmp(old)) {
                    *old = register;
                }
            }
            None => drop(self.0.insert(field.into_owned(), register)),
        }
    }

    /// Whether a write changes nothing because the attempt was erased. One that erases it empties
    /// all other registers.
    fn absorbs(&mut self, field: &[u8]) -> bool {
        if field == ERASED {
            self.0.retain(|field, _| field == ERASED);
            return false;
        }
        self.is_erased()
    }

    /// Whether the attempt was erased: then nothing else is kept of it.
    pub fn is_erased(&self) -> bool {
        self.0.len() == 1 && self.0.contains_key(ERASED)
    }

    /// The registers as stores keep them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(f, r)| (&f[..], &r[..]))
    }

    /// Order and value of one register.
    pub fn get(&self, field: &[u8]) -> Option<(&[u8], &[u8])> {
        Order::split(self.0.get(field)?)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all registers and their names.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(f, r)| f.len() + r.len()).sum()
    }
}
