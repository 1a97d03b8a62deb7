//! A fold of many registers into one server: read, joined here, written in a transaction.
//!
//! The script takes a server some 3 µs a register, nearly all of it for carrying texts into Lua and
//! back; reading and writing them takes a quarter of that. So the attempts are watched and read, what
//! wins is found here, and the server writes it if nobody has written to one of them since. If
//! somebody has, nothing was written, and the script does the same.
//!
//! What is watched belongs to a connection: nobody else may use it between reading and writing. Nor
//! can a cluster watch keys of several slots.

use exam_record::{Join, Order, Registers};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use crate::connection::Connection;

/// An attempt by its key, and what is folded into it.
pub(crate) type Fold<'a> = (String, &'a Registers);

/// Where it is, it is the only register; and only the script puts it there.
const ERASED: &[u8] = b"erased";

/// When somebody was there last.
const SEEN: &[u8] = b"seen";

/// How attempts are kept for another time to live: by a script for those of a transaction, since of
/// each command that is queued there are two answers to be read.
#[derive(Clone, Copy)]
pub(crate) struct Keep<'a> {
    /// The hash of `keep.lua`.
    pub script: &'a str,
    pub ttl_ms: &'a str,
    /// An attempt that goes on is kept once in such a part of time, in microseconds; its time to
    /// live is that much longer than it need be.
    pub part: u64,
}

/// Registers from which on two round trips and little work cost less than one with much.
const MANY: usize = 24;

/// Attempts of one transaction: a server compares each that is to be watched with all that are, and
/// the longer a transaction takes, the sooner another writer crosses it.
pub(crate) const MOST: usize = 100;

