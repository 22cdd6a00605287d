//! SQLite's way to the disk. Does what SQLite's own VFS for Unix does with a real one, down to the
//! order of its calls and to what it makes of their errors.
//!
//! There are no files without a name: SQLite wants them for what does not fit into memory, and a store
//! keeps all of that in memory.

#![expect(
    unsafe_code,
    reason = "SQLite is written in C: it calls these functions with pointers of its own"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

use rusqlite::ffi;

use crate::disk::Disk;
use crate::lock::{LOCKS, Level};
use crate::opened::{Answer, Open, retried};

/// The name of the VFS, to open connections with.
pub const NAME: &str = "parlance-faultdisk";
/// The same for SQLite.
const NAME_IN_C: &CStr = c"parlance-faultdisk";
/// The longest path.
const PATH_MAX: c_int = 512;
/// What SQLite takes for a sector on Unix.
const SECTOR: c_int = 4_096;
/// The beginning of a database, which says whether it has a size: an empty one is as good as none.
const EMPTY: u64 = 0;

/// A file as SQLite holds it. The first field is what SQLite knows of it.
#[repr(C)]
struct Slot {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes SQLite know the VFS, under [`NAME`]. Paths say which disk is meant. More calls change nothing.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 1,
            szOsFile: c_int::try_from(size_of::<Slot>()).unwrap_or(c_int::MAX),
            mxPathname: PATH_MAX,
            pNext: ptr::null_mut(),
            zName: NAME_IN_C.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the VFS is never freed, and neither are its name and its functions.
        let done = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(done, ffi::SQLITE_OK, "SQLite does not take the VFS");
    });
}

fn code(answer: Answer) -> c_int {
    match answer {
        Ok(()) => ffi::SQLITE_OK,
        Err(code) => code,
    }
}

/// The path that SQLite names.
///
/// # Safety
/// `name` is null or a string that ends with a zero and outlives the path.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for it.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}

/// The open file in one of SQLite's.
///
/// # Safety
/// [`open`] has succeeded for the file and `close` was not called, and no other call for the file is
/// going on: SQLite uses each of its files in one thread at a time.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    let slot = file.cast::<Slot>();
    // SAFETY: SQLite has reserved `szOsFile` bytes for the file, which `open` has filled.
    let open = unsafe { (*slot).open };
    // SAFETY: `open` has put a box there, which only `close` takes away again.
    unsafe { &mut *open }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let slot = file.cast::<Slot>();
    // SAFETY: SQLite gives `szOsFile` bytes for the file. Without methods it is not closed.
    unsafe { (*slot).base.pMethods = ptr::null() };
    // SAFETY: SQLite gives a string, or null for a file without a name.
    let Some(path) = (unsafe { path(name) }) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let makes = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let Some(disk) = Disk::of(path) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let Ok(opened) = disk.open(path, makes) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let logs =
        ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    let open = Box::new(Open {
        file: opened,
        level: Level::None,
        is_new: makes && flags & logs != 0,
        memory: None,
        held: [false; LOCKS],
    });
    let base = ffi::sqlite3_file {
        pMethods: &raw const METHODS,
    };
    let open = Box::into_raw(open);
    // SAFETY: as above; what was there is no value that would have to be dropped.
    unsafe { slot.write(Slot { base, open }) };
    if !flags_out.is_null() {
        // SAFETY: it is not null, so SQLite wants to know.
        unsafe { *flags_out = flags };
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what it has opened, once.
    let open = unsafe { opened(file) };
    open.let_go_of_memory();
    open.unlock(Level::None);
    // SAFETY: `open` has made it by `Box::into_raw`, and nobody uses it after this.
    drop(unsafe { Box::from_raw(ptr::from_mut(open)) });
    let slot = file.cast::<Slot>();
    // SAFETY: the slot is SQLite's until this returns.
    unsafe { (*slot).base.pMethods = ptr::null() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: SQLite gives a string.
    let Some(path) = (unsafe { path(name) }) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    let delete = || {
        let disk = Disk::of(path).ok_or(ffi::SQLITE_IOERR_DELETE)?;
        disk.remove(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ffi::SQLITE_IOERR_DELETE_NOENT,
            _ => ffi::SQLITE_IOERR_DELETE,
        })?;
        if sync_folder & 1 != 0
            && let Some(folder) = path.parent()
        {
            let synced = disk.sync_folder(folder);
            synced.map_err(|_| ffi::SQLITE_IOERR_DIR_FSYNC)?;
        }
        Ok(())
    };
    code(delete())
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a string.
    let path = unsafe { path(name) };
    let is_there = path.is_some_and(|path| exists(path, flags == ffi::SQLITE_ACCESS_EXISTS));
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(is_there) };
    ffi::SQLITE_OK
}

