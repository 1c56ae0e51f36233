//! Bytes as a block: Adit and Bitcoin Core decode the same bytes, to the same ids, and have the same verdict in isolation.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::block::{DecodeError, DecodedBlock};
use adit_validator::chain::ChainParams;
use adit_validator::consensus::ConsensusParams;
use adit_validator::rules::validate_block_in_isolation;
use bitcoin::hashes::Hash;
use bitcoinkernel::prelude::*;
use bitcoinkernel::{BLOCK_CHECK_ALL, BlockCheckResult, ChainType};
use std::sync::LazyLock;

static OURS: LazyLock<ConsensusParams> = LazyLock::new(|| ChainParams::regtest().consensus);
static CORES: LazyLock<bitcoinkernel::ChainParams> =
    LazyLock::new(|| bitcoinkernel::ChainParams::new(ChainType::Regtest));

fuzz_target!(|bytes: &[u8]| {
    let block = match DecodedBlock::decode(bytes) {
        Ok(block) => block,
        // Core's interface ignores what follows a block.
        Err(DecodeError::TrailingBytes { offset, .. }) => {
            DecodedBlock::decode(&bytes[..offset]).expect("the block that was found before them")
        }
        Err(_) => {
            assert!(bitcoinkernel::Block::new(bytes).is_err(), "Core reads it");
            return;
        }
    };
    let cores = bitcoinkernel::Block::new(bytes).expect("Core does not read it");
    assert_eq!(cores.hash().to_bytes(), block.hash().to_byte_array());
    assert_eq!(cores.transaction_count(), block.transactions().len());
    for (index, txid) in block.txids().iter().enumerate() {
        let transaction = cores.transaction(index).expect("it has as many");
        assert_eq!(transaction.txid().to_bytes(), txid.to_byte_array());
    }
    let valid = matches!(cores.check(&CORES, BLOCK_CHECK_ALL), BlockCheckResult::Valid);
    assert_eq!(validate_block_in_isolation(&OURS, &block).is_ok(), valid);
});
