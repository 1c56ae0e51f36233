//! The three jobs for any vector of 32-bit lanes, one message a lane: what the AVX-512 and AVX2 kernels share.
//!
//! An instruction set gives the vector and a dozen operations ([`Lanes`]); the rounds are written here once. A value that
//! implements [`Lanes`] is a proof that the CPU has the instructions, so that all of this is safe code; everything is
//! inlined into the one function of the instruction set's module that carries its `#[target_feature]`.
//!
//! Rounds are spelled out rather than looped over: schedule words then live in registers, and what is zero or constant
//! disappears at compile time.

use crate::scan::{NonceRange, ScanJob, Target};
use crate::sha256::{
    self, DIGEST_BITS, HEADER_BITS, IV, K, PADDING_BIT, PAIR_PADDING, round as scalar_round, schedule,
};
use crate::{Digest, Header};

/// A vector of `N` 32-bit words and what SHA-256 does with it.
pub(crate) trait Lanes<const N: usize>: Copy {
    /// The vector.
    type V: Copy;

    /// `word` in every lane.
    fn splat(self, word: u32) -> Self::V;
    /// Sums modulo 2^32.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
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
    fn store(self, words: [Self::V; 8], digests: &mut [Digest; N]);
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[inline(always)]
pub(crate) fn scan<const N: usize, L: Lanes<N>>(
    lanes: L,
    job: &ScanJob,
    range: NonceRange,
    target: &Target,
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

/// One round with the state's names rotated by the caller: `h + K + W` in, the new `e` in `d`, the new `a` in `h`.
macro_rules! round {
    ($l:ident, $s:ident, $hkw:expr) => {{
        let [a, b, c, d, e, f, g, _] = $s;
        let t1 = $l.add($l.add($hkw, $l.choose(e, f, g)), $l.big_sigma1(e));
        let t2 = $l.add($l.big_sigma0(a), $l.majority(a, b, c));
        $s = [$l.add(t1, t2), a, b, c, $l.add(d, t1), e, f, g];
    }};
}

/// Rounds whose `K + W` is the same in every lane.
macro_rules! constant_rounds {
    ($l:ident, $s:ident, $kw:expr, $($i:literal)*) => {
        $(round!($l, $s, $l.add($s[7], $l.splat($kw[$i])));)*
    };
}

/// Rounds on words of the schedule, `$w[i % 16]`.
macro_rules! rounds {
    ($l:ident, $s:ident, $w:ident, $($i:literal)*) => {
        $(round!($l, $s, $l.add($s[7], $l.add($w[$i % 16], $l.splat(K[$i]))));)*
    };
}

/// Schedule words from the sixteen before them, in place, each followed by its round.
macro_rules! expanding_rounds {
    ($l:ident, $s:ident, $w:ident, $($i:literal)*) => {
        $(
            $w[$i % 16] = $l.add(
                $l.add($l.add($w[$i % 16], $w[($i + 9) % 16]), $l.small_sigma0($w[($i + 1) % 16])),
                $l.small_sigma1($w[($i + 14) % 16]),
            );
            rounds!($l, $s, $w, $i);
        )*
    };
}

/// The last word of the double hash of the job's header with the nonces whose schedule words are `w3`.
#[inline(always)]
fn last_word<const N: usize, L: Lanes<N>>(l: L, job: &ScanJob, w3: L::V) -> L::V {
    second_hash_last_word(l, first_hash(l, job, w3))
}

/// The first hash of a header, from round 4 on.
#[inline(always)]
fn first_hash<const N: usize, L: Lanes<N>>(l: L, job: &ScanJob, w3: L::V) -> [L::V; 8] {
    let start = job.state_after_round_3();
    let known = job.schedule();
    let zero = l.splat(0);

    let mut s = start.map(|word| l.splat(word));
    s[0] = l.add(s[0], w3);
    s[4] = l.add(s[4], w3);
    // Up to round 6 `h` still is a word that no nonce has touched.
    let [.., e, f, g, h] = start;
    let _ = e;
    round!(l, s, l.splat(h.wrapping_add(K[4]).wrapping_add(PADDING_BIT)));
    round!(l, s, l.splat(g.wrapping_add(K[5])));
    round!(l, s, l.splat(f.wrapping_add(K[6])));
    constant_rounds!(l, s, K, 7 8 9 10 11 12 13 14);
    let kw = [K[15].wrapping_add(HEADER_BITS), K[16].wrapping_add(known.w16), K[17].wrapping_add(known.w17)];
    constant_rounds!(l, s, kw, 0 1 2);

    let mut w = [zero; 16];
    w[2] = l.add(l.splat(known.w18), l.small_sigma0(w3));
    w[3] = l.add(l.splat(known.w19), w3);
    w[4] = l.add(l.splat(PADDING_BIT), l.small_sigma1(w[2]));
    w[5] = l.small_sigma1(w[3]);
    w[6] = l.add(l.splat(HEADER_BITS), l.small_sigma1(w[4]));
    w[7] = l.add(l.splat(known.w16), l.small_sigma1(w[5]));
    w[8] = l.add(l.splat(known.w17), l.small_sigma1(w[6]));
    w[9] = l.add(w[2], l.small_sigma1(w[7]));
    w[10] = l.add(w[3], l.small_sigma1(w[8]));
    w[11] = l.add(w[4], l.small_sigma1(w[9]));
    w[12] = l.add(w[5], l.small_sigma1(w[10]));
    w[13] = l.add(w[6], l.small_sigma1(w[11]));
    w[14] = l.add(l.add(l.splat(sha256::small_sigma0(HEADER_BITS)), w[7]), l.small_sigma1(w[12]));
    w[15] = l.add(l.add(l.splat(known.w31), w[8]), l.small_sigma1(w[13]));
    rounds!(l, s, w, 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    w[0] = l.add(l.add(l.splat(known.w32), w[9]), l.small_sigma1(w[14]));
    w[1] = l.add(l.add(l.add(l.splat(known.w17), w[10]), l.small_sigma0(w[2])), l.small_sigma1(w[15]));
    rounds!(l, s, w, 32 33);
    expanding_rounds!(l, s, w, 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    expanding_rounds!(l, s, w, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);

    let mut digest = s;
    for (word, mid) in digest.iter_mut().zip(job.midstate()) {
        *word = l.add(*word, l.splat(mid));
    }
    digest
}

/// The last word of SHA-256 of 32-byte messages, given as words.
#[inline(always)]
fn second_hash_last_word<const N: usize, L: Lanes<N>>(l: L, message: [L::V; 8]) -> L::V {
    let (mut s, mut w) = second_hash_15(l, message);
    expanding_rounds!(l, s, w, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    expanding_rounds!(l, s, w, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    expanding_rounds!(l, s, w, 48 49 50 51 52 53 54 55 56 57 58 59 60);
    l.add(s[4], l.splat(IV[7]))
}

/// SHA-256 of 32-byte messages, given as words.
#[inline(always)]
fn second_hash<const N: usize, L: Lanes<N>>(l: L, message: [L::V; 8]) -> [L::V; 8] {
    let (mut s, mut w) = second_hash_15(l, message);
    expanding_rounds!(l, s, w, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    expanding_rounds!(l, s, w, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    expanding_rounds!(l, s, w, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    added(l, s, IV.map(|word| l.splat(word)))
}

/// Rounds 0 to 15 of SHA-256 of 32-byte messages: the state and the schedule so far.
#[inline(always)]
fn second_hash_15<const N: usize, L: Lanes<N>>(l: L, message: [L::V; 8]) -> ([L::V; 8], [L::V; 16]) {
    const START: [u32; 8] = scalar_round(IV, K[0]);
    let mut s = START.map(|word| l.splat(word));
    s[0] = l.add(s[0], message[0]);
    s[4] = l.add(s[4], message[0]);
    round!(l, s, l.add(l.splat(START[7].wrapping_add(K[1])), message[1]));
    round!(l, s, l.add(l.splat(START[6].wrapping_add(K[2])), message[2]));
    round!(l, s, l.add(l.splat(START[5].wrapping_add(K[3])), message[3]));
    let [a, b, c, d, e, f, g, h] = message;
    let zero = l.splat(0);
    let padding = l.splat(PADDING_BIT);
    let w = [a, b, c, d, e, f, g, h, padding, zero, zero, zero, zero, zero, zero, l.splat(DIGEST_BITS)];
    rounds!(l, s, w, 4 5 6 7);
    const KW: [u32; 16] = {
        let mut kw = [0; 16];
        let mut i = 8;
        while i < 16 {
            kw[i] = K[i];
            i += 1;
        }
        kw[8] = kw[8].wrapping_add(PADDING_BIT);
        kw[15] = kw[15].wrapping_add(DIGEST_BITS);
        kw
    };
    constant_rounds!(l, s, KW, 8 9 10 11 12 13 14 15);
    (s, w)
}

/// The compression function on whole blocks.
#[inline(always)]
fn compress<const N: usize, L: Lanes<N>>(l: L, state: [L::V; 8], block: [L::V; 16]) -> [L::V; 8] {
    let (mut s, mut w) = (state, block);
    rounds!(l, s, w, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    expanding_rounds!(l, s, w, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    expanding_rounds!(l, s, w, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    expanding_rounds!(l, s, w, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    added(l, s, state)
}

/// The compression function on the padding that follows 64 bytes: its schedule is known at compile time.
#[inline(always)]
fn compress_pair_padding<const N: usize, L: Lanes<N>>(l: L, state: [L::V; 8]) -> [L::V; 8] {
    const KW: [u32; 64] = {
        let mut kw = schedule(PAIR_PADDING);
        let mut i = 0;
        while i < 64 {
            kw[i] = kw[i].wrapping_add(K[i]);
            i += 1;
        }
        kw
    };
    let mut s = state;
    constant_rounds!(l, s, KW, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    constant_rounds!(
        l, s, KW, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    );
    added(l, s, state)
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
pub(crate) fn hash_headers<const N: usize, L: Lanes<N>>(l: L, headers: &[Header; N], out: &mut [Digest; N]) {
    let block = [l.load(headers, 0), l.load(headers, 16), l.load(headers, 32), l.load(headers, 48)];
    let middle = compress(l, IV.map(|word| l.splat(word)), concat(block));
    let zero = [l.splat(0); 4];
    let mut block = [l.load(headers, 64), zero, zero, zero];
    block[1][0] = l.splat(PADDING_BIT);
    block[3][3] = l.splat(HEADER_BITS);
    l.store(second_hash(l, compress(l, middle, concat(block))), out);
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
#[inline(always)]
pub(crate) fn hash_pairs<const N: usize, L: Lanes<N>>(l: L, pairs: &[[u8; 64]; N], out: &mut [Digest; N]) {
    let block = [l.load(pairs, 0), l.load(pairs, 16), l.load(pairs, 32), l.load(pairs, 48)];
    let middle = compress(l, IV.map(|word| l.splat(word)), concat(block));
    l.store(second_hash(l, compress_pair_padding(l, middle)), out);
}

#[inline(always)]
fn concat<V: Copy>([a, b, c, d]: [[V; 4]; 4]) -> [V; 16] {
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}
