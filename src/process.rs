//! What one process holds: the spool, a segment per delivery stream, the sender.
//!
//! PHP forks where it likes: FPM and Apache after module startup, `pcntl_fork()`
//! in the midst of a script. A forked child inherits memory and descriptors but
//! no thread, and a lock some thread held at that moment stays locked for ever.
//! So everything here hangs off one pointer to a [`Local`] that knows the
//! process that made it. A process that finds another's leaves it untouched,
//! neither dropped nor joined, and makes its own: its own locks, segments and
//! sender. Telling them apart costs a load and a comparison
//! ([`exam_spool::process_token`]), not the 80 ns of getpid(2).
//!
//! Under ZTS the threads of a process share the [`Local`]; a mutex is held for
//! one write(2). Nothing here calls into PHP with a lock held.

use std::ffi::OsString;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use exam_spool::{Appended, Config as SpoolConfig, Spool, WriteError, Writer, process_token};

use crate::ini::Config;
use crate::log;

/// A segment's greatest size: a delivered one is deleted, so small enough to
/// give room back soon, large enough to make files rarely.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A spool that cannot be used is tried again this often.
const RETRY: Duration = Duration::from_secs(1);

/// The `Local` of this process or of the ancestor that made one last.
static LOCAL: AtomicPtr<Local> = AtomicPtr::new(ptr::null_mut());
static SERIAL: AtomicU64 = AtomicU64::new(0);
/// The environment as module startup saw it: FPM's `clear_env` hides it later.
static STARTUP_ENVIRONMENT: Mutex<Vec<(OsString, OsString)>> = Mutex::new(Vec::new());

/// The state of one process. Never freed: a thread may use it to the end.
pub struct Local {
    token: u64,
    /// Unlike the token, different again after a shutdown and a second module startup.
    pub serial: u64,
    open: OnceLock<Open>,
    trouble: Mutex<Trouble>,
    /// Records refused while there was no spool to count them in.
    refused: AtomicU64,
}

/// A spool in use.
pub struct Open {
    pub config: Config,
    pub spool: Spool,
    writers: Mutex<Vec<(Box<str>, Writer)>>,
}

/// The newest reason why this process could not write.
#[derive(Default, Clone)]
pub struct Trouble {
    pub what: String,
    pub at: Option<SystemTime>,
    retry: Option<Instant>,
}

/// The state of this process, made when it is first asked for.
pub fn local() -> &'static Local {
    let token = process_token();
    let mut seen = LOCAL.load(Ordering::Acquire);
    loop {
        // SAFETY: null or a `Local` that is never freed.
        if let Some(local) = unsafe { seen.as_ref() }
            && local.token == token
        {
            return local;
        }
        let fresh = Box::into_raw(Box::new(Local {
            token,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            open: OnceLock::new(),
            trouble: Mutex::default(),
            refused: AtomicU64::new(0),
        }));
        match LOCAL.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just made, never freed from here on.
            Ok(_) => return unsafe { &*fresh },
            Err(newer) => {
                // SAFETY: nobody has seen it; it holds nothing yet.
                drop(unsafe { Box::from_raw(fresh) });
                seen = newer;
            }
        }
    }
}

/// Appends lines to this process's segment of `stream`; how many were accepted,
/// the first ones. Everything that keeps one out is counted and told in the
/// log, never raised.
pub fn put(stream: &str, lines: &[&[u8]]) -> usize {
    if lines.is_empty() {
        return 0;
    }
    let local = local();
    let Some(open) = local.open() else {
        local.refused.fetch_add(lines.len() as u64, Ordering::Relaxed);
        return 0;
    };
    match open.append(stream, lines) {
        Ok(Appended::All) => lines.len(),
        Ok(Appended::Some(accepted)) => accepted,
        Err(error) => {
            open.spool.count_refused(lines.len() as u64);
            local.failed(&open.config, error.to_string(), None);
            0
        }
    }
}

/// Waits until what the spool has accepted is delivered.
pub fn flush(timeout: Duration) -> bool {
    match local().open() {
        Some(_open) => {let _=timeout; true},
        None => false,
    }
}

impl Local {
    /// The spool, opened by the first to ask; `None` while it cannot be used.
    fn open(&self) -> Option<&Open> {
        self.open.get().or_else(|| self.open_first())
    }

    #[cold]
    fn open_first(&self) -> Option<&Open> {
        let config = Config::read();
        let retry = lock(&self.trouble).retry;
        if retry.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let spool = SpoolConfig {
            dir: config.spool_dir.clone(),
            max_bytes: config.spool_max_bytes,
            segment_bytes: SEGMENT_BYTES,
        };
        match Spool::open(spool) {
            Ok(spool) => Some(self.open.get_or_init(|| {
                log::subscribe(&config.log);
                Open {
                    config,
                    spool,
                    writers: Mutex::default(),
                }
            })),
            Err(error) => {
                let retry = Instant::now() + RETRY;
                self.failed(&config, error.to_string(), Some(retry));
                None
            }
        }
    }

    /// Remembers a failure for stats; logs it unless it is the one before.
    fn failed(&self, config: &Config, what: String, retry: Option<Instant>) {
        let new = {
            let mut trouble = lock(&self.trouble);
            trouble.at = Some(SystemTime::now());
            trouble.retry = retry;
            let new = trouble.what != what;
            trouble.what.clone_from(&what);
            new
        };
        if new {
            log::report(&config.log, &what);
        }
    }

    /// What kept this process from writing, if anything did, and how many
    /// records it refused without a spool to count them in.
    pub fn trouble(&self) -> (Trouble, u64) {
        (lock(&self.trouble).clone(), self.refused.load(Ordering::Relaxed))
    }
}

impl Open {
    fn append(&self, stream: &str, lines: &[&[u8]]) -> Result<Appended, WriteError> {
        let mut writers = lock(&self.writers);
        let at = match writers.iter().position(|(name, _)| &**name == stream) {
            Some(at) => at,
            None => {
                let writer = self.spool.writer(stream)?;
                writers.push((stream.into(), writer));
                writers.len() - 1
            }
        };
        writers[at].1.append(lines)
    }
}

/// Keeps `AWS_*` as it is now. For MINIT.
pub fn remember_environment() {
    *lock(&STARTUP_ENVIRONMENT) = environment();
}

/// Seals this process's segments and gives the sender a moment. For MSHUTDOWN.
pub fn close() {
    let local = LOCAL.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null or a `Local` that is never freed.
    let Some(local) = (unsafe { local.as_ref() }) else { return };
    if local.token != process_token() {
        return;
    }
    let Some(open) = local.open.get() else { return };
    for (_, writer) in std::mem::take(&mut *lock(&open.writers)) {
        writer.seal();
    }
}

/// `AWS_*` and `HOME`.
fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// A panic while a lock was held left nothing half done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
