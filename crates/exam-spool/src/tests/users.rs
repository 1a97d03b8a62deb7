//! One spool, one user. Those that need root say so when they cannot run.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

const NOBODY: u32 = 65534;

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("not root: nothing was tried");
    }
    root
}

fn as_nobody(body: impl FnOnce() -> i32) -> i32 {
    wait(in_child(|| {
        // SAFETY: plain system calls in a child that ends in _exit.
        let dropped = unsafe { libc::setgid(NOBODY) == 0 && libc::setuid(NOBODY) == 0 };
        if dropped { body() } else { 99 }
    }))
}

fn config(parent: &Path) -> Config {
    Config {
        dir: parent.join("spool"),
        max_bytes: SMALL,
        segment_bytes: 16 * 1024,
    }
}

fn open_to_all(parent: &Path) {
    std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

#[test]
fn the_directory_and_its_files_are_the_owners_alone() {
    let dir = scratch_alone();
    let spool = open(dir.path(), SMALL);
    let mut writer = spool.writer("exam").expect("valid");
    assert!(put(&mut writer, b"one"));
    drop(spool.try_elect().expect("elects"));
    spool.quarantine("exam", &[b"{}"], "why").expect("room");
    assert_eq!(
        std::fs::metadata(spool.path()).expect("stat").mode() & 0o7777,
        0o700
    );
    for name in files(&spool, "") {
        assert_eq!(
            std::fs::metadata(spool.path().join(&name))
                .expect("stat")
                .mode()
                & 0o7777,
            0o600,
            "{name}"
        );
    }
}

#[test]
fn an_open_directory_is_closed_if_empty_and_refused_with_the_fix_if_not() {
    let dir = scratch_alone();
    let path = dir.path().join("spool");
    std::fs::create_dir(&path).expect("mkdir");
    let mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod")
    };
    mode(0o755);
    drop(Spool::open(config(dir.path())).expect("an empty one is ours"));
    assert_eq!(
        std::fs::metadata(&path).expect("stat").mode() & 0o7777,
        0o700
    );
    mode(0o750);
    let Err(error) = Spool::open(config(dir.path())) else {
        panic!("others may enter")
    };
    assert!(error.to_string().contains("run: chmod 0700"), "{error}");
}

#[test]
fn nobody_is_told_to_close_a_directory_that_is_no_spool() {
    let dir = scratch_alone();
    let path = dir.path().join("spool");
    std::fs::create_dir(&path).expect("mkdir");
    std::fs::write(path.join("a file"), "of somebody").expect("writes");
    for mode in [0o755, 0o1777] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        let Err(error) = Spool::open(config(dir.path())) else {
            panic!("others may enter")
        };
        assert!(
            error.to_string().contains("a directory of its own"),
            "{error}"
        );
        assert!(!error.to_string().contains("chmod"), "{error}");
    }
}

#[test]
fn a_symbolic_link_is_no_spool_and_no_segment() {
    let dir = scratch_alone();
    symlink(dir.path(), dir.path().join("spool")).expect("symlink");
    assert!(matches!(
        Spool::open(config(dir.path())),
        Err(OpenError::NotADirectory { .. })
    ));
    std::fs::remove_file(dir.path().join("spool")).expect("removes");
    let spool = open(dir.path(), SMALL);
    let target = dir.path().join("target");
    std::fs::write(&target, "precious").expect("writes");
    symlink(
        &target,
        spool
            .path()
            .join("0000000000000001-00000001-00000001-exam.seg"),
    )
    .expect("symlink");
    drain(&spool);
    assert_eq!(std::fs::read(&target).expect("reads"), b"precious");
}

#[test]
fn another_user_is_refused_with_a_sentence_that_names_the_owner_and_the_fix() {
    if !root() {
        return;
    }
    let dir = scratch_alone();
    open_to_all(dir.path());
    drop(open(dir.path(), SMALL));
    let code = as_nobody(|| match Spool::open(config(dir.path())) {
        Err(e) => {
            let says = e.to_string();
            let all = [
                "belongs to user 0",
                "this process is user 65534",
                "exam_stream.spool_dir",
            ];
            i32::from(!all.iter().all(|part| says.contains(part)))
        }
        Ok(_) => 2,
    });
    assert_eq!(code, 0);
}

#[test]
fn root_hands_everything_it_makes_to_the_owner_who_goes_on_with_it() {
    if !root() {
        return;
    }
    let dir = scratch_alone();
    open_to_all(dir.path());
    let path = dir.path().join("spool");
    std::fs::create_dir(&path).expect("mkdir");
    chown(&path, Some(NOBODY), Some(NOBODY)).expect("chown");
    let spool = Spool::open(config(dir.path())).expect("root may");
    assert!(put(&mut spool.writer("exam").expect("valid"), b"by root"));
    drop(spool.try_elect().expect("elects").expect("alone"));
    spool.quarantine("exam", &[b"{}"], "why").expect("room");
    for name in files(&spool, "") {
        if name != "." {
            assert_eq!(
                std::fs::metadata(path.join(&name)).expect("stat").uid(),
                NOBODY,
                "{name}"
            );
        }
    }
    let code = as_nobody(|| {
        let spool = open(dir.path(), SMALL);
        let elected = spool.try_elect().is_ok_and(|e| e.is_some());
        let found = readable(&spool, Cursor::State)["exam"] == [b"by root".to_vec()];
        let put = put(&mut spool.writer("exam").expect("valid"), b"by the owner");
        drain(&spool);
        i32::from(!elected) + 2 * i32::from(!found) + 4 * i32::from(!put)
    });
    assert_eq!(code, 0);
    assert_eq!(
        spool.totals().expect("totals").delivered,
        1,
        "one of two, the other was quarantined"
    );
}
