use core::num::NonZeroU64;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Money;

/// What has a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// An invocation of a function.
    LambdaRequest,
    /// A GB of memory for a second.
    LambdaGbSecond,
    /// A read unit of an on-demand table.
    TableReadUnit,
    /// A write unit of an on-demand table.
    TableWriteUnit,
    /// A `GET` or `HEAD` request.
    ObjectGet,
    /// A `PUT` or `LIST` request.
    ObjectPut,
    /// A GB kept for a month.
    ObjectGbMonth,
    /// A request of at most 64 KB.
    QueueRequest,
    /// A secret, a month.
    Secret,
    /// An alarm, a month.
    Alarm,
    /// A custom metric, a month.
    Metric,
    /// A GB of logs taken in.
    LogGb,
}

impl Item {
    /// Every item: a price table has each of them once.
    pub const ALL: [Self; 12] = [
        Self::LambdaRequest,
        Self::LambdaGbSecond,
        Self::TableReadUnit,
        Self::TableWriteUnit,
        Self::ObjectGet,
        Self::ObjectPut,
        Self::ObjectGbMonth,
        Self::QueueRequest,
        Self::Secret,
        Self::Alarm,
        Self::Metric,
        Self::LogGb,
    ];

    /// Its name, as the price table writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LambdaRequest => "lambda_request",
            Self::LambdaGbSecond => "lambda_gb_second",
            Self::TableReadUnit => "table_read_unit",
            Self::TableWriteUnit => "table_write_unit",
            Self::ObjectGet => "object_get",
            Self::ObjectPut => "object_put",
            Self::ObjectGbMonth => "object_gb_month",
            Self::QueueRequest => "queue_request",
            Self::Secret => "secret",
            Self::Alarm => "alarm",
            Self::Metric => "metric",
            Self::LogGb => "log_gb",
        }
    }
}

/// The price of one item: so many pico-dollars for so many of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pico: u64,
    per: NonZeroU64,
    /// Where it was read.
    pub source: String,
}

/// Dated list prices of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// The month (or day) in which the prices were read.
    pub as_of: String,
    /// Their region.
    pub region: String,
    /// What they leave out.
    pub note: String,
    prices: BTreeMap<Item, Price>,
}

/// Why a price table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Not JSON, or of another shape; unknown items and fields included.
    #[error("the price table is not the JSON that it should be (line {line}, column {column}): {problem}")]
    Shape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// A price is not a decimal number of dollars.
    #[error("the price of {item} is not a decimal number of at most 12 places, such as 0.0000133334")]
    Amount {
        /// Its name.
        item: &'static str,
    },
    /// An item has no price, or two.
    #[error("the price table must have {item} once, and has it {times} times")]
    Times {
        /// Its name.
        item: &'static str,
        /// How often it is there.
        times: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: String,
    region: String,
    #[serde(default)]
    note: String,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    item: Item,
    usd: String,
    per: NonZeroU64,
    source: String,
}

/// The decimals of a price: pico-dollars.
const PLACES: usize = 12;

