//! Adit beside Bitcoin Core's chain state, on regtest and on a signet: honest blocks, blocks with one rule broken, blocks
//! that only look wrong, blocks damaged blindly and blocks with a damaged signature. Both get the same bytes; the
//! verdict, its reason and the tip must be the same after each.
//!
//! Of several broken rules Core names the one that it comes to first. With script threads, which it has by default, a
//! script that fails comes after everything else of the block, as here; so the kernel gets one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_testchain::assemble::{
    SIGNET_TAG, SignetAuthority, TestNetwork, commit_witness, commitment_position, finish, mine, set_merkle_root,
    sign_signet,
};
use adit_testchain::mutate::mutate;
use adit_testchain::{Damage, EdgeCase, Oracle, OracleSubmission, Rng, Scene, Verdict};
use adit_validator::block::{DecodeError, DecodedBlock};
use adit_validator::chain::{ChainParams, signet_magic};
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::rules::validate_block_in_isolation;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{Amount, Block, BlockHash, ScriptBuf, Witness};

/// A chain is left before signet's first retarget, which would make its blocks harder.
const MAX_HEIGHT: u32 = 1_900;

/// How many blocks to judge on a network: `ADIT_DIFFERENTIAL_BLOCKS`, or a few hundred; fewer where each takes five million
/// hashes.
fn blocks_to_judge(network: &TestNetwork) -> usize {
    let few = match network {
        TestNetwork::Regtest => 300,
        TestNetwork::Signet(_) => 100,
    };
    let blocks = std::env::var("ADIT_DIFFERENTIAL_BLOCKS");
    blocks.map_or(few, |blocks| blocks.parse().expect("ADIT_DIFFERENTIAL_BLOCKS is a number"))
}

/// The same chain twice, and where new blocks for it come from.
struct Duel {
    scene: Scene,
    network: TestNetwork,
    ours: ChainState,
    cores: Oracle,
    rng: Rng,
    now: u64,
    reasons: BTreeMap<String, usize>,
}

impl Duel {
    fn new(network: TestNetwork, seed: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let (params, cores) = match &network {
            TestNetwork::Regtest => (ChainParams::regtest(), Oracle::regtest(1).unwrap()),
            TestNetwork::Signet(authority) => {
                let challenge = authority.challenge();
                let mut params = ChainParams::signet();
                params.magic = signet_magic(&challenge);
                params.consensus.signet_challenge = Some(challenge.clone());
                (params, Oracle::signet(challenge.as_bytes(), 1).unwrap())
            }
        };
        let options = ChainStateOptions::default().with_commit(CommitPolicy::WhenFull);
        let ours = ChainState::in_memory(params, None, options).unwrap();
        let scene = Scene::new(network.clone(), seed, now as u32);
        let mut duel = Self { scene, network, ours, cores, rng: Rng::new(seed), now, reasons: BTreeMap::new() };
        for block in duel.scene.warm_up() {
            duel.judge(&block, "warm-up");
        }
        assert_eq!(duel.reasons.keys().collect::<Vec<_>>(), ["accepted"]);
        duel.reasons.clear();
        duel
    }

    /// The beginning of a signet's chain, nothing mined on it.
    fn on_signet(authority: Arc<SignetAuthority>, seed: u64) -> Self {
        let challenge = authority.challenge();
        let mut params = ChainParams::signet();
        params.consensus.signet_challenge = Some(challenge.clone());
        let now = u64::from(params.genesis.header.time) + 1_000_000;
        let options = ChainStateOptions::default().with_commit(CommitPolicy::WhenFull);
        let ours = ChainState::in_memory(params, None, options).unwrap();
        let cores = Oracle::signet(challenge.as_bytes(), 1).unwrap();
        let network = TestNetwork::Signet(authority);
        let scene = Scene::new(network.clone(), seed, now as u32);
        Self { scene, network, ours, cores, rng: Rng::new(seed), now, reasons: BTreeMap::new() }
    }

