//! AVX-512: sixteen lanes, rotates (`vprold`) and three-input logic (`vpternlogd`) in one instruction each.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::lanes::{self, Lanes};
use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::{HashBytes, HeaderBytes, sha2_crate};

const N: usize = 16;

/// Proof that the CPU has the instructions: made only in functions that require them.
#[derive(Clone, Copy)]
struct Avx512(());

impl Avx512 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new() -> Self {
        Self(())
    }
}

/// Whether this CPU has what the kernels below use.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    lanes::scan(Avx512::new(), job, range, target, hits);
}

/// Writes the double hash of `headers[i]` to `out[i]`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn hash_headers(headers: &[HeaderBytes], out: &mut [HashBytes]) {
    let (groups, rest) = headers.as_chunks::<N>();
    let (digests, rest_digests) = out.as_chunks_mut::<N>();
    for (group, digests) in groups.iter().zip(digests) {
        lanes::hash_headers(Avx512::new(), group, digests);
    }
    sha2_crate::hash_headers(rest, rest_digests);
}

/// Writes the double hash of `pairs[i]` to `out[i]`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn hash_pairs(pairs: &[[u8; 64]], out: &mut [HashBytes]) {
    let (groups, rest) = pairs.as_chunks::<N>();
    let (digests, rest_digests) = out.as_chunks_mut::<N>();
    for (group, digests) in groups.iter().zip(digests) {
        lanes::hash_pairs(Avx512::new(), group, digests);
    }
    sha2_crate::hash_pairs(rest, rest_digests);
}

/// The truth table of exclusive or for `vpternlogd`; bit `4x + 2y + z` is the result for the inputs `x`, `y`, `z`.
const XOR: i32 = 0b1001_0110;
/// The same of `x ? y : z`.
const CHOOSE: i32 = 0b1100_1010;
/// The same of the majority.
const MAJORITY: i32 = 0b1110_1000;

impl Lanes<N> for Avx512 {
    type V = __m512i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add(self, x: __m512i, y: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_add_epi32(x, y) }
    }

    #[inline(always)]
    fn add_first(self, x: __m512i, word: &u32) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { add_first(x, word) }
    }

    #[inline(always)]
    fn big_sigma0(self, x: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let (r2, r13, r22) = (_mm512_ror_epi32::<2>(x), _mm512_ror_epi32::<13>(x), _mm512_ror_epi32::<22>(x));
            _mm512_ternarylogic_epi32::<XOR>(r2, r13, r22)
        }
    }

    #[inline(always)]
    fn big_sigma1(self, x: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let (r6, r11, r25) = (_mm512_ror_epi32::<6>(x), _mm512_ror_epi32::<11>(x), _mm512_ror_epi32::<25>(x));
            _mm512_ternarylogic_epi32::<XOR>(r6, r11, r25)
        }
    }

    #[inline(always)]
    fn small_sigma0(self, x: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let (r7, r18, s3) = (_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x));
            _mm512_ternarylogic_epi32::<XOR>(r7, r18, s3)
        }
    }

    #[inline(always)]
    fn small_sigma1(self, x: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let (r17, r19, s10) = (_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x), _mm512_srli_epi32::<10>(x));
            _mm512_ternarylogic_epi32::<XOR>(r17, r19, s10)
        }
    }

    #[inline(always)]
    fn choose(self, e: __m512i, f: __m512i, g: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g) }
    }

    #[inline(always)]
    fn majority(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c) }
    }

    #[inline(always)]
    fn nonces(self, first: u32) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            swap_bytes(self, _mm512_add_epi32(self.splat(first), lane))
        }
    }

    #[inline(always)]
    fn at_most(self, words: __m512i, top: u32) -> u64 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_cmple_epu32_mask(swap_bytes(self, words), self.splat(top)).into() }
    }

    #[inline(always)]
    fn load<const LEN: usize>(self, rows: &[[u8; LEN]; N], at: usize) -> [__m512i; 4] {
        let quarters = [
            quarters(self, rows, 0, at),
            quarters(self, rows, 1, at),
            quarters(self, rows, 2, at),
            quarters(self, rows, 3, at),
        ];
        transpose(self, quarters)
    }

    #[inline(always)]
    fn store(self, [a, b, c, d, e, f, g, h]: [__m512i; 8], digests: &mut [HashBytes; N]) {
        for (half, words) in [[a, b, c, d], [e, f, g, h]].into_iter().enumerate() {
            for (row, x) in transpose(self, words).into_iter().enumerate() {
                // SAFETY: `self` proves AVX-512.
                let quarters = unsafe {
                    let x = swap_bytes(self, x);
                    [
                        _mm512_extracti32x4_epi32::<0>(x),
                        _mm512_extracti32x4_epi32::<1>(x),
                        _mm512_extracti32x4_epi32::<2>(x),
                        _mm512_extracti32x4_epi32::<3>(x),
                    ]
                };
                for (four, quarter) in quarters.into_iter().enumerate() {
                    let bytes = &mut digests[4 * four + row].as_chunks_mut::<16>().0[half];
                    // SAFETY: `bytes` is sixteen writable bytes; the store asks for no alignment.
                    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), quarter) };
                }
            }
        }
    }
}

