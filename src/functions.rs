//! The functions, as `exam_stream.stub.php` declares them.
//!
//! Arguments are read by PHP's own parser, so that coercion, strict_types and
//! the wording of a TypeError are those of every internal function.

use std::ffi::{CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exam_record::AttemptKey;
use ext_php_rs::args::Arg;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::error::Result as PhpResult;
use ext_php_rs::exception::PhpException;
use ext_php_rs::ffi::{
    IS_ARRAY, IS_STRING, ext_php_rs_compiler_globals, zend_function, zend_hash_str_find_ptr_lc,
    zend_long, zend_string,
};
use ext_php_rs::flags::DataType;
use ext_php_rs::types::{ZendStr, Zval};
use ext_php_rs::zend::{BailoutGuard, ClassEntry, ExecuteData, SapiGlobals, run_handler};
use ext_php_rs::zend_fastcall;

use crate::convert::{self, Failure};
use crate::{door, info, ini, memory, process, reader};

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn zend_parse_parameters(num_args: u32, spec: *const c_char, ...) -> c_int;
    fn zend_argument_value_error(argument: u32, format: *const c_char, ...);
    fn zend_argument_type_error(argument: u32, format: *const c_char, ...);
    fn zend_zval_type_name(value: *const Zval) -> *const c_char;
    fn zend_get_executed_filename() -> *const c_char;
    static spl_ce_RuntimeException: *mut ClassEntry;
}

/// `ExamStream\StateException` of this module startup.
static STATE_EXCEPTION: AtomicPtr<ClassEntry> = AtomicPtr::new(ptr::null_mut());

/// An exception is pending in PHP; the function has nothing more to say.
struct Thrown;

type Outcome<T = ()> = Result<T, Thrown>;

/// All functions of the module.
pub fn all() -> [FunctionBuilder<'static>; 9] {
    [
        FunctionBuilder::new("exam_stream_put", exam_stream_put)
            .arg(Arg::new("stream", DataType::String))
            .arg(Arg::new("record", DataType::Mixed)) // see `declare`
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("exam_stream_put_many", exam_stream_put_many)
            .arg(Arg::new("stream", DataType::String))
            .arg(Arg::new("records", DataType::Array))
            .returns(DataType::Long, false, false),
        FunctionBuilder::new("exam_stream_flush", exam_stream_flush)
            .arg(Arg::new("timeout", DataType::Double).default("5.0"))
            .required_args(0)
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("exam_stream_state", exam_stream_state)
            .arg(Arg::new("site", DataType::String))
            .arg(Arg::new("attempt", DataType::Long))
            .returns(DataType::Array, false, true),
        FunctionBuilder::new("exam_stream_board", exam_stream_board)
            .arg(Arg::new("site", DataType::String))
            .arg(Arg::new("quiz", DataType::Long))
            .arg(Arg::new("since", DataType::Long).default("0"))
            .required_args(2)
            .returns(DataType::Array, false, false),
        FunctionBuilder::new("exam_stream_stats", exam_stream_stats).returns(
            DataType::Array,
            false,
            false,
        ),
        FunctionBuilder::new("exam_stream_admit", exam_stream_admit)
            .arg(Arg::new("request", DataType::String))
            .arg(Arg::new("door", DataType::Array))
            .arg(Arg::new("now", DataType::Double))
            .arg(Arg::new("server", DataType::Array))
            .arg(
                Arg::new("token", DataType::String)
                    .allow_null()
                    .default("null"),
            )
            .required_args(4)
            .returns(DataType::Array, false, false),
        FunctionBuilder::new("exam_stream_keep_door", exam_stream_keep_door)
            .arg(Arg::new("door", DataType::Array))
            .arg(Arg::new("directory", DataType::String))
            .arg(Arg::new("seconds", DataType::Double))
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("exam_stream_try_door", exam_stream_try_door)
            .arg(Arg::new("request", DataType::String))
            .returns(DataType::Array, false, true),
    ]
}