    /// Puts a block to both, and holds what they say and where they end against each other.
    fn judge(&mut self, block: &[u8], name: &str) {
        let OracleSubmission { verdict, also_rejected, .. } = self.cores.submit(block);
        let (ours, first_bad) = self.our_verdict(block);
        let cores = match verdict {
            // Core says nothing of a block that made it try an ancestor, and that ancestor is bad. Ours names the ancestor.
            Verdict::Accepted => match also_rejected.into_iter().find(|(hash, _)| Some(*hash) == first_bad) {
                Some((_, rejection)) => rejection.reason,
                None => "accepted".to_owned(),
            },
            Verdict::Duplicate => "duplicate".to_owned(),
            Verdict::Undecodable => "undecodable".to_owned(),
            Verdict::Rejected(rejection) => rejection.reason,
        };
        let at = || format!("{}, {name}: {}", named(&self.network), hex::encode(block));
        assert!(same_reason(&cores, &ours), "Core: {cores}, Adit: {ours}; {}", at());
        assert_eq!(self.ours.tip().hash, self.cores.tip(), "the tip; {}", at());
        *self.reasons.entry(ours).or_default() += 1;
    }

    /// The verdict, and the first bad block of the chain that it is about, if the block made Adit try that.
    fn our_verdict(&mut self, block: &[u8]) -> (String, Option<BlockHash>) {
        let block = match DecodedBlock::decode(block) {
            Ok(block) => block,
            // Core's interface ignores what follows a block.
            Err(DecodeError::TrailingBytes { offset, .. }) => DecodedBlock::decode(&block[..offset]).unwrap(),
            Err(_) => return ("undecodable".to_owned(), None),
        };
        // Adit answers for a known hash without looking at the bytes again; Core looks first. What it sees, ours see.
        let (hash, isolated) = (block.hash(), validate_block_in_isolation(&self.ours.params().consensus, &block));
        let verdict = match self.ours.accept_block(block, self.now).unwrap() {
            BlockOutcome::Connected { .. } | BlockOutcome::SideBranch { .. } => "accepted",
            BlockOutcome::Duplicate | BlockOutcome::KnownInvalid { .. } if isolated.is_err() => {
                return (isolated.unwrap_err().reject_reason().into_owned(), None);
            }
            // Known, and only as an orphan.
            BlockOutcome::Duplicate if self.ours.headers().lookup(&hash).is_none() => "prev-blk-not-found",
            BlockOutcome::Duplicate => "duplicate",
            BlockOutcome::Invalid(invalid) => {
                return (invalid.error.reject_reason().into_owned(), Some(invalid.hash));
            }
            // Two outcomes that Core tells as reasons. Ours are not errors: an orphan is kept for its parent.
            BlockOutcome::UnknownParent => "prev-blk-not-found",
            BlockOutcome::KnownInvalid { .. } => "duplicate-invalid",
            outcome => return (format!("{outcome:?}"), None),
        };
        (verdict.to_owned(), None)
    }

    fn judged(&self) -> usize {
        self.reasons.values().sum()
    }

    /// One random case of one or more blocks.
    fn case(&mut self) {
        let before = self.scene.clone();
        self.any_case();
        // Some cases begin with a block that regtest accepts and a signet does not: one without a commitment to sign, say.
        let tree = self.ours.headers();
        let tip = tree.lookup(&self.scene.chain().tip().hash);
        if tip.is_none_or(|tip| tree.entry(tip).is_failed()) {
            self.scene = before;
        }
    }

    fn any_case(&mut self) {
        let signed = matches!(self.network, TestNetwork::Signet(_));
        match self.rng.below(if signed { 5 } else { 4 }) {
            0 => {
                let damage = Damage::ALL[self.rng.below(Damage::ALL.len())];
                let case = damage.case(&mut self.scene);
                case.steps.iter().for_each(|step| self.judge(&step.block, &format!("{damage:?}")));
            }
            1 => {
                let edge = EdgeCase::ALL[self.rng.below(EdgeCase::ALL.len())];
                let case = edge.case(&mut self.scene);
                case.steps.iter().for_each(|step| self.judge(&step.block, &format!("{edge:?}")));
            }
            2 | 3 => self.mutants(),
            _ => self.damaged_signature(),
        }
    }

