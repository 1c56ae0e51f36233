//! Replays the active chain from genesis to the tip, with coins from its blocks alone.

use super::checker::Checker;
use super::index::StoreContents;
use super::report::Finding;
use crate::block::DecodedBlock;
use crate::headers::EntryId;
use crate::progress::Stop;
use crate::rules::{self, BlockContext, ConnectError, ConnectOptions};
use crate::store::location::{BLOCKS, block_file, undo_file};
use crate::store::{CoinCache, NoCoins};

/// The result of a replay.
pub(super) enum Replayed {
    /// The replay reached the tip, with these coins.
    All(Box<CoinCache>),
    /// The blocks up to this height are pruned. Those above it passed every check that needs no coins.
    Above(u32),
    /// A block is damaged.
    Damaged,
}

impl Checker<'_> {
    /// Checks and connects every block of the active chain. Above a damaged or pruned block the coins are unknown, and
    /// blocks are checked without coins.
    pub(super) fn replay(&mut self, contents: &StoreContents) -> Result<Replayed, Stop> {
        let mut coins = Some(CoinCache::default());
        let (mut missing, found) = (0_u32, self.report.found);
        for id in &contents.active {
            let entry = contents.tree.entry(*id);
            if entry.location.is_none() {
                missing = entry.height;
                coins = None;
                continue;
            }
            let block = self.check_block(contents, *id)?;
            match (block, entry.parent) {
                (Some(_), None) => {}
                (Some(block), Some(parent)) => {
                    let connected = match &mut coins {
                        Some(coins) => self.connect(contents, *id, parent, &block, coins)?,
                        None => self.check_undo(contents, *id).map(|_| false)?,
                    };
                    if !connected {
                        coins = None;
                    }
                }
                (None, _) => {
                    self.check_undo(contents, *id)?;
                    coins = None;
                }
            }
        }
        if missing > 0 {
            self.unchecked(&format!("blocks up to height {missing}: they were pruned"));
        }
        Ok(match coins {
            Some(coins) => Replayed::All(Box::new(coins)),
            None if self.report.found == found => Replayed::Above(missing),
            None => Replayed::Damaged,
        })
    }

    /// Connects a block and compares its undo record with what it spent.
    fn connect(
        &mut self,
        contents: &StoreContents,
        id: EntryId,
        parent: EntryId,
        block: &DecodedBlock,
        coins: &mut CoinCache,
    ) -> Result<bool, Stop> {
        let (entry, ancestry) = (contents.tree.entry(id), contents.tree.chain(parent));
        let context = BlockContext::after(&ancestry);
        let blocks = self.store.folder.join(BLOCKS);
        let number = entry.location.map_or(0, |location| location.file);
        coins.begin_block();
        let mut view = coins.view(&NoCoins);
        let connected =
            rules::connect_block(&self.params.consensus, context, block, &mut view, ConnectOptions::default());
        coins.commit_block();
        let connected = match connected {
            Ok(connected) => connected,
            Err(ConnectError::Rule(error)) => {
                let offset = entry.location.map_or(0, |location| location.block.offset);
                let finding = Finding::broken(blocks.join(block_file(number)), &error).at(offset.into());
                self.found(finding.of_block(entry.height, entry.hash));
                self.check_undo(contents, id)?;
                return Ok(false);
            }
            Err(ConnectError::View(error)) => return Err(error.into()),
        };
        self.report.connected += 1;
        self.report.inputs += connected.inputs as u64;
        if self.check_undo(contents, id)?.is_some_and(|undo| undo != connected.undo) {
            let offset = entry.location.and_then(|location| location.undo).map_or(0, |span| span.offset);
            let what = "the record is whole, and is not what the block spends".to_owned();
            let finding = Finding::file(blocks.join(undo_file(number)), "undo", what).at(offset.into());
            self.found(finding.of_block(entry.height, entry.hash));
        }
        Ok(true)
    }
}
