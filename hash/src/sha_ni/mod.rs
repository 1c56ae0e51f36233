//! SHA-NI: the CPU's own SHA-256 rounds, several messages interleaved so that one's latency hides behind another's.
//!
//! `sha256rnds2` does two rounds on a state kept in two registers, `a b e f` and `c d g h`, and swaps their meaning.
//! Vectors are written here as the instructions see them, lowest word first: `[f e b a]`, `[h g d c]`, and schedule words
//! `[W0 W1 W2 W3]`.
//!
//! Where the CPU has AVX-512VL and VBMI2 too, the scan leaves the message schedule to them: see `pairs.rs`.
//!
//! One stream needs six registers and the SHA instructions reach sixteen. With AVX-512VL there are sixteen more to keep
//! the rest in, a register move away, where plain AVX goes through memory. So the jobs other than the scan are compiled
//! twice, and [`ShaNi`] is the proof, either way, that the CPU has the instructions.

mod pairs;
mod variants;

use std::arch::asm;
use std::arch::x86_64::*;

use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, K, PADDING_BIT, PAIR_PADDING, schedule, small_sigma0};
use crate::{HashBytes, HeaderBytes};

pub use variants::{Variant, variants};

/// How many messages are in flight at once, by measurement.
const STREAMS: usize = 4;

/// One vector a stream.
type Streams<const S: usize> = [__m128i; S];

/// Whether this CPU has what the kernels below use.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx")
}

