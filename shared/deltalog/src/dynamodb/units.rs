//! What the service bills: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
//! It says itself what a request took (`ReturnConsumedCapacity`); these rules are for what it does not say: a refused write,
//! and a write that is yet to be made.

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity};

use super::attribute::Attributes;

/// Bytes of a write unit.
const WRITE_UNIT: usize = 1_024;
/// Bytes of a read unit of a consistent read.
const READ_UNIT: usize = 4_096;

/// The size of a value: texts and binary values in bytes, numbers by their digits, three bytes a list or map and one an entry.
pub(crate) fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::M(map) => 3 + map.iter().map(|(name, v)| name.len() + size(v) + 1).sum::<usize>(),
        AttributeValue::L(list) => 3 + list.iter().map(|v| size(v) + 1).sum::<usize>(),
        _ => 1,
    }
}

/// The size of an item: its names and its values.
pub(crate) fn item_size(item: &Attributes) -> usize {
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

/// Units of a write of an item; a transaction takes twice as many.
pub(crate) fn write_units(bytes: usize) -> u64 {
    bytes.div_ceil(WRITE_UNIT).max(1) as u64
}

/// Units of a consistent read: of one item, or of all items of a page together.
pub(crate) fn read_units(bytes: usize) -> u64 {
    bytes.div_ceil(READ_UNIT).max(1) as u64
}

/// What the service says that requests took.
pub(crate) fn consumed<'a>(said: impl IntoIterator<Item = &'a ConsumedCapacity>) -> Option<u64> {
    let units: Option<f64> = said.into_iter().map(ConsumedCapacity::capacity_units).sum();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative, and far below 2^53
    units.filter(|units| *units > 0.0).map(|units| units.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::super::attribute::{n, s};
    use super::*;

    #[test]
    fn units_change_at_whole_kilobytes() {
        let writes = [0, 1, 1_023, 1_024, 1_025, 2_048, 2_049, 409_600].map(write_units);
        assert_eq!(writes, [1, 1, 1, 1, 2, 2, 3, 400]);
        let reads = [0, 1, 4_095, 4_096, 4_097, 8_192, 8_193, 1 << 20].map(read_units);
        assert_eq!(reads, [1, 1, 1, 1, 2, 2, 3, 256]);
    }

    #[test]
    fn a_value_has_the_size_that_the_service_counts() {
        assert_eq!(size(&s("ü1")), 3);
        assert_eq!([size(&n(7)), size(&n(12)), size(&n(123)), size(&n(1_800_000_000_000_i64))], [2, 2, 3, 8]);
        assert_eq!(size(&AttributeValue::Bool(true)), 1);
        assert_eq!(size(&AttributeValue::B(Blob::new([1, 2, 3]))), 3);
        assert_eq!(size(&AttributeValue::L(vec![s("ab"), n(1)])), 3 + 3 + 3);
        let map = AttributeValue::M(Attributes::from([("k".to_owned(), s("abc"))]));
        assert_eq!(size(&map), 3 + 1 + 3 + 1);
        assert_eq!(item_size(&Attributes::from([("name".to_owned(), map)])), 4 + 8);
    }

    #[test]
    fn what_the_service_says_is_rounded_up_and_silence_is_not_nothing() {
        let said = |units| ConsumedCapacity::builder().capacity_units(units).build();
        assert_eq!(consumed([&said(2.0), &said(0.5)]), Some(3));
        assert_eq!(consumed([]), None);
        assert_eq!(consumed([&ConsumedCapacity::builder().build()]), None);
    }
}
