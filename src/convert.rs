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

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn zend_clear_exception();
}

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
        [value.shallow_clone(), long(ENCODE | THROW), long(i64::from(MAX_DEPTH))],
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
    let globals = ExecutorGlobals::get();
    let refusal = globals
        .exception()
        .filter(|e| e.get_class_name().is_ok_and(|class| class == "JsonException"))
        .map(|e| e.get_property::<String>("message").unwrap_or_default());
    drop(globals);
    let Some(message) = refusal else {
        return Err(Failure::Thrown);
    };
    // SAFETY: on a PHP thread, within a function.
    unsafe { zend_clear_exception() };
    Err(Failure::Refused(message))
}

fn long(value: i64) -> Zval {
    let mut zval = Zval::new();
    zval.set_long(value);
    zval
}
