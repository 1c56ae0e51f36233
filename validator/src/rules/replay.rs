//! A chain in memory to which blocks are added after all checks, for tests of candidates and random chains.

use std::collections::HashMap;

use bitcoin::OutPoint;

use super::block::validate_block_in_isolation;
use super::block_context::BlockContext;
use super::connect::{ConnectOptions, connect_block};
use super::context::validate_block_in_context;
use super::error::RuleError;
use super::header::{validate_header_in_context, validate_header_in_isolation};
use super::testing::Chain;
use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;

/// A chain from a genesis block on, with its coins.
pub(super) struct Replay {
    pub(super) params: ChainParams,
    pub(super) chain: Chain,
    pub(super) coins: HashMap<OutPoint, Coin>,
    pub(super) inputs: usize,
    now: u64,
}

impl Replay {
    /// A chain of the genesis block alone. The time is `now`.
    pub(super) fn new(params: ChainParams, now: u64) -> Self {
        Self { chain: Chain::after_genesis(&params), params, coins: HashMap::new(), inputs: 0, now }
    }

    /// Adds a block. If the block breaks a rule the chain stays as it was.
    pub(super) fn add(&mut self, block: &DecodedBlock) -> Result<(), RuleError> {
        let (params, chain) = (&self.params.consensus, &self.chain);
        if !chain.ends_in(block.header().prev_blockhash) {
            return Err(RuleError::PreviousNotFound { previous: block.header().prev_blockhash });
        }
        let context = BlockContext::after(chain);
        validate_header_in_isolation(params, block.header(), block.hash())?;
        validate_header_in_context(params, context, block.header(), self.now)?;
        validate_block_in_isolation(params, block)?;
        validate_block_in_context(params, context, block)?;
        let mut coins = self.coins.clone();
        let connected = connect_block(params, context, block, &mut coins, ConnectOptions::default());
        self.inputs += connected.map_err(|error| error.rule().expect("memory does not fail"))?.inputs;
        self.coins = coins;
        self.chain.push_header(*block.header());
        Ok(())
    }
}
