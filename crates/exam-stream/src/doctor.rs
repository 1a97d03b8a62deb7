//! `exam-stream doctor`: are the settings right, end to end?
//!
//! Each check prints a line; one that fails prints the fix as well, and the
//! program ends with 1. Nothing is sent and nothing is changed.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use exam_delivery::{AwsEnv, PutError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::settings::{self, FirehoseArgs, SpoolArgs};
use crate::{clock, status};

const PATIENCE: Duration = Duration::from_secs(5);
/// AWS refuses signatures that are further off.
const SKEW: u64 = 5 * 60;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    spool: SpoolArgs,
    #[command(flatten)]
    firehose: FirehoseArgs,
    /// Delivery stream that must exist (repeatable)
    #[arg(long = "stream", env = "EXAM_STREAM_STREAM", value_name = "NAME")]
    streams: Vec<String>,
    /// State store, as exam_stream.state_url names it
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: Option<String>,
    /// User that PHP runs as, as www-data; without one, whoever runs this
    #[arg(long)]
    user: Option<String>,
}

enum Finding {
    Good(String),
    /// Works, but somebody should know.
    Note(String),
    Bad {
        what: String,
        fix: String,
    },
}

fn bad(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::Bad {
        what: what.into(),
        fix: fix.into(),
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut failures = 0;
    let mut tell = |area: &str, findings: Vec<Finding>| {
        for finding in findings {
            match finding {
                Finding::Good(what) => println!("ok    {area}: {what}"),
                Finding::Note(what) => println!("note  {area}: {what}"),
                Finding::Bad { what, fix } => {
                    failures += 1;
                    println!("FAIL  {area}: {what}\n      fix: {fix}");
                }
            }
        }
    };
    tell("spool", spool(&args.spool, args.user.as_deref()));
    tell("endpoint", runtime.block_on(endpoint(&args.firehose)));
    tell(
        "delivery",
        runtime.block_on(delivery(&args.firehose, &args.streams)),
    );
    tell("state", runtime.block_on(state(args.state.as_deref())));
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn spool(args: &SpoolArgs, user: Option<&str>) -> Vec<Finding> {
    let dir = &args.spool_dir;
    let shown = dir.display();
    let about = match std::fs::symlink_metadata(dir) {
        Ok(about) => about,
        Err(error) => {
            let owner = user.unwrap_or("www-data");
            let fix =
                format!("install -d -m 0700 -o {owner} {shown}, or set exam_stream.spool_dir");
            return vec![bad(format!("{shown}: {error}"), fix)];
        }
    };
    let mut found = Vec::new();
    let uid = match user {
        Some(name) => match uid_of(name) {
            Some(uid) => uid,
            None => {
                return vec![bad(
                    format!("there is no user {name}"),
                    "give --user an existing one",
                )];
            }
        },
        None => rustix::process::geteuid().as_raw(),
    };
    if uid != 0 && about.uid() != uid {
        let what = format!("{shown} belongs to user {}, PHP runs as {uid}", about.uid());
        found.push(bad(
            what,
            format!("chown -R {uid} {shown}, or a spool_dir of its own for this pool"),
        ));
    }
    if about.mode() & 0o077 != 0 {
        let what = format!(
            "{shown} is open to others (mode {:o})",
            about.mode() & 0o777
        );
        found.push(bad(
            what,
            format!("chmod 0700 {shown}: it holds exam answers"),
        ));
    }
    found.extend(file_system(dir, args.spool_max_bytes));
    found.extend(damaged(dir));
    if found.is_empty() {
        found.push(Finding::Good(format!(
            "{shown} is PHP's own and on a local file system"
        )));
    }
    match args.open().and_then(|spool| status::summary(&spool)) {
        Ok(summary) => found.push(Finding::Note(summary)),
        Err(error) => found.push(bad(format!("{error:#}"), "what the sentence says")),
    }
    found
}

fn file_system(dir: &Path, limit: u64) -> Vec<Finding> {
    let shown = dir.display();
    let about = match rustix::fs::statfs(dir) {
        Ok(about) => about,
        Err(error) => {
            return vec![bad(
                format!("{shown}: {error}"),
                "make its file system readable",
            )];
        }
    };
    let mut found = Vec::new();
    // The magic numbers of statfs(2).
    let kind = match about.f_type as u32 {
        0x6969 => Some("NFS"),
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => Some("SMB"),
        0x00c3_6400 => Some("Ceph"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    };
    if let Some(kind) = kind {
        let fix = "set exam_stream.spool_dir to a directory on a disk of this host";
        found.push(bad(
            format!("{shown} is on {kind}: locks and syncs do not hold there"),
            fix,
        ));
    }
    if about.f_type as u32 == 0x0102_1994 {
        found.push(Finding::Note(format!(
            "{shown} is in memory (tmpfs): a reboot loses what is not sent"
        )));
    }
    let free = about.f_bavail * about.f_frsize as u64;
    if free < limit {
        let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
        let what = format!(
            "{shown} has {:.1} GiB free, less than spool_max_bytes ({:.1} GiB): an outage would fill the disk first",
            gib(free),
            gib(limit)
        );
        found.push(bad(what, "free some, or lower exam_stream.spool_max_bytes"));
    }
    found
}

/// Files that the sender put aside because bytes in them were damaged.
fn damaged(dir: &Path) -> Vec<Finding> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".damaged"))
        .collect();
    names.sort();
    let finding = |name| {
        bad(
            format!(
                "{} has bytes that are damaged, and is kept",
                dir.join(name).display()
            ),
            "check the disk; what could be read of the file is delivered: remove it when you have seen it",
        )
    };
    names.into_iter().map(finding).collect()
}

