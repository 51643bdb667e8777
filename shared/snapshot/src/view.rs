use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::Expr;
use driftless_config::{FieldMapping, PreferOrder};

use crate::sql::{Expression, Planner, Prunable, reads};
use crate::value::{is_scalar, is_supported};
use crate::{Use, ViewError, ViewSpec};

/// A sync's view of one file's schema: every name resolved, every expression planned.
pub(crate) struct Planned<'s> {
    spec: &'s ViewSpec,
    condition: Option<Expr>,
    key: Vec<Expr>,
    /// In the order of the mapping.
    fields: Vec<(&'s FieldMapping, Expr)>,
    prefer: Option<Expr>,
    /// The columns of the file that are read.
    pub(crate) columns: BTreeSet<String>,
}

/// A view that is ready to read batches of exactly its own columns.
pub(crate) struct Bound<'s> {
    pub(crate) condition: Option<Expression>,
    /// The condition once more, if statistics can tell that it is true for no row.
    pub(crate) prunable: Option<Prunable>,
    pub(crate) key: Vec<Expression>,
    /// In the order of the mapping.
    pub(crate) fields: Vec<(&'s FieldMapping, Expression)>,
    pub(crate) prefer: Option<(Expression, PreferOrder)>,
    /// The columns of which only hashes are needed to tell whether a row has changed.
    pub(crate) only_hashed: BTreeSet<String>,
}

/// Whether a field is nothing but a value: it is sent as it is, and nobody is found by it.
pub(crate) fn is_only_hashed(field: &FieldMapping) -> bool {
    !field.identifier && field.normalize.is_empty() && field.max_length.is_none()
}

/// Resolves and plans what a sync takes of a dataset with this schema.
pub(crate) fn plan<'s>(spec: &'s ViewSpec, schema: &Schema) -> Result<Planned<'s>, ViewError> {
    let outputs = Planner::new(schema)?.select(&spec.selection)?;
    let key = spec.key.columns().iter().map(|c| outputs.get(c, || Use::Key).cloned()).collect::<Result<Vec<_>, _>>()?;
    let fields = spec.column_fields();
    let fields = fields
        .map(|f| Ok((f, outputs.get(&f.column, || Use::Field(f.field.clone()))?.clone())))
        .collect::<Result<Vec<_>, ViewError>>()?;
    let prefer = match &spec.prefer {
        Some(prefer) => Some(outputs.get(&prefer.column, || Use::Prefer)?.clone()),
        None => None,
    };
    let planned = Planned { spec, condition: outputs.condition, key, fields, prefer, columns: BTreeSet::new() };
    Ok(planned.with_columns())
}

impl<'s> Planned<'s> {
    fn with_columns(mut self) -> Self {
        let fields = self.fields.iter().map(|(_, e)| e);
        self.columns = reads(self.key.iter().chain(fields).chain(&self.prefer).chain(&self.condition));
        self
    }

    /// Reads the key and the identifiers only, of rows that are known to be selected.
    pub(crate) fn only_identity(mut self) -> Self {
        if !self.spec.key.is_content() {
            self.fields.retain(|(field, _)| field.identifier);
        }
        (self.condition, self.prefer) = (None, None);
        self.with_columns()
    }

