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

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use exam_delivery::{AwsEnv, PutBatch, SenderConfig, SenderHandle};
use exam_spool::{Appended, Config as SpoolConfig, Spool, WriteError, Writer, process_token};

use crate::ini::Config;
use crate::log;
use crate::memory::Memory;

/// A segment's greatest size: a delivered one is deleted, so small enough to
/// give room back soon, large enough to make files rarely.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A spool that cannot be used is tried again this often.
const RETRY: Duration = Duration::from_secs(1);

/// The `Local` of this process, or of the ancestor that made one last.
static LOCAL: AtomicPtr<Local> = AtomicPtr::new(ptr::null_mut());
static SERIAL: AtomicU64 = AtomicU64::new(0);
/// The environment at module startup: FPM's `clear_env` hides it later.
static STARTUP_ENVIRONMENT: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The state of one process. Never freed: a thread may use it to the end.
pub struct Local {
    token: u64,
    /// Unlike the token, new after a shutdown and a second module startup too.
    pub serial: u64,
    open: OnceLock<Open>,
    /// One thread opens, the others wait for it: of two senders one would be idle.
    opening: Mutex<Option<Instant>>,
    trouble: Mutex<Option<(String, SystemTime)>>,
    /// Records refused while there was no spool to count them in.
    refused: AtomicU64,
    memory: Mutex<Memory>,
}

/// A spool in use.
struct Open {
    config: Config,
    spool: Spool,
    hands: Mutex<Hands>,
}

/// What only one thread may use at a time.
struct Hands {
    writers: Vec<(Box<str>, Writer)>,
    /// `None`: `exam_stream.sender` is off.
    sender: Option<SenderHandle>,
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
            opening: Mutex::default(),
            trouble: Mutex::default(),
            refused: AtomicU64::new(0),
            memory: Mutex::default(),
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
/// the first ones. Whatever keeps one out is counted and told in the log, never
/// raised.
pub fn put(stream: &str, lines: &[&[u8]]) -> usize {
    if lines.is_empty() {
        return 0;
    }
    let local = local();
    let Some(open) = local.open() else {
        local
            .refused
            .fetch_add(lines.len() as u64, Ordering::Relaxed);
        return 0;
    };
    match open.append(stream, lines) {
        Ok(Appended::All) => lines.len(),
        Ok(Appended::Some(accepted)) => accepted,
        Err(error) => {
            local.failed(&open.config, error.to_string());
            0
        }
    }
}

/// Waits until what the spool has accepted is delivered.
pub fn flush(timeout: Duration) -> bool {
    let local = local();
    let Some(open) = local.open() else {
        return false;
    };
    if let Some(sender) = &lock(&open.hands).sender {
        sender.wake();
    }
    exam_delivery::flush(&open.spool, timeout).unwrap_or_else(|error| {
        local.failed(&open.config, format!("the spool cannot be read: {error}"));
        false
    })
}

/// The spool, for looking only: no sender is started and no directory made.
/// `None`: nobody has put yet.
pub fn spool() -> Result<Option<Spool>, String> {
    if let Some(open) = local().open.get() {
        return Ok(Some(open.spool.clone()));
    }
    let config = Config::read();
    match config.spool_dir.try_exists() {
        Ok(false) => Ok(None),
        _ => open_spool(&config).map(Some),
    }
}

/// What last kept this process from writing, and how many records it refused
/// without a spool to count them in.
pub fn trouble() -> (Option<(String, SystemTime)>, u64) {
    let local = local();
    (
        lock(&local.trouble).clone(),
        local.refused.load(Ordering::Relaxed),
    )
}

/// What this process remembers for its next requests. Hold it for no call into PHP.
pub fn memory() -> MutexGuard<'static, Memory> {
    lock(&local().memory)
}

/// Keeps the environment as it is now. For MINIT.
pub fn remember_environment() {
    *lock(&STARTUP_ENVIRONMENT) = environment();
}

/// Seals this process's segments and lets its sender finish, for at most
/// `shutdown_ms` altogether. For MSHUTDOWN.
pub fn close() {
    let local = LOCAL.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null or a `Local` that is never freed.
    let Some(local) = (unsafe { local.as_ref() }) else {
        return;
    };
    let Some(open) = local.open.get().filter(|_| local.token == process_token()) else {
        return;
    };
    let mut hands = lock(&open.hands);
    for (_, writer) in hands.writers.drain(..) {
        writer.seal();
    }
    let Some(sender) = hands.sender.take() else {
        return;
    };
    let deadline = Instant::now() + open.config.shutdown;
    // Where another process sends, it will send this too. Where none does, as
    // at the end of a short script, ours may not even have been elected yet.
    let others = !sender.elected() && matches!(open.spool.sender_pid(), Ok(Some(_)));
    if !others {
        let _ = exam_delivery::flush(&open.spool, open.config.shutdown);
    }
    sender.stop(deadline.saturating_duration_since(Instant::now()));
}

impl Local {
    /// The spool, opened by the first to ask; `None` while it cannot be used.
    fn open(&self) -> Option<&Open> {
        self.open.get().or_else(|| self.open_first())
    }

