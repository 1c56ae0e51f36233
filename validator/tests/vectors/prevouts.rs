//! Checks two whole blocks with their prevouts against every rule.

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::prevouts::{CheckError, CheckedBlock, Prevouts, check_block_with_prevouts};
use adit_validator::rules::ConnectOptions;
use bitcoin::Amount;
use rayon::prelude::*;

use crate::{NOW, block};

fn prevouts(height: u32) -> Result<Prevouts, Missing> {
    let file = read_vector(&format!("mainnet/block-{height}.prevouts.json"))?;
    Ok(Prevouts::read(&file[..]).unwrap())
}

fn check(block: &DecodedBlock, prevouts: &Prevouts) -> Result<CheckedBlock, CheckError> {
    check_block_with_prevouts(&ChainParams::main().consensus, block, prevouts, NOW, ConnectOptions::default())
}

pub fn two_whole_blocks_obey_every_rule() -> Result<(), Missing> {
    for (height, inputs, unchecked) in [(367_891, 20_817, 5), (866_342, 7_972, 6)] {
        let block = block(height)?;
        let checked = check(&block, &prevouts(height)?).unwrap();
        assert_eq!((checked.height, checked.connected.inputs), (height, inputs));
        let reward: Amount = block.transactions()[0].output.iter().map(|output| output.value).sum();
        let subsidy = ChainParams::main().consensus.subsidy.at(height);
        assert_eq!(checked.connected.fees, reward - subsidy, "both coinbases claim all fees");
        assert_eq!(checked.unchecked.len(), unchecked, "{:?}", checked.unchecked);
    }
    Ok(())
}

/// The whole header and the start of the coinbase, then bytes over the whole of each block: with each one flipped the
/// block is no longer good.
pub fn damage_to_two_whole_blocks_is_found() -> Result<(), Missing> {
    for height in [367_891, 866_342] {
        let (block, prevouts) = (block(height)?, prevouts(height)?);
        let raw = block.raw();
        let judged = (0..150_usize).chain((150..raw.len()).step_by(raw.len() / 150)).par_bridge().filter(|&at| {
            let mut damaged = raw.to_vec();
            damaged[at] ^= 1 << (at % 8);
            let Ok(damaged) = DecodedBlock::decode(damaged) else { return false };
            let verdict = check(&damaged, &prevouts);
            assert!(matches!(verdict, Err(CheckError::Rule(_))), "block {height}, byte {at}");
            true
        });
        let judged = judged.count();
        assert!(judged > 200, "block {height}: {judged} of 300 were decoded");
    }
    Ok(())
}
