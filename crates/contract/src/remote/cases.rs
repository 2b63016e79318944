//! The list of all cases, as tests.

/// Runs the suite on the stores that the function `$rig` sets up.
#[macro_export]
macro_rules! remote {
    ($rig:ident) => {
        $crate::remote_cases! { $rig;
            get {
                a_key_that_is_not_there_is_none
                what_was_put_is_read_as_it_was
                another_process_reads_what_was_put
                many_keys_are_answered_in_their_order
                no_keys_have_no_answers
                an_empty_value_is_there
                a_large_value_comes_back_equal
                bytes_of_every_kind_come_back_equal
                keys_of_every_length_and_byte_are_told_apart
                a_key_that_somebody_fills_is_none
                many_at_once_get_each_its_own_answer
            }
            lease {
                a_hit_needs_no_lease
                of_two_readers_one_is_granted_the_lease_and_the_other_is_told_so
                of_many_readers_at_once_one_is_granted_the_lease
                leases_of_different_keys_do_not_disturb_each_other
                a_grant_of_one_key_is_none_of_another
                a_lease_that_runs_out_goes_to_the_next_reader
                a_very_short_lease_is_one_all_the_same
                after_a_removal_the_next_reader_is_granted_the_lease
            }
            fill {
                a_fill_is_read_as_it_was
                a_grant_serves_once
                a_grant_that_was_never_given_is_refused
                a_filled_entry_ends_its_life
                a_filled_entry_outlives_its_lease
                every_change_voids_the_lease_before_it
                who_fills_with_the_same_grant_at_the_same_time_fills_once
                a_touch_of_what_is_being_filled_finds_nothing_and_disturbs_nothing
                a_fill_with_tags_is_refused_where_there_are_none
            }
            fence {
                a_load_and_an_invalidation_in_every_order
                two_loads_and_an_invalidation_in_every_order
                a_load_an_invalidation_and_an_eviction_in_every_order
                after_an_eviction_the_lease_goes_to_another_and_the_older_grant_is_void
                a_restart_between_lease_and_fill_brings_nothing_older_back
                emptying_the_store_between_lease_and_fill_brings_nothing_older_back
                a_pause_between_lease_and_fill_brings_nothing_older_back
                an_invalidation_that_failed_and_was_repeated_counts
            }
            write {
                a_set_replaces_what_is_there
                an_add_is_stored_only_where_nothing_is
                a_replace_is_stored_only_where_something_is
                a_key_without_a_value_has_none_also_while_it_is_leased_or_held
                an_extension_leaves_flags_and_life_alone
                what_is_not_there_is_not_extended
                an_extension_over_a_version_needs_exactly_that_one
                everybodys_extensions_count
                every_change_gives_another_version
                a_write_over_a_version_needs_exactly_that_one
                a_removal_of_a_version_needs_exactly_that_one
                of_many_writes_over_one_version_one_is_done
                of_many_adds_one_is_done
                a_removal_says_whether_there_was_one
                while_a_key_is_held_no_lease_is_granted
                a_held_key_can_be_written
                a_later_removal_without_a_hold_ends_an_earlier_one
            }
            arithmetic {
                a_counter_goes_up_and_down
                up_it_wraps_and_down_it_stops_at_0
                a_counter_that_is_not_there_is_begun_only_where_that_was_asked_for
                what_is_no_number_is_not_counted
                a_placeholder_is_no_counter
                everybodys_additions_count
                counting_leaves_the_life_alone
                a_removed_counter_begins_anew
            }
            life {
                an_entry_ends_with_its_life_and_not_long_before
                very_long_lives_are_lives
                a_life_of_nothing_is_over_at_once
                a_part_of_a_second_is_rounded_up
                a_touch_gives_a_new_life_from_now
                a_touch_leaves_the_rest_as_it_is
                a_touch_says_whether_there_was_something
            }
            negative {
                that_there_is_none_is_told_from_not_knowing
                it_ends_like_any_other_entry
            }
            tags {
                a_tag_takes_all_its_entries_and_no_others
                an_entry_that_is_filled_again_belongs_to_its_new_tags
                after_a_tag_was_removed_its_keys_are_filled_anew
                a_tag_takes_the_leases_of_its_keys_with_it
            }
            locks {
                a_lock_is_taken_once_until_its_time_is_over
                a_fencing_token_only_grows
            }
            failover {
                a_node_that_is_down_costs_its_own_keys_and_is_used_again_when_it_is_back
                a_node_that_stands_still_costs_its_own_keys_and_is_used_again_when_it_is_back
                after_a_restart_everything_works
                many_calls_to_a_node_that_stands_still_all_end_in_time
                a_closed_store_says_so
            }
        }
    };
}

/// Makes the tests of [`remote!`](crate::remote).
#[doc(hidden)]
#[macro_export]
macro_rules! remote_cases {
    ($rig:ident; $($subject:ident { $($case:ident)* })*) => {
        $(
            mod $subject {
                $(
                    #[test]
                    fn $case() {
                        $crate::remote::subjects::$subject::$case(&mut super::$rig());
                    }
                )*
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_list() {
        let listed: Vec<&str> = include_str!("cases.rs").split_whitespace().collect();
        let subjects = [
            include_str!("subjects/arithmetic.rs"),
            include_str!("subjects/failover.rs"),
            include_str!("subjects/fence.rs"),
            include_str!("subjects/fill.rs"),
            include_str!("subjects/get.rs"),
            include_str!("subjects/lease.rs"),
            include_str!("subjects/life.rs"),
            include_str!("subjects/locks.rs"),
            include_str!("subjects/negative.rs"),
            include_str!("subjects/tags.rs"),
            include_str!("subjects/write.rs"),
        ];
        let lines = subjects.iter().flat_map(|text| text.lines());
        let cases: Vec<&str> =
            lines.filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next()).collect();
        assert!(cases.len() > 60, "the suite has lost cases");
        for case in cases {
            assert!(listed.contains(&case), "{case} is never run");
        }
    }
}
