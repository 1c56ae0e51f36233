//! The built-in public chains are those of Bitcoin Core's own source, which comes with the script engine.
//!
//! Core defines a chain by a list of assignments. The test writes ours as Core does and looks for each in Core's text.
//! Source: `libbitcoinkernel-sys`, `bitcoin/src/kernel/chainparams.cpp`, `bitcoin/src/chainparamsbase.cpp` and
//! `bitcoin/src/validation.cpp`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use adit_testchain::trials::{self, Missing};
use adit_validator::bitcoin::Work;
use adit_validator::chain::ChainParams;
use adit_validator::consensus::{Difficulty, ScriptFlags};

fn main() -> ExitCode {
    trials::run(adit_testchain::trials![
        the_public_chains_are_those_of_bitcoin_core,
        the_two_blocks_that_repeat_coinbases_are_those_of_bitcoin_core,
    ])
}

/// Core's source folder, from the package that builds it.
fn source() -> Result<PathBuf, Missing> {
    let found = || {
        // Packages for other platforms were never fetched.
        let host = Command::new("rustc").arg("-vV").output().ok()?;
        let host = String::from_utf8(host.stdout).ok()?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: "))?;
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host, "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .output()
            .ok()?;
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let packages = metadata["packages"].as_array()?;
        let kernel = packages.iter().find(|package| package["name"] == "libbitcoinkernel-sys")?;
        let folder = PathBuf::from(kernel["manifest_path"].as_str()?).parent()?.join("bitcoin/src");
        folder.is_dir().then_some(folder)
    };
    found().ok_or_else(|| Missing::Required("cargo metadata names no source of Bitcoin Core".to_owned()))
}

/// The text without white space and comments.
fn squeezed(text: &str) -> String {
    let code = text.lines().map(|line| line.split(" //").next().unwrap_or_default());
    code.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect()
}

/// What stands between `from` and the next `to`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("{from} is not in Core's source"));
    let end = text[start..].find(to).unwrap_or_else(|| panic!("{to} does not follow {from}"));
    &text[start..start + end]
}

fn uint256(value: Option<String>) -> Vec<String> {
    match value {
        Some(value) => vec![format!("uint256{{\"{value}\"}}")],
        None => vec!["uint256{}".to_owned(), "uint256()".to_owned()],
    }
}

