//! Lists that are paged through while one of their rows is deleted.

use parlance_domain::ids::ConversationId;
use parlance_domain::model::{ConversationQuery, Cursor, Order, Sort};
use parlance_testkit::explore::Plan;

use crate::model::Script;
use crate::world::{World, explored};

const PLAN: Plan = Plan {
    by_chance: 300,
    delays: Some(2),
};

/// Pages through the list, and gives what it showed: each row, and whether its page was asked for
/// after the delete.
async fn page_through(
    world: &World,
    sort: Sort,
    is_gone: impl Fn() -> bool,
) -> Vec<(ConversationId, bool)> {
    let mut shown = Vec::new();
    loop {
        let query = ConversationQuery {
            sort,
            order: Order::OldestFirst,
            cursor: Cursor {
                after: shown
                    .last()
                    .map(|(id, _): &(ConversationId, bool)| (*id).into()),
                before: None,
            },
            app: None,
            rows_max: 1,
        };
        let gone = is_gone();
        let page = world
            .service
            .conversations(&world.who, &query)
            .await
            .unwrap();
        shown.extend(page.rows.iter().map(|row| (row.id, gone)));
        if !page.has_more {
            return shown;
        }
    }
}

fn a_row_is_deleted(sort: Sort) {
    explored(PLAN, Script::Speaks, move |world| async move {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(world.conversation().await);
        }
        let victim = all[1].clone();
        let delete = victim.clone();
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let gone = victim.clone();
        let shown = page_through(&world, sort, || gone.is_gone()).await;
        deleter.await.unwrap();
        assert!(
            !shown.contains(&(victim.id, true)),
            "it is listed after its delete"
        );
        let others: Vec<_> = shown
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| *id != victim.id)
            .collect();
        assert_eq!(
            others,
            [all[0].id, all[2].id],
            "others are left out or come twice"
        );
        assert!(shown.len() <= 3);
    });
}

#[test]
fn a_list_by_age_shows_all_others_once() {
    a_row_is_deleted(Sort::Created);
}

#[test]
fn a_list_by_change_shows_all_others_once() {
    a_row_is_deleted(Sort::Updated);
}
