use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};

use super::columns::nearest;
use crate::{Position, ViewError};

static FUNCTIONS: LazyLock<BTreeMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    let functions = datafusion_functions::all_default_functions();
    for f in functions.into_iter().chain(datafusion_functions_nested::all_default_nested_functions()) {
        for alias in f.aliases() {
            all.insert(alias.clone(), Arc::clone(&f));
        }
        all.insert(f.name().to_owned(), f);
    }
    all
});

/// Named only to say what they are: they need more than one row.
const OF_SEVERAL_ROWS: [&str; 24] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
    "stddev",
    "string_agg",
    "sum",
    "var",
];

/// Checks that a selection may call `name`.
pub(super) fn check(name: &str, at: Option<Position>) -> core::result::Result<(), ViewError> {
    let lower = name.to_lowercase();
    match FUNCTIONS.get(&lower) {
        Some(f) if f.signature().volatility != Volatility::Immutable => {
            Err(ViewError::NotDeterministic { function: lower, at })
        }
        Some(_) => Ok(()),
        None if OF_SEVERAL_ROWS.contains(&lower.as_str()) => {
            let what = format!("`{lower}`, which needs more than one row,");
            Err(ViewError::NotAllowed { at, what })
        }
        None => {
            let nearest = nearest(FUNCTIONS.keys().map(String::as_str), &lower);
            Err(ViewError::UnknownFunction { function: name.to_owned(), at, nearest })
        }
    }
}

/// What the planner may use: functions of one row. There are no tables, variables or files.
pub(super) struct Functions {
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Functions {
    pub(super) fn new() -> Self {
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        ];
        Self { planners, options: ConfigOptions::default() }
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("there is no table {name}")
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        FUNCTIONS.get(&name.to_lowercase()).map(Arc::clone)
    }
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<arrow::datatypes::DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        FUNCTIONS.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
