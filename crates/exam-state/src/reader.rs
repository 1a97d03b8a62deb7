//! Reading an attempt on a thread that must not wait long: PHP's.

use std::time::Duration;

use exam_record::{AttemptKey, Registers};
use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};

use crate::redis_store::{Connector, Failure, explain, read};
use crate::{AwsEnv, Options, StateError};

/// Reads attempts, each call within a deadline that covers everything: resolving the name,
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
    connection: Option<MultiplexedConnection>,
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
            let all = tokio::time::timeout(timeout, read_on(connector, connection, key));
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
            std::mem::forget(link); // a forked child's: see read()
        }
    }
}

/// Reads on the connection kept. One that has died since (the server restarted, or closed it while
/// it was idle) is replaced once.
async fn read_on(
    connector: &Connector,
    kept: &mut Option<MultiplexedConnection>,
    key: &AttemptKey,
) -> Result<Option<Registers>, StateError> {
    loop {
        let fresh = kept.is_none();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connected = connector.connect().await;
                kept.insert(connected.map_err(|e| explain(&e, connector.timeout))?)
            }
        };
        match read(connection.clone(), key).await {
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
