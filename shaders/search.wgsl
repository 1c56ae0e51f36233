// What every scan kernel has in common: the work it is given, the candidates it reports, and which nonce a thread tries.

// Everything that does not depend on the nonce. The miner fills it (miner/src/gpu/prepare.rs, `Work`, field by field the
// same). The reference kernel reads the first three fields and the last.
//
// Vectors of four, because a load is what costs, not its width.
struct Work {
    // The state after the header's first 64 bytes.
    midstate_a_to_d: vec4<u32>,
    midstate_e_to_h: vec4<u32>,
    // The schedule words 0 to 2: the end of the Merkle root, time, bits. The fourth, the nonce, is left out.
    tail: vec4<u32>,
    // The state after round 3: a and e less the nonce, which is that round's schedule word, and h with the constant and the
    // schedule word of round 4 added.
    state_a_to_d: vec4<u32>,
    state_e_to_h: vec4<u32>,
    // The h of rounds 5 and 6 with those rounds' constants and schedule words added, and the constants of rounds 16 and 17
    // with their schedule words added.
    folded: vec4<u32>,
    // The schedule words 16 and 17, and what 18 and 19 owe to words that do not depend on the nonce.
    words16_to_19: vec4<u32>,
    // The same of the schedule words 31 and 32. The other two are left out.
    words31_to_32: vec4<u32>,
    // The target's most significant 32 bits; the first nonce; the number of nonces, which wrap at 2^32; how many of them a row
    // of workgroups tries.
    search: vec4<u32>,
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
    return id.y * work.search.w + id.x;
}

// Reports `nonce` if the digest, read as a little-endian number, is not above the target in its most significant 32 bits;
// the miner compares the rest. Those bits are the digest's last word, bytes swapped.
fn report(nonce: u32, last_word: u32) {
    if byte_swap(last_word) <= work.search.x {
        let at = atomicAdd(&candidates.found, 1u);
        if at < arrayLength(&candidates.nonces) {
            candidates.nonces[at] = nonce;
        }
    }
}
