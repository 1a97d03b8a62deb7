//! A fold of many registers into one server: read, joined here, written in a transaction.
//!
//! The script takes a server some 3 µs a register, nearly all of it for carrying texts into Lua and
//! back; reading and writing them takes a quarter of that. So the attempts are watched and read, what
//! wins is found here, and the server writes it if nobody has written to one of them since. If
//! somebody has, nothing was written, and the script does the same.
//!
//! What is watched belongs to a connection: nobody else may use it between reading and writing. Nor
//! can a cluster watch keys of several slots.

use exam_record::{Join, Registers};
use redis::{Pipeline, RedisError, RedisResult, Value};

use crate::connection::Connection;

/// An attempt by its key, and what is folded into it.
pub(crate) type Fold<'a> = (String, &'a Registers);

/// Where it is, it is the only register; and only the script puts it there.
const ERASED: &[u8] = b"erased";

/// Registers from which on two round trips and little work cost less than one with much.
const MANY: usize = 64;

/// Attempts of one transaction. The more there are and the longer it takes, the sooner another
/// writer crosses it; the fewer, the more round trips.
pub(crate) const MOST: usize = 500;

/// Whether these folds are for a transaction.
pub(crate) fn worthwhile(folds: &[Fold<'_>]) -> bool {
    let registers: usize = folds.iter().map(|(_, registers)| registers.len()).sum();
    let erases = |(_, registers): &Fold<'_>| registers.get(ERASED).is_some();
    registers >= MANY && !folds.iter().any(erases)
}

/// False if nothing was written, and the script has to do it.
pub(crate) async fn fold(
    connection: &mut Connection,
    folds: &[Fold<'_>],
    ttl_ms: &str,
) -> RedisResult<bool> {
    let Some(stored) = answers(connection.send(&reading(folds)).await)? else {
        // What is wrong with one attempt, or with the user's rights, the script will tell.
        let mut forget = redis::pipe();
        forget.cmd("UNWATCH");
        answers(connection.send(&forget).await)?;
        return Ok(false);
    };
    // What WATCH answers, and then one for each.
    let Some(stored) = stored.get(1..).filter(|each| each.len() == folds.len()) else {
        return Ok(false);
    };
    let writing = writing(folds, stored, ttl_ms);
    let Some(written) = answers(connection.send(&writing).await)? else {
        return Ok(false);
    };
    Ok(match written.last() {
        Some(Value::Array(done)) => !done.iter().any(|v| matches!(v, Value::ServerError(_))),
        _ => false,
    })
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

fn reading(folds: &[Fold<'_>]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(folds.len() + 1);
    let watch = pipeline.cmd("WATCH");
    for (key, _) in folds {
        watch.arg(key);
    }
    for (key, registers) in folds {
        let read = pipeline.cmd("HMGET").arg(key);
        for (field, _) in registers.iter() {
            read.arg(field);
        }
        read.arg(ERASED);
    }
    pipeline
}

fn writing(folds: &[Fold<'_>], stored: &[Value], ttl_ms: &str) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(2 * folds.len() + 2);
    pipeline.cmd("MULTI");
    for ((key, registers), stored) in folds.iter().zip(stored) {
        let stored = match stored {
            Value::Array(stored) => &stored[..],
            _ => &[],
        };
        if !matches!(stored.last(), Some(Value::BulkString(_))) {
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
            if winners.peek().is_some() {
                let write = pipeline.cmd("HSET").arg(key);
                for ((field, register), _) in winners {
                    write.arg(field).arg(register);
                }
            }
        }
        if ttl_ms != "0" {
            pipeline.cmd("PEXPIRE").arg(key).arg(ttl_ms);
        }
    }
    pipeline.cmd("EXEC");
    pipeline
}

fn wins(field: &[u8], new: &[u8], old: Option<&[u8]>) -> bool {
    old.is_none_or(|old| match Join::of(field) {
        Join::Max => new > old,
        Join::Min => new < old,
    })
}
