//! The generator of valid chains: plans transactions one after the other, signs them in parallel, seals the block.
//!
//! Every choice comes from one seeded stream and is made before any signature; signatures themselves are deterministic
//! (RFC 6979 for ECDSA, no auxiliary randomness for BIP340). So the bytes depend on the shape alone, not on the threads.

use crate::assemble::{TestNetwork, block_on, coinbase, seal};
use crate::load::BlockLoad;
use crate::rng::Rng;
use crate::shape::{ChainShape, ShapeError};
use crate::spend::{Coin, SpendKind, Wallet};
use crate::tip::Tip;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, consensus, transaction,
};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

/// The number of blocks after which a coinbase may be spent.
pub const COINBASE_MATURITY: u32 = 100;

/// A valid next block, not sealed yet, and what it does to the generator's coins.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The block, without commitment, Merkle root and proof of work.
    pub block: Block,
    /// Its height.
    pub height: u32,
    /// The fees of its transactions in satoshi; the coinbase claims them with the subsidy.
    pub fees: u64,
    /// Coins that become spendable when the draft is accepted.
    pub created: Vec<Coin>,
    coinbase_coin: (SpendKind, u16),
}

/// Two valid branches from one block.
#[derive(Debug, Clone)]
pub struct Branches {
    /// The common part, from height 1.
    pub trunk: Vec<Vec<u8>>,
    /// The first branch.
    pub left: Vec<Vec<u8>>,
    /// The second branch; all its blocks differ from those of the first.
    pub right: Vec<Vec<u8>>,
}

/// A transaction that is planned but not signed.
#[derive(Debug)]
struct Plan {
    tx: Transaction,
    coins: Vec<Coin>,
    outputs: Vec<(SpendKind, u16)>,
    fee: u64,
}

/// Makes the blocks of a chain one after the other, as an iterator over their serializations.
#[derive(Debug, Clone)]
pub struct ChainGenerator {
    shape: ChainShape,
    network: TestNetwork,
    wallet: Arc<Wallet>,
    rng: Rng,
    tip: Tip,
    pool: Vec<Coin>,
    immature: VecDeque<Coin>,
    measured: u32,
    signatures: u64,
    warm: bool,
    branch: u64,
}

impl ChainGenerator {
    /// A regtest chain of this shape, at its genesis block.
    ///
    /// # Errors
    /// No chain can have the shape.
    pub fn new(shape: ChainShape) -> Result<Self, ShapeError> {
        Self::on(TestNetwork::Regtest, shape)
    }

    /// A chain of this shape on `network`, at its genesis block.
    ///
    /// # Errors
    /// No chain can have the shape.
    pub fn on(network: TestNetwork, shape: ChainShape) -> Result<Self, ShapeError> {
        shape.check()?;
        Ok(Self {
            wallet: Arc::new(Wallet::new(shape.seed)),
            rng: Rng::new(shape.seed),
            tip: Tip::genesis(&network.genesis()),
            pool: Vec::new(),
            immature: VecDeque::new(),
            measured: 0,
            signatures: 0,
            warm: false,
            branch: 0,
            network,
            shape,
        })
    }

    /// Another valid continuation from the present tip, named by `branch`; branches of different names share no block.
    pub fn fork(&self, branch: u64) -> Self {
        let mut fork = self.clone();
        fork.rng = self.rng.fork(branch);
        fork.branch = branch;
        fork
    }

    /// A chain of this shape up to `height` and two continuations from there, of `left` and `right` blocks.
    ///
    /// # Errors
    /// No chain can have the shape.
    pub fn branches(shape: ChainShape, height: u32, left: usize, right: usize) -> Result<Branches, ShapeError> {
        let mut generator = Self::new(shape)?;
        let trunk = (0..height).map(|_| generator.next_block()).collect();
        let grow = |branch, length| {
            let mut fork = generator.fork(branch);
            (0..length).map(|_| fork.next_block()).collect()
        };
        Ok(Branches { left: grow(1, left), right: grow(2, right), trunk })
    }