    /// Blind mutants of a block that neither side has seen, then the block, and one more that wins over a mutant which
    /// was as good.
    fn mutants(&mut self) {
        let honest = self.scene.honest(2);
        for _ in 0..4 {
            let (mutant, mutations) = mutate(&self.network, &mut self.rng, &honest[0], &honest[1]);
            self.judge(&mutant, &format!("{mutations:?}"));
        }
        honest.iter().for_each(|block| self.judge(block, "honest"));
    }

    /// A block whose signature is wrong in some way, or is by others or written otherwise and right.
    fn damaged_signature(&mut self) {
        let TestNetwork::Signet(authority) = self.network.clone() else { return };
        let mut block = self.scene.chain().fork(self.rng.next_u64()).draft().block;
        commit_witness(&mut block);
        let kind = SignatureDamage::ALL[self.rng.below(SignatureDamage::ALL.len())];
        kind.apply(&mut block, &authority, &mut self.rng);
        set_merkle_root(&mut block);
        mine(&mut block.header, self.network.target());
        self.judge(&serialize(&block), &format!("{kind:?}"));
    }
}

fn named(network: &TestNetwork) -> &'static str {
    match network {
        TestNetwork::Regtest => "regtest",
        TestNetwork::Signet(_) => "signet",
    }
}

/// The kernel is newer than Core 28 and calls a failing script by another name; it also says how the script fails, which its
/// interface does not give out.
fn same_reason(kernel: &str, ours: &str) -> bool {
    let script = "script-verify-flag-failed";
    kernel == ours || (kernel.contains(script) && ours.contains(script))
}

/// What can be wrong with a signet's signature.
#[derive(Clone, Copy, Debug)]
enum SignatureDamage {
    NoCommitment,
    NoSolution,
    BareTag,
    TooFewSigners,
    SignersOutOfOrder,
    SignerTwice,
    Stranger,
    OtherSigners,
    SolutionCut,
    SolutionLonger,
    SolutionFlipped,
    SolutionOfNoScript,
    WitnessBeside,
    TwoSolutions,
    WrongSolutionFirst,
    PushBefore,
    LongPush,
    TimeChanged,
    VersionChanged,
    ValueChanged,
    TransactionAdded,
}

impl SignatureDamage {
    const ALL: [Self; 21] = [
        Self::NoCommitment,
        Self::NoSolution,
        Self::BareTag,
        Self::TooFewSigners,
        Self::SignersOutOfOrder,
        Self::SignerTwice,
        Self::Stranger,
        Self::OtherSigners,
        Self::SolutionCut,
        Self::SolutionLonger,
        Self::SolutionFlipped,
        Self::SolutionOfNoScript,
        Self::WitnessBeside,
        Self::TwoSolutions,
        Self::WrongSolutionFirst,
        Self::PushBefore,
        Self::LongPush,
        Self::TimeChanged,
        Self::VersionChanged,
        Self::ValueChanged,
        Self::TransactionAdded,
    ];