fn uid_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string; the answer is read before any other call
    // that may overwrite it, and this program asks on one thread only.
    unsafe {
        libc::getpwnam(name.as_ptr())
            .as_ref()
            .map(|user| user.pw_uid)
    }
}

async fn endpoint(args: &FirehoseArgs) -> Vec<Finding> {
    let Some(url) = args.endpoint.as_deref().filter(|e| !e.is_empty()) else {
        return vec![Finding::Note("none set: AWS's own in the region".into())];
    };
    if let Err(error) = exam_delivery::check_endpoint(url) {
        return vec![bad(error.to_string(), "correct exam_stream.endpoint")];
    }
    let secure = url.starts_with("https://");
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or(url)
        .split('/')
        .next()
        .unwrap_or_default();
    let ported = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let address = match (ported, secure) {
        (true, _) => host.to_owned(),
        (false, true) => format!("{host}:443"),
        (false, false) => format!("{host}:80"),
    };
    let fix =
        "is `exam-stream serve` running there, the name right, the port open in the firewall?";
    let mut stream = match timeout(PATIENCE, TcpStream::connect(&address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return vec![bad(format!("{address}: {error}"), fix)],
        Err(_) => return vec![bad(format!("{address} does not answer"), fix)],
    };
    let mut found = vec![Finding::Good(format!("{address} answers"))];
    if secure {
        return found;
    }
    let head = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let asked = async {
        stream.write_all(head.as_bytes()).await?;
        stream.take(16 << 10).read_to_end(&mut answer).await
    };
    let _ = timeout(PATIENCE, asked).await;
    let answer = String::from_utf8_lossy(&answer);
    let date = answer.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("date")
            .then(|| clock::parse_http(value.trim()))?
    });
    if let Some(theirs) = date {
        let ours = clock::since_epoch().as_secs();
        found.push(match theirs.abs_diff(ours) {
            skew if skew < SKEW => Finding::Good(format!("clocks differ by {skew} s")),
            skew => bad(
                format!("clocks differ by {skew} s"),
                "run an NTP client on both hosts",
            ),
        });
    }
    found
}

async fn delivery(args: &FirehoseArgs, streams: &[String]) -> Vec<Finding> {
    let client = match args.client(AwsEnv::snapshot()) {
        Ok(client) => client,
        Err(error) => return vec![bad(error.to_string(), "what the sentence says")],
    };
    if streams.is_empty() {
        return vec![Finding::Note(
            "no --stream given: none is checked, nor are credentials".into(),
        )];
    }
    let mut found = Vec::new();
    for stream in streams {
        found.push(match timeout(PATIENCE * 2, client.describe(stream)).await {
            Ok(Ok(state)) if state == "ACTIVE" => Finding::Good(format!("{stream} is there, credentials are accepted")),
            Ok(Ok(state)) => bad(format!("{stream} is {state}"), "wait until it is ACTIVE, or mend it in the console"),
            Ok(Err(PutError::Held(why))) if why.contains("ResourceNotFound") => {
                let fix = "make it (CreateDeliveryStream, or `serve --stream`), or correct exam_stream.stream";
                bad(why, fix)
            }
            Ok(Err(PutError::Held(why))) if why.contains("AccessDenied") => Finding::Note(format!(
                "{stream} may not be described: {why} (firehose:PutRecordBatch is all that sending needs)"
            )),
            Ok(Err(PutError::Held(why))) if why.contains("expired") || why.contains("not yet current") => {
                bad(why, "set this host's clock: run an NTP client")
            }
            Ok(Err(PutError::Held(why))) => bad(why, "give the sender credentials that are valid for this endpoint"),
            Ok(Err(error)) => bad(error.to_string(), "see the endpoint above"),
            Err(_) => bad(format!("no answer about {stream}"), "see the endpoint above"),
        });
    }
    found
}

async fn state(url: Option<&str>) -> Vec<Finding> {
    let Some(url) = url.filter(|u| !u.is_empty()) else {
        return vec![Finding::Note(
            "no store set: exam_stream_state() cannot be asked".into(),
        )];
    };
    let asked = async {
        let store = settings::state(url, 0)?;
        store.position("doctor").await?;
        match url.starts_with("redis") {
            true => anyhow::Ok(exam_state::redis_memory(url, Default::default()).await?),
            false => Ok(vec![]),
        }
    };
    let servers = match timeout(PATIENCE, asked).await {
        Ok(Ok(servers)) => servers,
        Ok(Err(error)) => {
            return vec![bad(
                format!("{error:#}"),
                "start it, or correct exam_stream.state_url",
            )];
        }
        Err(_) => {
            return vec![bad(
                "does not answer",
                "start it, or correct exam_stream.state_url",
            )];
        }
    };
    let mut found = vec![Finding::Good("answers".into())];
    for info in servers {
        found.extend(memory(&info));
    }
    found
}

/// What a server's `INFO memory` says about what happens when it is full.
fn memory(info: &str) -> Vec<Finding> {
    let value = |name: &str| {
        info.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
    };
    let mut found = vec![];
    match (value("maxmemory"), value("maxmemory_policy")) {
        (_, Some("noeviction")) => {}
        (Some("0"), _) | (_, None) => {}
        (_, Some(policy)) => {
            let fix = "CONFIG SET maxmemory-policy noeviction, and in its configuration file";
            found.push(bad(
                format!("maxmemory-policy {policy} throws attempts away when memory runs out"),
                fix,
            ));
        }
    }
    if value("maxmemory") == Some("0") {
        found.push(Finding::Note(
            "maxmemory is not set: the host's memory is its limit".into(),
        ));
    }
    found
}
