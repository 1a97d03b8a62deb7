//! A connection to one server, or to all nodes of a cluster, that takes pipelines of commands.
//!
//! On a cluster each command finds its node by its key, follows `MOVED` and `ASK`, and is sent
//! again where a node is gone, all within the response timeout. A command touches one key, so
//! nothing else is different for those who make them.

use std::time::Duration;

use futures_util::stream::{StreamExt, iter};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, TlsCertificates, Value, from_redis_value,
};

use crate::{Options, StateError, dns};

/// Commands under way to a cluster at a time.
const IN_FLIGHT: usize = 256;

/// How to make a connection.
pub(crate) struct Connector {
    client: Server,
    connect_timeout: Duration,
    pub timeout: Duration,
}

enum Server {
    One(Client, AsyncConnectionConfig),
    Cluster(ClusterClient),
}

#[derive(Clone)]
pub(crate) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Who has a part of the keys: the only server, or a cluster's primary with its slots.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    slots: (u16, u16),
    address: Option<(String, u16)>,
}

impl Connector {
    pub fn new(url: &str, options: &Options) -> Result<Self, StateError> {
        // The client takes the process's TLS provider; another one may be set already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = options.ca_pem.as_ref().map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        });
        let client = match nodes_of(url)? {
            Some(nodes) => {
                let mut builder = ClusterClient::builder(nodes)
                    .connection_timeout(options.connect_timeout)
                    .response_timeout(options.response_timeout)
                    .async_dns_resolver(dns::Resolver);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                builder.build().map(Server::Cluster)
            }
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(options.connect_timeout))
                    .set_response_timeout(Some(options.response_timeout))
                    .set_dns_resolver(dns::Resolver);
                let client = match certificates {
                    Some(certificates) => Client::build_with_tls(url, certificates),
                    None => Client::open(url),
                };
                client.map(|client| Server::One(client, config))
            }
        };
        Ok(Connector {
            client: client.map_err(|e| StateError::Url(e.to_string()))?,
            // A cluster is asked for its slots, and each of its nodes connected to.
            connect_timeout: 2 * options.connect_timeout + options.response_timeout,
            timeout: options.response_timeout,
        })
    }

    pub fn is_cluster(&self) -> bool {
        matches!(self.client, Server::Cluster(_))
    }

    pub async fn connect(&self) -> RedisResult<Connection> {
        let connect = async {
            Ok(match &self.client {
                Server::One(client, config) => {
                    let connection = client.get_multiplexed_async_connection_with_config(config);
                    Connection::Server(connection.await?)
                }
                Server::Cluster(client) => {
                    Connection::Cluster(client.get_async_connection().await?)
                }
            })
        };
        match tokio::time::timeout(self.connect_timeout, connect).await {
            Ok(outcome) => outcome,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

/// The nodes a cluster's URL names, `redis-cluster://[user:password@]host:port,host:port`, each
/// with a URL of its own; `None` for another URL.
fn nodes_of(url: &str) -> Result<Option<Vec<String>>, StateError> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("redis-cluster", rest)) => ("redis", rest),
        Some(("rediss-cluster", rest)) => ("rediss", rest),
        _ => return Ok(None),
    };
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (format!("{login}@"), rest),
        None => (String::new(), rest),
    };
    let hosts = rest.trim_end_matches("/0").trim_end_matches('/');
    if hosts.contains(['/', '?', '#']) {
        return Err(StateError::Url(
            "after the hosts of a cluster nothing follows: it has one database, 0".to_owned(),
        ));
    }
    let nodes = hosts
        .split(',')
        .map(|host| format!("{scheme}://{login}{host}"));
    Ok(Some(nodes.collect()))
}

impl Connection {
    /// Sends the commands of a pipeline and gives their answers, or the first error among them:
    /// the client's own sum of the errors hides their kinds.
    pub async fn send(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = pipeline.cmd_iter().count();
        if count == 0 {
            return Ok(Vec::new());
        }
        let answers = match self {
            Connection::Server(connection) => {
                connection.send_packed_commands(pipeline, 0, count).await?
            }
            Connection::Cluster(connection) => {
                let commands: Vec<Cmd> = pipeline.cmd_iter().cloned().collect();
                let answers = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(&command).await }
                });
                let answers: Vec<_> = iter(answers).buffered(IN_FLIGHT).collect().await;
                answers.into_iter().collect::<RedisResult<_>>()?
            }
        };
        let error = answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(error.clone().into()),
            _ => None,
        });
        error.map_or(Ok(answers), Err)
    }

    /// Everybody who has keys.
    pub async fn nodes(&mut self) -> RedisResult<Vec<Node>> {
        let Connection::Cluster(connection) = self else {
            return Ok(vec![Node {
                slots: (0, u16::MAX),
                address: None,
            }]);
        };
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        let ranges: Vec<Vec<Value>> = from_redis_value(connection.route_command(ask, any).await?)?;
        let mut nodes = Vec::with_capacity(ranges.len());
        for mut range in ranges {
            // First and last slot, the primary (host, port, …), its replicas.
            range.truncate(3);
            let (first, last, primary): (u16, u16, Vec<Value>) =
                from_redis_value(Value::Array(range))?;
            let mut primary = primary.into_iter();
            let host: String = from_redis_value(primary.next().unwrap_or(Value::Nil))?;
            let port: u16 = from_redis_value(primary.next().unwrap_or(Value::Nil))?;
            nodes.push(Node {
                slots: (first, last),
                address: Some((host, port)),
            });
        }
        nodes.sort_by_key(|node| node.slots);
        Ok(nodes)
    }

    /// Sends a command to one of [`nodes`](Self::nodes).
    pub async fn send_to(&mut self, node: &Node, command: Cmd) -> RedisResult<Value> {
        match (self, &node.address) {
            (Connection::Cluster(connection), Some((host, port))) => {
                let node = SingleNodeRoutingInfo::ByAddress {
                    host: host.clone(),
                    port: *port,
                };
                let routed = connection.route_command(command, RoutingInfo::SingleNode(node));
                routed.await?.extract_error()
            }
            (Connection::Cluster(connection), None) => {
                connection.req_packed_command(&command).await
            }
            (Connection::Server(connection), _) => connection.req_packed_command(&command).await,
        }
    }
}

pub(crate) fn explain(error: &RedisError, timeout: Duration) -> StateError {
    let text = error.to_string();
    let code = error.code().unwrap_or_default();
    // Redis 6 wraps what a script's command says into an error of the script; a cluster's client
    // what the nodes say when none of them can be used.
    let says = |what: &str| code == what || text.contains(what);
    match error.kind() {
        _ if error.is_timeout() => StateError::Timeout(timeout),
        _ if code == "OOM" || text.contains("OOM command not allowed") => StateError::Full(text),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            StateError::Auth(text)
        }
        _ if says("NOAUTH") || says("WRONGPASS") => StateError::Auth(text),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => StateError::ReadOnly(text),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => StateError::Loading(text),
        ErrorKind::InvalidClientConfig => StateError::Url(text),
        // A cluster without a primary for some of its slots.
        ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(
            ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain,
        ) => StateError::Unreachable(text),
        _ if error.is_unrecoverable_error() => StateError::Unreachable(text),
        _ => StateError::Refused(text),
    }
}
