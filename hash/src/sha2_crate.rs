//! The `sha2` crate's compression function: whatever acceleration it has for this CPU, on every architecture.
//!
//! It is the default where no other kernel runs, and the baseline that the others are measured with: its scan is the plain loop,
//! two compressions a nonce from a midstate.

use sha2::block_api::compress256;

use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, PAIR_BITS, bytes};
use crate::{HashBytes, HeaderBytes};

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    let mut block = padded::<16>(HEADER_BITS);
    block[..12].copy_from_slice(&job.header(0)[64..76]);
    for i in 0..range.count {
        let nonce = range.first.wrapping_add(i as u32);
        block[12..16].copy_from_slice(&nonce.to_le_bytes());
        let mut state = job.midstate();
        compress256(&mut state, &[block]);
        let digest = second_hash(state);
        if digest[7].swap_bytes() <= target.top() && target.is_met_by(&bytes(digest)) {
            hits.push(nonce);
        }
    }
}

/// Writes the double hash of `headers[i]` to `out[i]`.
pub(crate) fn hash_headers(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    let mut blocks = [[0; 64], padded::<16>(HEADER_BITS)];
    for (header, digest) in headers.iter().zip(out) {
        blocks.as_flattened_mut()[..header.len()].copy_from_slice(header);
        let mut state = IV;
        compress256(&mut state, &blocks);
        *digest = bytes(second_hash(state));
    }
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    for (pair, digest) in pairs.iter().zip(out) {
        let mut state = IV;
        compress256(&mut state, &[*pair, padded::<0>(PAIR_BITS)]);
        *digest = bytes(second_hash(state));
    }
}

fn second_hash(digest: [u32; 8]) -> [u32; 8] {
    let mut block = padded::<32>(DIGEST_BITS);
    block[..32].copy_from_slice(&bytes(digest));
    let mut state = IV;
    compress256(&mut state, &[block]);
    state
}

/// A last block with room for `LEN` bytes of message, followed by the padding.
const fn padded<const LEN: usize>(bits: u32) -> [u8; 64] {
    let mut block = [0; 64];
    block[LEN] = 0x80;
    let [a, b, c, d] = bits.to_be_bytes();
    [block[60], block[61], block[62], block[63]] = [a, b, c, d];
    block
}
