//! The stage for damage and edge cases: a small valid chain, and the means to build one more block on it in any way.
//!
//! A case is a list of blocks with what is expected of each. Coins that a case needs are made by valid blocks that come
//! first; then comes the block that the case is about; after damage that leaves the header's hash alone, the undamaged twin
//! follows, which must still be accepted. A scene goes on from whatever was accepted, so that thousands of cases run on one
//! chain and one validator.

use crate::assemble::{self, TestNetwork};
use crate::generate::{ChainGenerator, Draft};
use crate::rng::Rng;
use crate::shape::{ChainShape, Mix};
use crate::spend::{Coin, SpendKind};
use bitcoin::opcodes::OP_TRUE;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, consensus, transaction,
};

/// The verdict that Bitcoin Core must have on a block of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Accepted as the new tip.
    Accept,
    /// Rejected for this reason, in Bitcoin Core's words.
    Reject(&'static str),
}

/// A block of a case.
#[derive(Debug, Clone)]
pub struct Step {
    /// The block's serialization.
    pub block: Vec<u8>,
    /// The expected verdict.
    pub expect: Expect,
}

/// Blocks to submit in order.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The blocks and what is expected of each.
    pub steps: Vec<Step>,
}

/// A coin that a case made for itself.
#[derive(Debug, Clone)]
pub(crate) struct Funded {
    pub outpoint: OutPoint,
    pub output: TxOut,
}

/// A small chain that cases extend.
///
/// On a signet, whose every block costs seconds, a scene is for few cases; and damage that takes the commitment away shows
/// there as `bad-signet-blksig`, whose check comes first.
#[derive(Debug, Clone)]
pub struct Scene {
    chain: ChainGenerator,
    rng: Rng,
    now: u32,
    steps: Vec<Step>,
}

/// A valid next block in the making, and the chain as it is once the block is accepted.
#[derive(Debug)]
pub(crate) struct Trial {
    pub chain: ChainGenerator,
    pub draft: Draft,
}

/// The value of a coin that a case makes for itself, in satoshi.
pub(crate) const FUNDED_VALUE: u64 = 50_000;

impl Scene {
    /// A scene on a fresh chain. `now` is the validator's time in seconds since 1970, for the two-hour rule.
    pub fn new(network: TestNetwork, seed: u64, now: u32) -> Self {
        let free = [(SpendKind::TrueBare, 3)];
        let all = SpendKind::ALL.map(|kind| (kind, 1));
        let mix = Mix::new(&[&all[..], &free[..]].concat());
        let shape = ChainShape { blocks: u32::MAX, inputs_per_block: 6, outputs_per_block: 8, coins: 300, mix, seed };
        let chain = ChainGenerator::on(network, shape).expect("the shape above is possible");
        Self { chain, rng: Rng::new(seed).fork(0x5ce4e), now, steps: Vec::new() }
    }

