//! The scan with the message schedules of four streams in AVX-512VL vectors, beside the SHA instructions' rounds.
//!
//! `sha256msg1` and `sha256msg2` are what bounds the plain kernel: the second is microcode, and both overwrite an operand
//! and reach sixteen registers only, so that moves surround them. Here they are left out. A 256-bit vector holds two
//! consecutive schedule words of each of four streams (a *pair*), and ordinary instructions make the next pair for all four
//! at once, where `sha256rnds2` takes it from memory as it wants it: `K + W`, one pair of words a stream.
//!
//! The rounds of a hash wait for each other, its schedule does not need them, and the second hash needs the first. So the
//! loop takes two groups of nonces at a time: the first hash's rounds of one run beside the second hash's schedule of the
//! group before, and then the other way round. The order of instructions decides the speed. The compiler by itself makes
//! whole schedules first and rounds later; [`Pairs::together`] prevents that.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{DIGEST_PADDING, HEADER_PADDING, STREAMS, ShaNi, Streams, in_every_stream, keep_abreast, packed, vector};
use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, K, PADDING_BIT, small_sigma0, small_sigma1};

/// Two consecutive words of each stream: stream 0's in the lowest 64 bits, the earlier word lower.
type Pair = __m256i;

/// The last eight pairs of a schedule, pair `i` (words `2 * i` and `2 * i + 1`) in place `i % 8`.
type Ring = [Pair; 8];

/// The state of all streams: `a b e f`, `c d g h`.
type StreamStates = [Streams<STREAMS>; 2];

/// `K + W` of one hash of four streams, a pair in each place.
#[repr(align(64))]
struct Keyed([Pair; 32]);

/// Proof that the CPU has the instructions: made only in functions that require them.
#[derive(Clone, Copy)]
pub(super) struct Pairs(ShaNi);

/// Whether this CPU has what this file uses, given SHA-NI and AVX.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// What a scan knows before it sees a nonce.
struct Known {
    /// The first hash's state after round 3, less the nonce.
    state: [__m128i; 2],
    /// The midstate as pairs.
    midstate: [Pair; 4],
    /// Pair 8 of the first hash's schedule, and pairs 9 and 15 less what the nonce adds.
    pair_8: Pair,
    pair_9: Pair,
    pair_15: Pair,
}

impl Known {
    #[inline(always)]
    fn new(job: &ScanJob, pairs: Pairs) -> Self {
        let words = job.schedule();
        let [a, b, c, d, e, f, g, h] = job.midstate();
        Self {
            state: packed(job.state_after_round_3()),
            midstate: [pairs.splat(a, b), pairs.splat(c, d), pairs.splat(e, f), pairs.splat(g, h)],
            pair_8: pairs.splat(words.w16, words.w17),
            pair_9: pairs.splat(words.w18, words.w19),
            pair_15: pairs.splat(small_sigma0(HEADER_BITS), words.w31),
        }
    }
}

/// Rows of two rounds on every stream, each but the last few with the schedule pair that is made meanwhile:
/// `rounds / pair`. Pairs are made by an expression rather than a closure, which would not be inlined for certain.
macro_rules! side_by_side {
    ($self:ident, $state:ident, $kw:ident, $ring:ident, |$at:ident| $pair:expr;
     $($round:literal / $i:literal)*; $($last:literal)*) => {
        $(
            $self.two_rounds(&mut $state, $kw, $round);
            let $at = $i;
            $ring[$at % 8] = $pair;
            $self.together(&mut $state, $round, &mut $ring[$at % 8]);
        )*
        $(
            $self.two_rounds(&mut $state, $kw, $last);
            keep_abreast(&mut $state[($last + 1) % 2]);
        )*
    };
}

impl Pairs {
    #[inline]
    #[target_feature(enable = "sha,avx,avx512f,avx512vl,avx512vbmi2")]
    pub(super) fn new() -> Self {
        Self(ShaNi::new())
    }

