//! Random chains on regtest: tests the rules in context and of connecting, block by block.
//!
//! Each step makes a block on the tip, which is mostly valid. Sometimes the generator breaks one thing: a lock, a
//! value, a height, a commitment. Bitcoin Core's `ChainstateManager` gets the same block, and both must end on the same
//! tip. The generator is seeded, so that a difference can be reproduced.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness, absolute, transaction,
};
use bitcoinkernel::prelude::BlockHashExt;
use bitcoinkernel::{ChainType, ChainstateManager, ContextBuilder};

use crate::block::DecodedBlock;
use crate::chain::ChainParams;
use crate::coins::Coin;
use crate::rules::Ancestry;
use crate::rules::replay::Replay;
use crate::rules::testing::{coinbase, mine, outpoint, spend};

const BITS: u32 = 0x207f_ffff;

/// A linear congruential generator, which gives the same choices on every machine.
struct Choice(u64);

impl Choice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())].clone()
    }

    /// Mostly `good`; once in `n` calls one of `others`.
    fn mostly<T: Clone>(&mut self, good: T, n: usize, others: &[T]) -> T {
        if self.one_in(n) { self.of(others) } else { good }
    }
}

fn script(bytes: &[u8]) -> ScriptBuf {
    ScriptBuf::from_bytes(bytes.to_vec())
}

/// OP_TRUE, and OP_2 OP_CHECKSEQUENCEVERIFY.
const REDEEM: [&[u8]; 2] = [&[0x51], &[0x52, 0xb2]];

/// OP_FALSE.
const NEVER: &[u8] = &[0x00];

fn output_scripts() -> Vec<ScriptBuf> {
    let mut scripts = vec![
        script(&[0x51]),
        // OP_3 OP_CHECKSEQUENCEVERIFY; OP_16 OP_CHECKLOCKTIMEVERIFY.
        script(&[0x53, 0xb2]),
        script(&[0x60, 0xb1]),
        // Provably unspendable; never true; an unknown witness version; many signature operations.
        script(&[0x6a, 0x01, 0x07]),
        script(NEVER),
        script(&[0x60, 0x02, 0x01, 0x02]),
        script(&[&[0x51][..], &[0x63], &[0xac; 300], &[0x68], &[0x51]].concat()),
    ];
    for redeem in REDEEM.map(script) {
        scripts.extend([redeem.to_p2sh(), redeem.to_p2wsh(), redeem.to_p2wsh().to_p2sh()]);
    }
    scripts
}

/// The script and witness that satisfy `script_pubkey`, if it is one of [`output_scripts`] that can be satisfied.
fn satisfy(script_pubkey: &ScriptBuf) -> (ScriptBuf, Witness) {
    let push = |bytes: &[u8]| Builder::new().push_slice(PushBytesBuf::try_from(bytes.to_vec()).unwrap()).into_script();
    for redeem in REDEEM {
        let (p2wsh, witness) = (script(redeem).to_p2wsh(), Witness::from_slice(&[redeem]));
        if *script_pubkey == script(redeem).to_p2sh() {
            return (push(redeem), Witness::new());
        } else if *script_pubkey == p2wsh {
            return (ScriptBuf::new(), witness);
        } else if *script_pubkey == p2wsh.to_p2sh() {
            return (push(p2wsh.as_bytes()), witness);
        }
    }
    (ScriptBuf::new(), Witness::new())
}

