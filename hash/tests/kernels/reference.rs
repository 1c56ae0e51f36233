//! The right answers: the `sha2` crate, one message at a time, and FIPS 180-4 as it is written.

use adit_hash::{HashBytes, HeaderBytes, NonceRange, ScanJob, ScanTarget};
use proptest::prelude::*;
use proptest::test_runner::Config;
use sha2::{Digest as _, Sha256};

/// The round constants, FIPS 180-4, section 4.2.2.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

pub fn sha256d(bytes: &[u8]) -> HashBytes {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// What a scan must find, one nonce at a time through the `sha2` crate.
pub fn hits(job: &ScanJob, range: NonceRange, target: &ScanTarget) -> Vec<u32> {
    let nonces = (0..range.count).map(|i| range.first.wrapping_add(i as u32));
    nonces.filter(|&nonce| target.is_met_by(&sha256d(&job.header(nonce)))).collect()
}

/// The first hash from the job's getters alone, as a GPU would do it.
pub fn finish_first_hash(job: &ScanJob, nonce: u32) -> Vec<u8> {
    let s0 = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
    let s1 = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10);
    let known = job.schedule();
    let w3 = nonce.swap_bytes();
    let mut w = [0u32; 64];
    (w[4], w[15], w[16], w[17]) = (0x8000_0000, 640, known.w16, known.w17);
    w[18] = known.w18.wrapping_add(s0(w3));
    w[19] = known.w19.wrapping_add(w3);
    for i in 20..64 {
        w[i] = match i {
            31 => known.w31.wrapping_add(w[24]).wrapping_add(s1(w[29])),
            32 => known.w32.wrapping_add(w[25]).wrapping_add(s1(w[30])),
            _ => w[i - 16].wrapping_add(s0(w[i - 15])).wrapping_add(w[i - 7]).wrapping_add(s1(w[i - 2])),
        };
    }
    let mut state = job.state_after_round_3();
    state[0] = state[0].wrapping_add(w3);
    state[4] = state[4].wrapping_add(w3);
    for i in 4..64 {
        let [a, b, c, d, e, f, g, h] = state;
        let t1 = h
            .wrapping_add(e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25))
            .wrapping_add((e & f) ^ (!e & g))
            .wrapping_add(K[i])
            .wrapping_add(w[i]);
        let t2 =
            (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add((a & b) ^ (a & c) ^ (b & c));
        state = [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g];
    }
    state.iter().zip(job.midstate()).flat_map(|(word, mid)| word.wrapping_add(mid).to_be_bytes()).collect()
}

pub fn headers() -> impl Strategy<Value = HeaderBytes> {
    proptest::collection::vec(any::<u8>(), 80).prop_map(|bytes| bytes.try_into().expect("80 bytes"))
}

pub fn config() -> Config {
    Config { failure_persistence: None, ..Config::with_cases(96) }
}