    /// The valid blocks from height 1 on that must be accepted before any case is built.
    pub fn warm_up(&mut self) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        while !self.chain.is_warm() {
            blocks.push(self.chain.next_block());
        }
        blocks
    }

    /// `count` valid blocks, whether the chain is warm or not.
    pub fn honest(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.chain.next_block()).collect()
    }

    /// The chain as far as it was accepted.
    pub fn chain(&self) -> &ChainGenerator {
        &self.chain
    }

    /// The blocks since the last case, as a case of their own.
    pub(crate) fn finish_case(&mut self) -> Case {
        Case { steps: std::mem::take(&mut self.steps) }
    }

    pub(crate) fn network(&self) -> &TestNetwork {
        self.chain.network()
    }

    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(crate) fn now(&self) -> u32 {
        self.now
    }

    /// A valid next block with random transactions, unlike any that was tried before.
    pub(crate) fn trial(&mut self) -> Trial {
        let mut chain = self.chain.fork(self.rng.next_u64());
        let draft = chain.draft();
        Trial { chain, draft }
    }

    /// A valid next block of a coinbase alone.
    pub(crate) fn empty_trial(&mut self) -> Trial {
        let mut chain = self.chain.fork(self.rng.next_u64());
        let draft = chain.empty_draft();
        Trial { chain, draft }
    }

    /// Seals the trial and makes it a step that must be accepted; the scene goes on from it.
    pub(crate) fn accept(&mut self, mut trial: Trial) {
        assemble::seal(self.chain.network(), &mut trial.draft.block);
        self.accept_sealed(trial);
    }

    /// [`accept`](Self::accept) for a block that is to stay as it is.
    pub(crate) fn accept_sealed(&mut self, mut trial: Trial) {
        self.steps.push(Step { block: consensus::serialize(&trial.draft.block), expect: Expect::Accept });
        trial.chain.accept(trial.draft);
        self.chain = trial.chain;
    }

    /// Seals the trial and makes it a step that must be rejected.
    pub(crate) fn reject(&mut self, mut trial: Trial, reason: &'static str) {
        assemble::seal(self.chain.network(), &mut trial.draft.block);
        self.reject_sealed(&trial.draft.block, reason);
    }

    /// Makes a block that is to stay as it is a step that must be rejected.
    pub(crate) fn reject_sealed(&mut self, block: &Block, reason: &'static str) {
        self.reject_bytes(consensus::serialize(block), reason);
    }

    /// Makes a serialization a step that must be rejected.
    pub(crate) fn reject_bytes(&mut self, block: Vec<u8>, reason: &'static str) {
        self.steps.push(Step { block, expect: Expect::Reject(reason) });
    }

    /// Rejects or accepts, as `expect` says.
    pub(crate) fn judge(&mut self, trial: Trial, expect: &Expect) {
        match expect {
            Expect::Accept => self.accept(trial),
            Expect::Reject(reason) => self.reject(trial, reason),
        }
    }

    /// One coin for each lock, made in a valid block that comes before the case's own.
    pub(crate) fn fund(&mut self, locks: &[ScriptBuf]) -> Vec<Funded> {
        let mut trial = self.trial();
        let outputs: Vec<TxOut> = locks
            .iter()
            .map(|lock| TxOut { value: Amount::from_sat(FUNDED_VALUE), script_pubkey: lock.clone() })
            .collect();
        let tx = loop {
            match trial.free_transaction(outputs.clone()) {
                Some(tx) => break tx,
                None => {
                    self.accept(trial);
                    trial = self.trial();
                }
            }
        };
        let txid = tx.compute_txid();
        trial.draft.block.txdata.push(tx);
        self.accept(trial);
        let funded = |(index, output)| Funded { outpoint: OutPoint::new(txid, index as u32), output };
        outputs.into_iter().enumerate().map(funded).collect()
    }

    /// One coin with this lock.
    pub(crate) fn fund_one(&mut self, lock: ScriptBuf) -> Funded {
        self.fund(&[lock]).swap_remove(0)
    }
}

impl Trial {
    pub(crate) fn block(&mut self) -> &mut Block {
        &mut self.draft.block
    }

    pub(crate) fn coinbase(&mut self) -> &mut Transaction {
        &mut self.draft.block.txdata[0]
    }

    /// Adds a transaction; its fee, if any, is left unclaimed.
    pub(crate) fn add(&mut self, tx: Transaction) {
        self.draft.block.txdata.push(tx);
    }

    /// A spendable coin of at least `value` satoshi that needs no signature.
    pub(crate) fn free_coin(&mut self, value: u64) -> Option<Coin> {
        self.chain.take_coin_where(|coin| coin.kind == SpendKind::TrueBare && coin.value >= value)
    }

    /// A signed transaction from a coin that needs no signature to `outputs`. What is left returns to the chain's coins in
    /// an output after them.
    pub(crate) fn free_transaction(&mut self, mut outputs: Vec<TxOut>) -> Option<Transaction> {
        let paid: u64 = outputs.iter().map(|output| output.value.to_sat()).sum();
        let coin = self.free_coin(paid)?;
        let value = coin.value - paid;
        outputs.push(TxOut { value: Amount::from_sat(value), script_pubkey: bare_true() });
        let tx = transaction(&[coin.outpoint], outputs);
        let outpoint = OutPoint::new(tx.compute_txid(), tx.output.len() as u32 - 1);
        self.draft.created.push(Coin { outpoint, value, height: self.draft.height, ..coin });
        Some(tx)
    }
}

/// A bare `OP_TRUE`.
pub(crate) fn bare_true() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![OP_TRUE.to_u8()])
}

/// A final, unsigned transaction of version 2.
pub(crate) fn transaction(inputs: &[OutPoint], output: Vec<TxOut>) -> Transaction {
    let input = inputs.iter().map(|&previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    });
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: input.collect(),
        output,
    }
}

/// A transaction that spends `coins` without unlocking them, to one bare `OP_TRUE` with all their value.
pub(crate) fn spend_all(coins: &[Funded]) -> Transaction {
    let outpoints: Vec<OutPoint> = coins.iter().map(|coin| coin.outpoint).collect();
    let value = coins.iter().map(|coin| coin.output.value).sum();
    transaction(&outpoints, vec![TxOut { value, script_pubkey: bare_true() }])
}
