//! The consensus rules, each a pure function. A block is checked in three steps.
//!
//! The steps are: *in isolation*, by itself; *in context*, with its height and the headers before it; and as it
//! *connects*, with the coins that it spends. A driver such as [`validate_header_in_isolation`] calls its rules in Bitcoin
//! Core's order, so that of several broken rules it reports the same one as Core. The rules of a transaction are functions
//! of their own, which a mempool can call too.
//!
//! Nothing here stores or logs: ancestors come through [`Ancestry`], coins through [`CoinView`], the time as a number.
//! A clock is read only to report how long connecting took.
//!
//! [`CoinView`]: crate::coins::CoinView

pub(crate) mod alone;
mod ancestry;
mod asert;
mod block;
mod block_context;
mod candidate;
mod connect;
mod context;
#[cfg(test)]
mod differential;
mod difficulty;
mod error;
mod header;
mod inputs;
mod lock_time;
mod merkle;
mod pow;
#[cfg(test)]
mod replay;
mod rule_errors;
mod script_flags;
mod script_ops;
mod scripts;
mod sequence_locks;
mod signet;
mod sigops;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;
mod transaction_error;
mod witness;

pub use crate::consensus::MAX_FUTURE_BLOCK_TIME;
pub use ancestry::Ancestry;
pub use block::validate_block_in_isolation;
pub use block_context::BlockContext;
pub use candidate::check_candidate;
pub use connect::{ConnectError, ConnectOptions, ConnectTimes, Connected, connect_block};
pub use context::validate_block_in_context;
pub use difficulty::{next_work_required, same_work_required_until};
pub use error::{RuleError, SignetFault};
pub(crate) use header::{NO_CLOCK, check_previous_found, check_previous_valid};
pub use header::{minimum_time, validate_header_in_context, validate_header_in_isolation};
pub use inputs::{check_input_unspent, validate_inputs};
pub use lock_time::{check_final, lock_time_cutoff};
pub use pow::check_target;
pub(crate) use pow::takes_longer;
pub use script_flags::script_flags;
pub use scripts::check_input_scripts;
pub use sequence_locks::check_sequence_locks;
pub use signet::{SignetTransactions, signet_transactions};
pub use sigops::{legacy_sigops, p2sh_sigops, sigop_cost, witness_sigops};
pub use transaction::validate_transaction_in_isolation;
pub use transaction_error::TransactionError;
pub(crate) use witness::check_witness_commitment;