/// Whether there is a file. What cannot be asked is not there, and nor is what is empty, if `unless_empty`.
fn exists(path: &Path, unless_empty: bool) -> bool {
    let Some(disk) = Disk::of(path) else {
        return false;
    };
    if !disk.exists(path).unwrap_or(false) {
        return false;
    }
    !unless_empty || disk.length(path) != Some(EMPTY)
}

unsafe extern "C" fn full_path(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a string.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(room).map_or(true, |room| room < bytes.len()) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `out` has `room` bytes, which are enough, and SQLite's two strings are apart.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    ffi::SQLITE_OK
}

/// Asked of SQLite's own VFS alone, and so never.
unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    std::thread::park_timeout(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    micros
}

/// 1970, in days of the Julian calendar: nothing that is kept depends on it.
unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = 2_440_587.5 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite reads from what it has opened.
    let open = unsafe { opened(file) };
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: SQLite gives a buffer of this size, which nobody else uses meanwhile.
    let to = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), count) };
    code(open.read(to, u64::try_from(at).unwrap_or(0)))
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite writes to what it has opened.
    let open = unsafe { opened(file) };
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: SQLite gives a buffer of this size, which nobody changes meanwhile.
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), count) };
    code(open.write(from, u64::try_from(at).unwrap_or(0)))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite changes what it has opened.
    let open = unsafe { opened(file) };
    let done = retried(|| open.file.resize(u64::try_from(length).unwrap_or(0)));
    code(done.map_err(|_| ffi::SQLITE_IOERR_TRUNCATE))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite syncs what it has opened.
    let open = unsafe { opened(file) };
    code(open.sync())
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite measures what it has opened.
    let open = unsafe { opened(file) };
    let Ok(length) = open.file.len() else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = i64::try_from(length).unwrap_or(i64::MAX) };
    ffi::SQLITE_OK
}

fn level(number: c_int) -> Level {
    match number {
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        ffi::SQLITE_LOCK_EXCLUSIVE => Level::Exclusive,
        _ => Level::None,
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, number: c_int) -> c_int {
    // SAFETY: SQLite locks what it has opened.
    let open = unsafe { opened(file) };
    let (held, wanted) = (open.level, level(number));
    match open.file.locks(|locks| locks.raise(held, wanted)) {
        None => ffi::SQLITE_IOERR_LOCK,
        Some((done, held)) => {
            open.level = held;
            if done {
                ffi::SQLITE_OK
            } else {
                ffi::SQLITE_BUSY
            }
        }
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, number: c_int) -> c_int {
    // SAFETY: SQLite unlocks what it has opened.
    let open = unsafe { opened(file) };
    open.unlock(level(number));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite asks about what it has opened.
    let open = unsafe { opened(file) };
    let reserved = open.file.locks(|locks| locks.is_reserved());
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(reserved.unwrap_or(false)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

const unsafe extern "C" fn sector(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR
}

const unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    number: c_int,
    bytes: c_int,
    grow: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite shares the memory of what it has opened.
    let open = unsafe { opened(file) };
    let (number, bytes) = (usize::try_from(number), usize::try_from(bytes));
    let (Ok(number), Ok(bytes)) = (number, bytes) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    let found = open.region(number, bytes, grow != 0);
    let place = found.unwrap_or(None).unwrap_or(ptr::null_mut());
    // SAFETY: SQLite gives a place for the answer. The region stays where it is until the connection
    // lets go of it, or closes the file.
    unsafe { *out = place };
    code(found.map(drop))
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    from: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite locks the memory of what it has opened.
    let open = unsafe { opened(file) };
    let (Ok(from), Ok(count)) = (usize::try_from(from), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    code(open.lock_memory(from, count, flags))
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    atomic::fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite lets go of the memory of what it has opened.
    let open = unsafe { opened(file) };
    open.let_go_of_memory();
    ffi::SQLITE_OK
}
