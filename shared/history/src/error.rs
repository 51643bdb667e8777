use driftless_model::Disposition;
use parquet::errors::ParquetError;

use crate::FileKind;

/// Why a file could not be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object store did not give the object.
    #[error("{kind} file {object} could not be fetched")]
    Fetch {
        /// Its key.
        object: String,
        /// What it should be.
        kind: FileKind,
        /// What the store said.
        #[source]
        source: driftless_objects::Error,
    },
    /// The object is there, but is not what this version of the product writes.
    #[error("object {object} is not a {kind} file that this version can read")]
    Malformed {
        /// Its key.
        object: String,
        /// What it should be.
        kind: FileKind,
        /// What is wrong with it.
        #[source]
        source: Malformation,
    },
    /// The rows could not be put into the format.
    #[error("a {kind} file could not be encoded")]
    Encode {
        /// What it should have become.
        kind: FileKind,
        /// What the encoder said.
        #[source]
        source: ParquetError,
    },
    /// Rows were given out of order, or one key twice: the caller is wrong.
    #[error("row {row} of a {kind} file does not come after the row before it in key-hash order")]
    OutOfOrder {
        /// What it should have become.
        kind: FileKind,
        /// From 0.
        row: u64,
    },
}

/// What is wrong with an object of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformation {
    /// Not Parquet, truncated or corrupt.
    #[error("it is not a whole Parquet file")]
    NotParquet(#[source] Option<ParquetError>),
    /// Parquet, but without our header.
    #[error("it does not carry the header that Driftless writes")]
    NoHeader,
    /// A file of ours, but another one.
    #[error("it is a {found} file")]
    OtherKind {
        /// What its header says.
        found: FileKind,
    },
    /// Written by a newer version of the product.
    #[error("its format is {found}; this version reads up to {known}; upgrade the functions together")]
    NewerFormat {
        /// What its header says.
        found: u32,
        /// The newest that we read.
        known: u32,
    },
    /// A column is missing or of another type.
    #[error("column {column} is missing or has another type")]
    Column {
        /// Its name.
        column: &'static str,
    },
    /// A value that must be there is null, or one that we never write.
    #[error("column {column} holds a value that is never written")]
    Value {
        /// Its name.
        column: &'static str,
    },
    /// Rows that should be sorted by key hash are not.
    #[error("its rows are not in key-hash order")]
    Unsorted,
    /// A range that the file does not have.
    #[error("it has {has} rows; rows up to {wanted} were asked for")]
    TooShort {
        /// Rows in the file.
        has: u64,
        /// The end of the range.
        wanted: u64,
    },
}

/// The result of reading or making a file.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// What the caller does next. An object of ours that is gone or unreadable needs a person: fatal.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Fetch { source, .. } => match source.disposition() {
                Disposition::Reject => Disposition::Fatal,
                other => other,
            },
            Self::Malformed { .. } | Self::Encode { .. } | Self::OutOfOrder { .. } => Disposition::Fatal,
        }
    }
}
