//! What the kernels are given: everything about a header that does not depend on the nonce, computed once a dispatch.
//!
//! A dispatch tries millions of nonces, so this runs too seldom to be worth caching between dispatches of one header.

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

/// The round constants that are folded in here.
const K: [u32; 7] = [0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4];
const K16: u32 = 0xe49b69c1;
const K17: u32 = 0xefbe4786;

/// Schedule words 4 and 15 of the header's second block: the padding's first bit, and the length in bits.
const W4: u32 = 1 << 31;
const W15: u32 = 640;

impl Prepared {
    /// Prepares a dispatch over `range` in rows of `row` nonces. `range.count` is below 2^32.
    pub(super) fn new(scan: &ScanJob, target: &Target, range: NonceRange, row: u32) -> Self {
        let midstate = scan.midstate();
        let [w0, w1, w2] = scan.tail();
        let mut state = midstate;
        for (k, w) in K.into_iter().zip([w0, w1, w2]) {
            state = round(state, k.wrapping_add(w));
        }
        let [a3, b3, c3, _, e3, f3, g3, _] = state;
        let [a4_less_nonce, _, _, _, e4_less_nonce, ..] = round(state, K[3]);
        let h4 = g3.wrapping_add(K[4]).wrapping_add(W4);
        let w16 = small_sigma0(w1).wrapping_add(w0);
        let w17 = small_sigma1(W15).wrapping_add(small_sigma0(w2)).wrapping_add(w1);
        Self {
            midstate,
            tail: [w0, w1, w2, 0],
            state: [a4_less_nonce, a3, b3, c3, e4_less_nonce, e3, f3, h4],
            folded: [f3.wrapping_add(K[5]), e3.wrapping_add(K[6]), K16.wrapping_add(w16), K17.wrapping_add(w17)],
            words16_to_19: [
                w16,
                w17,
                small_sigma1(w16).wrapping_add(w2),
                small_sigma1(w17).wrapping_add(small_sigma0(W4)),
            ],
            words31_to_32: [small_sigma0(w16).wrapping_add(W15), small_sigma0(w17).wrapping_add(w16), 0, 0],
            search: [target.top(), range.first, range.count as u32, row],
        }
    }
}

fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// One round of SHA-256 on the state `a..h`; FIPS 180-4, section 6.2.2.
fn round([a, b, c, d, e, f, g, h]: [u32; 8], k_plus_w: u32) -> [u32; 8] {
    let big_sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let big_sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let choose = g ^ (e & (f ^ g));
    let majority = (a & b) | (c & (a | b));
    let t1 = h.wrapping_add(big_sigma1).wrapping_add(choose).wrapping_add(k_plus_w);
    [t1.wrapping_add(big_sigma0).wrapping_add(majority), a, b, c, d.wrapping_add(t1), e, f, g]
}
