//! Damaged blocks, for the decoder and the rules in isolation.

use std::sync::LazyLock;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Witness};
use bitcoinkernel::prelude::BlockValidationStateExt;
use bitcoinkernel::{BLOCK_CHECK_ALL, BlockCheckResult, BlockValidationResult, ChainType};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::block::{DecodeError, DecodedBlock};
use crate::chain::ChainParams;
use crate::consensus::MAX_MONEY;
use crate::rules::merkle::merkle_root;
use crate::rules::testing::{block_of, coinbase, mine, outpoint, spend};
use crate::rules::{RuleError, TransactionError, validate_block_in_isolation};

/// The results of a check that Core's interface distinguishes.
#[derive(Debug, PartialEq, Eq)]
enum CheckResult {
    Unreadable,
    Valid,
    BadHeader,
    Mutated,
    Invalid,
}

fn cores_verdict(raw: &[u8]) -> CheckResult {
    static REGTEST: LazyLock<bitcoinkernel::ChainParams> =
        LazyLock::new(|| bitcoinkernel::ChainParams::new(ChainType::Regtest));
    let Ok(block) = bitcoinkernel::Block::new(raw) else { return CheckResult::Unreadable };
    match block.check(&REGTEST, BLOCK_CHECK_ALL) {
        BlockCheckResult::Valid => CheckResult::Valid,
        BlockCheckResult::Invalid(state) => match state.result() {
            BlockValidationResult::InvalidHeader => CheckResult::BadHeader,
            BlockValidationResult::Mutated => CheckResult::Mutated,
            BlockValidationResult::Consensus => CheckResult::Invalid,
            other => panic!("{other:?} from a check without context"),
        },
    }
}

fn our_verdict(raw: &[u8]) -> CheckResult {
    let block = match DecodedBlock::decode(raw) {
        Ok(block) => block,
        // Core's interface ignores what follows a block; its files and messages have no room for it.
        Err(DecodeError::TrailingBytes { offset, .. }) => return our_verdict(&raw[..offset]),
        Err(_) => return CheckResult::Unreadable,
    };
    match validate_block_in_isolation(&ChainParams::regtest().consensus, &block) {
        Ok(()) => CheckResult::Valid,
        Err(error) if error.reject_reason() == "high-hash" => CheckResult::BadHeader,
        Err(error) if !error.is_permanent() => CheckResult::Mutated,
        Err(_) => CheckResult::Invalid,
    }
}

/// A block of some transactions, with witnesses and without.
fn good_block() -> DecodedBlock {
    let mut signed = spend(&[outpoint(4), outpoint(5)], &[7, 8]);
    signed.input[0].witness = Witness::from_slice(&[vec![1; 3], vec![]]);
    let others = [spend(&[outpoint(1)], &[1, 2]), spend(&[outpoint(2), outpoint(3)], &[3]), signed];
    block_of([&[coinbase(1, 50)], &others[..], &[spend(&[outpoint(6)], &[9])]].concat())
}

/// A change to a transaction or to the list of transactions.
#[derive(Clone, Debug)]
enum Damage {
    DropOutputs,
    NullPrevout(Index),
    RepeatInput(Index),
    Value(Index, i64),
    ScriptSig(usize),
    Sigops(usize),
    RepeatTransaction,
    RemoveTransaction,
    MoveToFront,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let edge = prop_oneof![Just(0), Just(-1), Just(MAX_MONEY), Just(MAX_MONEY + 1), Just(MAX_MONEY - 8), any::<i64>()];
    let sigops = prop_oneof![Just(19_990_usize), 19_995..20_005_usize, Just(1_000_000)];
    prop_oneof![
        Just(Damage::DropOutputs),
        any::<Index>().prop_map(Damage::NullPrevout),
        any::<Index>().prop_map(Damage::RepeatInput),
        (any::<Index>(), edge).prop_map(|(at, value)| Damage::Value(at, value)),
        prop_oneof![Just(0), Just(1), Just(2), Just(100), Just(101)].prop_map(Damage::ScriptSig),
        sigops.prop_map(Damage::Sigops),
        Just(Damage::RepeatTransaction),
        Just(Damage::RemoveTransaction),
        Just(Damage::MoveToFront),
    ]
}

