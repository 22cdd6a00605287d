//! Where the root key is kept: the key that all others are sealed under.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::disk::{self, Disk};

/// Bytes of a root key.
const KEY: usize = 32;
/// The most that is read of what a program says: a key in hexadecimal digits, and some white space.
const ANSWER_MAX: usize = 128;
/// The bits of a file's mode that let others at it.
const OTHERS: u32 = 0o077;

/// Why the root key cannot be had, kept or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is none.
    #[error("there is no root key in {0}: bring it back; without it the keyring cannot be opened")]
    Absent(String),
    /// Others can read it.
    #[error(
        "the root key in `{}` has mode {mode:o}, so that others can get at it: make it 600, and \
         think about who has read it", .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is there is no key.
    #[error("what {0} gives is no root key: 64 hexadecimal digits are expected")]
    Malformed(String),
    /// Two copies differ.
    #[error("the root keys in `{}` and `{}` differ: remove the wrong one", .0.display(), .1.display())]
    Differ(PathBuf, PathBuf),
    /// A file cannot be used.
    #[error("could not {during} the root key in `{}`", .path.display())]
    File {
        /// What was being done.
        during: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program cannot be run.
    #[error("could not run `{}` for the root key", .program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program has failed.
    #[error("`{} {verb}` failed for the root key ({status}): run it by hand to see why", .program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// What it was told to do.
        verb: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

/// Keeps the root key.
pub trait Root: Send + Sync {
    /// The root key. [`RootError::Absent`] means that there certainly is none.
    fn get(&self) -> Result<Zeroizing<[u8; KEY]>, RootError>;

    /// Keeps a root key, in place of one that may be there. It is durable when this returns.
    fn put(&self, key: &[u8; KEY]) -> Result<(), RootError>;

    /// Destroys the root key, so that nobody has it any more. Nothing to destroy is no error.
    fn destroy(&self) -> Result<(), RootError>;

    /// A second place for a root key, apart from this one. Without it the root cannot be renewed: the
    /// next one has to be kept before this one is destroyed.
    fn second(&self) -> Option<&dyn Root> {
        None
    }

    /// Called with the root key when it has opened a keyring: copies of it that are missing can be made.
    fn complete(&self, _key: &[u8; KEY]) -> Result<(), RootError> {
        Ok(())
    }
}

/// A root key in a file of mode 600, and in another one if the keyring has a mirror.
pub struct RootFile {
    disk: Arc<dyn Disk>,
    paths: Vec<PathBuf>,
}

impl RootFile {
    /// In this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            disk: Arc::new(disk::Machine),
            paths: vec![path.into()],
        }
    }

    /// In the files `root.key` of a keyring and of its mirror.
    pub fn beside(keyring: &Path, mirror: Option<&Path>) -> Self {
        Self::beside_on(Arc::new(disk::Machine), keyring, mirror)
    }

    /// There, on this disk.
    pub(crate) fn beside_on(disk: Arc<dyn Disk>, keyring: &Path, mirror: Option<&Path>) -> Self {
        Self {
            disk,
            paths: std::iter::once(keyring)
                .chain(mirror)
                .map(|dir| dir.join("root.key"))
                .collect(),
        }
    }
}

impl Root for RootFile {
    fn get(&self) -> Result<Zeroizing<[u8; KEY]>, RootError> {
        let mut found: Option<(&Path, Zeroizing<[u8; KEY]>)> = None;
        for path in &self.paths {
            let Some(key) = read_key(&*self.disk, path)? else {
                continue;
            };
            match &found {
                Some((other, known)) if **known != *key => {
                    return Err(RootError::Differ((*other).to_owned(), path.clone()));
                }
                Some(_) => {}
                None => found = Some((path, key)),
            }
        }
        let (_, key) = found.ok_or_else(|| {
            let path = self.paths.first().map(|path| path.display().to_string());
            RootError::Absent(format!("`{}`", path.unwrap_or_default()))
        })?;
        Ok(key)
    }

    fn put(&self, key: &[u8; KEY]) -> Result<(), RootError> {
        self.paths
            .iter()
            .try_for_each(|path| write_key(&*self.disk, path, key))
    }

    fn destroy(&self) -> Result<(), RootError> {
        self.paths
            .iter()
            .try_for_each(|path| destroy_key(&*self.disk, path))
    }

    fn complete(&self, key: &[u8; KEY]) -> Result<(), RootError> {
        for path in &self.paths {
            if read_key(&*self.disk, path)?.is_none() {
                write_key(&*self.disk, path, key)?;
            }
        }
        Ok(())
    }
}

fn trouble(during: &'static str, path: &Path) -> impl Fn(io::Error) -> RootError {
    let path = path.to_owned();
    move |source| RootError::File {
        during,
        path: path.clone(),
        source,
    }
}

/// The key in a file; none if there is no file.
fn read_key(disk: &dyn Disk, path: &Path) -> Result<Option<Zeroizing<[u8; KEY]>>, RootError> {
    let mut text = Zeroizing::new([0; ANSWER_MAX]);
    let mode = match disk.peek(path, text.as_mut_slice()) {
        Ok(mode) => mode,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble("read", path)(error)),
    };
    if mode & OTHERS != 0 {
        return Err(RootError::Exposed {
            path: path.to_owned(),
            mode: mode & 0o7777,
        });
    }
    decode(text.as_slice())
        .map(Some)
        .ok_or_else(|| RootError::Malformed(format!("`{}`", path.display())))
}

