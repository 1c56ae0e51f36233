//! A block template for the chain that this process keeps: an unsolved block, and the same as the miner's `Template`.
//!
//! The miner knows only the coinbase around its extranonce and the Merkle branch above it; the rest of the block waits here
//! until a solution says which extranonce, version and time it was found with.

use adit_miner::{Coinbase, Solution, Template, TemplateId};
use adit_validator::chainstate::NextBlock;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness};

/// What every coinbase of ours carries after height and extranonce, so that a block tells who built it.
const TAG: &[u8] = b"/adit/";

/// The version bits that BIP320 leaves to miners.
const VERSION_MASK: u32 = 0x1fff_e000;

/// BIP9's top bits: version 2 to 4's rules are all in force, no deployment is signalled.
const VERSION: i32 = 0x2000_0000;

/// Eight bytes: 2^64 Merkle roots before time has to be rolled.
const EXTRANONCE_LEN: usize = 8;

/// How far behind the template's making a header's time may be rolled forward, in seconds.
const TIME_ROOM: u32 = 600;

/// Bytes of a serialized transaction before its first input's script: version, input count, outpoint, script length.
const BEFORE_SCRIPT: usize = 4 + 1 + 36 + 1;

/// An unsolved block.
pub struct BlockTemplate {
    block: Block,
    /// Where the extranonce stands in the coinbase's script.
    extranonce_at: usize,
    /// The latest time that the header may be rolled to, in seconds since 1970.
    latest: u32,
}

impl BlockTemplate {
    /// A block for the place after the tip that `next` describes, its reward paid to `payout`. `now` and `latest`, the
    /// latest time that the rules allow, are in seconds since 1970. `salt` stands in the coinbase.
    pub fn new(next: &NextBlock, payout: ScriptBuf, now: u32, latest: u32, salt: u64) -> Self {
        let before = Builder::new().push_int(i64::from(next.height)).push_slice(salt.to_le_bytes()).into_script();
        // One byte of push opcode stands before the extranonce.
        let extranonce_at = before.len() + 1;
        let mut script = before.into_bytes();
        script.push(EXTRANONCE_LEN as u8);
        script.extend([0; EXTRANONCE_LEN]);
        script.push(TAG.len() as u8);
        script.extend(TAG);

        let reserved = [0; 32];
        let coinbase = Transaction {
            version: TxVersion::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(script),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[reserved]),
            }],
            output: vec![
                TxOut { value: next.subsidy, script_pubkey: payout },
                TxOut { value: Amount::ZERO, script_pubkey: witness_commitment(reserved) },
            ],
        };
        let block = Block {
            header: Header {
                version: Version::from_consensus(VERSION),
                prev_blockhash: next.previous,
                merkle_root: TxMerkleNode::all_zeros(),
                time: now.max(next.minimum_time),
                bits: next.bits,
                nonce: 0,
            },
            txdata: vec![coinbase],
        };
        Self { block, extranonce_at, latest }
    }

    /// The same for the miner.
    pub fn for_miner(&self, id: TemplateId, height: u32) -> Template {
        let header = &self.block.header;
        let base = without_witness(&self.block.txdata[0]);
        let at = BEFORE_SCRIPT + self.extranonce_at;
        let coinbase = Coinbase::new(base[..at].to_vec(), EXTRANONCE_LEN, base[at + EXTRANONCE_LEN..].to_vec());
        let target = adit_hash::ScanTarget::from_le_bytes(bitcoin::Target::from(header.bits).to_le_bytes());
        let (prev_hash, bits) = (header.prev_blockhash.to_byte_array(), header.bits.to_consensus());
        Template::new(id, prev_hash, coinbase, header.time, bits, target)
            .with_height(height)
            .with_version(header.version.to_consensus(), VERSION_MASK)
            .with_max_time(header.time.saturating_add(TIME_ROOM).min(self.latest))
    }

    /// The block that `solution` solves, serialized.
    pub fn solved(&self, solution: &Solution) -> Result<Vec<u8>, bitcoin::consensus::encode::Error> {
        let mut block = self.block.clone();
        block.header = deserialize(&solution.header)?;
        let input = &mut block.txdata[0].input[0];
        let mut script = std::mem::take(&mut input.script_sig).into_bytes();
        script[self.extranonce_at..self.extranonce_at + EXTRANONCE_LEN].copy_from_slice(&solution.extranonce);
        input.script_sig = ScriptBuf::from_bytes(script);
        Ok(serialize(&block))
    }
}

/// The commitment output's script of a block whose only transaction is the coinbase (BIP141): its witness root is the
/// coinbase's own place in the tree, which is zero.
fn witness_commitment(reserved: [u8; 32]) -> ScriptBuf {
    let commitment = sha256d::Hash::hash(&[[0; 32], reserved].concat());
    let mut payload = PushBytesBuf::from([0xaa, 0x21, 0xa9, 0xed]);
    payload.extend_from_slice(commitment.as_byte_array()).expect("36 bytes fit in a push");
    Builder::new().push_opcode(OP_RETURN).push_slice(payload).into_script()
}

/// The bytes that a transaction id hashes.
fn without_witness(transaction: &Transaction) -> Vec<u8> {
    let mut base = transaction.clone();
    base.input.iter_mut().for_each(|input| input.witness.clear());
    serialize(&base)
}
