//! Fields that come as a dictionary: each entry is hashed once, and a row adds the sum of its entry.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field, Int32Type};

use crate::keyed::FieldHasher;
use crate::value::{Scalar, Visitor, visit};

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
