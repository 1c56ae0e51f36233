//! Upper bounds on the weight and signature operations of a planned block, which keep it below the limits of consensus.

use crate::spend::{Coin, SpendKind};

/// The weight up to which the generator fills a block: the limit less room for the coinbase and for additions.
const WEIGHT_BUDGET: u32 = 3_900_000;

/// The signature-operation cost up to which the generator fills a block; the limit is 80,000.
const SIGOPS_BUDGET: u32 = 70_000;

/// Weight units of a transaction's parts outside its inputs and outputs, as an upper bound.
const TX_OVERHEAD: u32 = 58;

/// The weight and signature-operation cost that a kind of coin adds to a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Weight units of an input that spends the coin, its witness included.
    pub(crate) input_weight: u32,
    /// Weight units of the output that creates it.
    pub(crate) output_weight: u32,
    /// Signature-operation cost of spending it.
    pub(crate) input_sigops: u32,
    /// Signature-operation cost of creating it.
    pub(crate) output_sigops: u32,
}

impl SpendKind {
    pub(crate) fn load(self) -> Load {
        let (input_weight, output_weight, input_sigops, output_sigops) = match self {
            Self::P2wpkh => (276, 124, 1, 0),
            Self::P2trKey => (232, 172, 0, 0),
            Self::P2trScript => (336, 172, 0, 0),
            Self::P2pkh => (600, 136, 0, 4),
            Self::P2shP2wpkh => (368, 128, 1, 0),
            Self::BareMultisig => (768, 460, 0, 80),
            Self::P2wshMultisig => (424, 172, 3, 0),
            Self::P2pk => (464, 176, 0, 4),
            Self::TrueBare => (168, 40, 0, 0),
            Self::TrueP2wsh => (168, 172, 0, 0),
        };
        Load { input_weight, output_weight, input_sigops, output_sigops }
    }
}

/// The weight and signature-operation cost of a planned block, as upper bounds.
#[derive(Debug, Default)]
pub(crate) struct BlockLoad {
    weight: u32,
    sigops: u32,
}

impl BlockLoad {
    pub(crate) fn add_transaction(&mut self, coins: &[Coin]) {
        self.weight += TX_OVERHEAD;
        for coin in coins {
            let load = coin.kind.load();
            self.weight += load.input_weight;
            self.sigops += load.input_sigops;
        }
    }

    pub(crate) fn add_output(&mut self, kind: SpendKind) {
        let load = kind.load();
        self.weight += load.output_weight;
        self.sigops += load.output_sigops;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.weight < WEIGHT_BUDGET && self.sigops < SIGOPS_BUDGET
    }
}
