//! The `exam_stream.*` settings.
//!
//! Every entry is `PHP_INI_SYSTEM`: php.ini, `-d`, or `php_admin_value` of an
//! FPM pool. A value PHP is given is checked when it is given; a bad one is a
//! startup warning that names the entry and the fix, and the default stays in
//! force, so that [`Config::read`] never meets one. Only addresses have no
//! default to send answers to instead: a bad one is kept, nothing can be sent to
//! it, and the spool holds the records.
//!
//! FPM applies `php_admin_value` in the worker, after module startup: two pools
//! of one master may have two spools. The settings are therefore read when a
//! process puts for the first time, not before.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::time::Duration;

use ext_php_rs::ffi::{php_error_docref, php_printf, zend_ini_entry, zend_string};
use ext_php_rs::flags::{ErrorType, IniEntryPermission};
use ext_php_rs::types::ZendStr;
use ext_php_rs::zend::{IniEntryDef, IniEntryDefs};

unsafe extern "C" {
    // Missing in the bindings; the same from PHP 8.0 to 8.5.
    fn zend_ini_string_ex(
        name: *const c_char,
        name_length: usize,
        orig: bool,
        exists: *mut bool,
    ) -> *mut c_char;
}

/// What a value must be; the error completes "exam_stream.x must be …".
type Check = fn(&str) -> Result<(), &'static str>;

struct Entry {
    name: &'static CStr,
    default: &'static CStr,
    check: Check,
    /// Whether a bad value is kept, for records to wait in the spool until it is mended.
    waits: bool,
}

const fn entry(name: &'static CStr, default: &'static CStr, check: Check) -> Entry {
    Entry {
        name,
        default,
        check,
        waits: false,
    }
}

const fn address(name: &'static CStr, check: Check) -> Entry {
    Entry {
        waits: true,
        ..entry(name, c"", check)
    }
}

static ENDPOINT: Entry = address(c"exam_stream.endpoint", |v| {
    if v.is_empty() || exam_delivery::check_endpoint(v).is_ok() {
        Ok(())
    } else {
        Err("empty (Amazon Data Firehose of the region) or a URL such as http://127.0.0.1:4573")
    }
});
static REGION: Entry = entry(c"exam_stream.region", c"", |v| {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if v.bytes().all(plain) {
        Ok(())
    } else {
        Err("empty (AWS_REGION decides) or the name of a region such as eu-west-1")
    }
});
static STREAM: Entry = entry(c"exam_stream.stream", c"", |v| {
    if v.is_empty() || is_stream_name(v.as_bytes()) {
        Ok(())
    } else {
        Err("empty or the name of a delivery stream: 1 to 64 of a-z, A-Z, 0-9, '_', '.', '-'")
    }
});
static SPOOL_DIR: Entry = entry(
    c"exam_stream.spool_dir",
    c"/var/lib/exam-stream/spool",
    |v| {
        if v.starts_with('/') {
            Ok(())
        } else {
            Err("an absolute path on a local disk such as /var/lib/exam-stream/spool")
        }
    },
);
static SPOOL_MAX_BYTES: Entry = entry(c"exam_stream.spool_max_bytes", c"1G", |v| {
    in_range(bytes(v), 64 << 10, 1 << 50).ok_or("a size from 64K on, such as 512M or 1G")
});
static SYNC_MS: Entry = entry(c"exam_stream.sync_ms", c"500", |v| {
    in_range(v.parse().ok(), 10, 60_000).ok_or("a number of milliseconds from 10 to 60000")
});
static LINGER_MS: Entry = entry(c"exam_stream.linger_ms", c"50", |v| {
    in_range(v.parse().ok(), 0, 60_000).ok_or("a number of milliseconds from 0 to 60000")
});
static AGGREGATE_BYTES: Entry = entry(c"exam_stream.aggregate_bytes", c"64K", |v| {
    in_range(bytes(v), 1, 1000 << 10)
        .ok_or("a size up to 1000K, the greatest Firehose record; 1 sends every line alone")
});
// php.ini turns a bare `off` into the empty string, and `on` into "1".
static SENDER: Entry = entry(c"exam_stream.sender", c"auto", |v| match v {
    "auto" | "1" | "off" | "" => Ok(()),
    _ => Err("\"auto\", or \"off\" where `exam-stream drain` sends the spool"),
});
static SHUTDOWN_MS: Entry = entry(c"exam_stream.shutdown_ms", c"1500", |v| {
    in_range(v.parse().ok(), 0, 60_000).ok_or("a number of milliseconds from 0 to 60000")
});
static STATE_URL: Entry = address(c"exam_stream.state_url", |v| {
    let known = [
        "redis",
        "rediss",
        "redis-cluster",
        "rediss-cluster",
        "dynamodb",
    ];
    let scheme = v.split_once("://").map_or("", |(scheme, _)| scheme);
    if v.is_empty() || known.contains(&scheme) {
        Ok(())
    } else {
        Err("empty (no state store) or a URL such as redis://127.0.0.1:6379/0")
    }
});
static STATE_TIMEOUT_MS: Entry = entry(c"exam_stream.state_timeout_ms", c"150", |v| {
    in_range(v.parse().ok(), 1, 60_000).ok_or("a number of milliseconds from 1 to 60000")
});
static LOG: Entry = entry(c"exam_stream.log", c"error_log", |v| match v {
    "error_log" | "1" | "off" | "" | "stderr" => Ok(()),
    v if v.starts_with('/') => Ok(()),
    _ => Err("\"error_log\" (PHP's), \"stderr\", \"off\" or an absolute path"),
});