fn damage(transactions: &mut Vec<Transaction>, at: &Index, damage: &Damage) {
    if transactions.is_empty() {
        return;
    }
    let at = at.index(transactions.len());
    let transaction = &mut transactions[at];
    let inputs = transaction.input.len();
    match damage {
        Damage::DropOutputs => transaction.output.clear(),
        Damage::NullPrevout(which) if inputs > 0 => {
            transaction.input[which.index(inputs)].previous_output = OutPoint::null();
        }
        Damage::RepeatInput(which) if inputs > 0 => {
            let repeated = transaction.input[which.index(inputs)].clone();
            transaction.input.push(repeated);
        }
        Damage::Value(which, value) if !transaction.output.is_empty() => {
            let which = which.index(transaction.output.len());
            transaction.output[which].value = Amount::from_sat(value.cast_unsigned());
        }
        Damage::ScriptSig(length) if inputs > 0 => {
            transaction.input[0].script_sig = ScriptBuf::from_bytes(vec![0; *length]);
        }
        Damage::Sigops(count) if !transaction.output.is_empty() => {
            transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; *count]);
        }
        Damage::RepeatTransaction => {
            let repeated = transaction.clone();
            transactions.push(repeated);
        }
        Damage::RemoveTransaction => {
            transactions.remove(at);
        }
        Damage::MoveToFront => transactions[..=at].rotate_right(1),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_transactions_in_a_mined_block(steps in prop::collection::vec((any::<Index>(), any_damage()), 0..3)) {
        let mut block = good_block().block().clone();
        for (at, step) in &steps {
            damage(&mut block.txdata, at, step);
        }
        let raw = mine(block).raw().to_vec();
        prop_assert_eq!(our_verdict(&raw), cores_verdict(&raw));
    }

    #[test]
    fn damaged_bytes(damages in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3), cut: Option<Index>) {
        let mut raw = good_block().raw().to_vec();
        for (at, byte) in damages {
            let at = at.index(raw.len());
            raw[at] = byte;
        }
        if let Some(cut) = cut {
            raw.truncate(cut.index(raw.len()));
        }
        prop_assert_eq!(our_verdict(&raw), cores_verdict(&raw));
    }

    /// The bytes of a transaction are damaged, then the header is made to fit, if they can still be read.
    #[test]
    fn damaged_bytes_in_a_mined_block(damages in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut raw = good_block().raw().to_vec();
        for (at, byte) in damages {
            let at = 81 + at.index(raw.len() - 81);
            raw[at] = byte;
        }
        prop_assert_eq!(our_verdict(&raw), cores_verdict(&raw));
        if let Ok(block) = DecodedBlock::decode(raw) {
            let raw = mine_bytes(block.raw().to_vec());
            prop_assert_eq!(our_verdict(&raw), cores_verdict(&raw));
        }
    }
}

/// The only transaction without inputs that can be read. `bitcoin` neither reads nor writes it.
#[test]
fn an_empty_transaction_is_refused_by_rule() {
    let good = good_block();
    let mut raw = good.raw()[..80].to_vec();
    raw.push(2);
    raw.extend(good.raw_transaction(0));
    raw.extend([2, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
    let raw = mine_bytes(raw);
    assert_eq!(cores_verdict(&raw), CheckResult::Invalid);
    let block = DecodedBlock::decode(raw).unwrap();
    let error = RuleError::Transaction { tx: 1, txid: block.txids()[1], error: TransactionError::NoInputs {} };
    assert_eq!(validate_block_in_isolation(&ChainParams::regtest().consensus, &block), Err(error));
}

/// Gives the block the Merkle root of its transactions and a nonce, without writing the transactions anew.
fn mine_bytes(mut raw: Vec<u8>) -> Vec<u8> {
    let block = DecodedBlock::decode(raw.clone()).unwrap();
    let root = merkle_root(block.txids().iter().map(|id| id.to_byte_array()).collect()).root;
    raw[36..68].copy_from_slice(&root);
    for nonce in 0_u32.. {
        raw[76..80].copy_from_slice(&nonce.to_le_bytes());
        if our_verdict(&raw) != CheckResult::BadHeader {
            break;
        }
    }
    raw
}
