//! Customers as a Parquet file. The same customers give the same bytes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::customer::Customer;
use super::population::Population;

/// Rows that are made and written at a time.
const ROWS: usize = 65_536;

/// Writes the file; `made` is told how many rows are done.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, seed: u64, people: &Population, made: impl Fn(u64)) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = batch(&[])?.schema();
    let file = File::create(path).with_context(failed)?;
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).with_context(failed)?;
    let (mut customers, mut done) = (Vec::with_capacity(ROWS), 0_u64);
    for (number, changes) in people {
        customers.push(Customer::new(seed, *number, *changes));
        if customers.len() == ROWS {
            writer.write(&batch(&customers)?).with_context(failed)?;
            done += ROWS as u64;
            made(done);
            customers.clear();
        }
    }
    writer.write(&batch(&customers)?).with_context(failed)?;
    writer.close().with_context(failed)?;
    Ok(())
}

fn batch(customers: &[Customer]) -> Result<RecordBatch, ArrowError> {
    fn text<'a>(customers: &'a [Customer], of: impl Fn(&'a Customer) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(customers.iter().map(of)))
    }
    let phone: StringArray = customers.iter().map(|c| c.phone.as_deref()).collect();
    let ltv = Decimal128Array::from_iter_values(customers.iter().map(|c| i128::from(c.ltv)))
        .with_precision_and_scale(12, 2)?;
    let orders = Int32Array::from_iter_values(customers.iter().map(|c| c.orders));
    let consent: BooleanArray = customers.iter().map(|c| Some(c.consent)).collect();
    let last_seen = TimestampMillisecondArray::from_iter_values(customers.iter().map(|c| c.last_seen));
    let columns: [(&str, ArrayRef, bool); 11] = [
        ("customer_id", text(customers, |c| &c.id), false),
        ("email", text(customers, |c| &c.email), false),
        ("first_name", text(customers, |c| c.first_name), false),
        ("last_name", text(customers, |c| c.last_name), false),
        ("phone", Arc::new(phone), true),
        ("city", text(customers, |c| c.city), false),
        ("country", text(customers, |c| c.country), false),
        ("ltv", Arc::new(ltv), false),
        ("orders", Arc::new(orders), false),
        ("consent", Arc::new(consent), false),
        ("last_seen", Arc::new(last_seen.with_timezone("UTC")), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::population;

    #[test]
    fn the_same_customers_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, generation| {
            let path = dir.path().join(name);
            write(&path, 3, &population(300, 0.1, 3, generation), |_| {}).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(make("a", 2), make("b", 2));
        assert_ne!(make("a", 2), make("b", 3));
    }
}