    /// The network that the blocks belong to.
    pub fn network(&self) -> &TestNetwork {
        &self.network
    }

    /// The block on which the next one builds.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The keys and scripts of the chain.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// Coins that may be spent in the next block.
    pub fn coins(&self) -> &[Coin] {
        &self.pool
    }

    /// Coinbases that may not be spent yet, oldest first.
    pub fn immature(&self) -> impl Iterator<Item = &Coin> {
        self.immature.iter()
    }

    /// Whether the warm-up is over: the next block is one of the measured part, or beyond it.
    pub fn is_warm(&self) -> bool {
        self.warm
    }

    /// The number of signatures made so far.
    pub fn signatures(&self) -> u64 {
        self.signatures
    }

    /// Takes a coin of `kind` out of the spendable ones, so that a caller may spend it.
    pub fn take_coin(&mut self, kind: SpendKind) -> Option<Coin> {
        self.take_coin_where(|coin| coin.kind == kind)
    }

    /// Takes a coin for which `wanted` returns true out of the spendable ones.
    pub fn take_coin_where(&mut self, wanted: impl Fn(&Coin) -> bool) -> Option<Coin> {
        let position = self.pool.iter().rposition(wanted)?;
        Some(self.pool.swap_remove(position))
    }

    /// The next block, sealed and serialized, beyond the end of the shape too.
    pub fn next_block(&mut self) -> Vec<u8> {
        let mut draft = self.draft();
        seal(&self.network, &mut draft.block);
        let bytes = consensus::serialize(&draft.block);
        self.accept(draft);
        bytes
    }

    /// A valid next block, whose inputs are no longer among [`coins`](Self::coins).
    ///
    /// A draft that is not [accepted](Self::accept) has to come from a clone; otherwise its coins are never spent.
    pub fn draft(&mut self) -> Draft {
        self.mature(self.tip.height + 1);
        let (transactions, created, fees) = if self.warm { self.traffic() } else { self.fan_out() };
        let lock = self.choose_lock();
        self.draft_from(transactions, created, fees, lock)
    }

    /// A valid next block with only a coinbase, which pays to a bare `OP_TRUE`.
    pub fn empty_draft(&mut self) -> Draft {
        self.mature(self.tip.height + 1);
        self.draft_from(Vec::new(), Vec::new(), 0, (SpendKind::TrueBare, 0))
    }

    fn draft_from(
        &mut self,
        transactions: Vec<Transaction>,
        created: Vec<Coin>,
        fees: u64,
        (kind, key): (SpendKind, u16),
    ) -> Draft {
        let height = self.tip.height + 1;
        let reward = self.network.subsidy(height) + fees;
        let tag = [self.shape.seed.to_le_bytes(), self.branch.to_le_bytes()].concat();
        let script_pubkey = self.wallet.lock(kind, key).to_owned();
        let output = TxOut { value: Amount::from_sat(reward), script_pubkey };
        let mut all = vec![coinbase(height, &tag, vec![output])];
        all.extend(transactions);
        let time = self.choose_time();
        let block = block_on(&self.network, self.tip.hash, time, all);
        Draft { block, height, fees, created, coinbase_coin: (kind, key) }
    }

    /// Makes the sealed block of `draft` the tip and its outputs spendable.
    ///
    /// The caller may have added transactions and changed the coinbase's values and script; the outputs of
    /// [`Draft::created`] must be in the block.
    pub fn accept(&mut self, draft: Draft) {
        self.tip.advance(&draft.block.header);
        self.pool.extend(draft.created);
        if self.warm {
            self.measured += 1;
        }
        if let Some(coinbase) = draft.block.txdata.first() {
            let (kind, key) = draft.coinbase_coin;
            let value = coinbase.output.first().map_or(0, |output| output.value.to_sat());
            let outpoint = OutPoint::new(coinbase.compute_txid(), 0);
            self.immature.push_back(Coin { outpoint, value, height: draft.height, key, kind });
        }
        self.warm |= self.pool.len() >= self.shape.coins as usize;
    }

