//! Bringing many blocks in at once: from files of other programs or from a store's own, in any order, several at a time.
//!
//! A file is read record by record ([`BlockFile`], [`HeaderFile`]); [`Prefetch`] decodes blocks and reads their coins while
//! those before them connect; [`Importer`] holds back what comes before its parent. [`reindex`] feeds a store's own files to
//! a new database.

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
pub use headers::accept_headers_in_any_order;
pub use importer::{Imported, Importer};
pub use prefetch::{Prefetch, PrefetchedBlock};
pub use reindex::{ReindexReport, reindex};
