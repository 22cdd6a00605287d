//! A model whose words the tests say, one by one: what a stream shows depends on no clock.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::process::{PATIENCE, Place, Server, wait_until};

/// What every answer begins with. It ends with the connection.
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
/// What a whole answer ends with.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Where a server asks its model.
pub(crate) struct Words {
    listener: TcpListener,
}

/// One answer of the model, whole when it is dropped.
pub(crate) struct Call {
    stream: TcpStream,
}

impl Words {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Self { listener }
    }

    /// Starts a server whose model is here.
    pub(crate) fn serve(&self, place: &Place) -> Server {
        let address = self.listener.local_addr().expect("an address");
        let url = format!("http://{address}");
        place.serve(&[("PARLANCE_MODEL_URL", &url), ("PARLANCE_MODEL", "told")])
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
        read_request(&stream);
        let mut call = Call { stream };
        call.write(HEAD);
        call
    }
}

impl Call {
    /// The model says this.
    pub(crate) fn say(&mut self, word: &str) {
        self.write(&format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n"
        ));
    }

    fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it is heard");
    }

    /// Waits until nobody hears the model any more.
    pub(crate) fn wait_until_given_up(mut self) {
        let mut nothing = Vec::new();
        let heard = self.stream.read_to_end(&mut nothing);
        assert_eq!(heard.expect("the connection ends"), 0);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Nobody may hear it any more.
        drop(self.stream.write_all(DONE));
    }
}

/// Reads a request to its end.
fn read_request(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).expect("a head");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
}
