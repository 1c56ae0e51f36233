//! Finds the nonce of mainnet's genesis block in a range, and hashes the solved header.
//!
//! ```text
//! cargo run --release -p adit-hash --example scan
//! ```

use adit_hash::{Backend, GENESIS, GENESIS_TARGET, NonceRange, ScanJob};

fn main() {
    // A scan ignores the nonce that the header holds.
    let (job, range) = (ScanJob::new(&GENESIS), NonceRange::new(2_083_000_000, 1 << 20));

    let backend = Backend::fastest();
    let mut hits = Vec::new();
    backend.scan(&job, range, &GENESIS_TARGET, &mut hits);

    let headers: Vec<_> = hits.iter().map(|&nonce| job.header(nonce)).collect();
    let mut digests = vec![[0; 32]; headers.len()];
    backend.hash_headers(&headers, &mut digests);
    for (nonce, digest) in hits.iter().zip(&digests) {
        // Explorers print a hash with its bytes reversed.
        let hash: String = digest.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        println!("{backend}: nonce {nonce} gives {hash}");
    }
}
