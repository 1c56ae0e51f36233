//! Damage to a header, and to its parent.

use crate::assemble::{mine, seal};
use crate::scene::{Scene, Trial};
use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, CompactTarget, Target};

/// Seals an honest block, changes its header and gives it proof of work for the network's target again.
fn with_header(scene: &mut Scene, reason: &'static str, change: impl FnOnce(&mut Block, &Trial)) {
    let trial = scene.trial();
    let mut block = trial.draft.block.clone();
    seal(scene.network(), &mut block);
    change(&mut block, &trial);
    mine(&mut block.header, scene.network().target());
    scene.reject_sealed(&block, reason);
}

fn with_bits(scene: &mut Scene, reason: &'static str, bits: u32) {
    with_header(scene, reason, |block, _| block.header.bits = CompactTarget::from_consensus(bits));
}

fn with_version(scene: &mut Scene, reason: &'static str, version: i32) {
    with_header(scene, reason, |block, _| block.header.version = Version::from_consensus(version));
}

pub(super) fn hash_above_target(scene: &mut Scene, reason: &'static str) {
    let mut trial = scene.trial();
    seal(scene.network(), trial.block());
    let target = scene.network().target();
    let header = &mut trial.block().header;
    let misses = |hash: BlockHash| Target::from_le_bytes(hash.to_byte_array()) > target;
    while !misses(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn target_negative(scene: &mut Scene, reason: &'static str) {
    with_bits(scene, reason, 0x20ff_ffff);
}

pub(super) fn target_zero(scene: &mut Scene, reason: &'static str) {
    with_bits(scene, reason, 0x2000_0000);
}

pub(super) fn target_overflow(scene: &mut Scene, reason: &'static str) {
    with_bits(scene, reason, 0x2300_0001);
}

pub(super) fn target_above_limit(scene: &mut Scene, reason: &'static str) {
    with_bits(scene, reason, 0x2100_ffff);
}

pub(super) fn target_not_required(scene: &mut Scene, reason: &'static str) {
    // One unit of the mantissa harder than what regtest and signet require: an honest hash meets both all but always.
    let mut trial = scene.trial();
    seal(scene.network(), trial.block());
    let bits = CompactTarget::from_consensus(scene.network().bits().to_consensus() - 1);
    trial.block().header.bits = bits;
    mine(&mut trial.block().header, bits.into());
    scene.reject_sealed(trial.block(), reason);
}

pub(super) fn time_at_median(scene: &mut Scene, reason: &'static str) {
    let median = scene.chain().tip().median_time_past();
    with_header(scene, reason, |block, _| block.header.time = median);
}

pub(super) fn time_too_new(scene: &mut Scene, reason: &'static str) {
    // Ten minutes over the limit: the validator's clock moves on before it sees the block.
    let time = scene.now() + 2 * 60 * 60 + 600;
    with_header(scene, reason, |block, _| block.header.time = time);
}

pub(super) fn version_1(scene: &mut Scene, reason: &'static str) {
    with_version(scene, reason, 1);
}

pub(super) fn version_2(scene: &mut Scene, reason: &'static str) {
    with_version(scene, reason, 2);
}

pub(super) fn version_3(scene: &mut Scene, reason: &'static str) {
    with_version(scene, reason, 3);
}

pub(super) fn version_negative(scene: &mut Scene, reason: &'static str) {
    with_version(scene, reason, 0xa000_0000_u32 as i32);
}

pub(super) fn parent_unknown(scene: &mut Scene, reason: &'static str) {
    let parent = BlockHash::from_byte_array(scene.rng().bytes32());
    with_header(scene, reason, |block, _| block.header.prev_blockhash = parent);
}

/// A block that fails as it connects: only such a failure, not one of a block alone, is remembered by its header.
fn remembered_failure(scene: &mut Scene) -> Trial {
    let mut trial = scene.trial();
    trial.coinbase().output[0].value += bitcoin::Amount::ONE_SAT;
    seal(scene.network(), trial.block());
    scene.reject_sealed(trial.block(), "bad-cb-amount");
    trial
}

pub(super) fn parent_invalid(scene: &mut Scene, reason: &'static str) {
    let Trial { mut chain, draft } = remembered_failure(scene);
    chain.accept(draft);
    let draft = chain.draft();
    scene.reject(Trial { chain, draft }, reason);
}

pub(super) fn resubmitted(scene: &mut Scene, reason: &'static str) {
    let mut trial = remembered_failure(scene);
    scene.reject_sealed(trial.block(), reason);
}