/// What ext-php-rs cannot declare: the union type of put's record, and an
/// exception that keeps the object handlers (hence file, line and trace) of its
/// parent. Called from MINIT.
pub fn declare() -> PhpResult<()> {
    let name = b"exam_stream_put";
    // SAFETY: in MINIT, when the function was just registered and nobody reads
    // its arguments yet; the engine's table of them is ours or its own copy.
    unsafe {
        let put: *mut zend_function = zend_hash_str_find_ptr_lc(
            (*ext_php_rs_compiler_globals()).function_table,
            name.as_ptr().cast(),
            name.len(),
        )
        .cast();
        if let Some(put) = put.as_mut() {
            let record = put.internal_function.arg_info.add(1);
            (*record).type_.type_mask = 1 << IS_STRING | 1 << IS_ARRAY;
        }
    }
    ClassBuilder::new("ExamStream\\StateException")
        // SAFETY: ext/spl is part of every PHP and started before us.
        .extends((
            || unsafe { &*spl_ce_RuntimeException },
            "\\RuntimeException",
        ))
        .registration(|class, _| STATE_EXCEPTION.store(class, Ordering::Release))
        .register()
}

/// A function PHP calls: a panic becomes a PHP `Error`, nothing unwinds into C.
macro_rules! php_function {
    ($name:ident, $body:path) => {
        zend_fastcall! {
            extern fn $name(ex: &mut ExecuteData, retval: &mut Zval) {
                run_handler(AssertUnwindSafe(|| {
                    // `Thrown`: PHP has the exception already.
                    let _ = $body(ex, retval);
                }));
            }
        }
    };
}

php_function!(exam_stream_put, put);
php_function!(exam_stream_put_many, put_many);
php_function!(exam_stream_flush, flush);
php_function!(exam_stream_state, state);
php_function!(exam_stream_board, board);
php_function!(exam_stream_stats, stats);
php_function!(exam_stream_admit, admit);
php_function!(exam_stream_keep_door, keep_door);
php_function!(exam_stream_try_door, try_door);

fn put(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut stream, mut record) = (ptr::null_mut::<zend_string>(), ptr::null_mut::<Zval>());
    // SAFETY: the pointers match the letters: S a string, z a value.
    parsed(unsafe {
        zend_parse_parameters(arguments(ex), c"Sz".as_ptr(), &mut stream, &mut record)
    })?;
    // SAFETY: both are on the frame of this call.
    let (stream, record) = unsafe { (bytes(stream), (*record).dereference()) };
    let stream = StreamName::of(stream)?;
    let accepted = with_line(record, |line| process::put(stream.as_str(), &[line]));
    retval.set_bool(accepted.map_err(|refusal| refusal.raise(None))? == 1);
    Ok(())
}

fn put_many(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut stream, mut records) = (ptr::null_mut::<zend_string>(), ptr::null_mut::<Zval>());
    // SAFETY: the pointers match the letters: S a string, a an array.
    parsed(unsafe {
        zend_parse_parameters(arguments(ex), c"Sa".as_ptr(), &mut stream, &mut records)
    })?;
    // SAFETY: both are on the frame of this call.
    let (stream, records) = unsafe { (bytes(stream), (*records).array()) };
    let stream = StreamName::of(stream)?;

    // Encoding a record may run PHP code (JsonSerializable). That may bail out,
    // and may change a string that the list refers to: hence copies, in a guard.
    let mut lines = BailoutGuard::new(Lines::default());
    for (index, record) in records
        .into_iter()
        .flat_map(|list| list.values())
        .enumerate()
    {
        with_line(record.dereference(), |line| lines.push(line))
            .map_err(|refusal| refusal.raise(Some(index)))?;
    }
    let accepted = process::put(stream.as_str(), &lines.slices());
    retval.set_long(accepted as zend_long);
    Ok(())
}

fn flush(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let mut timeout = 5.0_f64;
    // SAFETY: the pointer matches the letter: d a float, optional.
    parsed(unsafe { zend_parse_parameters(arguments(ex), c"|d".as_ptr(), &mut timeout) })?;
    if timeout.is_nan() || timeout < 0.0 {
        return Err(value_error(1, "must be a number of seconds from 0 on"));
    }
    // A year is forever, and INF is no Duration.
    let timeout = Duration::from_secs_f64(timeout.min(31_536_000.0));
    retval.set_bool(process::flush(timeout));
    Ok(())
}

