//! Blocks to test a validator with: valid chains with real signatures, damage that breaks one rule at a time, edge cases
//! that only look wrong, and Bitcoin Core's kernel to judge them.
//!
//! Five parts, each usable alone. [`ChainGenerator`] makes whole chains of a given [`ChainShape`] for benches and property
//! tests, the same bytes for the same seed. [`Scene`] keeps a small chain on which [`Damage`] and [`EdgeCase`] build: every
//! rule of Bitcoin Core's block validation that regtest can reach, broken alone or met exactly. [`mutate`] changes bytes at
//! random. [`Oracle`] wraps `bitcoinkernel`: Bitcoin Core is the reference for every verdict, and the tests here compare
//! every expectation of this crate with it. [`mod@trials`] finds recorded blocks and public vectors, and reports a test that
//! lacks them as ignored.
//!
//! ```no_run
//! use adit_testchain::{Damage, Expect, Oracle, Scene, assemble::TestNetwork};
//!
//! let oracle = Oracle::regtest(1)?;
//! let mut scene = Scene::new(TestNetwork::Regtest, 1, 1_700_000_000);
//! for block in scene.warm_up() {
//!     assert!(oracle.submit(&block).verdict.is_accepted());
//! }
//! for &damage in Damage::ALL {
//!     for step in damage.case(&mut scene).steps {
//!         let verdict = oracle.submit(&step.block).verdict;
//!         assert_eq!(verdict.is_accepted(), step.expect == Expect::Accept);
//!     }
//! }
//! # Ok::<(), adit_testchain::OracleError>(())
//! ```
//!
//! This crate supports tests and is not published. It knows nothing of Adit's own rules, so that an error in them cannot
//! hide here.
#![forbid(unsafe_code)]

pub mod assemble;
pub mod blk;
mod damage;
mod edge;
mod generate;
pub mod keys;
mod load;
pub mod mutate;
mod oracle;
mod rng;
mod scene;
mod shape;
pub mod spend;
mod tip;
pub mod trials;
pub mod unsigned;

pub use damage::Damage;
pub use edge::EdgeCase;
pub use generate::{Branches, ChainGenerator, Draft};
pub use oracle::{Oracle, OracleError, OracleSubmission, Rejection, Verdict};
pub use rng::Rng;
pub use scene::{Case, Expect, Scene, Step};
pub use shape::{ChainShape, Mix, ShapeError};
pub use tip::{Tip, header_chain};
