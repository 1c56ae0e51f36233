// SHA-256's constants, functions and round. Every kernel begins with this file.
//
// Source: FIPS 180-4, sections 4.1.2, 4.2.2 and 5.3.3. There are no arrays: on most GPUs an array that is indexed by a
// variable is kept in memory rather than in registers, and an array that is indexed by constants has no use.

const K00 = 0x428a2f98u;
const K01 = 0x71374491u;
const K02 = 0xb5c0fbcfu;
const K03 = 0xe9b5dba5u;
const K04 = 0x3956c25bu;
const K05 = 0x59f111f1u;
const K06 = 0x923f82a4u;
const K07 = 0xab1c5ed5u;
const K08 = 0xd807aa98u;
const K09 = 0x12835b01u;
const K10 = 0x243185beu;
const K11 = 0x550c7dc3u;
const K12 = 0x72be5d74u;
const K13 = 0x80deb1feu;
const K14 = 0x9bdc06a7u;
const K15 = 0xc19bf174u;
const K16 = 0xe49b69c1u;
const K17 = 0xefbe4786u;
const K18 = 0x0fc19dc6u;
const K19 = 0x240ca1ccu;
const K20 = 0x2de92c6fu;
const K21 = 0x4a7484aau;
const K22 = 0x5cb0a9dcu;
const K23 = 0x76f988dau;
const K24 = 0x983e5152u;
const K25 = 0xa831c66du;
const K26 = 0xb00327c8u;
const K27 = 0xbf597fc7u;
const K28 = 0xc6e00bf3u;
const K29 = 0xd5a79147u;
const K30 = 0x06ca6351u;
const K31 = 0x14292967u;
const K32 = 0x27b70a85u;
const K33 = 0x2e1b2138u;
const K34 = 0x4d2c6dfcu;
const K35 = 0x53380d13u;
const K36 = 0x650a7354u;
const K37 = 0x766a0abbu;
const K38 = 0x81c2c92eu;
const K39 = 0x92722c85u;
const K40 = 0xa2bfe8a1u;
const K41 = 0xa81a664bu;
const K42 = 0xc24b8b70u;
const K43 = 0xc76c51a3u;
const K44 = 0xd192e819u;
const K45 = 0xd6990624u;
const K46 = 0xf40e3585u;
const K47 = 0x106aa070u;
const K48 = 0x19a4c116u;
const K49 = 0x1e376c08u;
const K50 = 0x2748774cu;
const K51 = 0x34b0bcb5u;
const K52 = 0x391c0cb3u;
const K53 = 0x4ed8aa4au;
const K54 = 0x5b9cca4fu;
const K55 = 0x682e6ff3u;
const K56 = 0x748f82eeu;
const K57 = 0x78a5636fu;
const K58 = 0x84c87814u;
const K59 = 0x8cc70208u;
const K60 = 0x90befffau;
const K61 = 0xa4506cebu;
const K62 = 0xbef9a3f7u;
const K63 = 0xc67178f2u;

// The initial state.
const H0 = 0x6a09e667u;
const H1 = 0xbb67ae85u;
const H2 = 0x3c6ef372u;
const H3 = 0xa54ff53au;
const H4 = 0x510e527fu;
const H5 = 0x9b05688cu;
const H6 = 0x1f83d9abu;
const H7 = 0x5be0cd19u;

fn rotr(x: u32, n: u32) -> u32 {
    return (x >> n) | (x << (32u - n));
}

fn big_sigma0(x: u32) -> u32 {
    return rotr(x, 2u) ^ rotr(x, 13u) ^ rotr(x, 22u);
}

fn big_sigma1(x: u32) -> u32 {
    return rotr(x, 6u) ^ rotr(x, 11u) ^ rotr(x, 25u);
}

fn small_sigma0(x: u32) -> u32 {
    return rotr(x, 7u) ^ rotr(x, 18u) ^ (x >> 3u);
}

fn small_sigma1(x: u32) -> u32 {
    return rotr(x, 17u) ^ rotr(x, 19u) ^ (x >> 10u);
}

// Bits of f where e is one, bits of g where it is zero.
fn choose(e: u32, f: u32, g: u32) -> u32 {
    return g ^ (e & (f ^ g));
}

// Written so that the next round, whose b and c are this round's a and b, reuses `a ^ b` as its `b ^ c`.
fn majority(a: u32, b: u32, c: u32) -> u32 {
    return ((a ^ b) & (b ^ c)) ^ b;
}

// Word t of the message schedule from the words t-2, t-7, t-15 and t-16.
fn schedule(w2: u32, w7: u32, w15: u32, w16: u32) -> u32 {
    return small_sigma1(w2) + w7 + small_sigma0(w15) + w16;
}

// One round. `kw` is the round's constant plus its schedule word. The state's variables are not moved: the new e is written
// to d and the new a to h, and the caller passes the next round's arguments rotated by one place.
fn round(a: u32, b: u32, c: u32, d: ptr<function, u32>, e: u32, f: u32, g: u32, h: ptr<function, u32>, kw: u32) {
    let t1 = *h + big_sigma1(e) + choose(e, f, g) + kw;
    *d += t1;
    *h = t1 + big_sigma0(a) + majority(a, b, c);
}

// A digest, or a state, as eight words.
struct Words8 {
    w0: u32,
    w1: u32,
    w2: u32,
    w3: u32,
    w4: u32,
    w5: u32,
    w6: u32,
    w7: u32,
}

fn byte_swap(x: u32) -> u32 {
    return (rotr(x, 8u) & 0xff00ff00u) | (rotr(x, 24u) & 0x00ff00ffu);
}
