//! The list of all cases, as tests.

/// Runs the suite on the brokers that the function `$rig` sets up, if `$there` says that what they need is there.
#[macro_export]
macro_rules! broker {
    ($rig:ident) => {
        $crate::broker! { @ $rig, $crate::broker::always }
    };
    ($rig:ident if $there:ident) => {
        $crate::broker! { @ $rig, super::$there }
    };
    (@ $rig:ident, $there:path) => {
        $crate::broker_cases! { $rig, $there;
            ensure {
                a_queue_may_be_declared_again_with_equal_settings
                a_queue_that_differs_is_a_conflict_that_names_the_setting_and_both_sides
                settings_out_of_range_are_refused
                a_setting_that_the_broker_does_not_keep_is_refused_by_its_name
            }
            publish {
                a_message_comes_back_as_it_was_published
                ids_come_back_in_the_order_of_the_batch
                an_empty_batch_publishes_nothing
                publishing_to_a_queue_that_is_not_there_is_not_found
                a_message_of_20_mebibytes_comes_back_equal
                a_message_over_its_limit_is_refused_and_nothing_of_its_batch_is_taken
                a_full_queue_refuses_the_whole_batch
                delayed_messages_count_and_held_ones_do_not
                a_settled_message_makes_room
                drop_head_drops_the_oldest_ready_message
                what_comes_back_is_dropped_where_there_are_enough_without_it
                a_batch_beyond_the_bytes_of_a_queue_is_refused
                the_bytes_of_what_is_held_do_not_count
                drop_head_drops_the_oldest_until_the_bytes_are_few_enough
            }
            deliver {
                a_delivery_says_what_it_is
                a_held_message_is_not_delivered_to_others
                the_receivers_hold_goes_before_the_queues
                no_more_is_delivered_than_was_asked_for
                an_empty_queue_gives_nothing_at_once
                receiving_from_a_queue_that_is_not_there_is_not_found
                a_held_delivery_can_be_looked_up
                an_extended_hold_ends_later
                what_is_not_held_cannot_be_extended
                messages_are_delivered_in_the_order_of_publishing
                a_returned_message_comes_back_to_its_place
                a_retried_message_comes_back_to_its_place
                dead_letters_come_in_the_order_in_which_they_were_given_up
            }
            settle {
                what_is_done_does_not_come_back
                settling_twice_says_that_it_is_not_held
                a_returned_message_is_ready_at_once_and_the_attempt_does_not_count
                a_message_that_was_seen_is_ready_at_once_in_its_place_and_the_attempt_counts
                a_late_ack_does_not_settle_anothers_delivery
                a_delivery_is_settled_only_in_its_own_queue
                a_retried_message_comes_back_at_its_time_with_its_attempts_counted
                a_retry_in_the_past_is_ready_at_once
            }
            expired {
                a_hold_that_ran_out_is_offered_and_still_held
                what_nobody_settles_is_offered_again
                an_acked_delivery_is_never_offered
                a_late_ack_still_counts_until_the_end_is_settled
                what_was_offered_cannot_be_extended
                a_close_ends_the_wait_for_ended_holds
            }
            delay {
                a_delayed_message_is_not_delivered_before_its_time
                a_delayed_message_does_not_hold_up_others
                a_message_due_in_the_past_is_ready_at_once
            }
            expiry {
                a_message_past_its_time_to_live_is_not_delivered
                without_a_dead_letter_queue_it_is_gone
                with_a_dead_letter_queue_it_goes_there_and_expires_no_more
                a_delayed_message_can_expire_before_its_time
                a_queues_time_to_live_ends_what_has_none_of_its_own
                a_queues_time_to_live_begins_when_a_dead_letter_comes
                a_queues_time_to_live_survives_a_restart
            }
            dead_letter {
                a_dead_letter_goes_to_the_queue_that_is_named
                without_a_name_it_is_parked
                the_destination_is_declared_on_demand
                it_brings_its_history_and_begins_its_attempts_afresh
                a_second_departure_counts_on_in_the_history
                a_destination_at_its_length_takes_it_all_the_same
                a_parked_message_that_fails_again_stays_parked
                an_exchange_brings_it_to_the_queue_of_its_key
                what_an_exchange_brings_to_no_queue_is_parked
                what_is_refused_goes_through_the_exchange_where_that_is_asked_for
            }
            priority {
                a_greater_priority_goes_first_and_equal_ones_as_they_came
                above_the_greatest_priority_none_are_told_apart
                without_priorities_the_order_is_that_of_arrival
                a_returned_message_goes_back_to_its_place_in_its_class
                priorities_survive_a_restart
            }
            order {
                of_one_key_only_one_is_held_at_a_time
                messages_without_a_key_are_never_held_back
                a_retry_keeps_its_place_before_the_others_of_its_key
                a_hold_that_runs_out_lets_no_other_of_its_key_pass
                a_dead_letter_makes_way_for_the_next_of_its_key
                what_its_publisher_delays_lets_others_of_its_key_pass
                an_end_wakes_who_waits_for_the_next_of_its_key
                the_order_of_a_key_survives_a_restart
            }
            dedup {
                a_message_is_taken_once_within_the_window
                messages_without_a_dedup_id_are_all_taken
                without_a_window_all_are_taken
                within_one_batch_the_first_is_taken
                what_was_taken_before_does_not_count_for_the_length
                a_refused_message_may_be_published_again
                a_settled_message_is_not_taken_again
                each_queue_remembers_its_own
                a_purge_forgets_no_dedup_id_and_a_deletion_all
                a_dead_letter_is_a_dead_letter_whatever_its_dedup_id
                what_was_taken_is_remembered_over_a_crash
            }
            pause {
                a_paused_queue_takes_messages_and_hands_none_out
                what_is_held_when_a_queue_is_paused_can_be_settled
                resuming_wakes_all_who_wait
                a_pause_survives_a_crash_and_so_does_its_end
                pausing_a_queue_that_is_not_there_is_not_found
            }
            find {
                a_message_is_found_wherever_in_the_queue_it_is
                finding_a_message_takes_nothing_and_a_finished_one_is_not_there
                among_several_with_one_id_the_oldest_is_found
                a_message_is_found_after_a_crash
                finding_in_a_queue_that_is_not_there_is_not_found
            }
            wait {
                a_receive_waits_for_a_message
                a_receive_gives_up_at_its_time
                a_returned_message_wakes_a_receiver
                a_delayed_message_wakes_a_receiver
                a_dead_letter_wakes_a_receiver
                receivers_are_served_in_turn
                one_message_more_than_the_first_receiver_takes_wakes_the_second
                a_dropped_receive_takes_nothing_and_passes_its_turn_on
                a_receive_that_is_dropped_half_way_takes_nothing
                a_close_ends_the_wait
                a_closed_broker_is_told_apart_from_one_that_cannot_be_reached
                deleting_the_queue_ends_the_wait
            }
            restart {
                what_was_confirmed_survives
                what_was_settled_does_not_come_back
                order_and_attempts_survive
                a_hold_survives_and_an_ack_after_the_restart_counts
                a_delay_survives
                a_dead_letter_survives_with_its_history
                settings_survive
                messages_purged_and_queues_deleted_do_not_come_back
                a_redriven_message_is_in_one_place_only
            }
            newest {
                a_newer_message_replaces_the_one_that_waits_with_its_key
                a_delayed_message_is_replaced_and_replaces
                messages_without_a_key_are_left_alone
                a_held_message_is_left_alone_and_gives_way_when_it_comes_back
                a_held_message_that_comes_back_to_no_newer_one_stays_and_is_replaced_later
                of_a_batch_the_last_message_with_a_key_stays
                a_queue_at_its_length_takes_what_replaces
                what_was_replaced_does_not_come_back_after_a_restart
                a_dead_letter_stays_where_a_newer_message_is
            }
            retain {
                what_is_finished_can_be_read_again_with_all_the_rest_in_order
                a_replay_goes_on_from_a_position
                a_replay_begins_at_a_time
                retained_messages_are_forgotten_when_their_time_is_over
                retained_messages_leave_the_queues_length_alone
                only_what_was_done_is_retained
                retained_messages_survive_and_are_not_delivered_again
                a_queue_that_retains_nothing_cannot_be_replayed
            }
            admin {
                a_look_takes_nothing
                a_purge_leaves_what_is_held
                a_deleted_queue_is_gone_and_can_be_declared_anew
                a_queues_depth_and_counts_are_told
                a_redriven_message_returns_with_fresh_attempts
                a_redrive_leaves_what_has_nowhere_to_go
                a_redrive_leaves_what_there_is_no_room_for
                a_redrive_moves_no_more_than_asked_for
                administration_of_a_queue_that_is_not_there_is_not_found
            }
        }
    };
}

/// Makes the tests of [`broker!`](crate::broker).
#[doc(hidden)]
#[macro_export]
macro_rules! broker_cases {
    ($rig:ident, $there:path; $($subject:ident { $($case:ident)* })*) => {
        $(
            mod $subject {
                $(
                    #[test]
                    fn $case() {
                        if $there() {
                            $crate::broker::subjects::$subject::$case(&mut super::$rig());
                        }
                    }
                )*
            }
        )*
    };
}
