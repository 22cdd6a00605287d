//! What every store must do, as cases that any store can be put through.
//!
//! `store_conformance!(crate::make)` expands to one test per case; `make` gives a [`Bench`] over an
//! empty store.
#![expect(missing_docs, reason = "the names of the cases are sentences")]

mod bench;
pub mod model;

pub mod admin;
pub mod batches;
pub mod conversations;
pub mod deletion;
pub mod erasing;
pub mod holds;
pub mod items;
pub mod lists;
pub mod lone_turns;
pub mod pages;
pub mod receipt_log;
pub mod receipts;
pub mod scope;
pub mod turn_pages;
pub mod turns;

pub use bench::{Bench, Refusal, refusal};

/// Expands to one test per case, over the stores that the function at the path makes.
#[macro_export]
macro_rules! store_conformance {
    (@cases $make:path, $module:ident: $($case:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    $crate::store_suite::$module::$case(&$make()).await;
                }
            )*
        }
    };
    ($make:path) => {
        $crate::store_conformance! { @cases $make, scope:
            another_principal_sees_no_conversation
            another_principal_lists_nothing
            another_principal_reads_no_items_and_no_turns
            another_principal_changes_nothing
            another_principal_meets_no_precondition
            another_principals_conversation_is_no_anchor_by_change
            a_principal_bound_to_an_app_sees_that_app_alone
            a_principal_bound_to_an_app_changes_that_app_alone
        }
        $crate::store_conformance! { @cases $make, conversations:
            what_is_made_can_be_read
            a_prefix_names_a_conversation
            opaque_text_comes_back_byte_for_byte
            an_unknown_conversation_is_none
            an_id_that_shares_its_decimal_is_refused
            another_project_may_use_the_same_id
            the_title_is_set_and_removed
            the_metadata_is_replaced
            the_agent_is_started_without_touching_the_time
            a_new_section_holds_what_comes_later
            the_time_of_change_never_goes_back
            writes_to_what_is_not_there_are_refused
        }
        $crate::store_conformance! { @cases $make, lists:
            conversations_are_listed_by_creation_in_both_directions
            conversations_are_listed_by_change_in_both_directions
            equal_times_are_told_apart_by_the_id
            every_page_size_gives_the_same_list
            a_page_before_an_anchor_is_next_to_it
            a_page_between_two_anchors_holds_what_lies_between
            a_page_that_is_exactly_full_has_no_more
            a_page_of_no_rows_is_empty
            a_deleted_anchor_keeps_its_place
            an_unknown_anchor_is_a_place_by_creation_and_none_by_change
            a_prefix_is_an_anchor
            a_list_can_be_of_one_app
        }
        $crate::store_conformance! { @cases $make, items:
            items_are_numbered_in_the_order_of_appending
            an_item_is_found_by_id_prefix_number_and_alias
            an_item_is_not_found_by_what_names_another
            an_alias_is_unique_in_its_conversation_alone
            the_alias_of_a_removed_item_is_free_again
            ids_must_rise_above_those_that_are_there
            ids_must_rise_within_a_batch
            an_item_says_what_it_was_replaced_with
            a_replaced_item_keeps_its_alias_and_its_place
            a_removed_item_leaves_a_hole
            all_items_are_removed_or_none
            what_is_gone_cannot_be_replaced_or_removed
        }
        $crate::store_conformance! { @cases $make, pages:
            items_are_paged_in_both_directions_at_every_size
            a_page_before_an_anchor_is_next_to_it
            a_page_between_two_anchors_holds_what_lies_between
            a_page_that_is_exactly_full_has_no_more
            a_page_of_no_rows_is_empty
            the_place_of_a_removed_item_is_still_an_anchor
            an_alias_is_an_anchor_and_an_unknown_one_gives_nothing
            a_number_is_an_anchor_wherever_it_lies
            a_span_of_numbers_bounds_a_page
            filters_leave_out_the_other_kinds
            a_filter_fills_its_page
        }
        $crate::store_conformance! { @cases $make, turns:
            a_turn_runs_until_it_is_finished
            a_second_turn_is_refused_while_one_runs
            only_the_running_turn_can_be_finished
            a_turn_that_cannot_begin_leaves_nothing
            settled_items_are_those_of_no_running_turn
            items_of_one_turn_can_be_listed
            every_end_of_a_turn_is_kept
            running_turns_fail_at_start_up
            a_finished_turn_does_not_fail_at_start_up
            a_turn_begins_in_a_conversation_made_with_it
            a_record_is_kept_in_every_field_until_another_takes_its_place
            a_turn_is_found_by_itself_and_by_a_prefix
            the_oldest_of_those_that_a_prefix_names_is_meant
            a_turn_that_is_removed_is_gone_and_its_items_stay
            only_a_turn_that_is_there_and_does_not_run_is_removed
            a_removal_is_no_change_of_the_conversation
            nobody_elses_turn_is_found
            the_turns_of_a_deleted_conversation_are_gone_at_once
            a_conversation_whose_turns_were_removed_is_deleted_whole
        }
        $crate::store_conformance! { @cases $make, turn_pages:
            turns_of_both_realms_are_paged_in_both_directions_at_every_size
            a_page_before_an_anchor_is_next_to_it
            a_page_between_two_anchors_holds_what_lies_between
            a_page_that_is_exactly_full_has_no_more
            a_page_of_no_rows_is_empty
            an_anchor_that_is_gone_keeps_its_place
            a_page_can_be_of_one_conversation_and_of_one_app
            a_conversation_that_is_not_the_principals_has_no_page
            nobody_elses_turns_are_listed
        }
        $crate::store_conformance! { @cases $make, lone_turns:
            a_lone_turn_begins_with_a_conversation_of_its_own_bits
            a_lone_turn_whose_id_is_taken_begins_with_another
            whoever_means_conversations_sees_no_lone_turn_and_changes_none
            whoever_means_lone_turns_sees_no_conversation_and_changes_none
            what_is_in_the_other_realm_is_no_anchor_by_change
            a_lone_turns_receipt_is_found_in_its_realm_alone
            a_deleted_lone_turn_is_gone_with_all_that_was_in_it
            running_lone_turns_fail_at_start_up
            a_users_erasure_takes_both_realms_in_one_order_at_every_page_size
            an_erasure_by_age_takes_both_realms
            an_operator_erases_a_lone_turn_by_its_bits
            a_hold_keeps_lone_turns_too
        }
        $crate::store_conformance! { @cases $make, batches:
            a_batch_is_all_or_nothing
            a_batch_changes_what_is_there_until_it_makes_the_same_id_anew
            an_empty_batch_does_nothing
            a_precondition_that_fails_stops_the_batch
            a_precondition_sees_every_replacement
        }
        $crate::store_conformance! { @cases $make, deletion:
            a_deleted_conversation_is_gone_with_all_that_was_in_it
            a_delete_tells_which_turn_was_running
            an_operator_erases_whoevers_conversation_it_is
            a_prefix_deletes
            nothing_is_written_to_a_deleted_conversation
            a_second_delete_finds_nothing
            a_deleted_id_stays_taken_until_it_is_forgotten
            a_forgotten_anchor_is_unknown
            a_large_conversation_is_swept_in_chunks
            a_sweep_leaves_the_living_alone
        }
        $crate::store_conformance! { @cases $make, holds:
            what_a_hold_covers_is_not_deleted_until_it_is_removed
            a_hold_keeps_items_from_being_removed_and_changed_and_nothing_else
            a_hold_covers_what_comes_later
            every_hold_of_several_keeps_what_it_covers
            another_principal_learns_nothing_of_a_hold
            a_hold_of_another_project_covers_nothing_here
            an_operator_erases_nothing_that_is_held
            holds_are_listed_by_project_and_read_back
            a_hold_is_removed_once_and_only_in_its_project
            a_hold_waits_to_be_stated_with_what_it_does_and_not_where_it_is_refused
            a_key_forgets_its_user_and_is_revoked_unless_that_is_held
        }
        $crate::store_conformance! { @cases $make, erasing:
            what_is_to_be_erased_is_found_by_age_at_every_page_size
            a_users_are_found_app_by_app_and_nobody_elses
            many_are_erased_at_once_each_with_its_receipt
            what_is_no_more_to_be_erased_is_left
            one_users_order_touches_no_other_user_and_no_other_project
            what_is_held_is_told_of_beforehand
            a_taken_receipt_refuses_all_of_them
            large_and_small_ones_are_erased_together
            a_conversation_is_located_whoevers_it_is
        }
        $crate::store_conformance! { @cases $make, receipts:
            a_delete_leaves_a_receipt_to_be_signed
            a_receipt_is_found_again_by_its_principal_and_nobody_else
            a_receipt_is_forgotten_with_the_deletion_and_stays_itself
            a_second_delete_leaves_no_second_receipt
            a_receipts_id_is_taken_once
            a_signed_receipt_is_found_by_whoever_has_its_id
            a_large_conversations_receipt_is_complete_after_the_sweep
            receipts_are_listed_by_project_and_paged
            only_so_many_are_signed_at_once_and_the_oldest_first
            a_root_that_cannot_be_replaced_is_not_said_to_be
        }
        $crate::store_conformance! { @cases $make, receipt_log:
            a_new_log_is_empty
            batches_are_read_back_in_order_at_every_page_size
            every_receipt_is_proven_by_its_batch
            a_batch_that_does_not_follow_the_last_is_refused
            a_batch_of_what_was_said_or_is_not_there_is_refused_whole
            what_is_said_of_the_root_is_said_once
            a_checkpoint_is_kept_with_the_batch_that_it_follows
            an_event_waits_until_it_is_stated_and_comes_before_receipts
            an_event_that_waits_no_more_is_not_stated_again
            no_receipt_is_found_by_an_events_id
        }
        $crate::store_conformance! { @cases $make, admin:
            projects_are_listed_by_number
            a_projects_name_and_number_are_unique
            apps_belong_to_their_project
            a_name_of_an_app_is_unique_in_its_project
            a_key_is_found_by_its_digest
            keys_are_listed_by_project
            a_key_is_revoked_once_and_only_in_its_project
            a_store_that_is_open_answers
        }
    };
}
