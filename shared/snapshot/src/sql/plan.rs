use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable, Volatility};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use driftless_config::Selection;
use sqlparser::ast::{Expr as Sql, Spanned};

use super::columns::{find, names};
use super::functions::Functions;
use super::parse::{self, Output, Parsed};
use crate::{Failure, Position, Use, ViewError};

/// Plans expressions over the columns of one schema.
pub(crate) struct Planner {
    schema: Arc<DFSchema>,
}

/// What a selection's result has for columns, by name.
pub(crate) struct Outputs {
    /// In the order of the list; later ones of the same name do not count.
    columns: Vec<(String, Expr)>,
    pub(crate) condition: Option<Expr>,
}

impl Planner {
    pub(crate) fn new(schema: &Schema) -> Result<Self, ViewError> {
        let schema = DFSchema::try_from(schema.clone()).map_err(|e| failed(&e, None))?;
        Ok(Self { schema: Arc::new(schema) })
    }

    /// Plans a selection: what its columns and its condition are.
    pub(crate) fn select(&self, selection: &Selection) -> Result<Outputs, ViewError> {
        let schema = self.schema.as_arrow();
        let parsed = match selection {
            Selection::Everything | Selection::Ids(_) => Parsed { outputs: vec![Output::All], condition: None },
            Selection::Where(sql) => parse::condition(sql, schema)?,
            Selection::Sql(sql) => parse::statement(sql, schema)?,
        };
        let mut columns = Vec::new();
        for output in parsed.outputs {
            match output {
                Output::All => columns.extend(names(schema).map(|n| (n.to_owned(), column(n)))),
                Output::Named(name, sql) => columns.push((
                    name,
                    match *sql {
                        Sql::Identifier(ident) => column(&ident.value),
                        sql => self.expression(sql)?.0,
                    },
                )),
            }
        }
        let condition = match parsed.condition {
            None => None,
            Some(sql) => {
                let (expr, at) = self.expression(sql)?;
                let data_type = expr.get_type(&self.schema).map_err(|e| failed(&e, at))?;
                if !matches!(data_type, DataType::Boolean | DataType::Null) {
                    let message = format!("the condition is not true or false, but {data_type}");
                    return Err(ViewError::Sql { at, message });
                }
                Some(expr)
            }
        };
        Ok(Outputs { columns, condition })
    }

    fn expression(&self, sql: Sql) -> Result<(Expr, Option<Position>), ViewError> {
        let at = parse::position(sql.span());
        let functions = Functions::new();
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_parse_float_as_decimal(true)
            .with_collect_spans(true);
        let planned = catch_unwind(AssertUnwindSafe(|| {
            let expr = SqlToRel::new_with_options(&functions, options).sql_to_expr(
                sql,
                &self.schema,
                &mut PlannerContext::new(),
            )?;
            let context = SimplifyContext::builder().with_schema(Arc::clone(&self.schema)).build();
            let simplifier = ExprSimplifier::new(context);
            let expr = simplifier.coerce(expr, &self.schema)?;
            simplifier.simplify(expr)
        }));
        let expr = match planned {
            Ok(planned) => planned.map_err(|e| failed(&e, at))?,
            Err(_) => return Err(ViewError::Sql { at, message: "it cannot be planned".to_owned() }),
        };
        allowed(&expr, at)?;
        Ok((expr, at))
    }

