//! Clients that do anything, by chance, with one conversation.

use parlance_domain::{Fault, Noun};
use parlance_testkit::explore::Plan;
use parlance_testkit::samples;
use shuttle::rand::{Rng, thread_rng};

use crate::model::Script;
use crate::world::{Target, World, explored};

const PLAN: Plan = Plan {
    by_chance: 800,
    delays: None,
};
const CLIENTS: usize = 4;
const CALLS: usize = 3;

/// One call of a client.
async fn call(world: &World, target: &Target) {
    let (service, who, id) = (&world.service, &world.who, target.id.into());
    let gone = target.is_gone();
    let done = match thread_rng().gen_range(0..10) {
        0 => {
            world.delete(target).await;
            return;
        }
        1..=3 => {
            // A turn that nobody reads.
            return drop(world.ask(target).await);
        }
        4 => {
            let running = service.conversation(who, id).await;
            if let Some(turn) = running.ok().and_then(|found| found.running) {
                service.stop_turn(who, turn.into());
            }
            return;
        }
        5 => {
            let shown = world.list().await.iter().any(|row| row.id == target.id);
            assert!(!(gone && shown), "it is listed after its delete");
            return;
        }
        6 => {
            service.sign_receipts().await.unwrap();
            return;
        }
        7 => service
            .append_items(who, id, vec![samples::question("more?").into()])
            .await
            .map(drop),
        8 => service.start_section(who, id).await.map(drop),
        _ => {
            let title = Some("a title".to_owned());
            service.rename_conversation(who, id, title).await.map(drop)
        }
    };
    assert!(!gone || done.is_err(), "it is written to after its delete");
    if let Err(error) = done {
        assert_eq!(error.fault, Fault::NotFound(Noun::Conversation));
    }
}

#[test]
fn whatever_clients_do_at_once_a_delete_is_the_end() {
    explored(PLAN, Script::Any, async |world| {
        let target = world.conversation().await;
        world.store.refuse(thread_rng().gen_range(0..3));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let target = target.clone();
                world.beside(async move |world| {
                    for _ in 0..CALLS {
                        call(&world, &target).await;
                    }
                })
            })
            .collect();
        // One of them goes away in the middle of whatever it does.
        clients[0].abort();
        for client in clients {
            drop(client.await);
        }
        world.delete(&target).await;
    });
}

#[test]
fn readers_are_told_the_end_whatever_clients_do_at_once() {
    explored(PLAN, Script::Any, async |world| {
        let target = world.conversation().await;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let target = target.clone();
                world.beside(async move |world| {
                    if number > 0 {
                        world.converse(&target).await;
                    } else {
                        call(&world, &target).await;
                        world.delete(&target).await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}
