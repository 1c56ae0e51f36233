//! The settings with which a GPU runs a kernel.

use std::time::Duration;

use adit_shaders::GpuKernel;

use super::batch;

/// The kernel of a GPU and the sizes of its workgroups and batches. The default is what mining uses without tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuSettings {
    /// The kernel.
    pub kernel: GpuKernel,
    /// Threads in a workgroup, 1 to 256.
    pub workgroup: u32,
    /// Nonces that a thread of the pruned kernel tries, 1 to 32. The reference kernel's tries one.
    pub nonces_per_thread: u32,
    /// The candidates that a batch can report, at least one. If there are more, the range is searched again in halves.
    pub capacity: u32,
    /// The nonces of every batch, at most 2^30, or `None` to size them by time.
    pub batch: Option<u64>,
    /// How long a dispatch sized by time should take, 1 to 50 ms.
    pub dispatch: Duration,
    /// The nonces of the first dispatch sized by time.
    pub first_batch: u64,
}

impl GpuSettings {
    /// The same settings with this kernel.
    #[must_use]
    pub fn with_kernel(self, kernel: GpuKernel) -> Self {
        Self { kernel, ..self }
    }

    /// The same settings with so many threads in a workgroup, 1 to 256.
    #[must_use]
    pub fn with_workgroup(self, workgroup: u32) -> Self {
        Self { workgroup, ..self }
    }

    /// The same settings with so many nonces a thread, 1 to 32.
    #[must_use]
    pub fn with_nonces_per_thread(self, nonces_per_thread: u32) -> Self {
        Self { nonces_per_thread, ..self }
    }

    /// The same settings with room for so many candidates of a batch, at least one.
    #[must_use]
    pub fn with_capacity(self, capacity: u32) -> Self {
        Self { capacity, ..self }
    }

    /// The same settings with batches of so many nonces, at most 2^30; `None` sizes them by time.
    #[must_use]
    pub fn with_batch(self, batch: Option<u64>) -> Self {
        Self { batch, ..self }
    }

    /// The same settings with dispatches sized by time that take about so long, 1 to 50 ms.
    #[must_use]
    pub fn with_dispatch(self, dispatch: Duration) -> Self {
        Self { dispatch, ..self }
    }

    /// The same settings with so many nonces in the first dispatch sized by time.
    #[must_use]
    pub fn with_first_batch(self, first_batch: u64) -> Self {
        Self { first_batch, ..self }
    }
}

impl Default for GpuSettings {
    fn default() -> Self {
        Self {
            kernel: GpuKernel::default(),
            workgroup: 64,
            nonces_per_thread: 32,
            capacity: 4_096,
            batch: None,
            dispatch: batch::TARGET,
            first_batch: batch::FIRST,
        }
    }
}
