//! The contract of the port `LocalStore`, by subject. `forebay_contract::store!(make)` runs every case against the store that
//! `make(budget)` returns.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case is a test: it fails by panicking"
)]

pub mod ask;
pub mod budget;
pub mod concurrency;
pub mod count;
pub mod delete;
pub mod expire;
pub mod flush;
pub mod get;
pub mod lease;
pub mod linear;
pub mod model;
pub mod version;
pub mod write;

pub use version::{condition, named};

/// One test for every case of the suite. `$make` is a function or closure `Fn(usize) -> Arc<dyn LocalStore>`.
#[macro_export]
macro_rules! store {
    ($make:expr) => {
        $crate::store_cases! { $make;
            get: a_missing_key_is_a_miss
                a_value_reads_back_with_its_flags_and_end
                every_length_and_byte_of_keys_and_values_is_kept
                keys_and_values_with_the_same_bytes_together_are_told_apart
                a_touch_sets_a_new_end_and_keeps_the_version
                a_touch_can_take_the_end_away
                a_touch_into_the_past_shows_the_value_once_more
                a_read_leaves_its_marks
                a_read_that_does_not_count_leaves_no_trace
                reads_are_counted;
            write: a_set_replaces_value_flags_and_end
                an_add_stores_only_where_nothing_is
                a_replace_stores_only_where_something_is
                append_and_prepend_keep_flags_and_end
                append_and_prepend_need_a_value
                versions_rise_over_every_change
                a_set_too_large_leaves_no_older_value
                other_writes_too_large_leave_the_value
                an_extension_beyond_the_limit_is_not_stored
                the_largest_value_is_stored
                a_write_clears_the_read_mark;
            condition: a_write_over_the_right_version_is_stored_once
                a_write_over_another_version_is_refused
                a_version_of_an_absent_key_is_not_found
                a_version_from_before_a_deletion_never_matches_again
                an_older_version_can_be_stored_as_stale
                a_stale_write_keeps_the_end_and_the_claim
                no_two_entries_have_the_same_version
                extensions_obey_the_version;
            named: a_named_version_is_shown_and_compared
                a_named_write_voids_the_leases_before_it
                leases_are_good_after_a_named_write
                placeholders_counters_and_stale_entries_may_be_named
                an_entry_can_be_left_without_its_value
                an_entry_without_its_value_can_be_stale
                what_is_emptied_while_somebody_loads_it_is_not_filled
                nothing_is_the_name_of_no_version;
            lease: a_fill_with_its_lease_is_stored
                a_lease_fills_once
                writes_of_other_keys_leave_a_lease_good
                a_write_voids_the_leases_before_it
                a_deletion_voids_the_leases_before_it
                a_deletion_of_nothing_voids_the_leases_before_it
                an_invalidation_voids_the_leases_before_it
                a_flush_voids_the_leases_before_it
                an_expired_newer_value_voids_the_leases_before_it
                an_evicted_newer_value_voids_the_leases_before_it
                a_write_without_life_voids_the_leases_before_it
                a_refused_deletion_leaves_a_lease_good
                a_refused_fill_leaves_the_newer_value
                refused_fills_are_counted
                the_first_reader_wins_the_placeholder_and_others_lose
                a_placeholder_is_filled_over_its_version
                a_deleted_placeholder_is_not_filled
                a_placeholder_counts_as_a_value_for_add_and_replace
                a_placeholder_ends_and_the_next_reader_wins
                an_invalidated_placeholder_has_a_new_winner
                a_value_is_shown_and_not_leased
                a_value_near_its_end_grants_one_refresh
                a_plain_read_is_never_granted_a_lease;
            delete: a_deleted_key_is_absent
                a_deletion_of_nothing_says_so
                a_deletion_of_another_version_is_refused
                a_stale_value_has_one_winner_and_a_new_version
                a_stale_value_keeps_its_end_or_gets_a_new_one
                a_stale_value_marked_again_has_a_new_winner
                a_write_makes_a_stale_value_fresh;
            expire: an_entry_ends_to_the_millisecond
                an_entry_written_without_life_is_absent_at_once
                an_expired_entry_is_absent_for_every_verb
                a_far_end_is_kept_to_the_millisecond
                sweeping_drops_what_has_expired_and_nothing_else
                sweeping_looks_at_a_bounded_number_of_entries
                an_expired_entry_is_counted_once;
            count: numbers_go_up_and_down
                up_wraps_and_down_stops_at_zero
                a_shorter_number_keeps_the_length_of_the_text
                a_longer_number_makes_the_text_longer
                what_is_no_number_is_refused_and_stays
                a_counter_can_be_created
                a_counter_keeps_flags_and_end_unless_touched
                a_counter_obeys_the_version
                a_stale_number_stays_stale;
            flush: a_flush_takes_everything_written_before
                what_is_written_after_a_flush_stays
                a_delayed_flush_takes_what_is_written_until_then
                a_later_flush_replaces_one_that_is_not_due
                a_later_flush_does_not_undo_one_that_was_due
                flushed_entries_are_not_counted_from_the_flush_on
                flushed_entries_are_swept;
            budget: ten_times_the_budget_stays_within_it
                values_of_all_sizes_stay_within_the_budget
                growing_values_stay_within_the_budget
                small_entries_make_way_for_large_ones
                a_full_store_forgets_and_never_lies
                what_was_just_written_is_there
                what_is_read_often_outlives_what_is_not
                evictions_are_counted
                what_was_overwritten_takes_no_room
                bytes_return_when_entries_go;
            concurrency: counters_lose_no_increment
                an_add_has_one_winner
                a_version_has_one_winner
                a_placeholder_has_one_winner
                a_fill_never_overwrites_a_newer_invalidation
                readers_see_whole_values;
            linear: concurrent_histories_have_an_order_that_explains_every_answer
                concurrent_histories_with_evictions_forget_and_never_go_back;
            model: any_history_is_answered_as_the_model_answers;
        }
    };
}

/// The list behind [`store!`](crate::store!), taken apart.
#[doc(hidden)]
#[macro_export]
macro_rules! store_cases {
    ($make:expr; $($subject:ident: $($case:ident)*;)*) => {
        $($(
            #[test]
            fn $case() {
                $crate::store::$subject::$case(&$make);
            }
        )*)*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_list() {
        let list = include_str!("store.rs");
        let listed: Vec<&str> = list.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
        let subjects = [
            include_str!("store/get.rs"),
            include_str!("store/write.rs"),
            include_str!("store/version/condition.rs"),
            include_str!("store/version/named.rs"),
            include_str!("store/lease.rs"),
            include_str!("store/delete.rs"),
            include_str!("store/expire.rs"),
            include_str!("store/count.rs"),
            include_str!("store/flush.rs"),
            include_str!("store/budget.rs"),
            include_str!("store/concurrency.rs"),
            include_str!("store/linear/cases.rs"),
            include_str!("store/model.rs"),
        ];
        let cases =
            subjects.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("pub fn "));
        let mut count = 0;
        for case in cases.filter_map(|line| line.split('(').next()) {
            assert!(listed.contains(&case), "{case} is never run");
            count += 1;
        }
        assert!(count > 80, "the suite has lost cases: {count}");
    }
}
