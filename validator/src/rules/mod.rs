//! The rule book: every rule that a block must obey, each a pure function that answers with a [`RuleError`].
//!
//! A block is judged in the three steps in which it can be: *in isolation*, by itself; *in context*, by the headers before
//! it; and when it *connects*, by the coins that it spends. The drivers, [`validate_header_in_isolation`] and its kin,
//! read as lists, in Bitcoin Core's order, so that of several broken rules the one reported is Core's. Nothing here
//! stores or logs: ancestors come through [`Ancestry`], coins through [`CoinView`], the time as a number. A clock is looked at
//! only to say how long connecting took.
//!
//! [`Ancestry`]: crate::headers::Ancestry
//! [`CoinView`]: crate::coins::CoinView

pub(crate) mod alone;
mod asert;
mod block;
mod connect;
mod context;
#[cfg(test)]
mod core_vectors;
#[cfg(test)]
mod differential;
mod difficulty;
mod error;
mod header;
mod merkle;
mod pow;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replay;
mod script_flags;
mod script_ops;
mod scripts;
mod sequence_locks;
mod signet;
mod sigops;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;
mod witness;

pub use block::validate_block_in_isolation;
pub(crate) use connect::spent_from_before;
pub use connect::{ConnectError, ConnectOptions, ConnectTimes, Connected, connect_block};
pub use context::validate_block_in_context;
pub use difficulty::next_work_required;
pub use error::{RuleError, SignetFault};
pub use header::{MAX_FUTURE_BLOCK_TIME, validate_header_in_context, validate_header_in_isolation};
pub(crate) use header::{check_previous_found, check_previous_valid};
pub use pow::check_target;
pub(crate) use pow::takes_longer;
pub use script_flags::script_flags;
pub use signet::{SignetTransactions, signet_transactions};
pub use transaction::validate_transaction_in_isolation;
pub(crate) use witness::check_witness_commitment;
