//! Decodes, checks and connects recorded blocks of mainnet and damaged copies of them.

use std::collections::{BTreeSet, HashMap};

use adit_testchain::trials::{Missing, read_vector};
use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::chainstate::{BlockOutcome, ChainState, ChainStateOptions, ChainView, CommitPolicy};
use adit_validator::coins::Coin;
use adit_validator::import::BlockFile;
use adit_validator::rules::{
    BlockContext, ConnectOptions, connect_block, validate_block_in_context, validate_block_in_isolation,
};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, TxOut};

use crate::{Chain, NOW, block, blocks_of_main};

/// Mainnet's blocks 1 to 255.
const FIRST_BLOCKS: &str = "mainnet/blocks-1-255.dat";

pub fn a_file_of_blocks_is_read_in_order() -> Result<(), Missing> {
    let file = read_vector(FIRST_BLOCKS)?;
    let (mut end, mut previous) = (0, ChainParams::main().consensus.genesis_hash);
    for record in BlockFile::new(&file[..], [0xf9, 0xbe, 0xb4, 0xd9]) {
        let record = record.unwrap();
        assert_eq!(record.offset, end + 8);
        assert_eq!(file[record.offset as usize..][..record.bytes.len()], record.bytes);
        end = record.offset + record.bytes.len() as u64;
        let block = DecodedBlock::decode(record.bytes).unwrap();
        assert_eq!(block.header().prev_blockhash, previous);
        previous = block.hash();
    }
    assert_eq!(end, file.len() as u64);
    Ok(())
}

pub fn facts_of_blocks_are_those_that_bitcoin_computes() -> Result<(), Missing> {
    for height in [91_880, 367_891, 481_824, 709_632, 866_342] {
        let raw = read_vector(&format!("mainnet/block-{height}.bin"))?;
        let decoded = DecodedBlock::decode(raw.clone()).unwrap();
        let block: Block = deserialize(&raw).unwrap();
        assert_eq!(decoded.block(), &block, "{height}");
        assert_eq!(decoded.hash(), block.block_hash(), "{height}");
        assert_eq!(decoded.weight() as u64, block.weight().to_wu(), "{height}");
        for (tx, transaction) in block.txdata.iter().enumerate() {
            assert_eq!(decoded.txids()[tx], transaction.compute_txid(), "{height} {tx}");
            assert_eq!(decoded.wtxids()[tx], transaction.compute_wtxid(), "{height} {tx}");
            assert_eq!(decoded.raw_transaction(tx), serialize(transaction), "{height} {tx}");
            assert_eq!(decoded.stripped_transaction_size(tx), transaction.base_size(), "{height} {tx}");
        }
    }
    Ok(())
}

/// A block that decodes encodes to the same bytes: no block has two encodings.
pub fn decoding_is_the_inverse_of_encoding_on_damaged_blocks() -> Result<(), Missing> {
    let block = blocks_of_main(&read_vector(FIRST_BLOCKS)?).nth(169).unwrap();
    assert_eq!(DecodedBlock::decode(block.clone()).unwrap().transactions().len(), 2, "block 170");
    let mut decoded = 0;
    for bit in 0..block.len() * 8 {
        let mut damaged = block.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(block) = DecodedBlock::decode(damaged.clone()) {
            assert_eq!(serialize(block.block()), damaged, "bit {bit}");
            decoded += 1;
        }
    }
    assert!(decoded > block.len() * 4, "most bits are no lengths: {decoded}");
    Ok(())
}

/// Into a data folder, which is opened again. The coins are those that the blocks make less those that they spend.
pub fn the_first_blocks_of_main_connect() -> Result<(), Missing> {
    let blocks: Vec<_> =
        blocks_of_main(&read_vector(FIRST_BLOCKS)?).map(|block| DecodedBlock::decode(block).unwrap()).collect();
    let transactions = || blocks.iter().flat_map(DecodedBlock::transactions);
    let inputs = transactions().filter(|tx| !tx.is_coinbase()).map(|tx| tx.input.len()).sum::<usize>();
    let outputs = transactions().map(|tx| tx.output.len()).sum::<usize>();
    assert_eq!(inputs, 7);

    let folder = tempfile::tempdir().unwrap();
    let params = ChainParams::main();
    let options = ChainStateOptions::default().with_commit(CommitPolicy::WhenFull);
    let mut state = ChainState::open(folder.path(), params.clone(), options.clone()).unwrap();
    for (block, height) in blocks.iter().zip(1..) {
        assert_eq!(state.accept_block(block.clone(), NOW).unwrap(), BlockOutcome::Connected { height });
    }
    let coins = state.coin_statistics().unwrap();
    assert_eq!((coins.count, coins.total), ((outputs - inputs) as u64, Amount::from_int_btc(255 * 50)));
    state.close().unwrap();
    let state = ChainState::open(folder.path(), params, options).unwrap();
    let hash = "00000000d0a75c861fabf9ff7b92022f60e4afeed9331fe5aa073d8e4706fe3c";
    assert_eq!((state.tip().height, state.tip().hash.to_string().as_str()), (255, hash));
    assert_eq!(state.coin_statistics().unwrap(), coins);
    Ok(())
}

