//! Who asks. Coze's owner of a conversation is the account behind the token, so the key alone says
//! it: the `user_id` of a request only parts the model's memory and is nobody's name here.

use parlance_domain::{Error, KeyDigest, Principal, User};

use crate::kit::Call;

/// Where account numbers begin: the smallest number of 19 digits.
const ACCOUNT_MIN: u64 = 1_000_000_000_000_000_000;
/// How many account numbers there are: all of them fit into 63 bits, as the vendor's do.
const ACCOUNTS: u64 = 8_000_000_000_000_000_000;

/// The principal of a request: the key's project and user.
pub(super) fn principal(call: &Call) -> Result<Principal, Error> {
    call.access.principal("user_id", None)
}

/// The number of the account behind a principal, the vendor's UID: 19 digits that follow from project
/// and user alone, so that every key of one principal shows the same creator, as two tokens of one
/// account do at the vendor's. The digest keeps it from telling the user's name.
pub(super) fn account(who: &Principal) -> String {
    let user = who.user.as_ref().map_or("", User::expose);
    let digest = KeyDigest::of(&format!("coze account\n{}\n{user}", who.project.0));
    let high = digest.0.iter().take(8);
    let number = high.fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
    (ACCOUNT_MIN + number % ACCOUNTS).to_string()
}
