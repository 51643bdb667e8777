//! What a sync's settings must have beyond their shape. All of it can be told offline, from the sync alone.

use driftless_model::RecordKey;
use driftless_normalize::{Normalize, Recipe};

use super::{FieldMapping, FirstSync, Mode, OnChange, RECORD_KEY, Schedule, Selection, Strategy, Sync};
use crate::{
    problem::Finding,
    value::{HumanDuration, Share},
};

const MINUTE: HumanDuration = HumanDuration::from_secs(60);
const DAY: HumanDuration = HumanDuration::from_secs(86_400);
/// Messages of a run live no longer in SQS (message retention, at most 14 days).
const LONGEST_RUN: HumanDuration = HumanDuration::from_secs(14 * 86_400);

/// Steps that leave nothing sensible when both are applied.
const CONTRADICTIONS: [(Normalize, Normalize); 5] = [
    (Normalize::Lowercase, Normalize::Uppercase),
    (Normalize::Email, Normalize::Uppercase),
    (Normalize::Email, Normalize::Digits),
    (Normalize::Email, Normalize::Phone),
    (Normalize::Phone, Normalize::Digits),
];

impl Sync {
    /// All that is wrong, in the order of the settings.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        self.check_selection(&mut found);
        self.check_mapping(&mut found);
        self.check_policies(&mut found);
        self.check_guards(&mut found);
        self.check_times(&mut found);
        found
    }

    fn check_selection(&self, found: &mut Vec<Finding>) {
        if self.key.columns().iter().any(|c| c.trim().is_empty()) {
            found.push(Finding::new("key", "the key has a column without a name", "name the column"));
        }
        if self.prefer.as_ref().is_some_and(|p| p.column.trim().is_empty()) {
            found.push(Finding::new("prefer.column", "the column has no name", "name the column"));
        }
        if self.key.is_content() {
            self.check_content_key(found);
        }
        match &self.selection {
            Selection::Sql(sql) if sql.trim().is_empty() => {
                found.push(Finding::new(
                    "selection.sql",
                    "the statement is empty",
                    "write SELECT … FROM dataset WHERE …",
                ));
            }
            Selection::Where(condition) if condition.trim().is_empty() => {
                found.push(Finding::new(
                    "selection.where",
                    "the condition is empty",
                    "write an SQL condition, or leave `selection` out to take every record",
                ));
            }
            Selection::Ids(ids) if ids.is_empty() => {
                found.push(Finding::new(
                    "selection.ids",
                    "the list of ids is empty, so nobody would be selected",
                    "write the ids, or leave `selection` out to take every record",
                ));
            }
            Selection::Ids(_) if self.key.is_content() => {
                found.push(Finding::new(
                    "selection.ids",
                    "without a key rows have no ids",
                    "write `where`, or name the key",
                ));
            }
            Selection::Ids(ids) => {
                let columns = self.key.columns().len();
                let odd = ids.iter().filter(|id| parts(id, columns) != columns).count();
                if odd > 0 {
                    found.push(Finding::new(
                        "selection.ids",
                        format!("{odd} of {} ids have not one value for each of the {columns} key columns", ids.len()),
                        "write each id as a list with the values of the key columns, in their order",
                    ));
                }
            }
            Selection::Everything | Selection::Sql(_) | Selection::Where(_) => {}
        }
    }

    /// Where the content of a row is its key.
    fn check_content_key(&self, found: &mut Vec<Finding>) {
        if self.prefer.is_some() {
            found.push(Finding::new(
                "prefer",
                "without a key no two rows are one record, so there is nothing to prefer",
                "leave `prefer` out, or name the key",
            ));
        }
        if self.mode == Mode::UpdateOnly {
            found.push(Finding::new(
                "mode",
                "without a key a row that changes is another record, so there is nothing to update",
                "write another mode, or name the key",
            ));
        }
        for field in self.mapping.fields().iter().filter(|f| f.column == RECORD_KEY) {
            if !field.normalize.is_empty() || field.hash.is_some() || field.max_length.is_some() {
                found.push(Finding::new(
                    format!("mapping.{}", field.field),
                    "`$key` is sent as it is",
                    "leave `normalize`, `hash` and `max_length` out",
                ));
            }
        }
        if self.mapping.fields().iter().all(|f| f.column == RECORD_KEY) {
            found.push(Finding::new(
                "mapping",
                "`$key` is made of the other fields, and there are none",
                "map a column",
            ));
        }
    }

    fn check_mapping(&self, found: &mut Vec<Finding>) {
        let fields = self.mapping.fields();
        if fields.is_empty() {
            found.push(Finding::new(
                "mapping",
                "no field is mapped",
                "map at least the field that identifies a record",
            ));
            return;
        }
        for pair in fields.windows(2) {
            if pair[0].field == pair[1].field {
                let at = format!("mapping.{}", pair[0].field);
                found.push(Finding::new(at, "this field is mapped twice", "keep one of them"));
            }
        }
        for field in fields {
            check_field(field, found);
        }
        if self.mapping.identifiers().next().is_none() {
            let columns = if self.key.is_content() { RECORD_KEY.to_owned() } else { self.key.columns().join("`, `") };
            found.push(Finding::new(
                "mapping",
                "no field is an identifier, and no field carries the key column alone",
                format!(
                    "set `identifier: true` on each field by which the destination matches records, or map a field to `{columns}`"
                ),
            ));
        }
    }

    fn check_policies(&self, found: &mut Vec<Finding>) {
        if self.strategy == Strategy::Compare {
            found.push(Finding::new(
                "strategy",
                format!("the strategy `{}` is not available yet", self.strategy.as_str()),
                "write auto, delta, full_then_remove, replace or new_list",
            ));
        }
        if self.mode != Mode::Mirror && matches!(self.strategy, Strategy::Replace | Strategy::NewList) {
            found.push(Finding::new(
                "strategy",
                format!(
                    "`{}` leaves nobody in the list who is not selected, and the mode `{}` does not",
                    self.strategy.as_str(),
                    self.mode.as_str()
                ),
                "write mode: mirror, or another strategy",
            ));
        }
        if self.mode == Mode::RemoveOnly && self.strategy == Strategy::FullThenRemove {
            found.push(Finding::new(
                "strategy",
                "the mode `remove_only` never sends the list that `full_then_remove` would send",
                "write strategy: delta, or leave it out",
            ));
        }
        if self.first_sync == FirstSync::Adopt {
            found.push(Finding::new(
                "first_sync",
                "`adopt` is not available yet",
                "write ignore to leave the members that the list has alone, or refuse to stop when there are any",
            ));
        }
        if self.list.as_ref().is_some_and(|list| list.trim().is_empty()) {
            found.push(Finding::new("list", "the list has no name", "name the list, or leave `list` out"));
        }
        if !(1..=100).contains(&self.attempt_limit) {
            found.push(Finding::new(
                "attempt_limit",
                format!("{} attempts are out of range", self.attempt_limit),
                "write a number from 1 to 100",
            ));
        }
        if self.success_threshold == Share::percent(0) {
            found.push(Finding::new(
                "success_threshold",
                "at 0% a run that delivers nothing would be a success",
                "write the share of records that must be delivered, for example 95%",
            ));
        }
    }

    fn check_guards(&self, found: &mut Vec<Finding>) {
        if self.guards.allow_empty && self.guards.min_rows.is_some_and(|rows| rows > 0) {
            found.push(Finding::new(
                "guards.allow_empty",
                "a snapshot cannot be empty and have `min_rows`",
                "keep one of `allow_empty` and `min_rows`",
            ));
        }
    }

    fn check_times(&self, found: &mut Vec<Finding>) {
        if self.horizon.is_some_and(HumanDuration::is_zero) {
            found.push(Finding::new(
                "horizon",
                "with a horizon of no time every change would be held",
                "write how old a change may be when it is sent, for example 30d, or leave `horizon` out",
            ));
        }
        if self.deadline < MINUTE || self.deadline > LONGEST_RUN {
            found.push(Finding::new(
                "deadline",
                format!("a deadline of {} is out of range", self.deadline),
                format!("write 1m to {LONGEST_RUN}; the default is {DAY}"),
            ));
        }
        if let Schedule::OnChange(OnChange { min_changes, max_wait }) = self.schedule {
            if min_changes == 0 {
                found.push(Finding::new(
                    "schedule.on_change.min_changes",
                    "without any change there is nothing to run for",
                    "write 1 or more",
                ));
            }
            if max_wait < MINUTE {
                found.push(Finding::new(
                    "schedule.on_change.max_wait",
                    format!("a wait of {max_wait} is shorter than the planner can keep"),
                    "write 1m or more",
                ));
            }
        }
    }
}

