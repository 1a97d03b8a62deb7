//! `exam_stream_remember()` and `exam_stream_recall()`: what one request of a
//! process found out and the next ones may use, for seconds.
//!
//! A memory of strings by name, small enough to be searched in order. It
//! promises nothing: what does not fit is not remembered, and a forked child
//! begins with none. It is the process's, and a pool may run the scripts of
//! several sites: each file of PHP code has names of its own, so what a file
//! recalls was remembered by the code in it.

use std::time::{Duration, Instant};

/// Names at once.
const ENTRIES: usize = 64;
/// The longest name, in bytes.
pub const NAME_BYTES: usize = 256;
/// The longest value, in bytes.
pub const VALUE_BYTES: usize = 4096;
/// The longest time.
pub const MOST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Memory {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    value: Box<[u8]>,
    until: Instant,
}

impl Memory {
    /// `false`: there is no room.
    pub fn remember(&mut self, name: &[u8], value: &[u8], until: Instant, now: Instant) -> bool {
        self.entries
            .retain(|entry| entry.until > now && *entry.name != *name);
        if self.entries.len() >= ENTRIES {
            return false;
        }
        self.entries.push(Entry {
            name: name.into(),
            value: value.into(),
            until,
        });
        true
    }

    pub fn recall(&self, name: &[u8], now: Instant) -> Option<&[u8]> {
        self.entries
            .iter()
            .find(|entry| *entry.name == *name && entry.until > now)
            .map(|entry| &*entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_remembered_is_recalled_until_its_time_is_over() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(memory.remember(b"a", b"1", now + SECOND, now));
        assert!(memory.remember(b"b", b"2", now + SECOND * 3, now));
        assert_eq!(memory.recall(b"a", now), Some(&b"1"[..]));
        assert_eq!(memory.recall(b"c", now), None);
        assert_eq!(memory.recall(b"a", now + SECOND), None);
        assert_eq!(memory.recall(b"b", now + SECOND), Some(&b"2"[..]));
    }

    #[test]
    fn a_later_value_takes_the_place_of_an_earlier_one() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.remember(b"a", b"1", now + SECOND, now);
        memory.remember(b"a", b"2", now + SECOND, now);
        assert_eq!(memory.recall(b"a", now), Some(&b"2"[..]));
        assert_eq!(memory.entries.len(), 1);
    }

    #[test]
    fn a_full_memory_takes_nothing_new_until_something_is_over() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for i in 0..ENTRIES as u8 {
            let seconds = if i == 7 { 1 } else { 9 };
            assert!(memory.remember(&[i], b"x", now + SECOND * seconds, now));
        }
        assert!(!memory.remember(b"new", b"x", now + SECOND, now));
        assert!(memory.remember(&[3], b"y", now + SECOND, now));
        let later = now + SECOND * 2;
        assert!(memory.remember(b"new", b"x", later + SECOND, later));
        assert_eq!(memory.recall(&[9], later), Some(&b"x"[..]));
    }
}
