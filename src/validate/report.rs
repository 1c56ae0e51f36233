//! What `adit validate` found in files, and how it is printed.

use std::path::Path;
use std::time::{Duration, Instant};

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::InvalidBlock;
use adit_validator::rules::RuleError;
use anyhow::anyhow;
use bitcoin::BlockHash;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Result};
use crate::output;
use crate::rate::counted;

/// What a block has.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub(super) transactions: u64,
    /// Without the coinbase's.
    pub(super) inputs: u64,
}

impl Counts {
    pub(super) fn of(block: &DecodedBlock) -> Self {
        let transactions = block.transactions();
        let inputs = transactions.iter().skip(1).map(|transaction| transaction.input.len() as u64).sum();
        Self { transactions: transactions.len() as u64, inputs }
    }
}

pub(super) type ValidateResult = std::result::Result<(), Refusal>;

/// The position of a record.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    /// Bytes before it in its file.
    pub(super) byte: u64,
}

/// Why validation failed.
pub(super) enum Refusal {
    /// A rule is broken.
    Rule { file: String, byte: u64, height: u32, hash: BlockHash, error: Box<RuleError> },
    /// It could not be read, or something failed.
    Other(Exit),
}

impl Refusal {
    pub(super) fn rule(place: Place<'_>, height: u32, hash: BlockHash, error: RuleError) -> Self {
        let file = place.path.display().to_string();
        Refusal::Rule { file, byte: place.byte, height, hash, error: Box::new(error) }
    }

    /// If the height is unknown, it is taken to be `next`, as in a file that is in order.
    pub(super) fn block(place: Place<'_>, invalid: InvalidBlock, next: u32) -> Self {
        Self::rule(place, invalid.height.unwrap_or(next), invalid.hash, invalid.error)
    }
}

impl From<Exit> for Refusal {
    fn from(exit: Exit) -> Self {
        Refusal::Other(exit)
    }
}

/// What was checked, and how fast.
pub(super) struct Report {
    pub(super) chain: String,
    pub(super) started: Instant,
    pub(super) headers: u64,
    pub(super) blocks: u64,
    pub(super) transactions: u64,
    pub(super) inputs: u64,
    pub(super) tip: Option<(u32, BlockHash)>,
    /// Blocks that were not connected.
    pub(super) unconnected: usize,
    /// Rules that could not be checked, and what they need.
    pub(super) unchecked: Vec<(&'static str, &'static str)>,
    /// Whether the best chain has the work that the chain is known to have; `None`: no chain was checked.
    pub(super) has_minimum_work: Option<bool>,
}

impl Report {
    pub(super) fn new(params: &ChainParams) -> Self {
        Self {
            chain: params.name.clone(),
            started: Instant::now(),
            headers: 0,
            blocks: 0,
            transactions: 0,
            inputs: 0,
            tip: None,
            unconnected: 0,
            unchecked: Vec::new(),
            has_minimum_work: None,
        }
    }

    pub(super) fn add_block(&mut self, counts: Counts) {
        self.blocks += 1;
        self.transactions += counts.transactions;
        self.inputs += counts.inputs;
    }

    pub(super) fn finish(self, as_json: bool, result: ValidateResult) -> Result {
        let took = self.started.elapsed();
        match result {
            Ok(()) => {
                if as_json {
                    output::line(self.good(took))?;
                } else {
                    output::line(self.text(took))?;
                }
                Ok(())
            }
            Err(Refusal::Rule { file, byte, height, hash, error }) => {
                if as_json {
                    let mut object = self.bad(took, height, hash, &error);
                    object["file"] = file.clone().into();
                    object["byte"] = byte.into();
                    output::line(object)?;
                }
                let error = anyhow!("{file}: byte {byte}: height {height}, block {hash}: {error}");
                Err(Exit::new(Failure::Invalid, error))
            }
            Err(Refusal::Other(exit)) => Err(exit),
        }
    }

    fn good(&self, took: Duration) -> Value {
        let mut object = self.counts(took);
        object["valid"] = true.into();
        if !self.unchecked.is_empty() {
            object["unchecked"] = self.unchecked.iter().map(|(rule, _)| *rule).collect();
        }
        if let Some(reached) = self.has_minimum_work {
            object["minimum_chain_work_reached"] = reached.into();
        }
        object
    }

    fn bad(&self, took: Duration, height: u32, hash: BlockHash, error: &RuleError) -> Value {
        let mut object = self.counts(took);
        object["valid"] = false.into();
        object["height"] = height.into();
        object["hash"] = hash.to_string().into();
        object["rule"] = error.reject_reason().into();
        object["seen"] = error.seen().into();
        object["wanted"] = error.wanted().into();
        object
    }

    fn counts(&self, took: Duration) -> Value {
        json!({
            "chain": self.chain,
            "headers": self.headers,
            "blocks": self.blocks,
            "blocks_not_connected": self.unconnected,
            "transactions": self.transactions,
            "inputs": self.inputs,
            "tip": self.tip.map(|(height, hash)| json!({ "height": height, "hash": hash.to_string() })),
            "seconds": took.as_secs_f64(),
            "headers_per_second": a_second(self.headers, took),
            "blocks_per_second": a_second(self.blocks, took),
            "inputs_per_second": a_second(self.inputs, took),
        })
    }

    fn text(&self, took: Duration) -> String {
        let (count, what) = if self.headers > 0 { (self.headers, "header") } else { (self.blocks, "block") };
        let mut rates = format!("{:.1} {what}s/s", a_second(count, took));
        if self.blocks > 0 {
            rates += &format!("; {}, {:.0} inputs/s", counted(self.inputs, "input"), a_second(self.inputs, took));
        }
        let took = took.as_secs_f64();
        let mut lines = vec![format!("chain {}: {} good in {took:.2} s ({rates})", self.chain, counted(count, what))];
        lines.extend(self.tip.map(|(height, hash)| format!("tip {hash} at height {height}")));
        if self.unconnected > 0 {
            let count = counted(self.unconnected as u64, "block");
            lines.push(format!(
                "not connected: {count} on branches with less work, whose coins and scripts were not checked"
            ));
        }
        if self.has_minimum_work == Some(false) {
            lines.push(format!("this is not all of {}: the chain is known to have more work", self.chain));
        }
        lines.extend(self.unchecked.iter().map(|(rule, needs)| format!("not checked: {rule}, which needs {needs}")));
        lines.join("\n")
    }
}

fn a_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
