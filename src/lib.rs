//! The PHP extension `exam_stream`: every answer of an exam is durable before
//! the browser is told so, and in the stream within a second.
//!
//! It is thin: PHP values in, crates called, PHP values out. It promises that a
//! put costs one write(2) and never a page: nothing the network, the disk or
//! the settings do is an exception or a warning while a page runs. It refuses
//! to hold the only copy of a record in memory.
//!
//! | module | role |
//! |---|---|
//! | `lifecycle` | PHP's hooks: who calls which, when, and what must not happen there |
//! | `ini` | the settings, checked when given |
//! | `process` | what one process holds: spool, segments, sender; and forks |
//! | `functions` | the functions: arguments, errors, results |
//! | `convert` | PHP values to JSON and back |
//! | `reader` | `exam_stream_state()`, `exam_stream_board()`: the state store, asked on PHP's thread |
//! | `door` | `exam_stream_admit()` and its like: PHP arrays to `exam-door` and back |
//! | `memory` | the doors that the next requests of this process are answered by |
//! | `log` | where an administrator reads what went wrong |
//! | `info` | `exam_stream_stats()` and phpinfo() |

mod convert;
mod door;
mod functions;
mod info;
mod ini;
mod lifecycle;
mod log;
mod memory;
mod process;
mod reader;

use ext_php_rs::builders::ModuleBuilder;
use ext_php_rs::php_module;

/// The module table PHP asks for when it loads the library.
#[php_module]
pub fn get_module(module: ModuleBuilder) -> ModuleBuilder {
    functions::all()
        .into_iter()
        .fold(module, ModuleBuilder::function)
        .startup_function(lifecycle::startup)
        .shutdown_function(lifecycle::shutdown)
        .info_function(info::phpinfo)
}
