//! The required target of the next block.

use bitcoin::CompactTarget;

use super::ancestry::Ancestry;
use super::asert::Schedule;
use crate::consensus::uint256::Uint256;
use crate::consensus::{ConsensusParams, Difficulty};

/// The required compact target of the block after `ancestry`'s last, if its time is `time`. Both block templates and the
/// header rules use it.
///
/// Source: Bitcoin Core, `pow.cpp`, `GetNextWorkRequired`.
#[must_use]
pub fn next_work_required(params: &ConsensusParams, ancestry: &dyn Ancestry, time: u32) -> CompactTarget {
    match params.difficulty {
        Difficulty::Retarget {
            pow_target_timespan,
            pow_allow_min_difficulty_blocks,
            enforce_bip94,
            pow_no_retargeting,
        } => {
            let interval = blocks_in(pow_target_timespan, params);
            if !(ancestry.tip_height() + 1).is_multiple_of(interval) {
                between_retargets(params, ancestry, time, interval, pow_allow_min_difficulty_blocks)
            } else if pow_no_retargeting {
                ancestry.header_at(ancestry.tip_height()).bits
            } else {
                retarget(params, ancestry, interval, pow_target_timespan, enforce_bip94)
            }
        }
        Difficulty::Asert { half_life, anchor_height } => asert(params, ancestry, half_life, anchor_height),
    }
}

/// The latest header time with the same required target as `time`: under testnet's 20-minute rule the parent's time plus two
/// spacings, else `u32::MAX`.
#[must_use]
pub fn same_work_required_until(params: &ConsensusParams, ancestry: &dyn Ancestry, time: u32) -> u32 {
    let Difficulty::Retarget { pow_allow_min_difficulty_blocks: true, .. } = params.difficulty else { return u32::MAX };
    let parent = ancestry.tip_height();
    let begins_period = retarget_interval(params).is_some_and(|interval| (parent + 1).is_multiple_of(interval));
    let late_after = u64::from(ancestry.header_at(parent).time) + 2 * u64::from(params.pow_target_spacing);
    match u32::try_from(late_after) {
        Ok(last) if !begins_period && time <= last => last,
        _ => u32::MAX,
    }
}

/// The number of blocks in a retarget period. `None`: the chain has no periods.
///
/// Source: Bitcoin Core, `consensus/params.h`, `DifficultyAdjustmentInterval`.
pub(super) fn retarget_interval(params: &ConsensusParams) -> Option<u32> {
    match params.difficulty {
        Difficulty::Retarget { pow_target_timespan, .. } => Some(blocks_in(pow_target_timespan, params)),
        Difficulty::Asert { .. } => None,
    }
}

/// The number of blocks that ought to take `timespan` seconds.
fn blocks_in(timespan: u32, params: &ConsensusParams) -> u32 {
    timespan / params.pow_target_spacing
}

/// The target within a period, which stays. With testnet's minimum-difficulty rule a block more than two spacings after its
/// parent has the limit's target, and any other block has the target of the last block that did not use the rule.
///
/// Source: Bitcoin Core, `pow.cpp`, `GetNextWorkRequired`.
fn between_retargets(
    params: &ConsensusParams,
    ancestry: &dyn Ancestry,
    time: u32,
    interval: u32,
    pow_allow_min_difficulty_blocks: bool,
) -> CompactTarget {
    let mut height = ancestry.tip_height();
    let mut header = ancestry.header_at(height);
    if !pow_allow_min_difficulty_blocks {
        return header.bits;
    }
    let limit = params.pow_limit.to_compact_lossy();
    if u64::from(time) > u64::from(header.time) + 2 * u64::from(params.pow_target_spacing) {
        return limit;
    }
    while height > 0 && !height.is_multiple_of(interval) && header.bits == limit {
        height -= 1;
        header = ancestry.header_at(height);
    }
    header.bits
}

