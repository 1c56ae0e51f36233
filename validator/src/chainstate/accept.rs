//! Acceptance of headers and blocks: the checks that need no coins, then the header tree and the store.

use adit_hash::Backend;
use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;

use super::ChainState;
use super::incoming_block::IncomingBlock;
use super::options::CommitPolicy;
use super::outcome::{BlockOutcome, HeaderOutcome, InvalidBlock};
use super::timings::timed;
use super::view::ChainView;
use crate::headers::EntryId;
use crate::rules::{self, BlockContext, RuleError};
use crate::store::{NewBlock, StoreError};

/// Headers hashed in one call: enough to fill every lane of a kernel, few enough to stay in the CPU's cache until they
/// are checked.
const HEADERS_HASHED_AT_ONCE: usize = 256;

/// The result of the checks that precede activation.
enum Acceptance {
    Stored(EntryId),
    Ended(BlockOutcome),
}

impl ChainState {
    /// Accepts a header. `now` is the network's time in seconds since 1970. The header becomes durable with the next
    /// commit.
    pub fn accept_header(&mut self, header: &Header, now: u64) -> HeaderOutcome {
        self.accept_hashed_header(header, header.block_hash(), now)
    }

    /// Accepts headers in order, as [`Self::accept_header`] does, up to the first that is refused: those after it most
    /// likely lack a parent. Returns one outcome for each, the refused header's last.
    ///
    /// This is faster than one call for each header, since a kernel hashes many headers at once.
    pub fn accept_headers(&mut self, headers: &[Header], now: u64) -> Vec<HeaderOutcome> {
        let mut outcomes = Vec::with_capacity(headers.len());
        // The child of a header that was just new is new itself, and needs no lookup of its parent.
        let mut last_new = None;
        for some in headers.chunks(HEADERS_HASHED_AT_ONCE) {
            let bytes: Vec<[u8; 80]> = some.iter().map(header_bytes).collect();
            let mut hashes = vec![[0; 32]; some.len()];
            Backend::fastest_headers().hash_headers(&bytes, &mut hashes);
            for (header, hash) in some.iter().zip(hashes) {
                let hash = BlockHash::from_byte_array(hash);
                let parent = last_new.filter(|last| self.tree.entry(*last).hash == header.prev_blockhash);
                let outcome = match parent {
                    Some(parent) => self.accept_new_header(header, hash, Some(parent), now),
                    None => self.accept_hashed_header(header, hash, now),
                };
                last_new = matches!(outcome, HeaderOutcome::Accepted { .. }).then(|| self.tree.newest());
                let goes_on = matches!(outcome, HeaderOutcome::Accepted { .. } | HeaderOutcome::Known { .. });
                outcomes.push(outcome);
                if !goes_on {
                    return outcomes;
                }
            }
        }
        outcomes
    }

    fn accept_hashed_header(&mut self, header: &Header, hash: BlockHash, now: u64) -> HeaderOutcome {
        if let Some(id) = self.tree.lookup(&hash) {
            return match self.first_failed(id) {
                Some(first) => HeaderOutcome::KnownInvalid { first },
                None => HeaderOutcome::Known { height: self.tree.entry(id).height },
            };
        }
        let parent = self.tree.lookup(&header.prev_blockhash);
        self.accept_new_header(header, hash, parent, now)
    }

    fn accept_new_header(
        &mut self,
        header: &Header,
        hash: BlockHash,
        parent: Option<EntryId>,
        now: u64,
    ) -> HeaderOutcome {
        if let Err(error) = rules::validate_header_in_isolation(&self.params.consensus, header, hash) {
            return HeaderOutcome::Invalid(error);
        }
        match self.insert_header(header, hash, parent, now) {
            Ok(id) => HeaderOutcome::Accepted { height: self.tree.entry(id).height },
            // Not an error: the parent may arrive later.
            Err(RuleError::PreviousNotFound { .. }) => HeaderOutcome::UnknownParent,
            Err(error) => HeaderOutcome::Invalid(error),
        }
    }

    /// Checks a new header in context and inserts it under its parent. It was checked in isolation.
    fn insert_header(
        &mut self,
        header: &Header,
        hash: BlockHash,
        parent: Option<EntryId>,
        now: u64,
    ) -> Result<EntryId, RuleError> {
        let parent = rules::check_previous_found(header, parent)?;
        rules::check_previous_valid(header, self.tree.entry(parent).is_failed())?;
        rules::validate_header_in_context(
            &self.params.consensus,
            BlockContext::after(&self.tree.chain(parent)),
            header,
            now,
        )?;
        let id = self.tree.insert_child(parent, *header, hash);
        self.changed.insert(id);
        Ok(id)
    }

