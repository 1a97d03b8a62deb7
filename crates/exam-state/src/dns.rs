//! Host names to addresses for the Redis client, without glibc's resolver: see [`exam_aws::dns`].

use std::net::SocketAddr;

use exam_aws::dns::resolve;
use redis::io::AsyncDNSResolver;

/// [`resolve`] as the Redis client asks for it.
pub(crate) struct Resolver;

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> redis::RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = resolve(host, port).await?;
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