/// The target after a period: scaled by the ratio of the period's duration to its wanted duration, from 1/4 to 4. The
/// duration is measured from the period's first block to its last, one spacing less than the period, as in every version of
/// Bitcoin.
///
/// Source: Bitcoin Core, `pow.cpp`, `CalculateNextWorkRequired`. `bitcoin`'s helper subtracts times as `u32` and does not
/// support BIP94. If scaling overflows, the result here is the limit; Core would wrap, but none of its chains that retarget
/// has so high a limit.
fn retarget(
    params: &ConsensusParams,
    ancestry: &dyn Ancestry,
    interval: u32,
    pow_target_timespan: u32,
    enforce_bip94: bool,
) -> CompactTarget {
    let last_height = ancestry.tip_height();
    let last = ancestry.header_at(last_height);
    let first = ancestry.header_at(last_height - (interval - 1));
    let actual = i64::from(last.time) - i64::from(first.time);
    let actual = actual.clamp(i64::from(pow_target_timespan / 4), i64::from(pow_target_timespan) * 4).unsigned_abs();
    // BIP94: the last block may have used the minimum-difficulty rule; the first block of a period never does.
    let from = if enforce_bip94 { first.bits } else { last.bits };
    let limit = params.pow_limit.into();
    let target = Uint256::from_compact(from.to_consensus())
        .value
        .mul_div(actual, pow_target_timespan)
        .unwrap_or(limit)
        .min(limit);
    CompactTarget::from_consensus(target.to_compact())
}