/// Whether these folds are for a transaction.
pub(crate) fn worthwhile(folds: &[Fold<'_>]) -> bool {
    let registers: usize = folds.iter().map(|(_, registers)| registers.len()).sum();
    let erases = |(_, registers): &Fold<'_>| registers.get(ERASED).is_some();
    registers >= MANY && !folds.iter().any(erases)
}

/// Folds chunk by chunk, and gives those back that the script has to fold: what another writer
/// crossed, and what the server refused. A chunk is written in the round trip that reads the next,
/// and `changed` is sent in that of the last one: it tells of what was not given back.
pub(crate) async fn fold<'a, 'b>(
    connection: &mut Connection,
    chunks: &[&'a [Fold<'b>]],
    keep: Keep<'_>,
    changed: &Pipeline,
) -> RedisResult<Vec<&'a [Fold<'b>]>> {
    let mut refused = Vec::new();
    let mut read: Option<(&[Fold<'_>], Vec<Value>)> = None;
    for next in chunks.iter().copied().map(Some).chain([None]) {
        let mut pipeline = Pipeline::new();
        let known = read.take();
        if let Some((chunk, stored)) = &known {
            write(&mut pipeline, chunk, stored, keep);
        }
        let writes = pipeline.len();
        if let Some(chunk) = next {
            watch_and_read(&mut pipeline, chunk);
        } else if known.is_some() {
            for tell in changed.cmd_iter() {
                pipeline.add_command(tell.clone());
            }
        }
        if pipeline.is_empty() {
            continue;
        }
        let Some(mut all) = answers(connection.send(&pipeline).await)? else {
            // What is wrong with one attempt, or with the user's rights, the script will tell. To
            // fold twice what was written is no harm.
            refused.extend(known.map(|(chunk, _)| chunk));
            refused.extend(next);
            let mut forget = redis::pipe();
            forget.cmd("UNWATCH");
            answers(connection.send(&forget).await)?;
            continue;
        };
        let mut stored = all.split_off(writes.min(all.len()));
        // EXEC is the last of the writes.
        if let Some((chunk, _)) = known
            && !executed(all.last())
        {
            refused.push(chunk);
        }
        if let Some(chunk) = next {
            // What WATCH answers comes before.
            if stored.len() == chunk.len() + 1 {
                stored.remove(0);
                read = Some((chunk, stored));
            } else {
                refused.push(chunk);
            }
        }
    }
    Ok(refused)
}

/// Whether EXEC did it: it answers nothing if a watched attempt was written.
fn executed(answer: Option<&Value>) -> bool {
    match answer {
        Some(Value::Array(done)) => !done.iter().any(|v| matches!(v, Value::ServerError(_))),
        _ => false,
    }
}

/// The answers; `None` if the server refused a command.
fn answers(sent: RedisResult<Vec<Value>>) -> RedisResult<Option<Vec<Value>>> {
    let broken = |error: &RedisError| error.is_unrecoverable_error() || error.is_timeout();
    match sent {
        Ok(answers) => Ok(Some(answers)),
        Err(error) if broken(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn watch_and_read(pipeline: &mut Pipeline, folds: &[Fold<'_>]) {
    let keys: usize = folds.iter().map(|(key, _)| key.len()).sum();
    let mut watch = command("WATCH", folds.len(), keys);
    for (key, _) in folds {
        watch.arg(key);
    }
    pipeline.add_command(watch);
    for (key, registers) in folds {
        let names: usize = registers.iter().map(|(field, _)| field.len()).sum();
        let mut read = command("HMGET", registers.len() + 1, key.len() + names);
        read.arg(key);
        for (field, _) in registers.iter() {
            read.arg(field);
        }
        pipeline.add_command(read);
    }
}

fn write(pipeline: &mut Pipeline, folds: &[Fold<'_>], stored: &[Value], keep: Keep<'_>) {
    pipeline.cmd("MULTI");
    let mut due = Vec::new();
    for ((key, registers), stored) in folds.iter().zip(stored) {
        let stored = match stored {
            Value::Array(stored) => &stored[..],
            _ => &[],
        };
        let old = stored.iter().map(|old| match old {
            Value::BulkString(old) => Some(&old[..]),
            _ => None,
        });
        let old = old.chain(std::iter::repeat(None));
        let mut winners = registers
            .iter()
            .zip(old)
            .filter(|((field, new), old)| wins(field, new, *old))
            .peekable();
        let mut goes_on = false;
        if winners.peek().is_some() {
            let bytes = key.len() + registers.bytes();
            let mut write = command("HSET", 2 * registers.len() + 1, bytes);
            write.arg(key);
            for ((field, new), old) in winners {
                write.arg(field).arg(new);
                goes_on |= field == SEEN && same_part(new, old, keep.part);
            }
            pipeline.add_command(write);
        }
        if !goes_on {
            due.push(key);
        }
    }
    if !due.is_empty() {
        let Keep { script, ttl_ms, .. } = keep;
        let keys: usize = due.iter().map(|key| key.len()).sum();
        let bytes = script.len() + keys + ttl_ms.len();
        let mut keep = command("EVALSHA", due.len() + 3, bytes);
        keep.arg(script).arg(due.len()).arg(due).arg(ttl_ms);
        pipeline.add_command(keep);
    }
    pipeline.cmd("EXEC");
}

/// Whether the attempt was seen before in this part of time: so it is no attempt that was erased,
/// and whoever saw it first has kept it.
fn same_part(new: &[u8], old: Option<&[u8]>, part: u64) -> bool {
    let number = |register| Some(Order::number_of(register)? / part.max(1));
    old.is_some_and(|old| number(old).is_some() && number(old) == number(new))
}

/// A command with room for so many arguments of so many bytes in all.
fn command(name: &str, arguments: usize, bytes: usize) -> Cmd {
    let mut command = Cmd::with_capacity(1 + arguments, name.len() + bytes);
    command.arg(name);
    command
}

fn wins(field: &[u8], new: &[u8], old: Option<&[u8]>) -> bool {
    old.is_none_or(|old| match Join::of(field) {
        Join::Max => new > old,
        Join::Min => new < old,
    })
}
