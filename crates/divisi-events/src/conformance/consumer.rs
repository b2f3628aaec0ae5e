//! What the consumer promises over every store, whatever its source does.
//!
//! The source here is a log in memory whose answers a promise can twist; that real logs answer well is the promise of
//! the feed suite. Each promise opens a database of its own, so they may share one [`Stores`] and run side by side.
//! The clock must not be paused: the suite has deadlines of its own.

mod applying;
mod bench;
mod breaking;
mod entering;
mod faulty;
mod parking;
mod source;
mod troubles;
mod waiting;

use divisi_store::Stores;

pub use applying::{
    a_batch_ends_when_its_time_is_over, a_gap_is_asked_again_and_nothing_behind_it_is_applied,
    a_stop_leaves_nothing_half, every_event_takes_effect_once_in_order_per_key, new_events_name_their_cause,
    progress_is_what_took_effect, repeats_and_shuffles_change_nothing, what_nobody_handles_is_passed_over,
};
pub use breaking::{
    a_cut_anywhere_loses_nothing_and_repeats_nothing, a_store_that_is_down_parks_nothing,
    a_zombie_finds_the_work_done, two_of_one_name_do_no_harm,
};
pub use entering::{
    a_newer_epoch_without_a_loss_changes_nothing, a_restart_remembers_the_list,
    an_older_answer_is_thrown_away, another_database_ends_the_input_in_words,
    siblings_of_one_copy_are_told_apart, two_topics_of_one_source_enter_each_by_itself,
    what_the_source_no_longer_knows_is_named,
};
pub use parking::{
    a_bad_deployment_pauses_instead_of_parking, a_dropped_key_goes_on,
    a_key_that_cannot_be_read_parks_its_lane_alone, a_lane_on_trial_goes_on_at_the_first_success,
    a_poisonous_event_parks_its_key_alone, a_redrive_runs_in_order, every_way_to_fail_ends_as_one_parked_key,
    parking_and_watermark_are_one_transaction, trouble_that_passes_never_makes_a_parked_key_dead,
    what_cannot_be_decoded_is_parked,
};
pub use troubles::{
    a_slow_lane_holds_only_itself, a_source_that_fails_is_asked_again, a_stranger_stops_in_words,
    what_retention_removed_stops_its_lane,
};
pub use waiting::{
    a_cause_that_comes_late_frees_its_key, a_cause_that_never_comes_holds_only_its_key,
    a_key_parked_at_the_very_moment_is_not_forgotten, two_sources_in_any_order_converge,
};

/// Calls a macro with the names of all promises, so that whoever makes a test of each forgets none.
#[macro_export]
macro_rules! consumer_promises {
    ($each:ident) => {
        $each! {
            every_event_takes_effect_once_in_order_per_key,
            a_batch_ends_when_its_time_is_over,
            repeats_and_shuffles_change_nothing,
            a_gap_is_asked_again_and_nothing_behind_it_is_applied,
            what_nobody_handles_is_passed_over,
            progress_is_what_took_effect,
            new_events_name_their_cause,
            a_stop_leaves_nothing_half,
            a_cut_anywhere_loses_nothing_and_repeats_nothing,
            a_store_that_is_down_parks_nothing,
            two_of_one_name_do_no_harm,
            a_zombie_finds_the_work_done,
            a_poisonous_event_parks_its_key_alone,
            every_way_to_fail_ends_as_one_parked_key,
            what_cannot_be_decoded_is_parked,
            a_key_that_cannot_be_read_parks_its_lane_alone,
            parking_and_watermark_are_one_transaction,
            a_redrive_runs_in_order,
            trouble_that_passes_never_makes_a_parked_key_dead,
            a_dropped_key_goes_on,
            a_bad_deployment_pauses_instead_of_parking,
            a_lane_on_trial_goes_on_at_the_first_success,
            a_cause_that_comes_late_frees_its_key,
            a_cause_that_never_comes_holds_only_its_key,
            a_key_parked_at_the_very_moment_is_not_forgotten,
            two_sources_in_any_order_converge,
            a_slow_lane_holds_only_itself,
            a_source_that_fails_is_asked_again,
            a_stranger_stops_in_words,
            what_retention_removed_stops_its_lane,
            a_newer_epoch_without_a_loss_changes_nothing,
            what_the_source_no_longer_knows_is_named,
            siblings_of_one_copy_are_told_apart,
            a_restart_remembers_the_list,
            an_older_answer_is_thrown_away,
            another_database_ends_the_input_in_words,
            two_topics_of_one_source_enter_each_by_itself,
        }
    };
}

/// All promises, one after the other.
pub async fn consumer_suite(stores: &dyn Stores) {
    macro_rules! one_after_the_other {
        ($($name:ident),* $(,)?) => {$( $name(stores).await; )*};
    }
    consumer_promises!(one_after_the_other);
}
