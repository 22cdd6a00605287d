//! A model whose words the tests say, one by one: what a stream shows depends on no clock.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::upstream::{Model, ModelError, ModelEvent, ModelRequest, ModelStream};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::process::{PATIENCE, Place, Server, wait_until};

/// Where the model gets its words from, and where the server's data are.
const WORDS_FROM: &str = "WORDS_FROM";
const DATA_IN: &str = "DATA_IN";
/// The path of [`this_program_is_a_server_where_it_is_told_so`].
const SERVER: &str = "model::this_program_is_a_server_where_it_is_told_so";

/// Where the model of a server asks for its words.
pub(crate) struct Words {
    listener: TcpListener,
}

/// One answer of the model.
pub(crate) struct Call {
    stream: TcpStream,
}

impl Words {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Self { listener }
    }

    /// Starts a server whose model asks here.
    pub(crate) fn serve(&self, place: &Place) -> Server {
        let program = std::env::current_exe().expect("this program");
        let address = self.listener.local_addr().expect("an address");
        let mut command = Command::new(program);
        command
            .args(["--exact", SERVER, "--nocapture"])
            .env_clear()
            .env(WORDS_FROM, address.to_string())
            .env(DATA_IN, place.data())
            .stdin(Stdio::null());
        place.start(command)
    }

    /// The next answer that the model begins.
    pub(crate) fn call(&self) -> Call {
        let mut accepted = None;
        wait_until("the model is asked", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.expect("a connection");
        stream.set_nonblocking(false).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Call { stream }
    }
}

impl Call {
    /// The model says this.
    pub(crate) fn say(&mut self, word: &str) {
        let line = format!("{word}\n");
        self.stream.write_all(line.as_bytes()).expect("it is heard");
    }

    /// Waits until nobody hears the model any more.
    pub(crate) fn wait_until_given_up(mut self) {
        let mut nothing = Vec::new();
        let heard = self.stream.read_to_end(&mut nothing);
        assert_eq!(heard.expect("the connection ends"), 0);
    }
}

/// Says what it is told, a line at a time, until there is no more.
struct Told {
    address: String,
}

#[async_trait]
impl Model for Told {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let stream = tokio::net::TcpStream::connect(&self.address).await;
        let stream = stream.map_err(|error| ModelError::Down(Some(error.into())))?;
        let lines = BufReader::new(stream).lines();
        let next = |mut lines: tokio::io::Lines<BufReader<_>>| async {
            let line = lines.next_line().await.transpose()?;
            let event = line
                .map(ModelEvent::Text)
                .map_err(|error| ModelError::Down(Some(error.into())));
            Some((event, lines))
        };
        Ok(stream::unfold(lines, next).boxed())
    }
}

/// No test of its own: [`Words::serve`] starts the program of the tests again with this name, so that
/// the whole server runs in a process of its own, with a model that the binary does not have.
#[test]
fn this_program_is_a_server_where_it_is_told_so() {
    let (Some(words), Some(data)) = (std::env::var_os(WORDS_FROM), std::env::var_os(DATA_IN))
    else {
        return;
    };
    let address = words.into_string().expect("an address");
    let line: [OsString; 6] = [
        "parlance".into(),
        "serve".into(),
        "--listen".into(),
        "127.0.0.1:0".into(),
        "--data".into(),
        data,
    ];
    parlance_server::run_with(line, Arc::new(Told { address }));
}
