//! One short function per operation.

pub(super) mod chat;
pub(super) mod conversations;
pub(super) mod items;
pub(super) mod models;
pub(super) mod references;
pub(super) mod responses;

/// All routes under a prefix.
macro_rules! routes {
    ($prefix:literal) => {{
        use $crate::kit::Route;
        use $crate::openai::handlers::{chat, conversations, items, models, responses};
        use $crate::openai::{DELETE, GET, POST};
        let of = concat!($prefix, "/conversations");
        let one = concat!($prefix, "/conversations/{conversation_id}");
        let its = concat!($prefix, "/conversations/{conversation_id}/items");
        let item = concat!($prefix, "/conversations/{conversation_id}/items/{item_id}");
        let all = concat!($prefix, "/responses");
        let tokens = concat!($prefix, "/responses/input_tokens");
        let compact = concat!($prefix, "/responses/compact");
        let response = concat!($prefix, "/responses/{response_id}");
        let cancel = concat!($prefix, "/responses/{response_id}/cancel");
        let input = concat!($prefix, "/responses/{response_id}/input_items");
        let chats = concat!($prefix, "/chat/completions");
        let names = concat!($prefix, "/models");
        let name = concat!($prefix, "/models/{model}");
        vec![
            Route::keyed(POST, of, "conversation.create", conversations::create),
            Route::keyed(GET, of, "conversation.list", conversations::list),
            Route::keyed(GET, one, "conversation.retrieve", conversations::retrieve),
            Route::keyed(POST, one, "conversation.update", conversations::update),
            Route::keyed(DELETE, one, "conversation.delete", conversations::delete),
            Route::keyed(POST, its, "item.create", items::create),
            Route::keyed(GET, its, "item.list", items::list),
            Route::keyed(GET, item, "item.retrieve", items::retrieve),
            Route::keyed(DELETE, item, "item.delete", items::delete),
            Route::keyed(POST, all, "response.create", responses::create),
            Route::keyed(GET, all, "response.list", responses::list),
            Route::keyed(POST, tokens, "response.count", responses::count),
            Route::keyed(POST, compact, "response.compact", responses::compact),
            Route::keyed(GET, response, "response.retrieve", responses::retrieve),
            Route::keyed(DELETE, response, "response.delete", responses::delete),
            Route::keyed(POST, cancel, "response.cancel", responses::cancel),
            Route::keyed(GET, input, "response.input", responses::input),
            Route::keyed(POST, chats, "chat.complete", chat::complete),
            Route::keyed(GET, names, "model.list", models::list),
            Route::keyed(GET, name, "model.retrieve", models::retrieve),
        ]
    }};
}
pub(super) use routes;
