//! The kernel for every CPU: scalar code, one header at a time, and the plain statement of what the others do.

use crate::scan::{NonceRange, ScanJob, Target};
use crate::sha256::{IV, bytes, compress, words};
use crate::{Digest, Header};

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &Target, hits: &mut Vec<u32>) {
    let [w0, w1, w2] = job.tail;
    for i in 0..range.count {
        let nonce = range.first.wrapping_add(i as u32);
        let block = [w0, w1, w2, nonce.swap_bytes(), 1 << 31, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 640];
        let digest = second_hash(compress(job.midstate, block));
        if digest[7].swap_bytes() <= target.top() && target.is_met_by(&bytes(digest)) {
            hits.push(nonce);
        }
    }
}

/// Writes the double hash of `headers[i]` to `out[i]`.
pub(crate) fn hash_headers(headers: &[Header], out: &mut [Digest]) {
    for (header, digest) in headers.iter().zip(out) {
        let midstate = compress(IV, words(&header[..64]));
        let mut block = [0; 16];
        block[..4].copy_from_slice(&words::<4>(&header[64..]));
        block[4] = 1 << 31;
        block[15] = 640;
        *digest = bytes(second_hash(compress(midstate, block)));
    }
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [Digest]) {
    const PADDING: [u32; 16] = [1 << 31, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 512];
    for (pair, digest) in pairs.iter().zip(out) {
        *digest = bytes(second_hash(compress(compress(IV, words(pair)), PADDING)));
    }
}

/// SHA-256 of a 32-byte digest given as words.
fn second_hash([a, b, c, d, e, f, g, h]: [u32; 8]) -> [u32; 8] {
    compress(IV, [a, b, c, d, e, f, g, h, 1 << 31, 0, 0, 0, 0, 0, 0, 256])
}
