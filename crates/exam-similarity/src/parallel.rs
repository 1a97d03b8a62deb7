//! A loop over numbers on all processors.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// `f` of 0, 1 … `count` - 1, in this order.
pub(crate) fn map<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut parts: Vec<(usize, T)> =
        fold(count, Vec::new, |part, index| part.push((index, f(index))))
            .into_iter()
            .flatten()
            .collect();
    parts.sort_unstable_by_key(|(index, _)| *index);
    parts.into_iter().map(|(_, value)| value).collect()
}

/// Each processor takes numbers of 0 … `count` - 1 as it gets to them and collects what they give
/// in a `T` of its own.
pub(crate) fn fold<T: Send>(
    count: usize,
    new: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, usize) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut own = new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return own;
            }
            each(&mut own, index);
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads().min(count.max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let mut parts = vec![work()];
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    })
}
