//! Tests that compare the verdicts of these rules and of Bitcoin Core on the same blocks.

mod chain;
mod isolation;
