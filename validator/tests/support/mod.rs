//! A small regtest chain for tests: branches that are mined quickly, spend their own coins, and fork by cloning.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use adit_testchain::Rng;
use adit_testchain::unsigned::spend;
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{BlockOutcome, ChainEvent, ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::coins::statistics::CoinStatistics;
use adit_validator::store::StoreError;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
    transaction,
};

/// Later than every block that a branch makes.
pub const NOW: u64 = 1_700_000_000;

const SPACING: u32 = 600;
const MATURITY: u32 = 100;

#[derive(Clone, Debug)]
struct Unspent {
    outpoint: OutPoint,
    value: Amount,
    from: u32,
}

/// A chain of blocks from genesis on. A clone is a branch that starts at the same tip.
#[derive(Clone, Debug)]
pub struct Branch {
    params: ChainParams,
    tip: Header,
    pub height: u32,
    unspent: Vec<Unspent>,
    /// All blocks of this branch, including those before a fork.
    pub blocks: Vec<DecodedBlock>,
    /// The length in bytes of an unspendable output in each coinbase, which makes blocks long without more coins.
    pub padding: usize,
}

impl Branch {
    pub fn from_genesis() -> Self {
        Self::on(ChainParams::regtest())
    }

    /// A branch of a chain whose blocks are as easy as regtest's.
    pub fn on(params: ChainParams) -> Self {
        Self { tip: params.genesis.header, params, height: 0, unspent: Vec::new(), blocks: Vec::new(), padding: 0 }
    }

    pub fn tip_hash(&self) -> BlockHash {
        self.tip.block_hash()
    }

    /// Mines `count` blocks of `spends` transactions each, where so many coins are mature. `salt` keeps branches apart.
    pub fn mine(&mut self, count: u32, salt: u64, spends: usize) -> &mut Self {
        for _ in 0..count {
            let block = self.next(salt, spends, 0);
            self.push(block);
        }
        self
    }

    /// Mines a block that makes `coins` out of the oldest coin, which is mature.
    pub fn mine_split(&mut self, salt: u64, coins: usize) -> &mut Self {
        let oldest = self.unspent.iter().min_by_key(|coin| coin.from).unwrap();
        assert!(oldest.from <= self.height + 1);
        let split = split(oldest.outpoint, oldest.value, coins);
        let mut block = self.next(salt, 0, 0);
        block.txdata.push(split);
        self.push(solve(block));
        self
    }

    /// Mines a block whose coinbase takes `excess` satoshi beside the subsidy; 1,000 are more than any fees here.
    pub fn mine_greedy(&mut self, salt: u64, excess: u64) -> &mut Self {
        let block = self.next(salt, 1, excess);
        self.push(block);
        self
    }

    fn push(&mut self, block: Block) {
        self.tip = block.header;
        self.height += 1;
        for (at, transaction) in block.txdata.iter().enumerate() {
            let txid = transaction.compute_txid();
            self.unspent.retain(|coin| transaction.input.iter().all(|input| input.previous_output != coin.outpoint));
            for (vout, output) in
                transaction.output.iter().enumerate().filter(|(_, output)| !output.script_pubkey.is_op_return())
            {
                let outpoint = OutPoint { txid, vout: vout as u32 };
                let from = if at == 0 { self.height + MATURITY } else { self.height };
                self.unspent.push(Unspent { outpoint, value: output.value, from });
            }
        }
        self.blocks.push(DecodedBlock::decode(serialize(&block)).unwrap());
    }

    fn next(&self, salt: u64, spends: usize, excess: u64) -> Block {
        let height = self.height + 1;
        let mut rng = Rng::new(salt << 32 | u64::from(height));
        let mut mature: Vec<&Unspent> = self.unspent.iter().filter(|coin| coin.from <= height).collect();
        let mut transactions = Vec::new();
        for _ in 0..spends.min(mature.len()) {
            let coin = mature.swap_remove(rng.below(mature.len()));
            let split = split(coin.outpoint, coin.value, 1 + rng.below(3));
            // Every other one is spent again in the same block.
            if rng.below(2) == 0 {
                let first = OutPoint { txid: split.compute_txid(), vout: 0 };
                transactions.push(split.clone());
                transactions.push(spend(&[first], &[split.output[0].value.to_sat().cast_signed()]));
            } else {
                transactions.push(split);
            }
        }
        let reward = self.params.consensus.subsidy.at(height) + Amount::from_sat(excess);
        let mut first = coinbase(height, salt, reward);
        if self.padding > 0 {
            first.output[1].script_pubkey = ScriptBuf::from_bytes([vec![0x6a], vec![0; self.padding]].concat());
        }
        transactions.insert(0, first);
        let header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: self.tip_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: self.tip.time + SPACING + (salt % 100) as u32,
            bits: self.params.genesis.header.bits,
            nonce: 0,
        };
        solve(Block { header, txdata: transactions })
    }
}

/// 105 common blocks, then a branch of 4 and one of 6, all with spends of common and of own coins.
pub fn fork() -> (Branch, Branch, Branch) {
    let mut common = Branch::from_genesis();
    common.mine(105, 0, 2);
    let (mut short, mut long) = (common.clone(), common.clone());
    short.mine(4, 1, 3);
    long.mine(6, 2, 3);
    (common, short, long)
}

