//! The rules of a header: proof of work in isolation; target, time and version in context.

use bitcoin::BlockHash;
use bitcoin::block::Header;

use super::ancestry::Ancestry;
use super::block_context::BlockContext;
use super::difficulty::{next_work_required, retarget_interval};
use super::error::RuleError;
use super::pow::{check_proof_of_work, check_target};
use crate::consensus::{ConsensusParams, Difficulty, MAX_FUTURE_BLOCK_TIME, MAX_TIMEWARP};

/// The time for headers that are checked again without a clock: later than every header. Headers that were too far in the
/// future were refused when they arrived.
pub(crate) const NO_CLOCK: u64 = u32::MAX as u64;

/// Checks a header in isolation: the chain allows its target, and its hash meets the target.
///
/// `hash` is the header's hash. It is an argument because headers are often hashed in bulk.
///
/// # Errors
/// [`RuleError::InvalidTarget`] or [`RuleError::HighHash`].
pub fn validate_header_in_isolation(
    params: &ConsensusParams,
    header: &Header,
    hash: BlockHash,
) -> Result<(), RuleError> {
    let target = check_target(header.bits, params.pow_limit)?;
    check_proof_of_work(hash, target)
}

/// The previous block is known. `parent` is the result of the lookup of its hash.
///
/// Source: Bitcoin Core, `validation.cpp`, `AcceptBlockHeader`, as for [`check_previous_valid`].
pub(crate) fn check_previous_found<T>(header: &Header, parent: Option<T>) -> Result<T, RuleError> {
    parent.ok_or(RuleError::PreviousNotFound { previous: header.prev_blockhash })
}

/// The previous block is valid. `is_failed`: it or one of its ancestors breaks a rule.
pub(crate) fn check_previous_valid(header: &Header, is_failed: bool) -> Result<(), RuleError> {
    if is_failed { Err(RuleError::PreviousInvalid { previous: header.prev_blockhash }) } else { Ok(()) }
}

/// Checks a header in context: every rule about headers that depends on the ancestors or the time. `now` is the network's
/// time in seconds since 1970. `context` is built on the header's parent.
///
/// Without ancestors the target, the median time and BIP94's bound are not checked.
///
/// # Errors
/// The first rule that the header breaks, in Bitcoin Core's order.
pub fn validate_header_in_context(
    params: &ConsensusParams,
    context: BlockContext<'_>,
    header: &Header,
    now: u64,
) -> Result<(), RuleError> {
    if let Some(ancestry) = context.ancestry() {
        check_difficulty_bits(params, ancestry, header)?;
        check_time_after_median(ancestry, header)?;
        check_timewarp(params, ancestry, header)?;
    }
    check_time_not_in_future(header, now)?;
    check_version(params, context.height(), header)
}

/// The header has exactly the target that follows from its ancestors.
///
/// Source: Bitcoin Core, `validation.cpp`, `ContextualCheckBlockHeader`, as for the rules below.
fn check_difficulty_bits(params: &ConsensusParams, ancestry: &dyn Ancestry, header: &Header) -> Result<(), RuleError> {
    let wanted = next_work_required(params, ancestry, header.time);
    if header.bits == wanted { Ok(()) } else { Err(RuleError::DifficultyBits { seen: header.bits, wanted }) }
}

/// A block is later than the median of the eleven blocks before it.
fn check_time_after_median(ancestry: &dyn Ancestry, header: &Header) -> Result<(), RuleError> {
    let median = ancestry.median_time_past_at(ancestry.tip_height());
    if header.time > median { Ok(()) } else { Err(RuleError::TimeTooOld { time: header.time, median }) }
}

/// Under BIP94 the first block of a period is at most ten minutes earlier than its parent.
fn check_timewarp(params: &ConsensusParams, ancestry: &dyn Ancestry, header: &Header) -> Result<(), RuleError> {
    match timewarp_bound(params, ancestry) {
        Some(earliest) if header.time < earliest => Err(RuleError::Timewarp { time: header.time, earliest }),
        _ => Ok(()),
    }
}

/// The earliest time of the block after `ancestry`'s last under BIP94. `None`: the chain does not enforce BIP94, or the
/// block does not begin a period.
fn timewarp_bound(params: &ConsensusParams, ancestry: &dyn Ancestry) -> Option<u32> {
    let Difficulty::Retarget { enforce_bip94: true, .. } = params.difficulty else { return None };
    let parent = ancestry.tip_height();
    let begins_period = (parent + 1).is_multiple_of(retarget_interval(params)?);
    begins_period.then(|| ancestry.header_at(parent).time.saturating_sub(MAX_TIMEWARP))
}