    #[inline(always)]
    pub(super) fn scan(self, job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
        let known = Known::new(job, self);
        let (mut first_kw, mut second_kw) = (self.padded(&HEADER_PADDING, 2..8), self.padded(&DIGEST_PADDING, 4..8));
        first_kw.0[8] = self.keyed(known.pair_8, 8);

        let mut groups = range.groups(STREAMS as u32);
        let Some(mut now) = groups.next() else { return };
        self.first_schedule(&known, now.0, &mut first_kw);
        // The loop also searches a group before the first and one after the last; their masks are 0, so their hits are dropped.
        let mut before = (now.0, 0);
        let mut message = [self.splat(0, 0); 4];
        loop {
            in_memory(&mut first_kw);
            let state = self.first_rounds(&known, now.0, &first_kw, &message, &mut second_kw);
            message = self.digest(state, &known.midstate);
            in_memory(&mut second_kw);
            let next = groups.next();
            let words = self.second_rounds(&second_kw, &known, next.unwrap_or(now).0, &mut first_kw);
            let candidates = self.not_above(words, target.top()) & before.1;
            if candidates != 0 {
                job.confirm(before.0, candidates, target, hits);
            }
            if now.1 == 0 {
                break;
            }
            (before, now) = (now, next.unwrap_or((now.0, 0)));
        }
    }

    /// Rounds 4 to 63 of the first hash of the nonces from `first`, beside the schedule of the second hash of `message`.
    #[inline(always)]
    fn first_rounds(
        self,
        known: &Known,
        first: u32,
        kw: &Keyed,
        message: &[Pair; 4],
        second: &mut Keyed,
    ) -> StreamStates {
        let [abef, cdgh] = known.state;
        let mut state = in_every_stream([abef, cdgh]);
        for (i, abef) in state[0].iter_mut().enumerate() {
            let w3 = first.wrapping_add(i as u32).swap_bytes();
            *abef = super::add(*abef, vector([0, w3, 0, w3]));
        }
        let [p0, p1, p2, p3] = *message;
        let mut ring = [
            p0,
            p1,
            p2,
            p3,
            self.splat(PADDING_BIT, 0),
            self.splat(0, 0),
            self.splat(0, 0),
            self.splat(0, DIGEST_BITS),
        ];
        for (i, &pair) in message.iter().enumerate() {
            second.0[i] = self.keyed(pair, i);
        }
        side_by_side! {
            self, state, kw, ring, |i| self.second_pair(&ring, i, second);
            2/8 3/9 4/10 5/11 6/12 7/13 8/14 9/15 10/16 11/17 12/18 13/19 14/20 15/21 16/22 17/23 18/24 19/25 20/26 21/27
            22/28 23/29 24/30;
            25 26 27 28 29 30 31
        }
        state
    }

    /// The second hash up to the `e` of round 60, less its initial value, in the lowest word, beside the schedule of the first
    /// hash of the nonces from `first`.
    #[inline(always)]
    fn second_rounds(self, kw: &Keyed, known: &Known, first: u32, out: &mut Keyed) -> Streams<STREAMS> {
        let mut state = in_every_stream(packed(IV));
        let mut ring = [known.pair_8; 8];
        side_by_side! {
            self, state, kw, ring, |i| self.first_pair(&ring, i, known, first, out);
            0/9 1/10 2/11 3/12 4/13 5/14 6/15 7/16 8/17 9/18 10/19 11/20 12/21 13/22 14/23 15/24 16/25 17/26 18/27 19/28
            20/29 21/30 22/31;
            23 24 25 26 27 28 29
        }
        // After rounds 60 and 61 `f` is the `e` of round 60.
        self.two_rounds(&mut state, kw, 30);
        state[1]
    }

    /// Rounds `2 * at` and `2 * at + 1`. The new `a b e f` takes the place of the old `c d g h`, so that the two halves of the
    /// state change places with every pair.
    #[inline(always)]
    fn two_rounds(self, state: &mut StreamStates, kw: &Keyed, at: usize) {
        let [abef, cdgh] = state;
        let (older, newer) = if at.is_multiple_of(2) { (cdgh, abef) } else { (abef, cdgh) };
        for (i, (older, newer)) in older.iter_mut().zip(newer).enumerate() {
            let kw: *const u64 = std::ptr::from_ref(&kw.0[at]).cast();
            // SAFETY: a pair is four numbers of 64 bits, and there are four streams.
            let kw = unsafe { _mm_loadl_epi64(kw.add(i).cast()) };
            *older = self.0.two_rounds(*older, *newer, kw);
        }
    }