    /// Moves coinbases that mature into the pool, once the warm-up is over; the warm-up spends coinbases itself.
    fn mature(&mut self, height: u32) {
        while self.warm {
            match self.immature.pop_front_if(|coin| coin.height + COINBASE_MATURITY <= height) {
                Some(coin) => self.pool.push(coin),
                None => break,
            }
        }
    }

    fn choose_lock(&mut self) -> (SpendKind, u16) {
        let kind = self.shape.mix.kind(self.rng.below(self.shape.mix.total()));
        (kind, self.rng.below(self.wallet.ring().len()) as u16)
    }

    /// A time after the median time past, an hour on average. The median is some six blocks back, so that blocks are ten
    /// minutes apart on average and often earlier than the block before. A block with a late time does not delay the
    /// others.
    fn choose_time(&mut self) -> u32 {
        self.tip.median_time_past().saturating_add(1 + self.rng.below(7_200) as u32)
    }

    /// The transactions of a warm-up block: none until a coinbase is mature; then one that splits it into as many coins as
    /// are missing and fit.
    fn fan_out(&mut self) -> (Vec<Transaction>, Vec<Coin>, u64) {
        let height = self.tip.height + 1;
        let Some(coin) = self.immature.pop_front_if(|coin| coin.height + COINBASE_MATURITY <= height) else {
            return (Vec::new(), Vec::new(), 0);
        };
        let missing = self.shape.coins as usize - self.pool.len();
        let mut load = BlockLoad::default();
        load.add_transaction(&[coin]);
        let mut outputs = Vec::new();
        while outputs.len() < missing && load.has_room() {
            let lock = self.choose_lock();
            load.add_output(lock.0);
            outputs.push(lock);
        }
        let plan = self.plan(vec![coin], outputs);
        self.carry_out(vec![plan])
    }

    /// A measured block. Its last eighth of inputs is planned once the rest is signed, so that it can spend the rest's
    /// outputs: transactions that depend on others of their own block.
    fn traffic(&mut self) -> (Vec<Transaction>, Vec<Coin>, u64) {
        let inputs = (self.shape.inputs_per_block as usize).min(self.pool.len());
        let outputs = self.shape.outputs_per_block as usize;
        let late = inputs / 8;
        let late_outputs = outputs / 8;
        let mut load = BlockLoad::default();
        let plans = self.plan_wave(inputs - late, outputs - late_outputs, &[], &mut load);
        let (mut transactions, fresh, mut fees) = self.carry_out(plans);
        let plans = self.plan_wave(late, late_outputs, &fresh, &mut load);
        let spent: Vec<OutPoint> = plans.iter().flat_map(|plan| &plan.coins).map(|coin| coin.outpoint).collect();
        let (late_transactions, late_created, late_fees) = self.carry_out(plans);
        transactions.extend(late_transactions);
        fees += late_fees;
        let spent: std::collections::HashSet<OutPoint> = spent.into_iter().collect();
        let mut created: Vec<Coin> = fresh.into_iter().filter(|coin| !spent.contains(&coin.outpoint)).collect();
        created.extend(late_created);
        (transactions, created, fees)
    }

