//! The promises that every store keeps, as one body of tests.
//!
//! A back end runs [`store_suite`] in its own tests, or the promises one by one. Each opens a database of its own, of
//! a service named after it, so they may share one [`Stores`] and run at the same time. A promise that is not kept
//! panics, as tests do.

pub mod account;
mod answers;
pub mod full;
mod log;
mod opening;
mod storm;
mod transactions;

pub use answers::{
    a_kept_answer_is_given_again, a_kept_answer_that_cannot_be_read_has_run,
    a_key_with_other_arguments_is_refused, a_second_transaction_of_a_keyed_method_is_refused,
    an_answer_is_kept_only_with_what_it_answers_for,
};
pub use log::{
    a_page_is_in_order_and_within_its_limits, an_epoch_begins_above_every_other_and_remembers_the_forks,
    positions_are_dense_in_each_lane, the_listener_is_told_of_each_commit_in_order,
};
pub use opening::{
    a_closed_store_refuses_and_keeps, a_migration_that_fails_leaves_nothing, a_newer_database_is_refused,
    migrations_never_change, readers_are_registered_from_the_start,
};
pub use storm::sixteen_writers_of_whom_half_fail_leave_a_dense_log;
pub use transactions::{
    a_dropped_transaction_is_whole_or_nothing, a_foreign_topic_is_refused,
    a_nested_part_that_fails_takes_its_events_along, a_panic_undoes_everything,
    a_part_that_fails_hides_no_refused_event, a_read_cannot_write, a_read_sees_one_state,
    a_refusal_changes_nothing, a_transaction_inside_another_is_refused, rows_and_events_commit_together,
    two_statements_in_one_text_are_refused, values_come_back_as_they_were,
    waiting_is_refused_where_nothing_can_wait, what_a_part_sends_is_the_parts,
    what_is_committed_and_who_waits_is_counted, what_is_sent_commits_with_the_rest,
    what_is_too_large_is_refused,
};

use crate::backend::Stores;

/// All promises, one after the other.
pub async fn store_suite(stores: &dyn Stores) {
    rows_and_events_commit_together(stores).await;
    a_refusal_changes_nothing(stores).await;
    what_is_sent_commits_with_the_rest(stores).await;
    what_a_part_sends_is_the_parts(stores).await;
    a_nested_part_that_fails_takes_its_events_along(stores).await;
    a_panic_undoes_everything(stores).await;
    a_dropped_transaction_is_whole_or_nothing(stores).await;
    a_transaction_inside_another_is_refused(stores).await;
    waiting_is_refused_where_nothing_can_wait(stores).await;
    a_read_sees_one_state(stores).await;
    a_read_cannot_write(stores).await;
    what_is_too_large_is_refused(stores).await;
    a_foreign_topic_is_refused(stores).await;
    a_part_that_fails_hides_no_refused_event(stores).await;
    two_statements_in_one_text_are_refused(stores).await;
    values_come_back_as_they_were(stores).await;
    what_is_committed_and_who_waits_is_counted(stores).await;
    a_kept_answer_is_given_again(stores).await;
    a_kept_answer_that_cannot_be_read_has_run(stores).await;
    a_key_with_other_arguments_is_refused(stores).await;
    a_second_transaction_of_a_keyed_method_is_refused(stores).await;
    an_answer_is_kept_only_with_what_it_answers_for(stores).await;
    positions_are_dense_in_each_lane(stores).await;
    a_page_is_in_order_and_within_its_limits(stores).await;
    the_listener_is_told_of_each_commit_in_order(stores).await;
    an_epoch_begins_above_every_other_and_remembers_the_forks(stores).await;
    migrations_never_change(stores).await;
    a_newer_database_is_refused(stores).await;
    a_migration_that_fails_leaves_nothing(stores).await;
    readers_are_registered_from_the_start(stores).await;
    a_closed_store_refuses_and_keeps(stores).await;
    sixteen_writers_of_whom_half_fail_leave_a_dense_log(stores).await;
}