    /// Binds an expression to batches whose columns are a part of the schema.
    pub(crate) fn bind(expr: &Expr, batches: &Schema, name: String) -> Result<Expression, ViewError> {
        let schema = DFSchema::try_from(batches.clone()).map_err(|e| failed(&e, None))?;
        let bound = catch_unwind(AssertUnwindSafe(|| {
            let physical =
                create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
            let field = physical.return_field(batches)?;
            Ok((physical, field))
        }));
        match bound {
            Ok(Ok((physical, field))) => Ok(Expression { physical, field, name }),
            Ok(Err(e)) => Err(failed(&e, None)),
            Err(_) => Err(ViewError::Sql { at: None, message: format!("{name} cannot be planned") }),
        }
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(datafusion_common::Column::new_unqualified(name))
}

/// The planner's messages quote the SQL and the schema, never data.
fn failed(e: &DataFusionError, at: Option<Position>) -> ViewError {
    let span = e.diagnostic().and_then(|d| d.span);
    let at = span.filter(|s| s.start.line > 0).map(|s| Position { line: s.start.line, column: s.start.column }).or(at);
    ViewError::Sql { at, message: first_line(e) }
}

fn first_line(e: &DataFusionError) -> String {
    let text = e.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let text = ["Error during planning: ", "This feature is not implemented: ", "Execution error: ", "Arrow error: "]
        .iter()
        .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    text.trim_end_matches('.').to_owned()
}

/// Refuses what a row cannot answer alone, by whatever syntax it came.
fn allowed(expr: &Expr, at: Option<Position>) -> Result<(), ViewError> {
    let mut refused = None;
    let walked = expr.apply(|e| {
        let what = match e {
            Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable => {
                refused = Some(ViewError::NotDeterministic { function: f.func.name().to_owned(), at });
                return Ok(TreeNodeRecursion::Stop);
            }
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::GroupingSet(_) => "a function of several rows",
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => "a subquery",
            Expr::ScalarVariable(..) | Expr::Placeholder(_) | Expr::OuterReferenceColumn(..) => "a variable",
            Expr::Unnest(_) => "`unnest`, which makes several rows of one,",
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        refused = Some(ViewError::NotAllowed { at, what: what.to_owned() });
        Ok(TreeNodeRecursion::Stop)
    });
    match (refused, walked) {
        (Some(e), _) => Err(e),
        (None, Err(e)) => Err(failed(&e, at)),
        (None, Ok(_)) => Ok(()),
    }
}

impl Outputs {
    /// The expression that is called `name` in the result.
    pub(crate) fn get(&self, name: &str, named_in: impl FnOnce() -> Use) -> Result<&Expr, ViewError> {
        let found = find(self.columns.iter().map(|(n, _)| n.as_str()), name, named_in)?;
        // `find` answered one of these names.
        let (_, expr) = self.columns.iter().find(|(n, _)| n == found).unwrap_or(&self.columns[0]);
        Ok(expr)
    }
}

/// The columns of the file that expressions read.
pub(crate) fn reads<'e>(expressions: impl Iterator<Item = &'e Expr>) -> BTreeSet<String> {
    expressions.flat_map(|e| e.column_refs()).map(|c| c.name().to_owned()).collect()
}

/// An expression that is ready to be evaluated on batches.
pub(crate) struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    /// Type and metadata of the result.
    pub(crate) field: FieldRef,
    /// For errors.
    name: String,
}

/// Where an evaluation failed, without the place in the file.
pub(crate) struct Evaluated {
    pub(crate) expression: String,
    pub(crate) failure: Failure,
    /// What the engine says where the expression fails without any data: it quotes the SQL only.
    pub(crate) message: Option<String>,
}

impl Expression {
    /// One value a row.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, Evaluated> {
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            self.physical.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()))
        }));
        let failure = match evaluated {
            Ok(Ok(array)) => return Ok(array),
            Ok(Err(e)) => failure(&e),
            Err(_) => Failure::Other,
        };
        Err(Evaluated { expression: self.name.clone(), failure, message: self.fails_without_data(batch) })
    }

    /// Evaluates a row of nulls, to tell a wrong expression (a pattern that is none) from one that a value made fail.
    fn fails_without_data(&self, batch: &RecordBatch) -> Option<String> {
        let fields = batch.schema_ref().fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let nulls = schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect();
        let nulls = RecordBatch::try_new(Arc::clone(&schema), nulls).ok()?;
        let evaluated = catch_unwind(AssertUnwindSafe(|| self.physical.evaluate(&nulls)));
        evaluated.ok()?.err().map(|e| first_line(&e))
    }

    /// The rows for which a condition is true.
    pub(crate) fn is_true(&self, batch: &RecordBatch) -> Result<BooleanArray, Evaluated> {
        let array = self.evaluate(batch)?;
        match array.as_any().downcast_ref::<BooleanArray>() {
            Some(rows) => Ok(rows.clone()),
            // A condition that is null for every row.
            None => Ok(BooleanArray::from(vec![false; batch.num_rows()])),
        }
    }
}

fn failure(e: &DataFusionError) -> Failure {
    let DataFusionError::ArrowError(e, _) = e.find_root() else { return Failure::Other };
    match e.as_ref() {
        ArrowError::CastError(_) => Failure::Cast,
        ArrowError::ArithmeticOverflow(_) => Failure::Overflow,
        ArrowError::DivideByZero => Failure::DivideByZero,
        ArrowError::ParseError(_) => Failure::Parse,
        _ => Failure::Other,
    }
}
