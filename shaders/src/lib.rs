//! WGSL compute shaders that search the nonces of a block header for SHA-256d hashes below a target.
//!
//! The shaders are text: this crate needs no GPU and no graphics library. [`GpuKernel::source`] is a whole module for any
//! WGSL compiler, [`KernelInput`] is its uniform buffer, [`candidates_size`] the size of its storage buffer, and
//! [`GpuKernel::operations`] what a hash costs. The crate `adit-miner` runs them through `wgpu`; its `kernel_input` fills the
//! uniform buffer for a header, a target and a range of nonces.
//!
//! # Bindings
//!
//! Both kernels have the entry point [`ENTRY_POINT`] and one bind group:
//!
//! | group | binding | address space | content |
//! | --- | --- | --- | --- |
//! | 0 | [`INPUT_BINDING`] | uniform | [`KernelInput`] |
//! | 0 | [`CANDIDATES_BINDING`] | storage, read and write | a count, set to 0 before the dispatch, and a list of nonces |
//!
//! A dispatch has `x` workgroups in a row and `y` rows; thread `(x, y)` has the number `y * row + x`, where `row` is
//! [`KernelInput::row`]. A thread tries consecutive nonces; [`GpuKernel::overrides`] names the pipeline constants that say
//! how many threads a workgroup has and how many nonces a thread tries.

#![forbid(unsafe_code)]

mod kernel;
mod layout;
mod operations;

pub use bytemuck;

pub use kernel::{ENTRY_POINT, GpuKernel, NONCES_PER_THREAD, WORKGROUP_THREADS};
pub use layout::{CANDIDATES_BINDING, Field, INPUT_BINDING, KernelInput, candidates_size};
pub use operations::Operations;

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
