//! Where an administrator reads what went wrong: `exam_stream.log`.
//!
//! PHP's thread and the sender's thread write to the same place. Only PHP's may
//! use PHP's own log function, so by default the sender appends to the file that
//! `error_log` names, or else to standard error.

use std::ffi::{CString, c_char, c_int};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ini::{self, Log};

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn php_log_err_with_severity(message: *const c_char, syslog_severity: c_int);
}

/// Writes one line. To be called on a PHP thread, with no lock held.
pub fn report(log: &Log, message: &str) {
    if let Log::Php = log {
        let line = CString::new(format!("exam_stream: {message}").replace('\0', "\\0"));
        // SAFETY: a C string, on a PHP thread.
        unsafe { php_log_err_with_severity(line.unwrap_or_default().as_ptr(), libc::LOG_WARNING) };
        return;
    }
    match open(log) {
        None => {}
        Some(Ok(mut file)) => {
            // A log that cannot be written has nobody left to tell.
            let _ = file.write_all(format!("exam_stream: {message}\n").as_bytes());
        }
        Some(Err(_)) => report(&Log::Php, message),
    }
}

/// Leads the sender's events to the log. The first caller of a process wins;
/// forked children inherit the open file.
///
/// The writer takes no lock: one held by another thread at the moment of a fork
/// would stay locked in the child for ever. A line is one write to a file
/// opened for appending, so lines of several processes do not mix.
pub fn subscribe(log: &Log) {
    let file = match open(log) {
        None => return,
        Some(Ok(file)) => file,
        Some(Err(error)) => {
            // Asked again at each put while there is no spool; told once.
            static TOLD: AtomicBool = AtomicBool::new(false);
            if let Log::File(path) = log
                && !TOLD.swap(true, Ordering::Relaxed)
            {
                let path = path.display();
                let told = format!(
                    "exam_stream.log {path} cannot be opened ({error}): PHP's error_log is used; \
                     let this user write there, or name another file"
                );
                report(&Log::Php, &told);
                subscribe(&Log::Php);
            }
            return;
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(file))
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::WARN)
        .finish();
    // Fails when there is one already, which is then the right one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// `None`: off.
fn open(log: &Log) -> Option<io::Result<File>> {
    Some(match log {
        Log::Off => return None,
        Log::Stderr => stderr(),
        Log::File(path) => append(path),
        Log::Php => match PathBuf::from(ini::php_error_log()) {
            path if path.is_absolute() => append(&path),
            _ => stderr(),
        },
    })
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn stderr() -> io::Result<File> {
    io::stderr().as_fd().try_clone_to_owned().map(File::from)
}