/// Defines a job for each of the two register files, and the choice between them.
macro_rules! job {
    ($(#[$doc:meta])* $name:ident, $with_16:ident, $with_32:ident, ($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        #[target_feature(enable = "sha,avx")]
        pub(crate) fn $name($($argument: $type),*) {
            if is_x86_feature_detected!("avx512vl") {
                // SAFETY: just detected.
                unsafe { $with_32($($argument),*) }
            } else {
                $with_16($($argument),*);
            }
        }

        #[target_feature(enable = "sha,avx")]
        fn $with_16($($argument: $type),*) {
            ShaNi::new().$name($($argument),*);
        }

        #[target_feature(enable = "sha,avx,avx512vl")]
        fn $with_32($($argument: $type),*) {
            ShaNi::new().$name($($argument),*);
        }
    };
}

/// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
#[target_feature(enable = "sha,avx")]
pub(crate) fn scan(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    if pairs::is_supported() {
        // SAFETY: just detected.
        unsafe { scan_in_pairs(job, range, target, hits) }
    } else {
        scan_in_streams(job, range, target, hits);
    }
}

/// [`scan`] with SHA instructions alone.
#[target_feature(enable = "sha,avx")]
fn scan_in_streams(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    ShaNi::new().scan(job, range, target, hits);
}

/// [`scan`] with the schedules in AVX-512 vectors.
#[target_feature(enable = "sha,avx,avx512f,avx512vl,avx512vbmi2")]
fn scan_in_pairs(job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
    pairs::Pairs::new().scan(job, range, target, hits);
}

job! {
    /// Writes the double hash of `headers[i]` to `out[i]`.
    hash_headers, hash_headers_with_16, hash_headers_with_32, (headers: &[HeaderBytes], out: &mut [HashBytes])
}
job! {
    /// Writes the double hash of `pairs[i]` to `out[i]`.
    hash_pairs, hash_pairs_with_16, hash_pairs_with_32, (pairs: &[[u8; 64]], out: &mut [HashBytes])
}

/// Schedule words and rounds, four a number: the group `i` is `W[4 * i..]`.
macro_rules! expanding_rounds {
    ($p:ident, $state:ident, $x:ident, $($i:literal)*) => {
        $(
            $p.expand(&mut $x, $i);
            $p.rounds(&mut $state, &$x[$i % 4], $i);
        )*
    };
}

/// `K + W` of a block that ends in padding after `words`, for the words that are padding.
const fn padding(words: usize, bits: u32) -> [u32; 64] {
    let mut kw = K;
    kw[words] = kw[words].wrapping_add(PADDING_BIT);
    kw[15] = kw[15].wrapping_add(bits);
    kw
}

const HEADER_PADDING: [u32; 64] = padding(4, HEADER_BITS);
const DIGEST_PADDING: [u32; 64] = padding(8, DIGEST_BITS);

/// Proof that the CPU has the instructions: made only in functions that require them.
#[derive(Clone, Copy)]
struct ShaNi(());

impl ShaNi {
    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn new() -> Self {
        Self(())
    }

    #[inline(always)]
    fn scan(self, job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
        let top = target.top();
        for (first, in_range) in range.groups(STREAMS as u32) {
            let mut candidates = 0;
            for (i, word) in self.last_words::<STREAMS>(job, first).into_iter().enumerate() {
                candidates |= u64::from(word.swap_bytes() <= top) << i;
            }
            if candidates != 0 {
                job.confirm(first, candidates & in_range, target, hits);
            }
        }
    }

    #[inline(always)]
    fn hash_headers(self, headers: &[HeaderBytes], out: &mut [HashBytes]) {
        let (groups, rest) = headers.as_chunks::<STREAMS>();
        let (digests, rest_digests) = out.as_chunks_mut::<STREAMS>();
        for (group, digests) in groups.iter().zip(digests) {
            self.hash_header_group(group, digests);
        }
        for (header, digest) in rest.as_chunks::<1>().0.iter().zip(rest_digests.as_chunks_mut::<1>().0) {
            self.hash_header_group(header, digest);
        }
    }

    #[inline(always)]
    fn hash_pairs(self, pairs: &[[u8; 64]], out: &mut [HashBytes]) {
        let (groups, rest) = pairs.as_chunks::<STREAMS>();
        let (digests, rest_digests) = out.as_chunks_mut::<STREAMS>();
        for (group, digests) in groups.iter().zip(digests) {
            self.hash_pair_group(group, digests);
        }
        for (pair, digest) in rest.as_chunks::<1>().0.iter().zip(rest_digests.as_chunks_mut::<1>().0) {
            self.hash_pair_group(pair, digest);
        }
    }

    /// The last words of the double hashes of the job's header with the nonces `first`, `first + 1`, ….
    #[inline(always)]
    fn last_words<const S: usize>(self, job: &ScanJob, first: u32) -> [u32; S] {
        let known = job.schedule();
        let [abef, cdgh] = packed(job.state_after_round_3());
        let x4 = vector([known.w16, known.w17, known.w18, known.w19]);
        let x5 = vector([PADDING_BIT, 0, HEADER_BITS, known.w16]);
        let x7 = vector([0, 0, small_sigma0(HEADER_BITS), known.w31]);

        let mut state = [[abef; S], [cdgh; S]];
        let mut x = [[x4; S]; 4];
        for i in 0..S {
            let w3 = first.wrapping_add(i as u32).swap_bytes();
            state[0][i] = add(abef, vector([0, w3, 0, w3]));
            x[0][i] = add(x4, vector([0, 0, small_sigma0(w3), w3]));
            x[1][i] = self.msg2(x5, x[0][i]);
            x[2][i] = self.msg2(self.shifted(x[0][i], x[1][i]), x[1][i]);
            x[3][i] = self.msg2(add(self.shifted(x[1][i], x[2][i]), x7), x[2][i]);
        }
        for at in 1..4 {
            self.constant_rounds(&mut state, &HEADER_PADDING, at);
        }
        for (x, at) in x.iter().zip(4..) {
            self.rounds(&mut state, x, at);
        }
        let mut x = self.halfway(x);
        expanding_rounds!(self, state, x, 8 9 10 11 12 13 14 15);

        let message = unpacked(added(state, in_every_stream(packed(job.midstate()))));
        let (mut state, mut x) = self.second_hash_start(message);
        expanding_rounds!(self, state, x, 7 8 9 10 11 12 13 14);
        self.expand(&mut x, 15);
        let mut words = [0; S];
        for i in 0..S {
            // After rounds 60 and 61 `f` is the `e` of round 60.
            let abef = self.two_rounds(state[1][i], state[0][i], add(x[3][i], constants(&K, 15)));
            words[i] = lowest(abef).wrapping_add(IV[7]);
        }
        words
    }

    /// SHA-256 of 32-byte messages.
    #[inline(always)]
    fn second_hash<const S: usize>(self, message: [Streams<S>; 2]) -> [Streams<S>; 2] {
        let (mut state, mut x) = self.second_hash_start(message);
        expanding_rounds!(self, state, x, 7 8 9 10 11 12 13 14 15);
        unpacked(added(state, in_every_stream(packed(IV))))
    }

    /// Rounds 0 to 27 of SHA-256 of 32-byte messages: the state, and the schedule as `expand` takes it to word 28.
    #[expect(clippy::needless_range_loop, reason = "a stream is one index into several arrays")]
    #[inline(always)]
    fn second_hash_start<const S: usize>(self, [x0, x1]: [Streams<S>; 2]) -> ([Streams<S>; 2], [Streams<S>; 4]) {
        let x2 = vector([PADDING_BIT, 0, 0, 0]);
        let x3 = vector([0, 0, 0, DIGEST_BITS]);
        let mut state = in_every_stream(packed(IV));
        self.rounds(&mut state, &x0, 0);
        self.rounds(&mut state, &x1, 1);
        self.constant_rounds(&mut state, &DIGEST_PADDING, 2);
        self.constant_rounds(&mut state, &DIGEST_PADDING, 3);
        let mut x = [x0, x1, [x2; S], [x3; S]];
        for i in 0..S {
            x[0][i] = self.msg2(self.msg1(x0[i], x1[i]), x3);
            x[1][i] = self.msg2(add(self.msg1(x1[i], x2), self.shifted(x3, x[0][i])), x[0][i]);
            // Of words 8 to 12 only word 8 is not zero, so that `msg1` would give them back.
            x[2][i] = self.msg2(add(x2, self.shifted(x[0][i], x[1][i])), x[1][i]);
        }
        self.rounds(&mut state, &x[0], 4);
        self.rounds(&mut state, &x[1], 5);
        self.rounds(&mut state, &x[2], 6);
        for i in 0..S {
            x[3][i] = self.msg1(x3, x[0][i]);
            x[0][i] = self.msg1(x[0][i], x[1][i]);
        }
        (state, x)
    }

    #[inline(always)]
    fn hash_header_group<const S: usize>(self, headers: &[HeaderBytes; S], out: &mut [HashBytes; S]) {
        let first = [self.load(headers, 0), self.load(headers, 16), self.load(headers, 32), self.load(headers, 48)];
        let middle = self.compress(in_every_stream(packed(IV)), first);
        let (x1, x2, x3) = (vector([PADDING_BIT, 0, 0, 0]), vector([0; 4]), vector([0, 0, 0, HEADER_BITS]));
        let digest = self.compress(middle, [self.load(headers, 64), [x1; S], [x2; S], [x3; S]]);
        self.store(self.second_hash(unpacked(digest)), out);
    }

    #[inline(always)]
    fn hash_pair_group<const S: usize>(self, pairs: &[[u8; 64]; S], out: &mut [HashBytes; S]) {
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
        let first = [self.load(pairs, 0), self.load(pairs, 16), self.load(pairs, 32), self.load(pairs, 48)];
        let middle = self.compress(in_every_stream(packed(IV)), first);
        let mut state = middle;
        for at in 0..16 {
            self.constant_rounds(&mut state, &KW, at);
        }
        self.store(self.second_hash(unpacked(added(state, middle))), out);
    }

    /// The compression function on whole blocks.
    #[inline(always)]
    fn compress<const S: usize>(self, before: [Streams<S>; 2], x: [Streams<S>; 4]) -> [Streams<S>; 2] {
        let mut state = before;
        for (x, at) in x.iter().zip(0..) {
            self.rounds(&mut state, x, at);
        }
        let mut x = self.halfway(x);
        expanding_rounds!(self, state, x, 4 5 6 7 8 9 10 11 12 13 14 15);
        added(state, before)
    }

    /// Four rounds on the schedule words `x`, which are `W[4 * at..]`.
    #[inline(always)]
    fn rounds<const S: usize>(self, [abef, cdgh]: &mut [Streams<S>; 2], x: &Streams<S>, at: usize) {
        let k = constants(&K, at);
        let mut kw = *x;
        for kw in &mut kw {
            *kw = add(*kw, k);
        }
        for i in 0..S {
            cdgh[i] = self.two_rounds(cdgh[i], abef[i], kw[i]);
        }
        keep_abreast(cdgh);
        for i in 0..S {
            abef[i] = self.two_rounds(abef[i], cdgh[i], upper(kw[i]));
        }
        keep_abreast(abef);
    }

    /// Four rounds on words that are the same in every stream: `kw[4 * at..]` is `K + W`.
    #[inline(always)]
    fn constant_rounds<const S: usize>(self, [abef, cdgh]: &mut [Streams<S>; 2], kw: &[u32; 64], at: usize) {
        let kw = constants(kw, at);
        for i in 0..S {
            cdgh[i] = self.two_rounds(cdgh[i], abef[i], kw);
        }
        keep_abreast(cdgh);
        for i in 0..S {
            abef[i] = self.two_rounds(abef[i], cdgh[i], upper(kw));
        }
        keep_abreast(abef);
    }

    /// The next four schedule words, `W[4 * at..]`, in the place of the oldest.
    ///
    /// The older half of `x` holds [`msg1`](Self::msg1) of itself and its successor rather than the words, and one more
    /// group becomes so here, while both are at hand: done when its value is needed, it would cost two register moves.
    #[expect(clippy::needless_range_loop, reason = "a stream is one index into several arrays")]
    #[inline(always)]
    fn expand<const S: usize>(self, x: &mut [Streams<S>; 4], at: usize) {
        for i in 0..S {
            let (oldest, newer, newest) = (x[at % 4][i], x[(at + 2) % 4][i], x[(at + 3) % 4][i]);
            x[at % 4][i] = self.msg2(add(oldest, self.shifted(newer, newest)), newest);
            x[(at + 2) % 4][i] = self.msg1(newer, newest);
        }
    }

    /// Sixteen words of message as [`expand`](Self::expand) takes them.
    #[inline(always)]
    fn halfway<const S: usize>(self, [mut x0, mut x1, x2, x3]: [Streams<S>; 4]) -> [Streams<S>; 4] {
        for i in 0..S {
            x0[i] = self.msg1(x0[i], x1[i]);
            x1[i] = self.msg1(x1[i], x2[i]);
        }
        [x0, x1, x2, x3]
    }

    /// Two rounds with the lower two words of `kw`: the new `a b e f`. The old one is the new `c d g h`.
    #[inline(always)]
    fn two_rounds(self, cdgh: __m128i, abef: __m128i, kw: __m128i) -> __m128i {
        // SAFETY: `self` proves SHA-NI.
        unsafe { _mm_sha256rnds2_epu32(cdgh, abef, kw) }
    }

    /// `W[i] + s0(W[i + 1])` for the four words of `x`; `y` are the next four.
    #[inline(always)]
    fn msg1(self, x: __m128i, y: __m128i) -> __m128i {
        // SAFETY: `self` proves SHA-NI.
        unsafe { _mm_sha256msg1_epu32(x, y) }
    }

    /// Four schedule words from their other three terms in `sum` and the four words before them.
    #[inline(always)]
    fn msg2(self, sum: __m128i, before: __m128i) -> __m128i {
        // SAFETY: `self` proves SHA-NI.
        unsafe { _mm_sha256msg2_epu32(sum, before) }
    }

    /// The last three words of `x` and the first of `y`.
    #[inline(always)]
    fn shifted(self, x: __m128i, y: __m128i) -> __m128i {
        // SAFETY: `self` proves AVX.
        unsafe { _mm_alignr_epi8::<4>(y, x) }
    }

    /// Reverses the bytes of every word.
    #[inline(always)]
    fn swap_bytes(self, x: __m128i) -> __m128i {
        // SAFETY: `self` proves AVX.
        unsafe { _mm_shuffle_epi8(x, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)) }
    }

    /// Bytes `at..at + 16` of every row as four big-endian words.
    #[inline(always)]
    fn load<const S: usize, const LEN: usize>(self, rows: &[[u8; LEN]; S], at: usize) -> Streams<S> {
        let mut x = [vector([0; 4]); S];
        for (x, row) in x.iter_mut().zip(rows) {
            let bytes: &[u8; 16] = row[at..].first_chunk().expect("callers ask for bytes that every row has");
            // SAFETY: `bytes` is sixteen readable bytes; the load asks for no alignment.
            *x = self.swap_bytes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
        }
        x
    }

    #[inline(always)]
    fn store<const S: usize>(self, [low, high]: [Streams<S>; 2], digests: &mut [HashBytes; S]) {
        for (i, digest) in digests.iter_mut().enumerate() {
            for (bytes, x) in digest.as_chunks_mut::<16>().0.iter_mut().zip([low[i], high[i]]) {
                // SAFETY: `bytes` is sixteen writable bytes; the store asks for no alignment.
                unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), self.swap_bytes(x)) };
            }
        }
    }
}

