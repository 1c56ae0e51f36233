//! What the chain state occupies, as the allocator counts it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for other tests")]
mod support;

use adit_testchain::Rng;
use adit_validator::chainstate::{BlockOutcome, ChainView, CommitPolicy};
use adit_validator::coins::{Coin, CoinView};
use adit_validator::store::{CoinCache, NoCoins};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};
use peak_alloc::PeakAlloc;
use support::{Branch, NOW, check_coins, connect_all, on_disk, options};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Script lengths about as often as on the main chain: P2WPKH, P2TR, P2PKH, P2SH, and a long one now and then.
const SCRIPTS: [usize; 12] = [22, 22, 22, 22, 34, 34, 34, 25, 25, 25, 23, 105];

/// One test, since the count is the process's.
#[test]
fn the_chain_state_occupies_what_it_says() {
    the_coin_cache_occupies_what_it_says();
    a_reorganisation_of_1000_blocks_holds_few_of_them();
}

fn the_coin_cache_occupies_what_it_says() {
    let mut rng = Rng::new(5);
    let before = ALLOCATED.current_usage();
    let mut cache = CoinCache::default();
    let mut outpoints = Vec::with_capacity(120_000);
    let own = ALLOCATED.current_usage() - before;
    let mut most = 0;
    ALLOCATED.reset_peak_usage();
    for made in 1..=120_000_usize {
        let txid = Txid::from_byte_array(std::array::from_fn(|_| rng.next_u64() as u8));
        let script_pubkey = ScriptBuf::from_bytes(vec![0x51; SCRIPTS[rng.below(SCRIPTS.len())]]);
        let coin = Coin {
            output: TxOut { value: Amount::from_sat(rng.next_u64() >> 20), script_pubkey },
            height: made as u32,
            is_coinbase: false,
        };
        cache.view(&NoCoins).create(OutPoint { txid, vout: 0 }, (&coin).into()).unwrap();
        outpoints.push(OutPoint { txid, vout: 0 });
        if made % 7 == 0 {
            let spent = outpoints.swap_remove(rng.below(outpoints.len()));
            cache.view(&NoCoins).spend(&spent).unwrap();
        }
        most = most.max(cache.memory());
        // At all fillings of the table, right after it grew and right before.
        if made > 1_000 && made % 1_500 == 0 {
            let real = ALLOCATED.current_usage() - before - own;
            let ratio = cache.memory() as f64 / real as f64;
            assert!((0.98..1.3).contains(&ratio), "{} bytes stated, {real} allocated, {made} coins", cache.memory());
        }
    }
    // A good third of it is the outpoint.
    assert!(
        (60..110).contains(&(cache.memory() / outpoints.len())),
        "{} bytes, {} coins",
        cache.memory(),
        outpoints.len()
    );
    // While a table grows, too.
    let peak = ALLOCATED.peak_usage() - before - own;
    assert!(peak < most + most / 8, "{most} bytes stated at most, {peak} allocated at the peak");
    drop(cache);
    assert!(ALLOCATED.current_usage() < before + own + 10_000);
}

/// Blocks of 20,000 bytes: all of one branch are 20 MB, and more as they are decoded.
fn a_reorganisation_of_1000_blocks_holds_few_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut common = Branch::from_genesis();
    common.mine(10, 0, 0).padding = 20_000;
    let (mut one, mut other) = (common.clone(), common);
    one.mine(1_000, 1, 0);
    other.mine(1_001, 2, 0);
    let mut state = on_disk(folder.path(), options(CommitPolicy::WhenFull, 100_000));
    connect_all(&mut state, &one.blocks);
    for block in &other.blocks[10..1_010] {
        state.accept_block(block.clone(), NOW).unwrap();
    }
    state.flush().unwrap();
    let last = other.blocks[1_010].clone();
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    assert_eq!(state.accept_block(last, NOW).unwrap(), BlockOutcome::Connected { height: 1_011 });
    let peak = ALLOCATED.peak_usage() - before;
    assert!(peak < 5_000_000, "{peak} bytes");
    assert_eq!(state.tip().hash, other.tip_hash());
    check_coins(&state, "after 1,000 blocks back and 1,001 up");
}
