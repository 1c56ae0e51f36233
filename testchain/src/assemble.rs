//! From transactions to a block that a network accepts: coinbase, witness commitment, signet signature, Merkle root and
//! proof of work.
//!
//! Each step can be taken alone: a damaged block needs every step except the one whose rule it must break.

use crate::keys::Key;
use crate::spend::push;
use adit_hash::{Backend, NonceRange, ScanJob};
use bitcoin::block::{Header, Version};
use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, sha256, sha256d};
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_RETURN};
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, Script, ScriptBuf, Sequence, Target, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness, absolute, constants, transaction,
};
use rayon::prelude::*;
use std::sync::Arc;

/// The first bytes of a witness commitment's script (BIP141): `OP_RETURN`, a push of 36 bytes, the tag.
pub const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The tag of a signet solution within the commitment's script (BIP325).
pub const SIGNET_TAG: [u8; 4] = [0xec, 0xc7, 0xda, 0xa2];

/// A network whose blocks can be made here.
#[derive(Debug, Clone)]
pub enum TestNetwork {
    /// Bitcoin Core's regtest: no retarget, two hashes a block.
    Regtest,
    /// A signet with its own challenge: Bitcoin Core's genesis, about five million hashes a block.
    Signet(Arc<SignetAuthority>),
}

/// The signers of a signet: a bare k-of-n multisig.
#[derive(Debug)]
pub struct SignetAuthority {
    /// The signers.
    pub signers: Vec<Key>,
    /// The number of signatures of a block.
    pub threshold: usize,
}

impl SignetAuthority {
    /// `signers` keys made from `seed`, of which the first `threshold` sign.
    pub fn new(seed: u64, threshold: usize, signers: usize) -> Self {
        let key = |index| {
            let label = format!("adit testchain signet {seed} {index}");
            Key::from_bytes(sha256::Hash::hash(label.as_bytes()).to_byte_array())
        };
        Self { signers: (0..signers).map(key).collect(), threshold }
    }

    /// The challenge: `k <key>… n OP_CHECKMULTISIG`.
    pub fn challenge(&self) -> ScriptBuf {
        let mut builder = Builder::new().push_int(self.threshold as i64);
        for key in &self.signers {
            builder = builder.push_key(&key.script_key());
        }
        builder.push_int(self.signers.len() as i64).push_opcode(OP_CHECKMULTISIG).into_script()
    }
}

impl TestNetwork {
    /// The header of the genesis block.
    pub fn genesis(&self) -> Header {
        let network = match self {
            Self::Regtest => bitcoin::Network::Regtest,
            Self::Signet(_) => bitcoin::Network::Signet,
        };
        constants::genesis_block(network).header
    }

    /// The compact target of every block that is made here: signet's first period is as easy as its genesis.
    pub fn bits(&self) -> CompactTarget {
        self.genesis().bits
    }

    /// The target that [`bits`](Self::bits) encodes.
    pub fn target(&self) -> Target {
        self.bits().into()
    }

    /// The four bytes before every message and every block of a `blk` file.
    pub fn magic(&self) -> [u8; 4] {
        match self {
            Self::Regtest => bitcoin::p2p::Magic::REGTEST.to_bytes(),
            Self::Signet(authority) => {
                let mut engine = sha256d::Hash::engine();
                authority.challenge().consensus_encode(&mut engine).expect("a hash engine takes every byte");
                let digest = sha256d::Hash::from_engine(engine).to_byte_array();
                [digest[0], digest[1], digest[2], digest[3]]
            }
        }
    }

    /// The subsidy at `height` in satoshi.
    pub fn subsidy(&self, height: u32) -> u64 {
        let interval = match self {
            Self::Regtest => 150,
            Self::Signet(_) => 210_000,
        };
        (50 * Amount::ONE_BTC.to_sat()).checked_shr(height / interval).unwrap_or(0)
    }
}

/// An unsealed block on top of `previous`: its Merkle root and nonce are zero.
pub fn block_on(network: &TestNetwork, previous: BlockHash, time: u32, transactions: Vec<Transaction>) -> Block {
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: previous,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: network.bits(),
        nonce: 0,
    };
    Block { header, txdata: transactions }
}

/// A coinbase for `height` (BIP34) with a zero reserved value (BIP141) and `tag` in its script, without a commitment.
pub fn coinbase(height: u32, tag: &[u8], outputs: Vec<TxOut>) -> Transaction {
    let script_sig = Builder::new().push_int(i64::from(height)).push_slice(push(tag)).into_script();
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: outputs,
    }
}

/// The position of the output that holds the witness commitment: the last that looks like one.
pub fn commitment_position(coinbase: &Transaction) -> Option<usize> {
    let is_commitment = |output: &TxOut| {
        output.script_pubkey.len() >= 38 && output.script_pubkey.as_bytes().starts_with(&COMMITMENT_PREFIX)
    };
    coinbase.output.iter().rposition(is_commitment)
}

