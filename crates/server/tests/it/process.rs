//! Starting the binary, and talking to it in the plainest way.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const BINARY: &str = env!("CARGO_BIN_EXE_parlance");

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    /// `host:port`.
    pub(crate) address: String,
    log: Arc<Mutex<String>>,
}

/// A folder for one test, with a data directory in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a server, with these variables, and waits until it listens.
    pub(crate) fn serve(&self, env: &[(&str, &str)]) -> Server {
        let (server, mut stderr) = self.launch(self.command(env));
        let written = Arc::clone(&server.log);
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                written.lock().expect("the log").push_str(&line);
                line.clear();
            }
        });
        server
    }

    /// Starts a server whose log nobody can read once it listens.
    pub(crate) fn serve_unheard(&self) -> Server {
        self.launch(self.command(&[])).0
    }

    fn command(&self, env: &[(&str, &str)]) -> Command {
        command(&["serve", "--listen", "127.0.0.1:0"], &self.data(), env)
    }

    fn launch(&self, mut command: Command) -> (Server, BufReader<ChildStderr>) {
        let printed = File::options()
            .create(true)
            .append(true)
            .open(self.printed_to());
        let mut child = command
            .stdout(printed.expect("a file"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error"));
        let mut first = String::new();
        let address = loop {
            let from = first.len();
            let read = stderr.read_line(&mut first).expect("a line of the log");
            assert!(read > 0, "the server has ended: {first}");
            if let Some((_, rest)) = first[from..].split_once("listening on http://") {
                break rest.split(';').next().expect("an address").to_owned();
            }
        };
        let server = Server {
            child,
            data: self.data(),
            address,
            log: Arc::new(Mutex::new(first)),
        };
        (server, stderr)
    }

    /// What all servers in this place have printed on standard output.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.printed_to()).expect("what was printed")
    }

    /// A file beside the data directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn printed_to(&self) -> PathBuf {
        self.folder.path().join("printed")
    }

    /// The key that the first start has printed for a dialect.
    pub(crate) fn key(&self, dialect: &str) -> String {
        let printed = self.printed();
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{dialect}  ")));
        line.expect("a key of the dialect").to_owned()
    }

    /// Runs a command on the data directory.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(
            command(args, &self.data(), &[])
                .output()
                .expect("the command runs"),
        )
    }
}

/// What a command has done.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// The command with `--data` after its words. The environment is empty but for `env`.
pub(crate) fn command(args: &[&str], data: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .arg("--data")
        .arg(data)
        .env_clear()
        .envs(env.iter().copied());
    command.stdin(Stdio::null());
    command
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A string of the body, by its key.
    pub(crate) fn string(&self, key: &str) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        json[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {}", self.body))
            .to_owned()
    }
}

impl Server {
    /// A new connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends a request with an `OpenAI` key on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let request = request(method, path, key, body);
        stream
            .write_all(request.as_bytes())
            .expect("the request is sent");
        read_answer(&mut stream)
    }

    /// Sends a request like [`Self::send`] to a server that may be gone; then there is no answer.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &str,
    ) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = request(method, path, key, body);
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("`kill` runs");
        assert!(status.success());
    }

    /// Waits for the end, and gives the exit code; none after a signal.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("the server ends").code()
    }

    /// Kills the server at once, as power loss would but for the disk.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Where its data are.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The text of a request that closes its connection.
pub(crate) fn request(method: &str, path: &str, key: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: parlance\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Reads until the server closes the connection.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the answer");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Waits until `done`, for as long as patience lasts.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a real process takes real time")]
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::yield_now();
    }
}