static DEFINITIONS: IniEntryDefs<14> = IniEntryDefs::new([
    define(&ENDPOINT),
    define(&REGION),
    define(&STREAM),
    define(&SPOOL_DIR),
    define(&SPOOL_MAX_BYTES),
    define(&SYNC_MS),
    define(&LINGER_MS),
    define(&AGGREGATE_BYTES),
    define(&SENDER),
    define(&SHUTDOWN_MS),
    define_secret(&STATE_URL),
    define(&STATE_TIMEOUT_MS),
    define(&LOG),
    IniEntryDef::end(),
]);

const fn define(entry: &'static Entry) -> IniEntryDef {
    let mut def = IniEntryDef::new(entry.name, entry.default, IniEntryPermission::System);
    def.on_modify = Some(on_modify);
    def.mh_arg1 = std::ptr::from_ref(entry).cast::<c_void>().cast_mut();
    def
}

/// An entry whose value may carry a password: phpinfo() shows it without.
const fn define_secret(entry: &'static Entry) -> IniEntryDef {
    let mut def = define(entry);
    def.displayer = Some(display_without_password);
    def
}

/// Registers the entries. Called from MINIT.
pub fn register(module_number: c_int) {
    IniEntryDef::register(DEFINITIONS.as_slice(), module_number);
}

/// Called by PHP for each value it is about to give to one of our entries.
/// Refusing leaves the value before it, at startup the default.
unsafe extern "C" fn on_modify(
    _entry: *mut zend_ini_entry,
    new_value: *mut zend_string,
    mh_arg1: *mut c_void,
    _mh_arg2: *mut c_void,
    _mh_arg3: *mut c_void,
    _stage: c_int,
) -> c_int {
    const SUCCESS: c_int = 0;
    const FAILURE: c_int = -1;
    // SAFETY: `define` put a `&'static Entry` there.
    let entry = unsafe { &*mh_arg1.cast::<Entry>() };
    // SAFETY: PHP passes null or a string that lives through the call.
    let value = unsafe { new_value.as_ref() }.map_or(&b""[..], ZendStr::as_bytes);
    let verdict = std::str::from_utf8(value)
        .map_err(|_| "UTF-8")
        .and_then(entry.check);
    let Err(expected) = verdict else {
        return SUCCESS;
    };
    let value = String::from_utf8_lossy(value);
    let (shown, consequence) = match entry.waits {
        true => (
            without_password(&value),
            "records wait in the spool until it is".to_owned(),
        ),
        false => (
            value.into_owned(),
            format!("using \"{}\"", entry.default.to_string_lossy()),
        ),
    };
    let message = format!(
        "{} must be {expected}; got \"{shown}\", {consequence}",
        entry.name.to_string_lossy(),
    );
    let message = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
    // SAFETY: a variadic printf of PHP with one string argument.
    unsafe {
        php_error_docref(
            std::ptr::null(),
            ErrorType::Warning.bits() as c_int,
            c"%s".as_ptr(),
            message.as_ptr(),
        );
    }
    if entry.waits { SUCCESS } else { FAILURE }
}

unsafe extern "C" fn display_without_password(entry: *mut zend_ini_entry, _type: c_int) {
    // SAFETY: PHP passes the entry it displays; its value is null or a string.
    let value = unsafe { (*entry).value.as_ref() }.map_or(&b""[..], ZendStr::as_bytes);
    let shown = match without_password(&String::from_utf8_lossy(value)) {
        shown if shown.is_empty() => "no value".to_owned(),
        shown => shown,
    };
    let shown = CString::new(shown).unwrap_or_default();
    // SAFETY: a variadic printf of PHP with one string argument.
    unsafe { php_printf(c"%s".as_ptr(), shown.as_ptr()) };
}

