//! Bytes as a block file and as a file of headers: the records cover the file in order, and an error names a byte of it.

#![cfg_attr(feature = "libfuzzer", no_main)]

use adit_fuzz::fuzz_target;
use adit_validator::import::{BlockFile, HeaderFile};

const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    for record in BlockFile::new(bytes, MAGIC) {
        match record {
            Ok(block) => {
                assert_eq!(block.offset, end + 8, "records follow each other");
                end = block.offset + block.bytes.len() as u64;
                assert_eq!(bytes[block.offset as usize..end as usize], block.bytes);
            }
            Err(error) => assert!(error.to_string().starts_with("byte "), "{error}"),
        }
    }
    assert!(end <= bytes.len() as u64);
    let headers = HeaderFile::new(bytes).take_while(Result::is_ok).count();
    assert_eq!(headers, bytes.len() / 80);
});
