//! PHP values to JSON and back, by PHP's own json_encode() and json_decode():
//! what they accept, refuse and call (`JsonSerializable`) is what a PHP
//! programmer knows, and they are several times faster than a walk of ours.

use std::ffi::c_char;
use std::ptr;

use exam_record::MAX_DEPTH;
use ext_php_rs::ffi::{zend_call_known_function, zend_fetch_function_str};
use ext_php_rs::types::{ZendStr, Zval};
use ext_php_rs::zend::ExecutorGlobals;

/// `JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION`:
/// the same value as with no flags, in fewer bytes, and a float stays one.
const ENCODE: i64 = 64 | 256 | 1024;
/// `JSON_THROW_ON_ERROR`: leaves what json_last_error() says to the page alone.
const THROW: i64 = 4_194_304;
/// The default of json_decode().
const DEPTH: i64 = 512;

/// Why there is no result.
pub enum Failure {
    /// PHP's own sentence ("Recursion detected", "Inf and NaN cannot be JSON encoded").
    Refused(String),
    /// PHP code that was run threw; the exception is pending.
    Thrown,
}

/// The JSON of `value`, a PHP string. May run PHP code (`JsonSerializable`),
/// hence throw or bail out: the caller holds no lock and nothing that must be
/// dropped.
pub fn encode(value: &Zval) -> Result<Zval, Failure> {
    call(
        "json_encode",
        [
            value.shallow_clone(),
            long(ENCODE | THROW),
            long(i64::from(MAX_DEPTH)),
        ],
    )
}

/// The PHP value of `json`, objects as arrays.
pub fn decode(json: &[u8]) -> Result<Zval, Failure> {
    let mut text = Zval::new();
    text.set_zend_string(ZendStr::new(json, false));
    let mut assoc = Zval::new();
    assoc.set_bool(true);
    call("json_decode", [text, assoc, long(DEPTH), long(THROW)])
}

fn call<const N: usize>(name: &str, mut arguments: [Zval; N]) -> Result<Zval, Failure> {
    // SAFETY: pointer and length of one name, on a PHP thread.
    let function = unsafe { zend_fetch_function_str(name.as_ptr().cast::<c_char>(), name.len()) };
    if function.is_null() {
        return Err(Failure::Refused(format!("PHP's {name}() is disabled")));
    }
    let mut result = Zval::new();
    // SAFETY: a function of PHP, as many live values as is said, no object, no names.
    unsafe {
        zend_call_known_function(
            function,
            ptr::null_mut(),
            ptr::null_mut(),
            &mut result,
            N as u32,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
        );
    }
    if !ExecutorGlobals::has_exception() {
        return Ok(result);
    }
    let refused = ExecutorGlobals::get().exception().is_some_and(|e| {
        e.get_class_name()
            .is_ok_and(|class| class == "JsonException")
    });
    if !refused {
        return Err(Failure::Thrown);
    }
    // Within the frame of an internal function there is nothing to undo but this.
    match ExecutorGlobals::take_exception() {
        Some(exception) => Err(Failure::Refused(
            exception
                .try_call_method("getMessage", vec![])
                .ok()
                .and_then(|message| message.string())
                .unwrap_or_default(),
        )),
        None => Err(Failure::Thrown),
    }
}

fn long(value: i64) -> Zval {
    let mut zval = Zval::new();
    zval.set_long(value);
    zval
}
