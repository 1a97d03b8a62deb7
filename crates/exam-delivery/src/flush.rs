//! Waiting, on any thread of any process, until a spool is delivered.

use exam_spool::{Cursor, Spool};
use std::io;
use std::time::{Duration, Instant};

const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_millis(20);

/// `true` when everything the spool had accepted before the call is delivered
/// (or quarantined, which its totals tell). Sends nothing itself: wake the
/// sender first if it is this process.
pub fn flush(spool: &Spool, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    let mut targets = spool.accepted_targets()?;
    let mut wait = LEAST;
    loop {
        if spool.passed(&mut targets, Cursor::Delivery)? {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(wait.min(left));
        wait = (wait * 2).min(MOST);
    }
}
