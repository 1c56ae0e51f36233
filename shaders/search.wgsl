// What every scan kernel has in common: the work it is given, the candidates it reports, and which nonce a thread tries.

// Everything that does not depend on the nonce. The miner fills it (miner/src/gpu/prepare.rs, `Work`, field by field the
// same). The reference kernel reads the first eleven words and the last four.
struct Work {
    // The state after the header's first 64 bytes.
    midstate0: u32,
    midstate1: u32,
    midstate2: u32,
    midstate3: u32,
    midstate4: u32,
    midstate5: u32,
    midstate6: u32,
    midstate7: u32,
    // The schedule words before the nonce: the end of the Merkle root, time, bits.
    w0: u32,
    w1: u32,
    w2: u32,
    // The state after rounds 0 to 2, as far as rounds after the third read it.
    a3: u32,
    b3: u32,
    c3: u32,
    e3: u32,
    f3: u32,
    // What round 3 makes of the state, less the nonce, which is its schedule word.
    a4_less_nonce: u32,
    e4_less_nonce: u32,
    // The h of rounds 4 to 6 with those rounds' constants and schedule words added.
    h4_k_w: u32,
    h5_k_w: u32,
    h6_k_w: u32,
    // The schedule words 16 and 17, alone and with their rounds' constants.
    w16: u32,
    w17: u32,
    k16_w16: u32,
    k17_w17: u32,
    // What the schedule words 18, 19, 31 and 32 owe to words that do not depend on the nonce.
    w18_part: u32,
    w19_part: u32,
    w31_part: u32,
    w32_part: u32,
    // The target's most significant 32 bits.
    target_top: u32,
    // The nonces: `count` from `first_nonce`, wrapping at 2^32. A row of workgroups tries `row` of them.
    first_nonce: u32,
    count: u32,
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

// Which of the range's nonces a thread tries. Rows exist because a dispatch is limited in each dimension.
fn place(id: vec3<u32>) -> u32 {
    return id.y * work.row + id.x;
}

// Reports `nonce` if the digest, read as a little-endian number, is not above the target in its most significant 32 bits;
// the miner compares the rest. Those bits are the digest's last word, bytes swapped.
fn report(nonce: u32, last_word: u32) {
    if byte_swap(last_word) <= work.target_top {
        let at = atomicAdd(&candidates.found, 1u);
        if at < arrayLength(&candidates.nonces) {
            candidates.nonces[at] = nonce;
        }
    }
}
