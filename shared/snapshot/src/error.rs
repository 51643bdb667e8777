use core::fmt;

use driftless_model::Disposition;

/// Why a snapshot was not read: the whole of it, for every sync of its dataset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file cannot be used as it is. It will never succeed: the snapshot is rejected and the state stays as it was.
    #[error("{object}{}: {cause}", At::new(*.row_group, .column.as_deref()))]
    Refused {
        /// The object key.
        object: String,
        /// The row group, counted from 0, if the cause lies in one.
        row_group: Option<usize>,
        /// The column, if the cause lies in one.
        column: Option<String>,
        /// What is wrong.
        cause: Cause,
    },
    /// The snapshot names no file.
    #[error("the snapshot has no files")]
    NoFiles,
    /// What must be kept of the selected rows does not fit into [`crate::Limits::kept_bytes`]. Known from the footers
    /// where a sync selects every row, else when it is reached.
    #[error("{rows} selected rows need {} MB of memory and {} MB are left for them", needed >> 20, limit >> 20)]
    DoesNotFit {
        /// Rows that were counted, over all syncs of the pass.
        rows: u64,
        /// Bytes that they need.
        needed: u64,
        /// Bytes that they may take.
        limit: u64,
    },
    /// The file could not be fetched.
    #[error("the snapshot cannot be read")]
    Objects(#[from] driftless_objects::Error),
}

/// What is wrong with a file. Says nothing of the values in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Neither end of the file says Parquet.
    #[error("this is not a Parquet file")]
    NotParquet,
    /// The file begins as Parquet, and its end is missing.
    #[error("the file is truncated: it begins as Parquet and has no footer")]
    NoFooter,
    /// The file ends before what it declares.
    #[error("the file is truncated: {what} needs {needed} bytes, {found} are there")]
    Truncated {
        /// The part of the file.
        what: &'static str,
        /// Bytes that the file declares.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The footer or columns are encrypted.
    #[error("the file is encrypted; write snapshots without Parquet encryption, the bucket encrypts them")]
    Encrypted,
    /// A size that no file of its kind needs, or more than the settings allow.
    #[error("{what} is {found}, the limit is {limit}")]
    TooLarge {
        /// What was measured, with its unit.
        what: &'static str,
        /// What the file declares or has.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Two statements of the file contradict each other.
    #[error("the file contradicts itself: {0}")]
    Inconsistent(&'static str),
    /// The footer cannot be parsed.
    #[error("the footer is corrupt: {0}")]
    Footer(String),
    /// The header of a page cannot be parsed.
    #[error("a page header is corrupt: {0}")]
    PageHeader(&'static str),
    /// The bytes of a page do not have the checksum that its header states.
    #[error("the checksum of a page does not match")]
    Checksum,
    /// A page cannot be decompressed.
    #[error("a page cannot be decompressed: {0}")]
    Decompress(String),
    /// A page cannot be decoded.
    #[error("a page cannot be decoded: {0}")]
    Decode(String),
    /// The file uses a part of Parquet that is not supported.
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// `, row group 3, column "email"`, or less of it.
struct At<'a> {
    row_group: Option<usize>,
    column: Option<&'a str>,
}

impl<'a> At<'a> {
    const fn new(row_group: Option<usize>, column: Option<&'a str>) -> Self {
        Self { row_group, column }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row_group, self.column) {
            (Some(r), Some(c)) => write!(f, ", row group {r}, column \"{c}\""),
            (Some(r), None) => write!(f, ", row group {r}"),
            (None, Some(c)) => write!(f, ", column \"{c}\""),
            (None, None) => Ok(()),
        }
    }
}

impl SnapshotError {
    /// The row group that the cause lies in.
    pub(crate) fn row_group(&self) -> Option<usize> {
        match self {
            Self::Refused { row_group, .. } => *row_group,
            _ => None,
        }
    }

    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Refused { .. } | Self::NoFiles | Self::DoesNotFit { .. } => Disposition::Reject,
            Self::Objects(e) => e.disposition(),
        }
    }
}

