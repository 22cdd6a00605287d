//! One short function per operation.

mod app;
mod chat;
mod conversations;
mod messages;

use http::Method;

use crate::kit::Route;

/// All routes, by their paths at the root. The path parameters bear the documented names.
pub(super) fn routes() -> Vec<Route> {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let chat = "/v1/chat-messages";
    let stop = "/v1/chat-messages/{task_id}/stop";
    let list = "/v1/conversations";
    let one = "/v1/conversations/{conversation_id}";
    let name = "/v1/conversations/{conversation_id}/name";
    vec![
        Route::open(get.clone(), "/v1/", "index", app::index),
        Route::keyed(get.clone(), "/v1/info", "app.info", app::info),
        Route::keyed(
            get.clone(),
            "/v1/parameters",
            "app.parameters",
            app::parameters,
        ),
        Route::keyed(post.clone(), chat, "chat.send", chat::send),
        Route::keyed(post.clone(), stop, "chat.stop", chat::stop),
        Route::keyed(get.clone(), list, "conversation.list", conversations::list),
        Route::keyed(delete, one, "conversation.delete", conversations::delete),
        Route::keyed(post, name, "conversation.rename", conversations::rename),
        Route::keyed(get, "/v1/messages", "message.list", messages::list),
    ]
}
