//! The kernel for every CPU: scalar code, one header at a time. The other kernels compute the same.

use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::sha256::{HEADER_BITS, IV, PADDING_BIT, PAIR_PADDING, bytes, compress, second_hash, words};
use crate::{HashBytes, HeaderBytes};

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    let [w0, w1, w2] = job.tail();
    for (nonce, _) in range.groups(1) {
        let block = [w0, w1, w2, nonce.swap_bytes(), PADDING_BIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HEADER_BITS];
        let digest = second_hash(compress(job.midstate(), block));
        if digest[7].swap_bytes() <= target.top() {
            job.confirm(nonce, 1, target, hits);
        }
    }
}

/// Writes the double hash of `headers[i]` to `out[i]`.
pub(crate) fn hash_headers(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    for (header, digest) in headers.iter().zip(out) {
        let midstate = compress(IV, words(&header[..64]));
        let mut block = [0; 16];
        block[..4].copy_from_slice(&words::<4>(&header[64..]));
        block[4] = PADDING_BIT;
        block[15] = HEADER_BITS;
        *digest = bytes(second_hash(compress(midstate, block)));
    }
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    for (pair, digest) in pairs.iter().zip(out) {
        *digest = bytes(second_hash(compress(compress(IV, words(pair)), PAIR_PADDING)));
    }
}
