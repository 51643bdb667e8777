//! What every store must do: the conditions of `protocol.md` §1 and the rules of §2 that are kept at a write.
//!
//! Each function takes an empty part of a table: it works on a sync of its own name, so all may run on one table. No function
//! needs a clock; times are given. [`model::agrees`] compares the store with the one in memory on random histories.

#![allow(clippy::missing_panics_doc)] // a failed expectation is what the suite is for

mod call;
mod compact;
pub(crate) mod example;
mod fold;
mod head;
mod hold;
mod lists;
mod log;
pub mod model;
mod run;
mod small;
pub mod units;
mod usage;

use crate::Deltalog;
use crate::head::Swap;

pub use call::*;
pub use compact::*;
pub use fold::*;
pub use head::*;
pub use hold::*;
pub use lists::*;
pub use log::*;
pub use run::*;
pub use small::*;
pub use usage::*;

#[track_caller]
fn done(swap: crate::Result<Swap>) {
    assert_eq!(swap.expect("the store answers"), Swap::Done);
}

#[track_caller]
fn lost(swap: crate::Result<Swap>) {
    assert_eq!(swap.expect("the store answers"), Swap::Lost);
}

/// Everything in this module, one after the other.
pub async fn all(store: &dyn Deltalog) {
    a_head_is_created_once_per_incarnation(store).await;
    rule_1_of_two_writers_of_a_version_one_wins(store).await;
    rule_1_an_append_is_refused_on_anything_that_moved(store).await;
    rule_2_the_order_of_an_unchanged_snapshot_is_written(store).await;
    rule_8_activation_is_refused_on_anything_that_moved(store).await;
    rule_13_an_erasure_is_a_version_and_a_tombstone_or_neither(store).await;
    rule_15_a_tick_makes_one_run(store).await;
    a_run_is_given_up_only_while_it_is_active(store).await;
    what_needs_attention_belongs_to_one_incarnation(store).await;

    a_commit_needs_its_run_and_its_stamp(store).await;
    a_fold_commits_and_retires_in_one_write(store).await;
    a_fold_of_committed_runs_waits_for_the_active_one(store).await;
    rule_7_a_fold_leaves_holds_and_later_versions_alone(store).await;
    a_long_chain_folds_and_is_cleared(store).await;

    versions_are_merged_into_the_last_of_them(store).await;
    rule_11_a_compaction_is_refused_on_anything_that_moved(store).await;
    rule_7_a_compaction_leaves_holds_alone(store).await;
    a_bulk_version_takes_in_what_it_flushed(store).await;
    a_fold_takes_a_merged_version_with_its_number(store).await;
    as_many_versions_are_merged_as_a_condition_can_name(store).await;

    a_new_list_takes_its_place_with_the_commit(store).await;
    an_old_list_is_forgotten_once_it_is_retired(store).await;
    lists_outlive_an_incarnation(store).await;

    rule_7_a_hold_is_placed_once_and_keeps_its_approval(store).await;
    an_approval_is_a_ceiling(store).await;
    a_hold_is_dropped_by_its_object(store).await;

    rule_1_items_are_read_under_their_own_token(store).await;
    rule_12_readers_count(store).await;
    items_are_stamped_and_not_brought_back(store).await;
    a_large_version_is_read_whole_however_it_was_written(store).await;
    attempts_are_found_until_they_are_forgotten(store).await;

    a_run_changes_state_only_from_the_states_named(store).await;
    runs_are_listed_newest_first(store).await;
    a_rejection_is_counted_once_a_run(store).await;
    rejects_are_released_by_state_by_record_or_all(store).await;

    rule_3_a_claim_over_an_expired_one_is_maybe(store).await;
    rule_3_maybe_is_never_taken_back(store).await;
    a_job_is_kept_before_anything_else_happens(store).await;
    rule_16_one_worker_holds_a_call(store).await;
    an_outcome_is_written_once_by_the_claimer(store).await;
    calls_are_created_once_and_listed_by_number(store).await;
    open_calls_are_seen_up_to_a_phase(store).await;

    a_sync_is_registered_by_revision(store).await;
    destinations_are_registered_by_name(store).await;
    version_records_are_listed_newest_first(store).await;
    refused_input_is_kept_by_subject(store).await;
    a_shared_token_changes_hands_one_at_a_time(store).await;
    slots_of_a_rate_budget_are_leased_under_its_terms(store).await;
    terms_of_a_rate_budget_change_from_what_was_read(store).await;
    slots_leased_at_the_same_time_differ(store).await;

    usage_travels_with_the_next_write_of_the_head(store).await;
    a_charge_is_for_one_write(store).await;
    a_new_month_closes_the_one_before(store).await;
}
