//! The three jobs for any vector of 32-bit lanes, one message a lane: what the AVX-512 and AVX2 kernels share.
//!
//! An instruction set gives the vector and a dozen operations ([`Lanes`]); the rounds are written here once. A value that
//! implements [`Lanes`] is a proof that the CPU has the instructions, so that all of this is safe code; everything is
//! inlined into the one function of the instruction set's module that carries its `#[target_feature]`.
//!
//! Rounds are spelled out rather than looped over: schedule words then live in registers, and what is zero or constant
//! disappears at compile time.

use std::hint::black_box;

use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::sha256::{
    self, DIGEST_BITS, HEADER_BITS, IV, K, PADDING_BIT, PAIR_PADDING, round as scalar_round, schedule,
};
use crate::{HashBytes, HeaderBytes};

/// A vector of `N` 32-bit words and what SHA-256 does with it.
pub(crate) trait Lanes<const N: usize>: Copy {
    /// The vector.
    type V: Copy;

    /// `word` in every lane.
    fn splat(self, word: u32) -> Self::V;
    /// Sums modulo 2^32.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// `x` plus the same word in every lane. Where the compiler would move it elsewhere in a longer sum, it must not.
    fn add_first(self, x: Self::V, word: &u32) -> Self::V;
    fn big_sigma0(self, x: Self::V) -> Self::V;
    fn big_sigma1(self, x: Self::V) -> Self::V;
    fn small_sigma0(self, x: Self::V) -> Self::V;
    fn small_sigma1(self, x: Self::V) -> Self::V;
    fn choose(self, e: Self::V, f: Self::V, g: Self::V) -> Self::V;
    fn majority(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The schedule words of the nonces `first`, `first + 1`, …: byte-swapped.
    fn nonces(self, first: u32) -> Self::V;
    /// The lanes whose word, byte-swapped, is not above `top`: one bit a lane.
    fn at_most(self, words: Self::V, top: u32) -> u64;
    /// The four big-endian words at bytes `at..at + 16` of every row.
    fn load<const LEN: usize>(self, rows: &[[u8; LEN]; N], at: usize) -> [Self::V; 4];
    /// Writes each lane's eight words big-endian to its digest.
    fn store(self, words: [Self::V; 8], digests: &mut [HashBytes; N]);
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[inline(always)]
pub(crate) fn scan<const N: usize, L: Lanes<N>>(
    lanes: L,
    job: &ScanJob,
    range: NonceRange,
    target: &ScanTarget,
    hits: &mut Vec<u32>,
) {
    let top = target.top();
    for (first, in_range) in range.groups(N as u32) {
        let candidates = lanes.at_most(last_word(lanes, job, lanes.nonces(first)), top);
        if candidates != 0 {
            job.confirm(first, candidates & in_range, target, hits);
        }
    }
}

/// One round: `h + K + W` in, and the state's names move on.
macro_rules! round {
    ($l:ident, $s:ident, $hkw:expr) => {{
        let [a, b, c, d, e, f, g, _] = $s;
        let sigma1 = $l.big_sigma1(e);
        let t1 = $l.add($l.add($hkw, $l.choose(e, f, g)), sigma1);
        let t2 = $l.add($l.big_sigma0(a), $l.majority(a, b, c));
        $s = [$l.add(t1, t2), a, b, c, $l.add(d, t1), e, f, g];
    }};
}

/// Rounds whose `K + W` is the same in every lane.
macro_rules! constant_rounds {
    ($l:ident, $s:ident, $kw:expr, $($i:literal)*) => {
        $(round!($l, $s, $l.add_first($s[7], &$kw[$i]));)*
    };
}

/// Rounds on the words `$w[i % 16]` of the schedule and, in brackets, new words made in the place of the ones sixteen
/// before them.
///
/// A round alone is bound by latency, words are not: spread evenly, three words to four rounds, the ones fill the other's
/// gaps. That is 4 % faster than each word right before its round.
macro_rules! rounds {
    ($l:ident, $s:ident, $w:ident, $k:ident, $($i:literal $([$new:literal])?)*) => {
        $(
            round!($l, $s, $l.add($l.add_first($s[7], &$k[$i]), $w[$i % 16]));
            $(word!($l, $w, $new);)?
        )*
    };
}

/// A word of the schedule from the sixteen before it, in the place of the oldest of them.
macro_rules! word {
    ($l:ident, $w:ident, $i:literal) => {
        $w[$i % 16] = $l.add(
            $l.add($l.add($w[$i % 16], $w[($i + 9) % 16]), $l.small_sigma0($w[($i + 1) % 16])),
            $l.small_sigma1($w[($i + 14) % 16]),
        );
    };
}

/// The round constants, out of the compiler's sight: it would move the addition of a number that it knows to the end of a
/// sum, and so into the path from one round's `e` to the next, and load each of them into a register before the loop only
/// to spill it.
#[inline(always)]
fn constants() -> &'static [u32; 64] {
    black_box(&K)
}

/// The last word of the double hash of the job's header with the nonces whose schedule words are `w3`.
#[inline(always)]
fn last_word<const N: usize, L: Lanes<N>>(l: L, job: &ScanJob, w3: L::V) -> L::V {
    let (s, _) = second_hash_rounds(l, first_hash(l, job, w3));
    l.add(s[4], l.splat(IV[7]))
}

/// The first hash of a header, from round 4 on.
#[inline(always)]
fn first_hash<const N: usize, L: Lanes<N>>(l: L, job: &ScanJob, w3: L::V) -> [L::V; 8] {
    let start = job.state_after_round_3();
    let known = job.schedule();
    let k = constants();

    let mut s = splats(l, start);
    s[0] = l.add(s[0], w3);
    s[4] = l.add(s[4], w3);
    let mut w = [l.splat(0); 16];
    w[2] = l.add(l.splat(known.w18), l.small_sigma0(w3));

    // Words 5 to 14 are zero, and up to round 6 `h` is a word that no nonce has touched.
    round!(l, s, l.splat(start[7].wrapping_add(k[4]).wrapping_add(PADDING_BIT)));
    w[3] = l.add(l.splat(known.w19), w3);
    round!(l, s, l.splat(start[6].wrapping_add(k[5])));
    w[4] = l.add(l.splat(PADDING_BIT), l.small_sigma1(w[2]));
    round!(l, s, l.splat(start[5].wrapping_add(k[6])));
    w[5] = l.small_sigma1(w[3]);
    constant_rounds!(l, s, k, 7 8);
    w[6] = l.add(l.splat(HEADER_BITS), l.small_sigma1(w[4]));
    constant_rounds!(l, s, k, 9);
    w[7] = l.add(l.splat(known.w16), l.small_sigma1(w[5]));
    constant_rounds!(l, s, k, 10);
    w[8] = l.add(l.splat(known.w17), l.small_sigma1(w[6]));
    constant_rounds!(l, s, k, 11 12);
    w[9] = l.add(w[2], l.small_sigma1(w[7]));
    constant_rounds!(l, s, k, 13);
    w[10] = l.add(w[3], l.small_sigma1(w[8]));
    constant_rounds!(l, s, k, 14);
    w[11] = l.add(w[4], l.small_sigma1(w[9]));
    round!(l, s, l.add(s[7], l.splat(k[15].wrapping_add(HEADER_BITS))));
    round!(l, s, l.add(s[7], l.splat(k[16].wrapping_add(known.w16))));
    w[12] = l.add(w[5], l.small_sigma1(w[10]));
    round!(l, s, l.add(s[7], l.splat(k[17].wrapping_add(known.w17))));
    w[13] = l.add(w[6], l.small_sigma1(w[11]));
    rounds!(l, s, w, k, 18);
    w[14] = l.add(l.add(l.splat(sha256::small_sigma0(HEADER_BITS)), w[7]), l.small_sigma1(w[12]));
    rounds!(l, s, w, k, 19 20);
    w[15] = l.add(l.add(l.splat(known.w31), w[8]), l.small_sigma1(w[13]));
    rounds!(l, s, w, k, 21);
    w[0] = l.add(l.add(l.splat(known.w32), w[9]), l.small_sigma1(w[14]));
    rounds!(l, s, w, k, 22);
    w[1] = l.add(l.add(l.add(l.splat(known.w17), w[10]), l.small_sigma0(w[2])), l.small_sigma1(w[15]));
    rounds!(l, s, w, k, 23 24 [34] 25 [35] 26 [36] 27 28 [37] 29 [38] 30 [39] 31 32 [40] 33 [41] 34 [42] 35);
    rounds!(l, s, w, k, 36 [43] 37 [44] 38 [45] 39 40 [46] 41 [47] 42 [48] 43 44 [49] 45 [50] 46 [51] 47);
    rounds!(l, s, w, k, 48 [52] 49 [53] 50 [54] 51 52 [55] 53 [56] 54 [57] 55 56 [58] 57 [59] 58 [60] 59);
    rounds!(l, s, w, k, 60 [61] 61 [62] 62 [63] 63);
    added(l, s, splats(l, job.midstate()))
}

/// SHA-256 of 32-byte messages, given as words.
#[inline(always)]
fn second_hash<const N: usize, L: Lanes<N>>(l: L, message: [L::V; 8]) -> [L::V; 8] {
    let (mut s, mut w) = second_hash_rounds(l, message);
    let k = constants();
    word!(l, w, 61);
    rounds!(l, s, w, k, 61 [62] 62 [63] 63);
    added(l, s, splats(l, IV))
}

/// Rounds 0 to 60 of SHA-256 of 32-byte messages: the state, and the schedule up to word 60.
#[inline(always)]
fn second_hash_rounds<const N: usize, L: Lanes<N>>(l: L, message: [L::V; 8]) -> ([L::V; 8], [L::V; 16]) {
    /// The state after round 0, less the first word of the message in `a` and `e`.
    const START: [u32; 8] = scalar_round(IV, K[0]);
    /// What message words take from the padding that follows them.
    const W17: u32 = sha256::small_sigma1(DIGEST_BITS);
    const W23: u32 = sha256::small_sigma0(PADDING_BIT);
    const W30: u32 = sha256::small_sigma0(DIGEST_BITS);
    let k = constants();

    let mut s = splats(l, START);
    s[0] = l.add(s[0], message[0]);
    s[4] = l.add(s[4], message[0]);
    let zero = l.splat(0);
    let [m0, m1, m2, m3, m4, m5, m6, m7] = message;
    let mut w = [m0, m1, m2, m3, m4, m5, m6, m7, zero, zero, zero, zero, zero, zero, zero, zero];

    round!(l, s, l.add(l.splat(START[7].wrapping_add(k[1])), w[1]));
    w[0] = l.add(w[0], l.small_sigma0(w[1]));
    round!(l, s, l.add(l.splat(START[6].wrapping_add(k[2])), w[2]));
    w[1] = l.add(l.add(w[1], l.splat(W17)), l.small_sigma0(w[2]));
    round!(l, s, l.add(l.splat(START[5].wrapping_add(k[3])), w[3]));
    w[2] = l.add(l.add(w[2], l.small_sigma0(w[3])), l.small_sigma1(w[0]));
    rounds!(l, s, w, k, 4 5);
    w[3] = l.add(l.add(w[3], l.small_sigma0(w[4])), l.small_sigma1(w[1]));
    rounds!(l, s, w, k, 6);
    w[4] = l.add(l.add(w[4], l.small_sigma0(w[5])), l.small_sigma1(w[2]));
    rounds!(l, s, w, k, 7);
    w[5] = l.add(l.add(w[5], l.small_sigma0(w[6])), l.small_sigma1(w[3]));
    round!(l, s, l.add(s[7], l.splat(k[8].wrapping_add(PADDING_BIT))));
    constant_rounds!(l, s, k, 9);
    w[6] = l.add(l.add(l.add(w[6], l.splat(DIGEST_BITS)), l.small_sigma0(w[7])), l.small_sigma1(w[4]));
    constant_rounds!(l, s, k, 10);
    w[7] = l.add(l.add(l.add(w[7], l.splat(W23)), w[0]), l.small_sigma1(w[5]));
    constant_rounds!(l, s, k, 11);
    w[8] = l.add(l.add(l.splat(PADDING_BIT), w[1]), l.small_sigma1(w[6]));
    constant_rounds!(l, s, k, 12 13);
    w[9] = l.add(w[2], l.small_sigma1(w[7]));
    constant_rounds!(l, s, k, 14);
    w[10] = l.add(w[3], l.small_sigma1(w[8]));
    round!(l, s, l.add(s[7], l.splat(k[15].wrapping_add(DIGEST_BITS))));
    w[11] = l.add(w[4], l.small_sigma1(w[9]));
    rounds!(l, s, w, k, 16 17);
    w[12] = l.add(w[5], l.small_sigma1(w[10]));
    rounds!(l, s, w, k, 18);
    w[13] = l.add(w[6], l.small_sigma1(w[11]));
    rounds!(l, s, w, k, 19);
    w[14] = l.add(l.add(l.splat(W30), w[7]), l.small_sigma1(w[12]));
    rounds!(l, s, w, k, 20 21);
    w[15] = l.add(l.add(l.add(l.splat(DIGEST_BITS), l.small_sigma0(w[0])), w[8]), l.small_sigma1(w[13]));
    rounds!(l, s, w, k, 22 [32] 23 [33] 24 25 [34] 26 [35] 27 [36] 28 29 [37] 30 [38] 31 [39] 32 33 [40] 34 [41] 35 [42] 36);
    rounds!(l, s, w, k, 37 [43] 38 [44] 39 [45] 40 41 [46] 42 [47] 43 [48] 44 45 [49] 46 [50] 47 [51] 48);
    rounds!(l, s, w, k, 49 [52] 50 [53] 51 [54] 52 53 [55] 54 [56] 55 [57] 56 57 [58] 58 [59] 59 [60] 60);
    (s, w)
}

/// The compression function on whole blocks.
#[inline(always)]
fn compress<const N: usize, L: Lanes<N>>(l: L, state: [L::V; 8], block: [L::V; 16]) -> [L::V; 8] {
    let (mut s, mut w) = (state, block);
    let k = constants();
    rounds!(l, s, w, k, 0 [16] 1 [17] 2 [18] 3 4 [19] 5 [20] 6 [21] 7 8 [22] 9 [23] 10 [24] 11 12 [25] 13 [26] 14 [27] 15);
    rounds!(l, s, w, k, 16 [28] 17 [29] 18 [30] 19 20 [31] 21 [32] 22 [33] 23 24 [34] 25 [35] 26 [36] 27);
    rounds!(l, s, w, k, 28 [37] 29 [38] 30 [39] 31 32 [40] 33 [41] 34 [42] 35 36 [43] 37 [44] 38 [45] 39);
    rounds!(l, s, w, k, 40 [46] 41 [47] 42 [48] 43 44 [49] 45 [50] 46 [51] 47 48 [52] 49 [53] 50 [54] 51);
    rounds!(l, s, w, k, 52 [55] 53 [56] 54 [57] 55 56 [58] 57 [59] 58 [60] 59 60 [61] 61 [62] 62 [63] 63);
    added(l, s, state)
}

/// The compression function on the padding that follows 64 bytes: its schedule is known at compile time.
#[inline(always)]
fn compress_pair_padding<const N: usize, L: Lanes<N>>(l: L, state: [L::V; 8]) -> [L::V; 8] {
    static KW: [u32; 64] = {
        let mut kw = schedule(PAIR_PADDING);
        let mut i = 0;
        while i < 64 {
            kw[i] = kw[i].wrapping_add(K[i]);
            i += 1;
        }
        kw
    };
    let kw = black_box(&KW);
    let mut s = state;
    constant_rounds!(l, s, kw, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    constant_rounds!(
        l, s, kw, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    );
    added(l, s, state)
}

/// Each word in every lane. (`map` with a closure would not do: nothing makes the compiler inline it into a function that
/// has more instructions than it.)
#[inline(always)]
fn splats<const N: usize, L: Lanes<N>>(l: L, words: [u32; 8]) -> [L::V; 8] {
    let mut out = [l.splat(0); 8];
    for (out, word) in out.iter_mut().zip(words) {
        *out = l.splat(word);
    }
    out
}

#[inline(always)]
fn added<const N: usize, L: Lanes<N>>(l: L, mut s: [L::V; 8], state: [L::V; 8]) -> [L::V; 8] {
    for (word, before) in s.iter_mut().zip(state) {
        *word = l.add(*word, before);
    }
    s
}

/// Writes the double hash of `headers[i]` to `out[i]`.
#[inline(always)]
pub(crate) fn hash_headers<const N: usize, L: Lanes<N>>(l: L, headers: &[HeaderBytes; N], out: &mut [HashBytes; N]) {
    let block = [l.load(headers, 0), l.load(headers, 16), l.load(headers, 32), l.load(headers, 48)];
    let middle = compress(l, splats(l, IV), concat(block));
    let zero = [l.splat(0); 4];
    let mut block = [l.load(headers, 64), zero, zero, zero];
    block[1][0] = l.splat(PADDING_BIT);
    block[3][3] = l.splat(HEADER_BITS);
    l.store(second_hash(l, compress(l, middle, concat(block))), out);
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
#[inline(always)]
pub(crate) fn hash_pairs<const N: usize, L: Lanes<N>>(l: L, pairs: &[[u8; 64]; N], out: &mut [HashBytes; N]) {
    let block = [l.load(pairs, 0), l.load(pairs, 16), l.load(pairs, 32), l.load(pairs, 48)];
    let middle = compress(l, splats(l, IV), concat(block));
    l.store(second_hash(l, compress_pair_padding(l, middle)), out);
}

#[inline(always)]
fn concat<V: Copy>([a, b, c, d]: [[V; 4]; 4]) -> [V; 16] {
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}
