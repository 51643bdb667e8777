use core::ops::ControlFlow;

use arrow::datatypes::Schema;
use sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, ObjectName, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, Statement, TableFactor, Value, ValueWithSpan, VisitMut,
    VisitorMut, WildcardAdditionalOptions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token};

use super::columns::{find, names};
use super::functions;
use crate::{Position, Use, ViewError};

/// The name of the one table.
const TABLE: &str = "dataset";
/// Operators and parentheses within each other; the planner recurses as deep.
const DEPTH: usize = 60;

/// A selection, checked and with its names resolved, not planned yet.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) outputs: Vec<Output>,
    pub(super) condition: Option<Expr>,
}

/// One item of the `SELECT` list.
#[derive(Debug)]
pub(super) enum Output {
    /// All columns of the dataset.
    All,
    Named(String, Box<Expr>),
}

/// Parses a whole statement.
pub(super) fn statement(sql: &str, schema: &Schema) -> Result<Parsed, ViewError> {
    let mut parser = parser(sql)?;
    let mut statements = parser.parse_statements().map_err(syntax)?;
    let (Some(Statement::Query(query)), true) = (statements.pop(), statements.is_empty()) else {
        return Err(not_allowed(Span::empty(), "anything but one SELECT statement"));
    };
    let mut select = select(*query)?;
    let mut resolver = Resolver { schema, table: table(&select)? };
    let mut outputs = Vec::with_capacity(select.projection.len());
    for item in select.projection.drain(..) {
        outputs.push(output(item, &mut resolver)?);
    }
    let condition = select.selection.take().map(|e| resolver.resolve(e)).transpose()?;
    Ok(Parsed { outputs, condition })
}

/// Parses a condition.
pub(super) fn condition(sql: &str, schema: &Schema) -> Result<Parsed, ViewError> {
    let mut parser = parser(sql)?;
    let expr = parser.parse_expr().map_err(syntax)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("the condition ends before `{}`", next.token);
        return Err(ViewError::Sql { at: position(next.span), message });
    }
    let condition = Resolver { schema, table: TABLE.to_owned() }.resolve(expr)?;
    Ok(Parsed { outputs: vec![Output::All], condition: Some(condition) })
}

fn parser(sql: &str) -> Result<Parser<'static>, ViewError> {
    Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH).try_with_sql(sql).map_err(syntax)
}

pub(super) fn position(span: Span) -> Option<Position> {
    (span.start.line > 0).then_some(Position { line: span.start.line, column: span.start.column })
}

fn not_allowed(span: Span, what: impl Into<String>) -> ViewError {
    ViewError::NotAllowed { at: position(span), what: what.into() }
}

/// The parser says where in its text.
fn syntax(e: ParserError) -> ViewError {
    let text = match e {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return ViewError::Sql { at: None, message: "it is nested too deeply".to_owned() };
        }
    };
    let place = text.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    match place {
        Some((message, at)) => ViewError::Sql { at: Some(at), message: message.to_owned() },
        None => ViewError::Sql { at: None, message: text },
    }
}

/// The one `SELECT` of a query that has nothing else.
fn select(query: Query) -> Result<Select, ViewError> {
    let span = query.span();
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    if let Some(with) = with {
        return Err(not_allowed(with.span(), "WITH"));
    }
    if let Some(order) = order_by {
        return Err(not_allowed(order.span(), "ORDER BY"));
    }
    if let Some(limit) = limit_clause {
        return Err(not_allowed(limit.span(), "LIMIT"));
    }
    let other = fetch.is_some()
        || !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty();
    if other {
        return Err(not_allowed(span, "a clause after WHERE"));
    }
    match *body {
        SetExpr::Select(select) => plain(*select),
        SetExpr::SetOperation { op, right, .. } => Err(not_allowed(right.span(), op.to_string())),
        other => Err(not_allowed(other.span(), "anything but one SELECT statement")),
    }
}

