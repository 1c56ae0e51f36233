use bitcoin::hashes::Hash;
use proptest::prelude::*;

use super::limits::{MAX_MESSAGE_LEN, MAX_SEEDS};
use super::*;

/// A chain of the easiest work, whose genesis block is found at once.
fn unsolved() -> ChainFile {
    ChainFile {
        format: FORMAT,
        name: "grid".to_owned(),
        magic: [0xc0, 0xff, 0xee, 0x01],
        network: NetworkTable {
            p2p_port: 21001,
            rpc_port: 21000,
            seeds: ["node-1.example:21001", "[2001:db8::1]:21001"].map(|seed| seed.parse().unwrap()).to_vec(),
            minimum_chain_work: no_work(),
            assume_valid: None,
        },
        addresses: AddressPrefixes::regtest(),
        genesis: GenesisTable {
            time: 1_795_392_000,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
            version: Version::ONE,
            message: r#"a "quoted" \ text"#.to_owned(),
            script: ScriptBuf::from_bytes(vec![0x6a]),
            value: Amount::ZERO,
            hash: None,
        },
        rules: RulesTable {
            pow_limit: ChainParams::regtest().consensus.pow_limit,
            spacing: 10,
            subsidy: Amount::from_int_btc(50),
            halving_interval: 210_000,
            challenge: None,
            difficulty: DifficultyRule::Asert { half_life: 600, anchor_height: 1 },
            deployments: Deployments::FROM_BLOCK_1,
        },
    }
}

/// The file with a genesis block that is mined and stated.
fn mined(mut file: ChainFile) -> ChainFile {
    file.genesis.hash = None;
    let target = Target::from_compact(file.genesis.bits);
    file.genesis.nonce = 0;
    while !target.is_met_by(file.params().consensus.genesis_hash) {
        file.genesis.nonce += 1;
    }
    file.genesis.hash = Some(file.params().consensus.genesis_hash);
    file
}

/// Chains that differ from [`unsolved`] in one value of a chain's identity.
fn other_chains() -> Vec<(&'static str, ChainFile)> {
    type Change = fn(&mut ChainFile);
    let changes: [(&str, Change); 25] = [
        ("name", |file| file.name.push('2')),
        ("magic", |file| file.magic[3] ^= 1),
        ("time", |file| file.genesis.time += 1),
        ("bits", |file| file.genesis.bits = CompactTarget::from_consensus(0x207f_fffe)),
        ("version", |file| file.genesis.version = Version::TWO),
        ("message", |file| file.genesis.message.push('!')),
        ("script", |file| file.genesis.script = ScriptBuf::new()),
        ("value", |file| file.genesis.value = Amount::ONE_SAT),
        ("pow_limit", |file| {
            let mut limit = file.rules.pow_limit.to_be_bytes();
            limit[31] = 0;
            file.rules.pow_limit = Target::from_be_bytes(limit);
        }),
        ("spacing", |file| file.rules.spacing += 1),
        ("subsidy", |file| file.rules.subsidy += Amount::ONE_SAT),
        ("halving_interval", |file| file.rules.halving_interval += 1),
        ("challenge", |file| file.rules.challenge = Some(ScriptBuf::from_bytes(vec![0x51]))),
        ("half_life", |file| {
            file.rules.difficulty = DifficultyRule::Asert { half_life: 601, anchor_height: 1 };
        }),
        ("anchor_height", |file| {
            file.rules.difficulty = DifficultyRule::Asert { half_life: 600, anchor_height: 2 };
        }),
        ("no difficulty rule", |file| file.rules.difficulty = DifficultyRule::None),
        ("retarget", |file| {
            file.rules.difficulty =
                DifficultyRule::Retarget { interval: 60, allow_min_difficulty: false, bip94: false };
        }),
        ("retarget, allow_min_difficulty", |file| {
            file.rules.difficulty = DifficultyRule::Retarget { interval: 60, allow_min_difficulty: true, bip94: false };
        }),
        ("retarget, bip94", |file| {
            file.rules.difficulty = DifficultyRule::Retarget { interval: 60, allow_min_difficulty: true, bip94: true };
        }),
        ("bip34", |file| file.rules.deployments.bip34 += 1),
        ("bip65", |file| file.rules.deployments.bip65 += 1),
        ("bip66", |file| file.rules.deployments.bip66 += 1),
        ("csv", |file| file.rules.deployments.csv += 1),
        ("segwit", |file| file.rules.deployments.segwit += 1),
        ("taproot", |file| file.rules.deployments.taproot += 1),
    ];
    let changed = |(what, change): (&'static str, Change)| {
        let mut file = unsolved();
        change(&mut file);
        (what, file)
    };
    changes.into_iter().map(changed).collect()
}

