//! Turns block templates into solutions: job, devices, engine, and the seam through which work arrives.
//!
//! A [`WorkSource`] gives a [`Template`]; a [`Job`] rolls headers out of it; each [`Device`] draws ranges of their nonces
//! from the [`Engine`] and reports candidates; the engine re-hashes those with `sha2` and hands solutions back to the source.
//! It opens devices through a [`DeviceOpener`], and again when they fail.

#![forbid(unsafe_code)]

mod cpu;
mod device;
mod device_info;
mod devices;
mod engine;
mod gpu;
mod job;
mod known_answer;
mod measure;
mod quiet;
mod telemetry;
mod throttle;
mod work;

pub use cpu::CpuDevice;
pub use device::{Device, DeviceError, DeviceOpener, Draw, Feed};
pub use device_info::{CpuInfo, DeviceId, DeviceInfo, DeviceKind, GpuInfo, InvalidDeviceId};
pub use devices::{CpuSettings, Devices, SelectError, Selection, Tuned};
pub use engine::{DeviceSnapshot, DeviceState, Engine, EngineOptions, EngineSnapshot, WatchdogPolicy};
pub use gpu::{GpuDevice, GpuKernel, GpuSettings, Operations, Tuning, TuningCache};
pub use job::{CheckedCandidate, Extranonce, HeaderWork, Job, JobError, MAX_BRANCH_LEN, MAX_EXTRANONCE_LEN, sha256d};
pub use known_answer::test as test_known_answers;
pub use measure::{MeasurePlan, Measurement, Solved, measure, measure_with, solve};
pub use telemetry::{Reading, Sensor, sensor_of};
pub use throttle::{DutyCycle, ThrottlePolicy};
pub use work::{Coinbase, Solution, Submission, Template, TemplateId, WorkSource};
