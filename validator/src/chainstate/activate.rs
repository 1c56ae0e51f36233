//! Activation: disconnects and connects blocks until the valid chain with most work is the active one.
//!
//! Every step is a whole block. A block that fails is rolled back before the next is tried, so that the coins are
//! always those after the last block of the active chain. If a block in the middle of a branch is invalid, the old tip
//! is still a candidate, and the next iteration returns to it.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::OutPoint;

use super::ChainState;
use super::events::ChainEvent;
use super::outcome::InvalidBlock;
use super::timings::timed;
use super::view::ChainView;
use crate::block::DecodedBlock;
use crate::coins::{BlockUndo, Coin, CoinView, is_unspendable};
use crate::headers::{Entry, EntryId, Validity};
use crate::rules::{self, BlockContext, ConnectError, RuleError};
use crate::store::{CachedCoins, StoreError};

impl ChainState {
    /// Makes the best chain active, and returns the blocks that were found to break a rule.
    pub(super) fn activate(&mut self) -> Result<Vec<InvalidBlock>, StoreError> {
        let before = self.tip_id();
        let mut failures = Vec::new();
        while let Some(best) = self.candidates.best().filter(|best| *best != self.tip_id()) {
            let fork = self.tree.fork_point(self.tip_id(), best);
            self.check_not_pruned_above(fork, best)?;
            while self.tip_id() != fork {
                let start = Instant::now();
                self.disconnect_tip()?;
                self.timings.disconnect += start.elapsed();
                self.commit_if_full()?;
            }
            for id in self.tree.path(fork, best) {
                if let Some(error) = self.connect(id)? {
                    failures.push(self.fail(id, error));
                    break;
                }
                self.commit_if_full()?;
            }
        }
        self.prune_candidates();
        if self.tip_id() != before {
            let tip = self.tip();
            self.events.push(ChainEvent::TipChanged { hash: tip.hash, height: tip.height });
        }
        Ok(failures)
    }

    /// Checks that no block between the tip and `fork` is pruned, before any of them is disconnected. `best` is the tip
    /// that the reorganisation leads to, for the message.
    pub(super) fn check_not_pruned_above(&self, fork: EntryId, best: EntryId) -> Result<(), StoreError> {
        let first = self.tree.entry(fork).height as usize + 1;
        let pruned = self.active.get(first..).unwrap_or_default().iter().rev().map(|id| self.tree.entry(*id));
        match pruned.into_iter().find(|entry| entry.is_pruned()) {
            None => Ok(()),
            Some(pruned) => Err(StoreError::TooDeep {
                tip: self.tip().height,
                fork: self.tree.entry(fork).height,
                to: self.tree.entry(best).hash,
                pruned: pruned.height,
            }),
        }
    }

    fn fail(&mut self, id: EntryId, error: RuleError) -> InvalidBlock {
        self.mark_invalid(id);
        let Entry { hash, height, .. } = *self.tree.entry(id);
        tracing::debug!(%hash, height, %error, "a block breaks a rule");
        let invalid = InvalidBlock { hash, height: Some(height), error };
        self.events.push(ChainEvent::Invalid(invalid.clone()));
        invalid
    }

    /// Drops the candidates with less work than the tip, unless the tip itself is invalid and one of them must replace
    /// it.
    pub(super) fn prune_candidates(&mut self) {
        if !self.tip().is_failed() {
            self.candidates.prune_below(&self.tree, self.tip_id());
        }
    }

    /// Connects a child of the tip. `Some`: the block breaks this rule, and nothing changed.
    fn connect(&mut self, id: EntryId) -> Result<Option<RuleError>, StoreError> {
        let parent = self.tip_id();
        debug_assert_eq!(self.tree.entry(id).parent, Some(parent));
        let block = match self.received.remove(&id) {
            Some(block) => block,
            None => self.read_block(id)?,
        };
        let mut checks = self.options.connect;
        checks.check_scripts &= !self.is_assumed_valid(id);
        self.coins.begin_block();
        let ancestry = self.tree.chain(parent);
        let mut view = self.coins.view(&*self.store);
        if self.fetched.take() != Some(block.hash())
            && let Err(error) = timed(&mut self.timings.fetch, || view.prepare(block.spent_from_before()))
        {
            self.coins.roll_back_block();
            return Err(error);
        }
        let context = BlockContext::after(&ancestry);
        let connected = rules::connect_block(&self.params.consensus, context, &block, &mut view, checks);
        let stored = match connected {
            Ok(connected) => {
                self.timings.add(connected.times);
                self.store_undo(id, &connected.undo).map(|()| None)
            }
            Err(ConnectError::Rule(error)) => Ok(Some(error)),
            Err(ConnectError::View(error)) => Err(error),
        };
        if !matches!(stored, Ok(None)) {
            self.coins.roll_back_block();
            return stored;
        }
        self.coins.commit_block();
        self.tree.entry_mut(id).validity = Validity::Connected;
        self.changed.insert(id);
        self.active.push(id);
        self.events.push(ChainEvent::Connected { block, height: self.tree.entry(id).height });
        Ok(None)
    }