/// Refuses every clause but the list, FROM and WHERE. Names all fields, so that a new clause of the parser is not missed.
fn plain(select: Select) -> Result<Select, ViewError> {
    let span = select.span();
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = &select;
    let grouped = !matches!(group_by, GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    for (found, what) in [
        (distinct.is_some(), "DISTINCT"),
        (select_modifiers.is_some(), "a modifier of SELECT"),
        (top.is_some(), "TOP"),
        (exclude.is_some(), "EXCLUDE"),
        (into.is_some(), "INTO"),
        (!lateral_views.is_empty(), "LATERAL VIEW"),
        (prewhere.is_some(), "PREWHERE"),
        (!connect_by.is_empty(), "CONNECT BY"),
        (grouped, "GROUP BY"),
        (!cluster_by.is_empty(), "CLUSTER BY"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!sort_by.is_empty(), "SORT BY"),
        (having.is_some(), "HAVING"),
        (!named_window.is_empty(), "WINDOW"),
        (qualify.is_some(), "QUALIFY"),
        (value_table_mode.is_some(), "SELECT AS"),
        (*flavor != SelectFlavor::Standard, "FROM before SELECT"),
    ] {
        if found {
            return Err(not_allowed(span, what));
        }
    }
    Ok(select)
}

/// The name by which the expressions may call the table.
fn table(select: &Select) -> Result<String, ViewError> {
    let [from] = select.from.as_slice() else {
        let span = select.from.get(1).map_or_else(|| select.span(), Spanned::span);
        return Err(not_allowed(span, if select.from.is_empty() { "a SELECT without FROM" } else { "a second table" }));
    };
    if let Some(join) = from.joins.first() {
        return Err(not_allowed(join.span(), "a join"));
    }
    let span = from.relation.span();
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = &from.relation
    else {
        return Err(not_allowed(span, "anything but the table `dataset` after FROM"));
    };
    let plain = args.is_none()
        && with_hints.is_empty()
        && version.is_none()
        && !with_ordinality
        && partitions.is_empty()
        && json_path.is_none()
        && sample.is_none()
        && index_hints.is_empty()
        && alias.as_ref().is_none_or(|a| a.columns.is_empty() && a.at.is_none());
    let is_dataset = single(name).is_some_and(|n| n.value.eq_ignore_ascii_case(TABLE));
    if !plain || !is_dataset {
        return Err(not_allowed(span, format!("`{}` (the only table is `{TABLE}`)", from.relation)));
    }
    Ok(alias.as_ref().map_or_else(|| TABLE.to_owned(), |a| a.name.value.clone()))
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

fn output(item: SelectItem, resolver: &mut Resolver<'_>) -> Result<Output, ViewError> {
    let span = item.span();
    match item {
        SelectItem::Wildcard(options) => all(&options, span),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
            if single(&name).is_some_and(|n| n.value.eq_ignore_ascii_case(&resolver.table)) =>
        {
            all(&options, span)
        }
        SelectItem::ExprWithAlias { expr, alias } => Ok(Output::Named(alias.value, Box::new(resolver.resolve(expr)?))),
        SelectItem::UnnamedExpr(expr) => match resolver.resolve(expr)? {
            Expr::Identifier(column) => Ok(Output::Named(column.value.clone(), Box::new(Expr::Identifier(column)))),
            _ => Err(ViewError::Sql {
                at: position(span),
                message: "an expression needs a name: write `… AS name`".to_owned(),
            }),
        },
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) => {
            Err(not_allowed(span, "this item of the list"))
        }
    }
}

fn all(options: &WildcardAdditionalOptions, span: Span) -> Result<Output, ViewError> {
    let plain = WildcardAdditionalOptions { wildcard_token: options.wildcard_token.clone(), ..Default::default() };
    if *options == plain { Ok(Output::All) } else { Err(not_allowed(span, "`*` with options")) }
}

/// Resolves the names of columns and checks functions; refuses what looks beyond the row.
struct Resolver<'a> {
    schema: &'a Schema,
    table: String,
}

impl Resolver<'_> {
    fn resolve(&mut self, mut expr: Expr) -> Result<Expr, ViewError> {
        match VisitMut::visit(&mut expr, self) {
            ControlFlow::Continue(()) => Ok(expr),
            ControlFlow::Break(e) => Err(e),
        }
    }

    /// Writes a column's name as the dataset has it.
    fn column(&self, ident: &mut Ident) -> Result<(), ViewError> {
        let at = position(ident.span).unwrap_or(Position { line: 1, column: 1 });
        let names = names(self.schema);
        if ident.quote_style.is_some() {
            // Quoted: exactly this one.
            if names.clone().all(|n| n != ident.value) {
                let nearest = super::columns::nearest(names, &ident.value);
                let column = ident.value.clone();
                return Err(ViewError::MissingColumn { column, named_in: Use::Sql(at), nearest });
            }
        } else {
            find(names, &ident.value, || Use::Sql(at))?.clone_into(&mut ident.value);
        }
        ident.quote_style = Some('"');
        Ok(())
    }

    fn expr(&self, expr: &mut Expr) -> Result<(), ViewError> {
        match expr {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => {
                let of_table = parts.first().is_some_and(|p| p.value.eq_ignore_ascii_case(&self.table));
                if of_table && parts.len() > 1 {
                    parts.remove(0);
                }
                if let Some(column) = parts.first_mut() {
                    self.column(column)?;
                }
                if let [column] = parts.as_slice() {
                    *expr = Expr::Identifier(column.clone());
                }
                Ok(())
            }
            Expr::Function(function) => check_function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Err(not_allowed(expr.span(), "a subquery"))
            }
            Expr::Lambda(_) => Err(not_allowed(expr.span(), "a lambda function")),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => Err(not_allowed(expr.span(), "`*` in an expression")),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => Err(not_allowed(expr.span(), "grouping")),
            _ => Ok(()),
        }
    }
}

fn check_function(function: &Function) -> Result<(), ViewError> {
    let span = function.name.span();
    let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } = function;
    let Some(name) = single(name) else {
        return Err(ViewError::UnknownFunction { function: name.to_string(), at: position(span), nearest: None });
    };
    if over.is_some() {
        return Err(not_allowed(span, "a window function"));
    }
    functions::check(&name.value, position(span))?;
    let ordered = matches!(args, FunctionArguments::List(list)
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty());
    let plain = matches!(parameters, FunctionArguments::None)
        && filter.is_none()
        && null_treatment.is_none()
        && within_group.is_empty();
    if ordered || !plain {
        return Err(not_allowed(span, "a function with clauses"));
    }
    Ok(())
}

impl VisitorMut for Resolver<'_> {
    type Break = ViewError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<ViewError> {
        ControlFlow::Break(not_allowed(query.span(), "a subquery"))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<ViewError> {
        match self.expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<ViewError> {
        match &value.value {
            Value::Placeholder(_) => ControlFlow::Break(not_allowed(value.span, "a parameter")),
            _ => ControlFlow::Continue(()),
        }
    }
}
