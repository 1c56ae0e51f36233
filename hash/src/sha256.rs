//! SHA-256's constants and its scalar round, for everything that is done once a header rather than once a nonce.
//!
//! Source: FIPS 180-4, sections 4.1.2, 4.2.2, 5.3.3 and 6.2.

/// The round constants K0..K63.
pub(crate) const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

/// The initial state H0..H7.
pub(crate) const IV: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The padding's first word: a one bit after the message.
pub(crate) const PADDING_BIT: u32 = 1 << 31;

/// The length in bits of a header, a pair of digests and a digest: the last word of their padding.
pub(crate) const HEADER_BITS: u32 = 640;
pub(crate) const PAIR_BITS: u32 = 512;
pub(crate) const DIGEST_BITS: u32 = 256;

/// The block of padding that follows 64 bytes of message.
pub(crate) const PAIR_PADDING: [u32; 16] = [PADDING_BIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, PAIR_BITS];

pub(crate) const fn big_sigma0(x: u32) -> u32 {
    x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22)
}

pub(crate) const fn big_sigma1(x: u32) -> u32 {
    x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25)
}

pub(crate) const fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

pub(crate) const fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// Choice: bits of `f` where `e` is one, bits of `g` where it is zero.
pub(crate) const fn choose(e: u32, f: u32, g: u32) -> u32 {
    g ^ (e & (f ^ g))
}

pub(crate) const fn majority(a: u32, b: u32, c: u32) -> u32 {
    (a & b) | (c & (a | b))
}

/// One round on the state `a..h`, with the round's constant and schedule word already added.
pub(crate) const fn round([a, b, c, d, e, f, g, h]: [u32; 8], k_plus_w: u32) -> [u32; 8] {
    let t1 = h.wrapping_add(big_sigma1(e)).wrapping_add(choose(e, f, g)).wrapping_add(k_plus_w);
    let t2 = big_sigma0(a).wrapping_add(majority(a, b, c));
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

/// The compression function: `state` after one more block of sixteen big-endian words.
pub(crate) const fn compress(state: [u32; 8], block: [u32; 16]) -> [u32; 8] {
    let mut w = block;
    let mut s = state;
    let mut i = 0;
    while i < 64 {
        if i >= 16 {
            let at = i % 16;
            w[at] = w[at]
                .wrapping_add(small_sigma0(w[(i + 1) % 16]))
                .wrapping_add(w[(i + 9) % 16])
                .wrapping_add(small_sigma1(w[(i + 14) % 16]));
        }
        s = round(s, K[i].wrapping_add(w[i % 16]));
        i += 1;
    }
    let mut out = state;
    i = 0;
    while i < 8 {
        out[i] = out[i].wrapping_add(s[i]);
        i += 1;
    }
    out
}

/// SHA-256 of a 32-byte digest given as words.
pub(crate) const fn second_hash([a, b, c, d, e, f, g, h]: [u32; 8]) -> [u32; 8] {
    compress(IV, [a, b, c, d, e, f, g, h, PADDING_BIT, 0, 0, 0, 0, 0, 0, DIGEST_BITS])
}

/// The schedule of a block: sixteen words of message and forty-eight made of them.
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) const fn schedule(block: [u32; 16]) -> [u32; 64] {
    let mut w = [0; 64];
    let mut i = 0;
    while i < 64 {
        w[i] = if i < 16 {
            block[i]
        } else {
            w[i - 16].wrapping_add(small_sigma0(w[i - 15])).wrapping_add(w[i - 7]).wrapping_add(small_sigma1(w[i - 2]))
        };
        i += 1;
    }
    w
}

/// The words of `bytes`, each read big-endian; `bytes` is a multiple of four long and fills `N` words.
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    debug_assert_eq!(bytes.len(), 4 * N);
    let mut out = [0; N];
    for (word, four) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*four);
    }
    out
}

/// The bytes of a digest or state, each word written big-endian.
pub(crate) fn bytes(words: [u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (four, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *four = word.to_be_bytes();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1 and B.2: "abc" and the message of 448 bits, whose length needs a block of its own.
    #[test]
    fn the_standard_s_examples() {
        let digest = |message: &[u8]| {
            let mut padded = message.to_vec();
            padded.push(0x80);
            padded.resize((message.len() + 9).next_multiple_of(64) - 8, 0);
            padded.extend((8 * message.len() as u64).to_be_bytes());
            hex::encode(bytes(padded.chunks(64).fold(IV, |state, block| compress(state, words(block)))))
        };
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            digest(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
    }

    #[test]
    fn a_compression_is_its_schedule_s_rounds() {
        let rounds = schedule(PAIR_PADDING).iter().zip(K).fold(IV, |state, (&w, k)| round(state, k.wrapping_add(w)));
        let sum: Vec<u32> = rounds.iter().zip(IV).map(|(a, b)| a.wrapping_add(b)).collect();
        assert_eq!(sum, compress(IV, PAIR_PADDING));
    }
}
