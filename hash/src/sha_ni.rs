//! SHA-NI: the CPU's own SHA-256 rounds, several messages interleaved so that one's latency hides behind another's.
//!
//! `sha256rnds2` does two rounds on a state kept in two registers, `a b e f` and `c d g h`, and swaps their meaning.
//! Vectors below are written as the instructions see them, lowest word first: `[f e b a]`, `[h g d c]`, and schedule words
//! `[W0 W1 W2 W3]`.

use std::arch::x86_64::*;

use crate::scan::{NonceRange, ScanJob, Target};
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, K, PADDING_BIT, PAIR_PADDING, schedule, small_sigma0};
use crate::{Digest, Header};

/// How many nonces are in flight at once, by measurement.
const SCAN_STREAMS: usize = 4;
/// How many headers or pairs are in flight at once, by measurement.
const STREAMS: usize = 4;

/// One vector a stream.
type Streams<const S: usize> = [__m128i; S];

/// Whether this CPU has what the kernels below use.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &Target, hits: &mut Vec<u32>) {
    let top = target.top();
    for (first, in_range) in range.groups(SCAN_STREAMS as u32) {
        let mut candidates = 0;
        for (i, word) in last_words::<SCAN_STREAMS>(job, first).into_iter().enumerate() {
            candidates |= u64::from(word.swap_bytes() <= top) << i;
        }
        if candidates != 0 {
            job.confirm(first, candidates & in_range, target, hits);
        }
    }
}

/// Writes the double hash of `headers[i]` to `out[i]`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn hash_headers(headers: &[Header], out: &mut [Digest]) {
    let (groups, rest) = headers.as_chunks::<STREAMS>();
    let (digests, rest_digests) = out.as_chunks_mut::<STREAMS>();
    for (group, digests) in groups.iter().zip(digests) {
        hash_header_group(group, digests);
    }
    for (header, digest) in rest.as_chunks::<1>().0.iter().zip(rest_digests.as_chunks_mut::<1>().0) {
        hash_header_group(header, digest);
    }
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [Digest]) {
    let (groups, rest) = pairs.as_chunks::<STREAMS>();
    let (digests, rest_digests) = out.as_chunks_mut::<STREAMS>();
    for (group, digests) in groups.iter().zip(digests) {
        hash_pair_group(group, digests);
    }
    for (pair, digest) in rest.as_chunks::<1>().0.iter().zip(rest_digests.as_chunks_mut::<1>().0) {
        hash_pair_group(pair, digest);
    }
}

/// `K[4 * at..]`, four of them.
#[inline]
#[target_feature(enable = "sse2")]
fn constants(k: &[u32; 64], at: usize) -> __m128i {
    vector([k[4 * at], k[4 * at + 1], k[4 * at + 2], k[4 * at + 3]])
}

#[inline]
#[target_feature(enable = "sse2")]
fn vector(words: [u32; 4]) -> __m128i {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm_set_epi32(d, c, b, a)
}

/// The state as the rounds take it.
#[inline]
#[target_feature(enable = "sse2")]
fn packed([a, b, c, d, e, f, g, h]: [u32; 8]) -> [__m128i; 2] {
    [vector([f, e, b, a]), vector([h, g, d, c])]
}

/// Four rounds, with `K + W` given.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn rounds<const S: usize>([abef, cdgh]: &mut [Streams<S>; 2], kw: Streams<S>) {
    for i in 0..S {
        cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], kw[i]);
    }
    for i in 0..S {
        abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], _mm_shuffle_epi32::<0x0e>(kw[i]));
    }
}

/// Four rounds on the schedule words `x`, which are `W[4 * at..]`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn rounds_on<const S: usize>(state: &mut [Streams<S>; 2], x: &Streams<S>, at: usize) {
    let k = constants(&K, at);
    let mut kw = *x;
    for kw in &mut kw {
        *kw = _mm_add_epi32(*kw, k);
    }
    rounds(state, kw);
}

/// The next four schedule words, from the sixteen before them, into the place of the oldest four: `x[at % 4]`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn expand<const S: usize>(x: &mut [Streams<S>; 4], at: usize) {
    for i in 0..S {
        let [oldest, older, newer, newest] = [x[at % 4][i], x[(at + 1) % 4][i], x[(at + 2) % 4][i], x[(at + 3) % 4][i]];
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, older), _mm_alignr_epi8::<4>(newest, newer));
        x[at % 4][i] = _mm_sha256msg2_epu32(sum, newest);
    }
}