/// A block on the tip of `replay`.
fn next_block(choice: &mut Choice, replay: &Replay, step: u32) -> DecodedBlock {
    let chain = &replay.chain;
    let height = chain.tip_height() + 1;
    let median = chain.median_time_past_at(height - 1);
    let now = u32::try_from(now()).unwrap();
    let time = chain.tip().time.max(median) + 1 + choice.below(900) as u32;
    let header = Header {
        version: Version::from_consensus(choice.mostly(4, 30, &[1, 3, 5, -1, 0x2000_0000])),
        time: choice.mostly(time, 30, &[median, median + 1, now + 9000, chain.tip().time]),
        bits: CompactTarget::from_consensus(choice.mostly(BITS, 60, &[0x207f_fffe])),
        ..chain.child(time, BITS)
    };
    let mut spendable: BTreeMap<OutPoint, Coin> = replay.coins.clone().into_iter().collect();
    let mut fees = 0;
    let mut transactions = Vec::new();
    for _ in 0..choice.below(4) {
        let (transaction, fee) = next_transaction(choice, &mut spendable, height, median);
        fees += fee;
        transactions.push(transaction);
    }
    let reward = replay.params.consensus.subsidy.at(height).to_sat().cast_signed() + fees;
    let mut first = coinbase(choice.mostly(height, 40, &[height - 1, height + 1]), 0);
    first.output[0].value = Amount::from_sat((reward + choice.mostly(0, 20, &[-1, 1])).cast_unsigned());
    first.lock_time = absolute::LockTime::from_consensus(step);
    transactions.insert(0, first);
    let mut block = Block { header, txdata: transactions };
    commit(choice, &mut block);
    mine(block)
}

/// A transaction that spends some of `spendable`, and its fee.
fn next_transaction(
    choice: &mut Choice,
    spendable: &mut BTreeMap<OutPoint, Coin>,
    height: u32,
    median: u32,
) -> (Transaction, i64) {
    let mut inputs = Vec::new();
    for _ in 0..=choice.below(2) {
        // Mature coins, and rarely others.
        let any = choice.one_in(25);
        let mature = |coin: &Coin| {
            (!coin.is_coinbase || coin.height + 100 <= height) && coin.output.script_pubkey.as_bytes() != NEVER
        };
        let candidates: Vec<_> = spendable.iter().filter(|(_, coin)| any || mature(coin)).map(|(at, _)| *at).collect();
        if candidates.is_empty() {
            continue;
        }
        let at = choice.of(&candidates);
        let coin = spendable[&at].clone();
        if !choice.one_in(60) {
            spendable.remove(&at);
        }
        inputs.push((at, coin));
    }
    if inputs.is_empty() || choice.one_in(80) {
        inputs.push((outpoint(choice.below(250) as u8), Coin { output: TxOut::NULL, height, is_coinbase: false }));
        inputs[0].1.output.value = Amount::ZERO;
    }
    let value_in: i64 = inputs.iter().map(|(_, coin)| coin.output.value.to_sat().cast_signed()).sum();
    let fee = choice.mostly(value_in.min(1000), 50, &[-1]);
    let rest = (value_in - fee).max(0);
    let outpoints: Vec<_> = inputs.iter().map(|(at, _)| *at).collect();
    let mut transaction = spend(&outpoints, &[rest / 2, rest - rest / 2]);
    transaction.version = transaction::Version(choice.mostly(2, 6, &[1, -1, 3]));
    let soon = [height - 1, height, height + 1, median - 1, median, median + 1];
    transaction.lock_time = absolute::LockTime::from_consensus(choice.mostly(0, 6, &soon));
    for (input, (_, coin)) in transaction.input.iter_mut().zip(&inputs) {
        let age = height.saturating_sub(coin.height);
        let good = if age >= 3 { 3 } else { u32::MAX };
        let locks = [0, age, age + 1, u32::MAX, 1 << 22 | 1, 1 << 22 | (age & 0xffff), 1 << 31, 0xffff_fffe];
        input.sequence = Sequence::from_consensus(choice.mostly(good, 4, &locks));
        (input.script_sig, input.witness) = satisfy(&coin.output.script_pubkey);
        if choice.one_in(60) {
            input.witness = Witness::from_slice(&[[1]]);
        }
    }
    for output in &mut transaction.output {
        output.script_pubkey = choice.of(&output_scripts());
    }
    // Its own outputs may be spent in the same block.
    let txid = transaction.compute_txid();
    for (vout, output) in (0..).zip(&transaction.output) {
        if !output.script_pubkey.is_op_return() {
            let coin = Coin { output: output.clone(), height, is_coinbase: false };
            spendable.insert(OutPoint { txid, vout }, coin);
        }
    }
    (transaction, value_in - rest)
}

