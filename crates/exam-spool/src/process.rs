//! Tells a process from its forked children without a system call.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const PAGE: usize = 4096;
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// A number no ancestor of this process has: it differs before and after a
/// fork, and stays the same within a process.
///
/// It lies in a page the kernel zeroes in a forked child (`MADV_WIPEONFORK`,
/// Linux 4.14); where the kernel cannot, it is the process id, at the price of
/// a system call.
pub fn process_token() -> u64 {
    let word = WORD.load(Ordering::Acquire);
    // SAFETY: a non-null WORD points to an AtomicU64 that is never freed.
    match unsafe { word.as_ref() } {
        None => first_token(),
        Some(word) => match word.load(Ordering::Relaxed) {
            0 => next_generation(word),
            token => token,
        },
    }
}

fn next_generation(word: &AtomicU64) -> u64 {
    // Inherited by the child, so along one line of descent it only grows.
    let token = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, token, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => token,
        Err(other_thread) => other_thread,
    }
}

#[cold]
fn first_token() -> u64 {
    let layout = Layout::from_size_align(PAGE, PAGE).expect("a page is a valid layout");
    // SAFETY: the layout is not empty; the page belongs to this function until
    // it is published, is private anonymous memory as malloc's always is, and
    // is used for nothing else, so wiping it in a child harms nobody.
    unsafe {
        let page = alloc_zeroed(layout);
        if page.is_null() || libc::madvise(page.cast(), PAGE, libc::MADV_WIPEONFORK) != 0 {
            if !page.is_null() {
                dealloc(page, layout);
            }
            return u64::from(std::process::id());
        }
        let null = std::ptr::null_mut();
        let mine = page.cast::<AtomicU64>();
        match WORD.compare_exchange(null, mine, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => next_generation(&*mine),
            Err(theirs) => {
                libc::madvise(page.cast(), PAGE, libc::MADV_KEEPONFORK);
                dealloc(page, layout);
                next_or_current(&*theirs)
            }
        }
    }
}

fn next_or_current(word: &AtomicU64) -> u64 {
    match word.load(Ordering::Relaxed) {
        0 => next_generation(word),
        token => token,
    }
}

/// Identifies this pid namespace: a pid says something only within it. 0 if unknown.
pub(crate) fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| std::os::unix::fs::MetadataExt::ino(&m))
}