    /// Accepts a block and makes the best chain active. `now` is the network's time in seconds since 1970.
    ///
    /// The outcome is that of `block`. Events report all blocks that were connected, disconnected or found invalid.
    ///
    /// # Errors
    /// The store failed. The coins are still those after a whole block, and nothing durable was lost.
    pub fn accept_block(&mut self, block: impl Into<IncomingBlock>, now: u64) -> Result<BlockOutcome, StoreError> {
        let id = match self.store_block(block.into(), now)? {
            Acceptance::Stored(id) => id,
            Acceptance::Ended(outcome) => return Ok(outcome),
        };
        let activated = self.activate();
        self.received.clear();
        let failures = activated?;
        self.finish()?;

        let height = self.tree.entry(id).height;
        Ok(match self.first_failed(id) {
            Some(first) => match failures.into_iter().find(|invalid| invalid.hash == first) {
                Some(invalid) => BlockOutcome::Invalid(invalid),
                None => BlockOutcome::KnownInvalid { first },
            },
            None if self.is_active(id) => BlockOutcome::Connected { height },
            None if self.candidates.is_complete(id) => BlockOutcome::SideBranch { height },
            None => BlockOutcome::AncestorsMissing { height },
        })
    }

    /// The lowest block that breaks a rule among `id` and its ancestors.
    fn first_failed(&self, id: EntryId) -> Option<BlockHash> {
        self.tree.first_failed(id).map(|first| self.tree.entry(first).hash)
    }

    /// Checks a block in isolation and in context and appends it to the store.
    fn store_block(&mut self, incoming: IncomingBlock, now: u64) -> Result<Acceptance, StoreError> {
        let IncomingBlock { block, isolation, position } = incoming;
        let (hash, header) = (block.hash(), *block.header());
        let known = self.tree.lookup(&hash);
        if let Some(first) = known.and_then(|id| self.first_failed(id)) {
            return Ok(Acceptance::Ended(BlockOutcome::KnownInvalid { first }));
        }
        // A pruned block of the active chain is not stored again.
        let is_here = |id: EntryId| self.tree.entry(id).location.is_some() || self.is_active(id);
        if known.is_some_and(is_here) {
            return Ok(Acceptance::Ended(BlockOutcome::Duplicate));
        }
        let parent = self.tree.lookup(&header.prev_blockhash);
        let height = parent.map(|parent| self.tree.entry(parent).height + 1);
        let invalid = |error| Ok(Acceptance::Ended(BlockOutcome::Invalid(InvalidBlock { hash, height, error })));
        // A failure here is not cached, as in Core: the bytes may be a malleated block under a valid block's header.
        let isolation = isolation.unwrap_or_else(|| {
            timed(&mut self.timings.checks, || rules::validate_block_in_isolation(&self.params.consensus, &block))
        });
        if let Err(error) = isolation {
            return invalid(error);
        }
        let inserted = match known {
            Some(id) => Ok(id),
            None => self.insert_header(&header, hash, parent, now),
        };
        let (id, parent) = match inserted.and_then(|id| Ok((id, rules::check_previous_found(&header, parent)?))) {
            Ok(both) => both,
            Err(RuleError::PreviousNotFound { .. }) => return Ok(Acceptance::Ended(BlockOutcome::UnknownParent)),
            Err(error) => return invalid(error),
        };
        let chain = self.tree.chain(parent);
        let fits = timed(&mut self.timings.checks, || {
            rules::validate_block_in_context(&self.params.consensus, BlockContext::after(&chain), &block)
        });
        if let Err(error) = fits {
            if error.is_permanent() {
                self.mark_invalid(id);
            }
            return invalid(error);
        }
        let height = self.tree.entry(id).height;
        let transactions = block.transactions().len() as u32;
        let new = NewBlock { hash, height, bytes: block.raw(), transactions, position };
        let location = timed(&mut self.timings.append, || self.store.append_block(&new))?;
        self.tree.entry_mut(id).location = Some(location);
        self.changed.insert(id);
        self.candidates.add(&self.tree, id);
        self.received.insert(id, block);
        Ok(Acceptance::Stored(id))
    }

    /// Marks a block as one that breaks a rule.
    pub(super) fn mark_invalid(&mut self, id: EntryId) {
        self.tree.mark_failed(id);
        self.candidates.drop_failed(&self.tree);
        self.changed.insert(id);
    }

    /// Commits if the policy demands it, then sends the events.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        if self.options.commit == CommitPolicy::EveryBlock || self.is_full() || !self.files_to_prune().is_empty() {
            self.flush()?;
        }
        self.publish()?;
        self.events.send();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.store.is_durable() && self.coins.is_full()
    }

    /// Commits in the middle of a reorganisation if the coin cache is over its limit. Nothing is pruned or published
    /// before the reorganisation ends, since a branch that turns out invalid reverses it.
    pub(super) fn commit_if_full(&mut self) -> Result<(), StoreError> {
        if self.is_full() { self.commit() } else { Ok(()) }
    }
}

/// The header in network encoding. `bitcoin`'s encoder would take a third of the time that the hash takes.
fn header_bytes(header: &Header) -> [u8; 80] {
    let mut bytes = [0; 80];
    bytes[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
    bytes[4..36].copy_from_slice(header.prev_blockhash.as_byte_array());
    bytes[36..68].copy_from_slice(header.merkle_root.as_byte_array());
    bytes[68..72].copy_from_slice(&header.time.to_le_bytes());
    bytes[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
    bytes[76..].copy_from_slice(&header.nonce.to_le_bytes());
    bytes
}
