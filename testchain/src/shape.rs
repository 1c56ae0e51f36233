//! The shape of a generated chain: number of blocks, inputs and outputs in each, kinds of coin, seed.

use crate::spend::SpendKind;
use thiserror::Error;

/// The relative frequency of each [`SpendKind`] among the outputs that a chain creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mix {
    weights: [u16; SpendKind::ALL.len()],
}

impl Mix {
    /// Weights by kind; a kind that is not named does not occur, one named twice adds up.
    pub fn new(weights: &[(SpendKind, u16)]) -> Self {
        let mut mix = Self { weights: [0; SpendKind::ALL.len()] };
        for &(kind, weight) in weights {
            mix.weights[kind as usize] += weight;
        }
        mix
    }

    /// Signed coins in roughly the proportions of recent mainnet blocks, with more multisig.
    pub fn signed() -> Self {
        Self::new(&[
            (SpendKind::P2wpkh, 40),
            (SpendKind::P2trKey, 22),
            (SpendKind::P2trScript, 4),
            (SpendKind::P2pkh, 16),
            (SpendKind::P2shP2wpkh, 9),
            (SpendKind::BareMultisig, 2),
            (SpendKind::P2wshMultisig, 6),
            (SpendKind::P2pk, 1),
        ])
    }

    /// Coins whose scripts need no signature.
    pub fn free() -> Self {
        Self::new(&[(SpendKind::TrueBare, 3), (SpendKind::TrueP2wsh, 1)])
    }

    /// Every kind, equally often.
    pub fn even() -> Self {
        Self { weights: [1; SpendKind::ALL.len()] }
    }

    /// The sum of all weights.
    pub fn total(&self) -> usize {
        self.weights.iter().map(|&weight| usize::from(weight)).sum()
    }

    /// The kind on which `ticket` (below [`total`](Self::total)) falls.
    pub(crate) fn kind(&self, ticket: usize) -> SpendKind {
        let mut left = ticket;
        for kind in SpendKind::ALL {
            let weight = usize::from(self.weights[kind as usize]);
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        SpendKind::TrueBare
    }
}

/// A chain to generate. The bytes of all its blocks are a function of these fields alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChainShape {
    /// Blocks of the measured part, which follows the warm-up that mines coinbases to maturity and fans them out.
    pub blocks: u32,
    /// Inputs of a measured block, without the coinbase's. A block that reaches a limit of consensus has fewer.
    pub inputs_per_block: u32,
    /// Outputs of a measured block, without the coinbase's. A block that reaches a limit of consensus has fewer.
    pub outputs_per_block: u32,
    /// Coins that the warm-up leaves unspent, from which the measured part draws its inputs.
    pub coins: u32,
    /// The kinds of those coins and of all outputs.
    pub mix: Mix,
    /// The seed of every choice and key.
    pub seed: u64,
}

/// A shape that no chain can have.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// No kind of coin has a weight.
    #[error("the mix is empty: at least one kind of coin needs a weight above 0")]
    EmptyMix,
    /// The warm-up leaves fewer coins than the first block spends.
    #[error("{coins} coins cannot feed blocks of {inputs} inputs: at least as many coins as inputs are wanted")]
    TooFewCoins {
        /// Coins asked for.
        coins: u32,
        /// Inputs a block asked for.
        inputs: u32,
    },
    /// Every block spends more coins than it makes, and the coins run out.
    #[error(
        "{coins} coins run out: {blocks} blocks spend {inputs} and make {outputs} each, so {wanted} coins are wanted"
    )]
    CoinsRunOut {
        /// Coins asked for.
        coins: u32,
        /// Blocks asked for.
        blocks: u32,
        /// Inputs a block asked for.
        inputs: u32,
        /// Outputs a block asked for.
        outputs: u32,
        /// Coins that are enough.
        wanted: u64,
    },
}

impl ChainShape {
    /// The chain that script checking is measured on: 300 blocks of 2,000 signed inputs.
    pub fn signed(seed: u64) -> Self {
        Self { blocks: 300, inputs_per_block: 2_000, outputs_per_block: 2_000, coins: 20_000, mix: Mix::signed(), seed }
    }

    /// The chain that the coin store is measured on: 300 blocks of 3,000 inputs and 4,000 outputs, scripts without
    /// signatures, and a constant set of ten million coins, from which the inputs are drawn at random. Bitcoin Core's kernel
    /// has a fixed cache of 450 MiB, which holds two to three million such coins; Adit's of that size holds some five
    /// million. Ten million exceed both.
    pub fn coins(seed: u64) -> Self {
        Self {
            blocks: 300,
            inputs_per_block: 3_000,
            outputs_per_block: 4_000,
            coins: 10_000_000,
            mix: Mix::free(),
            seed,
        }
    }

    /// A small chain for tests: blocks of some 20 inputs of every kind.
    pub fn small(seed: u64) -> Self {
        Self { blocks: 12, inputs_per_block: 20, outputs_per_block: 24, coins: 300, mix: Mix::even(), seed }
    }

    /// Checks that a chain of this shape can exist.
    ///
    /// # Errors
    /// No kind of coin has a weight, or there are too few coins.
    pub fn check(&self) -> Result<(), ShapeError> {
        if self.mix.total() == 0 {
            return Err(ShapeError::EmptyMix);
        }
        if self.coins < self.inputs_per_block.max(1) {
            return Err(ShapeError::TooFewCoins { coins: self.coins, inputs: self.inputs_per_block });
        }
        let shrink = u64::from(self.inputs_per_block.saturating_sub(self.outputs_per_block));
        let wanted = u64::from(self.inputs_per_block) + shrink * u64::from(self.blocks);
        if u64::from(self.coins) < wanted {
            return Err(ShapeError::CoinsRunOut {
                coins: self.coins,
                blocks: self.blocks,
                inputs: self.inputs_per_block,
                outputs: self.outputs_per_block,
                wanted,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_shapes_are_refused() {
        let good = ChainShape::small(1);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(ChainShape { mix: Mix::new(&[]), ..good.clone() }.check(), Err(ShapeError::EmptyMix));
        let few = ChainShape { coins: 19, ..good.clone() };
        assert_eq!(few.check(), Err(ShapeError::TooFewCoins { coins: 19, inputs: 20 }));
        let shrinking = ChainShape { outputs_per_block: 1, blocks: 100, ..good };
        assert!(matches!(shrinking.check(), Err(ShapeError::CoinsRunOut { wanted: 1_920, .. })));
    }

    #[test]
    fn tickets_fall_by_weight() {
        let mix = Mix::new(&[(SpendKind::P2pkh, 2), (SpendKind::TrueBare, 1)]);
        let kinds: Vec<_> = (0..mix.total()).map(|ticket| mix.kind(ticket)).collect();
        assert_eq!(kinds, [SpendKind::P2pkh, SpendKind::P2pkh, SpendKind::TrueBare]);
    }
}
