//! PHP's hooks. Who calls which, and what must not happen there:
//!
//! | hook | called | here |
//! |---|---|---|
//! | MINIT | once by the process that starts PHP: under FPM and Apache prefork by the master, as root, before it forks; under FrankenPHP again on each restart within one process | registers; remembers `AWS_*`. No spool, no thread, no descriptor: workers would inherit them |
//! | first put | in the worker, as its user, after the pool's settings | everything else, see [`process`] |
//! | fork | by FPM, `pcntl_fork()`, preloading | nothing is told; the child notices at its next call |
//! | MSHUTDOWN | CLI's end, `pm.max_requests`, a graceful stop with `process_control_timeout`. **Not** by SIGTERM to a worker or master, `request_terminate_timeout`, or SIGQUIT to the master with default settings | a courtesy: seals, gives the sender `shutdown_ms`. Durability does not depend on it |
//!
//! ext-php-rs catches panics in functions, not in hooks: these do so themselves.

use std::ffi::c_int;
use std::panic::catch_unwind;

use crate::{functions, ini, process};

const SUCCESS: c_int = 0;
const FAILURE: c_int = -1;

/// MINIT.
pub extern "C" fn startup(_type: c_int, module_number: c_int) -> c_int {
    let started = catch_unwind(|| {
        ini::register(module_number);
        process::remember_environment();
        functions::declare()
    });
    match started {
        Ok(Ok(())) => SUCCESS,
        _ => FAILURE,
    }
}

/// MSHUTDOWN.
pub extern "C" fn shutdown(_type: c_int, _module_number: c_int) -> c_int {
    // A panic here must not keep PHP from ending; the records are on disk.
    let _ = catch_unwind(process::close);
    SUCCESS
}
