//! Turns block templates into solved headers on CPU threads and GPUs.
//!
//! A [`WorkSource`] gives a [`Template`], and a [`Job`] makes headers of it. Each [`Device`] draws ranges of their nonces from
//! the [`Engine`] and reports candidates. The engine hashes those again with the `sha2` crate and submits solutions to the
//! source. It opens devices through a [`DeviceOpener`], and reopens them when they fail.
//!
//! The feature `gpu`, on by default, adds GPUs through `wgpu`. Without it, [`Devices`] lists the CPU alone.

#![forbid(unsafe_code)]

mod cpu;
mod device;
mod device_info;
mod devices;
mod engine;
#[cfg(feature = "gpu")]
mod gpu;
mod job;
mod known_answer;
mod measure;
#[cfg(not(feature = "gpu"))]
mod no_gpu;
#[cfg(feature = "gpu")]
mod quiet;
mod report_timeout;
mod selection;
mod solve;
mod telemetry;
mod throttle;
mod work;

// Tests that the unit tests share with tests/ name the crate as its users do.
#[cfg(test)]
extern crate self as adit_miner;

pub use adit_hash;
#[cfg(feature = "gpu")]
pub use adit_shaders::{self, GpuKernel, Operations};

pub use cpu::CpuDevice;
pub use device::{Device, DeviceError, DeviceOpener, Draw, Feed};
pub use device_info::{CpuInfo, DeviceId, DeviceInfo, DeviceKind, GpuInfo, InvalidDeviceId};
pub use devices::{CpuSettings, Devices};
pub use engine::{DeviceSnapshot, DeviceState, Engine, EngineOptions, EngineSnapshot, WatchdogPolicy};
#[cfg(feature = "gpu")]
pub use gpu::{GpuDevice, GpuSettings, Tuned, Tuning, TuningCache, kernel_input};
pub use job::{CheckedCandidate, Extranonce, HeaderWork, Job, JobError, MAX_BRANCH_LEN, MAX_EXTRANONCE_LEN, sha256d};
pub use known_answer::test as test_known_answers;
pub use measure::{MeasurePlan, Measurement, measure, measure_with};
pub use selection::{SelectError, Selection};
pub use solve::{Solved, solve};
pub use telemetry::{Reading, Sensor, readings_of, sensor_of};
pub use throttle::{DutyCycle, ThrottlePolicy};
pub use work::{Coinbase, Solution, Submission, Template, TemplateId, WorkSource};

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