/// `x` plus `word` in every lane, by an instruction that the compiler cannot merge into another sum.
///
/// `h + K` is ready three rounds before it is needed. Left alone, the compiler adds `K` to the sum of `h`, `W` and the
/// choice, just before `e` needs it, and the scan is 3 % slower.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_first(x: __m512i, word: &u32) -> __m512i {
    let sum;
    // SAFETY: it reads `word` and writes a register.
    unsafe {
        asm!(
            "vpaddd {sum}, {x}, dword ptr [{word}]{{1to16}}",
            sum = lateout(zmm_reg) sum,
            x = in(zmm_reg) x,
            word = in(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    sum
}

/// Sixteen bytes at `at` of the rows `row`, `row + 4`, `row + 8` and `row + 12`, as big-endian words.
#[inline(always)]
fn quarters<const LEN: usize>(proof: Avx512, rows: &[[u8; LEN]; N], row: usize, at: usize) -> __m512i {
    // SAFETY: `proof` proves AVX-512; each pointer is to sixteen readable bytes, and the loads ask for no alignment.
    unsafe {
        let x = _mm512_castsi128_si512(_mm_loadu_si128(sixteen(&rows[row], at)));
        let x = _mm512_inserti32x4::<1>(x, _mm_loadu_si128(sixteen(&rows[row + 4], at)));
        let x = _mm512_inserti32x4::<2>(x, _mm_loadu_si128(sixteen(&rows[row + 8], at)));
        swap_bytes(proof, _mm512_inserti32x4::<3>(x, _mm_loadu_si128(sixteen(&rows[row + 12], at))))
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
fn swap_bytes(_proof: Avx512, x: __m512i) -> __m512i {
    // SAFETY: `_proof` proves AVX-512.
    unsafe {
        let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(order))
    }
}

/// Transposes the 4 × 4 words in each quarter of four vectors. It is its own inverse.
#[inline(always)]
fn transpose(_proof: Avx512, [p, q, r, s]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: `_proof` proves AVX-512.
    unsafe {
        let (pq_low, pq_high) = (_mm512_unpacklo_epi32(p, q), _mm512_unpackhi_epi32(p, q));
        let (rs_low, rs_high) = (_mm512_unpacklo_epi32(r, s), _mm512_unpackhi_epi32(r, s));
        [
            _mm512_unpacklo_epi64(pq_low, rs_low),
            _mm512_unpackhi_epi64(pq_low, rs_low),
            _mm512_unpacklo_epi64(pq_high, rs_high),
            _mm512_unpackhi_epi64(pq_high, rs_high),
        ]
    }
}
