//! Brokers that are broken in the usual ways, each of which the named cases must find.

mod admin;
mod again;
mod broken;
mod fault;
mod ground;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};

use forebay_contract::broker::Rig;
use forebay_contract::broker::subjects::{
    admin as admins, dead_letter, dedup, delay, deliver, ensure, expired, expiry, find, newest, order, pause,
    priority, publish, restart, retain, settle, wait,
};

use crate::fault::Fault;
use crate::ground::Ground;

type Case = fn(&mut dyn Rig);

/// Each fault with the cases that must find it.
const FOUND: &[(Fault, &[Case])] = &[
    (Fault::NoConflict, &[ensure::a_queue_that_differs_is_a_conflict_that_names_the_setting_and_both_sides]),
    (
        Fault::ConflictWithoutName,
        &[ensure::a_queue_that_differs_is_a_conflict_that_names_the_setting_and_both_sides],
    ),
    (Fault::TakesAnySettings, &[ensure::settings_out_of_range_are_refused]),
    (
        Fault::TakesWhatItDoesNotKeep,
        &[ensure::a_setting_that_the_broker_does_not_keep_is_refused_by_its_name],
    ),
    (Fault::RefusesWhatItKeeps, &[ensure::a_setting_that_the_broker_does_not_keep_is_refused_by_its_name]),
    (Fault::DeclaresOnce, &[ensure::a_queue_may_be_declared_again_with_equal_settings]),
    (Fault::ForgetsSettings, &[restart::settings_survive]),
    (
        Fault::ConfirmsBeforeKeeping,
        &[restart::what_was_confirmed_survives, find::a_message_is_found_after_a_crash],
    ),
    (
        Fault::LosesTheLast,
        &[restart::what_was_confirmed_survives, deliver::messages_are_delivered_in_the_order_of_publishing],
    ),
    (
        Fault::PublishesTwice,
        &[publish::ids_come_back_in_the_order_of_the_batch, restart::what_was_confirmed_survives],
    ),
    (Fault::SwapsABatch, &[deliver::messages_are_delivered_in_the_order_of_publishing]),
    (Fault::SwapsIds, &[publish::ids_come_back_in_the_order_of_the_batch]),
    (
        Fault::TakesAPart,
        &[
            publish::a_message_over_its_limit_is_refused_and_nothing_of_its_batch_is_taken,
            publish::a_full_queue_refuses_the_whole_batch,
            publish::a_batch_beyond_the_bytes_of_a_queue_is_refused,
        ],
    ),
    (Fault::DeclaresByItself, &[publish::publishing_to_a_queue_that_is_not_there_is_not_found]),
    (Fault::NoHeaders, &[publish::a_message_comes_back_as_it_was_published]),
    (Fault::CutsPayloads, &[publish::a_message_of_20_mebibytes_comes_back_equal]),
    (Fault::FullIsFinal, &[publish::a_full_queue_refuses_the_whole_batch]),
    (
        Fault::NoLength,
        &[
            publish::a_full_queue_refuses_the_whole_batch,
            publish::a_batch_beyond_the_bytes_of_a_queue_is_refused,
            publish::drop_head_drops_the_oldest_ready_message,
            publish::drop_head_drops_the_oldest_until_the_bytes_are_few_enough,
            admins::a_redrive_leaves_what_there_is_no_room_for,
        ],
    ),
    (
        Fault::FinishedCounts,
        &[
            publish::a_settled_message_makes_room,
            dedup::a_refused_message_may_be_published_again,
            retain::retained_messages_leave_the_queues_length_alone,
        ],
    ),
    (Fault::EmptyIsInvalid, &[publish::an_empty_batch_publishes_nothing]),
    (Fault::PastIsInvalid, &[delay::a_message_due_in_the_past_is_ready_at_once]),
    (Fault::TellsNoTime, &[deliver::a_delivery_says_what_it_is]),
    (Fault::HeldCounts, &[publish::delayed_messages_count_and_held_ones_do_not]),
    (
        Fault::RejectsAtLength,
        &[
            publish::drop_head_drops_the_oldest_ready_message,
            publish::what_comes_back_is_dropped_where_there_are_enough_without_it,
        ],
    ),
    (
        Fault::HandsOutWhatIsHeld,
        &[deliver::a_held_message_is_not_delivered_to_others, order::of_one_key_only_one_is_held_at_a_time],
    ),
    (
        Fault::SwapsDeliveries,
        &[
            deliver::messages_are_delivered_in_the_order_of_publishing,
            deliver::dead_letters_come_in_the_order_in_which_they_were_given_up,
        ],
    ),
    (Fault::HandsOutMore, &[deliver::no_more_is_delivered_than_was_asked_for]),
    (Fault::IgnoresTheReceiversHold, &[deliver::the_receivers_hold_goes_before_the_queues]),
    (Fault::EmptyForNotFound, &[deliver::receiving_from_a_queue_that_is_not_there_is_not_found]),
    (Fault::HeldIsUnknown, &[deliver::a_held_delivery_can_be_looked_up]),
    (
        Fault::HeldForEver,
        &[deliver::a_held_delivery_can_be_looked_up, settle::a_late_ack_does_not_settle_anothers_delivery],
    ),
    (
        Fault::ExtendsNothing,
        &[
            deliver::an_extended_hold_ends_later,
            deliver::what_is_not_held_cannot_be_extended,
            expired::what_was_offered_cannot_be_extended,
        ],
    ),
    (Fault::LosesPlaces, &[deliver::a_returned_message_comes_back_to_its_place]),
    (Fault::LosesRetriedPlaces, &[deliver::a_retried_message_comes_back_to_its_place]),
    (
        Fault::ConfirmsBeforeSettling,
        &[restart::what_was_settled_does_not_come_back, restart::a_dead_letter_survives_with_its_history],
    ),
    (Fault::DoneComesBack, &[settle::what_is_done_does_not_come_back]),
    (Fault::SettlesTwice, &[settle::settling_twice_says_that_it_is_not_held]),
    (Fault::SettlesByPosition, &[settle::a_late_ack_does_not_settle_anothers_delivery]),
    (Fault::SettlesInAnyQueue, &[settle::a_delivery_is_settled_only_in_its_own_queue]),
    (
        Fault::ForgetsAttempts,
        &[
            settle::a_message_that_was_seen_is_ready_at_once_in_its_place_and_the_attempt_counts,
            settle::a_retried_message_comes_back_at_its_time_with_its_attempts_counted,
            settle::a_retry_in_the_past_is_ready_at_once,
            expired::a_hold_that_ran_out_is_offered_and_still_held,
        ],
    ),
    (Fault::CountsReturns, &[settle::a_returned_message_is_ready_at_once_and_the_attempt_does_not_count]),
    (
        Fault::CountsNothingSeen,
        &[settle::a_message_that_was_seen_is_ready_at_once_in_its_place_and_the_attempt_counts],
    ),
    (
        Fault::RetriesAtOnce,
        &[
            settle::a_retried_message_comes_back_at_its_time_with_its_attempts_counted,
            order::a_retry_keeps_its_place_before_the_others_of_its_key,
        ],
    ),
    (
        Fault::RetriesLate,
        &[
            settle::a_retried_message_comes_back_at_its_time_with_its_attempts_counted,
            settle::a_retry_in_the_past_is_ready_at_once,
        ],
    ),
    (
        Fault::OffersNothing,
        &[
            expired::a_hold_that_ran_out_is_offered_and_still_held,
            expired::what_nobody_settles_is_offered_again,
        ],
    ),
    (Fault::OffersTwice, &[expired::a_hold_that_ran_out_is_offered_and_still_held]),
    (Fault::OffersOnce, &[expired::what_nobody_settles_is_offered_again]),
    (
        Fault::OffersWhatWasDone,
        &[
            expired::an_acked_delivery_is_never_offered,
            expired::a_late_ack_still_counts_until_the_end_is_settled,
        ],
    ),
    (
        Fault::GivesBackWhatRanOut,
        &[
            expired::a_hold_that_ran_out_is_offered_and_still_held,
            order::a_hold_that_runs_out_lets_no_other_of_its_key_pass,
        ],
    ),
    (
        Fault::NoDelay,
        &[
            delay::a_delayed_message_is_not_delivered_before_its_time,
            wait::a_delayed_message_wakes_a_receiver,
        ],
    ),
    (
        Fault::DelaysTwice,
        &[
            delay::a_delayed_message_is_not_delivered_before_its_time,
            wait::a_delayed_message_wakes_a_receiver,
        ],
    ),
    (
        Fault::DelayedHoldUpOthers,
        &[
            delay::a_delayed_message_does_not_hold_up_others,
            order::what_its_publisher_delays_lets_others_of_its_key_pass,
        ],
    ),
    (
        Fault::NoTtl,
        &[
            expiry::a_message_past_its_time_to_live_is_not_delivered,
            expiry::without_a_dead_letter_queue_it_is_gone,
            expiry::with_a_dead_letter_queue_it_goes_there_and_expires_no_more,
            expiry::a_delayed_message_can_expire_before_its_time,
        ],
    ),
    (
        Fault::NoQueueTtl,
        &[
            expiry::a_queues_time_to_live_ends_what_has_none_of_its_own,
            expiry::a_queues_time_to_live_begins_when_a_dead_letter_comes,
            expiry::a_queues_time_to_live_survives_a_restart,
        ],
    ),
    (
        Fault::DropsDeadLetters,
        &[
            dead_letter::a_dead_letter_goes_to_the_queue_that_is_named,
            dead_letter::without_a_name_it_is_parked,
            dead_letter::what_an_exchange_brings_to_no_queue_is_parked,
            dead_letter::a_destination_at_its_length_takes_it_all_the_same,
            dead_letter::a_parked_message_that_fails_again_stays_parked,
            wait::a_dead_letter_wakes_a_receiver,
            dedup::a_dead_letter_is_a_dead_letter_whatever_its_dedup_id,
        ],
    ),
    (
        Fault::DeadLettersStay,
        &[
            dead_letter::a_dead_letter_goes_to_the_queue_that_is_named,
            order::a_dead_letter_makes_way_for_the_next_of_its_key,
        ],
    ),
    (Fault::NoDeadLetterQueue, &[dead_letter::the_destination_is_declared_on_demand]),
    (
        Fault::NoHistory,
        &[
            dead_letter::without_a_name_it_is_parked,
            dead_letter::it_brings_its_history_and_begins_its_attempts_afresh,
        ],
    ),
    (
        Fault::NoReason,
        &[
            dead_letter::without_a_name_it_is_parked,
            dead_letter::it_brings_its_history_and_begins_its_attempts_afresh,
            restart::a_dead_letter_survives_with_its_history,
        ],
    ),
    (
        Fault::NoNote,
        &[
            dead_letter::it_brings_its_history_and_begins_its_attempts_afresh,
            restart::a_dead_letter_survives_with_its_history,
        ],
    ),
    (
        Fault::CountsNoDepartures,
        &[
            dead_letter::a_second_departure_counts_on_in_the_history,
            admins::a_redriven_message_returns_with_fresh_attempts,
        ],
    ),
    (
        Fault::CountsOnAsDeadLetter,
        &[
            dead_letter::it_brings_its_history_and_begins_its_attempts_afresh,
            admins::a_redriven_message_returns_with_fresh_attempts,
        ],
    ),
    (
        Fault::NoExchange,
        &[
            dead_letter::an_exchange_brings_it_to_the_queue_of_its_key,
            dead_letter::what_is_refused_goes_through_the_exchange_where_that_is_asked_for,
        ],
    ),
    (
        Fault::NoOrder,
        &[
            order::of_one_key_only_one_is_held_at_a_time,
            order::messages_without_a_key_are_never_held_back,
            order::a_retry_keeps_its_place_before_the_others_of_its_key,
            order::a_hold_that_runs_out_lets_no_other_of_its_key_pass,
            order::an_end_wakes_who_waits_for_the_next_of_its_key,
            order::the_order_of_a_key_survives_a_restart,
        ],
    ),
    (
        Fault::OneAtATime,
        &[order::of_one_key_only_one_is_held_at_a_time, order::messages_without_a_key_are_never_held_back],
    ),
    (
        Fault::NoPriorities,
        &[
            priority::a_greater_priority_goes_first_and_equal_ones_as_they_came,
            priority::above_the_greatest_priority_none_are_told_apart,
            priority::a_returned_message_goes_back_to_its_place_in_its_class,
            priority::priorities_survive_a_restart,
        ],
    ),
    (
        Fault::AlwaysPriorities,
        &[
            priority::without_priorities_the_order_is_that_of_arrival,
            priority::above_the_greatest_priority_none_are_told_apart,
        ],
    ),
    (
        Fault::NoWindow,
        &[
            dedup::a_message_is_taken_once_within_the_window,
            dedup::within_one_batch_the_first_is_taken,
            dedup::what_was_taken_before_does_not_count_for_the_length,
            dedup::a_settled_message_is_not_taken_again,
            dedup::a_purge_forgets_no_dedup_id_and_a_deletion_all,
            dedup::what_was_taken_is_remembered_over_a_crash,
        ],
    ),
    (
        Fault::LongWindow,
        &[dedup::a_message_is_taken_once_within_the_window, dedup::without_a_window_all_are_taken],
    ),
    (Fault::OneDedup, &[dedup::messages_without_a_dedup_id_are_all_taken]),
    (Fault::OneWindow, &[dedup::each_queue_remembers_its_own]),
    (
        Fault::NoKeyIsAKey,
        &[newest::messages_without_a_key_are_left_alone, order::messages_without_a_key_are_never_held_back],
    ),
    (Fault::ForgetsDedupOnRestart, &[dedup::what_was_taken_is_remembered_over_a_crash]),
    (
        Fault::KeepsAllOfAKey,
        &[
            newest::a_newer_message_replaces_the_one_that_waits_with_its_key,
            newest::a_delayed_message_is_replaced_and_replaces,
            newest::a_held_message_is_left_alone_and_gives_way_when_it_comes_back,
            newest::a_held_message_that_comes_back_to_no_newer_one_stays_and_is_replaced_later,
            newest::of_a_batch_the_last_message_with_a_key_stays,
            newest::a_queue_at_its_length_takes_what_replaces,
            newest::a_dead_letter_stays_where_a_newer_message_is,
        ],
    ),
    (Fault::NeverWaits, &[wait::a_receive_waits_for_a_message, wait::a_returned_message_wakes_a_receiver]),
    (Fault::WaitsTooLong, &[wait::a_receive_gives_up_at_its_time]),
    (
        Fault::OneReceiver,
        &[
            wait::receivers_are_served_in_turn,
            wait::one_message_more_than_the_first_receiver_takes_wakes_the_second,
            pause::resuming_wakes_all_who_wait,
        ],
    ),
    (Fault::TakesWhenItIsDropped, &[wait::a_dropped_receive_takes_nothing_and_passes_its_turn_on]),
    (Fault::LosesWhatIsDropped, &[wait::a_receive_that_is_dropped_half_way_takes_nothing]),
    (
        Fault::CloseLeavesWaiting,
        &[wait::a_close_ends_the_wait, expired::a_close_ends_the_wait_for_ended_holds],
    ),
    (
        Fault::ClosedIsAway,
        &[wait::a_close_ends_the_wait, wait::a_closed_broker_is_told_apart_from_one_that_cannot_be_reached],
    ),
    (Fault::DeletionLeavesWaiting, &[wait::deleting_the_queue_ends_the_wait]),
    (Fault::ForgetsAttemptsOnRestart, &[restart::order_and_attempts_survive]),
    (
        Fault::LosesHolds,
        &[
            restart::a_hold_survives_and_an_ack_after_the_restart_counts,
            order::the_order_of_a_key_survives_a_restart,
        ],
    ),
    (Fault::LosesDelays, &[restart::a_delay_survives]),
    (Fault::LosesRetries, &[restart::a_delay_survives]),
    (
        Fault::RedeliversWhatWasDone,
        &[
            restart::what_was_settled_does_not_come_back,
            retain::retained_messages_survive_and_are_not_delivered_again,
        ],
    ),
    (Fault::LosesOrder, &[restart::what_was_confirmed_survives, restart::order_and_attempts_survive]),
    (Fault::LosesPriorities, &[priority::priorities_survive_a_restart]),
    (
        Fault::LosesDeadLetters,
        &[
            restart::a_dead_letter_survives_with_its_history,
            dead_letter::an_exchange_brings_it_to_the_queue_of_its_key,
        ],
    ),
    (Fault::BringsBackWhatWasReplaced, &[newest::what_was_replaced_does_not_come_back_after_a_restart]),
    (Fault::PurgesForNow, &[restart::messages_purged_and_queues_deleted_do_not_come_back]),
    (Fault::RedrivesIntoBoth, &[restart::a_redriven_message_is_in_one_place_only]),
    (Fault::ForgetsPauses, &[pause::a_pause_survives_a_crash_and_so_does_its_end]),
    (Fault::ForgetsRetained, &[retain::retained_messages_survive_and_are_not_delivered_again]),
    (Fault::LooksTake, &[admins::a_look_takes_nothing]),
    (Fault::PurgesNothing, &[admins::a_purge_leaves_what_is_held]),
    (Fault::PurgesReady, &[admins::a_purge_leaves_what_is_held]),
    (Fault::PurgesHeld, &[admins::a_purge_leaves_what_is_held]),
    (
        Fault::DeletesMessages,
        &[
            admins::a_deleted_queue_is_gone_and_can_be_declared_anew,
            restart::messages_purged_and_queues_deleted_do_not_come_back,
            dedup::a_purge_forgets_no_dedup_id_and_a_deletion_all,
        ],
    ),
    (Fault::RedrivesAll, &[admins::a_redrive_moves_no_more_than_asked_for]),
    (Fault::RedrivesIntoNothing, &[admins::a_redrive_leaves_what_has_nowhere_to_go]),
    (Fault::CountsNoHeld, &[admins::a_queues_depth_and_counts_are_told]),
    (
        Fault::NowhereIsEmpty,
        &[
            admins::administration_of_a_queue_that_is_not_there_is_not_found,
            pause::pausing_a_queue_that_is_not_there_is_not_found,
            find::finding_in_a_queue_that_is_not_there_is_not_found,
        ],
    ),
    (Fault::PausesNothing, &[pause::a_paused_queue_takes_messages_and_hands_none_out]),
    (Fault::PausesSettling, &[pause::what_is_held_when_a_queue_is_paused_can_be_settled]),
    (Fault::FindTakes, &[find::finding_a_message_takes_nothing_and_a_finished_one_is_not_there]),
    (Fault::FindsReady, &[find::a_message_is_found_wherever_in_the_queue_it_is]),
    (Fault::FindsNewest, &[find::among_several_with_one_id_the_oldest_is_found]),
    (Fault::FindsFinished, &[find::finding_a_message_takes_nothing_and_a_finished_one_is_not_there]),
    (Fault::RetainsNothing, &[retain::what_is_finished_can_be_read_again_with_all_the_rest_in_order]),
    (Fault::RetainsLong, &[retain::retained_messages_are_forgotten_when_their_time_is_over]),
    (Fault::ReplaysAll, &[retain::a_replay_begins_at_a_time, retain::a_replay_goes_on_from_a_position]),
    (Fault::ReplayTakes, &[retain::what_is_finished_can_be_read_again_with_all_the_rest_in_order]),
    (Fault::ReplaysWhatWasNotDone, &[retain::only_what_was_done_is_retained]),
    (Fault::RefusesNothing, &[retain::a_queue_that_retains_nothing_cannot_be_replayed]),
];

fn is_found(fault: Fault, case: Case) -> bool {
    catch_unwind(AssertUnwindSafe(|| case(&mut Ground::new(fault)))).is_err()
}

#[test]
fn every_fault_is_found() {
    let mut missed = Vec::new();
    for (fault, cases) in FOUND {
        let misses = cases.iter().enumerate().filter(|(_, case)| !is_found(*fault, **case));
        missed.extend(misses.map(|(number, _)| (fault, number)));
    }
    assert!(missed.is_empty(), "these cases of their lists did not find them: {missed:?}");
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    for case in FOUND.iter().flat_map(|(_, cases)| *cases) {
        case(&mut Ground::new(Fault::None));
    }
}