/// Sets Merkle root and nonce. On regtest every second nonce is valid.
pub fn solve(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    let target = Target::from_compact(block.header.bits);
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    block
}

fn anyone_can_spend() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

pub fn coinbase(height: u32, salt: u64, reward: Amount) -> Transaction {
    let script_sig = Builder::new().push_int(height.into()).push_slice(salt.to_le_bytes()).into_script();
    let input =
        TxIn { previous_output: OutPoint::null(), script_sig, sequence: Sequence::MAX, witness: Witness::new() };
    // The second output is one that is never a coin.
    let marker = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(vec![0x6a, 0x01, 0x00]) };
    let output = vec![TxOut { value: reward, script_pubkey: anyone_can_spend() }, marker];
    Transaction { version: transaction::Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

/// Splits a coin into `count` equal ones. The remainder is the fee.
fn split(outpoint: OutPoint, value: Amount, count: usize) -> Transaction {
    let each = (value / count as u64).to_sat().cast_signed();
    spend(&[outpoint], &vec![each; count])
}

/// Options with both kinds of commits: commits of several blocks go into tables, others through the journal.
pub fn options(commit: CommitPolicy, cache_bytes: usize) -> ChainStateOptions {
    ChainStateOptions::default().with_commit(commit).with_cache_bytes(cache_bytes).with_ingest_threshold(40)
}

/// The limit of a queue of events, which tests never reach.
pub const QUEUE: usize = 1 << 30;

/// An event with its block's hash instead of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Connected(BlockHash, u32),
    Disconnected(BlockHash, u32),
    Tip(BlockHash, u32),
    Invalid(BlockHash),
    Missed,
}

pub fn told(event: ChainEvent) -> Told {
    match event {
        ChainEvent::Connected { block, height } => Told::Connected(block.hash(), height),
        ChainEvent::Disconnected { block, height } => Told::Disconnected(block.hash(), height),
        ChainEvent::TipChanged { hash, height } => Told::Tip(hash, height),
        ChainEvent::Invalid(invalid) => Told::Invalid(invalid.hash),
        _ => Told::Missed,
    }
}

pub fn in_memory() -> ChainState {
    ChainState::in_memory(ChainParams::regtest(), None, ChainStateOptions::default()).unwrap()
}

/// A chain state in a data folder.
pub fn on_disk(folder: &Path, options: ChainStateOptions) -> ChainState {
    ChainState::open(folder, ChainParams::regtest(), options).unwrap()
}

/// Feeds blocks, each of which must be connected.
pub fn connect_all<'a>(state: &mut ChainState, blocks: impl IntoIterator<Item = &'a DecodedBlock>) {
    for block in blocks {
        let outcome = state.accept_block(block.clone(), NOW).unwrap();
        assert!(matches!(outcome, BlockOutcome::Connected { .. } | BlockOutcome::Duplicate), "{outcome:?}");
    }
}

/// Feeds `blocks` until one fails; the error, if one came.
pub fn feed(state: &mut ChainState, blocks: &[DecodedBlock]) -> Option<StoreError> {
    blocks.iter().find_map(|block| state.accept_block(block.clone(), NOW).err())
}

/// The coins of a fresh replay of `state`'s active chain.
pub fn replayed_coins(state: &ChainState) -> CoinStatistics {
    let mut fresh = ChainState::in_memory(state.params().clone(), None, ChainStateOptions::default()).unwrap();
    for height in 1..=state.tip().height {
        let hash = state.active_at(height).unwrap().hash;
        let block = state.block(&hash).unwrap().unwrap();
        assert_eq!(fresh.accept_block(block, u64::from(u32::MAX)).unwrap(), BlockOutcome::Connected { height });
    }
    assert_eq!(fresh.tip().hash, state.tip().hash);
    fresh.coin_statistics().unwrap()
}

/// Blocks in an order that reorganises the chain every few blocks: a branch, then a longer one that leaves it four blocks
/// below its tip.
pub fn eventful(rounds: u64) -> Vec<DecodedBlock> {
    let mut trunk = Branch::from_genesis();
    trunk.mine(100, 0, 0);
    let mut order = trunk.blocks.clone();
    for round in 1..=rounds {
        trunk.mine(9, 3 * round, 3);
        let mut loser = trunk.clone();
        loser.mine(4, 3 * round + 1, 3);
        let mut winner = trunk.clone();
        winner.mine(6, 3 * round + 2, 3);
        order.extend(loser.blocks[trunk.blocks.len() - 9..].iter().cloned());
        // Nothing of this branch is tried before it has more work.
        order.extend(winner.blocks[trunk.blocks.len()..].iter().cloned());
        trunk = winner;
    }
    order
}

/// Checks that the coins of an opened store are those of a replay of its blocks.
pub fn check_coins(state: &ChainState, context: &str) {
    assert_eq!(state.coin_statistics().unwrap(), replayed_coins(state), "{context}");
}