    #[cold]
    fn open_first(&self) -> Option<&Open> {
        if lock(&self.opening).is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let config = Config::read();
        let aws = aws(&config);
        log::subscribe(&config.log);
        let failure = {
            let mut retry = lock(&self.opening);
            if let Some(open) = self.open.get() {
                return Some(open);
            }
            if retry.is_some_and(|at| Instant::now() < at) {
                return None;
            }
            match Open::new(&config, aws) {
                Ok(open) => return Some(self.open.get_or_init(|| open)),
                Err(why) => {
                    *retry = Some(Instant::now() + RETRY);
                    why
                }
            }
        };
        self.failed(&config, failure);
        None
    }

    /// Remembers a failure for stats; logs it unless it is the one before.
    fn failed(&self, config: &Config, what: String) {
        let before = lock(&self.trouble).replace((what.clone(), SystemTime::now()));
        if before.is_none_or(|(before, _)| before != what) {
            log::report(&config.log, &what);
        }
    }
}

impl Open {
    fn new(config: &Config, aws: AwsEnv) -> Result<Self, String> {
        let spool = open_spool(config)?;
        let sender = if config.sends {
            let spawned = spawn_sender(config, spool.clone(), aws);
            Some(spawned.map_err(|e| format!("the sender's thread cannot start: {e}"))?)
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            spool,
            hands: Mutex::new(Hands {
                writers: Vec::new(),
                sender,
            }),
        })
    }

    fn append(&self, stream: &str, lines: &[&[u8]]) -> Result<Appended, WriteError> {
        let mut hands = lock(&self.hands);
        let Hands { writers, sender } = &mut *hands;
        let at = match writers.iter().position(|(name, _)| &**name == stream) {
            Some(at) => at,
            None => {
                writers.push((stream.into(), self.spool.writer(stream)?));
                writers.len() - 1
            }
        };
        let appended = writers[at].1.append(lines);
        if let Some(sender) = sender {
            sender.wake();
        }
        appended
    }
}

fn open_spool(config: &Config) -> Result<Spool, String> {
    Spool::open(SpoolConfig {
        dir: config.spool_dir.clone(),
        max_bytes: config.spool_max_bytes,
        segment_bytes: SEGMENT_BYTES,
    })
    .map_err(|error| error.to_string())
}

fn spawn_sender(config: &Config, spool: Spool, aws: AwsEnv) -> std::io::Result<SenderHandle> {
    let (endpoint, region) = (config.endpoint.clone(), config.region.clone());
    let of_client = aws.clone();
    let client = move || {
        exam_delivery::firehose(endpoint.as_deref(), region.as_deref(), of_client.clone())
            .map(|client| Arc::new(client) as Arc<dyn PutBatch>)
            .map_err(|error| error.to_string())
    };
    let store = config.state_url.clone().map(|url| -> exam_delivery::Store {
        let options = exam_state::Options {
            aws,
            ..Default::default()
        };
        Box::new(move || exam_state::open(&url, options.clone()))
    });
    let sender = SenderConfig {
        linger: config.linger,
        aggregate_bytes: config.aggregate_bytes,
        sync: Some(config.sync),
        ..SenderConfig::default()
    };
    // What these initialise once per process, some of it over a millisecond and
    // under a lock, must be over before PHP's thread can fork: a child forked
    // in the midst of it would wait for that lock for ever, elected or not.
    let _ = client();
    let _ = store.as_ref().map(|open| open());
    exam_delivery::spawn(spool, Box::new(client), store, sender)
}

/// What AWS's services are reached with: the environment at module startup and now, and the
/// region of the INI. To be called on a PHP thread.
pub fn aws(config: &Config) -> AwsEnv {
    let region = config.region.clone();
    let startup = lock(&STARTUP_ENVIRONMENT).clone();
    let all = startup.into_iter().chain(environment());
    all.chain(region.map(|region| ("AWS_REGION".to_owned(), region)))
        .collect()
}

/// The environment variables that are text. To be called on a PHP thread.
fn environment() -> Vec<(String, String)> {
    let _guard = EnvironmentLock::take();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Under ZTS another PHP thread may be in putenv(); PHP has a lock for that.
struct EnvironmentLock(Option<unsafe extern "C" fn()>);

impl EnvironmentLock {
    fn take() -> Self {
        if let Some(lock) = php_symbol(c"tsrm_env_lock") {
            // SAFETY: PHP's own lock, released in `drop` by this thread.
            unsafe { lock() };
        }
        Self(php_symbol(c"tsrm_env_unlock"))
    }
}

impl Drop for EnvironmentLock {
    fn drop(&mut self) {
        if let Some(unlock) = self.0 {
            // SAFETY: taken by this thread in `take`.
            unsafe { unlock() };
        }
    }
}

/// A `void name(void)` that only some builds of PHP export.
fn php_symbol(name: &CStr) -> Option<unsafe extern "C" fn()> {
    // SAFETY: looks a name up in what is loaded.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: a null or a function of that type; null is None.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<unsafe extern "C" fn()>>(address) }
}

/// A panic while a lock was held left nothing half done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
