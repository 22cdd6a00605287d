//! What can be wrong with a keyring, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::{KeyRef, RootError};

/// Why a keyring cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no keyring.
    #[error(
        "there is no keyring in `{}`: bring it back from its mirror or from a snapshot; without it \
         nothing that the store holds can be read", .0.display()
    )]
    Absent(PathBuf),
    /// There is one where a new one was to be made.
    #[error(
        "a keyring is in `{}` already, and it is not overwritten: move it away if it belongs to no \
         store any more", .0.display()
    )]
    Exists(PathBuf),
    /// It was made for another store.
    #[error("the keyring in `{}` belongs to another store: put this store's own there", .0.display())]
    Foreign(PathBuf),
    /// It is of an earlier time than the database.
    #[error(
        "the keyring in `{}` is older than the database (it is at {found}, the database has seen \
         {recorded}): put the newest one there, or restore both with `parlance restore`", .path.display()
    )]
    Older {
        /// The keyring.
        path: PathBuf,
        /// The epoch, or the generation of a slot, that it has.
        found: u64,
        /// The least that the database calls for.
        recorded: u64,
    },
    /// Something is missing at its end.
    #[error(
        "`{}` is shorter than recorded ({found} instead of {recorded}): it was cut off or \
         is of another time; put the whole keyring back", .path.display()
    )]
    Shorter {
        /// The file, or the keyring where it is segments that are missing.
        path: PathBuf,
        /// Its bytes, or the keyring's segments.
        found: u64,
        /// The least that there must be.
        recorded: u64,
    },
    /// The root key is not the one that the keyring is sealed under.
    #[error(
        "the root key does not open the keyring in `{}`: give it the root key that it was made \
         with", .0.display()
    )]
    RootDoesNotOpen(PathBuf),
    /// A newer Parlance has written it.
    #[error(
        "the keyring in `{}` has version {version}: use the Parlance that wrote it, or a newer one",
        .path.display()
    )]
    Newer {
        /// The keyring.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Something in it is damaged.
    #[error("{what} {number} of the keyring in `{}` is damaged: take it from its mirror or from a \
             snapshot", .path.display())]
    Torn {
        /// The keyring.
        path: PathBuf,
        /// What: `header`, `segment` or `slot`.
        what: &'static str,
        /// Which, counted from zero.
        number: u32,
    },
    /// The two copies say things of which only one can be true.
    #[error(
        "the keyring in `{}` and its mirror in `{}` contradict each other about {what} {number}: move \
         the wrong one away, it is then made again from the other", .path.display(), .mirror.display()
    )]
    Contradiction {
        /// The keyring.
        path: PathBuf,
        /// Its mirror.
        mirror: PathBuf,
        /// About what: `segment` or `slot`.
        what: &'static str,
        /// Which, counted from zero.
        number: u32,
    },
    /// No key is in stock, and there is no room for more. Wipes work all the same.
    #[error("there is no room for more keys in the keyring: free some space on its disk")]
    Empty(#[source] io::Error),
    /// Every number for a slot or an epoch is used up.
    #[error("the keyring has no numbers left for more keys")]
    Exhausted,
    /// No keyring can have made this key.
    #[error("slot {} and generation {} name no key", .0.slot, .0.generation)]
    Impossible(KeyRef),
    /// It was not compared with the database yet, and so does not know which slots are free.
    #[error("the keyring was not settled with the database yet")]
    Unsettled,
    /// It was compared with the database before.
    #[error("the keyring is settled with the database already")]
    Settled,
    /// The process is about to end.
    #[error("the keyring is being closed")]
    Closed,
    /// The operating system gives no random bits.
    #[error("the operating system gives no random bits")]
    Random,
    /// The root key cannot be replaced, because it is a file.
    #[error(
        "the root key is a file, which cannot be destroyed for certain: let a program keep it in a \
         vault, and name that as `keyring.root_command`"
    )]
    FixedRoot,
    /// The program of the root does not do what it has to while one root takes another's place.
    #[error(
        "the program of `keyring.root_command` does not {0}, so that the root cannot be renewed: see what \
         docs/configuration.md asks of it"
    )]
    OneRoot(&'static str),
    /// The root key cannot be had.
    #[error("could not get, keep or destroy the root key")]
    Root(#[from] RootError),
    /// A file cannot be opened or read. Nothing is lost by trying again.
    #[error("could not {during} `{}`", .path.display())]
    Io {
        /// What was being done.
        during: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something could not be written, so that nobody knows what the disk holds. Fatal.
    #[error(
        "could not {during} `{}`: nobody knows what the disk holds now; the process has to end, and \
         to look at the disk anew when it starts", .path.display()
    )]
    Broken {
        /// What was being done.
        during: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An earlier call was [`Broken`](Self::Broken); nothing is tried again. Fatal.
    #[error("the keyring could not be written before, and is not used again by this process")]
    Failed,
}

impl KeyringError {
    /// Whether the process has to end: it cannot know what is on the disk, and asking again would be
    /// answered from memory.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Failed)
    }
}

/// For what reads.
pub(super) fn reading(during: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::Io {
        during,
        path,
        source,
    }
}

/// For what writes.
pub(super) fn writing(during: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::Broken {
        during,
        path,
        source,
    }
}

/// A file that cannot grow has lost nothing: the header does not count what was to come.
pub(super) fn no_room(error: KeyringError) -> KeyringError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if let KeyringError::Broken { source, .. } = &error
        && matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    {
        return KeyringError::Empty(source.kind().into());
    }
    error
}
