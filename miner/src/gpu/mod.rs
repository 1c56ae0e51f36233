//! GPUs as mining devices, through `wgpu`: their list, their kernel, their settings.

mod adapters;
mod batch;
mod device;
mod first_failure;
mod kernel;
mod list;
mod prepare;
mod settings;
mod tune;
mod tuning_cache;

pub use device::GpuDevice;
pub(crate) use list::GpuList;
pub use list::Tuned;
pub use prepare::kernel_input;
pub use settings::GpuSettings;
pub use tune::Tuning;
pub use tuning_cache::TuningCache;
