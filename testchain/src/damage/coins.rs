//! Damage that only a validator with the coins of a transaction can find.

use crate::scene::{FUNDED_VALUE, Scene, Trial, bare_true, spend_all, transaction};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid, constants, transaction::Version};

fn output(value: u64) -> Vec<TxOut> {
    vec![TxOut { value: Amount::from_sat(value), script_pubkey: bare_true() }]
}

fn reject_with(scene: &mut Scene, reason: &'static str, transactions: impl IntoIterator<Item = Transaction>) {
    let mut trial = scene.trial();
    trial.block().txdata.extend(transactions);
    scene.reject(trial, reason);
}

pub(super) fn unknown(scene: &mut Scene, reason: &'static str) {
    let outpoint = OutPoint::new(Txid::from_byte_array(scene.rng().bytes32()), 0);
    reject_with(scene, reason, [transaction(&[outpoint], output(1))]);
}

pub(super) fn index_unknown(scene: &mut Scene, reason: &'static str) {
    let coin = scene.fund_one(bare_true());
    let outpoint = OutPoint::new(coin.outpoint.txid, 7);
    reject_with(scene, reason, [transaction(&[outpoint], output(1))]);
}

pub(super) fn spent_before(scene: &mut Scene, reason: &'static str) {
    let coins = [scene.fund_one(bare_true())];
    let mut trial = scene.trial();
    trial.add(spend_all(&coins));
    scene.accept(trial);
    reject_with(scene, reason, [transaction(&[coins[0].outpoint], output(1))]);
}

pub(super) fn spent_in_block(scene: &mut Scene, reason: &'static str) {
    let coin = scene.fund_one(bare_true()).outpoint;
    reject_with(scene, reason, [transaction(&[coin], output(1)), transaction(&[coin], output(2))]);
}

pub(super) fn created_later(scene: &mut Scene, reason: &'static str) {
    let coins = [scene.fund_one(bare_true())];
    let parent = spend_all(&coins);
    let child = transaction(&[OutPoint::new(parent.compute_txid(), 0)], output(FUNDED_VALUE));
    reject_with(scene, reason, [child, parent]);
}

pub(super) fn of_genesis(scene: &mut Scene, reason: &'static str) {
    let network = match scene.network() {
        crate::assemble::TestNetwork::Regtest => bitcoin::Network::Regtest,
        crate::assemble::TestNetwork::Signet(_) => bitcoin::Network::Signet,
    };
    let coinbase = constants::genesis_block(network).txdata[0].compute_txid();
    reject_with(scene, reason, [transaction(&[OutPoint::new(coinbase, 0)], output(1))]);
}

pub(super) fn unspendable(scene: &mut Scene, reason: &'static str) {
    let coin = scene.fund_one(ScriptBuf::new_op_return([1, 2, 3]));
    reject_with(scene, reason, [transaction(&[coin.outpoint], output(1))]);
}

pub(super) fn script_too_long(scene: &mut Scene, reason: &'static str) {
    // 10,001 times `OP_TRUE`: the script alone would succeed but for its length and its operations.
    let coin = scene.fund_one(ScriptBuf::from_bytes(vec![0x51; 10_001]));
    reject_with(scene, reason, [transaction(&[coin.outpoint], output(1))]);
}

/// A trial and the spend of the coinbase that is `depth` blocks deep in it, which is one of those not mature yet.
pub(crate) fn spend_coinbase(scene: &mut Scene, depth: u32) -> Trial {
    let height = scene.chain().tip().height + 1;
    let coin = *scene
        .chain()
        .immature()
        .find(|coin| coin.height + depth == height)
        .expect("the last hundred coinbases are immature");
    loop {
        let mut trial = scene.trial();
        let matured = coin.height + crate::generate::COINBASE_MATURITY <= height;
        if matured && trial.chain.take_coin_where(|other| other.outpoint == coin.outpoint).is_none() {
            continue; // The random transactions spend it already.
        }
        let mut tx = transaction(&[coin.outpoint], output(coin.value));
        trial.chain.wallet().sign(&mut tx, &[coin]);
        trial.add(tx);
        return trial;
    }
}

pub(super) fn coinbase_immature(scene: &mut Scene, reason: &'static str) {
    let trial = spend_coinbase(scene, crate::generate::COINBASE_MATURITY - 1);
    scene.reject(trial, reason);
}

pub(super) fn coinbase_of_same_block(scene: &mut Scene, reason: &'static str) {
    // No commitment and no witness: the commitment needs the coinbase's id, which depends on the commitment.
    let mut trial = scene.empty_trial();
    trial.coinbase().input[0].witness.clear();
    let outpoint = OutPoint::new(trial.coinbase().compute_txid(), 0);
    trial.add(transaction(&[outpoint], output(1)));
    crate::assemble::finish(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn outputs_above_inputs(scene: &mut Scene, reason: &'static str) {
    let coin = scene.fund_one(bare_true());
    reject_with(scene, reason, [transaction(&[coin.outpoint], output(FUNDED_VALUE + 1))]);
}

/// The spend of a coin that the tip created, with a relative lock.
fn locked(scene: &mut Scene, version: Version, sequence: impl FnOnce(u32) -> Sequence) -> Transaction {
    let before = scene.chain().tip().median_time_past();
    let coins = [scene.fund_one(bare_true())];
    let passed = scene.chain().tip().median_time_past() - before;
    let mut tx = spend_all(&coins);
    tx.version = version;
    tx.input[0].sequence = sequence(passed);
    tx
}

/// As [`locked`], by `blocks`; a lock of one is met.
pub(crate) fn locked_by_height(scene: &mut Scene, version: Version, blocks: u16) -> Transaction {
    locked(scene, version, |_| Sequence::from_height(blocks))
}

/// As [`locked`], by the whole units of 512 seconds that have passed and `more`; none more is met.
pub(crate) fn locked_by_time(scene: &mut Scene, more: u16) -> Transaction {
    locked(scene, Version::TWO, |passed| Sequence::from_512_second_intervals((passed / 512) as u16 + more))
}

pub(super) fn relative_height_unmet(scene: &mut Scene, reason: &'static str) {
    let tx = locked_by_height(scene, Version::TWO, 2);
    reject_with(scene, reason, [tx]);
}

pub(super) fn relative_time_unmet(scene: &mut Scene, reason: &'static str) {
    let tx = locked_by_time(scene, 1);
    reject_with(scene, reason, [tx]);
}

pub(super) fn relative_negative_version(scene: &mut Scene, reason: &'static str) {
    let tx = locked_by_height(scene, Version(-1), 2);
    reject_with(scene, reason, [tx]);
}