fn state(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut site, mut attempt) = (ptr::null_mut::<zend_string>(), 0 as zend_long);
    // SAFETY: the pointers match the letters: S a string, l an integer.
    parsed(unsafe {
        zend_parse_parameters(arguments(ex), c"Sl".as_ptr(), &mut site, &mut attempt)
    })?;
    // SAFETY: on the frame of this call.
    let site = text(1, unsafe { bytes(site) })?;
    if let Some(json) = reader::state(&AttemptKey::new(site, attempt)).map_err(state_exception)? {
        *retval = shown(&json)?;
    }
    Ok(())
}

fn board(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut site, mut quiz, mut since) = (ptr::null_mut::<zend_string>(), 0, 0 as zend_long);
    // SAFETY: the pointers match the letters: S a string, l an integer, l another one, optional.
    parsed(unsafe {
        zend_parse_parameters(
            arguments(ex),
            c"Sl|l".as_ptr(),
            &mut site,
            &mut quiz as *mut zend_long,
            &mut since,
        )
    })?;
    // SAFETY: on the frame of this call.
    let site = text(1, unsafe { bytes(site) })?;
    let Ok(since) = u64::try_from(since) else {
        return Err(value_error(3, "must be 0 or a version given before"));
    };
    *retval = shown(&reader::board(site, quiz, since).map_err(state_exception)?)?;
    Ok(())
}

/// What the state store says, as PHP has it.
fn shown(json: &[u8]) -> Outcome<Zval> {
    convert::decode(json).map_err(|failure| match failure {
        Failure::Refused(why) => state_exception(why),
        Failure::Thrown => Thrown,
    })
}

fn state_exception(why: String) -> Thrown {
    // SAFETY: registered in MINIT, which ran before any function.
    let class = unsafe { &*STATE_EXCEPTION.load(Ordering::Acquire) };
    PhpException::new(why, 0, class).throw();
    Thrown
}

fn stats(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    // SAFETY: no letters, no pointers.
    parsed(unsafe { zend_parse_parameters(arguments(ex), c"".as_ptr()) })?;
    *retval = convert::decode(info::stats().to_string().as_bytes()).map_err(|_| Thrown)?;
    Ok(())
}

fn admit(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut request, mut token) = (ptr::null_mut(), ptr::null_mut::<zend_string>());
    let (mut settings, mut server) = (ptr::null_mut::<Zval>(), ptr::null_mut::<Zval>());
    let mut now = 0.0_f64;
    // SAFETY: the pointers match the letters: S a string, a an array, d a float, a another array,
    // S! a string or null, optional.
    parsed(unsafe {
        zend_parse_parameters(
            arguments(ex),
            c"Sada|S!".as_ptr(),
            &mut request as *mut *mut zend_string,
            &mut settings,
            &mut now,
            &mut server,
            &mut token,
        )
    })?;
    // SAFETY: all are on the frame of this call.
    let (request, settings, server) =
        unsafe { (bytes(request), (*settings).array(), (*server).array()) };
    let (Some(settings), Some(server)) = (settings, server) else {
        return Ok(()); // the parser takes arrays only
    };
    let token = match token.is_null() {
        true => None,
        // SAFETY: on the frame of this call.
        false => Some(text(5, unsafe { bytes(token) })?),
    };
    let site = door::settings(settings).map_err(|expected| value_error(2, &expected))?;
    if !(0.0..1e11).contains(&now) {
        return Err(value_error(3, "must be the time in seconds since 1970"));
    }
    let verdict = exam_door::admit(request, token, [&site], &door::Given(server), now);
    let verdict = verdict.map(|(admitted, _)| admitted);
    drop(site);
    // PHP may bail out where it has no memory for the reply.
    let verdict = BailoutGuard::new(verdict);
    *retval = made(match &*verdict {
        Ok(admitted) => door::admitted(Some(200), admitted, now),
        Err(refusal) => door::refused(refusal),
    })?;
    Ok(())
}

