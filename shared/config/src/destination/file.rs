use core::{
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BaseUrl, Described, Flaw, FormatVersion, Rate, default};
use crate::value::HumanDuration;

/// Files in an S3 bucket, for whoever reads them: changes as they come, the whole list again and again, or every list once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `file`.
    pub kind: FileKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The bucket. The destination's stack must allow it (`FileBucketName`, `FilePrefix`).
    pub bucket: String,
    /// What the keys of all files begin with; the list's name comes behind it. In the bucket of the stage it must not lie among
    /// the product's own objects.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// What is written when.
    #[serde(default)]
    pub mode: FileMode,
    /// What a file looks like.
    pub format: FileFormat,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request to the bucket may take.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// The most records of one file. A file is held in memory while it is written.
    #[serde(default = "records")]
    pub records: NonZeroU32,
}

/// `file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Files in a bucket.
    #[default]
    File,
}

/// What is written when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// Every change as a file of its own; and, where a whole list is sent, that one as a new base.
    #[default]
    Deltas,
    /// The whole list, each time; `current.json` names the newest.
    Full,
    /// The whole list once: a list that was written is never written again, and what changes goes into a new list.
    Once,
}

/// What a file looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FileFormat {
    /// Comma-separated values with a header (RFC 4180, but for the line end, which is LF), UTF-8 without a byte order mark.
    Csv(Csv),
    /// One JSON object a line.
    JsonLines(JsonLines),
}

/// Comma-separated values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// The destination fields, in the order of the columns. `key` comes before them, and `operation` first in a file of changes.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
    /// True: texts that a spreadsheet would take for a formula (they begin with `=`, `+`, `-`, `@`, tab or return) get an
    /// apostrophe before them. For files that people open; a phone number such as `+49…` is changed by it, too.
    #[serde(default)]
    pub neutralise_formulas: bool,
}

/// JSON lines have nothing to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonLines {}

fn prefix() -> String {
    "lists/".to_owned()
}

const fn records() -> NonZeroU32 {
    NonZeroU32::new(10_000).expect("not zero")
}

/// Where the product's own objects lie.
const OURS: [&str; 5] = ["datasets/", "history/", "changesets/", "reports/", "config/"];

impl Described for FileDestination {
    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    fn base_url(&self) -> Option<&BaseUrl> {
        None
    }

    /// A bucket takes far more requests a second than files are written.
    fn rate(&self) -> Option<Rate> {
        None
    }

    fn concurrency(&self) -> Option<NonZeroU16> {
        self.concurrency
    }

    fn timeout(&self) -> Duration {
        self.timeout.into()
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(allowed) {
            flaws.push(Flaw {
                key: "bucket",
                message: "this is not the name of a bucket".into(),
                remedy: "write the name alone, without `s3://` and without a prefix",
            });
        }
        if !self.prefix.ends_with('/')
            || self.prefix.starts_with('/')
            || OURS.iter().any(|ours| self.prefix.starts_with(ours))
        {
            flaws.push(Flaw {
                key: "prefix",
                message:
                    "a prefix ends with a slash, does not begin with one, and is none of `datasets/`, `history/`, \
                          `changesets/`, `reports/` and `config/`"
                        .into(),
                remedy: "write something like `lists/`",
            });
        }
        if let FileFormat::Csv(csv) = &self.format {
            let mut names: Vec<&str> = csv.columns.iter().map(String::as_str).chain(["key", "operation"]).collect();
            names.sort_unstable();
            if csv.columns.is_empty() || names.windows(2).any(|pair| pair[0] == pair[1]) {
                flaws.push(Flaw {
                    key: "format.csv.columns",
                    message: "columns are named once each, and none `key` or `operation`, which are there already"
                        .into(),
                    remedy: "list the destination fields of the mapping",
                });
            }
        }
        flaws
    }
}
