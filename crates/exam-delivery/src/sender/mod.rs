//! The sender's thread: waits to be elected, then runs three independent tasks
//! on one core: delivery, the write-through, housekeeping.
//!
//! All signals but faults are blocked in it, so that PHP's handlers never run
//! here. A panic ends a term, not the thread: the election is given up, the
//! status says why, and whoever is elected next starts from the cursors. No
//! environment variable is read on it.

mod delivery;
mod examine;
mod housekeeping;
mod poll;
mod registry;
mod state;

use crate::put::PutBatch;
use crate::status::{Status, StatusFile};
use exam_spool::{Election, Spool};
use exam_state::{StateError, StateStore};
use poll::Wake;
use registry::Registry;
use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// How often who is not elected asks again: a dead sender's successor is there
/// well within a second.
const ELECTION: Duration = Duration::from_millis(200);

/// Makes the client, on the sender's thread, once per term.
pub type Client = Box<dyn Fn() -> Result<Arc<dyn PutBatch>, String> + Send + Sync>;
/// Opens the state store, on the sender's thread, once per term.
pub type Store = Box<dyn Fn() -> Result<Arc<dyn StateStore>, StateError> + Send + Sync>;

/// What an administrator may set.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// How long a record waits for company before it is sent; for the state store
    /// no longer than 50 ms, and not at all after a rest.
    pub linger: Duration,
    /// A Firehose record is closed at this size.
    pub aggregate_bytes: usize,
    /// A call is closed at this size (as base64, within Firehose's 4 MiB).
    pub call_bytes: usize,
    /// Bytes in all calls under way together (as base64). One call always is.
    pub max_in_flight: usize,
    /// How often what was put is made safe against a power cut; `None`: never.
    pub sync: Option<Duration>,
}

impl Default for SenderConfig {
    fn default() -> SenderConfig {
        SenderConfig {
            linger: Duration::from_millis(50),
            aggregate_bytes: 64 * 1024,
            call_bytes: 1024 * 1024,
            max_in_flight: 3 * 1024 * 1024,
            sync: Some(Duration::from_millis(500)),
        }
    }
}

/// What the handle and the thread share.
#[derive(Default)]
struct Control {
    wake: Wake,
    elected: AtomicBool,
    stop: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    asleep: Condvar,
}

impl Control {
    fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, as the process that started it sees it. In a forked child it
/// stands for nothing: forget it (`std::mem::forget`) and spawn another.
pub struct SenderHandle {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread. Call it on the thread that may read the environment;
/// afterwards none is read.
pub fn spawn(
    spool: Spool,
    client: Client,
    store: Option<Store>,
    config: SenderConfig,
) -> io::Result<SenderHandle> {
    let control = Arc::new(Control::default());
    // Made here because making it asks the environment; built when elected.
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(4);
    // What tokio initialises once per process is so before the caller can fork: a child forked in
    // the midst of it would wait for it for ever.
    drop(runtime.build());
    let mut thread = Thread {
        control: control.clone(),
        spool,
        client: Arc::new(client),
        store: store.map(Arc::new),
        config,
        runtime,
    };
    let blocked = SignalsBlocked::new();
    let thread = std::thread::Builder::new()
        .name("exam-sender".into())
        .spawn(move || thread.run());
    drop(blocked);
    Ok(SenderHandle {
        control,
        thread: Some(thread?),
    })
}

impl SenderHandle {
    /// Says that something was put. Costs one load while the sender is busy or
    /// lives in another process.
    pub fn wake(&self) {
        self.control.wake.wake();
    }

    /// Whether this process is the sender.
    pub fn elected(&self) -> bool {
        self.control.elected.load(Ordering::Relaxed)
    }

    /// Ends the thread: what is accepted is sent as far as `timeout` allows.
    /// `false`: it did not end in time and is left to itself.
    pub fn stop(mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        *self
            .control
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.control.stop.store(true, Ordering::SeqCst);
        self.control.asleep.notify_all();
        self.control.wake.wake_always();
        let Some(thread) = self.thread.take() else {
            return true;
        };
        // Past the deadline the loops end at once; a little grace for that.
        while !thread.is_finished() {
            if Instant::now() > deadline + Duration::from_millis(200) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        thread.join().is_ok()
    }
}

/// Blocks all signals but faults while a thread is started, which inherits that.
struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    fn new() -> SignalsBlocked {
        // SAFETY: a zeroed sigset_t is valid to fill; the calls only touch the
        // two sets and this thread's mask, and cannot fail with these arguments.
        unsafe {
            let (mut block, mut old) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut block);
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
                libc::sigdelset(&mut block, fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &block, &mut old);
            SignalsBlocked(old)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: restores the mask this thread had, as pthread_sigmask gave it.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut());
        }
    }
}

