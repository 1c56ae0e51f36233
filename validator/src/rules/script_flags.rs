//! Which of the script engine's rules hold for a block: they came by soft forks, and three old blocks break them.

use std::ops::BitOr;

use bitcoin::BlockHash;

use crate::chain::ChainParams;

/// A set of the script engine's rules, in the bits that `bitcoinkernel` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptFlags(bitcoinkernel::ScriptVerificationFlags);

impl ScriptFlags {
    /// Only what held from the first block.
    pub const NONE: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_NONE);
    /// Pay to script hash (BIP16).
    pub const P2SH: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_P2SH);
    /// Strict DER signatures (BIP66).
    pub const DERSIG: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_DERSIG);
    /// OP_CHECKLOCKTIMEVERIFY (BIP65).
    pub const CHECKLOCKTIMEVERIFY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_CHECKLOCKTIMEVERIFY);
    /// OP_CHECKSEQUENCEVERIFY (BIP112).
    pub const CHECKSEQUENCEVERIFY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_CHECKSEQUENCEVERIFY);
    /// The element that OP_CHECKMULTISIG drops is empty (BIP147).
    pub const NULLDUMMY: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_NULLDUMMY);
    /// Witness programs (BIP141).
    pub const WITNESS: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_WITNESS);
    /// Taproot and tapscript (BIP341, BIP342).
    pub const TAPROOT: ScriptFlags = ScriptFlags(bitcoinkernel::VERIFY_TAPROOT);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: ScriptFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags but for those of `other`.
    #[must_use]
    pub const fn without(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 & !other.0)
    }

    /// The flags as a number, in Bitcoin Core's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flags as `bitcoinkernel` takes them.
    pub(super) const fn to_kernel(self) -> bitcoinkernel::ScriptVerificationFlags {
        self.0
    }
}

impl BitOr for ScriptFlags {
    type Output = ScriptFlags;

    fn bitor(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }
}

/// The flags for the scripts of the block `hash` at `height`.
///
/// Source: Bitcoin Core, `validation.cpp`, `GetBlockScriptFlags`. P2SH, WITNESS and TAPROOT hold for every block but the
/// listed exceptions: no other block on the public chains breaks them, so the heights of their activation need no code.
/// Taproot's height is 0 there; a chain file may give one.
#[must_use]
pub fn script_flags(params: &ChainParams, height: u32, hash: BlockHash) -> ScriptFlags {
    let exception = params.script_flag_exceptions.iter().find(|(block, _)| *block == hash);
    let mut flags = match exception {
        Some(&(_, flags)) => flags,
        None if height >= params.deployments.taproot => ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::TAPROOT,
        None => ScriptFlags::P2SH | ScriptFlags::WITNESS,
    };
    for (from, fork) in [
        (params.deployments.bip66, ScriptFlags::DERSIG),
        (params.deployments.bip65, ScriptFlags::CHECKLOCKTIMEVERIFY),
        (params.deployments.csv, ScriptFlags::CHECKSEQUENCEVERIFY),
        (params.deployments.segwit, ScriptFlags::NULLDUMMY),
    ] {
        if height >= from {
            flags = flags | fork;
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn flags_follow_the_height() {
        let main = ChainParams::main();
        let hash = BlockHash::all_zeros();
        let base = ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::TAPROOT;
        let der = base | ScriptFlags::DERSIG;
        let cltv = der | ScriptFlags::CHECKLOCKTIMEVERIFY;
        let csv = cltv | ScriptFlags::CHECKSEQUENCEVERIFY;
        for (height, flags) in [
            (1, base),
            (363_724, base),
            (363_725, der),
            (388_380, der),
            (388_381, cltv),
            (419_327, cltv),
            (419_328, csv),
            (481_823, csv),
            (481_824, csv | ScriptFlags::NULLDUMMY),
        ] {
            assert_eq!(script_flags(&main, height, hash), flags, "height {height}");
        }
        assert_eq!((csv | ScriptFlags::NULLDUMMY).to_kernel(), bitcoinkernel::VERIFY_ALL);
    }

    #[test]
    fn taproot_begins_where_a_chain_says() {
        let mut params = ChainParams::regtest();
        params.deployments.taproot = 10;
        let has = |height| script_flags(&params, height, BlockHash::all_zeros()).contains(ScriptFlags::TAPROOT);
        assert_eq!((has(9), has(10)), (false, true));
    }

    #[test]
    fn the_exceptions_lose_their_base_flags_only() {
        let main = ChainParams::main();
        let [(bip16, _), (taproot, _)] = main.script_flag_exceptions[..] else { panic!("two exceptions") };
        assert_eq!(script_flags(&main, 170_060, bip16), ScriptFlags::NONE);
        let flags = script_flags(&main, 692_261, taproot);
        assert!(!flags.contains(ScriptFlags::TAPROOT));
        assert!(flags.contains(ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::NULLDUMMY));
    }
}
