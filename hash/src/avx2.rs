//! AVX2: eight lanes. There is no rotate and no three-input logic, so a round costs twice the instructions of AVX-512's.

use std::arch::x86_64::*;

use crate::lanes::{self, Lanes};
use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::{HashBytes, HeaderBytes, sha2_crate};

const N: usize = 8;

/// Proof that the CPU has the instructions: made only in functions that require them.
#[derive(Clone, Copy)]
struct Avx2(());

impl Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        Self(())
    }
}

/// Whether this CPU has what the kernels below use.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[target_feature(enable = "avx2")]
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    lanes::scan(Avx2::new(), job, range, target, hits);
}

/// Writes the double hash of `headers[i]` to `out[i]`.
#[target_feature(enable = "avx2")]
pub(crate) fn hash_headers(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    let (groups, rest) = headers.as_chunks::<N>();
    let (digests, rest_digests) = out.as_chunks_mut::<N>();
    for (group, digests) in groups.iter().zip(digests) {
        lanes::hash_headers(Avx2::new(), group, digests);
    }
    sha2_crate::hash_headers(rest, rest_digests);
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
#[target_feature(enable = "avx2")]
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    let (groups, rest) = pairs.as_chunks::<N>();
    let (digests, rest_digests) = out.as_chunks_mut::<N>();
    for (group, digests) in groups.iter().zip(digests) {
        lanes::hash_pairs(Avx2::new(), group, digests);
    }
    sha2_crate::hash_pairs(rest, rest_digests);
}

impl Lanes<N> for Avx2 {
    type V = __m256i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add(self, x: __m256i, y: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_epi32(x, y) }
    }

    #[inline(always)]
    fn add_first(self, x: __m256i, word: &u32) -> __m256i {
        self.add(x, self.splat(*word))
    }

    #[inline(always)]
    fn big_sigma0(self, x: __m256i) -> __m256i {
        xor3(self, rotate::<2, 30>(self, x), rotate::<13, 19>(self, x), rotate::<22, 10>(self, x))
    }

    #[inline(always)]
    fn big_sigma1(self, x: __m256i) -> __m256i {
        xor3(self, rotate::<6, 26>(self, x), rotate::<11, 21>(self, x), rotate::<25, 7>(self, x))
    }

    #[inline(always)]
    fn small_sigma0(self, x: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        let shifted = unsafe { _mm256_srli_epi32::<3>(x) };
        xor3(self, rotate::<7, 25>(self, x), rotate::<18, 14>(self, x), shifted)
    }

    #[inline(always)]
    fn small_sigma1(self, x: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        let shifted = unsafe { _mm256_srli_epi32::<10>(x) };
        xor3(self, rotate::<17, 15>(self, x), rotate::<19, 13>(self, x), shifted)
    }

    #[inline(always)]
    fn choose(self, e: __m256i, f: __m256i, g: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g))) }
    }

    /// In this form `a ^ b` is the next round's `b ^ c`, which the compiler then does not compute again.
    #[inline(always)]
    fn majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_xor_si256(b, _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(b, c))) }
    }

    #[inline(always)]
    fn nonces(self, first: u32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { swap_bytes(self, _mm256_add_epi32(self.splat(first), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0))) }
    }

    #[inline(always)]
    fn at_most(self, words: __m256i, top: u32) -> u64 {
        // SAFETY: `self` proves AVX2.
        let mask = unsafe {
            let words = swap_bytes(self, words);
            let smaller = _mm256_min_epu32(words, self.splat(top));
            _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(words, smaller)))
        };
        mask.cast_unsigned().into()
    }

    #[inline(always)]
    fn load<const LEN: usize>(self, rows: &[[u8; LEN]; N], at: usize) -> [__m256i; 4] {
        let halves = [
            halves(self, rows, 0, at),
            halves(self, rows, 1, at),
            halves(self, rows, 2, at),
            halves(self, rows, 3, at),
        ];
        transpose(self, halves)
    }

    #[inline(always)]
    fn store(self, [a, b, c, d, e, f, g, h]: [__m256i; 8], digests: &mut [HashBytes; N]) {
        for (half, words) in [[a, b, c, d], [e, f, g, h]].into_iter().enumerate() {
            for (row, x) in transpose(self, words).into_iter().enumerate() {
                let x = swap_bytes(self, x);
                // SAFETY: `self` proves AVX2.
                let halves = unsafe { [_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)] };
                for (four, lane) in halves.into_iter().enumerate() {
                    let bytes = &mut digests[4 * four + row].as_chunks_mut::<16>().0[half];
                    // SAFETY: `bytes` is sixteen writable bytes; the store asks for no alignment.
                    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), lane) };
                }
            }
        }
    }
}

#[inline(always)]
fn rotate<const RIGHT: i32, const LEFT: i32>(_proof: Avx2, x: __m256i) -> __m256i {
    const { assert!(RIGHT + LEFT == 32) };
    // SAFETY: `_proof` proves AVX2.
    unsafe { _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(x), _mm256_slli_epi32::<LEFT>(x)) }
}

#[inline(always)]
fn xor3(_proof: Avx2, x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    // SAFETY: `_proof` proves AVX2.
    unsafe { _mm256_xor_si256(_mm256_xor_si256(x, y), z) }
}

/// Sixteen bytes at `at` of the rows `row` and `row + 4`, as big-endian words.
#[inline(always)]
fn halves<const LEN: usize>(proof: Avx2, rows: &[[u8; LEN]; N], row: usize, at: usize) -> __m256i {
    // SAFETY: `proof` proves AVX2; each pointer is to sixteen readable bytes, and the loads ask for no alignment.
    unsafe {
        let low = _mm_loadu_si128(sixteen(&rows[row], at));
        let high = _mm_loadu_si128(sixteen(&rows[row + 4], at));
        swap_bytes(proof, _mm256_set_m128i(high, low))
    }
}

/// Where a row's sixteen bytes at `at` begin.
#[inline(always)]
fn sixteen<const LEN: usize>(row: &[u8; LEN], at: usize) -> *const __m128i {
    let bytes: &[u8; 16] = row[at..].first_chunk().expect("callers ask for bytes that every row has");
    bytes.as_ptr().cast()
}

/// Reverses the bytes of every word.
#[inline(always)]
fn swap_bytes(_proof: Avx2, x: __m256i) -> __m256i {
    // SAFETY: `_proof` proves AVX2.
    unsafe {
        let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(order))
    }
}

/// Transposes the 4 × 4 words in each half of four vectors. It is its own inverse.
#[inline(always)]
fn transpose(_proof: Avx2, [p, q, r, s]: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: `_proof` proves AVX2.
    unsafe {
        let (pq_low, pq_high) = (_mm256_unpacklo_epi32(p, q), _mm256_unpackhi_epi32(p, q));
        let (rs_low, rs_high) = (_mm256_unpacklo_epi32(r, s), _mm256_unpackhi_epi32(r, s));
        [
            _mm256_unpacklo_epi64(pq_low, rs_low),
            _mm256_unpackhi_epi64(pq_low, rs_low),
            _mm256_unpacklo_epi64(pq_high, rs_high),
            _mm256_unpackhi_epi64(pq_high, rs_high),
        ]
    }
}
