//! The script flags of a block: the soft forks of the script language that apply to it.

use bitcoin::BlockHash;

use crate::consensus::{ConsensusParams, ScriptFlags};

/// The flags for the scripts of the block `hash` at `height`.
///
/// P2SH, WITNESS and TAPROOT apply to every block except those in
/// [`script_flag_exceptions`](ConsensusParams::script_flag_exceptions): no other block on the public chains breaks
/// them, so their activation heights are not needed. Taproot's height is 0 on the public chains; a chain file may set
/// another one.
///
/// Source: Bitcoin Core, `validation.cpp`, `GetBlockScriptFlags`.
#[must_use]
pub fn script_flags(params: &ConsensusParams, height: u32, hash: BlockHash) -> ScriptFlags {
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
    use crate::chain::ChainParams;

    #[test]
    fn flags_follow_the_height() {
        let main = ChainParams::main().consensus;
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
        let mut params = ChainParams::regtest().consensus;
        params.deployments.taproot = 10;
        let has = |height| script_flags(&params, height, BlockHash::all_zeros()).contains(ScriptFlags::TAPROOT);
        assert_eq!((has(9), has(10)), (false, true));
    }

    #[test]
    fn the_exceptions_lose_their_base_flags_only() {
        let main = ChainParams::main().consensus;
        let [(bip16, _), (taproot, _)] = main.script_flag_exceptions[..] else { panic!("two exceptions") };
        assert_eq!(script_flags(&main, 170_060, bip16), ScriptFlags::NONE);
        let flags = script_flags(&main, 692_261, taproot);
        assert!(!flags.contains(ScriptFlags::TAPROOT));
        assert!(flags.contains(ScriptFlags::P2SH | ScriptFlags::WITNESS | ScriptFlags::NULLDUMMY));
    }
}
