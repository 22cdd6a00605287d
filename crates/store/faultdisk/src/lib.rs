//! A disk in memory, for tests: it fails, fills up, and loses power at any call, and what was not
//! synced is then lost, torn or reordered by chance. SQLite reaches it through a VFS.
//!
//! The same seed and the same calls lead to the same faults and to the same disk afterwards.
//!
//! # Model
//!
//! A file has an image on the disk and changes that are in the page cache alone, in their order.
//! * [`File::sync`] brings the file's changes to the disk. A *failed* sync brings some of them there,
//!   by chance, and forgets about the rest, as Linux does: they can be read for as long as the cache
//!   keeps them, the next sync does not know of them and succeeds.
//! * Names are apart from files. A name that is made, removed or given to another file is so on the
//!   disk when its folder is synced, not when the file is. The names of a sync that has failed wait for
//!   the next one: file systems keep a journal of them.
//! * When the power goes, any of the changes that were not synced has reached the disk, wholly, or
//!   some of its sectors of 512 bytes, or a part that ends within a sector; in any order. Bytes that
//!   were not written do not change.
//! * A process that ends takes no change with it: the cache stays, but for what a failed sync forgot,
//!   which the cache may let go of.
//! * A full disk refuses to let files grow by a block. What is overwritten in place needs no room, and
//!   neither do names.
//!
//! Invariant: nothing here is part of a server, and `unsafe` is in the module `vfs` alone, which does
//! nothing but translate SQLite's calls.

mod chance;
mod content;
mod disk;
mod fault;
mod file;
mod lock;
mod names;
mod opened;
mod vfs;

pub use chance::Chance;
pub use disk::Disk;
pub use fault::{Call, Fault, Fired, Unsynced, What};
pub use file::File;
pub use vfs::{NAME, register};