/// Writes the key beside its place and then moves it there: there is never half a key.
fn write_key(disk: &dyn Disk, path: &Path, key: &[u8; KEY]) -> Result<(), RootError> {
    let draft = path.with_extension("new");
    let write = || -> io::Result<()> {
        // One that is there may have another mode.
        match disk.remove(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&draft, true)?;
        disk::write(&*file, encode(key).as_bytes(), 0)?;
        file.sync()?;
        disk.rename(&draft, path)?;
        disk.sync_dir(folder(path))
    };
    write().map_err(trouble("write", path))
}

/// Overwrites the key in place before its name goes.
fn destroy_key(disk: &dyn Disk, path: &Path) -> Result<(), RootError> {
    let destroy = || -> io::Result<()> {
        let file = match disk.open(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        disk::write(&*file, &vec![0; length.min(ANSWER_MAX)], 0)?;
        file.sync()?;
        disk.remove(path)?;
        disk.sync_dir(folder(path))
    };
    destroy().map_err(trouble("destroy", path))
}

/// The directory that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A root key that a program keeps, in a vault or a key management service.
///
/// It is called, without a shell, with its arguments and then one of
/// * `get`: writes the key as 64 hexadecimal digits to its standard output, or nothing if there is none;
/// * `put`: reads the key so from its standard input, and has made it durable when it ends;
/// * `destroy`: destroys the key with all its versions;
/// * `get-second`, `put-second`, `destroy-second`: the same for a second key, apart from the first. Only
///   where the root is renewed.
///
/// It ends with 0, or it has failed. What it writes is never logged; its standard error goes nowhere.
pub struct RootCommand {
    keeper: Keeper,
    second: Keeper,
}

/// A program, and what it is told for one of its two keys.
struct Keeper {
    program: PathBuf,
    arguments: Vec<String>,
    verbs: [&'static str; 3],
}

impl RootCommand {
    /// The program and its own arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<String>) -> Self {
        let program = program.into();
        Self {
            keeper: Keeper {
                program: program.clone(),
                arguments: arguments.clone(),
                verbs: ["get", "put", "destroy"],
            },
            second: Keeper {
                program,
                arguments,
                verbs: ["get-second", "put-second", "destroy-second"],
            },
        }
    }
}

impl Root for RootCommand {
    fn get(&self) -> Result<Zeroizing<[u8; KEY]>, RootError> {
        self.keeper.get()
    }

    fn put(&self, key: &[u8; KEY]) -> Result<(), RootError> {
        self.keeper.put(key)
    }

    fn destroy(&self) -> Result<(), RootError> {
        self.keeper.destroy()
    }

    fn second(&self) -> Option<&dyn Root> {
        Some(&self.second)
    }
}

impl Keeper {
    fn run(
        &self,
        verb: &'static str,
        input: &str,
    ) -> Result<Zeroizing<[u8; ANSWER_MAX]>, RootError> {
        let trouble = |source| RootError::Program {
            program: self.program.clone(),
            source,
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(trouble)?;
        // A program that does not read its input is judged by how it ends.
        let given = child
            .stdin
            .take()
            .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let answer = child.stdout.take().map_or_else(
            || Ok(Zeroizing::new([0; ANSWER_MAX])),
            |mut stdout| read_some(&mut stdout),
        );
        let status = child.wait().map_err(trouble)?;
        if !status.success() {
            return Err(RootError::Failed {
                program: self.program.clone(),
                verb,
                status,
            });
        }
        given.map_err(trouble)?;
        answer.map_err(trouble)
    }
}

impl Root for Keeper {
    fn get(&self) -> Result<Zeroizing<[u8; KEY]>, RootError> {
        let [get, ..] = self.verbs;
        let answer = self.run(get, "")?;
        let name = || format!("the program `{}`", self.program.display());
        if answer
            .iter()
            .all(|byte| *byte == 0 || byte.is_ascii_whitespace())
        {
            return Err(RootError::Absent(name()));
        }
        decode(answer.as_slice()).ok_or_else(|| RootError::Malformed(name()))
    }

    fn put(&self, key: &[u8; KEY]) -> Result<(), RootError> {
        let [_, put, _] = self.verbs;
        self.run(put, &encode(key)).map(drop)
    }

    fn destroy(&self) -> Result<(), RootError> {
        let [.., destroy] = self.verbs;
        self.run(destroy, "").map(drop)
    }
}

/// Reads to the end, or until it is too much to be a key. What was not read is zero.
fn read_some(from: &mut impl Read) -> io::Result<Zeroizing<[u8; ANSWER_MAX]>> {
    let mut answer = Zeroizing::new([0; ANSWER_MAX]);
    let mut free = answer.as_mut_slice();
    while !free.is_empty() {
        match from.read(free) {
            Ok(0) => break,
            Ok(count) => free = free.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

fn encode(key: &[u8; KEY]) -> Zeroizing<String> {
    // As long as it gets, so that it is not moved and left behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
    for byte in key {
        for half in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    text
}

fn decode(text: &[u8]) -> Option<Zeroizing<[u8; KEY]>> {
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    let text = text.get(..end)?.trim_ascii();
    if text.len() != 2 * KEY {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY]);
    for (to, [high, low]) in key.iter_mut().zip(text.as_chunks::<2>().0) {
        *to = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(key)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