struct Thread {
    control: Arc<Control>,
    spool: Spool,
    client: Arc<Client>,
    store: Option<Arc<Store>>,
    config: SenderConfig,
    runtime: Builder,
}

impl Thread {
    fn run(&mut self) {
        // At least once: a short script may stop before this thread has begun.
        loop {
            match self.spool.try_elect() {
                Ok(Some(election)) => self.term(election),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the election failed"),
            }
            if self.control.stop.load(Ordering::SeqCst) {
                return;
            }
            let guard = self
                .control
                .deadline
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() {
                let _ = self.control.asleep.wait_timeout(guard, ELECTION);
            }
        }
    }

    /// From election to stop or panic.
    fn term(&mut self, election: Election) {
        let runtime = match self.runtime.build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the sender cannot start");
                return self.tell(&format!("the sender cannot start: {error}"));
            }
        };
        self.control.elected.store(true, Ordering::Relaxed);
        let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.elected())));
        self.control.elected.store(false, Ordering::Relaxed);
        let ended_too = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_background()));
        for panic in [ended.err(), ended_too.err()].into_iter().flatten() {
            let what = format!("the sender panicked and starts again: {}", message(&*panic));
            tracing::error!("{what}");
            self.tell(&what);
        }
        drop(election);
    }

    /// A problem of the thread itself, outside of a term.
    fn tell(&self, what: &str) {
        let told = Status::read(&self.spool).and_then(|status| {
            let mut status = status.unwrap_or_default();
            status.problem(what);
            StatusFile::open(&self.spool)?.write(&mut status)
        });
        if let Err(error) = told {
            tracing::warn!(%error, "the status cannot be written");
        }
    }

    async fn elected(&self) {
        let mut status = Status::read(&self.spool).ok().flatten().unwrap_or_default();
        status.pid = std::process::id();
        (status.put_to_delivered, status.put_to_folded) = Default::default();
        status.streams.values_mut().for_each(|s| s.hold = None);
        status.state.hold = None;
        let shared = Shared {
            control: self.control.clone(),
            spool: self.spool.clone(),
            client: self.client.clone(),
            store: self.store.clone(),
            config: self.config.clone(),
            registry: RefCell::new(Registry::new(self.spool.clone())),
            status: RefCell::new(status),
        };
        let mut file = StatusFile::open(&self.spool).ok();
        housekeeping::write(&shared, &mut file, &mut Status::default());
        tokio::select! {
            _ = async { tokio::join!(delivery::run(&shared), state::run(&shared)) } => {}
            () = housekeeping::run(&shared, file) => {}
        }
        if let Err(error) = shared
            .registry
            .borrow_mut()
            .remove_done(shared.store.is_some())
        {
            shared.problem(&format!("deleting a segment: {error}"));
        }
        shared.status.borrow_mut().pid = 0;
        housekeeping::write(&shared, &mut None, &mut Status::default());
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<&str>() {
        Some(text) => text,
        None => panic.downcast_ref::<String>().map_or("no message", |s| s),
    }
}

/// What the tasks of one term share; all run on one thread.
struct Shared {
    control: Arc<Control>,
    spool: Spool,
    client: Arc<Client>,
    store: Option<Arc<Store>>,
    config: SenderConfig,
    registry: RefCell<Registry>,
    status: RefCell<Status>,
}

impl Shared {
    fn problem(&self, what: &str) {
        tracing::warn!("{what}");
        self.status.borrow_mut().problem(what);
    }

    fn refresh(&self, every: Duration) {
        let found = self.registry.borrow_mut().refresh(every);
        match found {
            Ok(troubles) => troubles.iter().for_each(|trouble| self.problem(trouble)),
            Err(error) => self.problem(&format!("listing the spool: {error}")),
        }
    }

    fn linger(&self) -> Duration {
        match self.control.stop.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => self.config.linger,
        }
    }

    /// Whether a loop is to end: asked to stop, and either done or out of time.
    fn stop_now(&self, settled: impl FnOnce() -> bool) -> bool {
        self.control.stop.load(Ordering::SeqCst)
            && (settled()
                || self
                    .control
                    .deadline()
                    .is_none_or(|at| at <= Instant::now()))
    }

    /// Ends when the sender is asked to stop.
    async fn stopping(&self) {
        while !self.control.stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
