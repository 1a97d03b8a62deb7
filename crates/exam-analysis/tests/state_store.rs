//! Results of a rule on their way to the state store, where the board reads them.

mod support;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use exam_record::{AttemptKey, AttemptView};
use support::{Event, Place};

/// A redis-server of one's own.
struct Redis(Child, u16);

impl Redis {
    fn start(place: &Place, port: u16) -> Self {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(place.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed (apt install redis-server)");
        Redis(child, port)
    }

    fn url(port: u16) -> String {
        format!("redis://127.0.0.1:{port}/0")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The row of a signal of an attempt, and its revision.
fn signal(port: u16, attempt: i64, name: &str) -> Option<serde_json::Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = exam_state::open(&Redis::url(port), exam_state::Options::default()).unwrap();
    let key = AttemptKey::new("made", attempt);
    let registers = runtime.block_on(store.read(&key)).ok()??;
    let view = serde_json::to_value(AttemptView::new(&key, &registers)).unwrap();
    view["signals"].get(name).cloned()
}

#[test]
fn a_signal_reaches_the_state_store_even_if_that_comes_later() {
    let place = Place::new();
    place.shipped("gone");
    let alive = |attempt, until: u32| -> Vec<Event> {
        (0..until)
            .step_by(15)
            .map(|s| Event::new("alive", attempt, f64::from(s)))
            .collect()
    };
    let mut events = [alive(1, 600), alive(2, 300)].concat();
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    place.write(&events);
    let port = free_port();
    let run = place.start(&[
        "--lateness",
        "0s",
        "--idle-timeout",
        "1h",
        "--state-url",
        &Redis::url(port),
    ]);
    place.until("windows", || place.results("gone").len() >= 3);
    assert!(place.status()["signals"]["folded"].as_u64().unwrap_or(0) == 0);
    let redis = Redis::start(&place, port);
    place.until("the signal of the latest window", || {
        signal(redis.1, 2, "gone").is_some_and(|signal| signal["row"]["silent_s"] == 255)
    });
    assert_eq!(signal(redis.1, 1, "gone"), None);
    let found = signal(redis.1, 2, "gone").unwrap();
    assert_eq!(found["revision"], 0);
    assert_eq!(found["row"]["attempt"], 2);
    run.end();
}
