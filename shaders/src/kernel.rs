//! The kernels: their names, sources and pipeline constants.

/// The entry point of every kernel.
pub const ENTRY_POINT: &str = "scan";

/// The pipeline constant that sets the threads of a workgroup, 1 to 256.
pub const WORKGROUP_THREADS: &str = "workgroup_threads";

/// The pipeline constant that sets the nonces that a thread tries, 1 to 32.
pub const NONCES_PER_THREAD: &str = "nonces_per_thread";

/// A kernel that searches nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GpuKernel {
    /// `scan.wgsl`: every operation that can be left out is left out.
    #[default]
    Pruned,
    /// `scan_reference.wgsl`: nothing is left out. The pruned kernel is tested and measured against it.
    Reference,
}

impl GpuKernel {
    /// Every kernel.
    pub const ALL: [GpuKernel; 2] = [GpuKernel::Pruned, GpuKernel::Reference];

    /// The name in measurements: `pruned` or `reference`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GpuKernel::Pruned => "pruned",
            GpuKernel::Reference => "reference",
        }
    }

    /// The pipeline constants that the kernel has. A thread of a kernel without [`NONCES_PER_THREAD`] tries one nonce.
    #[must_use]
    pub const fn overrides(self) -> &'static [&'static str] {
        match self {
            GpuKernel::Pruned => &[WORKGROUP_THREADS, NONCES_PER_THREAD],
            GpuKernel::Reference => &[WORKGROUP_THREADS],
        }
    }

    /// The whole WGSL module. WGSL has no includes, so the shared files are put before the kernel's own.
    #[must_use]
    pub const fn source(self) -> &'static str {
        macro_rules! with_shared {
            ($file:literal) => {
                concat!(
                    include_str!("../sha256.wgsl"),
                    "\n",
                    include_str!("../search.wgsl"),
                    "\n",
                    include_str!(concat!("../", $file)),
                )
            };
        }
        match self {
            GpuKernel::Pruned => with_shared!("scan.wgsl"),
            GpuKernel::Reference => with_shared!("scan_reference.wgsl"),
        }
    }
}
