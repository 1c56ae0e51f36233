//! Compares the coins of the database with those of the replay.

use std::collections::HashMap;

use bitcoin::OutPoint;

use super::checker::Checker;
use super::index::StoreContents;
use super::report::Finding;
use crate::block::DecodedBlock;
use crate::coins::statistics::{CoinCounter, CoinStatistics};
use crate::coins::{Coin, is_unspendable};
use crate::progress::{COIN_STRIDE, Stop};
use crate::store::inspect::InspectedDatabase;
use crate::store::{CoinCache, CoinSource};

impl Checker<'_> {
    /// Compares each coin of the database, then looks for coins of the replay that the database lacks.
    pub(super) fn compare_coins(
        &mut self,
        snapshot: &InspectedDatabase,
        contents: &StoreContents,
        replayed: &CoinCache,
    ) -> Result<(), Stop> {
        let statistics = self.sum_up(replayed)?;
        let total = statistics.count;
        self.report.coin_statistics = Some(statistics);
        let mut matched = 0;
        for coin in snapshot.database.coins_strictly() {
            let (outpoint, coin) = match coin {
                Ok(coin) => coin,
                Err(error) => {
                    self.found_in(error, "coins", None)?;
                    continue;
                }
            };
            match replayed.get(&outpoint).flatten() {
                Some(wanted) if wanted == coin => matched += 1,
                Some(wanted) => {
                    let what = format!("{outpoint}: {}, wanted {}", describe(&coin), describe(&wanted));
                    self.found_coin(contents, &coin, what);
                }
                None => {
                    let what = format!("{outpoint}: {}, wanted none: it is spent or was never made", describe(&coin));
                    self.found_coin(contents, &coin, what);
                }
            }
            self.count_coin(total)?;
        }
        if matched == total {
            return Ok(());
        }
        for (outpoint, wanted) in replayed.coins() {
            if self.is_missing(snapshot, &outpoint)? {
                let what = format!("{outpoint}: none, wanted {}", describe(&wanted));
                self.found_coin(contents, &wanted, what);
            }
        }
        Ok(())
    }

    /// Checks the coins that the blocks above `height` created and spent, if the blocks up to `height` are pruned: their
    /// unspent coins must be in the database, and their spent ones must not.
    pub(super) fn compare_kept_coins(
        &mut self,
        snapshot: &InspectedDatabase,
        contents: &StoreContents,
        height: u32,
    ) -> Result<(), Stop> {
        let mut left: HashMap<OutPoint, Option<Coin>> = HashMap::new();
        for id in &contents.active[height as usize + 1..] {
            let entry = contents.tree.entry(*id);
            let Some(location) = entry.location else { continue };
            let Ok(block) = DecodedBlock::decode(contents.files.read_block(&location)?) else { continue };
            for (transaction, txid) in block.transactions().iter().zip(block.txids()) {
                let is_coinbase = transaction.is_coinbase();
                left.extend(
                    transaction.input.iter().filter(|_| !is_coinbase).map(|input| (input.previous_output, None)),
                );
                for (output, vout) in transaction.output.iter().zip(0..) {
                    let coin = Coin { output: output.clone(), height: entry.height, is_coinbase };
                    let coin = (!is_unspendable(&output.script_pubkey)).then_some(coin);
                    left.insert(OutPoint { txid: *txid, vout }, coin);
                }
            }
            self.go_on()?;
        }
        for (outpoint, wanted) in left {
            let found = snapshot.database.load_coin(&outpoint)?;
            if found != wanted {
                let describe = |coin: &Option<Coin>| coin.as_ref().map_or_else(|| "none".to_owned(), describe);
                let what = format!("{outpoint}: {}, wanted {}", describe(&found), describe(&wanted));
                match wanted.or(found) {
                    Some(coin) => self.found_coin(contents, &coin, what),
                    None => self.found(Finding::file(contents.database.clone(), "coins", what)),
                }
            }
            self.count_coin(0)?;
        }
        Ok(())
    }

    fn sum_up(&mut self, replayed: &CoinCache) -> Result<CoinStatistics, Stop> {
        let mut counter = CoinCounter::default();
        for ((outpoint, coin), done) in replayed.coins().zip(0_u64..) {
            counter.add(&outpoint, &coin);
            if done.is_multiple_of(COIN_STRIDE) {
                self.go_on()?;
            }
        }
        Ok(counter.finish())
    }

    fn is_missing(&mut self, snapshot: &InspectedDatabase, outpoint: &OutPoint) -> Result<bool, Stop> {
        match snapshot.database.load_coin(outpoint) {
            Ok(coin) => Ok(coin.is_none()),
            // The error was reported when all coins were read.
            Err(_) => Ok(false),
        }
    }

    fn count_coin(&mut self, total: u64) -> Result<(), Stop> {
        self.report.coins += 1;
        if self.report.coins.is_multiple_of(COIN_STRIDE) {
            self.watcher.progress("comparing coins", self.report.coins, total);
            self.go_on()?;
        }
        Ok(())
    }

    /// Reports a coin with its creation height, which may itself be the damaged part.
    fn found_coin(&mut self, contents: &StoreContents, coin: &Coin, what: String) {
        let finding = Finding::file(contents.database.clone(), "coins", what);
        let block = contents.active.get(coin.height as usize).map(|id| contents.tree.entry(*id).hash);
        self.found(Finding { height: Some(coin.height), hash: block, ..finding });
    }
}

fn describe(coin: &Coin) -> String {
    let origin = if coin.is_coinbase { "coinbase at" } else { "made at" };
    format!(
        "{} satoshi, {origin} height {}, script {:x}",
        coin.output.value.to_sat(),
        coin.height,
        coin.output.script_pubkey
    )
}
