use core::cmp::Ordering;
use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{BinaryExpr, Expr, Operator};

/// A bound of the values of one column, as statistics give it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bound {
    Int(i128),
    /// Never NaN.
    Float(f64),
    Bytes(Vec<u8>),
}

/// What is known of the values of one column in some rows. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    /// Nothing but nulls.
    pub(crate) all_null: bool,
    /// No null at all.
    pub(crate) no_null: bool,
    /// No value is less; none need be equal.
    pub(crate) min: Option<Bound>,
    /// No value is greater; none need be equal.
    pub(crate) max: Option<Bound>,
}

/// A condition that is simple enough to tell from statistics that it is true for no row of a row group.
///
/// Every part of it is a comparison of a column with a constant, or what combines these: nothing that could fail for a row,
/// so that leaving rows out never hides an error.
#[derive(Clone, Debug)]
pub(crate) struct Prunable {
    condition: Expr,
    schema: Schema,
}

impl Prunable {
    /// `None` if the condition is not of this kind.
    pub(crate) fn new(condition: &Expr, schema: &Schema) -> Option<Self> {
        is_simple(condition).then(|| Self { condition: condition.clone(), schema: schema.clone() })
    }

    /// The columns whose statistics count.
    pub(crate) fn columns(&self) -> BTreeSet<String> {
        self.condition.column_refs().into_iter().map(|c| c.name().to_owned()).collect()
    }

    /// False only if the condition is true for none of the rows whose columns have these bounds.
    pub(crate) fn may_be_true(&self, bounds: &dyn Fn(&str) -> Bounds) -> bool {
        self.may(&self.condition, bounds)
    }

    fn may(&self, e: &Expr, bounds: &dyn Fn(&str) -> Bounds) -> bool {
        match e {
            Expr::Literal(ScalarValue::Boolean(value), _) => *value == Some(true),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.may(left, bounds) && self.may(right, bounds)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                self.may(left, bounds) || self.may(right, bounds)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
                (Expr::Column(c), Expr::Literal(value, _)) => self.may_compare(c.name(), *op, value, bounds),
                (Expr::Literal(value, _), Expr::Column(c)) => {
                    op.swap().is_none_or(|op| self.may_compare(c.name(), op, value, bounds))
                }
                _ => true,
            },
            Expr::InList(list) if !list.negated => match list.expr.as_ref() {
                Expr::Column(c) => list.list.iter().any(|e| match e {
                    Expr::Literal(value, _) => self.may_compare(c.name(), Operator::Eq, value, bounds),
                    _ => true,
                }),
                _ => true,
            },
            Expr::Between(between) if !between.negated => {
                match (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()) {
                    (Expr::Column(c), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                        self.may_compare(c.name(), Operator::GtEq, low, bounds)
                            && self.may_compare(c.name(), Operator::LtEq, high, bounds)
                    }
                    _ => true,
                }
            }
            Expr::IsNull(e) => !matches!(e.as_ref(), Expr::Column(c) if bounds(c.name()).no_null),
            Expr::IsNotNull(e) => !matches!(e.as_ref(), Expr::Column(c) if bounds(c.name()).all_null),
            _ => true,
        }
    }

    fn may_compare(&self, column: &str, op: Operator, value: &ScalarValue, bounds: &dyn Fn(&str) -> Bounds) -> bool {
        use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
            return true;
        }
        let of_column = bounds(column);
        // Compared with a null, or a null compared, is never true.
        if value.is_null() || of_column.all_null {
            return false;
        }
        let Ok(field) = self.schema.field_with_name(column) else { return true };
        let Some(value) = constant(value, field.data_type()) else { return true };
        // NaN of either sign is above or below every number here, and in no statistics: only equality is safe.
        if matches!(value, Bound::Float(_)) && op != Eq {
            return true;
        }
        let low = of_column.min.and_then(|min| compare(&min, &value));
        let high = of_column.max.and_then(|max| compare(&max, &value));
        match op {
            Eq => low != Some(Ordering::Greater) && high != Some(Ordering::Less),
            Lt => !matches!(low, Some(Ordering::Equal | Ordering::Greater)),
            LtEq => low != Some(Ordering::Greater),
            Gt => !matches!(high, Some(Ordering::Equal | Ordering::Less)),
            GtEq => high != Some(Ordering::Less),
            _ => true,
        }
    }
}

/// Whether evaluating this can fail for no row.
fn is_simple(e: &Expr) -> bool {
    match e {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
            matches!(op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq) && is_simple(left) && is_simple(right)
        }
        Expr::Not(e) | Expr::IsNull(e) | Expr::IsNotNull(e) | Expr::IsTrue(e) | Expr::IsFalse(e) => is_simple(e),
        Expr::InList(list) => is_simple(&list.expr) && list.list.iter().all(is_simple),
        Expr::Between(between) => is_simple(&between.expr) && is_simple(&between.low) && is_simple(&between.high),
        _ => false,
    }
}

/// A constant as a bound of a column of this type, if the two compare value by value.
fn constant(value: &ScalarValue, column: &DataType) -> Option<Bound> {
    let int = |n: i128| Some(Bound::Int(n));
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            (*column == DataType::Utf8View).then(|| Bound::Bytes(text.as_bytes().to_vec()))
        }
        other if other.data_type() != *column => None,
        ScalarValue::Int8(Some(n)) => int((*n).into()),
        ScalarValue::Int16(Some(n)) => int((*n).into()),
        ScalarValue::Int32(Some(n)) | ScalarValue::Date32(Some(n)) => int((*n).into()),
        ScalarValue::Int64(Some(n))
        | ScalarValue::TimestampSecond(Some(n), _)
        | ScalarValue::TimestampMillisecond(Some(n), _)
        | ScalarValue::TimestampMicrosecond(Some(n), _)
        | ScalarValue::TimestampNanosecond(Some(n), _) => int((*n).into()),
        ScalarValue::UInt8(Some(n)) => int((*n).into()),
        ScalarValue::UInt16(Some(n)) => int((*n).into()),
        ScalarValue::UInt32(Some(n)) => int((*n).into()),
        ScalarValue::UInt64(Some(n)) => int((*n).into()),
        ScalarValue::Float32(Some(x)) if x.is_finite() => Some(Bound::Float((*x).into())),
        ScalarValue::Float64(Some(x)) if x.is_finite() => Some(Bound::Float(*x)),
        _ => None,
    }
}

fn compare(a: &Bound, b: &Bound) -> Option<Ordering> {
    match (a, b) {
        (Bound::Int(a), Bound::Int(b)) => Some(a.cmp(b)),
        (Bound::Bytes(a), Bound::Bytes(b)) => Some(a.cmp(b)),
        // Zeros of both signs are equal here: less is left out than could be, never more.
        (Bound::Float(a), Bound::Float(b)) => a.partial_cmp(b),
        _ => None,
    }
}
