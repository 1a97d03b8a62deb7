//! How often to look for new records: every few milliseconds while there are
//! some, ever more seldom while there are none, and at once when a put of this
//! very process says so.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const BUSY: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(100);
/// A put wakes a loop only if it would sleep at least this long.
const WORTH_WAKING: Duration = Duration::from_millis(10);

/// Wakes the loops of the sender from any thread, for a load of a variable
/// while they are busy anyway.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    sleepy: AtomicUsize,
    notify: Notify,
}

impl Wake {
    pub fn wake(&self) {
        if self.sleepy.load(Ordering::Relaxed) > 0 {
            self.notify.notify_waiters();
        }
    }

    pub fn wake_always(&self) {
        self.notify.notify_waiters();
    }
}

/// One loop's pace.
pub(crate) struct Poll<'a> {
    wake: &'a Wake,
    interval: Duration,
    sleepy: bool,
}

impl<'a> Poll<'a> {
    pub fn new(wake: &'a Wake) -> Poll<'a> {
        Poll {
            wake,
            interval: BUSY,
            sleepy: false,
        }
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub fn busy(&mut self) {
        self.interval = BUSY;
    }

    /// How long to sleep after a look that found something, or nothing.
    pub fn next(&mut self, found: bool) -> Duration {
        self.interval = if found {
            BUSY
        } else {
            self.interval.mul_f32(1.25).min(IDLE)
        };
        self.sleepy(self.interval >= WORTH_WAKING);
        self.interval
    }

    fn sleepy(&mut self, sleepy: bool) {
        if sleepy != self.sleepy {
            self.sleepy = sleepy;
            if sleepy {
                self.wake.sleepy.fetch_add(1, Ordering::Relaxed);
            } else {
                self.wake.sleepy.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends when somebody wakes the sender; whoever does from now on counts.
    pub fn woken(&self) -> impl Future<Output = ()> + use<'a> {
        self.wake.notify.notified()
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.sleepy(false);
    }
}