/// How many values an id has: of a key with several columns, the elements of its JSON array of texts.
fn parts(id: &RecordKey, columns: usize) -> usize {
    if columns == 1 {
        return 1;
    }
    serde_json::from_str::<Vec<String>>(id.as_str()).map_or(0, |parts| parts.len())
}

fn check_field(field: &FieldMapping, found: &mut Vec<Finding>) {
    let at = |key: &str| format!("mapping.{}{key}", field.field);
    if field.field.trim().is_empty() {
        found.push(Finding::new("mapping", "a field has no name", "name the field of the destination"));
    }
    if field.column.trim().is_empty() {
        found.push(Finding::new(at(".column"), "the column has no name", "name the selected column"));
    }
    if field.max_length == Some(0) {
        found.push(Finding::new(
            at(".max_length"),
            "no value is that short",
            "write 1 or more, or leave `max_length` out",
        ));
    }
    for (i, step) in field.normalize.iter().enumerate() {
        let before = &field.normalize[..i];
        if before.contains(step) {
            found.push(Finding::new(at(".normalize"), "a step stands there twice", "keep one of them"));
        }
        let contradicts =
            |a: &Normalize| CONTRADICTIONS.contains(&(*a, *step)) || CONTRADICTIONS.contains(&(*step, *a));
        if before.iter().any(contradicts) {
            found.push(Finding::new(at(".normalize"), "the steps contradict each other", "keep the one that is meant"));
        }
    }
    check_recipe(field, found);
}

