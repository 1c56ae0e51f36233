//! The two forms of the scan, each beside the `sha2` crate.

use super::*;
use crate::sha2_crate;

type Scan = unsafe fn(&ScanJob, NonceRange, &Target, &mut Vec<u32>);

/// Only one of the scans is what this CPU's `scan` runs, so that the kernels' suite sees only that one.
#[test]
fn both_scans_find_what_the_sha2_crate_finds() {
    if !is_supported() {
        println!("ignored: this CPU has no SHA extensions");
        return;
    }
    let mut scans: Vec<(&str, Scan)> = vec![("streams", scan_in_streams)];
    if pairs::is_supported() {
        scans.push(("pairs", scan_in_pairs));
    }
    for (seed, first, count) in
        [(0, 0, 4096), (1, 77, 1003), (2, u32::MAX - 500, 1001), (3, 5, 1), (4, 5, 0), (5, 9, 6)]
    {
        let mut header = [0xb7; 80];
        header[..4].copy_from_slice(&(0x9e37_79b9_u32.wrapping_mul(seed)).to_le_bytes());
        header[64..68].copy_from_slice(&(0x85eb_ca6b_u32.wrapping_mul(seed)).to_le_bytes());
        let (job, range) = (ScanJob::new(&header), NonceRange::new(first, count));
        for bits in [0, 1, 6] {
            let target = easy(bits);
            let mut wanted = Vec::new();
            sha2_crate::scan(&job, range, &target, &mut wanted);
            for (name, scan) in &scans {
                let mut hits = Vec::new();
                // SAFETY: the CPU has the instructions, as seen above.
                unsafe { scan(&job, range, &target, &mut hits) };
                assert_eq!(hits, wanted, "{name}, header {seed}, {count} nonces from {first}");
            }
        }
    }
}

/// The target that one hash in two to the power of `bits` meets.
fn easy(bits: u32) -> Target {
    let mut target = [0xff; 32];
    target[28..].copy_from_slice(&(u32::MAX >> bits).to_le_bytes());
    Target::from_le_bytes(target)
}