/// The target by aserti3-2d, anchored at the block at `anchor_height`. The time one spacing before that block's is used as
/// its parent's time. Up to the anchor the target is the genesis block's.
fn asert(params: &ConsensusParams, ancestry: &dyn Ancestry, half_life: u32, anchor_height: u32) -> CompactTarget {
    let tip_height = ancestry.tip_height();
    let Some(blocks_since_anchor) = tip_height.checked_sub(anchor_height) else {
        return ancestry.header_at(tip_height).bits;
    };
    let anchor = ancestry.header_at(anchor_height);
    let schedule = Schedule {
        anchor_bits: anchor.bits,
        anchor_parent_time: i64::from(anchor.time) - i64::from(params.pow_target_spacing),
        pow_target_spacing: params.pow_target_spacing,
        half_life,
        limit: params.pow_limit,
    };
    schedule.target_after(blocks_since_anchor, ancestry.header_at(tip_height).time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::Chain;

    const HOUR: u32 = 3600;
    const LIMIT: u32 = 0x1d00_ffff;

    /// A chain of a whole period whose headers all have `bits`, and whose first and last block have the times given.
    fn period(params: &ChainParams, bits: u32, first: u32, last: u32) -> Chain {
        let mut chain = Chain::after_genesis(params);
        chain.set(0, first, bits);
        for _ in 1..2016 {
            chain.push(last, bits);
        }
        chain
    }

    /// Bitcoin Core's own cases: `test/pow_tests.cpp`: the period's first time, its last, its bits and the next bits.
    #[test]
    fn retargets_as_in_cores_tests() {
        let main = ChainParams::main();
        for (first, last, bits, wanted) in [
            (1_261_130_161, 1_262_152_739, 0x1d00_ffff, 0x1d00_d86a),
            (1_231_006_505, 1_233_061_996, 0x1d00_ffff, 0x1d00_ffff),
            (1_279_008_237, 1_279_297_671, 0x1c05_a3f4, 0x1c01_68fd),
            (1_263_163_443, 1_269_211_443, 0x1c38_7f6f, 0x1d00_e1fd),
        ] {
            let chain = period(&main, bits, first, last);
            assert_eq!(next_work_required(&main.consensus, &chain, last).to_consensus(), wanted);
        }
    }

    #[test]
    fn a_period_that_ends_before_it_began_is_clamped_not_wrapped() {
        let main = ChainParams::main();
        let chain = period(&main, 0x1c05_a3f4, 1_279_297_671, 1_279_008_237);
        assert_eq!(next_work_required(&main.consensus, &chain, 0).to_consensus(), 0x1c01_68fd);
    }

    #[test]
    fn inside_a_period_the_target_stays() {
        let main = ChainParams::main();
        let mut chain = Chain::after_genesis(&main);
        chain.push(1_300_000_000, 0x1c05_a3f4);
        assert_eq!(next_work_required(&main.consensus, &chain, u32::MAX).to_consensus(), 0x1c05_a3f4);
    }

    #[test]
    fn twenty_minutes_on_testnet() {
        let testnet = ChainParams::testnet3();
        let mut chain = Chain::after_genesis(&testnet);
        let start = 1_300_000_000;
        chain.push(start, 0x1c05_a3f4);
        let next = |chain: &Chain, time| next_work_required(&testnet.consensus, chain, time).to_consensus();
        assert_eq!(next(&chain, start + 1200), 0x1c05_a3f4, "not late at twenty minutes");
        assert_eq!(next(&chain, start + 1201), LIMIT, "late a second after");
        let until = |time| same_work_required_until(&testnet.consensus, &chain, time);
        assert_eq!((until(start), until(start + 1200), until(start + 1201)), (start + 1200, start + 1200, u32::MAX));
        assert_eq!(same_work_required_until(&ChainParams::main().consensus, &chain, start), u32::MAX);
        chain.push(start + 1201, LIMIT);
        chain.push(start + 2 * HOUR, LIMIT);
        assert_eq!(next(&chain, start + 2 * HOUR), 0x1c05_a3f4, "goes back over the late blocks");
    }

    #[test]
    fn going_back_ends_at_the_periods_first_block() {
        let testnet = ChainParams::testnet3();
        let mut chain = period(&testnet, 0x1c05_a3f4, 1_300_000_000, 1_301_209_600);
        chain.push(1_301_209_600, LIMIT);
        assert_eq!(chain.tip_height(), 2016);
        chain.push(1_301_209_601, LIMIT);
        assert_eq!(next_work_required(&testnet.consensus, &chain, 1_301_209_602).to_consensus(), LIMIT);
    }

    #[test]
    fn bip94_retargets_from_the_periods_first_target() {
        let (testnet3, testnet4) = (ChainParams::testnet3(), ChainParams::testnet4());
        let mut chain = period(&testnet4, 0x1c05_a3f4, 1_720_000_000, 1_720_000_000 + 2016 * 600);
        chain.set(2015, 1_720_000_000 + 2016 * 600, LIMIT);
        assert_eq!(next_work_required(&testnet4.consensus, &chain, 0).to_consensus(), 0x1c05_a3f4);
        assert_eq!(next_work_required(&testnet3.consensus, &chain, 0).to_consensus(), LIMIT);
    }

    #[test]
    fn regtest_never_retargets() {
        let regtest = ChainParams::regtest();
        let mut chain = Chain::after_genesis(&regtest);
        for n in 1..144 {
            chain.push(1_296_688_602 + n, 0x207f_ffff);
        }
        assert_eq!(chain.tip_height(), 143, "the next block ends a period");
        assert_eq!(next_work_required(&regtest.consensus, &chain, 1_296_688_602 + 144).to_consensus(), 0x207f_ffff);
    }

    /// The rule `none` of a chain file: every block ends a period, and a period that ends changes nothing.
    #[test]
    fn without_a_rule_the_target_stays() {
        let mut params = ChainParams::regtest();
        params.consensus.pow_target_spacing = 10;
        params.consensus.difficulty = Difficulty::Retarget {
            pow_target_timespan: 10,
            pow_allow_min_difficulty_blocks: false,
            enforce_bip94: false,
            pow_no_retargeting: true,
        };
        let mut chain = Chain::after_genesis(&params);
        let bits = params.genesis.header.bits;
        for step in [1, 1_000_000, 1, 1, 5] {
            let time = chain.tip().time + step;
            assert_eq!(next_work_required(&params.consensus, &chain, time), bits);
            chain.push(time, bits.to_consensus());
        }
    }

    #[test]
    fn dev_starts_its_schedule_at_block_1() {
        let dev = ChainParams::dev();
        let limit = dev.genesis.header.bits;
        let mut chain = Chain::after_genesis(&dev);
        let next = |chain: &Chain| next_work_required(&dev.consensus, chain, 0);
        assert_eq!(next(&chain), limit, "block 1");
        let start = dev.genesis.header.time + 1000 * 24 * HOUR;
        chain.push(start, limit.to_consensus());
        assert_eq!(next(&chain), limit, "block 2");
        for n in 1..=60 {
            chain.push(start + n, limit.to_consensus());
        }
        // Sixty blocks in a minute, 540 s ahead of ten a second: 2^(-540/600) of the limit.
        let target = bitcoin::Target::from_compact(next(&chain));
        let ratio = target.difficulty_float() / bitcoin::Target::from_compact(limit).difficulty_float();
        assert!((ratio - (0.9_f64).exp2()).abs() < 0.001, "{ratio}");
    }
}