    /// Appends the undo record of a block, unless it was connected before: the same block on the same parent spends the
    /// same coins.
    fn store_undo(&mut self, id: EntryId, undo: &BlockUndo) -> Result<(), StoreError> {
        let entry = self.tree.entry(id);
        let stored = entry.stored().ok_or(StoreError::NotKept { hash: entry.hash })?;
        if stored.location.undo.is_none() {
            let span = timed(&mut self.timings.append, || self.store.append_undo(&stored, undo))?;
            if let Some(location) = &mut self.tree.entry_mut(id).location {
                location.undo = Some(span);
            }
        }
        Ok(())
    }

    /// Reads a stored block that is about to be connected or disconnected.
    fn read_block(&self, id: EntryId) -> Result<Arc<DecodedBlock>, StoreError> {
        let hash = self.tree.entry(id).hash;
        self.block(&hash)?.map(Arc::new).ok_or(StoreError::NotKept { hash })
    }

    /// Disconnects the last block of the active chain.
    fn disconnect_tip(&mut self) -> Result<(), StoreError> {
        let id = self.tip_id();
        let entry = self.tree.entry(id);
        let (hash, height) = (entry.hash, entry.height);
        let stored = entry.stored().ok_or(StoreError::NotKept { hash })?;
        let block = self.read_block(id)?;
        let undo = self.store.read_undo(&stored)?;
        // Below the two blocks that repeat a coinbase (BIP30), its coin may be missing: the repetition overwrote it.
        let may_be_repeated = self.params.consensus.bip30_repeats.iter().any(|(repeat, _)| height < *repeat);
        self.coins.begin_block();
        let undone = disconnect_block(&mut self.coins.view(&*self.store), &block, &undo, height, may_be_repeated);
        let undone = match undone {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(self.store.damaged_block(&stored, what)),
            Err(error) => Err(error),
        };
        if undone.is_err() {
            self.coins.roll_back_block();
            return undone;
        }
        self.coins.commit_block();
        self.active.pop();
        self.options.prune_locks.iter().for_each(|lock| lock.move_back(height));
        self.events.push(ChainEvent::Disconnected { block, height });
        Ok(())
    }
}

/// Removes the coins that a block created and restores those that it spent, last transaction first. `Some`: why block,
/// undo record and coins do not match.
fn disconnect_block(
    coins: &mut CachedCoins<'_>,
    block: &DecodedBlock,
    undo: &BlockUndo,
    height: u32,
    may_be_repeated: bool,
) -> Result<Option<String>, StoreError> {
    let transactions = block.transactions();
    if undo.spent.len() + 1 != transactions.len() {
        return Ok(Some(format!("undo for {} transactions, wanted {}", undo.spent.len(), transactions.len() - 1)));
    }
    for (at, (transaction, txid)) in transactions.iter().zip(block.txids()).enumerate().rev() {
        let is_coinbase = at == 0;
        for (vout, output) in transaction.output.iter().enumerate() {
            if is_unspendable(&output.script_pubkey) {
                continue;
            }
            let outpoint = OutPoint { txid: *txid, vout: vout as u32 };
            let made = Coin { output: output.clone(), height, is_coinbase };
            if coins.spend(&outpoint)?.as_ref() != Some(&made) && !(is_coinbase && may_be_repeated) {
                return Ok(Some(format!("its output {outpoint} is not among the coins as it was made")));
            }
        }
        if is_coinbase {
            continue;
        }
        let spent = &undo.spent[at - 1];
        if spent.len() != transaction.input.len() {
            return Ok(Some(format!("undo for {} inputs of {txid}, wanted {}", spent.len(), transaction.input.len())));
        }
        for (input, coin) in transaction.input.iter().zip(spent) {
            coins.restore(input.previous_output, coin);
        }
    }
    Ok(None)
}