/// Makes the compiler bring every stream to this point before it takes any further. Left alone, it saves registers by
/// taking one stream through many rounds before it turns to the next, and the latency shows again.
#[inline(always)]
fn keep_abreast<const S: usize>(streams: &mut Streams<S>) {
    if let [x0, x1, x2, x3] = streams.as_mut_slice() {
        // SAFETY: there are no instructions; the operands only say that each value is needed here.
        unsafe {
            asm!(
                "/* {0} {1} {2} {3} */",
                inout(xmm_reg) * x0,
                inout(xmm_reg) * x1,
                inout(xmm_reg) * x2,
                inout(xmm_reg) * x3,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

#[inline(always)]
fn add(x: __m128i, y: __m128i) -> __m128i {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_add_epi32(x, y) }
}

/// The upper two words, moved down.
#[inline(always)]
fn upper(x: __m128i) -> __m128i {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_shuffle_epi32::<0x0e>(x) }
}

#[inline(always)]
fn lowest(x: __m128i) -> u32 {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_cvtsi128_si32(x).cast_unsigned() }
}

#[inline(always)]
fn vector([a, b, c, d]: [u32; 4]) -> __m128i {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed()) }
}

/// `k[4 * at..]`, four of them.
#[inline(always)]
fn constants(k: &[u32; 64], at: usize) -> __m128i {
    vector([k[4 * at], k[4 * at + 1], k[4 * at + 2], k[4 * at + 3]])
}

