//! The contract of `LocalStore`, kept by pinned results, but for what it says of forgetting and of statistics: they are
//! neither evicted nor flushed, and are not counted as the cache's entries.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use forebay_bond::pinned::{Pinned, Prefixes, Results, ResultsOptions};
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_core::entry::Version;
use forebay_core::ports::local_store::LocalStore;
use forebay_memory::{Memory, MemoryOptions};

/// Pins every key that the cases use, as far as there may be prefixes.
fn every_key() -> Prefixes {
    Prefixes::new(FIRST.chunks(1)).unwrap()
}

const FIRST: &[u8] = b"abcdefghijklmnopqrstuvwxyz\x00\x01\x02\x03\x04\x05\x06\x07 ";

fn results(bytes_max: usize) -> Arc<dyn LocalStore> {
    let options = ResultsOptions { bytes_max: bytes_max as u64, ..ResultsOptions::new(every_key()) };
    let opened = Results::open(Arc::new(Saboteur::new()), options, Arc::new(SimClock::new(1))).unwrap();
    let cache = Memory::new(MemoryOptions { bytes_max, value_bytes_max: 1 << 20, first_version: Version(1) });
    Arc::new(Pinned::new(Arc::new(cache), Some(opened.results)))
}

forebay_contract::store_cases! { results;
    get: a_missing_key_is_a_miss
        a_value_reads_back_with_its_flags_and_end
        every_length_and_byte_of_keys_and_values_is_kept
        keys_and_values_with_the_same_bytes_together_are_told_apart
        a_touch_sets_a_new_end_and_keeps_the_version
        a_touch_can_take_the_end_away
        a_touch_into_the_past_shows_the_value_once_more
        a_read_leaves_its_marks
        a_read_that_does_not_count_leaves_no_trace;
    write: an_add_stores_only_where_nothing_is
        a_replace_stores_only_where_something_is
        append_and_prepend_keep_flags_and_end
        append_and_prepend_need_a_value
        versions_rise_over_every_change
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
    lease: a_fill_with_its_lease_is_stored
        a_lease_fills_once
        writes_of_other_keys_leave_a_lease_good
        a_write_voids_the_leases_before_it
        a_deletion_voids_the_leases_before_it
        a_deletion_of_nothing_voids_the_leases_before_it
        an_invalidation_voids_the_leases_before_it
        an_expired_newer_value_voids_the_leases_before_it
        a_write_without_life_voids_the_leases_before_it
        a_refused_deletion_leaves_a_lease_good
        a_refused_fill_leaves_the_newer_value
        the_first_reader_wins_the_placeholder_and_others_lose
        a_placeholder_is_filled_over_its_version
        a_deleted_placeholder_is_not_filled
        a_placeholder_counts_as_a_value_for_add_and_replace
        a_placeholder_ends_and_the_next_reader_wins
        an_invalidated_placeholder_has_a_new_winner
        a_value_is_shown_and_not_leased
        a_value_near_its_end_grants_one_refresh
        a_plain_read_is_never_granted_a_lease;
    delete: a_deletion_of_nothing_says_so
        a_deletion_of_another_version_is_refused
        a_stale_value_keeps_its_end_or_gets_a_new_one
        a_stale_value_marked_again_has_a_new_winner
        a_write_makes_a_stale_value_fresh;
    expire: an_entry_ends_to_the_millisecond
        an_entry_written_without_life_is_absent_at_once
        an_expired_entry_is_absent_for_every_verb
        a_far_end_is_kept_to_the_millisecond;
    count: numbers_go_up_and_down
        up_wraps_and_down_stops_at_zero
        a_shorter_number_keeps_the_length_of_the_text
        a_longer_number_makes_the_text_longer
        what_is_no_number_is_refused_and_stays
        a_counter_can_be_created
        a_counter_keeps_flags_and_end_unless_touched
        a_counter_obeys_the_version
        a_stale_number_stays_stale;
    concurrency: counters_lose_no_increment
        an_add_has_one_winner
        a_version_has_one_winner
        a_placeholder_has_one_winner
        a_fill_never_overwrites_a_newer_invalidation
        readers_see_whole_values;
    linear: concurrent_histories_have_an_order_that_explains_every_answer;
}
