//! The kernels by name, which of them this CPU runs, and the calls that dispatch to them.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::scan::{NonceRange, ScanJob, ScanTarget};
use crate::{HashBytes, HeaderBytes, portable, sha2_crate};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, sha_ni};

/// A kernel, named by its instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Backend {
    /// AVX-512, sixteen lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The SHA extensions of x86, several streams interleaved.
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    /// AVX2, eight lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The `sha2` crate with whatever acceleration it has for this CPU.
    Sha2Crate,
    /// Scalar code for every CPU.
    Portable,
}

/// A name that no backend has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no backend is called {0:?}; there are {known}", known = Backend::names())]
pub struct UnknownBackend(String);

impl Backend {
    /// Every backend that this build knows, whether or not the CPU runs it.
    pub const ALL: &[Backend] = &[
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512,
        #[cfg(target_arch = "x86_64")]
        Backend::ShaNi,
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2,
        Backend::Sha2Crate,
        Backend::Portable,
    ];

    /// The name that `--backend` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNi => "sha_ni",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => "avx2",
            Backend::Sha2Crate => "sha2",
            Backend::Portable => "portable",
        }
    }

    /// Whether this CPU has the instructions.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => avx512::is_supported(),
            #[cfg(target_arch = "x86_64")]
            Backend::ShaNi => sha_ni::is_supported(),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::is_supported(),
            Backend::Sha2Crate | Backend::Portable => true,
        }
    }

    /// The backends that this CPU runs.
    pub fn supported() -> impl Iterator<Item = Backend> {
        Self::ALL.iter().copied().filter(|backend| backend.is_supported())
    }

    /// The fastest scan kernel on this CPU: measured at the first call, in a few milliseconds, then remembered.
    ///
    /// No fixed order is right everywhere: on Zen 4 SHA-NI is ahead of AVX-512 by a quarter, but only because
    /// `sha256rnds2` starts there every cycle. See docs/performance.md.
    #[must_use]
    pub fn fastest() -> Backend {
        static FASTEST: OnceLock<Backend> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let job = ScanJob::new(&[0x5c; 80]);
            let mut hits = Vec::new();
            let target = ScanTarget::from_le_bytes([0; 32]);
            fastest_at(|backend| backend.scan(&job, NonceRange::new(0, 2048), &target, &mut hits))
        })
    }

    /// The fastest kernel on this CPU for [`hash_headers`](Self::hash_headers), found as [`fastest`](Self::fastest) is.
    #[must_use]
    pub fn fastest_headers() -> Backend {
        static FASTEST: OnceLock<Backend> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let (headers, mut out) = (vec![[0x5c; 80]; 1024], vec![[0; 32]; 1024]);
            fastest_at(|backend| backend.hash_headers(&headers, &mut out))
        })
    }

    /// The fastest kernel on this CPU for [`hash_pairs`](Self::hash_pairs), found as [`fastest`](Self::fastest) is.
    #[must_use]
    pub fn fastest_pairs() -> Backend {
        static FASTEST: OnceLock<Backend> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let (pairs, mut out) = (vec![[0x5c; 64]; 1024], vec![[0; 32]; 1024]);
            fastest_at(|backend| backend.hash_pairs(&pairs, &mut out))
        })
    }

    /// Appends to `hits` every nonce of `range` whose double hash meets `target`, in the order of the range.
    ///
    /// # Panics
    /// If the CPU lacks the backend's instructions.
    pub fn scan(self, job: &ScanJob, range: NonceRange, target: &ScanTarget, hits: &mut Vec<u32>) {
        assert!(self.is_supported(), "this CPU lacks the instructions of {self}");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx512 => unsafe { avx512::scan(job, range, target, hits) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::ShaNi => unsafe { sha_ni::scan(job, range, target, hits) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx2 => unsafe { avx2::scan(job, range, target, hits) },
            Backend::Sha2Crate => sha2_crate::scan(job, range, target, hits),
            Backend::Portable => portable::scan(job, range, target, hits),
        }
    }

    /// Writes the double hash of `headers[i]` to `out[i]`.
    ///
    /// # Panics
    /// If the slices differ in length, or the CPU lacks the backend's instructions.
    pub fn hash_headers(self, headers: &[HeaderBytes], out: &mut [HashBytes]) {
        assert_eq!(headers.len(), out.len(), "one digest a header");
        assert!(self.is_supported(), "this CPU lacks the instructions of {self}");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx512 => unsafe { avx512::hash_headers(headers, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::ShaNi => unsafe { sha_ni::hash_headers(headers, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx2 => unsafe { avx2::hash_headers(headers, out) },
            Backend::Sha2Crate => sha2_crate::hash_headers(headers, out),
            Backend::Portable => portable::hash_headers(headers, out),
        }
    }

    /// Writes the double hash of `pairs[i]` to `out[i]`: a level of a Merkle tree.
    ///
    /// # Panics
    /// If the slices differ in length, or the CPU lacks the backend's instructions.
    pub fn hash_pairs(self, pairs: &[[u8; 64]], out: &mut [HashBytes]) {
        assert_eq!(pairs.len(), out.len(), "one digest a pair");
        assert!(self.is_supported(), "this CPU lacks the instructions of {self}");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx512 => unsafe { avx512::hash_pairs(pairs, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::ShaNi => unsafe { sha_ni::hash_pairs(pairs, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: checked above.
            Backend::Avx2 => unsafe { avx2::hash_pairs(pairs, out) },
            Backend::Sha2Crate => sha2_crate::hash_pairs(pairs, out),
            Backend::Portable => portable::hash_pairs(pairs, out),
        }
    }

    fn names() -> String {
        Self::ALL.iter().map(|backend| backend.name()).collect::<Vec<_>>().join(", ")
    }
}

/// The supported backend with the shortest run of `work`, of a few runs each, taken in turn. The scalar kernel is left out:
/// the `sha2` crate is never slower.
fn fastest_at(mut work: impl FnMut(Backend)) -> Backend {
    const RUNS: usize = 4;
    let mut best = (Backend::Sha2Crate, Duration::MAX);
    for _ in 0..RUNS {
        for backend in Backend::supported().filter(|&backend| backend != Backend::Portable) {
            let start = Instant::now();
            work(backend);
            let time = start.elapsed();
            if time < best.1 {
                best = (backend, time);
            }
        }
    }
    best.0
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        Self::ALL.iter().copied().find(|backend| backend.name() == name).ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_with_the_shortest_run_is_the_fastest() {
        for fastest in Backend::supported().filter(|&backend| backend != Backend::Portable) {
            let mut runs = 0;
            let chosen = fastest_at(|backend| {
                runs += 1;
                // One run of each is held up by something else; the kernel is the fastest all the same.
                let is_held_up = runs <= Backend::ALL.len();
                std::thread::sleep(Duration::from_millis(if backend == fastest && !is_held_up { 1 } else { 15 }));
            });
            assert_eq!(chosen, fastest);
        }
    }
}
