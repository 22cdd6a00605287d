//! One short function per operation.

pub(super) mod chats;
pub(super) mod conversations;
pub(super) mod messages;
pub(super) mod users;
