//! Who the caller is.

use parlance_domain::User;
use serde::Serialize;

use crate::coze::caller::{account, principal};
use crate::coze::{GET, envelope};
use crate::kit::{Call, Reply, Route};

/// The vendor's `User`; cozepy requires all four.
#[derive(Serialize)]
struct Me {
    user_id: String,
    user_name: String,
    nick_name: String,
    avatar_url: &'static str,
}

/// The routes of this noun. The vendor asks for no permission here.
pub(in crate::coze) fn routes() -> Vec<Route> {
    vec![Route::keyed(GET, "/v1/users/me", "user.me", me)]
}

/// `GET /v1/users/me`: the user that the key is bound to, else the account's number for a name.
async fn me(call: Call) -> Reply {
    let who = principal(&call)?;
    let user_id = account(&who);
    let name = who.user.as_ref().map_or(user_id.as_str(), User::expose);
    let me = Me {
        user_name: name.to_owned(),
        nick_name: name.to_owned(),
        avatar_url: "",
        user_id,
    };
    envelope::data(&call.context, me)
}
