//! The one call the sender makes, apart from who carries it.
//!
//! [`PutBatch`] is Firehose's `PutRecordBatch` reduced to what a sender must
//! know: per record whether it was taken, and for a call that failed as a
//! whole *what kind* of failure it was. The real client is in
//! [`client`](crate::client); tests script their own.

use bytes::Bytes;

/// Sends one batch to one delivery stream.
#[async_trait::async_trait]
pub trait PutBatch: Send + Sync + 'static {
    /// Answers one entry per record, in the order given: `None` was taken,
    /// `Some` was not and may be sent again alone. A call is tried once: when
    /// to try again is the sender's decision.
    async fn put(
        &self,
        stream: &str,
        records: Vec<Bytes>,
    ) -> Result<Vec<Option<RecordError>>, PutError>;
}

/// Why one record of an otherwise accepted call was not taken:
/// `ServiceUnavailableException` or `InternalFailure`, both worth a retry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RecordError {
    pub code: String,
    pub message: String,
}

/// A call that failed as a whole. Nothing here ever means "drop".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The stream says the request itself is not valid. One record may be to
    /// blame, or the stream takes no direct puts at all (its source is a
    /// Kinesis stream): the sender finds out which.
    #[error("refused: {0}")]
    Refused(String),
    /// Somebody has to act: the stream is missing, access is denied, the key
    /// is disabled, credentials are absent or expired.
    #[error("held: {0}")]
    Held(String),
    /// More than the stream's quota, or the service asks for patience.
    #[error("throttled: {0}")]
    Throttled(String),
    /// No answer: unreachable, timed out, 5xx. The write may have happened.
    #[error("unavailable: {0}")]
    Unavailable(String),
}
