//! A block template: an unsolved block on the tip of a chain, with room for an extranonce in the coinbase.
//!
//! A miner gets the header, the coinbase before and after the extranonce, and the Merkle branch of the coinbase. The
//! template keeps the rest of the block until the miner returns a header and an extranonce.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness};
use thiserror::Error;

use crate::chainstate::NextBlock;
use crate::rules::MAX_FUTURE_BLOCK_TIME;

/// The tag in every coinbase after height and extranonce, which names the program that built the block.
const TAG: &[u8] = b"/adit/";

/// BIP9's top bits: the rules of versions 2 to 4 are in force, no deployment is signalled.
const VERSION: i32 = 0x2000_0000;

/// The greatest number of seconds that a header's time may be rolled forward.
const TIME_ROOM: u32 = 600;

/// Bytes of a serialized transaction before its first input's script: version, input count, outpoint, script length.
const BEFORE_SCRIPT: usize = 4 + 1 + 36 + 1;

/// An unsolved block.
#[derive(Clone, Debug)]
pub struct BlockTemplate {
    block: Block,
    height: u32,
    /// The offset of the extranonce in the coinbase's script.
    extranonce_at: usize,
    max_time: u32,
}

/// The coinbase before and after its extranonce, serialized without witness, as for its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoinbaseParts {
    /// The bytes before the extranonce.
    pub prefix: Vec<u8>,
    /// The bytes after the extranonce.
    pub suffix: Vec<u8>,
}

/// A solution that does not fit its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SolutionError {
    /// The extranonce has another length.
    #[error("an extranonce of {seen} bytes, wanted {}", BlockTemplate::EXTRANONCE_LEN)]
    ExtranonceLength {
        /// Its length in bytes.
        seen: usize,
    },
}

impl BlockTemplate {
    /// The version bits that miners may roll (BIP320).
    pub const VERSION_MASK: u32 = 0x1fff_e000;

    /// The length of the extranonce in bytes. It gives 2^64 Merkle roots.
    pub const EXTRANONCE_LEN: usize = 8;

    /// A template for the block that `next` describes. Its reward is paid to `payout`. `now` is the network's time in
    /// seconds since 1970. `salt` is put into the coinbase, so that no two templates are equal.
    ///
    /// `None`: the chain is so far ahead of `now` that the block would be refused. Where blocks are as easy as on regtest,
    /// every sixth block moves the median time past, and with it the earliest time, one second on.
    #[must_use]
    pub fn new(next: &NextBlock, payout: ScriptBuf, now: u32, salt: u64) -> Option<Self> {
        let latest = now.saturating_add(MAX_FUTURE_BLOCK_TIME as u32);
        if next.time > latest {
            return None;
        }
        let before = Builder::new().push_int(i64::from(next.height)).push_slice(salt.to_le_bytes()).into_script();
        // One byte of push opcode stands before the extranonce.
        let extranonce_at = before.len() + 1;
        let mut script = before.into_bytes();
        script.push(Self::EXTRANONCE_LEN as u8);
        script.extend([0; Self::EXTRANONCE_LEN]);
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
        let header = Header {
            version: Version::from_consensus(VERSION),
            prev_blockhash: next.prev_hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: next.time,
            bits: next.bits,
            nonce: 0,
        };
        let max_time = next.time.saturating_add(TIME_ROOM).min(next.max_time).min(latest);
        Some(Self { block: Block { header, txdata: vec![coinbase] }, height: next.height, extranonce_at, max_time })
    }

    /// The height of the block.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The header. The miner sets the version bits in [`Self::VERSION_MASK`], the Merkle root, the time and the nonce.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.block.header
    }

    /// The latest time that the header may be rolled to, in seconds since 1970.
    #[must_use]
    pub const fn max_time(&self) -> u32 {
        self.max_time
    }

    /// The coinbase before and after its extranonce.
    #[must_use]
    pub fn coinbase(&self) -> CoinbaseParts {
        let base = without_witness(&self.block.txdata[0]);
        let at = BEFORE_SCRIPT + self.extranonce_at;
        CoinbaseParts { prefix: base[..at].to_vec(), suffix: base[at + Self::EXTRANONCE_LEN..].to_vec() }
    }

    /// The Merkle branch from the coinbase to the root: the sibling at each level, leaves first, in the byte order of
    /// SHA-256.
    #[must_use]
    pub const fn merkle_branch(&self) -> Vec<sha256d::Hash> {
        // The coinbase is the only transaction.
        Vec::new()
    }

    /// The block with this header and extranonce, in network encoding.
    ///
    /// # Errors
    /// The extranonce has another length than [`Self::EXTRANONCE_LEN`].
    pub fn solved(&self, header: &[u8; 80], extranonce: &[u8]) -> Result<Vec<u8>, SolutionError> {
        if extranonce.len() != Self::EXTRANONCE_LEN {
            return Err(SolutionError::ExtranonceLength { seen: extranonce.len() });
        }
        let mut block = self.block.clone();
        block.header = deserialize(header).expect("any 80 bytes are a header");
        let input = &mut block.txdata[0].input[0];
        let mut script = std::mem::take(&mut input.script_sig).into_bytes();
        script[self.extranonce_at..self.extranonce_at + Self::EXTRANONCE_LEN].copy_from_slice(extranonce);
        input.script_sig = ScriptBuf::from_bytes(script);
        Ok(serialize(&block))
    }
}

/// The script of the witness commitment of a block whose only transaction is the coinbase (BIP141). The witness root is
/// the coinbase's wtxid, which counts as zero.
fn witness_commitment(reserved: [u8; 32]) -> ScriptBuf {
    let commitment = sha256d::Hash::hash(&[[0; 32], reserved].concat());
    let mut payload = PushBytesBuf::from([0xaa, 0x21, 0xa9, 0xed]);
    payload.extend_from_slice(commitment.as_byte_array()).expect("36 bytes fit in a push");
    Builder::new().push_opcode(OP_RETURN).push_slice(payload).into_script()
}

/// A transaction serialized without witnesses, as for its txid.
fn without_witness(transaction: &Transaction) -> Vec<u8> {
    let mut base = transaction.clone();
    base.input.iter_mut().for_each(|input| input.witness.clear());
    serialize(&base)
}