/// Writes the witness commitment (BIP141) into the coinbase, in a new last output if there is none yet.
///
/// Bytes after the first 38 of an older commitment are removed. A block whose coinbase has no witness, or an empty one,
/// commits with a reserved value of zero.
pub fn commit_witness(block: &mut Block) {
    let Some(root) = block.witness_root() else { return };
    let Some(coinbase) = block.txdata.first_mut() else { return };
    let reserved = coinbase.input.first().and_then(|input| input.witness.nth(0)).unwrap_or(&[0; 32]).to_vec();
    let commitment = Block::compute_witness_commitment(&root, &reserved);
    let mut script = COMMITMENT_PREFIX.to_vec();
    script.extend_from_slice(commitment.as_byte_array());
    let script_pubkey = ScriptBuf::from_bytes(script);
    match commitment_position(coinbase) {
        Some(position) => coinbase.output[position].script_pubkey = script_pubkey,
        None => coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey }),
    }
}

/// Writes the Merkle root of the block's transactions into its header: zero for none, as Bitcoin Core computes it.
pub fn set_merkle_root(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().unwrap_or_else(TxMerkleNode::all_zeros);
}

/// Sets the first nonce from zero whose hash meets `target`, whatever target the header claims. If no nonce does, the
/// header stays as it is.
pub fn mine(header: &mut Header, target: Target) {
    let mut bytes = [0; adit_hash::HEADER_LEN];
    header.consensus_encode(&mut &mut bytes[..]).expect("a header has 80 bytes");
    let meets = |nonce: u32| {
        let mut header = bytes;
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        Target::from_le_bytes(sha256d::Hash::hash(&header).to_byte_array()) <= target
    };
    // The first few nonces are enough on regtest; only a signet needs the kernel and threads. The lowest nonce wins,
    // whatever the number of threads.
    const FEW: u32 = 64;
    const STRETCH: u32 = 1 << 19;
    let first = (0..FEW).find(|&nonce| meets(nonce));
    let search = || {
        let (job, target) = (ScanJob::new(&bytes), adit_hash::ScanTarget::from_le_bytes(target.to_le_bytes()));
        (0..1_u32 << 13).into_par_iter().by_exponential_blocks().find_map_first(|stretch| {
            let mut hits = Vec::new();
            let range = NonceRange::new(stretch * STRETCH, STRETCH.into());
            Backend::fastest().scan(&job, range, &target, &mut hits);
            hits.first().copied()
        })
    };
    if let Some(nonce) = first.or_else(search) {
        header.nonce = nonce;
    }
}

/// Completes the block: commitment, signet signature where there is one, Merkle root, proof of work.
pub fn seal(network: &TestNetwork, block: &mut Block) {
    commit_witness(block);
    finish(network, block);
}

/// As [`seal`], but leaves the commitment's hash as it is.
pub fn finish(network: &TestNetwork, block: &mut Block) {
    if let TestNetwork::Signet(authority) = network {
        let signers: Vec<&Key> = authority.signers.iter().take(authority.threshold).collect();
        sign_signet(block, &authority.challenge(), &signers);
    }
    set_merkle_root(block);
    mine(&mut block.header, network.target());
}

/// Puts the signet solution of `signers` into the commitment's script (BIP325). Does nothing if there is no commitment.
pub fn sign_signet(block: &mut Block, challenge: &Script, signers: &[&Key]) {
    let Some(position) = block.txdata.first().and_then(commitment_position) else { return };
    let commitment = block.txdata[0].output[position].script_pubkey.as_bytes()[..38].to_vec();
    let with_solution = |solution: &[u8]| {
        let mut script = commitment.clone();
        let tagged = [&SIGNET_TAG[..], solution].concat();
        script.extend(Builder::new().push_slice(push(&tagged)).into_bytes());
        ScriptBuf::from_bytes(script)
    };
    block.txdata[0].output[position].script_pubkey = with_solution(&[]);
    let to_sign = signet_transaction(block, challenge);
    let mut script_sig = Builder::new().push_int(0);
    for key in signers {
        script_sig = script_sig.push_slice(push(&key.sign_legacy(&to_sign, 0, challenge, 1)));
    }
    let mut solution = Vec::new();
    script_sig.into_script().consensus_encode(&mut solution).expect("a vector takes every byte");
    Witness::new().consensus_encode(&mut solution).expect("a vector takes every byte");
    block.txdata[0].output[position].script_pubkey = with_solution(&solution);
}

/// BIP325's `to_sign`, for a block whose commitment holds the bare tag.
fn signet_transaction(block: &Block, challenge: &Script) -> Transaction {
    let virtual_transaction = |previous_output, script_sig, script_pubkey| Transaction {
        version: transaction::Version(0),
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, script_sig, sequence: Sequence::ZERO, witness: Witness::new() }],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey }],
    };
    let mut data = Vec::with_capacity(72);
    data.extend_from_slice(&block.header.version.to_consensus().to_le_bytes());
    data.extend_from_slice(block.header.prev_blockhash.as_byte_array());
    let root = block.compute_merkle_root().unwrap_or_else(TxMerkleNode::all_zeros);
    data.extend_from_slice(root.as_byte_array());
    data.extend_from_slice(&block.header.time.to_le_bytes());
    let script_sig = Builder::new().push_int(0).push_slice(push(&data)).into_script();
    let to_spend = virtual_transaction(OutPoint::null(), script_sig, challenge.to_owned());
    let op_return = Builder::new().push_opcode(OP_RETURN).into_script();
    virtual_transaction(OutPoint::new(to_spend.compute_txid(), 0), ScriptBuf::new(), op_return)
}