    /// Signs `block`, which has its witness commitment, in this wrong way.
    fn apply(self, block: &mut Block, authority: &SignetAuthority, rng: &mut Rng) {
        let challenge = authority.challenge();
        let [first, second, third] = [0, 1, 2].map(|index| &authority.signers[index]);
        let stranger = &SignetAuthority::new(99, 1, 1).signers[0];
        let (commitment, solution) = {
            let mut signed = block.clone();
            sign_signet(&mut signed, &challenge, &[first, second]);
            let script = commitment_of(&mut signed).clone().into_bytes();
            let solution = Builder::from(script[38..].to_vec()).into_script();
            let solution = solution.instructions().next().unwrap().unwrap().push_bytes().unwrap().as_bytes().to_vec();
            (script[..38].to_vec(), solution)
        };
        let flip = |solution: &[u8], rng: &mut Rng| {
            let mut flipped = solution.to_vec();
            let at = SIGNET_TAG.len() + rng.below(flipped.len() - SIGNET_TAG.len());
            flipped[at] ^= 1 << rng.below(8);
            flipped
        };
        let pushes: Vec<Vec<u8>> = match self {
            Self::NoCommitment => {
                block.txdata[0].output.pop();
                block.txdata[0].input[0].witness = Witness::new();
                return;
            }
            Self::TooFewSigners => return sign_signet(block, &challenge, &[first]),
            Self::SignersOutOfOrder => return sign_signet(block, &challenge, &[second, first]),
            Self::SignerTwice => return sign_signet(block, &challenge, &[first, first]),
            Self::Stranger => return sign_signet(block, &challenge, &[first, stranger]),
            Self::OtherSigners => return sign_signet(block, &challenge, &[second, third]),
            Self::NoSolution => vec![],
            Self::BareTag => vec![SIGNET_TAG.to_vec()],
            Self::SolutionCut => vec![solution[..4 + rng.below(solution.len() - 4)].to_vec()],
            Self::SolutionLonger => vec![[&solution[..], &[0]].concat()],
            Self::SolutionFlipped => vec![flip(&solution, rng)],
            Self::SolutionOfNoScript => vec![[&SIGNET_TAG[..], &[0, 0]].concat()],
            Self::WitnessBeside => vec![[&solution[..solution.len() - 1], &[1, 1, 7]].concat()],
            Self::TwoSolutions => vec![solution.clone(), solution],
            Self::WrongSolutionFirst => vec![flip(&solution, rng), solution],
            Self::PushBefore => vec![vec![7; 3], solution],
            Self::LongPush => {
                let length = u16::try_from(solution.len()).unwrap().to_le_bytes();
                let script = [&commitment[..], &[0x4d], &length, &solution].concat();
                *commitment_of(block) = ScriptBuf::from_bytes(script);
                return;
            }
            Self::TimeChanged | Self::VersionChanged | Self::ValueChanged | Self::TransactionAdded => vec![solution],
        };
        let mut script = commitment;
        for data in pushes {
            script.extend(Builder::new().push_slice(PushBytesBuf::try_from(data).unwrap()).into_bytes());
        }
        *commitment_of(block) = ScriptBuf::from_bytes(script);
        match self {
            Self::TimeChanged => block.header.time += 1,
            Self::VersionChanged => {
                block.header.version = bitcoin::block::Version::from_consensus(0x2000_0002);
            }
            Self::ValueChanged => block.txdata[0].output[0].value -= Amount::ONE_SAT,
            Self::TransactionAdded => block.txdata.extend(block.txdata.last().cloned()),
            _ => {}
        }
    }
}

fn commitment_of(block: &mut Block) -> &mut ScriptBuf {
    let position = commitment_position(&block.txdata[0]).unwrap();
    &mut block.txdata[0].output[position].script_pubkey
}

/// Judges blocks until there are enough, on as many chains as that takes.
fn campaign(network: &TestNetwork, first_seed: u64) -> BTreeMap<String, usize> {
    let (wanted, mut reasons) = (blocks_to_judge(network), BTreeMap::new());
    let judged = |reasons: &BTreeMap<String, usize>| reasons.values().sum::<usize>();
    for seed in first_seed.. {
        let missing = wanted.saturating_sub(judged(&reasons));
        if missing == 0 {
            break;
        }
        let mut duel = Duel::new(network.clone(), seed);
        while duel.judged() < missing && duel.ours.tip().height < MAX_HEIGHT {
            duel.case();
        }
        for (reason, count) in duel.reasons {
            *reasons.entry(reason).or_default() += count;
        }
    }
    println!("{}: {} blocks: {reasons:#?}", named(network), judged(&reasons));
    reasons
}

