//! Fields that come as a dictionary: each entry is hashed once, and a row adds the sum of its entry.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::take;
use arrow::datatypes::{Field, Int32Type};

use crate::keyed::FieldHasher;
use crate::value::{Scalar, Visitor, visit};

/// Entries of which a sum is kept, sixteen bytes each. No writer makes a dictionary as long; its values are taken row by row.
const MOST: usize = 1 << 20;

/// The sums of the entries of one field's dictionary, kept for the batches that share it.
#[derive(Default)]
pub(super) struct EntrySums {
    of: Option<ArrayRef>,
    sums: Vec<u128>,
}

impl EntrySums {
    /// Adds the value of each row to the row's sum. False if the array is not a dictionary.
    pub(super) fn add(&mut self, array: &ArrayRef, field: &Field, hasher: &FieldHasher, rows: &mut [u128]) -> bool {
        let Some(array) = array.as_dictionary_opt::<Int32Type>() else { return false };
        let entries = array.values();
        if entries.len() > MOST {
            let Ok(values) = take(entries.as_ref(), array.keys(), None) else { return false };
            return visit(&values, field, &mut Sum { hasher, sums: rows });
        }
        if !self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, entries)) {
            self.sums.clear();
            self.sums.resize(entries.len(), 0);
            visit(entries, field, &mut Sum { hasher, sums: &mut self.sums });
            self.of = Some(Arc::clone(entries));
        }
        let null = hasher.scalar(Scalar::Null);
        let sum_of = |code: i32| usize::try_from(code).ok().and_then(|code| self.sums.get(code)).copied();
        let codes = array.keys();
        match codes.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => rows.iter_mut().zip(codes.values()).for_each(|(row, code)| {
                *row = row.wrapping_add(sum_of(*code).unwrap_or(null));
            }),
            Some(nulls) => rows.iter_mut().zip(codes.values()).zip(nulls).for_each(|((row, code), is_valid)| {
                *row = row.wrapping_add(if is_valid { sum_of(*code).unwrap_or(null) } else { null });
            }),
        }
        true
    }
}

/// Adds each value to the sum of its place.
pub(super) struct Sum<'c> {
    pub(super) hasher: &'c FieldHasher,
    pub(super) sums: &'c mut [u128],
}

impl<'a> Visitor<'a> for Sum<'_> {
    #[inline(always)]
    #[allow(clippy::inline_always)]
    fn visit(&mut self, row: usize, value: Scalar<'a>) {
        if let Some(sum) = self.sums.get_mut(row) {
            *sum = sum.wrapping_add(self.hasher.scalar(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array, Int64Array};
    use arrow::datatypes::DataType;

    use super::*;
    use crate::HashKey;
    use crate::keyed::RecordHasher;

    fn sums(entries: usize, codes: &[Option<i32>]) -> Vec<u128> {
        let entries: Int64Array = (0..).take(entries).map(|n: i64| Some(n * n)).collect();
        let codes = Int32Array::from(codes.to_vec());
        let array: ArrayRef = Arc::new(DictionaryArray::try_new(codes, Arc::new(entries)).expect("they fit"));
        let hasher = RecordHasher::new(&HashKey::new([3; 32]), ["n"].into_iter());
        let mut rows = vec![5; array.len()];
        let field = Field::new("n", DataType::Int64, true);
        let mut of_entries = EntrySums::default();
        assert!(of_entries.add(&array, &field, hasher.field(0).expect("a field"), &mut rows));
        assert!(of_entries.sums.len() <= MOST, "what is kept is bounded");
        rows
    }

    #[test]
    fn short_and_far_too_long_dictionaries_give_the_sums_of_their_values() {
        let codes = [Some(0), Some(3), None, Some(3), Some(2)];
        let short = sums(4, &codes);
        assert_eq!(short, sums(MOST + 1, &codes));
        assert_eq!(short[1], short[3]);
        let hasher = RecordHasher::new(&HashKey::new([3; 32]), ["n"].into_iter());
        let of = |value| hasher.field(0).expect("a field").scalar(value).wrapping_add(5);
        assert_eq!(
            short,
            [of(Scalar::Int(0)), of(Scalar::Int(9)), of(Scalar::Null), of(Scalar::Int(9)), of(Scalar::Int(4))]
        );
    }
}