/// Schedule words and rounds, four a number: the group `i` is `W[4 * i..]`.
macro_rules! expanding_rounds {
    ($state:ident, $x:ident, $($i:literal)*) => {
        $(
            expand(&mut $x, $i);
            rounds_on(&mut $state, &$x[$i % 4], $i);
        )*
    };
}

/// `K + W` of a block that ends in padding, for the words that are padding.
const fn padding(words: usize, bits: u32) -> [u32; 64] {
    let mut kw = K;
    kw[words] = kw[words].wrapping_add(PADDING_BIT);
    kw[15] = kw[15].wrapping_add(bits);
    kw
}

const HEADER_PADDING: [u32; 64] = padding(4, HEADER_BITS);
const DIGEST_PADDING: [u32; 64] = padding(8, DIGEST_BITS);

/// The last word of the double hash of the job's header, with the nonces `first`, `first + 1`, ….
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn last_words<const S: usize>(job: &ScanJob, first: u32) -> [u32; S] {
    let known = job.schedule();
    let [abef, cdgh] = packed(job.state_after_round_3());
    let x4 = vector([known.w16, known.w17, known.w18, known.w19]);

    let mut state = [[abef; S], [cdgh; S]];
    let mut x = [[x4; S]; 4];
    for i in 0..S {
        let w3 = first.wrapping_add(i as u32).swap_bytes();
        state[0][i] = _mm_add_epi32(abef, vector([0, w3, 0, w3]));
        x[0][i] = _mm_add_epi32(x4, vector([0, 0, small_sigma0(w3), w3]));
        x[1][i] = _mm_sha256msg2_epu32(vector([PADDING_BIT, 0, HEADER_BITS, known.w16]), x[0][i]);
        x[2][i] = _mm_sha256msg2_epu32(_mm_alignr_epi8::<4>(x[1][i], x[0][i]), x[1][i]);
        let sum =
            _mm_add_epi32(_mm_alignr_epi8::<4>(x[2][i], x[1][i]), vector([0, 0, small_sigma0(HEADER_BITS), known.w31]));
        x[3][i] = _mm_sha256msg2_epu32(sum, x[2][i]);
    }
    for at in 1..4 {
        rounds(&mut state, [constants(&HEADER_PADDING, at); S]);
    }
    for at in 4..8 {
        rounds_on(&mut state, &x[at - 4], at);
    }
    expanding_rounds!(state, x, 8 9 10 11 12 13 14 15);

    let midstate = packed(job.midstate());
    let message = unpacked(added(state, [[midstate[0]; S], [midstate[1]; S]]));

    let (mut state, mut x) = second_hash_15(message);
    expanding_rounds!(state, x, 7 8 9 10 11 12 13 14);
    expand(&mut x, 15);
    let mut words = [0; S];
    for i in 0..S {
        // After rounds 60 and 61 `f` is the `e` of round 60.
        let kw = _mm_add_epi32(x[3][i], constants(&K, 15));
        let abef = _mm_sha256rnds2_epu32(state[1][i], state[0][i], kw);
        words[i] = _mm_cvtsi128_si32(abef).cast_unsigned().wrapping_add(IV[7]);
    }
    words
}

/// Rounds 0 to 27 of SHA-256 of 32-byte messages: the state, and the schedule from word 12 on.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn second_hash_15<const S: usize>([x0, x1]: [Streams<S>; 2]) -> ([Streams<S>; 2], [Streams<S>; 4]) {
    let [abef, cdgh] = packed(IV);
    let mut state = [[abef; S], [cdgh; S]];
    rounds_on(&mut state, &x0, 0);
    rounds_on(&mut state, &x1, 1);
    rounds(&mut state, [constants(&DIGEST_PADDING, 2); S]);
    rounds(&mut state, [constants(&DIGEST_PADDING, 3); S]);
    let x2 = vector([PADDING_BIT, 0, 0, 0]);
    let x3 = vector([0, 0, 0, DIGEST_BITS]);
    let mut x = [x0, x1, [x2; S], [x3; S]];
    for i in 0..S {
        x[0][i] = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(x0[i], x1[i]), x3);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(x1[i], x2), _mm_alignr_epi8::<4>(x[0][i], x3));
        x[1][i] = _mm_sha256msg2_epu32(sum, x[0][i]);
        // What word 24 takes from words 8 and 9 is the padding bit.
        let sum = _mm_add_epi32(x2, _mm_alignr_epi8::<4>(x[1][i], x[0][i]));
        x[2][i] = _mm_sha256msg2_epu32(sum, x[1][i]);
    }
    rounds_on(&mut state, &x[0], 4);
    rounds_on(&mut state, &x[1], 5);
    rounds_on(&mut state, &x[2], 6);
    (state, x)
}

