//! Constants and types shared by the rules and the chains' parameters: limits, script flags, compact targets.
//!
//! This module imports no other module of the crate, so that the parameters do not depend on the rules, nor the rules on
//! the chains.

mod limits;
mod params;
mod script_flags;
mod target;
pub(crate) mod uint256;

pub use limits::{
    COINBASE_MATURITY, LOCKTIME_THRESHOLD, MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, MAX_FUTURE_BLOCK_TIME, MAX_MONEY,
    MAX_SCRIPT_SIZE, MAX_TIMEWARP, WITNESS_SCALE_FACTOR,
};
pub use params::{ConsensusParams, Deployments, Difficulty, Subsidy};
pub use script_flags::ScriptFlags;
pub use target::{TargetFault, derive_target};
