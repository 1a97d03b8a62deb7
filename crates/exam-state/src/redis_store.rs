use crate::*;

pub(crate) struct RedisStore {}

impl RedisStore {
    pub fn open(_url: &str, _options: Options) -> Result<Self, StateError> {
        Ok(RedisStore {})
    }
}

#[async_trait]
impl StateStore for RedisStore {
    async fn fold(&self, _batch: &FoldBatch) -> Result<(), StateError> {
        Err(StateError::Refused("not built yet".into()))
    }
    async fn read(&self, _key: &AttemptKey) -> Result<Option<Registers>, StateError> {
        Err(StateError::Refused("not built yet".into()))
    }
    async fn scan(
        &self,
        _each: &mut (dyn FnMut(AttemptKey, Registers) + Send),
    ) -> Result<(), StateError> {
        Err(StateError::Refused("not built yet".into()))
    }
    async fn position(&self, _name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Err(StateError::Refused("not built yet".into()))
    }
}
