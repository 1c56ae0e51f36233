//! Checks block proposals: every rule but proof of work.
//!
//! A miner's template and a proposal of `getblocktemplate` (BIP23) are checked before they are mined. Coins are only read:
//! the block's changes go into a scratch view, which is dropped.

use std::collections::HashMap;

use bitcoin::OutPoint;
use foldhash::fast::RandomState;

use super::ancestry::Ancestry;
use super::block::{validate_transactions_in_isolation, validate_unsolved_bytes_in_isolation};
use super::block_context::BlockContext;
use super::connect::{ConnectError, ConnectOptions, Connected, connect_block};
use super::context::validate_block_in_context;
use super::header::{check_previous_found, validate_header_in_context};
use crate::block::DecodedBlock;
use crate::coins::{Coin, CoinRef, CoinView};
use crate::consensus::ConsensusParams;

/// Checks a block on top of `ancestry` against every rule except the proof of work and, on a signet, the block's signature.
///
/// `coin` reads the coin at an outpoint as it is after `ancestry`'s last block. `now` is the network's time in seconds since
/// 1970.
///
/// # Errors
/// The first rule that the block breaks, in the order in which a block that comes from a peer is checked; or `coin`
/// failed. A block on another parent than `ancestry`'s last block is refused with
/// [`RuleError::PreviousNotFound`](super::RuleError::PreviousNotFound).
///
/// Source: Bitcoin Core, `validation.cpp`, `TestBlockValidity` without `check_pow`.
pub fn check_candidate<E>(
    params: &ConsensusParams,
    ancestry: &dyn Ancestry,
    block: &DecodedBlock,
    coin: impl FnMut(&OutPoint) -> Result<Option<Coin>, E>,
    now: u64,
    options: ConnectOptions,
) -> Result<Connected, ConnectError<E>> {
    let (context, header) = (BlockContext::after(ancestry), block.header());
    let parent = ancestry.header_at(ancestry.tip_height()).block_hash();
    check_previous_found(header, (parent == header.prev_blockhash).then_some(parent))?;
    validate_unsolved_bytes_in_isolation(block)?;
    validate_transactions_in_isolation(block)?;
    validate_header_in_context(params, context, header, now)?;
    validate_block_in_context(params, context, block)?;
    connect_block(params, context, block, &mut ScratchCoins { read: coin, changes: HashMap::default() }, options)
}

/// A view that keeps changes to itself, over coins that are only read.
struct ScratchCoins<R> {
    read: R,
    /// The coin at each changed outpoint; `None`: it is spent.
    changes: HashMap<OutPoint, Option<Coin>, RandomState>,
}

impl<E, R: FnMut(&OutPoint) -> Result<Option<Coin>, E>> CoinView for ScratchCoins<R> {
    type Error = E;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, E> {
        match self.changes.get(outpoint) {
            Some(changed) => Ok(changed.clone()),
            None => (self.read)(outpoint),
        }
    }

