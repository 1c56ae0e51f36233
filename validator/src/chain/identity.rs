//! The text of a chain's rules, and its hash: name, magic and every consensus parameter.
//!
//! A private chain's genesis block commits to this hash, so that chains with different rules have different genesis
//! blocks and never accept each other's blocks. It is SHA-256 of a text, so that anybody can recompute it with
//! `sha256sum`; docs/chain-file.md gives the text line by line.

use std::fmt::Write;

use bitcoin::hashes::{Hash, sha256};

use super::params::ChainParams;
use crate::consensus::{ConsensusParams, Difficulty};

impl ChainParams {
    /// The rules as lines of text, each ended by a line feed. The genesis block, ports, address prefixes, seeds, minimum
    /// work and assumed-valid block are not rules and not included.
    #[must_use]
    pub fn rules_text(&self) -> String {
        // Every parameter is named, so that a new one is a line of the text or is said to be no rule.
        let ConsensusParams {
            genesis_hash: _,
            minimum_chain_work: _,
            default_assume_valid: _,
            subsidy,
            deployments: forks,
            bip30_repeats,
            bip34_hash,
            script_flag_exceptions,
            pow_limit,
            pow_target_spacing,
            difficulty,
            signet_challenge,
        } = &self.consensus;
        let mut text = format!(
            "adit chain rules 1\nname {}\nmagic {:08x}\npow_limit {:064x}\nspacing {}\ndifficulty {}\nsubsidy {}\n\
             halving_interval {}\nbip34 {}\nbip65 {}\nbip66 {}\ncsv {}\nsegwit {}\ntaproot {}\nchallenge {}\n",
            self.name,
            u32::from_be_bytes(self.magic),
            pow_limit,
            pow_target_spacing,
            difficulty_text(difficulty),
            subsidy.initial.to_sat(),
            subsidy.halving_interval,
            forks.bip34,
            forks.bip65,
            forks.bip66,
            forks.csv,
            forks.segwit,
            forks.taproot,
            signet_challenge.as_ref().map_or_else(|| "none".to_owned(), |script| script.to_hex_string()),
        );
        // Parameters that only public chains have come last: the text of a chain file has these fifteen lines. A parameter
        // that comes later has a line after them, where it is set, so that the chains of older files keep their hash.
        let mut line = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a string takes every write");
        if let Some(hash) = bip34_hash {
            line(format_args!("bip34_hash {hash}\n"));
        }
        for (height, hash) in bip30_repeats {
            line(format_args!("bip30_repeat {height} {hash}\n"));
        }
        for (hash, flags) in script_flag_exceptions {
            line(format_args!("script_flag_exception {hash} {}\n", flags.bits()));
        }
        text
    }

    /// SHA-256 of [`Self::rules_text`].
    #[must_use]
    pub fn rules_hash(&self) -> sha256::Hash {
        sha256::Hash::hash(self.rules_text().as_bytes())
    }
}

fn difficulty_text(difficulty: &Difficulty) -> String {
    match difficulty {
        Difficulty::Retarget {
            pow_target_timespan,
            pow_allow_min_difficulty_blocks,
            enforce_bip94,
            pow_no_retargeting,
        } => format!(
            "retarget timespan {pow_target_timespan} allow_min_difficulty {pow_allow_min_difficulty_blocks} \
             bip94 {enforce_bip94} no_retargeting {pow_no_retargeting}"
        ),
        Difficulty::Asert { half_life, anchor_height } => {
            format!("asert half_life {half_life} anchor_height {anchor_height}")
        }
    }
}
