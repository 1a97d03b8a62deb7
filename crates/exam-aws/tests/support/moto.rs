//! A moto server, somebody else's idea of what AWS does, shared by the tests of one program.
//!
//! It listens on a free port of loopback and ends with the program that started it, however that
//! ends: its shell waits on a pipe that only this program holds open.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Its URL; `None`, loudly, where it cannot be had. `EXAM_STREAM_TEST_ALL` makes that a failure.
pub fn url() -> Option<&'static str> {
    static MOTO: OnceLock<Option<(Child, String)>> = OnceLock::new();
    let started = MOTO.get_or_init(|| program().map(start));
    started.as_ref().map(|(_, url)| url.as_str())
}

fn start(program: PathBuf) -> (Child, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let child = Command::new("sh")
        .args(["-c", r#""$0" -H 127.0.0.1 -p "$1" <&- & cat; kill $!"#])
        .arg(program)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < patience, "moto does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    (child, format!("http://127.0.0.1:{port}"))
}

/// moto_server of the PATH, or of a virtual environment made for it.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("moto_server"));
    if let Some(program) = found.into_iter().find(|program| program.exists()) {
        return Some(program);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let venv = cache?.join("exam-stream/moto");
    let program = venv.join("bin/moto_server");
    let run = |program: PathBuf, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !program.exists() {
        let made = run("python3".into(), &["-m", "venv", venv.to_str()?])
            && run(venv.join("bin/pip"), &["install", "-q", "moto[server]"]);
        if !made || !program.exists() {
            let why = "moto[server] cannot be installed from PyPI (is python3-venv there?)";
            assert!(
                std::env::var_os("EXAM_STREAM_TEST_ALL").is_none(),
                "cannot be tested: {why}"
            );
            // Not by eprintln!, which the test harness hides where a test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
            return None;
        }
    }
    Some(program)
}