/// SHA-256 of 32-byte messages.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn second_hash<const S: usize>(message: [Streams<S>; 2]) -> [Streams<S>; 2] {
    let (mut state, mut x) = second_hash_15(message);
    expanding_rounds!(state, x, 7 8 9 10 11 12 13 14 15);
    let [abef, cdgh] = packed(IV);
    unpacked(added(state, [[abef; S], [cdgh; S]]))
}

/// The compression function on whole blocks.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress<const S: usize>(before: [Streams<S>; 2], mut x: [Streams<S>; 4]) -> [Streams<S>; 2] {
    let mut state = before;
    for at in 0..4 {
        rounds_on(&mut state, &x[at], at);
    }
    expanding_rounds!(state, x, 4 5 6 7 8 9 10 11 12 13 14 15);
    added(state, before)
}

#[inline]
#[target_feature(enable = "sse2")]
fn added<const S: usize>(state: [Streams<S>; 2], before: [Streams<S>; 2]) -> [Streams<S>; 2] {
    let mut sum = state;
    for i in 0..S {
        sum[0][i] = _mm_add_epi32(state[0][i], before[0][i]);
        sum[1][i] = _mm_add_epi32(state[1][i], before[1][i]);
    }
    sum
}

/// The state's words in order: `[a b c d]`, `[e f g h]`.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn unpacked<const S: usize>([abef, cdgh]: [Streams<S>; 2]) -> [Streams<S>; 2] {
    let (mut low, mut high) = (abef, cdgh);
    for i in 0..S {
        let (feba, hgdc) = (abef[i], cdgh[i]);
        let (abef, cdgh) = (_mm_shuffle_epi32::<0x1b>(feba), _mm_shuffle_epi32::<0x1b>(hgdc));
        low[i] = _mm_unpacklo_epi64(abef, cdgh);
        high[i] = _mm_unpackhi_epi64(abef, cdgh);
    }
    [low, high]
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn hash_header_group<const S: usize>(headers: &[Header; S], out: &mut [Digest; S]) {
    let [abef, cdgh] = packed(IV);
    let first = [load(headers, 0), load(headers, 16), load(headers, 32), load(headers, 48)];
    let middle = compress([[abef; S], [cdgh; S]], first);
    let [x1, x2, x3] = [[PADDING_BIT, 0, 0, 0], [0; 4], [0, 0, 0, HEADER_BITS]];
    let last = [load(headers, 64), [vector(x1); S], [vector(x2); S], [vector(x3); S]];
    store(second_hash(unpacked(compress(middle, last))), out);
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn hash_pair_group<const S: usize>(pairs: &[[u8; 64]; S], out: &mut [Digest; S]) {
    /// `K + W` of the whole padding block.
    const KW: [u32; 64] = {
        let mut kw = schedule(PAIR_PADDING);
        let mut i = 0;
        while i < 64 {
            kw[i] = kw[i].wrapping_add(K[i]);
            i += 1;
        }
        kw
    };
    let [abef, cdgh] = packed(IV);
    let first = [load(pairs, 0), load(pairs, 16), load(pairs, 32), load(pairs, 48)];
    let middle = compress([[abef; S], [cdgh; S]], first);
    let mut state = middle;
    for at in 0..16 {
        rounds(&mut state, [constants(&KW, at); S]);
    }
    store(second_hash(unpacked(added(state, middle))), out);
}

/// Bytes `at..at + 16` of every row as four big-endian words.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn load<const S: usize, const LEN: usize>(rows: &[[u8; LEN]; S], at: usize) -> Streams<S> {
    let mut x = [_mm_setzero_si128(); S];
    for (x, row) in x.iter_mut().zip(rows) {
        let bytes: &[u8; 16] = row[at..].first_chunk().expect("callers ask for bytes that every row has");
        // SAFETY: `bytes` is sixteen readable bytes; the load asks for no alignment.
        *x = swap_bytes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
    }
    x
}

#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn store<const S: usize>([low, high]: [Streams<S>; 2], digests: &mut [Digest; S]) {
    for (i, digest) in digests.iter_mut().enumerate() {
        for (bytes, x) in digest.as_chunks_mut::<16>().0.iter_mut().zip([low[i], high[i]]) {
            // SAFETY: `bytes` is sixteen writable bytes; the store asks for no alignment.
            unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), swap_bytes(x)) };
        }
    }
}

/// Reverses the bytes of every word.
#[inline]
#[target_feature(enable = "ssse3")]
fn swap_bytes(x: __m128i) -> __m128i {
    _mm_shuffle_epi8(x, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3))
}
