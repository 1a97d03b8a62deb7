//! A moto server, somebody else's idea of what AWS does, shared by the tests of one program.
//!
//! It listens on a free port of loopback and ends with the program that started it, however that
//! ends: its shell waits on a pipe that only this program holds open.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[path = "pypi.rs"]
mod pypi;

/// Its URL; `None`, loudly, where it cannot be had. `EXAM_STREAM_TEST_ALL` makes that a failure.
pub fn url() -> Option<&'static str> {
    static MOTO: OnceLock<Option<(Child, String)>> = OnceLock::new();
    let program = || pypi::program("moto_server", "moto[server]", "bin/moto_server");
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
