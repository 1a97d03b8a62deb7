//! No environment variable is read by the sender once it is started.
//!
//! This binary defines `getenv`, which takes precedence over the C library's
//! for everything linked here, Rust's standard library included. Reads inside
//! the C library itself (its resolver) are not seen; it is not used.

mod common;
#[path = "common/server.rs"]
mod server;

use exam_delivery::{AwsEnv, firehose, flush, spawn};
use std::ffi::{CStr, c_char};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static WATCHING: AtomicBool = AtomicBool::new(false);
static READ: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller passes a C string; `environ` is a list of C strings
    // ended by null, and this test changes none of them.
    unsafe {
        let name = CStr::from_ptr(name);
        let thread = std::thread::current();
        if WATCHING.load(Ordering::SeqCst)
            && thread
                .name()
                .is_some_and(|n| n.starts_with("exam-") || n.starts_with("tokio-"))
        {
            READ.lock()
                .unwrap()
                .push(name.to_string_lossy().into_owned());
        }
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if text.starts_with(name.to_bytes()) && text.get(name.to_bytes().len()) == Some(&b'=') {
                return (*entry).add(name.to_bytes().len() + 1);
            }
            entry = entry.add(1);
        }
        std::ptr::null()
    }
}

#[test]
fn the_sender_reads_no_environment() {
    // The counter counts: the same read, from a thread with the watched name.
    WATCHING.store(true, Ordering::SeqCst);
    std::thread::Builder::new()
        .name("exam-control".into())
        .spawn(|| std::env::var_os("EXAM_CONTROL"))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(std::mem::take(&mut *READ.lock().unwrap()), ["EXAM_CONTROL"]);

    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = calls.clone();
    // By name and https, with credentials from a container agent, and failures on the way.
    let agent = server::serve(false, |_| {
        Some((200, r#"{"AccessKeyId":"A","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#.into()))
    });
    let endpoint = server::serve(true, move |request| {
        let records = request.body.windows(6).filter(|w| w == b"\"Data\"").count();
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => server::refused("ExpiredTokenException"),
            1 => Some((500, "{}".into())),
            2 => server::taken(records, 1),
            _ => server::taken(records, 0),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let spool = common::spool(dir.path());
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/ca.pem");
    let agent = format!("http://{agent}/");
    let vars = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.as_str()),
        ("AWS_CA_BUNDLE", bundle),
    ];
    let env: AwsEnv = vars.into_iter().collect();
    let url = format!("https://localhost:{}", endpoint.port());
    drop(firehose(Some(&url), None, env.clone())); // as every caller does
    let store: exam_delivery::Store =
        Box::new(|| exam_state::open("redis://state.invalid:1/", exam_state::Options::default()));
    let sender = spawn(
        spool.clone(),
        Box::new(move || {
            firehose(Some(&url), None, env.clone())
                .map(|f| Arc::new(f) as Arc<dyn exam_delivery::PutBatch>)
                .map_err(|e| e.to_string())
        }),
        Some(store),
        common::quick(),
    )
    .unwrap();
    let mut writer = spool.writer("exam").unwrap();
    for round in 0..30 {
        common::put(&mut writer, "e", round * 10..round * 10 + 10);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        flush(&spool, Duration::from_secs(20)).unwrap(),
        "{:?}",
        common::status(&spool)
    );
    assert!(calls.load(Ordering::SeqCst) > 3);
    assert!(sender.stop(Duration::from_secs(2)));
    let read = READ.lock().unwrap();
    assert!(read.is_empty(), "read: {read:?}");
}