/// Connects a file's blocks in memory, up to the first that is not as the chain state wants the next to be.
fn connect_file(file: &[u8]) -> Result<(), String> {
    let params = ChainParams::main();
    let magic = params.magic;
    let mut state = ChainState::in_memory(params, None, ChainStateOptions::default()).unwrap();
    for record in BlockFile::new(file, magic) {
        let block = DecodedBlock::decode(record.map_err(|error| error.to_string())?.bytes);
        match state.accept_block(block.map_err(|error| error.to_string())?, NOW).unwrap() {
            BlockOutcome::Connected { .. } => {}
            outcome => return Err(format!("{outcome:?}")),
        }
    }
    Ok(())
}

/// One flipped bit in each byte of a file of three blocks: magic, lengths and blocks.
pub fn every_flipped_byte_of_a_file_is_found() -> Result<(), Missing> {
    let file = read_vector(FIRST_BLOCKS)?;
    let three: usize = blocks_of_main(&file).take(3).map(|block| block.len() + 8).sum();
    assert_eq!(connect_file(&file[..three]), Ok(()));
    for at in 0..three {
        let mut damaged = file[..three].to_vec();
        damaged[at] ^= 1 << (at % 8);
        assert!(connect_file(&damaged).is_err(), "byte {at}");
    }
    Ok(())
}

/// Every bit of block 170, the first that spends.
pub fn every_flipped_bit_of_block_170_is_found() -> Result<(), Missing> {
    let block = blocks_of_main(&read_vector(FIRST_BLOCKS)?).nth(169).unwrap();
    let main = ChainParams::main().consensus;
    let mut reasons = BTreeSet::new();
    for bit in 0..block.len() * 8 {
        let mut damaged = block.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(damaged) = DecodedBlock::decode(damaged) else { continue };
        let error = validate_block_in_isolation(&main, &damaged).expect_err("a flipped bit");
        reasons.insert(error.reject_reason().into_owned());
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["bad-txnmrklroot", "high-hash"]);
    Ok(())
}

/// Blocks around the activations of segwit and taproot: all rules that need neither coins nor the ancestors' targets.
pub fn blocks_around_activations_obey_the_rules_before_connecting() -> Result<(), Missing> {
    let main = ChainParams::main().consensus;
    for height in [91_722, 91_812, 91_842, 91_880, 367_891, 481_823, 481_824, 709_632, 866_342] {
        let block = block(height)?;
        assert_eq!(validate_block_in_isolation(&main, &block), Ok(()), "{height}");
        let ancestry = Chain::uniform(height - 1, block.header().time - 600);
        assert_eq!(validate_block_in_context(&main, BlockContext::after(&ancestry), &block), Ok(()), "{height}");
    }
    Ok(())
}

/// The first block that commits to witnesses, without its witnesses: what a node without segwit would see.
pub fn segwit_starts_at_its_height() -> Result<(), Missing> {
    let main = ChainParams::main().consensus;
    let block = block(481_824)?;
    let mut stripped = block.block().clone();
    for input in stripped.txdata.iter_mut().flat_map(|transaction| &mut transaction.input) {
        input.witness.clear();
    }
    let stripped = DecodedBlock::decode(serialize(&stripped)).unwrap();
    assert_eq!(stripped.hash(), block.hash());
    assert_eq!(validate_block_in_isolation(&main, &stripped), Ok(()));
    let ancestry = Chain::uniform(481_823, block.header().time - 600);
    let error = validate_block_in_context(&main, BlockContext::after(&ancestry), &stripped);
    assert_eq!(error.unwrap_err().reject_reason(), "bad-witness-nonce-size");
    let mut later = main;
    later.deployments.segwit += 1;
    assert_eq!(validate_block_in_context(&later, BlockContext::after(&ancestry), &stripped), Ok(()));
    Ok(())
}

/// The two coinbases that exist twice: the second block of each pair is let through, by height and hash.
pub fn the_two_repeated_coinbases_are_let_through() -> Result<(), Missing> {
    let main = ChainParams::main().consensus;
    let options = ConnectOptions::default().with_check_scripts(false);
    for (first, second) in [(91_722, 91_880), (91_812, 91_842)] {
        let (first_block, second_block) = (block(first)?, block(second)?);
        assert_eq!(first_block.txids()[0], second_block.txids()[0], "one coinbase");
        let mut coins: HashMap<OutPoint, Coin> = HashMap::new();
        // What the blocks spend is not recorded: coins that pay for it stand in.
        for transaction in [&first_block, &second_block].iter().flat_map(|block| &block.transactions()[1..]) {
            let value = transaction.output.iter().map(|output| output.value).sum();
            for input in &transaction.input {
                let output = TxOut { value, script_pubkey: ScriptBuf::new() };
                coins.insert(input.previous_output, Coin { output, height: 1, is_coinbase: false });
            }
        }
        let mut connect = |block: &DecodedBlock, height: u32| {
            let ancestry = Chain::uniform(height - 1, block.header().time - 600);
            let connected = connect_block(&main, BlockContext::after(&ancestry), block, &mut coins, options);
            connected.map(|_| ()).map_err(|error| error.rule().expect("memory does not fail"))
        };
        connect(&first_block, first).unwrap();
        let error = connect(&second_block, second + 1).unwrap_err();
        assert_eq!(error.reject_reason(), "bad-txns-BIP30", "at any other height");
        connect(&second_block, second).unwrap();
        let coinbase = OutPoint { txid: second_block.txids()[0], vout: 0 };
        assert_eq!(coins[&coinbase].height, second, "the first coin is gone");
    }
    Ok(())
}