    fn spend(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, E> {
        let coin = self.coin(outpoint)?;
        self.changes.insert(*outpoint, None);
        Ok(coin)
    }

    fn create(&mut self, outpoint: OutPoint, coin: CoinRef<'_>) -> Result<(), E> {
        self.changes.insert(outpoint, Some(coin.to_coin()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::block::Version;
    use bitcoin::hashes::Hash;
    use bitcoin::{
        Amount, Block, BlockHash, CompactTarget, ScriptBuf, Sequence, Target, TxMerkleNode, Witness, absolute,
        consensus,
    };

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::replay::Replay;
    use crate::rules::testing::{block_of, coin, coinbase, outpoint, spend};
    use crate::rules::witness::tests::commit;
    use crate::rules::{RuleError, TransactionError};

    const NOW: u64 = 1_795_392_000;
    const REWARD: i64 = 50_0000_0000 + 10;

    /// Regtest after its genesis block, with a coin of 100 that anybody can spend and one that nobody can.
    fn chain() -> Replay {
        let mut chain = Replay::new(ChainParams::regtest(), NOW);
        let mut locked = coin(100, 0);
        locked.output.script_pubkey = ScriptBuf::from_bytes(vec![0x00]);
        chain.coins.extend([(outpoint(1), coin(100, 0)), (outpoint(2), locked)]);
        chain
    }

    /// A good block on it, which spends the first coin and what comes of it.
    fn good() -> Block {
        let parent = spend(&[outpoint(1)], &[95]);
        let child = spend(&[OutPoint { txid: parent.compute_txid(), vout: 0 }], &[90]);
        block_of(vec![coinbase(1, REWARD), parent, child]).block().clone()
    }

    /// The block with a nonce with which its hash meets the target, or with one with which it does not.
    fn with_nonce(mut block: Block, solved: bool) -> DecodedBlock {
        let target = Target::from_compact(block.header.bits);
        while target.is_met_by(block.header.block_hash()) != solved {
            block.header.nonce += 1;
        }
        DecodedBlock::decode(consensus::serialize(&block)).unwrap()
    }

    /// The block with the Merkle root of its transactions.
    fn with_root(mut block: Block) -> Block {
        block.header.merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::all_zeros());
        block
    }

    /// The verdict on a block without proof of work.
    fn candidate(chain: &mut Replay, block: Block) -> Result<Connected, RuleError> {
        let (params, block) = (&chain.params.consensus, with_nonce(block, false));
        let options = ConnectOptions::default();
        check_candidate(params, &chain.chain, &block, |outpoint| chain.coins.coin(outpoint), NOW, options)
            .map_err(|error| error.rule().expect("memory does not fail"))
    }

    #[test]
    fn a_good_block_needs_no_proof_of_work() {
        let mut chain = chain();
        let before = chain.coins.clone();
        let connected = candidate(&mut chain, good()).unwrap();
        assert_eq!((connected.fees, connected.inputs), (Amount::from_sat(10), 2));
        assert_eq!(chain.coins, before, "the coins are only read");
        let unsolved = with_nonce(good(), false);
        assert_eq!(chain.add(&unsolved).unwrap_err().reject_reason(), "high-hash");
        assert_eq!(chain.add(&with_nonce(good(), true)), Ok(()));
        assert_ne!(chain.coins, before);
    }

    #[test]
    fn a_good_block_of_a_signet_needs_no_signature() {
        let mut chain = chain();
        chain.params.consensus.signet_challenge = Some(ScriptBuf::from_bytes(vec![0x00]));
        assert!(candidate(&mut chain, good()).is_ok());
        let solved = with_nonce(good(), true);
        assert_eq!(chain.add(&solved).unwrap_err().reject_reason(), "bad-signet-blksig");
    }

    #[test]
    fn nothing_is_spent_twice_or_overwritten() {
        let mut block = good();
        block.txdata.push(spend(&[outpoint(1)], &[1]));
        let RuleError::Transaction { tx, error, .. } = candidate(&mut chain(), with_root(block)).unwrap_err() else {
            panic!("a transaction is refused")
        };
        assert_eq!((tx, error), (3, TransactionError::MissingInput { input: 0, outpoint: outpoint(1) }));
        let mut chain = chain();
        chain.params.consensus.deployments.bip34 = 10;
        let txid = good().txdata[0].compute_txid();
        chain.coins.insert(OutPoint { txid, vout: 0 }, coin(1, 0));
        assert_eq!(candidate(&mut chain, good()).unwrap_err().reject_reason(), "bad-txns-BIP30");
    }

    /// For each class of broken blocks, the reject reason and the change to a valid block.
    type Damage = (&'static str, fn(&mut Block));
    const DAMAGES: [Damage; 21] = [
        ("prev-blk-not-found", |block| block.header.prev_blockhash = BlockHash::all_zeros()),
        ("bad-txns-duplicate", |block| block.txdata.push(block.txdata[2].clone())),
        ("bad-blk-length", |block| block.txdata.clear()),
        ("bad-cb-missing", |block| drop(block.txdata.remove(0))),
        ("bad-cb-multiple", |block| block.txdata.push(coinbase(2, 1))),
        ("bad-txns-vout-negative", |block| block.txdata[1].output[0].value = Amount::from_sat(u64::MAX)),
        ("bad-cb-length", |block| block.txdata[0].input[0].script_sig = ScriptBuf::new()),
        ("bad-blk-sigops", |block| block.txdata[1].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 20_001])),
        ("bad-diffbits", |block| block.header.bits = CompactTarget::from_consensus(0x207f_fffe)),
        ("time-too-old", |block| block.header.time = ChainParams::regtest().genesis.header.time),
        ("time-too-new", |block| block.header.time = NOW as u32 + 7201),
        ("bad-version(0x00000001)", |block| block.header.version = Version::ONE),
        ("bad-txns-nonfinal", |block| {
            block.txdata[2].lock_time = absolute::LockTime::from_consensus(1);
            block.txdata[2].input[0].sequence = Sequence::ZERO;
        }),
        ("bad-cb-height", |block| block.txdata[0] = coinbase(2, REWARD)),
        ("unexpected-witness", |block| block.txdata[1].input[0].witness = Witness::from_slice(&[[7]])),
        ("bad-blk-weight", |block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&[[9; 32]]);
            block.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; 3_999_000]]);
            commit(block);
        }),
        ("bad-txns-inputs-missingorspent", |block| block.txdata[1].input[0].previous_output = outpoint(3)),
        ("bad-txns-in-belowout", |block| block.txdata[2].output[0].value = Amount::from_sat(96)),
        ("bad-txns-nonfinal", |block| block.txdata[2].input[0].sequence = Sequence::from_consensus(1)),
        ("mandatory-script-verify-flag-failed", |block| block.txdata.push(spend(&[outpoint(2)], &[100]))),
        ("bad-cb-amount", |block| block.txdata[0].output[0].value += Amount::ONE_SAT),
    ];

    #[test]
    fn every_class_of_broken_block_is_refused_as_the_same_block_with_proof_of_work() {
        for (reason, damage) in DAMAGES {
            let mut block = good();
            damage(&mut block);
            let block = with_root(block);
            let error = candidate(&mut chain(), block.clone()).expect_err(reason);
            assert_eq!(error.reject_reason(), reason, "{error}");
            assert_eq!(chain().add(&with_nonce(block, true)), Err(error));
        }
        let mut block = good();
        block.header.merkle_root = TxMerkleNode::all_zeros();
        let error = candidate(&mut chain(), block.clone()).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-txnmrklroot");
        assert_eq!(chain().add(&with_nonce(block, true)), Err(error));
    }
}
