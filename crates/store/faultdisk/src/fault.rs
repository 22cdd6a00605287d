//! What is done with a disk, and what goes wrong with it.

use std::io::ErrorKind;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails. A write may have done a part of its work; what a sync has not brought to the
    /// disk, the next one does not either.
    Fails(ErrorKind),
    /// A call that writes fails for want of room, once.
    NoSpace,
    /// From this call on there is no room but what is given back, until [`Disk::make_room`](crate::Disk::make_room). Files that
    /// are removed give theirs back when their folder is synced.
    Full,
    /// A read or write does half of what it is told.
    Short,
    /// The process ends before the call does anything: this one and all later ones fail, until
    /// [`Disk::respawn`](crate::Disk::respawn).
    Kill,
    /// The power goes: this call and all later ones fail, until [`Disk::reboot`](crate::Disk::reboot).
    PowerCut,
}

/// What power loss does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// All of it is lost.
    Lost,
    /// All of it is kept.
    Kept,
    /// By chance.
    Torn,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    Open,
    Make,
    Remove,
    Rename,
    Exists,
    MakeFolder,
    SyncFolder,
    Read,
    Write,
    Resize,
    Sync,
    Measure,
    /// Memory that is shared between the connections of a database.
    Share,
}

impl What {
    /// Whether a fault can happen to such a call.
    pub fn can(self, fault: Fault) -> bool {
        match fault {
            Fault::Fails(_) | Fault::Kill | Fault::PowerCut | Fault::Full => true,
            Fault::Short => matches!(self, Self::Read | Self::Write),
            Fault::NoSpace => matches!(
                self,
                Self::Make | Self::MakeFolder | Self::Rename | Self::Write | Self::Share
            ),
        }
    }
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub what: What,
    /// With which file or folder, from the root on.
    pub name: String,
}

/// A fault that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The call's number.
    pub number: u64,
    /// The call.
    pub call: Call,
    /// The fault.
    pub fault: Fault,
}
