//! Validates a block of Bitcoin's main chain with the outputs that it spends, and no other data.
//!
//! ```text
//! cargo run --release -p adit-validator --example validate_block
//! ```
//!
//! The block is number 170, which has the first payment from one person to another. It spends the reward of block 9.

use adit_validator::block::DecodedBlock;
use adit_validator::chain::ChainParams;
use adit_validator::prevouts::{Prevouts, check_block_with_prevouts};
use adit_validator::rules::ConnectOptions;

/// The block in network encoding.
const BLOCK: &str = "\
    0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de27\
    64b3a3175c8166562cac7d51b96a49ffff001d283e9e7002010000000100000000000000000000000000000000000000000000000000000000\
    00000000ffffffff0704ffff001d0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963367c7a6ce34eec332b32e42e5f\
    3407e052d64ac625da6f0718e7b302140434bd725706957c092db53805b821a85b23a7ac61725bac000000000100000001c997a5e56e104102\
    fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847304402204e45e16932b8af514961a1d3a1a25fdf3f4f7732e9d624\
    c6c61548ab5fb8cd410220181522ec8eca07de4860a4acdd12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a3b00000000\
    434104ae1a62fe09c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1ba\
    ded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0ea\
    ddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac00000000";

/// The outputs that it spends. `Prevouts::read` also takes the JSON of Bitcoin Core's `getblock HASH 3`.
const PREVOUTS: &str = r#"{
    "height": 170,
    "fields": ["outpoint", "value_sat", "script_pubkey", "creation_height", "is_coinbase", "creation_mtp_or_time"],
    "prevouts": [
        [
            "0437cd7f8525ceed2324359c2d0ba26006d92d856a9c20fa0241106ee5a597c9:0",
            5000000000,
            "410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac",
            9,
            true,
            1231473279
        ]
    ]
}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let params = ChainParams::main().consensus;
    let mut bytes = hex::decode(BLOCK)?;
    let prevouts = Prevouts::read(PREVOUTS.as_bytes())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();

    let block = DecodedBlock::decode(bytes.clone())?;
    let checked = check_block_with_prevouts(&params, &block, &prevouts, now, ConnectOptions::default())?;
    println!("block {} at height {} is valid", block.hash(), checked.height);
    println!("{} input, {} satoshi of fees", checked.connected.inputs, checked.connected.fees.to_sat());
    for rule in &checked.unchecked {
        println!("not checked: {}, which needs {}", rule.rule, rule.lacking);
    }

    // One more satoshi in an output changes the transaction, and so the Merkle root.
    let value =
        bytes.windows(8).position(|window| window == 1_000_000_000_u64.to_le_bytes()).ok_or("no such output")?;
    bytes[value] += 1;
    let damaged = DecodedBlock::decode(bytes)?;
    let error = check_block_with_prevouts(&params, &damaged, &prevouts, now, ConnectOptions::default())
        .err()
        .ok_or("a damaged block was accepted")?;
    println!("with another value: {error}");
    Ok(())
}
