//! Where conversations are kept: SQLite, and a model of it in memory that tests compare it with.
//!
//! Invariant: content reaches a database only as [`Sealed`], and no row is read or changed but by a
//! statement that names the project and, below it, the owner or what the owner's row led to.

pub mod audit;
pub mod backup;
pub mod erasures;
pub mod keyring;
pub mod memory;
pub mod seal;
pub mod sqlite;

mod codec;
mod sync;

pub use keyring::{KeyRef, Keyring, KeyringError, Mark, RecordKey};
pub use memory::Memory;
pub use seal::{Field, Place, Record, Renewal, SealError, Sealed, Sealer, Taken, Vault};
pub use sqlite::{Durability, Keys, OpenError, Options, Sqlite};
