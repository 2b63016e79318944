//! The list of all cases, as tests.

/// Runs the suite on the buses that the function `$rig` sets up; `bus!(rig if there)` only where `there()` says that this can
/// be done here.
#[macro_export]
macro_rules! bus {
    ($rig:ident) => {
        $crate::bus! { @ $rig, $crate::broker::always }
    };
    ($rig:ident if $there:ident) => {
        $crate::bus! { @ $rig, super::$there }
    };
    (@ $rig:ident, $there:path) => {
        $crate::bus_cases! { $rig, $there;
            order {
                what_is_published_is_heard_as_it_was
                positions_rise
                notices_are_heard_in_the_order_of_their_positions
                a_notice_is_heard_at_most_once
                nothing_is_lost_in_silence
                a_dropped_wait_loses_nothing
                a_notice_over_its_limit_is_refused_and_takes_no_position
            }
            head {
                the_head_is_the_newest_position
                who_has_heard_up_to_the_head_knows_all_that_was_published_before
                the_head_does_not_go_back_over_a_restart
            }
            gap {
                who_falls_behind_is_told_of_a_gap_and_goes_on_after_it
                who_is_not_too_far_behind_misses_nothing
                a_position_from_before_a_restart_is_gone_on_from_or_begins_with_a_gap
                a_position_that_was_never_given_puts_everything_in_doubt
            }
            many {
                every_listener_hears_of_every_notice
                a_slow_listener_holds_up_nobody
                a_listener_that_leaves_disturbs_nobody
            }
            late {
                a_late_listener_hears_only_what_comes_after
                a_late_listener_hears_from_a_position_in_the_past
                a_listener_goes_on_where_another_stopped
            }
            close {
                a_close_ends_the_wait
                what_was_published_before_the_close_is_still_heard
                nothing_is_taken_by_a_closed_bus
            }
        }
    };
}

/// Makes the tests of [`bus!`](crate::bus).
#[doc(hidden)]
#[macro_export]
macro_rules! bus_cases {
    ($rig:ident, $there:path; $($subject:ident { $($case:ident)* })*) => {
        $(
            mod $subject {
                $(
                    #[test]
                    fn $case() {
                        if $there() {
                            $crate::bus::subjects::$subject::$case(&mut super::$rig());
                        }
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
            include_str!("subjects/close.rs"),
            include_str!("subjects/gap.rs"),
            include_str!("subjects/head.rs"),
            include_str!("subjects/late.rs"),
            include_str!("subjects/many.rs"),
            include_str!("subjects/order.rs"),
        ];
        let lines = subjects.iter().flat_map(|text| text.lines());
        let cases: Vec<&str> =
            lines.filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next()).collect();
        assert!(cases.len() > 20, "the suite has lost cases");
        for case in cases {
            assert!(listed.contains(&case), "{case} is never run");
        }
    }
}
