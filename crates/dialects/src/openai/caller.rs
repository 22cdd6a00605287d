//! Who asks: the key's project, and the user that Azure's isolation headers name.

use parlance_domain::{Error, Principal, Reason, User};

use crate::kit::{Call, reply};

const ISOLATION_KEY: &str = "x-ms-user-isolation-key";
const IDENTITY: &str = "x-ms-user-identity";

/// The principal of a request. Either header names the user; both must agree, an empty one is none.
pub(super) fn principal(call: &Call) -> Result<Principal, Error> {
    let user = match (header(call, ISOLATION_KEY)?, header(call, IDENTITY)?) {
        (Some(key), Some(identity)) if key != identity => {
            return Err(Error::invalid(
                ISOLATION_KEY,
                Reason::Exclusive { with: IDENTITY },
            ));
        }
        (key, identity) => key.or(identity),
    };
    call.access.principal(ISOLATION_KEY, user)
}

fn header(call: &Call, name: &'static str) -> Result<Option<User>, Error> {
    let twice = |_| {
        Error::invalid(
            name,
            Reason::Malformed {
                expected: "one value",
            },
        )
    };
    let Some(value) = reply::single(&call.headers, name).map_err(twice)? else {
        return Ok(None);
    };
    let malformed = || {
        Error::invalid(
            name,
            Reason::Malformed {
                expected: "visible ASCII",
            },
        )
    };
    let text = value.to_str().map_err(|_| malformed())?;
    User::parse(text).map_err(|why| Error::invalid(name, why))
}
