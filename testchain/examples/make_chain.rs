//! Writes a generated regtest chain to a file in `blk` framing and prints how fast it was made.
//!
//! `cargo run --release -p adit-testchain --example make_chain -- --preset signed`

use adit_testchain::{ChainGenerator, ChainShape, blk};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    /// 300 blocks of 2,000 signed inputs.
    Signed,
    /// 300 blocks of 3,000 inputs and 4,000 outputs, scripts without signatures, ten million coins.
    Coins,
    /// 12 blocks of 20 inputs of every kind.
    Small,
}

/// Writes a generated regtest chain to a file in `blk` framing.
#[derive(Parser)]
struct Arguments {
    /// The shape to start from.
    #[arg(long, value_enum, default_value = "signed")]
    preset: Preset,
    /// Blocks of the measured part.
    #[arg(long)]
    blocks: Option<u32>,
    /// Inputs a block.
    #[arg(long)]
    inputs: Option<u32>,
    /// Outputs a block.
    #[arg(long)]
    outputs: Option<u32>,
    /// Coins that the warm-up leaves.
    #[arg(long)]
    coins: Option<u32>,
    /// The seed of every choice and key.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file to write [default: where the benches look for this shape].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let preset = match arguments.preset {
        Preset::Signed => ChainShape::signed(arguments.seed),
        Preset::Coins => ChainShape::coins(arguments.seed),
        Preset::Small => ChainShape::small(arguments.seed),
    };
    let shape = ChainShape {
        blocks: arguments.blocks.unwrap_or(preset.blocks),
        inputs_per_block: arguments.inputs.unwrap_or(preset.inputs_per_block),
        outputs_per_block: arguments.outputs.unwrap_or(preset.outputs_per_block),
        coins: arguments.coins.unwrap_or(preset.coins),
        ..preset
    };
    let path = arguments.out.unwrap_or_else(|| blk::cache_path(&shape));
    let mut generator = ChainGenerator::new(shape)?;
    let start = Instant::now();
    let mut bytes = 0;
    let blocks = generator.by_ref().inspect(|block| bytes += block.len());
    let blocks = blk::write(&path, adit_testchain::assemble::TestNetwork::Regtest.magic(), blocks)?;
    let seconds = start.elapsed().as_secs_f64();
    let signatures = generator.signatures();
    println!("{}", path.display());
    println!("{blocks} blocks, {bytes} bytes, {} coins left", generator.coins().len());
    println!("{seconds:.1} s, {signatures} signatures, {:.0} signatures/s", signatures as f64 / seconds);
    Ok(())
}
