//! A file of 80-byte headers, read one header at a time.

use std::io::Read;

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;

use super::file_error::FileError;
use super::record_reader::RecordReader;

/// The headers of a file, in file order. Ends after the first error.
#[derive(Debug)]
pub struct HeaderFile<R> {
    records: RecordReader<R>,
    ended: bool,
}

impl<R: Read> HeaderFile<R> {
    /// A reader at the start of `file`, which need not be buffered.
    pub fn new(file: R) -> Self {
        Self { records: RecordReader::new(file, [0; 4]), ended: false }
    }

    fn read_header(&mut self) -> Result<Option<Header>, FileError> {
        let bytes = self.records.take(80, "header", self.records.offset())?;
        Ok(bytes.map(|bytes| deserialize(&bytes).expect("any 80 bytes are a header")))
    }
}

impl<R: Read> Iterator for HeaderFile<R> {
    type Item = Result<Header, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let header = self.read_header().transpose();
        self.ended = !matches!(header, Some(Ok(_)));
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_files_hold_whole_headers() {
        let file = [0x5a; 240];
        assert_eq!(HeaderFile::new(&file[..]).map(Result::unwrap).count(), 3);
        let mut headers = HeaderFile::new(&file[..200]);
        assert_eq!(headers.next().unwrap().unwrap().nonce, 0x5a5a_5a5a);
        assert!(headers.next().unwrap().is_ok());
        let error = headers.next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 200: the file ends 40 bytes before the end of the header that begins at byte 160"
        );
        assert!(headers.next().is_none());
    }
}