/// The earliest time of the block after `ancestry`'s last, in seconds since 1970: a second after the median of the eleven
/// blocks before it, and not before BIP94's bound if the chain enforces BIP94.
///
/// Source: Bitcoin Core, `node/miner.cpp`, `GetMinimumTime`, which applies BIP94's bound on every chain.
#[must_use]
pub fn minimum_time(params: &ConsensusParams, ancestry: &dyn Ancestry) -> u32 {
    let after_median = ancestry.median_time_past_at(ancestry.tip_height()).saturating_add(1);
    timewarp_bound(params, ancestry).map_or(after_median, |earliest| earliest.max(after_median))
}

/// A block is at most two hours ahead of the network's time. This is the only rule whose result changes with time.
fn check_time_not_in_future(header: &Header, now: u64) -> Result<(), RuleError> {
    let latest = now.saturating_add(MAX_FUTURE_BLOCK_TIME);
    if u64::from(header.time) <= latest { Ok(()) } else { Err(RuleError::TimeTooNew { time: header.time, latest }) }
}

/// The version was not made obsolete by BIP34, BIP66 or BIP65.
fn check_version(params: &ConsensusParams, height: u32, header: &Header) -> Result<(), RuleError> {
    let version = header.version.to_consensus();
    let forks = &params.deployments;
    for (wanted, from) in [(2, forks.bip34), (3, forks.bip66), (4, forks.bip65)] {
        if version < wanted && height >= from {
            return Err(RuleError::ObsoleteVersion { version, wanted });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bitcoin::block::Version;

    use super::*;
    use crate::chain::ChainParams;
    use crate::rules::testing::Chain;

    const NOW: u64 = 1_795_392_000;

    #[test]
    fn the_block_before_is_known_and_broke_no_rule() {
        let header = Chain::after_genesis(&ChainParams::main()).child(1, 1);
        let previous = header.prev_blockhash;
        assert_eq!(check_previous_found(&header, Some(7)), Ok(7));
        let unknown = check_previous_found(&header, None::<u32>).unwrap_err();
        assert_eq!(unknown, RuleError::PreviousNotFound { previous });
        assert_eq!(unknown.reject_reason(), "prev-blk-not-found");
        assert_eq!(check_previous_valid(&header, false), Ok(()));
        let failed = check_previous_valid(&header, true).unwrap_err();
        assert_eq!(failed, RuleError::PreviousInvalid { previous });
        assert_eq!(failed.reject_reason(), "bad-prevblk");
    }

    #[test]
    fn proof_of_work_is_checked_against_the_claimed_target() {
        let params = ChainParams::main();
        let mut header = params.genesis.header;
        assert_eq!(validate_header_in_isolation(&params.consensus, &header, header.block_hash()), Ok(()));
        header.nonce += 1;
        let error = validate_header_in_isolation(&params.consensus, &header, header.block_hash()).unwrap_err();
        assert_eq!(error.reject_reason(), "high-hash");
    }

    #[test]
    fn the_claimed_target_is_the_wanted_one() {
        let params = ChainParams::main();
        let chain = Chain::after_genesis(&params);
        let mut header = chain.child(NOW as u32, 0x1d00_ffff);
        assert_eq!(check_difficulty_bits(&params.consensus, &chain, &header), Ok(()));
        header.bits = bitcoin::CompactTarget::from_consensus(0x1d00_fffe);
        let error = check_difficulty_bits(&params.consensus, &chain, &header).unwrap_err();
        assert_eq!(
            (error.reject_reason().as_ref(), error.seen(), error.wanted()),
            ("bad-diffbits", "0x1d00fffe".to_owned(), "0x1d00ffff".to_owned())
        );
    }

    #[test]
    fn a_block_is_later_than_the_median() {
        let params = ChainParams::regtest();
        let mut chain = Chain::after_genesis(&params);
        let start = params.genesis.header.time;
        // Eleven blocks with the times 1 to 11 out of order: their median is 6.
        for time in [3, 1, 2, 6, 5, 4, 9, 8, 7, 11, 10] {
            chain.push(start + time, 0x207f_ffff);
        }
        assert_eq!(check_time_after_median(&chain, &chain.child(start + 7, 0)), Ok(()));
        let error = check_time_after_median(&chain, &chain.child(start + 6, 0)).unwrap_err();
        assert_eq!(error, RuleError::TimeTooOld { time: start + 6, median: start + 6 });
    }

    #[test]
    fn bip94_bounds_the_first_time_of_a_period() {
        let params = ChainParams::testnet4();
        let mut chain = Chain::after_genesis(&params);
        for n in 1..2016 {
            chain.push(1_720_000_000 + n, 0x1d00_ffff);
        }
        let parent = 1_720_002_015;
        assert_eq!(check_timewarp(&params.consensus, &chain, &chain.child(parent - 600, 0)), Ok(()));
        let error = check_timewarp(&params.consensus, &chain, &chain.child(parent - 601, 0)).unwrap_err();
        assert_eq!(error.reject_reason(), "time-timewarp-attack");
        assert_eq!(check_timewarp(&ChainParams::testnet3().consensus, &chain, &chain.child(parent - 601, 0)), Ok(()));
        chain.push(parent, 0x1d00_ffff);
        assert_eq!(check_timewarp(&params.consensus, &chain, &chain.child(1, 0)), Ok(()), "only at a period's start");
    }

    /// The least time passes every rule, and a second less breaks one: BIP94's at the start of a period that begins
    /// with a parent far ahead, the median's everywhere else.
    #[test]
    fn the_minimum_time_is_the_first_that_the_rules_allow() {
        let params = ChainParams::testnet4();
        let start = 1_720_000_000;
        let mut chain = Chain::after_genesis(&params);
        for n in 1..2015 {
            chain.push(start + n, 0x1d00_ffff);
        }
        // The median of heights 2004 to 2014, and of 2005 to 2015, of which the last is two hours ahead.
        let at_end = minimum_time(&params.consensus, &chain);
        assert_eq!(at_end, start + 2009 + 1);
        chain.push(start + 7200, 0x1d00_ffff);
        let at_start = minimum_time(&params.consensus, &chain);
        assert_eq!(at_start, start + 7200 - 600);
        let verdict = |params: &ConsensusParams, time| {
            let bits = next_work_required(params, &chain, time);
            let header = chain.child(time, bits.to_consensus());
            validate_header_in_context(params, BlockContext::after(&chain), &header, NOW)
        };
        assert_eq!(verdict(&params.consensus, at_start), Ok(()));
        let error = RuleError::Timewarp { time: at_start - 1, earliest: at_start };
        assert_eq!(verdict(&params.consensus, at_start - 1), Err(error));

        let testnet3 = ChainParams::testnet3().consensus;
        let after_median = minimum_time(&testnet3, &chain);
        assert_eq!(after_median, start + 2010 + 1);
        assert_eq!(check_time_after_median(&chain, &chain.child(after_median, 0)), Ok(()));
        assert!(check_time_after_median(&chain, &chain.child(after_median - 1, 0)).is_err());
    }

    #[test]
    fn two_hours_ahead_is_the_limit() {
        let chain = Chain::after_genesis(&ChainParams::regtest());
        let header = chain.child(1_300_007_200, 0);
        assert_eq!(check_time_not_in_future(&header, 1_300_000_000), Ok(()));
        let error = check_time_not_in_future(&header, 1_299_999_999).unwrap_err();
        assert_eq!(error, RuleError::TimeTooNew { time: 1_300_007_200, latest: 1_300_007_199 });
        assert!(!error.is_permanent(), "it may be right in a while");
    }

    #[test]
    fn versions_end_at_their_heights() {
        let params = ChainParams::main();
        let at = |version, height| {
            let mut header = params.genesis.header;
            header.version = Version::from_consensus(version);
            check_version(&params.consensus, height, &header)
        };
        for (version, last) in [(1, 227_930), (2, 363_724), (3, 388_380)] {
            assert_eq!(at(version, last), Ok(()));
            let error = at(version, last + 1).unwrap_err();
            assert_eq!(error, RuleError::ObsoleteVersion { version, wanted: version + 1 });
            assert_eq!(error.reject_reason(), format!("bad-version(0x{version:08x})"));
        }
        assert_eq!(at(4, 900_000), Ok(()));
        assert_eq!(at(-1, 900_000).unwrap_err().reject_reason(), "bad-version(0xffffffff)");
    }
}