/// The state as the rounds take it.
#[inline(always)]
fn packed([a, b, c, d, e, f, g, h]: [u32; 8]) -> [__m128i; 2] {
    [vector([f, e, b, a]), vector([h, g, d, c])]
}

/// The state's words in order: `[a b c d]`, `[e f g h]`.
#[inline(always)]
fn unpacked<const S: usize>([feba, hgdc]: [Streams<S>; 2]) -> [Streams<S>; 2] {
    let (mut low, mut high) = (feba, hgdc);
    for i in 0..S {
        // SAFETY: every x86-64 CPU has SSE2.
        unsafe {
            let (abef, cdgh) = (_mm_shuffle_epi32::<0x1b>(feba[i]), _mm_shuffle_epi32::<0x1b>(hgdc[i]));
            low[i] = _mm_unpacklo_epi64(abef, cdgh);
            high[i] = _mm_unpackhi_epi64(abef, cdgh);
        }
    }
    [low, high]
}

#[inline(always)]
fn in_every_stream<const S: usize>([abef, cdgh]: [__m128i; 2]) -> [Streams<S>; 2] {
    [[abef; S], [cdgh; S]]
}

#[inline(always)]
fn added<const S: usize>(state: [Streams<S>; 2], before: [Streams<S>; 2]) -> [Streams<S>; 2] {
    let mut sum = state;
    for i in 0..S {
        sum[0][i] = add(state[0][i], before[0][i]);
        sum[1][i] = add(state[1][i], before[1][i]);
    }
    sum
}
