use crate::*;

/// Reads attempts on a thread that must not wait long: PHP's.
pub struct BlockingReader {}

impl BlockingReader {
    /// `ca_pem` as in [`Options`]. Every [`read`](Self::read) takes at most `timeout`, 150 ms by default of the extension.
    pub fn new(
        _url: &str,
        _ca_pem: Option<Vec<u8>>,
        _timeout: Duration,
    ) -> Result<Self, StateError> {
        Ok(BlockingReader {})
    }

    pub fn read(&mut self, _key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        Err(StateError::Refused("not built yet".into()))
    }
}
