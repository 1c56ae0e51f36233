//! What the kernels are given: everything about a header that does not depend on the nonce, computed once a dispatch.
//!
//! The hash crate computes it with the job; what is left is to fold in a few constants and to put it in the shader's order.

use adit_hash::{NonceRange, ScanJob, Target};
use bytemuck::{Pod, Zeroable};

/// `Work` of shaders/search.wgsl, field by field; what the fields mean is told there.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Prepared {
    midstate: [u32; 8],
    tail: [u32; 4],
    state: [u32; 8],
    folded: [u32; 4],
    words16_to_19: [u32; 4],
    words31_to_32: [u32; 4],
    search: [u32; 4],
}

/// The round constants that are folded in here: of rounds 4 to 6, 16 and 17.
const K4: u32 = 0x3956c25b;
const K5: u32 = 0x59f111f1;
const K6: u32 = 0x923f82a4;
const K16: u32 = 0xe49b69c1;
const K17: u32 = 0xefbe4786;

/// Schedule word 4 of the header's second block: the padding's first bit.
const W4: u32 = 1 << 31;

impl Prepared {
    /// Prepares a dispatch over `range` in rows of `row` nonces. `range.count` is below 2^32.
    pub(super) fn new(scan: &ScanJob, target: &Target, range: NonceRange, row: u32) -> Self {
        let [w0, w1, w2] = scan.tail();
        let [a, b, c, d, e, f, g, h] = scan.state_after_round_3();
        let words = scan.schedule();
        Self {
            midstate: scan.midstate(),
            tail: [w0, w1, w2, 0],
            state: [a, b, c, d, e, f, g, h.wrapping_add(K4).wrapping_add(W4)],
            folded: [g.wrapping_add(K5), f.wrapping_add(K6), K16.wrapping_add(words.w16), K17.wrapping_add(words.w17)],
            words16_to_19: [words.w16, words.w17, words.w18, words.w19],
            words31_to_32: [words.w31, words.w32, 0, 0],
            search: [target.top(), range.first, range.count as u32, row],
        }
    }
}
