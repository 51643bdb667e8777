use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name that cannot be used: it would not fit in a key of the table, a queue name or an object key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} characters of a-z, 0-9, '-' and '_', starting with a letter or digit")]
pub struct InvalidName {
    what: &'static str,
    max: usize,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(s: String) -> Result<Self, InvalidName> {
                let ok = s.len() <= $max
                    && s.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                    && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
                if ok { Ok(Self(s)) } else { Err(InvalidName { what: $what, max: $max }) }
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::try_from(s.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The owner of datasets; the first half of `tenant/dataset`.
    TenantId, "a tenant", 40
);
name!(
    /// A sync: the stem of its file in `syncs/`.
    SyncId, "a sync name", 60
);
name!(
    /// A destination: the stem of its file in `destinations/`.
    DestinationId, "a destination name", 40
);

/// `tenant/dataset`: the canonical records that snapshots are states of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetId {
    tenant: TenantId,
    dataset: String,
}

impl DatasetId {
    /// The tenant, the first half.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The dataset's own name, the second half.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The object key prefix of its snapshots, with a final `/`: `datasets/{tenant}/{dataset}/`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("datasets/{}/{}/", self.tenant, self.dataset)
    }
}

impl TryFrom<String> for DatasetId {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        let bad = InvalidName { what: "a dataset (tenant/dataset)", max: 40 };
        let (tenant, dataset) = s.split_once('/').ok_or_else(|| bad.clone())?;
        let dataset = TenantId::try_from(dataset.to_owned()).map_err(|_| bad.clone())?.0;
        Ok(Self { tenant: TenantId::try_from(tenant.to_owned()).map_err(|_| bad)?, dataset })
    }
}
impl FromStr for DatasetId {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Self::try_from(s.to_owned())
    }
}
impl From<DatasetId> for String {
    fn from(d: DatasetId) -> String {
        d.to_string()
    }
}
impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.dataset)
    }
}
impl fmt::Debug for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text made by this product.
            pub fn new(s: impl Into<String>) -> Self {
                Self(s.into())
            }
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque!(
    /// One refresh of one list. Sorts by the time at which it was planned.
    RunId
);
opaque!(
    /// Private to one attempt of one worker: names the items it wrote, the claim it holds, the object it made.
    Token
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_key_are_refused() {
        for bad in ["", "A", "a#b", "a/b", "-a", "ä", &"a".repeat(61)] {
            assert!(bad.parse::<SyncId>().is_err(), "{bad}");
        }
        assert_eq!("news-letter_2".parse::<SyncId>().map(|s| s.to_string()), Ok("news-letter_2".into()));
    }

    #[test]
    fn a_dataset_has_a_tenant_and_a_prefix() {
        let d: DatasetId = "acme/customers".parse().expect("valid");
        assert_eq!(d.prefix(), "datasets/acme/customers/");
        assert!("customers".parse::<DatasetId>().is_err());
        assert!("a/b/c".parse::<DatasetId>().is_err());
    }
}
