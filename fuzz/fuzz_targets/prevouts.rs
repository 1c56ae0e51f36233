//! Bytes as a list of prevouts, and as the transactions of a block as Bitcoin Core's `getblock HASH 3` prints it; and checks
//! a block that spends three outputs with the list.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::prevouts::{Prevouts, check_block_with_prevouts};
use adit_validator::rules::ConnectOptions;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Block, OutPoint, ScriptBuf, Target, Transaction, TxIn, TxMerkleNode, TxOut, Txid, absolute, consensus, transaction,
};
use std::sync::LazyLock;

static PARAMS: LazyLock<ChainParams> = LazyLock::new(ChainParams::regtest);
static BLOCK: LazyLock<DecodedBlock> = LazyLock::new(block);

fn transaction(inputs: Vec<TxIn>) -> Transaction {
    let output = TxOut { value: bitcoin::Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(vec![0x51]) };
    let (version, lock_time) = (transaction::Version::TWO, absolute::LockTime::ZERO);
    Transaction { version, lock_time, input: inputs, output: vec![output] }
}

/// Block 1 of regtest, with a transaction that spends outputs 0 to 2 of transaction 0101….
fn block() -> DecodedBlock {
    let script_sig = Builder::new().push_int(1).push_int(0).into_script();
    let coinbase = transaction(vec![TxIn { script_sig, ..TxIn::default() }]);
    let spent = (0..3).map(|vout| OutPoint { txid: Txid::from_byte_array([1; 32]), vout });
    let spender = transaction(spent.map(|previous_output| TxIn { previous_output, ..TxIn::default() }).collect());
    let genesis = PARAMS.genesis.header;
    let header = Header {
        version: Version::from_consensus(4),
        prev_blockhash: genesis.block_hash(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: genesis.time + 600,
        ..genesis
    };
    let mut block = Block { header, txdata: vec![coinbase, spender] };
    block.header.merkle_root = block.compute_merkle_root().expect("it has transactions");
    while !Target::from_compact(block.header.bits).is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    DecodedBlock::decode(consensus::serialize(&block)).expect("a block is a block")
}

/// The beginning of Core's JSON of the block, up to the inputs of its second transaction.
const CORE: &[u8] = br#"{"height":1,"tx":[{"vin":[{"coinbase":"5100"}]},{"vin":["#;

fuzz_target!(|bytes: &[u8]| {
    for json in [bytes, &[CORE, bytes].concat()] {
        if let Ok(prevouts) = Prevouts::read(json) {
            // Any list gives a verdict and no panic.
            let _ = check_block_with_prevouts(
                &PARAMS.consensus,
                &BLOCK,
                &prevouts,
                2_000_000_000,
                ConnectOptions::default(),
            );
        }
    }
});
