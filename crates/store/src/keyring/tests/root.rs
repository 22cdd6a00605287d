//! Where the root key is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

pub(super) fn program(dir: &Path, text: &str) -> RootCommand {
    let path = dir.join("root.sh");
    fs::write(&path, text).unwrap();
    let key = dir.join("key");
    // Run by its interpreter: a file that was just written may still be open in a forked child.
    let arguments = [&path, &key].map(|path| path.to_str().unwrap().to_owned());
    RootCommand::new("/bin/sh", arguments.into())
}

const KEEPS: &str = "case $2 in\nget) cat $1 2>/dev/null || true;;\nput) cat >$1;;\n\
                     destroy) rm -f $1;;\nesac\n";

#[test]
fn a_root_file_is_made_with_the_keyring_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring");
    let options = Options {
        mirror: None,
        root: Arc::new(RootFile::beside(&path, None)),
    };
    let made = Keyring::create(&path, STORE, &options).unwrap();
    let secret = made.secret("users");
    drop(made);
    let mode = fs::metadata(path.join("root.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let opened = Keyring::open(&path, STORE, Mark::default(), &options).unwrap();
    assert_eq!(*opened.secret("users"), *secret);
}

#[test]
fn a_root_file_that_others_can_read_is_refused() {
    for mode in [0o644, 0o640, 0o601] {
        let dir = tempfile::tempdir().unwrap();
        let root = RootFile::new(dir.path().join("root.key"));
        root.put(&[5; 32]).unwrap();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.path().join("root.key"), permissions).unwrap();
        let error = root.get().unwrap_err();
        assert!(matches!(error, RootError::Exposed { .. }), "{error}");
        let options = Options {
            mirror: None,
            root: Arc::new(root),
        };
        let made = Keyring::create(&dir.path().join("keyring"), STORE, &options);
        assert!(matches!(
            made.err(),
            Some(KeyringError::Root(RootError::Exposed { .. }))
        ));
    }
}

#[test]
fn a_root_file_is_replaced_and_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let root = RootFile::new(dir.path().join("root.key"));
    assert!(matches!(root.get(), Err(RootError::Absent(_))));
    root.put(&[5; 32]).unwrap();
    root.put(&[0xa6; 32]).unwrap();
    assert_eq!(*root.get().unwrap(), [0xa6; 32]);
    root.destroy().unwrap();
    root.destroy().unwrap();
    assert!(matches!(root.get(), Err(RootError::Absent(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    let root = RootFile::new(&path);
    root.put(&[5; 32]).unwrap();
    let long = "05".repeat(33);
    let wrong = "0x".repeat(32);
    for text in ["", "05", &long, &wrong, &"05".repeat(500)] {
        fs::write(&path, text).unwrap();
        let error = root.get().unwrap_err();
        assert!(matches!(error, RootError::Malformed(_)), "{text}: {error}");
    }
    fs::write(&path, format!("{}\n", "0A".repeat(32))).unwrap();
    assert_eq!(*root.get().unwrap(), [10; 32]);
}

#[test]
fn a_root_file_with_a_mirror_is_kept_in_both_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let options = Options {
        mirror: Some(two.clone()),
        root: Arc::new(RootFile::beside(&one, Some(&two))),
    };
    drop(Keyring::create(&one, STORE, &options).unwrap());
    let key = fs::read(one.join("root.key")).unwrap();
    assert_eq!(fs::read(two.join("root.key")).unwrap(), key);
    fs::remove_dir_all(&two).unwrap();
    drop(Keyring::open(&one, STORE, Mark::default(), &options).unwrap());
    assert_eq!(fs::read(two.join("root.key")).unwrap(), key);
    RootFile::new(two.join("root.key")).put(&[1; 32]).unwrap();
    let opened = Keyring::open(&one, STORE, Mark::default(), &options);
    assert!(matches!(
        opened.err(),
        Some(KeyringError::Root(RootError::Differ(..)))
    ));
}

#[test]
fn a_program_keeps_gives_and_destroys_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = program(dir.path(), KEEPS);
    assert!(matches!(root.get(), Err(RootError::Absent(_))));
    root.put(&[0x5b; 32]).unwrap();
    assert_eq!(*root.get().unwrap(), [0x5b; 32]);
    root.destroy().unwrap();
    assert!(matches!(root.get(), Err(RootError::Absent(_))));
}

#[test]
fn a_keyring_is_made_and_opened_with_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        mirror: None,
        root: Arc::new(program(dir.path(), KEEPS)),
    };
    let path = dir.path().join("keyring");
    let made = Keyring::create(&path, STORE, &options).unwrap();
    let at = take(&made, 1)[0];
    let known = commitment(&made, at);
    let mark = made.mark();
    drop(made);
    let opened = Keyring::open(&path, STORE, mark, &options).unwrap();
    assert_eq!(commitment(&opened, at), known);
}

#[test]
fn a_program_that_fails_is_told_without_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let root = program(dir.path(), "echo canary; echo canary >&2; exit 3\n");
    let error = root.get().unwrap_err();
    assert!(
        matches!(error, RootError::Failed { verb: "get", .. }),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(root.put(&[1; 32]).is_err());
    let root = program(dir.path(), "echo canary\n");
    let error = root.get().unwrap_err();
    assert!(matches!(error, RootError::Malformed(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    let absent = RootCommand::new(dir.path().join("nothing"), Vec::new());
    assert!(matches!(absent.get(), Err(RootError::Program { .. })));
}
