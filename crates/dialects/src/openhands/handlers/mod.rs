//! One short function per operation.

mod agent;
mod conversations;
mod events;
mod server;
mod trajectory;

use http::Method;

use super::body;
use crate::kit::Route;

/// All routes.
pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/conversations";
    const ONE: &str = "/api/conversations/{conversation_id}";
    const START: &str = "/api/conversations/{conversation_id}/start";
    const STOP: &str = "/api/conversations/{conversation_id}/stop";
    const CONFIG: &str = "/api/conversations/{conversation_id}/config";
    const EVENTS: &str = "/api/conversations/{conversation_id}/events";
    const TRAJECTORY: &str = "/api/conversations/{conversation_id}/trajectory";
    let (get, post) = (|| Method::GET, || Method::POST);
    let (patch, delete) = (Method::PATCH, Method::DELETE);
    server::note_start();
    vec![
        Route::keyed(post(), ALL, "conversation.create", conversations::create)
            .before_key(body::check),
        Route::keyed(get(), ALL, "conversation.list", conversations::list),
        Route::keyed(get(), ONE, "conversation.retrieve", conversations::retrieve),
        Route::keyed(patch, ONE, "conversation.update", conversations::update)
            .before_key(body::check),
        Route::keyed(delete, ONE, "conversation.delete", conversations::delete),
        Route::keyed(post(), START, "agent.start", agent::start).before_key(body::check),
        Route::keyed(post(), STOP, "agent.stop", agent::stop),
        Route::keyed(get(), CONFIG, "agent.config", agent::config),
        Route::keyed(get(), EVENTS, "event.list", events::list).before_key(body::check),
        Route::keyed(post(), EVENTS, "event.create", events::create),
        Route::keyed(
            get(),
            TRAJECTORY,
            "trajectory.retrieve",
            trajectory::retrieve,
        ),
        Route::open(get(), "/alive", "server.alive", server::alive),
        Route::open(get(), "/health", "server.health", server::health),
        Route::open(get(), "/server_info", "server.info", server::info),
    ]
}
