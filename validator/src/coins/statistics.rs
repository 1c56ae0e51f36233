//! Statistics of a coin set: number, total value, and a hash that identifies the set.

use bitcoin::consensus::Encodable;
use bitcoin::{Amount, OutPoint};

use super::Coin;
use super::muhash::MuHash;

/// Statistics of a coin set, as of Core's `gettxoutsetinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoinStatistics {
    /// The number of coins.
    pub count: u64,
    /// Their total value, in satoshi.
    pub total: Amount,
    /// The MuHash of the set, in the byte order of SHA-256. Core's `gettxoutsetinfo muhash` prints it reversed.
    pub muhash: [u8; 32],
}

/// Computes the statistics of coins, which are added in any order.
#[derive(Clone, Debug, Default)]
pub struct CoinCounter {
    count: u64,
    total: Amount,
    muhash: MuHash,
}

impl CoinCounter {
    /// Adds one coin.
    pub fn add(&mut self, outpoint: &OutPoint, coin: &Coin) {
        self.count += 1;
        self.total = self.total.checked_add(coin.output.value).unwrap_or(Amount::MAX);
        self.muhash.insert(&serialize(outpoint, coin));
    }

    /// The statistics of the coins added so far.
    #[must_use]
    pub fn finish(&self) -> CoinStatistics {
        CoinStatistics { count: self.count, total: self.total, muhash: self.muhash.digest() }
    }
}

/// Core's `TxOutSer` (`kernel/coinstats.cpp`): outpoint, height × 2 + coinbase as u32, output.
fn serialize(outpoint: &OutPoint, coin: &Coin) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(100);
    let code = coin.height << 1 | u32::from(coin.is_coinbase);
    let written = outpoint
        .consensus_encode(&mut bytes)
        .and_then(|_| code.consensus_encode(&mut bytes))
        .and_then(|_| coin.output.consensus_encode(&mut bytes));
    written.expect("a vector takes every write");
    bytes
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{ScriptBuf, TxOut, Txid};

    use super::*;

    #[test]
    fn a_coin_is_serialised_as_in_core() {
        let outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 258 };
        let output = TxOut { value: Amount::from_sat(1), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) };
        let coin = Coin { output, height: 3, is_coinbase: true };
        let expected = format!("{}0201000007000000010000000000000001 51", "07".repeat(32)).replace(' ', "");
        assert_eq!(hex::encode(serialize(&outpoint, &coin)), expected);
    }

    #[test]
    fn the_same_coins_in_another_order_are_the_same_set() {
        let coin = |value, height| Coin {
            output: TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() },
            height,
            is_coinbase: false,
        };
        let outpoint = |number| OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 };
        let sum = |coins: &[(u8, u64, u32)]| {
            let mut counter = CoinCounter::default();
            for (number, value, height) in coins {
                counter.add(&outpoint(*number), &coin(*value, *height));
            }
            counter.finish()
        };
        let statistics = sum(&[(1, 5, 1), (2, 6, 1)]);
        assert_eq!((statistics.count, statistics.total), (2, Amount::from_sat(11)));
        assert_eq!(statistics, sum(&[(2, 6, 1), (1, 5, 1)]));
        assert_ne!(statistics, sum(&[(2, 6, 1), (1, 5, 2)]));
    }
}