    /// Plans transactions of one to four inputs until `inputs` are used, and divides `outputs` among them. Half of the
    /// transactions take their first input from `fresh`, in order, while it lasts.
    fn plan_wave(&mut self, inputs: usize, outputs: usize, fresh: &[Coin], load: &mut BlockLoad) -> Vec<Plan> {
        let (mut inputs_left, mut outputs_left) = (inputs, outputs);
        let mut fresh = fresh.iter();
        let mut plans = Vec::new();
        while inputs_left > 0 && load.has_room() {
            let wanted = (1 + self.rng.below(4)).min(inputs_left);
            let mut coins = Vec::with_capacity(wanted);
            if self.rng.one_in(2) {
                coins.extend(fresh.next());
            }
            while coins.len() < wanted && !self.pool.is_empty() {
                let index = self.rng.below(self.pool.len());
                coins.push(self.pool.swap_remove(index));
            }
            if coins.is_empty() {
                break;
            }
            let share = (outputs_left * wanted / inputs_left).max(1);
            load.add_transaction(&coins);
            let mut locks = Vec::with_capacity(share);
            while locks.len() < share && (locks.is_empty() || load.has_room()) {
                let lock = self.choose_lock();
                load.add_output(lock.0);
                locks.push(lock);
            }
            inputs_left -= wanted;
            outputs_left = outputs_left.saturating_sub(share);
            plans.push(self.plan(coins, locks));
        }
        plans
    }

    /// The unsigned transaction from `coins` to `outputs`. Some have a lock time or a relative lock that has just passed.
    fn plan(&mut self, coins: Vec<Coin>, outputs: Vec<(SpendKind, u16)>) -> Plan {
        let height = self.tip.height + 1;
        let total: u64 = coins.iter().map(|coin| coin.value).sum();
        let fee = (total / 1_000).min(1_000 + self.rng.below(1_000) as u64);
        let count = outputs.len().max(1) as u64;
        let (each, rest) = ((total - fee) / count, (total - fee) % count);
        let value = |index: usize| Amount::from_sat(if index == 0 { each + rest } else { each });
        let output = outputs.iter().enumerate().map(|(index, &(kind, key))| TxOut {
            value: value(index),
            script_pubkey: self.wallet.lock(kind, key).to_owned(),
        });
        let output = output.collect();
        let locked = self.rng.one_in(4);
        let relative = self.rng.one_in(8);
        let sequence = |coin: &Coin| match (relative, locked) {
            (true, _) => Sequence::from_height((height - coin.height).min(0xffff) as u16),
            (false, true) => Sequence::ENABLE_LOCKTIME_NO_RBF,
            (false, false) => Sequence::MAX,
        };
        let input = coins.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: sequence(coin),
            witness: Witness::new(),
        });
        let lock_time = if locked { self.tip.height } else { 0 };
        let tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::from_consensus(lock_time),
            input: input.collect(),
            output,
        };
        Plan { tx, coins, outputs, fee }
    }

    /// Signs the plans in parallel: the transactions, the coins they create and their fees.
    fn carry_out(&mut self, plans: Vec<Plan>) -> (Vec<Transaction>, Vec<Coin>, u64) {
        let height = self.tip.height + 1;
        let fees = plans.iter().map(|plan| plan.fee).sum();
        self.signatures +=
            plans.iter().flat_map(|plan| &plan.coins).map(|coin| u64::from(coin.kind.signatures())).sum::<u64>();
        let wallet = &self.wallet;
        let signed: Vec<(Transaction, Vec<Coin>)> = plans
            .into_par_iter()
            .map(|Plan { mut tx, coins, outputs, .. }| {
                wallet.sign(&mut tx, &coins);
                let txid = tx.compute_txid();
                let coin = |(index, (kind, key)): (usize, (SpendKind, u16))| Coin {
                    outpoint: OutPoint::new(txid, index as u32),
                    value: tx.output[index].value.to_sat(),
                    height,
                    key,
                    kind,
                };
                let created = outputs.into_iter().enumerate().map(coin).collect();
                (tx, created)
            })
            .collect();
        let (transactions, created): (Vec<_>, Vec<Vec<Coin>>) = signed.into_iter().unzip();
        (transactions, created.concat(), fees)
    }
}

impl Iterator for ChainGenerator {
    type Item = Vec<u8>;

    /// The next block until the shape's measured part is complete.
    fn next(&mut self) -> Option<Vec<u8>> {
        (self.measured < self.shape.blocks).then(|| self.next_block())
    }
}