/// The statements that Core's class must have, each in one of the given spellings.
fn statements(chain: &ChainParams) -> Vec<Vec<String>> {
    let forks = chain.consensus.deployments;
    let genesis = &chain.genesis.header;
    let Difficulty::Retarget {
        pow_target_timespan,
        pow_allow_min_difficulty_blocks,
        enforce_bip94,
        pow_no_retargeting,
    } = chain.consensus.difficulty
    else {
        panic!("{}: a public chain retargets", chain.name);
    };
    let assign = |name: &str, values: Vec<String>| values.iter().map(|v| format!("{name}={v};")).collect::<Vec<_>>();
    let timespan = match pow_target_timespan {
        86_400 => "24*60*60".to_owned(),
        1_209_600 => "14*24*60*60".to_owned(),
        other => other.to_string(),
    };
    let work = chain.consensus.minimum_chain_work;
    let work = (work != Work::from_be_bytes([0; 32])).then(|| format!("{work:064x}"));
    // Regtest's can be switched on by an option.
    let bip94 =
        vec![enforce_bip94.to_string(), if enforce_bip94 { String::new() } else { "opts.enforce_bip94".to_owned() }];
    let bytes = |bytes: [u8; 4]| bytes.map(|byte| format!("0x{byte:02X}")).join(",");
    let prefixes = &chain.addresses;
    let byte = |value: u8| vec![format!("std::vector<unsignedchar>(1,{value})")];
    let bits = genesis.bits.to_consensus();
    let mut statements = vec![
        assign("consensus.nSubsidyHalvingInterval", vec![chain.consensus.subsidy.halving_interval.to_string()]),
        assign("consensus.BIP34Height", vec![forks.bip34.to_string()]),
        assign("consensus.BIP65Height", vec![forks.bip65.to_string()]),
        assign("consensus.BIP66Height", vec![forks.bip66.to_string()]),
        assign("consensus.CSVHeight", vec![forks.csv.to_string()]),
        assign("consensus.SegwitHeight", vec![forks.segwit.to_string()]),
        assign("consensus.BIP34Hash", uint256(chain.consensus.bip34_hash.map(|hash| hash.to_string()))),
        assign("consensus.powLimit", uint256(Some(format!("{:064x}", chain.consensus.pow_limit)))),
        assign("consensus.nPowTargetTimespan", vec![timespan]),
        assign("consensus.nPowTargetSpacing", vec![format!("{}*60", chain.consensus.pow_target_spacing / 60)]),
        assign("consensus.fPowAllowMinDifficultyBlocks", vec![pow_allow_min_difficulty_blocks.to_string()]),
        assign("consensus.fPowNoRetargeting", vec![pow_no_retargeting.to_string()]),
        assign("consensus.enforce_BIP94", bip94),
        assign("consensus.nMinimumChainWork", uint256(work)),
        assign(
            "consensus.defaultAssumeValid",
            uint256(chain.consensus.default_assume_valid.map(|hash| hash.to_string())),
        ),
        assign("consensus.signet_blocks", vec![chain.consensus.signet_challenge.is_some().to_string()]),
        assign("nDefaultPort", vec![chain.p2p_port.to_string()]),
        assign("base58Prefixes[PUBKEY_ADDRESS]", byte(prefixes.p2pkh)),
        assign("base58Prefixes[SCRIPT_ADDRESS]", byte(prefixes.p2sh)),
        assign("base58Prefixes[SECRET_KEY]", byte(prefixes.wif)),
        assign("base58Prefixes[EXT_PUBLIC_KEY]", vec![format!("{{{}}}", bytes(prefixes.xpub))]),
        assign("base58Prefixes[EXT_SECRET_KEY]", vec![format!("{{{}}}", bytes(prefixes.xprv))]),
        assign("bech32_hrp", vec![format!("\"{}\"", prefixes.bech32_hrp)]),
        vec![format!("{},{},0x{bits:08x},1,50*COIN)", genesis.time, genesis.nonce)],
        vec![format!(
            "assert(consensus.hashGenesisBlock=={});",
            uint256(Some(chain.consensus.genesis_hash.to_string()))[0]
        )],
        vec![format!("assert(genesis.hashMerkleRoot=={});", uint256(Some(genesis.merkle_root.to_string()))[0])],
    ];
    match &chain.consensus.signet_challenge {
        Some(challenge) => statements.push(vec![format!("bin=\"{}\"_hex_v_u8;", challenge.to_hex_string())]),
        None => statements.extend((0..4).map(|i| vec![format!("pchMessageStart[{i}]=0x{:02x};", chain.magic[i])])),
    }
    statements.extend(chain.consensus.script_flag_exceptions.iter().map(|(hash, flags)| {
        let flags = match *flags {
            ScriptFlags::NONE => "SCRIPT_VERIFY_NONE",
            flags if flags == ScriptFlags::P2SH | ScriptFlags::WITNESS => "SCRIPT_VERIFY_P2SH|SCRIPT_VERIFY_WITNESS",
            other => panic!("{}: {other:?}", chain.name),
        };
        vec![format!("{},{flags});", uint256(Some(hash.to_string()))[0])]
    }));
    statements
}

fn the_public_chains_are_those_of_bitcoin_core() -> Result<(), Missing> {
    let source = source()?;
    let read = |file: &str| std::fs::read_to_string(source.join(file)).expect("Core's source can be read");
    let (params, base) = (read("kernel/chainparams.cpp"), squeezed(&read("chainparamsbase.cpp")));
    for (chain, class, kind) in [
        (ChainParams::main(), "class CMainParams", "MAIN"),
        (ChainParams::testnet3(), "class CTestNetParams", "TESTNET"),
        (ChainParams::testnet4(), "class CTestNet4Params", "TESTNET4"),
        (ChainParams::signet(), "class SigNetParams", "SIGNET"),
        (ChainParams::regtest(), "class CRegTestParams", "REGTEST"),
    ] {
        let name = &chain.name;
        let said = squeezed(between(&params, class, "\n};"));
        for spellings in statements(&chain) {
            assert!(
                spellings.iter().any(|spelling| said.contains(spelling)),
                "{name}: Core does not say {spellings:?}"
            );
        }
        let exceptions = said.matches("script_flag_exceptions.emplace(").count();
        assert_eq!(exceptions, chain.consensus.script_flag_exceptions.len(), "{name}");
        // Folder and RPC port.
        let base = between(&base, &format!("caseChainType::{kind}:"), ");");
        assert!(base.ends_with(&format!(",{}", chain.rpc_port)), "{name}: {base}");
    }
    Ok(())
}

fn the_two_blocks_that_repeat_coinbases_are_those_of_bitcoin_core() -> Result<(), Missing> {
    let source = source()?;
    let text = std::fs::read_to_string(source.join("validation.cpp")).expect("Core's source can be read");
    let said = squeezed(between(&text, "bool IsBIP30Repeat", "\n}"));
    let repeats = ChainParams::main().consensus.bip30_repeats;
    for (height, hash) in &repeats {
        let wanted = format!("nHeight=={height}&&block_index.GetBlockHash()==uint256{{\"{hash}\"}}");
        assert!(said.contains(&wanted), "{said}");
    }
    assert_eq!(said.matches("nHeight==").count(), repeats.len());
    Ok(())
}