/// `redis://user:secret@host` as `redis://***@host`, and `user:secret@host` as `***@host`.
pub fn without_password(url: &str) -> String {
    let Some(at) = url.rfind('@') else {
        return url.to_owned();
    };
    let user = url.find("://").map_or(0, |scheme| scheme + 3).min(at);
    format!("{}***{}", &url[..user], &url[at..])
}

/// Where the extension and its sender write what an administrator should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Log {
    /// Where PHP's own `error_log` goes.
    Php,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// Appended to this file.
    File(PathBuf),
}

/// The settings of one process.
#[derive(Debug, Clone)]
pub struct Config {
    /// URL of the Firehose API; `None` for Amazon's.
    pub endpoint: Option<String>,
    /// AWS region; `None` leaves it to `AWS_REGION`.
    pub region: Option<String>,
    pub spool_dir: PathBuf,
    pub spool_max_bytes: u64,
    pub sync: Duration,
    pub linger: Duration,
    pub aggregate_bytes: usize,
    /// Whether a PHP process may be the sender.
    pub sends: bool,
    pub shutdown: Duration,
    pub state_url: Option<String>,
    pub state_timeout: Duration,
    pub log: Log,
}

impl Config {
    /// Reads PHP's settings as they are now. To be called on a PHP thread.
    pub fn read() -> Self {
        Self {
            endpoint: optional(&ENDPOINT),
            region: optional(&REGION),
            spool_dir: get(&SPOOL_DIR).into(),
            spool_max_bytes: size(&SPOOL_MAX_BYTES),
            sync: millis(&SYNC_MS),
            linger: millis(&LINGER_MS),
            aggregate_bytes: size(&AGGREGATE_BYTES) as usize,
            sends: matches!(get(&SENDER).as_str(), "auto" | "1"),
            shutdown: millis(&SHUTDOWN_MS),
            state_url: optional(&STATE_URL),
            state_timeout: millis(&STATE_TIMEOUT_MS),
            log: match get(&LOG).as_str() {
                "error_log" | "1" => Log::Php,
                "stderr" => Log::Stderr,
                "off" | "" => Log::Off,
                path => Log::File(path.into()),
            },
        }
    }
}

/// The delivery stream that '' stands for, '' if none is set. Read per call:
/// a web server may set it per virtual host.
pub fn default_stream() -> String {
    get(&STREAM)
}

/// PHP's own `error_log`: a path, "syslog", or empty.
pub fn php_error_log() -> String {
    string(c"error_log")
}

/// The limits Firehose sets to the name of a delivery stream
/// (API reference, CreateDeliveryStream: `[a-zA-Z0-9_.-]+`, 1 to 64).
pub fn is_stream_name(name: &[u8]) -> bool {
    (1..=64).contains(&name.len())
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn get(entry: &Entry) -> String {
    string(entry.name)
}

fn optional(entry: &Entry) -> Option<String> {
    Some(get(entry)).filter(|value| !value.is_empty())
}

fn size(entry: &Entry) -> u64 {
    // `on_modify` let nothing else pass.
    bytes(&get(entry)).unwrap_or(0)
}

fn millis(entry: &Entry) -> Duration {
    Duration::from_millis(get(entry).parse().unwrap_or(0))
}

fn string(name: &CStr) -> String {
    // SAFETY: name and length belong together; `exists` may be null.
    let value = unsafe {
        zend_ini_string_ex(
            name.as_ptr(),
            name.count_bytes(),
            false,
            std::ptr::null_mut(),
        )
    };
    if value.is_null() {
        return String::new();
    }
    // SAFETY: PHP's value of the entry, NUL-terminated, copied before any call into PHP.
    unsafe { CStr::from_ptr(value) }
        .to_string_lossy()
        .into_owned()
}

/// A size as php.ini writes it: digits, then nothing or K, M, G.
fn bytes(value: &str) -> Option<u64> {
    let (digits, shift) = match value.as_bytes().last()? {
        b'k' | b'K' => (&value[..value.len() - 1], 10),
        b'm' | b'M' => (&value[..value.len() - 1], 20),
        b'g' | b'G' => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn in_range(value: Option<u64>, least: u64, greatest: u64) -> Option<()> {
    value
        .is_some_and(|v| (least..=greatest).contains(&v))
        .then_some(())
}
