//! What the rules and the chains' parameters both need: limits, script flags, compact targets.
//!
//! This room imports no other of the crate, so that parameters need no rules and rules no chain.

mod limits;
mod params;
mod script_flags;
mod target;
pub(crate) mod uint256;

pub use limits::{
    COINBASE_MATURITY, LOCKTIME_THRESHOLD, MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, MAX_MONEY, WITNESS_SCALE_FACTOR,
};
pub use params::{ConsensusParams, Deployments, Difficulty, Subsidy};
pub use script_flags::ScriptFlags;
pub use target::{TargetFault, derive_target};