/// A recipe is what a vendor says, whole: nothing before or after it, and a hash that the vendor takes.
fn check_recipe(field: &FieldMapping, found: &mut Vec<Finding>) {
    let at = |key: &str| format!("mapping.{}{key}", field.field);
    let recipe = field.rule().recipe();
    if let Some(recipe) = recipe.filter(|_| field.normalize.len() > 1) {
        let what = format!("`{recipe}` is a recipe, and stands alone");
        found.push(Finding::new(at(".normalize"), what, "keep the recipe, and do the rest in the selection"));
    }
    if field.region.is_some() && !recipe.is_some_and(Recipe::reads_region) {
        found.push(Finding::new(
            at(".region"),
            "only recipes for telephone numbers read numbers of a region",
            "leave `region` out, or write a recipe such as normalize: plain.phone@1",
        ));
    }
    let (Some(recipe), Some(hash)) = (recipe, field.hash) else { return };
    let hashes = recipe.spec().hashes;
    if !hashes.contains(&hash) {
        let takes: Vec<&str> = hashes.iter().map(|hash| hash.name()).collect();
        let (what, remedy) = match takes.as_slice() {
            [] => ("the value itself".to_owned(), "leave `hash` out".to_owned()),
            takes => (takes.join(" or "), format!("leave `hash` out for {}", takes[0])),
        };
        found.push(Finding::new(at(".hash"), format!("with `{recipe}` the vendor takes {what}"), remedy));
    }
}