    /// Makes the compiler finish these two rounds, this pair and its way to memory before it goes on with either.
    #[inline(always)]
    fn together(self, state: &mut StreamStates, at: usize, pair: &mut Pair) {
        #[inline]
        #[target_feature(enable = "avx512f")]
        fn here([x0, x1, x2, x3]: &mut Streams<STREAMS>, pair: &mut Pair) {
            // As 512 bits the operand may be in any of 32 registers, as 256 only in the 16 that the rounds need.
            let mut wide = _mm512_castsi256_si512(*pair);
            // SAFETY: there are no instructions; the operands only say that each value is needed here.
            unsafe {
                asm!(
                    "/* {0} {1} {2} {3} {4} */",
                    inout(xmm_reg) *x0,
                    inout(xmm_reg) *x1,
                    inout(xmm_reg) *x2,
                    inout(xmm_reg) *x3,
                    inout(zmm_reg) wide,
                    options(nostack, preserves_flags)
                );
            }
            *pair = _mm512_castsi512_si256(wide);
        }
        // SAFETY: `self` proves AVX-512.
        unsafe { here(&mut state[(at + 1) % 2], pair) }
    }

    /// The first hash's whole schedule with nothing beside it.
    #[inline(always)]
    fn first_schedule(self, known: &Known, first: u32, out: &mut Keyed) {
        let mut ring = [known.pair_8; 8];
        for i in 9..32 {
            ring[i % 8] = self.first_pair(&ring, i, known, first, out);
        }
    }

    /// Pair `i`, at least 9, of the first hash's schedule. Words 4 to 15 are padding: `0x80000000`, zeros, 640.
    #[inline(always)]
    fn first_pair(self, ring: &Ring, i: usize, known: &Known, first: u32, out: &mut Keyed) -> Pair {
        let back = |by: usize| ring[(i - by) % 8];
        let pair = match i {
            9 => {
                let w3 = self.swapped_nonces(first);
                // SAFETY: `self` proves AVX2, which AVX-512 implies.
                let parts = unsafe { _mm256_blend_epi32::<0b1010_1010>(self.sigma0(w3), w3) };
                self.add(known.pair_9, parts)
            }
            10 => self.add(self.splat(PADDING_BIT, 0), self.sigma1(back(1))),
            11 => self.add(self.straddling(self.splat(0, HEADER_BITS), back(3)), self.sigma1(back(1))),
            12..=14 => self.add(self.straddling(back(4), back(3)), self.sigma1(back(1))),
            15 => self.add(self.add(known.pair_15, self.straddling(back(4), back(3))), self.sigma1(back(1))),
            _ => self.next_pair(ring, i),
        };
        out.0[i] = self.keyed(pair, i);
        pair
    }

    /// Pair `i`, at least 8, of the second hash's schedule. Words 8 to 15 are padding: `0x80000000`, zeros, 256.
    #[inline(always)]
    fn second_pair(self, ring: &Ring, i: usize, out: &mut Keyed) -> Pair {
        let back = |by: usize| ring[(i - by) % 8];
        let oldest = || self.add(back(8), self.sigma0(self.straddling(back(8), back(7))));
        let pair = match i {
            8 => self.add(oldest(), self.splat(0, small_sigma1(DIGEST_BITS))),
            9 | 10 => self.add(oldest(), self.sigma1(back(1))),
            12 => self.add(self.add(back(8), self.straddling(back(4), back(3))), self.sigma1(back(1))),
            13 | 14 => self.add(self.straddling(back(4), back(3)), self.sigma1(back(1))),
            _ => self.next_pair(ring, i),
        };
        out.0[i] = self.keyed(pair, i);
        pair
    }

    /// `W[j] = W[j - 16] + s0(W[j - 15]) + W[j - 7] + s1(W[j - 2])` for both words of pair `i`.
    #[inline(always)]
    fn next_pair(self, ring: &Ring, i: usize) -> Pair {
        let back = |by: usize| ring[(i - by) % 8];
        let sum = self.add(back(8), self.sigma0(self.straddling(back(8), back(7))));
        self.add(self.add(sum, self.straddling(back(4), back(3))), self.sigma1(back(1)))
    }

    /// The digests that end in `state`, as the first four pairs of another message.
    #[inline(always)]
    fn digest(self, [abef, cdgh]: StreamStates, midstate: &[Pair; 4]) -> [Pair; 4] {
        let [ab, ef] = self.halves(abef);
        let [cd, gh] = self.halves(cdgh);
        [self.add(ab, midstate[0]), self.add(cd, midstate[1]), self.add(ef, midstate[2]), self.add(gh, midstate[3])]
    }

