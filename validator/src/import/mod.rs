//! Imports of many blocks, from files of other programs or from a store's own, in any order.
//!
//! [`BlockFile`] and [`HeaderFile`] read a file record by record; [`Prefetch`] decodes blocks and reads their coins
//! while earlier blocks connect; [`Importer`] holds back blocks that come before their parents. [`reindex`] rebuilds a
//! store's database from its own files.

mod block_file;
mod block_folder;
mod block_pool;
mod file_error;
mod header_file;
mod headers;
mod importer;
mod prefetch;
mod record_reader;
mod reindex;

pub use block_file::{BlockFile, RawBlock};
pub use block_pool::BlockPool;
pub use file_error::FileError;
pub use header_file::HeaderFile;
pub use headers::{HeaderFileError, accept_header_file, accept_headers_in_any_order};
pub use importer::{Imported, Importer};
pub use prefetch::{Prefetch, PrefetchedBlock};
pub use reindex::{ReindexReport, reindex};
