//! Bytes as the only transaction of a block, which reaches deeper into inputs, witnesses and scripts than the target `block`.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::block::DecodedBlock;
use adit_validator::rules::validate_transaction_in_isolation;
use bitcoin::hashes::Hash;
use bitcoinkernel::prelude::*;

fuzz_target!(|bytes: &[u8]| {
    let raw = [&[0; 80][..], &[1], bytes].concat();
    let Ok(block) = DecodedBlock::decode(raw) else { return };
    assert_eq!(block.raw_transaction(0), bytes);
    let transaction = &block.transactions()[0];
    let cores = bitcoinkernel::Transaction::new(bytes).expect("Core does not read it");
    assert_eq!(cores.txid().to_bytes(), block.txids()[0].to_byte_array());
    assert_eq!(cores.input_count(), transaction.input.len());
    assert_eq!(cores.output_count(), transaction.output.len());
    assert_eq!(block.weight(), 4 * 81 + 3 * block.stripped_transaction_size(0) + bytes.len());
    if !transaction.input.is_empty() {
        assert_eq!(transaction.compute_txid(), block.txids()[0]);
        assert_eq!(transaction.compute_wtxid(), block.wtxids()[0]);
        assert_eq!(transaction.base_size(), block.stripped_transaction_size(0));
    }
    let verdict = validate_transaction_in_isolation(transaction, block.stripped_transaction_size(0));
    if let Err(error) = verdict {
        assert!(error.reject_reason().starts_with("bad-"));
    }
});