/// Commits to the witnesses, if there are any; rarely with an error.
fn commit(choice: &mut Choice, block: &mut Block) {
    let has_witness = block.txdata.iter().flat_map(|tx| &tx.input).any(|input| !input.witness.is_empty());
    if has_witness == choice.one_in(20) {
        return;
    }
    let reserved = [choice.mostly(0, 10, &[7]); 32];
    let root = block.witness_root().unwrap();
    let mut commitment = Block::compute_witness_commitment(&root, &reserved).to_byte_array();
    commitment[0] ^= choice.mostly(0, 30, &[1]);
    let prefix = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    let script_pubkey = ScriptBuf::from_bytes([&prefix[..], &commitment].concat());
    block.txdata[0].output.push(TxOut { value: Amount::ZERO, script_pubkey });
    block.txdata[0].input[0].witness = match choice.mostly(0, 30, &[1, 2, 3]) {
        0 => Witness::from_slice(&[reserved]),
        1 => Witness::from_slice(&[reserved, reserved]),
        2 => Witness::from_slice(&[[0; 31]]),
        _ => Witness::new(),
    };
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Grows a chain from `seed` and counts the verdicts on its blocks.
fn grow(seed: u64, verdicts: &mut BTreeMap<String, u32>) {
    let folder = tempfile::tempdir().unwrap();
    let context = ContextBuilder::new().chain_type(ChainType::Regtest).build().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let core = ChainstateManager::new(&context, &path("data"), &path("blocks")).unwrap();
    let mut replay = Replay::new(ChainParams::regtest(), now());
    let mut choice = Choice(seed);
    for step in 0..900 {
        // First blocks with coinbases that anybody can spend, so that there are mature coins.
        let block = if step < 120 {
            let height = replay.chain.tip_height() + 1;
            let header = replay.chain.child(replay.chain.tip().time + 600, BITS);
            mine(Block { header, txdata: vec![coinbase(height, 25_0000_0000)] })
        } else {
            next_block(&mut choice, &replay, step)
        };
        let verdict = replay.add(&block);
        core.process_block(&bitcoinkernel::Block::new(block.raw()).unwrap());
        let tip = core.active_chain().tip().block_hash().to_bytes();
        let accepted = tip == block.hash().to_byte_array();
        let at = format!("seed {seed}, step {step}, {}: {verdict:?}", hex::encode(block.raw()));
        assert_eq!(accepted, verdict.is_ok(), "{at}");
        assert_eq!(tip, replay.chain.tip().block_hash().to_byte_array(), "{at}");
        let reason = verdict.map_or_else(|error| error.reject_reason().into_owned(), |()| "good".to_owned());
        *verdicts.entry(reason).or_default() += 1;
    }
}

/// `ADIT_DIFFERENTIAL_CHAINS` says how many chains of 900 blocks; two if it is not set.
#[test]
fn random_chains_have_the_same_tip_at_every_step() {
    bitcoinkernel::disable_logging();
    let chains = std::env::var("ADIT_DIFFERENTIAL_CHAINS").map_or(2, |chains| chains.parse().unwrap());
    let mut verdicts = BTreeMap::new();
    for seed in 1..=chains {
        grow(seed, &mut verdicts);
    }
    println!("{verdicts:#?}");
    assert!(verdicts["good"] > 300, "{verdicts:#?}");
    for reason in [
        "bad-diffbits",
        "time-too-old",
        "time-too-new",
        "bad-cb-height",
        "bad-cb-amount",
        "bad-txns-nonfinal",
        "bad-txns-inputs-missingorspent",
        "bad-txns-premature-spend-of-coinbase",
        "bad-txns-in-belowout",
        "bad-witness-nonce-size",
        "bad-witness-merkle-match",
        "unexpected-witness",
        "mandatory-script-verify-flag-failed",
    ] {
        assert!(verdicts.contains_key(reason), "the generator never broke {reason}: {verdicts:#?}");
    }
}
