//! Finds the nonce of mainnet's genesis block in a range, and hashes the solved header.
//!
//! ```text
//! cargo run --release -p adit-hash --example scan
//! ```

use adit_hash::{Backend, GENESIS, NonceRange, ScanJob, ScanTarget};

fn main() {
    // What the header holds as nonce does not matter to a scan. Target: 32 zero bits, and 16 ones below them.
    let (job, range) = (ScanJob::new(&GENESIS), NonceRange::new(2_083_000_000, 1 << 20));
    let mut target = [0; 32];
    target[26..28].fill(0xff);
    let target = ScanTarget::from_le_bytes(target);

    let backend = Backend::fastest();
    let mut hits = Vec::new();
    backend.scan(&job, range, &target, &mut hits);

    let headers: Vec<_> = hits.iter().map(|&nonce| job.header(nonce)).collect();
    let mut digests = vec![[0; 32]; headers.len()];
    backend.hash_headers(&headers, &mut digests);
    for (nonce, digest) in hits.iter().zip(&digests) {
        // Explorers print a hash with its bytes reversed.
        let hash: String = digest.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        println!("{backend}: nonce {nonce} gives {hash}");
    }
}
