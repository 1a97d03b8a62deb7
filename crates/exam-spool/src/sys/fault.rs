//! Faults for tests: makes this thread's next system calls fail, fall short,
//! or be the process's last.

use std::cell::RefCell;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Write,
    Truncate,
    Sync,
    SyncDir,
    Rename,
    Unlink,
    Punch,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Fails with this errno.
    Errno(i32),
    /// A write takes this many thousandths of the bytes.
    Short(usize),
    /// The process is killed: in the middle of a write, before any other call.
    Kill(usize),
}

#[derive(Default)]
struct Plan {
    /// Counts down over all calls; at 0 the fault strikes.
    after: Option<(usize, Fault)>,
    /// Strikes at each call of the kind.
    each: Option<(Call, Fault)>,
    calls: usize,
}

thread_local!(static PLAN: RefCell<Plan> = RefCell::default());

pub(crate) fn at_call(n: usize, fault: Fault) {
    PLAN.with_borrow_mut(|p| p.after = Some((n, fault)));
}

pub(crate) fn each(call: Call, fault: Fault) {
    PLAN.with_borrow_mut(|p| p.each = Some((call, fault)));
}

pub(crate) fn end_each() {
    PLAN.with_borrow_mut(|p| p.each = None);
}

/// Ends all faults; says how many calls were made since the last time.
pub(crate) fn clear() -> usize {
    PLAN.take().calls
}

fn strikes(call: Call) -> Option<Fault> {
    PLAN.with_borrow_mut(|p| {
        p.calls += 1;
        match &mut p.after {
            Some((0, fault)) => {
                let fault = *fault;
                p.after = None;
                return Some(fault);
            }
            Some((n, _)) => *n -= 1,
            None => {}
        }
        p.each
            .filter(|(kind, _)| *kind == call)
            .map(|(_, fault)| fault)
    })
}

pub(crate) fn before(call: Call) -> io::Result<()> {
    match strikes(call) {
        Some(Fault::Errno(e)) => Err(io::Error::from_raw_os_error(e)),
        Some(Fault::Kill(_)) => die(),
        Some(Fault::Short(_)) | None => Ok(()),
    }
}

/// The bytes to write instead, and whether to die after it.
pub(crate) fn before_write(bytes: &[u8]) -> io::Result<(&[u8], bool)> {
    match strikes(Call::Write) {
        Some(Fault::Errno(e)) => Err(io::Error::from_raw_os_error(e)),
        Some(Fault::Short(part)) => Ok((&bytes[..bytes.len() * part / 1000], false)),
        Some(Fault::Kill(part)) => Ok((&bytes[..bytes.len() * part / 1000], true)),
        None => Ok((bytes, false)),
    }
}

pub(crate) fn die() -> ! {
    // SAFETY: kills this process; nothing is to be kept whole.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("killed")
}
