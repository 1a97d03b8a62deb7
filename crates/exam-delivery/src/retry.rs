//! When to try again, apart from what is tried.
//!
//! Exponential backoff with full jitter: the wait is drawn between zero and a
//! ceiling that doubles from [`FIRST`] to the cap of the failure's kind, so
//! that the senders of many hosts spread out after a common outage.

use crate::put::PutError;
use std::time::Duration;

/// Ceiling of the first wait.
pub const FIRST: Duration = Duration::from_millis(200);
/// Ceiling of every wait on a service that answers but will not take records.
pub const MOST: Duration = Duration::from_secs(30);
/// Ceiling while nothing answers at all. A spool has one sender, and a stalled
/// stream makes one call at a time: a connection every few seconds burdens
/// nobody and ends the outage seconds, not half a minute, after it is over.
pub const MOST_UNREACHABLE: Duration = Duration::from_secs(3);

/// The wait after each failure in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Draws the wait after one more failure.
    pub fn next(&mut self, most: Duration) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(most);
        self.failures = (self.failures + 1).min(31);
        ceiling.mul_f64(fastrand::f64())
    }

    /// A success: the next failure starts from [`FIRST`] again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The greatest wait a failure of this kind may cause.
pub fn most(error: &PutError) -> Duration {
    match error {
        PutError::Unavailable(_) => MOST_UNREACHABLE,
        PutError::Refused(_) | PutError::Held(_) | PutError::Throttled(_) => MOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let mut ceiling = FIRST;
        for _ in 0..64 {
            assert!(backoff.next(MOST) <= ceiling);
            ceiling = (ceiling * 2).min(MOST);
        }
        let late: Duration = (0..200).map(|_| backoff.next(MOST)).sum();
        assert!(
            late > 200 * MOST / 4,
            "full jitter averages half the ceiling"
        );
        backoff.reset();
        assert!(backoff.next(MOST) <= FIRST);
    }
}
