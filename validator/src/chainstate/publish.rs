//! Publishes a snapshot to readers after a commit.

use std::sync::Arc;

use super::ChainState;
use super::snapshot::{ChainReader, ChainSnapshot};
use super::view::ChainView;
use crate::chain::ChainParams;
use crate::store::StoreError;

impl ChainState {
    /// A handle that gives other threads snapshots of the chain. Makes the present state durable first.
    ///
    /// # Errors
    /// The chain is in memory, where nothing is committed; or a write failed, as for [`Self::flush`].
    pub fn reader(&mut self) -> Result<ChainReader, StoreError> {
        self.flush()?;
        let reader = match self.reader.take() {
            Some(reader) if !self.unpublished => reader,
            Some(reader) => {
                reader.publish(self.snapshot(reader.snapshot().shared_params())?);
                reader
            }
            None => ChainReader::new(self.snapshot(Arc::new(self.params.clone()))?),
        };
        self.unpublished = false;
        self.reader = Some(reader.clone());
        Ok(reader)
    }

    /// A snapshot of the present state, which must be durable.
    fn snapshot(&self, params: Arc<ChainParams>) -> Result<ChainSnapshot, StoreError> {
        let store = self.store.snapshot().ok_or(StoreError::NoSnapshots)?;
        Ok(ChainSnapshot::new(params, self.tree.clone(), self.tip_id(), self.events.sequence(), store))
    }

    /// Publishes a snapshot, if there are readers and the present state is durable and newer than the last snapshot.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        // Without readers the last snapshot is dropped, since it keeps old data in the database.
        self.reader = self.reader.take().filter(ChainReader::is_shared);
        let Some(reader) = &self.reader else { return Ok(()) };
        if self.unpublished && self.is_durable() {
            reader.publish(self.snapshot(reader.snapshot().shared_params())?);
            self.unpublished = false;
        }
        Ok(())
    }
}
