//! Tests that put the same blocks to these rules and to Bitcoin Core's, and compare the verdicts.

mod chain;
mod isolation;