    /// Binds the expressions to the view's columns, in the order of their names, and checks the types of the results.
    pub(crate) fn bind(&self, file: &Schema) -> Result<Bound<'s>, ViewError> {
        let schema = self.schema(file);
        let bind = |expr: &Expr, name: String| Planner::bind(expr, &schema, name);
        let condition = self.condition.as_ref().map(|e| bind(e, "the WHERE clause".to_owned())).transpose()?;
        let mut key = Vec::with_capacity(self.key.len());
        for (expr, column) in self.key.iter().zip(self.spec.key.columns()) {
            let bound = bind(expr, format!("column `{column}`"))?;
            check(&bound.field, column, || Use::Key, true, "a key needs text, numbers, dates or times")?;
            key.push(bound);
        }
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field, expr) in &self.fields {
            let bound = bind(expr, format!("column `{}`", field.column))?;
            let named_in = || Use::Field(field.field.clone());
            let needs = if field.identifier {
                "an identifier needs text, numbers, dates or times"
            } else {
                "`normalize`, `hash` and `max_length` need text, numbers, dates or times"
            };
            let text =
                field.identifier || !field.normalize.is_empty() || field.hash.is_some() || field.max_length.is_some();
            check(&bound.field, &field.column, named_in, text, needs)?;
            fields.push((*field, bound));
        }
        let prefer = match (&self.prefer, &self.spec.prefer) {
            (Some(expr), Some(prefer)) => {
                let bound = bind(expr, format!("column `{}`", prefer.column))?;
                let needs = "`prefer` needs text, numbers, dates or times";
                check(&bound.field, &prefer.column, || Use::Prefer, true, needs)?;
                Some((bound, prefer.order))
            }
            _ => None,
        };
        let prunable = self.condition.as_ref().and_then(|e| Prunable::new(e, file));
        Ok(Bound { condition, prunable, key, fields, prefer, only_hashed: self.only_hashed() })
    }

    /// Columns that are fields as they are, and nothing else.
    fn only_hashed(&self) -> BTreeSet<String> {
        let is_column = |(field, e): &(&FieldMapping, Expr)| matches!(e, Expr::Column(_)) && is_only_hashed(field);
        let (columns, others): (Vec<_>, Vec<_>) = self.fields.iter().partition(|field| is_column(field));
        let others = others.into_iter().map(|(_, e)| e).chain(&self.key).chain(&self.prefer).chain(&self.condition);
        let needed = reads(others);
        reads(columns.into_iter().map(|(_, e)| e)).into_iter().filter(|column| !needed.contains(column)).collect()
    }

    /// The view's own columns of a file.
    pub(crate) fn schema(&self, file: &Schema) -> SchemaRef {
        let fields = self.columns.iter().filter_map(|c| file.field_with_name(c).ok()).cloned();
        SchemaRef::new(Schema::new(fields.collect::<Vec<Field>>()))
    }
}

fn check(
    field: &Field,
    column: &str,
    named_in: impl FnOnce() -> Use,
    scalar: bool,
    needs: &'static str,
) -> Result<(), ViewError> {
    let data_type = field.data_type();
    let (ok, needs) = if scalar && is_supported(data_type) {
        (is_scalar(data_type), needs)
    } else {
        (is_supported(data_type), "such values cannot be sent; convert them in the selection")
    };
    if ok {
        return Ok(());
    }
    let found = name(data_type).to_owned();
    Err(ViewError::WrongType { column: column.to_owned(), named_in: named_in(), found, needs })
}

/// A type as a person would say it.
fn name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "a list",
        DataType::Struct(_) => "a struct",
        DataType::Map(..) => "a map",
        DataType::Duration(_) | DataType::Interval(_) => "an interval",
        _ => "of an unusual type",
    }
}

/// Checks that a sync can be computed from a dataset with this schema, as `driftless validate --data` does.
///
/// # Errors
/// The first thing that is wrong: a missing or retyped column, or the SQL, each with its place.
pub fn check_view(spec: &ViewSpec, schema: &Schema) -> Result<(), ViewError> {
    plan(spec, schema)?.bind(schema).map(|_| ())
}

/// What a sync's mapped fields are in a dataset with this schema: the destination's field names, in their order, with
/// the types of the columns they carry before `normalize` and `hash`.
///
/// # Errors
/// As [`check_view`].
pub fn selected_schema(spec: &ViewSpec, schema: &Schema) -> Result<Schema, ViewError> {
    let bound = plan(spec, schema)?.bind(schema)?;
    let fields = bound.fields.iter().map(|(mapping, e)| e.field.as_ref().clone().with_name(mapping.field.as_str()));
    let keys = spec.key_fields().map(|mapping| Field::new(mapping.field.as_str(), DataType::Utf8, false));
    let mut fields: Vec<Field> = fields.chain(keys).collect();
    fields.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(Schema::new(fields))
}
