//! Tests the validator with recorded blocks of public chains and with published test vectors.
//!
//! All tests that read such files are in this one program, because its harness can report a test without its file as
//! ignored, with the reason. With `CI=true` such a test fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocks;
mod core_vectors;
mod filters;
mod headers;
mod prevouts;
mod txoutproof;

use std::process::ExitCode;

use adit_testchain::trials::{self, Missing, read_vector};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::import::BlockFile;
use adit_validator::rules::Ancestry;
use bitcoin::block::Header;
use core_vectors::{script_text, scripts, signature_hashes, taproot, transactions};

/// A time later than that of every recorded block, in seconds since 1970.
const NOW: u64 = 1_795_392_000;

/// A recorded block of mainnet, with its bytes.
fn block(height: u32) -> Result<DecodedBlock, Missing> {
    Ok(DecodedBlock::decode(read_vector(&format!("mainnet/block-{height}.bin"))?).unwrap())
}

/// The blocks of a file of mainnet's, not decoded.
fn blocks_of_main(file: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    BlockFile::new(file, ChainParams::main().magic).map(|block| block.unwrap().bytes)
}

/// Headers from genesis on. Every height above the last recorded header has that header.
struct Chain {
    headers: Vec<Header>,
    tip_height: u32,
}

impl Chain {
    fn after_genesis(params: &ChainParams) -> Self {
        Self { headers: vec![params.genesis.header], tip_height: 0 }
    }

    /// A chain that ends at `tip_height` and whose headers all have this time, for rules that depend on height and time only.
    fn uniform(tip_height: u32, time: u32) -> Self {
        let header = Header { time, ..ChainParams::main().genesis.header };
        Self { headers: vec![header], tip_height }
    }

    fn push(&mut self, header: Header) {
        assert_eq!(header.prev_blockhash, self.header_at(self.tip_height).block_hash());
        self.headers.push(header);
        self.tip_height += 1;
    }
}

impl Ancestry for Chain {
    fn tip_height(&self) -> u32 {
        self.tip_height
    }

    fn header_at(&self, height: u32) -> Header {
        assert!(height <= self.tip_height, "no header at {height}");
        self.headers[(height as usize).min(self.headers.len() - 1)]
    }
}

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        blocks::a_file_of_blocks_is_read_in_order,
        blocks::facts_of_blocks_are_those_that_bitcoin_computes,
        blocks::decoding_is_the_inverse_of_encoding_on_damaged_blocks,
        blocks::the_first_blocks_of_main_connect,
        blocks::every_flipped_byte_of_a_file_is_found,
        blocks::every_flipped_bit_of_block_170_is_found,
        blocks::blocks_around_activations_obey_the_rules_before_connecting,
        blocks::segwit_starts_at_its_height,
        blocks::the_two_repeated_coinbases_are_let_through,
        filters::cores_filters,
        headers::headers_of_main_obey_every_rule,
        headers::headers_of_signet_obey_every_rule,
        headers::headers_of_testnet3_obey_every_rule,
        headers::every_flipped_byte_of_a_header_is_found,
        prevouts::two_whole_blocks_obey_every_rule,
        prevouts::damage_to_two_whole_blocks_is_found,
        script_text::words_become_bytes,
        scripts::cores_scripts,
        signature_hashes::cores_signature_hashes,
        taproot::cores_taproot_outputs,
        taproot::cores_taproot_key_spends,
        transactions::cores_valid_transactions,
        transactions::cores_invalid_transactions,
        txoutproof::proofs_are_those_of_an_independent_writer,
        txoutproof::no_flipped_bit_leaves_a_proof_what_it_was,
    ])
}
