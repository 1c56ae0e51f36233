//! Builds genesis blocks from the values in which they differ.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_CHECKSIG;
use bitcoin::script::{Builder, PushBytes};
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
    Witness, absolute, transaction,
};

/// The text in the coinbase of Bitcoin's genesis block and of most others.
const THE_TIMES: &str = "The Times 03/Jan/2009 Chancellor on brink of second bailout for banks";

/// The public key that most genesis blocks pay. Its coins cannot be spent.
const SATOSHIS_KEY: [u8; 65] = [
    0x04, 0x67, 0x8a, 0xfd, 0xb0, 0xfe, 0x55, 0x48, 0x27, 0x19, 0x67, 0xf1, 0xa6, 0x71, 0x30, 0xb7, 0x10, 0x5c, 0xd6,
    0xa8, 0x28, 0xe0, 0x39, 0x09, 0xa6, 0x79, 0x62, 0xe0, 0xea, 0x1f, 0x61, 0xde, 0xb6, 0x49, 0xf6, 0xbc, 0x3f, 0x4c,
    0xef, 0x38, 0xc4, 0xf3, 0x55, 0x04, 0xe5, 0x1e, 0xc1, 0x12, 0xde, 0x5c, 0x38, 0x4d, 0xf7, 0xba, 0x0b, 0x8d, 0x57,
    0x8a, 0x4c, 0x70, 0x2b, 0x6b, 0xf1, 0x1d, 0x5f,
];

/// The text and the output script of a genesis coinbase.
pub(super) struct GenesisCoinbase {
    /// The text, at most 75 bytes.
    pub(super) text: &'static str,
    /// The output script. Its coins cannot be spent.
    pub(super) script: ScriptBuf,
}

impl GenesisCoinbase {
    /// The genesis coinbase of main and of every public chain before testnet4.
    pub(super) fn the_times() -> Self {
        Self { text: THE_TIMES, script: pay_to_key(SATOSHIS_KEY) }
    }
}

/// A script that the holder of one public key can satisfy.
pub(super) fn pay_to_key(key: impl AsRef<PushBytes>) -> ScriptBuf {
    Builder::new().push_slice(key).push_opcode(OP_CHECKSIG).into_script()
}

/// A genesis block of 50 coins, version 1.
///
/// Source: Bitcoin Core, `kernel/chainparams.cpp`, `CreateGenesisBlock`.
pub(super) fn block(coinbase: GenesisCoinbase, time: u32, nonce: u32, bits: u32) -> Block {
    let output = TxOut { value: Amount::from_int_btc(50), script_pubkey: coinbase.script };
    let header = Header {
        version: Version::ONE,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce,
    };
    assemble(header, script_sig(coinbase.text).into_script(), output)
}

/// The genesis block of a chain file: `header` with its Merkle root set, and a coinbase that pushes `message` and then
/// `rules`, so that the block's hash depends on every rule of its chain. `rules` is
/// [`ChainParams::rules_hash`](super::ChainParams::rules_hash).
pub(super) fn committed(header: Header, message: &str, output: TxOut, rules: [u8; 32]) -> Block {
    assemble(header, script_sig(message).push_slice(rules).into_script(), output)
}

/// The coinbase script of a genesis block: two numbers and the text.
fn script_sig(text: &str) -> Builder {
    let text: &PushBytes = text.as_bytes().try_into().expect("the text has at most 75 bytes");
    // 486604799 is 0x1d00ffff, main's first bits. The four is pushed as a byte, not as OP_4.
    Builder::new().push_int(486_604_799).push_slice([4]).push_slice(text)
}

/// The block with this coinbase. Sets the Merkle root.
fn assemble(mut header: Header, script_sig: ScriptBuf, output: TxOut) -> Block {
    let coinbase = Transaction {
        version: transaction::Version::ONE,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![output],
    };
    header.merkle_root = coinbase.compute_txid().to_raw_hash().into();
    Block { header, txdata: vec![coinbase] }
}
