//! What the spool of this process holds, has done and has failed to do:
//! `exam_stream_stats()` and the section of phpinfo().

use std::time::{SystemTime, UNIX_EPOCH};

use exam_delivery::{Figures, Problem};
use ext_php_rs::zend::ModuleEntry;
use ext_php_rs::{info_table_end, info_table_header, info_table_row, info_table_start};
use serde_json::Value;

use crate::process;

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn display_ini_entries(module: *mut ModuleEntry);
}

/// The figures by name, see [`Figures::to_json`].
pub fn stats() -> Value {
    let (trouble, refused_without_spool) = process::trouble();
    let mut trouble = trouble.map(|(what, at)| problem(what, at));
    let figures = match process::spool() {
        Ok(None) => Ok(Figures::default()),
        Ok(Some(spool)) => {
            Figures::read(&spool).map_err(|error| format!("the spool cannot be read: {error}"))
        }
        Err(why) => Err(why),
    };
    let mut figures = figures.unwrap_or_else(|why| {
        trouble = Some(problem(why, SystemTime::now()));
        Figures::default()
    });
    figures.totals.refused += refused_without_spool;
    let told = figures.status.last_error.take();
    figures.status.last_error = told.into_iter().chain(trouble).max_by_key(|p| p.at);
    figures.to_json()
}

fn problem(what: String, at: SystemTime) -> Problem {
    let at = at.duration_since(UNIX_EPOCH);
    Problem {
        what,
        at: at.map_or(0, |since| since.as_micros() as u64),
    }
}

/// The section of phpinfo(). Called by PHP.
pub extern "C" fn phpinfo(module: *mut ModuleEntry) {
    // ext-php-rs catches panics in functions, not here.
    let _ = std::panic::catch_unwind(|| {
        info_table_start!();
        info_table_header!("exam_stream", "enabled");
        info_table_row!("version", env!("CARGO_PKG_VERSION"));
        rows("", &stats());
        info_table_end!();
    });
    // SAFETY: PHP passes our module entry.
    unsafe { display_ini_entries(module) };
}

fn rows(prefix: &str, figures: &Value) {
    for (name, value) in figures.as_object().into_iter().flatten() {
        let name = format!("{prefix}{}", name.replace('_', " "));
        let shown = match value {
            Value::Object(_) => {
                rows(&format!("{name}: "), value);
                continue;
            }
            Value::Null => "none".to_owned(),
            Value::String(text) => text.replace('\0', "\\0"),
            other => other.to_string(),
        };
        info_table_row!(name, shown);
    }
}