fn keep_door(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let (mut settings, mut directory) = (ptr::null_mut::<Zval>(), ptr::null_mut::<zend_string>());
    let mut seconds = 0.0_f64;
    // SAFETY: the pointers match the letters: a an array, S a string, d a float.
    parsed(unsafe {
        zend_parse_parameters(
            arguments(ex),
            c"aSd".as_ptr(),
            &mut settings,
            &mut directory,
            &mut seconds,
        )
    })?;
    // SAFETY: both are on the frame of this call.
    let (Some(settings), directory) = (unsafe { ((*settings).array(), bytes(directory)) }) else {
        return Ok(()); // the parser takes arrays only
    };
    let site = door::settings(settings).map_err(|expected| value_error(1, &expected))?;
    let written =
        door::written(settings).ok_or_else(|| value_error(1, "must have a number in written"))?;
    let most = memory::MOST.as_secs_f64();
    if !(0.0..=most).contains(&seconds) {
        let expected = format!("must be a number of seconds from 0 to {most}");
        return Err(value_error(3, &expected));
    }
    let place = (PathBuf::from(OsStr::from_bytes(directory)), written);
    let now = Instant::now();
    let until = now + Duration::from_secs_f64(seconds);
    retval.set_bool(process::memory().keep(caller(), site, place, until, now));
    Ok(())
}

/// Null wherever something is not as usual: PHP code, which knows more, is to decide then.
fn try_door(ex: &mut ExecuteData, retval: &mut Zval) -> Outcome {
    let mut request = ptr::null_mut::<zend_string>();
    // SAFETY: the pointer matches the letter: S a string.
    parsed(unsafe { zend_parse_parameters(arguments(ex), c"S".as_ptr(), &mut request) })?;
    // SAFETY: on the frame of this call.
    let request = unsafe { bytes(request) };
    let posted = match SapiGlobals::get().request_info().request_method() {
        None | Some("POST") => true,
        Some(_) => false,
    };
    let stream = ini::default_stream();
    let doors = process::memory().doors(caller(), Instant::now());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let (Ok(now), true, false) = (now, posted, stream.is_empty()) else {
        return Ok(());
    };
    let now = now.as_secs_f64();
    // PHP may bail out where it has no memory for its server variables or the reply.
    let known = BailoutGuard::new((doors, stream));
    let (doors, stream) = &*known;
    let headers = door::Running::default();
    let verdict = exam_door::admit(request, None, doors.iter().map(Arc::as_ref), &headers, now);
    let Ok((admitted, kept)) = verdict else {
        return Ok(());
    };
    if !kept.is_current() || kept.is_closed(admitted.grant.attempt) != Some(false) {
        return Ok(());
    }
    let admitted = BailoutGuard::new(admitted);
    *retval = made(if admitted.help.is_some() {
        door::admitted(None, &admitted, now)
    } else {
        let lines: Vec<_> = admitted.lines.iter().map(String::as_bytes).collect();
        let of = lines.len();
        let saved = process::put(stream, &lines);
        drop(lines);
        door::accepted(saved, of, now)
    })?;
    Ok(())
}

/// A value that was made for PHP; a failure, which is PHP's own, becomes an `Exception`.
fn made(value: PhpResult<Zval>) -> Outcome<Zval> {
    value.map_err(|e| {
        PhpException::from_message(e.to_string()).throw();
        Thrown
    })
}

/// The file whose code calls.
fn caller<'a>() -> &'a [u8] {
    // SAFETY: in a function that PHP has called; the text is that of a live file name, or static.
    unsafe { std::ffi::CStr::from_ptr(zend_get_executed_filename()) }.to_bytes()
}

/// A delivery stream by the name given, or the one '' stands for.
enum StreamName<'a> {
    Given(&'a str),
    Default(String),
}

