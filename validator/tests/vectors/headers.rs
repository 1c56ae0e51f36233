//! Checks recorded headers of three chains against every rule of headers.

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::chain::ChainParams;
use adit_validator::rules::Ancestry;
use adit_validator::rules::{BlockContext, RuleError, validate_header_in_context, validate_header_in_isolation};
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, deserialize_hex, serialize};

use crate::{Chain, NOW};

/// The headers of a file of 80 bytes each.
fn read_headers(name: &str) -> Result<Vec<Header>, Missing> {
    let bytes = read_vector(name)?;
    let (headers, []) = bytes.as_chunks::<80>() else { panic!("{name}: not a multiple of 80 bytes") };
    Ok(headers.iter().map(|header| deserialize(header).unwrap()).collect())
}

/// Checks `headers`, which follow the genesis block, against every rule of headers. Returns the height of the first refused
/// one, and the error.
fn first_refused(params: &ChainParams, headers: &[Header]) -> Option<(u32, RuleError)> {
    let mut chain = Chain::after_genesis(params);
    for header in headers {
        let verdict = validate_header_in_isolation(&params.consensus, header, header.block_hash())
            .and_then(|()| validate_header_in_context(&params.consensus, BlockContext::after(&chain), header, NOW));
        if let Err(error) = verdict {
            return Some((chain.tip_height() + 1, error));
        }
        chain.push(*header);
    }
    None
}

pub fn headers_of_main_obey_every_rule() -> Result<(), Missing> {
    let headers = read_headers("mainnet/headers-0-10236.bin")?;
    assert_eq!(headers.len(), 10_237);
    assert_eq!(headers[0], ChainParams::main().genesis.header);
    assert_eq!(first_refused(&ChainParams::main(), &headers[1..]), None);
    Ok(())
}

pub fn headers_of_signet_obey_every_rule() -> Result<(), Missing> {
    let headers = read_headers("signet/headers-0-2015.bin")?;
    assert_eq!(headers.len(), 2016);
    assert_eq!(headers[0], ChainParams::signet().genesis.header);
    assert_eq!(first_refused(&ChainParams::signet(), &headers[1..]), None);
    Ok(())
}

/// The file has a main chain from block 1 on, and two headers of a fork far above it.
pub fn headers_of_testnet3_obey_every_rule() -> Result<(), Missing> {
    let text = String::from_utf8(read_vector("testnet3-headers.hex")?).unwrap();
    let (forks, chain): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("fork:"));
    let header = |line: &str| -> Header { deserialize_hex(line.trim_start_matches("fork:").trim()).unwrap() };
    let chain: Vec<Header> = chain.into_iter().map(header).collect();
    let [fork, child] = forks.into_iter().map(header).collect::<Vec<_>>()[..] else { panic!("two headers of a fork") };

    let params = ChainParams::testnet3();
    assert_eq!(chain.len(), 546);
    assert_eq!(first_refused(&params, &chain), None);
    assert_eq!(child.prev_blockhash, fork.block_hash());
    for header in [fork, child] {
        assert_eq!(validate_header_in_isolation(&params.consensus, &header, header.block_hash()), Ok(()));
    }
    Ok(())
}

pub fn every_flipped_byte_of_a_header_is_found() -> Result<(), Missing> {
    let main = ChainParams::main();
    for header in read_headers("mainnet/headers-0-10236.bin")?.iter().step_by(97) {
        let bytes = serialize(header);
        for at in 0..80 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let damaged: Header = deserialize(&damaged).unwrap();
            let error = validate_header_in_isolation(&main.consensus, &damaged, damaged.block_hash()).unwrap_err();
            assert_eq!(error.reject_reason(), "high-hash", "byte {at} of {}", header.block_hash());
        }
    }
    Ok(())
}