    /// The upper halves of every stream's vector and the lower ones, the words of each in the order of the state.
    #[inline(always)]
    fn halves(self, [x0, x1, x2, x3]: Streams<STREAMS>) -> [Pair; 2] {
        // SAFETY: `self` proves AVX2, which AVX-512 implies.
        unsafe {
            let even = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(x0), x2);
            let odd = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(x1), x3);
            let (low, high) = (_mm256_unpacklo_epi64(even, odd), _mm256_unpackhi_epi64(even, odd));
            [_mm256_shuffle_epi32::<0xb1>(high), _mm256_shuffle_epi32::<0xb1>(low)]
        }
    }

    /// Which streams' digests have a last word not above `top`, one bit each, by the lowest words of `abef`.
    #[inline(always)]
    fn not_above(self, abef: Streams<STREAMS>, top: u32) -> u64 {
        let [x0, x1, x2, x3] = abef;
        // SAFETY: `self` proves AVX-512VL.
        unsafe {
            let words = _mm_unpacklo_epi64(_mm_unpacklo_epi32(x0, x1), _mm_unpacklo_epi32(x2, x3));
            let words = self.0.swap_bytes(super::add(words, vector([IV[7]; 4])));
            u64::from(_mm_cmple_epu32_mask(words, vector([top; 4])))
        }
    }

    /// Both words of each stream are its nonce as SHA-256 reads it.
    #[inline(always)]
    fn swapped_nonces(self, first: u32) -> Pair {
        let [n0, n1, n2, n3] = [0, 1, 2, 3].map(|i| first.wrapping_add(i).swap_bytes().cast_signed());
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_setr_epi32(n0, n0, n1, n1, n2, n2, n3, n3) }
    }

    /// Memory for a hash whose pairs `range` are padding: `kw` is `K + W`.
    #[inline(always)]
    fn padded(self, kw: &[u32; 64], range: std::ops::Range<usize>) -> Keyed {
        let mut keyed = Keyed([self.splat(0, 0); 32]);
        for i in range {
            keyed.0[i] = self.splat(kw[2 * i], kw[2 * i + 1]);
        }
        keyed
    }

    #[inline(always)]
    fn keyed(self, pair: Pair, i: usize) -> Pair {
        self.add(pair, self.splat(K[2 * i], K[2 * i + 1]))
    }

    /// The same two words in every stream.
    #[inline(always)]
    fn splat(self, earlier: u32, later: u32) -> Pair {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_set1_epi64x((u64::from(later) << 32 | u64::from(earlier)).cast_signed()) }
    }

    #[inline(always)]
    fn add(self, x: Pair, y: Pair) -> Pair {
        // SAFETY: `self` proves AVX2, which AVX-512 implies.
        unsafe { _mm256_add_epi32(x, y) }
    }

    /// The later word of each pair of `x`, then the earlier one of `y`.
    #[inline(always)]
    fn straddling(self, x: Pair, y: Pair) -> Pair {
        // SAFETY: `self` proves AVX-512VBMI2 and VL.
        unsafe { _mm256_shrdi_epi64::<32>(x, y) }
    }

    #[inline(always)]
    fn sigma0(self, x: Pair) -> Pair {
        // SAFETY: `self` proves AVX-512VL.
        unsafe {
            let rotated = (_mm256_ror_epi32::<7>(x), _mm256_ror_epi32::<18>(x));
            _mm256_ternarylogic_epi32::<XOR3>(rotated.0, rotated.1, _mm256_srli_epi32::<3>(x))
        }
    }

    #[inline(always)]
    fn sigma1(self, x: Pair) -> Pair {
        // SAFETY: `self` proves AVX-512VL.
        unsafe {
            let rotated = (_mm256_ror_epi32::<17>(x), _mm256_ror_epi32::<19>(x));
            _mm256_ternarylogic_epi32::<XOR3>(rotated.0, rotated.1, _mm256_srli_epi32::<10>(x))
        }
    }
}

/// The truth table of `a ^ b ^ c`.
const XOR3: i32 = 0x96;

/// Keeps the compiler from passing what was stored here to its reader in registers, of which there are too few: the pairs
/// would be stored again, somewhere else.
#[inline(always)]
fn in_memory(keyed: &mut Keyed) {
    // SAFETY: there are no instructions.
    unsafe { asm!("/* {0} */", in(reg) std::ptr::from_mut(keyed), options(nostack, preserves_flags)) }
}