fn pico(usd: &str) -> Option<u64> {
    let (whole, part) = usd.split_once('.').unwrap_or((usd, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > PLACES || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<PLACES$}").parse().ok()
}

impl Default for PriceTable {
    /// The table that was compiled in.
    fn default() -> Self {
        Self::parse(include_str!("../prices/us-east-1.json")).expect("a test reads the table that is compiled in")
    }
}

impl PriceTable {
    /// Reads a table in the form of `prices/us-east-1.json`.
    ///
    /// # Errors
    /// [`PriceError`]: what is wrong with it. Every item must be there once.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let file: File = serde_json::from_str(text).map_err(|e| PriceError::Shape {
            line: e.line(),
            column: e.column(),
            problem: e.to_string(),
        })?;
        for item in Item::ALL {
            let times = file.prices.iter().filter(|row| row.item == item).count();
            if times != 1 {
                return Err(PriceError::Times { item: item.name(), times });
            }
        }
        let price = |row: Row| match pico(&row.usd) {
            Some(pico) => Ok((row.item, Price { pico, per: row.per, source: row.source })),
            None => Err(PriceError::Amount { item: row.item.name() }),
        };
        let prices = file.prices.into_iter().map(price).collect::<Result<_, _>>()?;
        Ok(Self { as_of: file.as_of, region: file.region, note: file.note, prices })
    }

    /// Every item with its price.
    pub fn prices(&self) -> impl Iterator<Item = (Item, &Price)> {
        self.prices.iter().map(|(item, price)| (*item, price))
    }

    /// What a quantity costs, rounded to the nearest nano-dollar. `quantity` is in parts, of which one unit of the item has
    /// `parts`: megabyte-milliseconds of a GB-second, bytes of a GB.
    #[must_use]
    pub(crate) fn cost(&self, item: Item, quantity: u64, parts: u64) -> Money {
        let Some(price) = self.prices.get(&item) else { return Money::default() };
        // At most 2^128: both factors are of 64 bits.
        let pico_parts = u128::from(quantity) * u128::from(price.pico);
        let nano = u128::from(price.per.get()) * u128::from(parts.max(1)) * 1_000;
        let rounded = pico_parts.saturating_add(nano / 2) / nano;
        Money(u64::try_from(rounded).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled_in() -> serde_json::Value {
        serde_json::from_str(include_str!("../prices/us-east-1.json")).unwrap()
    }

    #[test]
    fn the_table_that_is_compiled_in_has_a_price_and_a_source_for_everything() {
        let table = PriceTable::default();
        assert_eq!(table.prices().count(), Item::ALL.len());
        assert!(table.prices().all(|(_, p)| p.pico > 0 && p.source.starts_with("https://aws.amazon.com/")));
        assert_eq!(table.region, "us-east-1");
        assert!(table.as_of.starts_with("2026-"));
        for item in Item::ALL {
            assert_eq!(serde_json::to_value(item).unwrap(), item.name());
        }
    }

    #[test]
    fn a_quantity_is_multiplied_exactly_and_rounded_once() {
        let table = PriceTable::default();
        let nanos = |item, quantity| table.cost(item, quantity, 1).0;
        assert_eq!(nanos(Item::TableReadUnit, 1), 125);
        assert_eq!(nanos(Item::TableWriteUnit, 1), 625);
        assert_eq!(nanos(Item::TableWriteUnit, 86_600), 54_125_000);
        assert_eq!(nanos(Item::ObjectGet, 1), 400);
        assert_eq!(nanos(Item::ObjectPut, 1), 5_000);
        assert_eq!(nanos(Item::QueueRequest, 1), 400);
        assert_eq!(nanos(Item::LambdaRequest, 1), 200);
        assert_eq!(nanos(Item::Secret, 2), 800_000_000);
        // 0.0000133334 for a GB-second: 13,333.4 nano-dollars.
        assert_eq!(table.cost(Item::LambdaGbSecond, 1_024_000, 1_024_000).0, 13_333);
        assert_eq!(table.cost(Item::LambdaGbSecond, 10 * 1_024_000, 1_024_000).0, 133_334);
        assert_eq!(table.cost(Item::LambdaGbSecond, 38, 1_024_000).0, 0);
        assert_eq!(table.cost(Item::LambdaGbSecond, 39, 1_024_000).0, 1);
        assert_eq!(table.cost(Item::Secret, u64::MAX, 1).0, u64::MAX, "too much to say stays the largest amount");
    }

    #[test]
    fn an_amount_is_a_plain_decimal_number() {
        assert_eq!(pico("0.0000133334"), Some(13_333_400));
        assert_eq!(pico("1"), Some(1_000_000_000_000));
        assert_eq!(pico("0.000000000001"), Some(1));
        for bad in ["", ".5", "-1", "+1", "1e-3", "0.0000000000001", "1,5", "$1", "99999999", " 1"] {
            assert_eq!(pico(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_table_that_is_not_whole_says_what_is_wrong() {
        let error = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut file = compiled_in();
            change(&mut file);
            PriceTable::parse(&file.to_string()).unwrap_err().to_string()
        };
        assert!(PriceTable::parse("{").unwrap_err().to_string().contains("line 1"));
        let missing = error(&|f| drop(f["prices"].as_array_mut().unwrap().pop()));
        assert_eq!(missing, "the price table must have log_gb once, and has it 0 times");
        let twice = error(&|f| {
            let first = f["prices"][0].clone();
            f["prices"].as_array_mut().unwrap().push(first);
        });
        assert!(twice.contains("lambda_request once, and has it 2 times"), "{twice}");
        assert!(error(&|f| f["prices"][3]["usd"] = "free".into()).contains("table_write_unit"));
        assert!(error(&|f| f["prices"][3]["per"] = 0.into()).contains("line 1"));
        assert!(error(&|f| f["prices"][3]["item"] = "lunch".into()).contains("lunch"));
    }
}
