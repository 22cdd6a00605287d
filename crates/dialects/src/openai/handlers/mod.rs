//! One short function per operation.

pub(super) mod conversations;
pub(super) mod items;

/// All routes under a prefix.
macro_rules! routes {
    ($prefix:literal) => {{
        use $crate::kit::Route;
        use $crate::openai::handlers::{conversations, items};
        use $crate::openai::{DELETE, GET, POST};
        let of = concat!($prefix, "/conversations");
        let one = concat!($prefix, "/conversations/{conversation_id}");
        let its = concat!($prefix, "/conversations/{conversation_id}/items");
        let item = concat!($prefix, "/conversations/{conversation_id}/items/{item_id}");
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
        ]
    }};
}
pub(super) use routes;