impl<'a> StreamName<'a> {
    fn of(argument: &'a [u8]) -> Outcome<Self> {
        if argument.is_empty() {
            return match ini::default_stream() {
                name if name.is_empty() => Err(value_error(
                    1,
                    "must not be empty where exam_stream.stream is not set",
                )),
                name => Ok(Self::Default(name)),
            };
        }
        match std::str::from_utf8(argument) {
            Ok(name) if ini::is_stream_name(argument) => Ok(Self::Given(name)),
            _ => Err(value_error(
                1,
                "must be the name of a delivery stream: 1 to 64 of a-z, A-Z, 0-9, \"_\", \".\", \"-\"",
            )),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Given(name) => name,
            Self::Default(name) => name,
        }
    }
}

/// Why a value is no record.
enum Refusal {
    Type(String),
    Value(String),
    Thrown,
}

impl Refusal {
    /// Throws; `index` is the record's place in a list.
    fn raise(self, index: Option<usize>) -> Thrown {
        match (self, index) {
            (Self::Type(given), None) => {
                type_error(2, &format!("must be of type array|string, {given} given"))
            }
            (Self::Type(given), Some(index)) => type_error(
                2,
                &format!("must contain only arrays and strings, {given} given at index {index}"),
            ),
            (Self::Value(why), None) => value_error(2, &format!("cannot be accepted: {why}")),
            (Self::Value(why), Some(index)) => {
                value_error(2, &format!("cannot be accepted: at index {index}, {why}"))
            }
            (Self::Thrown, _) => Thrown,
        }
    }
}

/// Calls `accept` with the line that `record` is.
fn with_line<R>(record: &Zval, accept: impl FnOnce(&[u8]) -> R) -> Result<R, Refusal> {
    let json;
    let text = if let Some(text) = record.zend_str() {
        text.as_bytes()
    } else if record.is_array() {
        json = convert::encode(record).map_err(|why| match why {
            Failure::Refused(why) => Refusal::Value(format!("the array is not JSON: {why}")),
            Failure::Thrown => Refusal::Thrown,
        })?;
        json.zend_str().map_or(&b""[..], |text| text.as_bytes())
    } else {
        // SAFETY: a live value; PHP's name of its type is static.
        let given = unsafe { std::ffi::CStr::from_ptr(zend_zval_type_name(record)) };
        return Err(Refusal::Type(given.to_string_lossy().into_owned()));
    };
    let line =
        exam_record::validate_json_line(text).map_err(|why| Refusal::Value(why.to_string()))?;
    Ok(accept(&line))
}

/// Lines one after the other in one buffer.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn slices(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let line = |&end: &usize| &self.bytes[std::mem::replace(&mut start, end)..end];
        self.ends.iter().map(line).collect()
    }
}

fn text(argument: u32, bytes: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(bytes).map_err(|_| value_error(argument, "must be UTF-8"))
}

fn arguments(ex: &ExecuteData) -> u32 {
    // SAFETY: in the frame of an internal function this member holds the count.
    unsafe { ex.This.u2.num_args }
}

/// PHP's parser has thrown already where it fails.
fn parsed(result: c_int) -> Outcome {
    if result == 0 { Ok(()) } else { Err(Thrown) }
}

/// # Safety
/// A string argument of the running call.
unsafe fn bytes<'a>(string: *const zend_string) -> &'a [u8] {
    // SAFETY: as the caller promises; the frame holds it until the call returns.
    let string: &ZendStr = unsafe { &*string };
    string.as_bytes()
}

fn value_error(argument: u32, message: &str) -> Thrown {
    let message = printable(message);
    // SAFETY: within a running function; one string for one %s.
    unsafe { zend_argument_value_error(argument, c"%s".as_ptr(), message.as_ptr()) };
    Thrown
}

fn type_error(argument: u32, message: &str) -> Thrown {
    let message = printable(message);
    // SAFETY: within a running function; one string for one %s.
    unsafe { zend_argument_type_error(argument, c"%s".as_ptr(), message.as_ptr()) };
    Thrown
}

fn printable(message: &str) -> CString {
    CString::new(message.replace('\0', "\\0")).unwrap_or_default()
}
