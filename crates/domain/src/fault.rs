//! What can go wrong: one closed list that every dialect translates with one exhaustive match.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What went wrong, in words that every dialect can translate. Holds nothing of a driver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value that the client sent is not acceptable.
    Invalid {
        /// Where it stands, as a path: `metadata`, `items[0].content`, `limit`.
        field: String,
        /// What is wrong with it.
        why: Reason,
    },
    /// The body is not what the route takes: not JSON, or not an object.
    MalformedBody(MalformedBody),
    /// The vendor has this, Parlance does not, or not yet.
    Unsupported {
        /// What was asked for.
        feature: &'static str,
    },
    /// There is no usable credential.
    Unauthenticated(CredentialProblem),
    /// The key lacks the permission that the route needs.
    Forbidden {
        /// The permission, in the dialect's words.
        scope: &'static str,
    },
    /// The key's app has a mode that this route does not serve.
    WrongMode,
    /// It does not exist, or belongs to somebody else: nobody can tell which.
    NotFound(Noun),
    /// It cannot be done in the state that things are in.
    Conflict(Conflict),
    /// No such path.
    NoSuchRoute,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body is larger than the limit.
    BodyTooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// The body did not arrive in time.
    BodyTimeout,
    /// This server is at a limit of its own.
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// A tool was called, and what it gave is not in the request.
    NoToolOutput {
        /// The call.
        call_id: String,
    },
    /// What is to be read is longer than the model can read.
    ContextTooLong {
        /// Most tokens that it can.
        tokens_max: u64,
    },
    /// The model's server refused what it was asked.
    UpstreamRefused {
        /// Why, in its own words. Content.
        said: Option<String>,
    },
    /// The model's server has too much to do.
    UpstreamBusy {
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The model cannot be reached, or broke off.
    UpstreamDown,
    /// The store does not answer.
    StoreDown,
    /// The turn was stopped.
    Cancelled,
    /// A defect of Parlance.
    Internal,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is required and absent.
    Missing,
    /// It has another type than the one expected. Both in words: `a string`, `an array`.
    WrongType {
        /// What is expected.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// It has more characters than allowed.
    TooLong {
        /// The most allowed.
        max: usize,
        /// How many came.
        got: usize,
    },
    /// It is empty, or nothing but white space.
    Blank,
    /// It has more elements than allowed.
    TooMany {
        /// The most allowed.
        max: usize,
        /// How many came.
        got: usize,
    },
    /// A number above its maximum.
    AboveMax {
        /// The maximum.
        max: i64,
        /// What came.
        got: i64,
    },
    /// A number below its minimum.
    BelowMin {
        /// The minimum.
        min: i64,
        /// What came.
        got: i64,
    },
    /// Not one of the values that there are.
    NotOneOf {
        /// What came.
        got: String,
        /// What there is.
        allowed: &'static [&'static str],
    },
    /// It cannot be read as what it should be.
    Malformed {
        /// What it should be: `a UUID`, `an integer`.
        expected: &'static str,
    },
    /// Two values that exclude each other.
    Exclusive {
        /// The other one.
        with: &'static str,
    },
    /// It names another user than the key's own.
    ForeignUser,
    /// The vendor has it, Parlance does not.
    NotSupported {
        /// What it is: a value that the client sent.
        what: String,
    },
}

/// How a body is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedBody {
    /// There is none, and the route needs one.
    Absent,
    /// It is not JSON.
    NotJson {
        /// How far it was readable, in characters from 0.
        at: usize,
    },
    /// It is JSON of another kind than the route takes, such as a list for an object.
    NotObject,
    /// It is not text in UTF-8.
    NotUtf8,
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialProblem {
    /// There is none.
    Missing,
    /// The header is not of the form that the dialect wants.
    BadScheme,
    /// It is not, or no longer, a key for this dialect.
    Unknown,
}

/// What can be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A conversation.
    Conversation,
    /// The conversation that a page should start after.
    AnchorConversation,
    /// An item of a conversation.
    Item,
    /// The item that a page should start after.
    AnchorItem,
    /// A turn.
    Turn,
    /// The turn that a new one is to continue.
    PreviousTurn,
    /// An app, where names are strict.
    App,
}

/// Why something cannot be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Another turn is running in the conversation.
    ConversationBusy,
    /// An item with that id is in the conversation already.
    DuplicateItem,
    /// The conversation is not running (OpenHands).
    NotRunning,
    /// Somebody else has changed it meanwhile, again and again.
    Contended,
    /// A legal hold keeps it from being destroyed.
    Held,
}

/// A fault with its cause. The cause is logged once, at the boundary, and never sent.
#[derive(Debug)]
pub struct Error {
    /// What the client is told.
    pub fault: Fault,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A fault that has a cause.
    pub fn caused_by(fault: Fault, cause: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            fault,
            cause: Some(Box::new(cause)),
        }
    }

    /// An unacceptable value at `field`.
    pub fn invalid(field: impl Into<String>, why: Reason) -> Self {
        Fault::Invalid {
            field: field.into(),
            why,
        }
        .into()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { fault, cause: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variant's name alone: its fields may hold what a client wrote.
        let name = match &self.fault {
            Fault::Invalid { .. } => "invalid value",
            Fault::MalformedBody(_) => "malformed body",
            Fault::Unsupported { feature } => return write!(f, "unsupported: {feature}"),
            Fault::Unauthenticated(_) => "unauthenticated",
            Fault::Forbidden { scope } => return write!(f, "forbidden: needs {scope}"),
            Fault::WrongMode => "wrong mode of the app",
            Fault::NotFound(noun) => return write!(f, "not found: {noun:?}"),
            Fault::Conflict(what) => return write!(f, "conflict: {what:?}"),
            Fault::NoSuchRoute => "no such route",
            Fault::MethodNotAllowed => "method not allowed",
            Fault::BodyTooLarge { bytes_max } => return write!(f, "body over {bytes_max} bytes"),
            Fault::BodyTimeout => "body timeout",
            Fault::Busy { .. } => "busy",
            Fault::NoToolOutput { .. } => "no output of a tool",
            Fault::ContextTooLong { .. } => "too long for the model",
            Fault::UpstreamRefused { .. } => "model refused",
            Fault::UpstreamBusy { .. } => "model busy",
            Fault::UpstreamDown => "model unreachable",
            Fault::StoreDown => "store unavailable",
            Fault::Cancelled => "cancelled",
            Fault::Internal => "internal error",
        };
        f.write_str(name)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| {
            let cause: &(dyn StdError + 'static) = cause;
            cause
        })
    }
}

/// Writes an error with all its sources, for the one log line that reports it.
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}
