//! Reading attempts and boards on a thread that must not wait long: PHP's.

use std::time::{Duration, Instant};

use exam_record::{AttemptKey, Board, Registers};
use tokio::runtime::{Builder, Runtime};

use crate::connection::{Connection, Connector, explain};
use crate::redis_store::{Failure, board, read};
use crate::{AwsEnv, BOARD_ROWS, Options, StateError};

/// Rows of a board that are asked for at once: a few milliseconds' work for the store.
const PAGE: usize = 500;

/// Reads attempts and boards, each call within a deadline that covers everything: resolving the name,
/// connecting, TLS, login, the read. The connection is kept for the next call. Nothing runs
/// between calls: there is no thread, and the environment is not read.
///
/// After a fork the child connects anew; what it inherited is left alone, since closing it would
/// disturb the parent.
pub struct BlockingReader {
    connector: Connector,
    timeout: Duration,
    link: Option<Link>,
}

struct Link {
    pid: u32,
    runtime: Runtime,
    connection: Option<Connection>,
}

impl BlockingReader {
    /// A reader of the store at `url`; `ca_pem` as in [`Options`]. Connects at the first read.
    pub fn new(url: &str, ca_pem: Option<Vec<u8>>, timeout: Duration) -> Result<Self, StateError> {
        let options = Options {
            connect_timeout: timeout,
            response_timeout: timeout,
            ca_pem,
            aws: AwsEnv::default(),
            ttl: None,
        };
        Ok(BlockingReader {
            connector: Connector::new(url, &options)?,
            timeout,
            link: None,
        })
    }

    /// The registers of an attempt; `None` if there are none.
    pub fn read(&mut self, key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        self.ask(async |connection| read(connection, key).await)
    }

    /// What changed on a quiz's board, as [`StateStore::board`](crate::StateStore::board) says. At
    /// most [`BOARD_ROWS`] rows, and fewer if half of the time is over: then there are
    /// [`more`](Board::more).
    pub fn board(&mut self, site: &str, quiz: i64, since: u64) -> Result<Board, StateError> {
        let enough = Instant::now() + self.timeout / 2;
        self.ask(async |connection| {
            let mut all = board(connection.clone(), site, quiz, since, PAGE).await?;
            while all.more && all.rows.len() < BOARD_ROWS && Instant::now() < enough {
                let limit = PAGE.min(BOARD_ROWS - all.rows.len());
                let next = board(connection.clone(), site, quiz, all.version, limit).await?;
                if next.reset {
                    return Ok(next);
                }
                (all.version, all.more, all.signals) = (next.version, next.more, next.signals);
                all.rows.extend(next.rows);
            }
            Ok(all)
        })
    }

    fn ask<T>(
        &mut self,
        run: impl AsyncFn(Connection) -> Result<T, Failure>,
    ) -> Result<T, StateError> {
        let pid = std::process::id();
        let mut link = match self.link.take() {
            Some(link) if link.pid == pid => link,
            inherited => {
                // Dropping it would take the parent's sockets out of the epoll they share.
                std::mem::forget(inherited);
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|e| StateError::Unreachable(e.to_string()))?;
                Link {
                    pid,
                    runtime,
                    connection: None,
                }
            }
        };
        let Link {
            runtime,
            connection,
            ..
        } = &mut link;
        let (connector, timeout) = (&self.connector, self.timeout);
        let outcome = runtime.block_on(async {
            let all = tokio::time::timeout(timeout, ask_on(connector, connection, run));
            match all.await {
                Ok(outcome) => outcome,
                Err(_) => {
                    *connection = None;
                    Err(StateError::Timeout(timeout))
                }
            }
        });
        self.link = Some(link);
        outcome
    }
}

impl Drop for BlockingReader {
    fn drop(&mut self) {
        if let Some(link) = self.link.take()
            && link.pid != std::process::id()
        {
            std::mem::forget(link); // a forked child's: see ask()
        }
    }
}

/// Asks on the connection kept. One that has died since (the server restarted, or closed it while
/// it was idle) is replaced once.
async fn ask_on<T>(
    connector: &Connector,
    kept: &mut Option<Connection>,
    run: impl AsyncFn(Connection) -> Result<T, Failure>,
) -> Result<T, StateError> {
    loop {
        let fresh = kept.is_none();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connected = connector.connect().await;
                kept.insert(connected.map_err(|e| explain(&e, connector.timeout))?)
            }
        };
        match run(connection.clone()).await {
            Ok(found) => return Ok(found),
            Err(Failure::State(error)) => return Err(error),
            Err(Failure::Redis(error)) => {
                if error.is_unrecoverable_error() || error.is_timeout() {
                    *kept = None;
                    if !fresh && !error.is_timeout() {
                        continue;
                    }
                }
                return Err(explain(&error, connector.timeout));
            }
        }
    }
}