#[test]
fn what_is_written_is_read_back() {
    for (what, file) in other_chains().into_iter().chain([("nothing", unsolved())]) {
        let file = mined(file);
        let read = ChainFile::parse(&file.to_toml()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((&read, read.params()), (&file, file.params()), "{what}");
    }
    let mut file = unsolved();
    file.network.assume_valid = Some(BlockHash::from_byte_array([7; 32]));
    file.network.minimum_chain_work = Work::from_be_bytes([1; 32]);
    file.network.seeds.clear();
    let file = mined(file);
    assert_eq!(ChainFile::parse(&file.to_toml()), Ok(file));
}

#[test]
fn whatever_makes_the_chain_makes_its_genesis_block() {
    let mut seen = vec![("nothing", unsolved().params())];
    for (what, file) in other_chains() {
        // All have the same nonce, so the work is not what differs.
        let params = file.params();
        for (other, known) in &seen {
            assert_ne!(params.consensus.genesis_hash, known.consensus.genesis_hash, "{what} and {other}");
        }
        seen.push((what, params));
    }
    // The fields of the header stand in it; everything else is in the coinbase, and so in the Merkle root.
    let root = |params: &ChainParams| params.genesis.header.merkle_root;
    let same: Vec<_> =
        seen.iter().filter(|(_, params)| root(params) == root(&seen[0].1)).map(|(what, _)| what).collect();
    assert_eq!(same, [&"nothing", &"time", &"bits", &"version"]);
}

#[test]
fn whatever_does_not_make_the_chain_may_be_edited() {
    let file = mined(unsolved());
    let params = file.params();
    let mut edited = file.clone();
    edited.network = NetworkTable {
        p2p_port: 1,
        rpc_port: 2,
        seeds: Vec::new(),
        minimum_chain_work: Work::from_be_bytes([1; 32]),
        assume_valid: Some(params.consensus.genesis_hash),
    };
    edited.addresses = AddressPrefixes::main();
    let edited = ChainFile::parse(&edited.to_toml()).unwrap().params();
    assert_eq!(
        (edited.consensus.genesis_hash, edited.rules_text()),
        (params.consensus.genesis_hash, params.rules_text())
    );
}

#[test]
fn a_file_whose_rules_were_edited_is_refused() {
    let file = mined(unsolved());
    for (what, mut edited) in other_chains() {
        edited.genesis.nonce = file.genesis.nonce;
        edited.genesis.hash = file.genesis.hash;
        let error = ChainFile::parse(&edited.to_toml()).unwrap_err();
        assert!(matches!(error, ChainFileError::Field { field: "genesis.hash", .. }), "{what}: {error}");
        assert!(error.to_string().contains("cannot be changed"), "{error}");
    }
    // Without the stated hash it is the work that is missing.
    let mut harder = unsolved();
    harder.genesis.bits = CompactTarget::from_consensus(0x1b00_ffff);
    let error = ChainFile::parse(&harder.to_toml()).unwrap_err();
    assert!(matches!(error, ChainFileError::Field { field: "genesis.nonce", .. }), "{error}");
    assert_eq!(ChainFile::parse_unsolved(&harder.to_toml()), Ok(harder));
}

/// Edits of one field, and words of the error for each.
#[test]
fn every_field_is_checked() {
    let text = mined(unsolved()).to_toml();
    let line = |what: &str| 1 + text[..text.find(what).unwrap()].matches('\n').count();
    for (from, to, words) in [
        ("format = 1\n", "format = 2\n", &["format", "2", "1"][..]),
        ("format = 1\n", "", &["missing field `format`"]),
        ("name = \"grid\"", "name = \"main\"", &["name", "\"main\"", "testnet4"]),
        ("name = \"grid\"", "name = \"Grid\"", &["name", "\"Grid\"", "a-z"]),
        ("name = \"grid\"", "name = \"../x\"", &["name", "a-z"]),
        ("name = \"grid\"", "name = \"\"", &["name", "1 to 32"]),
        ("name = \"grid\"", "name = 7", &["name", "integer `7`", "string"]),
        ("magic = \"c0ffee01\"", "magic = \"f9beb4d9\"", &["magic", "f9beb4d9", "built-in"]),
        ("magic = \"c0ffee01\"", "magic = \"c0ffee\"", &["magic", "c0ffee", "8 hexadecimal digits"]),
        ("magic = \"c0ffee01\"", "magic = \"c0ffeexy\"", &["magic", "c0ffeexy"]),
        ("p2p_port = 21001", "p2p_port = 0", &["network.p2p_port", "`0`", "1 to 65535"]),
        ("p2p_port = 21001", "p2p_port = 65536", &["network.p2p_port", "`65536`"]),
        ("p2p_port = 21001", "p2p_port = 21001\nhost = \"a\"", &["unknown field `host`", "seeds"]),
        ("p2p_port = 21001", "p2p_port = 21001\np2p_port = 1", &["duplicate key"]),
        ("rpc_port = 21000", "rpc_port = 21001", &["network.rpc_port", "21001", "another port"]),
        ("node-1.example:21001", "node-1.example", &["network.seeds", "node-1.example", "HOST:PORT"]),
        ("minimum_chain_work = \"0", "minimum_chain_work = \"", &["network.minimum_chain_work", "64"]),
        ("bech32_hrp = \"bcrt\"", "bech32_hrp = \"b1-t\"", &["addresses.bech32_hrp", "b1-t"]),
        ("p2sh = 196", "p2sh = 256", &["addresses.p2sh", "`256`", "0 to 255"]),
        ("p2sh = 196", "p2sh = 111", &["addresses.p2sh", "111", "addresses.p2pkh"]),
        ("xprv = \"04358394\"", "xprv = \"043587cf\"", &["addresses.xprv", "043587cf", "addresses.xpub"]),
        ("time = 1795392000", "time = 0", &["genesis.time", "`0`"]),
        ("time = 1795392000", "time = 4294967296", &["genesis.time", "4294967296"]),
        ("bits = \"207fffff\"", "bits = \"2100ffff\"", &["genesis.bits", "2100ffff", "rules.pow_limit"]),
        ("bits = \"207fffff\"", "bits = \"20ffffff\"", &["genesis.bits", "20ffffff"]),
        ("bits = \"207fffff\"", "bits = 0x207fffff", &["genesis.bits", "545259519", "string"]),
        ("nonce = ", "nonce = -7 # ", &["genesis.nonce", "`-7`"]),
        ("version = 1", "version = 0", &["genesis.version", "`0`"]),
        ("message = \"a ", "message = \"a\\n", &["genesis.message", "control characters"]),
        ("message = \"a ", &format!("message = \"{}", "a".repeat(60)), &["genesis.message", "59"]),
        ("script = \"6a\"", "script = \"6\"", &["genesis.script", "\"6\"", "hexadecimal"]),
        ("value = 0", "value = 2100000000000001", &["genesis.value", "2100000000000001"]),
        ("pow_limit = \"7", "pow_limit = \"8", &["rules.pow_limit", "7fff"]),
        ("spacing = 10", "spacing = 0", &["rules.spacing", "`0`", "1 to 2592000"]),
        ("spacing = 10", "spacing = 601", &["rules.difficulty.asert.half_life", "600", "601"]),
        ("subsidy = 5000000000", "subsidy = -1", &["rules.subsidy", "`-1`"]),
        ("halving_interval = 210000", "halving_interval = 1.5", &["rules.halving_interval", "1.5"]),
        ("halving_interval", "challenge = \"\"\nhalving_interval", &["rules.challenge", "empty"]),
        ("halving_interval", "challenge = \"6a51\"\nhalving_interval", &["rules.challenge", "6a51", "OP_RETURN"]),
        ("[rules.difficulty.asert]", "[rules.difficulty.lwma]", &["lwma", "asert", "retarget", "none"]),
        ("[rules.difficulty.asert]", "[rules.difficulty.retarget]", &["half_life", "interval"]),
        ("half_life = 600", "half_life = 600\ninterval = 5", &["interval", "anchor_height"]),
        ("anchor_height = 1", "", &["anchor_height", "missing"]),
        ("taproot = 1", "taproot = \"always\"", &["taproot", "always"]),
        ("taproot = 1", "", &["missing field `taproot`"]),
        ("taproot = 1", "taproot = 1\nbip9 = 1", &["unknown field `bip9`"]),
        ("\n[genesis]", "\n[genesis", &["line"]),
        ("\n[genesis]", "\n[checkpoints]\n[genesis]", &["unknown field `checkpoints`"]),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        let error = ChainFile::parse(&edited).expect_err(to).to_string();
        for word in words {
            assert!(error.contains(word), "{to:?}: {word:?} is missing in: {error}");
        }
        assert!(error.starts_with("line ") && !error.contains('\n'), "{to:?}: {error}");
    }
    let error = ChainFile::parse(&text.replace("wif = 239", "wif = 300")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {}: ", line("wif = "))), "{error}");
    let error = ChainFile::parse(&text.replace("p2sh = 196", "p2sh = 111")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {}: addresses.p2sh: 111; ", line("p2sh = "))), "{error}");
}

/// Values that are not set follow from the others, and those that are set are kept.
#[test]
fn a_builder_fills_in_what_follows() {
    let file = ChainFile::builder("grid", 1_795_392_000).with_spacing(7).build().unwrap();
    assert_eq!(file.rules.difficulty, DifficultyRule::Asert { half_life: 420, anchor_height: 1 });
    assert_eq!(file.magic, file.derived_magic());
    assert_eq!(file.network.p2p_port, file.network.rpc_port + 1);
    assert!((20_000..30_000).contains(&file.network.rpc_port) && file.network.rpc_port.is_multiple_of(2));
    assert_eq!(
        (file.addresses.clone(), file.genesis.message.as_str()),
        (AddressPrefixes::regtest(), "Adit chain grid")
    );
    assert_eq!((file.genesis.script.as_bytes(), file.genesis.value), (&[0x6a][..], Amount::ZERO));
    assert_eq!(ChainFile::parse_unsolved(&file.to_toml()), Ok(file));

    let chosen = ChainFile::builder("grid", 1)
        .with_magic(Some([1, 2, 3, 4]))
        .with_rpc_port(Some(5))
        .with_p2p_port(Some(6))
        .with_bech32_hrp("gr")
        .with_message(Some("hello".to_owned()))
        .with_difficulty(DifficultyRule::retarget(None))
        .build()
        .unwrap();
    assert_eq!((chosen.magic, chosen.network.rpc_port, chosen.network.p2p_port), ([1, 2, 3, 4], 5, 6));
    let prefixes = AddressPrefixes { bech32_hrp: "gr".to_owned(), ..AddressPrefixes::test() };
    assert_eq!((chosen.addresses, chosen.genesis.message.as_str()), (prefixes, "hello"));
    let retarget = DifficultyRule::Retarget { interval: 2016, allow_min_difficulty: false, bip94: false };
    assert_eq!(chosen.rules.difficulty, retarget);
    for (builder, field) in [
        (ChainFile::builder("main", 1), "`name`"),
        (ChainFile::builder("grid", 1).with_rpc_port(Some(7)).with_p2p_port(Some(7)), "network.rpc_port"),
    ] {
        let error = builder.build().unwrap_err().what();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn input_that_is_no_text_is_refused() {
    let read = |bytes: &[u8]| ChainFile::read(bytes).map_err(|error| error.to_string());
    let file = mined(unsolved());
    assert_eq!(read(file.to_toml().as_bytes()), Ok(file));
    assert_eq!(read(b" \n"), Err("is empty; wanted a chain file".to_owned()));
    assert_eq!(read(b"ab\xff"), Err("byte 2 is not UTF-8 text; wanted a chain file".to_owned()));
    // The last character is cut off, and it is the length that is reported.
    let long = [&vec![b'#'; MAX_CHAIN_FILE_SIZE][..], "é".as_bytes()].concat();
    let error = "more than 65536 bytes; wanted a chain file, which has at most as many";
    assert_eq!(read(&long), Err(error.to_owned()));
    assert!(read(b"name = 7").unwrap_err().starts_with("line 1: "));
}

#[test]
fn sizes_are_bounded() {
    let text = mined(unsolved()).to_toml();
    let padded = format!("{text}{}", "#".repeat(MAX_CHAIN_FILE_SIZE - text.len()));
    assert!(ChainFile::parse(&padded).is_ok());
    let error = ChainFile::parse(&format!("{padded}#")).unwrap_err();
    assert_eq!(error, ChainFileError::TooLarge { seen: MAX_CHAIN_FILE_SIZE + 1 });
    let seeds = vec!["\"a.example:1\""; MAX_SEEDS + 1].join(", ");
    let many = text.replace("\"node-1.example:21001\"", &seeds);
    assert!(ChainFile::parse(&many).unwrap_err().to_string().contains("64 peers"));
    // Text that could use too much memory or time.
    for deep in ["[", "a.", "a={", "[[a]]\n", "a=[[", "\"", "'''"] {
        let text = deep.repeat(MAX_CHAIN_FILE_SIZE / deep.len());
        let error = ChainFile::parse(&text).unwrap_err().to_string();
        assert!(error.len() < 2000, "{error}");
    }
    let long = text.replace("name = \"grid\"", &format!("name = \"{}\"", "é".repeat(20_000)));
    assert!(ChainFile::parse(&long).unwrap_err().to_string().len() < 2000);
}

#[test]
fn a_derived_magic_follows_from_the_chain_and_is_nobody_elses() {
    let file = unsolved();
    let magic = file.derived_magic();
    assert!(magic[0] >= 0x80);
    let later = GenesisTable { time: file.genesis.time + 1, ..file.genesis.clone() };
    assert_ne!(ChainFile { genesis: later, ..file.clone() }.derived_magic(), magic);
    assert_ne!(ChainFile { name: "other".to_owned(), ..file.clone() }.derived_magic(), magic);
    assert_eq!(ChainFile { magic, ..file }.derived_magic(), magic);
}

/// docs/chain-file.md gives this text line by line.
#[test]
fn the_rules_are_hashed_as_documented() {
    let params = unsolved().params();
    let text = "adit chain rules 1
name grid
magic c0ffee01
pow_limit 7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
spacing 10
difficulty asert half_life 600 anchor_height 1
subsidy 5000000000
halving_interval 210000
bip34 1
bip65 1
bip66 1
csv 1
segwit 1
taproot 1
challenge none
";
    assert_eq!(params.rules_text(), text);
    let hash = params.rules_hash().to_byte_array();
    let script = params.genesis.txdata[0].input[0].script_sig.as_bytes();
    assert!(script.ends_with(&hash) && script.len() <= 100, "{}", script.len());
}

/// The longest message still gives a coinbase that the rules of a block would take.
#[test]
fn the_longest_message_fits_the_coinbase() {
    let mut file = unsolved();
    file.genesis.message = "m".repeat(MAX_MESSAGE_LEN);
    let script = file.params().genesis.txdata[0].input[0].script_sig.clone();
    assert_eq!(script.len(), 100);
}

/// The three rules as the validator has them.
#[test]
fn difficulty_rules_become_the_validators() {
    let of = |difficulty| {
        let mut file = unsolved();
        file.rules.difficulty = difficulty;
        file.params()
    };
    let asert = of(DifficultyRule::Asert { half_life: 600, anchor_height: 1 });
    assert_eq!(asert.consensus.difficulty, ChainParams::dev().consensus.difficulty);
    let retarget = of(DifficultyRule::Retarget { interval: 2016, allow_min_difficulty: true, bip94: true });
    let wanted = Difficulty::Retarget {
        pow_target_timespan: 20_160,
        pow_allow_min_difficulty_blocks: true,
        enforce_bip94: true,
        pow_no_retargeting: false,
    };
    assert_eq!(retarget.consensus.difficulty, wanted);

    // Every block ends a period, and a period that ends changes nothing.
    let none = of(DifficultyRule::None);
    let wanted = Difficulty::Retarget {
        pow_target_timespan: 10,
        pow_allow_min_difficulty_blocks: false,
        enforce_bip94: false,
        pow_no_retargeting: true,
    };
    assert_eq!(none.consensus.difficulty, wanted);
}

/// The number of random and mutated files. A longer campaign sets the variable.
fn cases() -> u32 {
    std::env::var("ADIT_CHAIN_FILE_CASES").map_or(256, |cases| cases.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}|[a-z0-9=\\[\\]{}\"'#.,\\n -]{0,400}") {
        prop_assert!(ChainFile::parse(&text).is_err());
    }

    /// A good file with some bytes replaced, removed or repeated: it is refused, or is the same chain.
    #[test]
    fn no_mutation_makes_the_reader_panic_or_another_chain(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        let file = mined(unsolved());
        let mut bytes = file.to_toml().into_bytes();
        for (at, kind, byte) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte & 0x7f,
                1 => bytes.truncate(at.max(1)),
                2 => { bytes.remove(at); }
                _ => { let copy = bytes[at]; bytes.insert(at, copy); }
            }
            if bytes.is_empty() {
                bytes.push(b'#');
            }
        }
        if let Ok(read) = ChainFile::parse(&String::from_utf8_lossy(&bytes)) {
            let hash = read.params().consensus.genesis_hash;
            prop_assert!(Target::from_compact(read.genesis.bits).is_met_by(hash));
            // Only where the stated hash itself was cut away can an easy chain become another one.
            prop_assert!(hash == file.params().consensus.genesis_hash || read.genesis.hash.is_none());
        }
    }
}