#[test]
fn random_cases_on_regtest() {
    let reasons = campaign(&TestNetwork::Regtest, 31);
    for wanted in ["accepted", "undecodable", "high-hash", "bad-txnmrklroot"] {
        assert!(reasons.contains_key(wanted), "no {wanted} in {reasons:?}");
    }
}

#[test]
fn random_cases_on_a_signet() {
    let reasons = campaign(&TestNetwork::Signet(Arc::new(SignetAuthority::new(7, 2, 3))), 41);
    for wanted in ["accepted", "undecodable", "high-hash", "bad-signet-blksig"] {
        assert!(reasons.contains_key(wanted), "no {wanted} in {reasons:?}");
    }
}

/// Where five of six must sign, five do, whichever, and four do not.
#[test]
fn five_of_six_signers_make_a_block() {
    let authority = Arc::new(SignetAuthority::new(9, 5, 6));
    let challenge = authority.challenge();
    let signed_by = |left_out: &[usize]| {
        let mut duel = Duel::on_signet(Arc::clone(&authority), 71);
        let mut block: Block = deserialize(&duel.scene.honest(1)[0]).unwrap();
        commit_witness(&mut block);
        let signers = authority.signers.iter().enumerate().filter(|(index, _)| !left_out.contains(index));
        sign_signet(&mut block, &challenge, &signers.map(|(_, signer)| signer).collect::<Vec<_>>());
        set_merkle_root(&mut block);
        mine(&mut block.header, duel.network.target());
        duel.judge(&serialize(&block), "signed");
        duel.reasons.keys().next().cloned().unwrap()
    };
    assert_eq!([signed_by(&[0]), signed_by(&[5])], ["accepted", "accepted"]);
    assert_eq!([signed_by(&[0, 3]), signed_by(&[])], ["bad-signet-blksig", "bad-signet-blksig"]);
}

/// A bad block that waited beside the tip is tried when its child comes. Met once in 18,000 blocks on a signet, where Core was
/// taken to have accepted the child.
#[test]
fn a_bad_block_beside_the_tip_is_found_with_its_child() {
    let mut duel = Duel::new(TestNetwork::Regtest, 61);
    let before = duel.scene.clone();
    let honest = duel.scene.honest(1);
    duel.judge(&honest[0], "honest");
    duel.scene = before;
    let steps = Damage::ParentInvalid.case(&mut duel.scene).steps;
    let verdicts = steps.iter().map(|step| {
        duel.reasons.clear();
        duel.judge(&step.block, "beside the tip");
        duel.reasons.keys().next().cloned().unwrap()
    });
    assert_eq!(verdicts.collect::<Vec<_>>(), ["accepted", "bad-cb-amount"]);
    assert_eq!(duel.ours.tip().hash, deserialize::<Block>(&honest[0]).unwrap().block_hash());
}

/// Each way to get a signature wrong, once, on a short chain, and what both make of it.
#[test]
fn every_damage_of_a_signature() {
    let authority = Arc::new(SignetAuthority::new(8, 2, 3));
    let mut duel = Duel::on_signet(Arc::clone(&authority), 51);
    let mut accepted = Vec::new();
    for kind in SignatureDamage::ALL {
        let mut block: Block = deserialize(&duel.scene.honest(1)[0]).unwrap();
        let honest = serialize(&block);
        commit_witness(&mut block);
        kind.apply(&mut block, &authority, &mut duel.rng);
        set_merkle_root(&mut block);
        mine(&mut block.header, duel.network.target());
        duel.judge(&serialize(&block), &format!("{kind:?}"));
        if duel.ours.tip().hash == block.block_hash() {
            accepted.push(format!("{kind:?}"));
        }
        duel.judge(&honest, "honest");
    }
    assert_eq!(accepted, ["OtherSigners", "LongPush"]);
    let mut unsigned: Block = deserialize(&duel.scene.honest(1)[0]).unwrap();
    unsigned.txdata[0].output.pop();
    finish(&duel.network, &mut unsigned);
    duel.judge(&serialize(&unsigned), "no commitment to sign");
}
