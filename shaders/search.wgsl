// What every scan kernel has in common: the work it is given, the candidates it reports, and which nonce a thread tries.

// Everything that does not depend on the nonce. The miner fills it (miner/src/gpu/prepare.rs, `Prepared`, field by field the
// same). The reference kernel reads midstate, tail and the last four.
struct Work {
    // The state after the header's first 64 bytes.
    midstate: Words8,
    // The state after round 3: a and e less the nonce, which is that round's schedule word, and h with the constant and the
    // schedule word of round 4 added.
    state: Words8,

    // The schedule words 0 to 2: the end of the Merkle root, time, bits. Word 3 is the nonce.
    tail0: u32,
    tail1: u32,
    tail2: u32,

    // The h of rounds 5 and 6, which is the g and the f after round 3, with those rounds' constants added.
    g_k05: u32,
    f_k06: u32,
    // The constants of rounds 16 and 17 with their schedule words added.
    k16_w16: u32,
    k17_w17: u32,
    // The schedule words 16 and 17, and what 18, 19, 31 and 32 owe to words that do not depend on the nonce.
    w16: u32,
    w17: u32,
    w18: u32,
    w19: u32,
    w31: u32,
    w32: u32,

    // What round 0 of the second hash makes of the initial state, with the midstate's part of schedule word 0.
    second_a: u32,
    second_e: u32,
    // The h of the second hash's rounds 1 to 3 with those rounds' constants and the midstate's part of their schedule words.
    h6_k01: u32,
    h5_k02: u32,
    h4_k03: u32,

    // Constants that compilers must not know (scan.wgsl): of the initial state,
    h0: u32,
    h1: u32,
    h2: u32,
    // the padding's first bit, the lengths in bits of what the two hashes are given, and small sigmas of these.
    padding: u32,
    bits1: u32,
    bits2: u32,
    small_sigma0_padding: u32,
    small_sigma0_bits1: u32,
    small_sigma0_bits2: u32,
    small_sigma1_bits2: u32,

    // The target's most significant 32 bits.
    target_top: u32,
    // The first nonce, and the number of nonces, which wrap at 2^32.
    first: u32,
    count: u32,
    // The threads of a row of workgroups.
    row: u32,
}

struct Candidates {
    // How many were found, also beyond those that the list holds: then the miner searches the range again in halves.
    found: atomic<u32>,
    nonces: array<u32>,
}

@group(0) @binding(0) var<uniform> work: Work;
@group(0) @binding(1) var<storage, read_write> candidates: Candidates;

// Threads in a workgroup; the miner sets it.
override workgroup_threads: u32 = 64u;

// The number of the thread. Rows exist because a dispatch is limited in each dimension.
fn place(id: vec3<u32>) -> u32 {
    return id.y * work.row + id.x;
}

// Whether the digest, read as a little-endian number, is not above the target in its most significant 32 bits, which are
// the digest's last word, bytes swapped. The miner compares the rest.
fn is_candidate(last_word: u32, target_top: u32) -> bool {
    return byte_swap(last_word) <= target_top;
}

fn report(nonce: u32) {
    let at = atomicAdd(&candidates.found, 1u);
    if at < arrayLength(&candidates.nonces) {
        candidates.nonces[at] = nonce;
    }
}
