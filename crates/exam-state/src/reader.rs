//! Reading attempts and boards on a thread that must not wait long: PHP's.

use std::time::{Duration, Instant};

use exam_record::{AttemptKey, Board, Registers};
use tokio::runtime::{Builder, Runtime};

use crate::connection::{Connection, Connector, explain};
use crate::dynamo_store::DynamoStore;
use crate::redis_store::{self, Failure};
use crate::{BOARD_ROWS, Options, StateError, StateStore};

/// Rows of a board that are asked for at first; then twice as many each time, up to so many.
/// Whatever the store's pace, what comes next takes hardly longer than all that came before.
const PAGES: (usize, usize) = (100, 1_600);

/// Reads attempts and boards, each call within a deadline that covers everything: resolving the name,
/// connecting, TLS, login, the read. The connection is kept for the next call. Nothing runs
/// between calls: there is no thread, and the environment is not read.
///
/// After a fork the child connects anew; what it inherited is left alone, since closing it would
/// disturb the parent.
pub struct BlockingReader {
    source: Source,
    timeout: Duration,
    link: Option<Link>,
}

enum Source {
    Redis(Box<Connector>),
    /// To be opened in each process: a client has connections of its own.
    Dynamo(String, Options),
}

struct Link {
    pid: u32,
    runtime: Runtime,
    /// Of the two, the one that the source is of, once it was needed.
    connection: Option<Connection>,
    dynamo: Option<DynamoStore>,
}

/// A store as a request meets it.
enum Reached<'a> {
    Redis(Connection),
    Dynamo(&'a DynamoStore),
}

impl Reached<'_> {
    async fn read(&self, key: &AttemptKey) -> Result<Option<Registers>, Failure> {
        match self {
            Reached::Redis(connection) => redis_store::read(connection.clone(), key).await,
            Reached::Dynamo(store) => store.read(key).await.map_err(Failure::State),
        }
    }

    async fn board(
        &self,
        site: &str,
        quiz: i64,
        since: u64,
        limit: usize,
    ) -> Result<Board, Failure> {
        match self {
            Reached::Redis(connection) => {
                redis_store::board(connection.clone(), site, quiz, since, limit).await
            }
            Reached::Dynamo(store) => {
                let board = store.board(site, quiz, since, limit).await;
                board.map_err(Failure::State)
            }
        }
    }
}

impl BlockingReader {
    /// A reader of the store at `url`; [`Options::response_timeout`] is for the whole of a call.
    /// Connects at the first one.
    pub fn new(url: &str, mut options: Options) -> Result<Self, StateError> {
        options.connect_timeout = options.response_timeout;
        let timeout = options.response_timeout;
        let source = if url.starts_with("dynamodb:") {
            DynamoStore::open(url, &options)?;
            Source::Dynamo(url.to_owned(), options)
        } else {
            Source::Redis(Box::new(Connector::new(url, &options)?))
        };
        Ok(BlockingReader {
            source,
            timeout,
            link: None,
        })
    }

    /// The registers of an attempt; `None` if there are none, or it was erased.
    pub fn read(&mut self, key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        let known = self.ask(async |store| store.read(key).await)?;
        Ok(known.filter(|registers| !registers.is_erased()))
    }

    /// What changed on a quiz's board, as [`StateStore::board`](crate::StateStore::board) says. At
    /// most [`BOARD_ROWS`] rows, and fewer if the time runs short: then there are
    /// [`more`](Board::more).
    pub fn board(&mut self, site: &str, quiz: i64, since: u64) -> Result<Board, StateError> {
        let enough = Instant::now() + self.timeout / 3;
        self.ask(async |store| {
            let (mut page, most) = PAGES;
            let mut all = store.board(site, quiz, since, page).await?;
            while all.more && all.rows.len() < BOARD_ROWS && Instant::now() < enough {
                page = most.min(2 * page);
                let limit = page.min(BOARD_ROWS - all.rows.len());
                let next = store.board(site, quiz, all.version, limit).await?;
                if next.reset {
                    return Ok(next);
                }
                (all.version, all.more, all.signals) = (next.version, next.more, next.signals);
                all.rows.extend(next.rows);
                all.erased.extend(next.erased);
                // An attempt that changes while pages are read may come twice.
                let Board { rows, erased, .. } = &mut all;
                rows.retain(|attempt, _| !erased.contains(attempt));
            }
            Ok(all)
        })
    }

    fn ask<T>(
        &mut self,
        run: impl AsyncFn(&Reached<'_>) -> Result<T, Failure>,
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
                    dynamo: None,
                }
            }
        };
        let Link {
            runtime,
            connection,
            dynamo,
            ..
        } = &mut link;
        let (source, timeout) = (&self.source, self.timeout);
        let outcome = runtime.block_on(async {
            let all = async {
                match source {
                    Source::Redis(connector) => ask_redis(connector, connection, run).await,
                    Source::Dynamo(url, options) => {
                        let store = match dynamo {
                            Some(store) => store,
                            None => dynamo.insert(DynamoStore::open(url, options)?),
                        };
                        let asked = run(&Reached::Dynamo(store)).await;
                        asked.map_err(|failure| failure.explain(timeout))
                    }
                }
            };
            match tokio::time::timeout(timeout, all).await {
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
async fn ask_redis<T>(
    connector: &Connector,
    kept: &mut Option<Connection>,
    run: impl AsyncFn(&Reached<'_>) -> Result<T, Failure>,
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
        let failure = match run(&Reached::Redis(connection.clone())).await {
            Ok(found) => return Ok(found),
            Err(failure) => failure,
        };
        if let Failure::Redis(error) = &failure
            && (error.is_unrecoverable_error() || error.is_timeout())
        {
            *kept = None;
            if !fresh && !error.is_timeout() {
                continue;
            }
        }
        return Err(failure.explain(connector.timeout));
    }
}