/// A place in an SQL text, counted from 1 in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column within the line.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Where a sync names a column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// In its key.
    Key,
    /// In its mapping, for this destination field.
    Field(String),
    /// In `prefer`.
    Prefer,
    /// In the SQL of its selection.
    Sql(Position),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("the key"),
            Self::Field(field) => write!(f, "the mapping of field `{field}`"),
            Self::Prefer => f.write_str("`prefer`"),
            Self::Sql(at) => write!(f, "the selection, {at}"),
        }
    }
}

/// Why one sync cannot be computed from a snapshot that is otherwise fine. A person must change the sync or the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A column is not there.
    #[error("there is no column `{column}`, named in {named_in}{}", Nearest(.nearest.as_deref()))]
    MissingColumn {
        /// The column.
        column: String,
        /// Where the sync names it.
        named_in: Use,
        /// The nearest existing name.
        nearest: Option<String>,
    },
    /// A name fits several columns that differ in case only.
    #[error("`{column}`, named in {named_in}, may be any of {}; write it as the dataset does, in double quotes in SQL", .candidates.join(", "))]
    AmbiguousColumn {
        /// The name.
        column: String,
        /// Where the sync names it.
        named_in: Use,
        /// The columns it fits.
        candidates: Vec<String>,
    },
    /// A column is there, but its type is not what its use needs.
    #[error("column `{column}`, named in {named_in}, is {found}; {needs}")]
    WrongType {
        /// The column.
        column: String,
        /// Where the sync names it.
        named_in: Use,
        /// The type found.
        found: String,
        /// What the use needs.
        needs: &'static str,
    },
    /// The SQL is wrong.
    #[error("the selection is not valid SQL{}: {message}", OptionalPosition(*.at))]
    Sql {
        /// Where, if the parser or planner says.
        at: Option<Position>,
        /// What is wrong.
        message: String,
    },
    /// The SQL is valid, but a selection may not have this.
    #[error("{what} cannot be used in a selection{}", OptionalPosition(*.at))]
    NotAllowed {
        /// Where.
        at: Option<Position>,
        /// What.
        what: String,
    },
    /// A function that does not exist.
    #[error("there is no function `{function}`{}{}", OptionalPosition(*.at), Nearest(.nearest.as_deref()))]
    UnknownFunction {
        /// Its name.
        function: String,
        /// Where.
        at: Option<Position>,
        /// The nearest existing name.
        nearest: Option<String>,
    },
    /// A function whose answer depends on more than the row.
    #[error("`{function}` does not give the same answer every time and cannot be used in a selection{}", OptionalPosition(*.at))]
    NotDeterministic {
        /// Its name.
        function: String,
        /// Where.
        at: Option<Position>,
    },
    /// An expression failed on a row: a cast, a division, an overflow.
    #[error("{expression} fails in row group {row_group} of {object}: {failure}")]
    Evaluation {
        /// `the WHERE clause` or the column of the result.
        expression: String,
        /// What kind of failure.
        failure: Failure,
        /// The object key.
        object: String,
        /// The row group, counted from 0.
        row_group: usize,
    },
}

/// How an expression failed. The engine's own message is left out: it quotes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A value cannot be converted.
    Cast,
    /// A number is too large for its type.
    Overflow,
    /// A division by zero.
    DivideByZero,
    /// A value cannot be parsed.
    Parse,
    /// Something else.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cast => "a value cannot be converted (`TRY_CAST` gives null instead)",
            Self::Overflow => "a number is too large for its type",
            Self::DivideByZero => "a division by zero",
            Self::Parse => "a value cannot be parsed",
            Self::Other => "a value cannot be computed",
        })
    }
}

struct Nearest<'a>(Option<&'a str>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

struct OptionalPosition(Option<Position>);

impl fmt::Display for OptionalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " ({at})"),
            None => Ok(()),
        }
    }
}

impl ViewError {
    /// What the caller does next: the sync waits for a person, the others go on.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        Disposition::Reject
    }
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The sync.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl ReadError {
    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Snapshot(e) => e.disposition(),
            Self::View(e) => e.disposition(),
        }
    }
}
